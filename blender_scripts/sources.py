"""The scenes that Blender can load: a built-in scene, a user's .blend file, billboards."""

from typing import Any

import bpy

from blender_scripts import billboard_quads, blend_file, procedural, rendering


def check(request: dict[str, Any]) -> dict[str, Any]:
    """Check this Blender. Raises Refusal if it lacks the requested `device`.

    returns   blender (its version), device
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return {"blender": bpy.app.version_string, "device": rendering.use_device(bpy.context.scene, request["device"])}


def load(request: dict[str, Any]) -> dict[str, Any]:
    """Load the scene of a request, and describe it.

    kind            "procedural" (scene, seed), "blend" (path, camera, frame) or "billboards" (npz)
    width, height   of the pictures, pixels
    device          "auto", "cpu", "cuda", "optix", "hip" or "metal"
    returns         focal_length_m, sensor_width_m (of the picture's width), device, blender, warnings
    """
    kind = request["kind"]
    warnings: list[str] = []
    if kind == "procedural":
        procedural.build(request["scene"], request["seed"])
    elif kind == "blend":
        warnings = blend_file.open_scene(request["path"], camera=request["camera"], frame=request["frame"])
    else:
        billboard_quads.build(request["npz"])
    scene = bpy.context.scene
    rendering.configure(scene, request["width"], request["height"])
    device = rendering.use_device(scene, request["device"])
    focal_length_m, sensor_width_m = rendering.lens_and_sensor_m(scene)
    return {
        "focal_length_m": focal_length_m,
        "sensor_width_m": sensor_width_m,
        "device": device,
        "blender": bpy.app.version_string,
        "warnings": warnings,
    }
