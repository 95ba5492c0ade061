"""Billboards inside Blender: one emitting, partly transparent quad per layer. `billboards` writes their file.

The camera is at the origin and looks along -z, with x right and y up. The texture is looked up at the position of the
hit point in the pinhole picture, (x / -z, y / -z). This is exact for slanted planes too. Texture coordinates at the
corners would be interpolated in space instead of in the picture.
"""

import bpy
import numpy as np
from numpy.typing import NDArray


def build(npz: str) -> None:
    """Build the scene of a file that `billboards.export` wrote. The file holds:

    rgba_premul         (L, h, w, 4) float32, near to far, rows from the top
    corners             (L, 4, 3) float32, of the quads, counter-clockwise from bottom left
    half_extent         (2) half width and half height of the texture at distance 1
    focal_length_mm, sensor_width_mm
    """
    with np.load(npz) as file:
        data = dict(file)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    camera = bpy.data.cameras.new("camera")
    camera.sensor_fit = "HORIZONTAL"
    camera.lens, camera.sensor_width = float(data["focal_length_mm"]), float(data["sensor_width_mm"])
    camera.clip_start, camera.clip_end = 0.01, 1e6
    scene.camera = bpy.data.objects.new("camera", camera)
    scene.collection.objects.link(scene.camera)

    layers = data["rgba_premul"]
    for i, (rgba_premul, corners) in enumerate(zip(layers, data["corners"], strict=True)):
        mesh = bpy.data.meshes.new(f"layer {i}")
        mesh.from_pydata(corners.tolist(), [], [(0, 1, 2, 3)])
        mesh.materials.append(_material(f"layer {i}", rgba_premul, data["half_extent"]))
        scene.collection.objects.link(bpy.data.objects.new(f"layer {i}", mesh))

    # A ray goes straight through all layers. They are the only light.
    scene.cycles.max_bounces = 0
    scene.cycles.transparent_max_bounces = len(layers) + 1
    scene.cycles.sample_clamp_direct = scene.cycles.sample_clamp_indirect = 0.0


def _material(name: str, rgba_premul: NDArray[np.float32], half_extent: NDArray) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.cycles.emission_sampling = "NONE"
    tree = material.node_tree
    tree.nodes.clear()

    def node(kind: str, **inputs) -> bpy.types.Node:
        new = tree.nodes.new(kind)
        for key, value in inputs.items():
            socket = new.inputs[int(key[1:])]
            if isinstance(value, bpy.types.NodeSocket):
                tree.links.new(value, socket)
            else:
                socket.default_value = value
        return new

    position = node("ShaderNodeSeparateXYZ", _0=node("ShaderNodeNewGeometry").outputs["Position"])
    uv = node("ShaderNodeCombineXYZ")
    for axis, half in enumerate(half_extent):
        # u = 1/2 + x / (-z) / (2 half width)
        ratio = node("ShaderNodeMath", _0=position.outputs[axis], _1=position.outputs[2])
        ratio.operation = "DIVIDE"
        scaled = node("ShaderNodeMath", _0=ratio.outputs[0], _1=-0.5 / float(half), _2=0.5)
        scaled.operation = "MULTIPLY_ADD"
        tree.links.new(scaled.outputs[0], uv.inputs[axis])

    def texture(suffix: str, rgb: NDArray[np.float32]) -> bpy.types.NodeSocket:
        height, width = rgb.shape[:2]
        image = bpy.data.images.new(f"{name} {suffix}", width, height, float_buffer=True, is_data=True)
        image.alpha_mode = "CHANNEL_PACKED"
        image.use_half_precision = False  # or Cycles may keep texels as halves
        texels = np.concatenate([rgb, np.ones_like(rgb[..., :1])], axis=2)[::-1]  # Blender's rows go up
        image.pixels.foreach_set(np.ascontiguousarray(texels, np.float32).ravel())
        image.pack()
        lookup = node("ShaderNodeTexImage", _0=uv.outputs[0])
        lookup.image, lookup.interpolation, lookup.extension = image, "Linear", "EXTEND"
        return lookup.outputs["Color"]

    light = node("ShaderNodeEmission", _0=texture("colour", rgba_premul[..., :3]), _1=1.0)
    behind = node("ShaderNodeBsdfTransparent", _0=texture("transmission", 1.0 - rgba_premul[..., [3, 3, 3]]))
    both = node("ShaderNodeAddShader", _0=light.outputs[0], _1=behind.outputs[0])
    node("ShaderNodeOutputMaterial", _0=both.outputs[0])
    return material
