"""Short notation for shader node trees."""

from typing import Any

import bpy

Value = Any  # a socket to link, or a default value for the socket


class Nodes:
    """Adds nodes to a tree and returns them. Inputs are given by name or index, other settings by keyword."""

    def __init__(self, tree: bpy.types.NodeTree):
        self.tree = tree

    def __call__(self, kind: str, inputs: dict[str | int, Value] | None = None, **settings: Any) -> bpy.types.Node:
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for key, value in settings.items():
            setattr(node, key, value)
        for key, value in (inputs or {}).items():
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, node.inputs[key])
            else:
                node.inputs[key].default_value = value
        return node

    def math(self, operation: str, *values: Value) -> bpy.types.NodeSocket:
        return self("Math", dict(enumerate(values)), operation=operation).outputs[0]

    def mix(self, factor: Value, a: Value, b: Value) -> bpy.types.NodeSocket:
        """Colours a (factor 0) to b (factor 1)."""
        return self("Mix", {0: factor, 6: a, 7: b}, data_type="RGBA").outputs[2]

    def ramp(self, factor: Value, stops: list[tuple[float, tuple[float, ...]]]) -> bpy.types.NodeSocket:
        """Colours (r, g, b, 1) along positions in [0, 1]."""
        node = self("ValToRGB", {0: factor})
        elements = node.color_ramp.elements
        while len(elements) < len(stops):
            elements.new(1.0)
        for element, (position, colour) in zip(elements, stops, strict=True):
            element.position, element.color = position, colour
        return node.outputs[0]

    def noise(self, scale: float, *, detail: float = 4.0, vector: Value = None, distortion: float = 0.0):
        """Fractal noise around 0.5, over object coordinates in metres or over a given vector."""
        inputs: dict[str | int, Value] = {
            "Scale": scale,
            "Detail": detail,
            "Distortion": distortion,
            "Vector": vector or self.position(),
        }
        return self("TexNoise", inputs).outputs[0]

    def position(self, scale: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> bpy.types.NodeSocket:
        """Object coordinates in metres, times one scale per axis."""
        coordinates = self("TexCoord").outputs["Object"]
        return self("Mapping", {"Vector": coordinates, "Scale": scale}).outputs[0]

    def per_island(self) -> bpy.types.NodeSocket:
        """A random number for each connected piece of the mesh, such as a leaf or a brick."""
        return self("NewGeometry").outputs["Random Per Island"]

    def bump(self, height: Value, distance: float, strength: float = 1.0) -> bpy.types.NodeSocket:
        """A normal, from a height in [0, 1] times a distance in metres."""
        return self("Bump", {"Height": height, "Distance": distance, "Strength": strength}).outputs[0]
