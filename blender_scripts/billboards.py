"""Export a scene of billboards to Blender, so that Cycles can check the tracer."""

from pathlib import Path

import numpy as np

from blender_scripts.camera import Camera
from bokehdata.kinds.billboards import NOMINAL_FOCAL_LENGTH_M, NOMINAL_SENSOR_WIDTH_M
from scenes.billboard import Scene
from scenes.color import HALF_MAX, premultiplied


def nominal_camera(scene: Scene) -> Camera:
    """A camera for billboards, which have none of their own. With it one unit of disparity is 1/m."""
    return Camera(NOMINAL_FOCAL_LENGTH_M, NOMINAL_SENSOR_WIDTH_M, scene.width)


def export(scene: Scene, npz: Path) -> None:
    """Write the layers as quads in space for `billboard_quads.build`. A plane at infinity is placed at 65504 m."""
    camera = nominal_camera(scene)
    focal_px = camera.focal_length_m / camera.sensor_width_m * scene.width
    half = np.array([scene.width / 2 + scene.overscan, scene.height / 2 + scene.overscan])
    corners = np.empty((len(scene.layers), 4, 3))
    for i, layer in enumerate(scene.layers):
        for j, (x, y) in enumerate([(-1, 1), (1, 1), (1, -1), (-1, -1)]):  # picture coordinates, y down
            offset = half * (x, y)
            distance = 1.0 / max(layer.disparity + float(offset @ layer.slope), 1.0 / HALF_MAX)
            corners[i, j] = offset[0] / focal_px * distance, -offset[1] / focal_px * distance, -distance
    np.savez(
        npz,
        rgba_premul=np.stack([premultiplied(layer.rgba) for layer in scene.layers]),
        corners=corners.astype(np.float32),
        half_extent=half / focal_px,
        focal_length_mm=1e3 * camera.focal_length_m,
        sensor_width_mm=1e3 * camera.sensor_width_m,
    )
