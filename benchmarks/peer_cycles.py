"""Blender Cycles on the CPU as a peer, in a process of its own: `python peer_cycles.py FOLDER SECONDS`.

It reads `scene.npz` from the folder (see `tracer.save_for_peers`) and renders with growing numbers of samples
(`timing.time_sample_counts`). Each billboard is a plane that emits its premultiplied colour and is transparent by
1 - alpha. Times include about 0.01 s for writing an uncompressed EXR file, since Blender returns images as files.
"""

# The modules of bpy are created when Blender starts.
# pyright: reportAttributeAccessIssue=false

import os
import sys
from pathlib import Path

os.environ["OPENCV_IO_ENABLE_OPENEXR"] = "1"  # read when OpenCV is imported

import bpy
import cv2
import numpy as np
from timing import time_sample_counts

# Half the width of the picture at distance 1; any value gives the same image.
_TANGENT = 0.5
_SENSOR_WIDTH_MM = 36.0


def configure(size: int, output: Path) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.use_denoising = cycles.use_adaptive_sampling = cycles.use_light_tree = False
    cycles.max_bounces, cycles.transparent_max_bounces = 0, 32
    cycles.pixel_filter_type, cycles.filter_width = "BOX", 1.0
    cycles.sample_clamp_direct = cycles.sample_clamp_indirect = 0.0
    scene.view_settings.view_transform = "Raw"
    render = scene.render
    render.resolution_x = render.resolution_y = size
    render.resolution_percentage = 100
    render.use_compositing = render.use_sequencer = False
    render.use_persistent_data = True
    render.dither_intensity = 0.0
    render.image_settings.file_format = "OPEN_EXR"
    render.image_settings.color_depth = "32"
    render.image_settings.exr_codec = "NONE"
    render.filepath = str(output)


def add_camera(size: int, blur_parameter: float, focus_disparity: float) -> None:
    camera = bpy.data.cameras.new("camera")
    camera.sensor_width = _SENSOR_WIDTH_MM
    camera.lens = _SENSOR_WIDTH_MM / (2.0 * _TANGENT)
    camera.clip_start = 0.01
    camera.dof.use_dof = True
    camera.dof.focus_distance = 1.0 / focus_disparity
    camera.dof.aperture_blades = 0
    # Blender's scene unit is the metre, that of its focal length the millimetre. The aperture's radius is f / (2 N).
    aperture_radius = blur_parameter * 2.0 * _TANGENT / size
    camera.dof.aperture_fstop = camera.lens * 1e-3 / (2.0 * aperture_radius)
    link = bpy.data.objects.new("camera", camera)
    bpy.context.scene.collection.objects.link(link)
    bpy.context.scene.camera = link


def add_layer(name: str, rgba_premul: np.ndarray, distance: float, half: float) -> None:
    mesh = bpy.data.meshes.new(name)
    corners = [(-half, -half), (half, -half), (half, half), (-half, half)]
    mesh.from_pydata([(x, y, -distance) for x, y in corners], [], [(0, 1, 2, 3)])
    mesh.uv_layers.new().data.foreach_set("uv", [0, 0, 1, 0, 1, 1, 0, 1])
    bpy.context.scene.collection.objects.link(bpy.data.objects.new(name, mesh))

    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.cycles.emission_sampling = "NONE"
    tree = material.node_tree
    tree.nodes.clear()

    def picture(kind: str, rgb: np.ndarray):
        rows_upwards = np.concatenate([rgb, np.ones_like(rgb[..., :1])], axis=-1)[::-1]
        height, width = rgb.shape[:2]
        image = bpy.data.images.new(f"{name} {kind}", width, height, float_buffer=True, is_data=True)
        image.alpha_mode = "CHANNEL_PACKED"
        image.pixels.foreach_set(np.ascontiguousarray(rows_upwards, np.float32).ravel())
        image.update()
        image.pack()
        node = tree.nodes.new("ShaderNodeTexImage")
        node.image, node.interpolation, node.extension = image, "Linear", "EXTEND"
        return node.outputs["Color"]

    emission = tree.nodes.new("ShaderNodeEmission")
    tree.links.new(picture("colour", rgba_premul[..., :3]), emission.inputs["Color"])
    surface = emission
    if rgba_premul[..., 3].min() < 1.0:
        transparent = tree.nodes.new("ShaderNodeBsdfTransparent")
        passed = np.repeat(1.0 - rgba_premul[..., 3:], 3, axis=-1)
        tree.links.new(picture("transparency", passed), transparent.inputs["Color"])
        surface = tree.nodes.new("ShaderNodeAddShader")
        tree.links.new(emission.outputs[0], surface.inputs[0])
        tree.links.new(transparent.outputs[0], surface.inputs[1])
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(surface.outputs[0], output.inputs["Surface"])
    mesh.materials.append(material)


def main(folder: str, budget_s: str) -> None:
    output = Path(folder) / "cycles.exr"
    scene = np.load(Path(folder) / "scene.npz")
    size, overscan = int(scene["size"]), int(scene["overscan"])
    configure(size, output)
    add_camera(size, float(scene["blur_parameter"]), float(scene["focus_disparity"]))
    for i, (rgba_premul, disparity) in enumerate(zip(scene["rgba_premul"], scene["disparities"], strict=True)):
        distance = 1.0 / float(disparity)
        add_layer(f"layer{i}", rgba_premul, distance, distance * _TANGENT * (size + 2 * overscan) / size)

    def render(samples, seed):
        bpy.context.scene.cycles.samples = samples
        bpy.context.scene.cycles.seed = seed
        bpy.context.scene.update_tag()  # otherwise persistent data keeps the settings of the last image
        bpy.ops.render.render(write_still=True)
        bgr = cv2.imread(str(output), cv2.IMREAD_UNCHANGED)
        return np.ascontiguousarray(bgr[..., 2::-1], np.float32)

    time_sample_counts(render, "cycles", f"Blender {bpy.app.version_string} Cycles", Path(folder), float(budget_s))


if __name__ == "__main__":
    main(*sys.argv[1:])
