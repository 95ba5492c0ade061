"""What of a scene is its subject, and what is a sky or a stage around it."""

from collections.abc import Iterator
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix, Vector
from mathutils.bvhtree import BVHTree  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray

_SOLID = ("MESH", "CURVE", "SURFACE", "META", "FONT", "CURVES")

# Directions over the horizon in which a sky is looked for, and the share of them in which it must be found.
_AROUND = [Vector((x, y, z)).normalized() for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (0, 1) if x or y or z]
_FOUND_SHARE = 0.9

# What surrounds the camera is a sky if it is everywhere this many times as far as everything else.
_SKY_DISTANCE = 2.0

# What is this many times as large as everything else together is a stage: a ground, a backdrop, a sky.
_STAGE_SIZE = 3.0


@dataclass(frozen=True, eq=False)
class Box:
    """The bounding box of a thing that a render shows.

    name      of the object
    corners   (8, 3), in the world
    """

    name: str
    corners: NDArray[np.float64]


def shown(scene: bpy.types.Scene) -> Iterator[tuple[bpy.types.Object, Matrix]]:
    """Evaluated objects that a render shows, with their matrices: the scene's own objects and all instances.

    Each is valid until the next one is requested.
    """
    depsgraph = bpy.context.evaluated_depsgraph_get()
    for obj in scene.objects:
        if not obj.hide_render:
            evaluated = obj.evaluated_get(depsgraph)
            yield evaluated, evaluated.matrix_world
    for instance in depsgraph.object_instances:
        if instance.is_instance and not instance.object.hide_render:
            yield instance.object, instance.matrix_world


def boxes(scene: bpy.types.Scene) -> list[Box]:
    """The boxes of all things with a surface."""
    return [
        Box(obj.name, np.array([matrix @ Vector(corner) for corner in obj.bound_box]))
        for obj, matrix in shown(scene)
        if obj.type in _SOLID
    ]


def size(things: list[Box]) -> float:
    """The diagonal of the box around things."""
    corners = np.concatenate([thing.corners for thing in things])
    return float(np.linalg.norm(np.ptp(corners, axis=0)))


def subject(things: list[Box]) -> list[Box]:
    """Things without the stage: what is several times as large as all the rest together, one after the other."""
    ordered = sorted(things, key=lambda thing: -size([thing]))
    while len(ordered) > 1 and size(ordered[:1]) > _STAGE_SIZE * size(ordered[1:]) > 0.0:
        ordered = ordered[1:]
    return ordered


def skies(scene: bpy.types.Scene) -> list[str]:
    """Names of the objects that stand for a sky: boxes and domes around the camera.

    They surround the camera over the horizon. Either they shine and do nothing else, or they are everywhere far beyond
    all other things. So the walls of a room are none.
    """
    depsgraph = bpy.context.evaluated_depsgraph_get()
    eye = scene.camera.evaluated_get(depsgraph).matrix_world.translation
    around = {}
    for obj in scene.objects:
        if obj.type == "MESH" and not obj.hide_render:
            found = _distances(obj.evaluated_get(depsgraph), eye)
            if len(found) >= _FOUND_SHARE * len(_AROUND):
                around[obj.name] = min(found)
    others = [thing.corners for thing in boxes(scene) if thing.name not in around]
    if not others:
        return []
    farthest = float(np.linalg.norm(np.concatenate(others) - np.array(eye), axis=1).max())
    return sorted(
        name
        for name, nearest in around.items()
        if _only_shines(scene.objects[name]) or nearest > _SKY_DISTANCE * farthest
    )


def _distances(obj: bpy.types.Object, eye: Vector) -> list[float]:
    """How far a mesh is from a point inside its box, in the directions in which it is met."""
    matrix = obj.matrix_world
    corners = np.array([matrix @ Vector(corner) for corner in obj.bound_box])
    if (corners.min(axis=0) >= eye).any() or (corners.max(axis=0) <= eye).any():
        return []
    inverse = matrix.inverted()
    rays = [(inverse @ eye, inverse.to_3x3() @ direction) for direction in _AROUND]
    try:
        places = [place for is_met, place, *_ in (obj.ray_cast(*ray) for ray in rays) if is_met]
    except RuntimeError:  # hidden in Blender's windows: its mesh is there without what modifiers do to it
        mesh = obj.data
        tree = BVHTree.FromPolygons([v.co for v in mesh.vertices], [p.vertices for p in mesh.polygons])
        places = [place for place, *_ in (tree.ray_cast(*ray) for ray in rays) if place is not None]
    return [(matrix @ place - eye).length for place in places]


def _only_shines(obj: bpy.types.Object) -> bool:
    materials = [slot.material for slot in obj.material_slots if slot.material is not None]
    return bool(materials) and all(_is_light_alone(material) for material in materials)


def _is_light_alone(material: bpy.types.Material) -> bool:
    """Whether what reaches the output of a material is emission, and perhaps transparency."""
    if material.node_tree is None or (output := material.node_tree.get_output_node("CYCLES")) is None:
        return False
    kinds = {node.type for node in _before(output)}
    shaders = {kind for kind in kinds if kind.startswith(("BSDF_", "SUBSURFACE_", "EEVEE_"))}
    return "EMISSION" in kinds and shaders <= {"BSDF_TRANSPARENT"}


def _before(node: bpy.types.Node) -> list[bpy.types.Node]:
    """The nodes that lead to one, with all that is in their groups."""
    found, waiting = [], [node]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.append(node)
            waiting += [link.from_node for socket in node.inputs for link in socket.links]
            if node.type == "GROUP" and node.node_tree is not None:
                waiting += node.node_tree.nodes
    return found
