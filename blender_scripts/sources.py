"""The scenes that Blender can load: a built-in scene, a user's .blend file, billboards."""

from typing import Any

import bpy

from blender_scripts import billboard_quads, blend_file, procedural, rendering, surroundings


def check(request: dict[str, Any]) -> dict[str, Any]:
    """Check this Blender. Raises Refusal if it lacks the requested `device`.

    returns   blender (its version), device
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return {"blender": bpy.app.version_string, "device": rendering.use_device(bpy.context.scene, request["device"])}


def load(request: dict[str, Any]) -> dict[str, Any]:
    """Load the scene of a request, and describe it.

    kind            "procedural" (scene, seed), "blend" (path, view) or "billboards" (npz)
    width, height   of the pictures, pixels
    device          "auto", "cpu", "cuda", "optix", "hip" or "metal"
    returns         focal_length_m, sensor_width_m (of the picture's width), device, blender, warnings, and
                    skies, the names of objects of a .blend file that stand for one
    """
    kind = request["kind"]
    warnings: list[str] = []
    skies: list[str] = []
    width, height = request["width"], request["height"]
    if kind == "procedural":
        procedural.build(request["scene"], request["seed"])
    elif kind == "blend":
        view = blend_file.View(**request["seen_from"])
        warnings = blend_file.open_scene(request["path"], view, width=width, height=height)
        skies = surroundings.skies(bpy.context.scene)
    else:
        billboard_quads.build(request["npz"])
    scene = bpy.context.scene
    rendering.configure(scene, width, height)
    device = rendering.use_device(scene, request["device"])
    focal_length_m, sensor_width_m = rendering.lens_and_sensor_m(scene)
    return {
        "focal_length_m": focal_length_m,
        "sensor_width_m": sensor_width_m,
        "device": device,
        "blender": bpy.app.version_string,
        "warnings": warnings,
        "skies": skies,
    }


def contents(request: dict[str, Any]) -> dict[str, Any]:
    """The cameras and frames of the .blend file `path`."""
    return blend_file.contents(request["path"])
