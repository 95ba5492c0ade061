"""Cameras that are placed in a user's scene."""

from collections.abc import Sequence

import bpy
import numpy as np
from mathutils import Vector

from blender_scripts.refusal import Refusal
from blender_scripts.surroundings import boxes, size, subject

# For a scene without a camera: direction from the subject to the camera, focal length, and room around the subject.
_VIEWED_FROM, _FOCAL_LENGTH_MM, _MARGIN = Vector((0.6, -1.0, 0.45)).normalized(), 35.0, 1.1

# The camera sees from this share of the distance to what it looks at, to this multiple of the size of the scene.
_CLIP_START, _CLIP_END = 0.01, 100.0


def frame_subject(scene: bpy.types.Scene, file_name: str, width: int, height: int) -> str:
    """Place a camera from which the whole subject fills the picture. Returns a warning that says what it looks at.

    width, height   of the picture, pixels
    raises          Refusal where there is nothing to see
    """
    things = boxes(scene)
    if not things:
        raise Refusal(f"{file_name}: holds nothing that can be seen")
    seen = subject(things)
    corners = np.concatenate([thing.corners for thing in seen])
    centre = (corners.min(axis=0) + corners.max(axis=0)) / 2.0
    axes = np.array((-_VIEWED_FROM).to_track_quat("-Z", "Y").to_matrix())
    right, up, nearer = ((corners - centre) @ axes).T
    data = _camera_data(_FOCAL_LENGTH_MM)
    # The sensor's width is fitted to the longer side.
    widest = data.sensor_width / 2.0 / data.lens * np.array([width, height]) / max(width, height)
    beside = np.maximum(abs(right) / widest[0], abs(up) / widest[1])
    distance = max(float((nearer + _MARGIN * beside).max()), 1e-3)
    data.clip_start, data.clip_end = _CLIP_START * distance, distance + _CLIP_END * size(things)
    _place(scene, data, Vector(centre) + distance * _VIEWED_FROM, Vector(centre))
    kept = {thing.name for thing in seen}
    stage = sorted({thing.name for thing in things} - kept)
    but = f" but {', '.join(stage[:5])}" if stage else ""
    return f"has no camera; looking at everything{but} from the front, right and above"


def look_at(scene: bpy.types.Scene, at: Sequence[float], target: Sequence[float]) -> None:
    """Place a camera at a point, looking at another one, upright. Its lens is that of the scene's camera, or 35 mm."""
    camera = scene.camera
    if camera is not None and camera.type == "CAMERA" and camera.data.type == "PERSP":
        data = camera.data.copy()
        data.shift_x = data.shift_y = 0.0
    else:
        data = _camera_data(_FOCAL_LENGTH_MM)
        distance, things = (Vector(at) - Vector(target)).length, boxes(scene)
        data.clip_start = _CLIP_START * distance
        data.clip_end = distance + _CLIP_END * (size(things) if things else 1.0)
    _place(scene, data, Vector(at), Vector(target))


def _camera_data(focal_length_mm: float) -> bpy.types.Camera:
    data = bpy.data.cameras.new("placed camera")
    data.lens = focal_length_mm
    return data


def _place(scene: bpy.types.Scene, data: bpy.types.Camera, at: Vector, target: Vector) -> None:
    camera = bpy.data.objects.new("placed camera", data)
    scene.collection.objects.link(camera)
    camera.location = at
    camera.rotation_euler = (target - at).to_track_quat("-Z", "Y").to_euler()
    scene.camera = camera
    # The matrices of new objects are computed on the next update.
    bpy.context.view_layer.update()
