"""Scenes in three dimensions on disk: what a camera saw of them, where a billboard scene has its layers.

`scene.yaml` of such a scene has a `camera` and a `source`; its disparities are in 1/m, as in BLB.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bokehdata.format import Information, frame_document, layer_file
from scenes.color import HALF_MAX
from scenes.layered_depth import DepthImage, LayeredDepthImage
from scenes.stack import Stack


@dataclass(frozen=True, eq=False)
class DepthLayer:
    """What lies between two planar distances, with all that nearer things hide of it.

    rgba        (H + 2 overscan, W + 2 overscan, 4) float16, straight alpha, linear light; what the light of the whole
                scene makes of it. The farthest layer is opaque: it holds the background
    disparity   (H + 2 overscan, W + 2 overscan) float32, 1/m, of what the ray through the texel's centre hits; 0 where
                it hits nothing, though the texel may be covered in part
    near_m      planar distance of the nearer end, metres
    far_m       of the farther end; 65504 for infinity
    """

    rgba: NDArray[np.float16]
    disparity: NDArray[np.float32]
    near_m: float
    far_m: float


@dataclass(frozen=True, eq=False)
class CameraScene:
    """A scene in space and the camera in front of it.

    depth            (H, W) float32 planar depth of the pinhole picture in metres; 65504 is the background
    focal_length_m   also the distance from lens to sensor, whatever the focus
    sensor_width_m   that the picture's width covers
    source           plain values that tell how to make the scene again
    layers           near to far; empty unless they were asked for
    overscan         pixels that the layers extend beyond the frame on every side
    """

    depth: NDArray[np.float32]
    focal_length_m: float
    sensor_width_m: float
    source: Mapping[str, Any]
    layers: tuple[DepthLayer, ...] = field(default=())
    overscan: int = 0

    @property
    def width(self) -> int:
        return self.depth.shape[1]

    @property
    def height(self) -> int:
        return self.depth.shape[0]

    def disparity(self) -> NDArray[np.float32]:
        """1 / depth: (H, W) float32, 0 for the background."""
        return disparity_of(self.depth)


def disparity_of(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / depth of any shape; 0 where it is 65504 or more."""
    return np.divide(1.0, depth, out=np.zeros_like(depth), where=depth < HALF_MAX)


def layered_depth_image(layers: Sequence[DepthLayer], width: int, height: int, overscan: int) -> LayeredDepthImage:
    """What renderers take of layers near to far: each with a disparity that is its own at every texel.

    SceneError for layers that do not fit together.
    """
    images = tuple(DepthImage(layer.rgba, _disparity_everywhere(layer)) for layer in layers)
    return LayeredDepthImage(images, width, height, overscan)


def _disparity_everywhere(layer: DepthLayer) -> NDArray[np.float32]:
    """A layer's disparity; where the ray through a texel's centre hits nothing, that of the nearest texel that is hit.

    At a silhouette that is the surface which the texel's alpha is of: 0 would blur its light as if it came from
    infinity. A layer that is hit nowhere stands at its farther end.
    """
    hit = layer.disparity > 0.0
    if layer.far_m >= HALF_MAX or hit.all():  # there 0 is the background
        return layer.disparity
    if not hit.any():
        return np.full_like(layer.disparity, 1.0 / layer.far_m)
    # Each texel gets the label of its nearest zero.
    texels = (~hit).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(texels, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    label = np.asarray(labels, np.int64)
    disparity = np.empty(1 + label.max(), np.float32)
    disparity[label[hit]] = layer.disparity[hit]
    return disparity[label]


def layer_disparity_file(layer_index: int) -> str:
    """Path of a layer's disparities relative to the scene folder, 0 the nearest."""
    return layer_file(layer_index).replace(".exr", "_disparity.exr")


def camera_information(
    width: int, height: int, focal_length_m: float, sensor_width_m: float, stack: Stack
) -> Information:
    """What `info.json` says of the camera; f-stops are real ones."""
    return Information(width, height, focal_length_m, sensor_width_m, "1/m", stack)


def camera_document(scene: CameraScene, stack: Stack, *, scene_index: int, seed: int) -> dict[str, Any]:
    """The content of `scene.yaml`."""
    return {
        **frame_document(scene.width, scene.height, scene.overscan, stack, scene_index=scene_index, seed=seed),
        "camera": {"focal_length_m": scene.focal_length_m, "sensor_width_m": scene.sensor_width_m},
        "source": dict(scene.source),
        "layers": [
            {
                "file": layer_file(i),
                "disparity_file": layer_disparity_file(i),
                "near_m": float(layer.near_m),
                "far_m": float(layer.far_m),
            }
            for i, layer in enumerate(scene.layers)
        ],
    }
