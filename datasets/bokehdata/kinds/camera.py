"""Scenes in three dimensions, rendered elsewhere: what one camera sees of them. Blender makes ours.

Their disparities are in 1/m, as in BLB. They cannot be traced again, but `source` in `scene.yaml` tells what made them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bokehdata import images
from bokehdata.checks import (
    FLOAT_ROUNDING,
    bokeh_files,
    checked_picture,
    checked_plane,
    require_depth,
    require_info,
    require_noise,
    require_only_the_stack,
    require_preview,
    require_stored,
)
from bokehdata.folder import Check, SceneFolder
from bokehdata.format import (
    DEPTH_FILE,
    DISPARITY_FILE,
    SCENE_FILE,
    CameraSettings,
    DatasetError,
    disparity_of,
    frame_document,
    image_file,
    layer_disparity_file,
    layer_file,
)
from bokehdata.index import IndexEntry
from bokehdata.origins import Origin, Origins
from bokehdata.writer import SceneWriter
from runtime.documents import is_number
from scenes.arrays import Plane
from scenes.color import HALF_MAX
from scenes.layered_depth import DepthImage, LayeredDepthImage
from scenes.stack import Stack

KIND = "camera"


@dataclass(frozen=True, eq=False)
class DepthLayer:
    """The part of a scene between two planar distances, with all that nearer parts hide of it.

    rgba        (H + 2 overscan, W + 2 overscan, 4) float16, straight alpha, linear light; lit by the whole scene. The
                farthest layer holds the background and is opaque
    disparity   (H + 2 overscan, W + 2 overscan) float32, 1/m, of what the ray through the texel's centre hits; 0 where
                it hits nothing, though a surface may cover part of the texel
    near_m      planar distance of the nearer end, metres
    far_m       planar distance of the farther end, metres; 65504 is infinity
    """

    rgba: NDArray[np.float16]
    disparity: Plane
    near_m: float
    far_m: float


@dataclass(frozen=True, eq=False)
class CameraScene:
    """A scene in three dimensions as its camera sees it.

    depth            (H, W) float32 planar depth of the pinhole picture in metres; 65504 is the background
    focal_length_m   metres; also the distance from lens to sensor, whatever the focus
    sensor_width_m   metres, covered by the width of the picture
    source           plain values for `scene.yaml` that tell how to make the scene again
    layers           near to far; empty where nobody asked for them
    overscan         pixels that the layers extend beyond the frame on every side
    """

    depth: Plane
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

    def disparity(self) -> Plane:
        """1 / depth: (H, W) float32, 1/m, 0 for the background."""
        return disparity_of(self.depth)


def camera_document(
    scene: CameraScene, stack: Stack, *, scene_index: int, seed: int, kind: str = KIND
) -> dict[str, Any]:
    """The content of `scene.yaml`."""
    frame = frame_document(kind, scene.width, scene.height, scene.overscan, stack, scene_index=scene_index, seed=seed)
    layers = [
        {
            "file": layer_file(i),
            "disparity_file": layer_disparity_file(i),
            "near_m": float(layer.near_m),
            "far_m": float(layer.far_m),
        }
        for i, layer in enumerate(scene.layers)
    ]
    camera = {"focal_length_m": scene.focal_length_m, "sensor_width_m": scene.sensor_width_m}
    return {**frame, "camera": camera, "source": dict(scene.source), "layers": layers}


def write_camera_scene(
    writer: SceneWriter,
    scene: CameraScene,
    stack: Stack,
    *,
    seed: int,
    kind: str = KIND,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write the layers if there are some, `disparity.exr`, `depth.exr` and `scene.yaml`.

    seed         of the dataset
    kind, more   of a scene that has more than this: its kind, and what `scene.yaml` says besides
    """
    for i, layer in enumerate(scene.layers):
        writer.write_layer(layer_file(i), layer.rgba)
        writer.write_plane(layer_disparity_file(i), layer.disparity)
    writer.write_plane(DISPARITY_FILE, scene.disparity())
    writer.write_plane(DEPTH_FILE, scene.depth)
    document = {**camera_document(scene, stack, scene_index=writer.scene_index, seed=seed, kind=kind), **more}
    camera = (scene.focal_length_m, scene.sensor_width_m)
    writer.write_documents(document, CameraSettings(scene.width, scene.height, *camera, "1/m", stack))


class CameraFolder(SceneFolder):
    """The folder of a camera scene."""

    kind = KIND

    @cached_property
    def origins(self) -> Origins:
        """The built-in scene and its variant, or the .blend file; else the all-in-focus picture."""
        with self.interpreting():
            source = self.scene_document["source"]
            if "variant" in source:
                return frozenset({Origin(f"Blender scene {source['name']}", source["variant"])})
            if "sha256" in source:
                return frozenset({Origin("blend", source["sha256"])})
        return super().origins

    def depth_layers(self) -> tuple[DepthLayer, ...]:
        """The layers as stored, near to far, with what nearer ones hide; () where there are none."""
        with self.interpreting():
            return tuple(
                DepthLayer(
                    rgba=images.read_exr(self.path / layer["file"]),
                    disparity=images.read_exr_plane(self.path / layer["disparity_file"]),
                    near_m=float(layer["near_m"]),
                    far_m=float(layer["far_m"]),
                )
                for layer in self.scene_document["layers"]
            )

    def layers(self) -> LayeredDepthImage | None:
        """The true layers with a disparity of their own at every texel; None where there are none."""
        depth_layers = self.depth_layers()
        if not depth_layers:
            return None
        with self.interpreting():
            width, height, overscan = (self.scene_document[key] for key in ("width", "height", "overscan"))
            return layered_depth_image(depth_layers, width, height, overscan)

    def checks(self, entry: IndexEntry | None) -> list[Check]:
        stack, settings = self.stack(), self._settings()
        shape = (settings.height, settings.width)
        pictures = [image_file(self.image_format), *bokeh_files(self, stack)]
        return [
            lambda: require_info(self, settings),
            lambda: require_noise(self, pictures, entry),
            lambda: _require_planes(self, shape),
            lambda: _require_focus_inside(self, stack),
            lambda: _require_depth_layers(self, shape),
            lambda: require_preview(self),
            lambda: require_only_the_stack(self, stack),
            *(partial(checked_picture, self.path / name, shape) for name in pictures),
        ]

    def _settings(self) -> CameraSettings:
        """What `info.json` must say by `scene.yaml`."""
        document = self.scene_document
        with self.interpreting():
            camera = _positive(document["camera"], "focal_length_m"), _positive(document["camera"], "sensor_width_m")
            return CameraSettings(int(document["width"]), int(document["height"]), *camera, "1/m", self.stack())


def layered_depth_image(layers: Sequence[DepthLayer], width: int, height: int, overscan: int) -> LayeredDepthImage:
    """Layers near to far as renderers take them: each has a disparity of its own at every texel.

    SceneError for layers that do not fit together.
    """
    filled = tuple(DepthImage(layer.rgba, _disparity_everywhere(layer)) for layer in layers)
    return LayeredDepthImage(filled, width, height, overscan)


def _disparity_everywhere(layer: DepthLayer) -> Plane:
    """A layer's disparity; where the ray through a texel's centre hits nothing, that of the nearest texel that is hit.

    At a silhouette the nearest hit is on the surface that gives the texel its alpha. With a disparity of 0 the light of
    that surface would be blurred as if it came from infinity. A layer that is hit nowhere stands at its farther end.
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


def _positive(document: Mapping[str, Any], key: str) -> float:
    value = document[key]
    if not (is_number(value) and value > 0):
        raise ValueError(f"{key} is {value!r}; it must be above 0")
    return value


def _require_planes(folder: CameraFolder, shape: tuple[int, int]) -> None:
    depth = checked_plane(folder.path / DEPTH_FILE, shape)
    require_depth(folder.path / DEPTH_FILE, depth)
    path = folder.path / DISPARITY_FILE
    if not np.array_equal(checked_plane(path, shape), disparity_of(depth)):
        raise DatasetError(f"{path}: is not 1 / depth, 0 at {HALF_MAX:.0f}")


def _require_focus_inside(folder: CameraFolder, stack: Stack) -> None:
    # Distances that a user named may be anywhere.
    if "focus_m" in folder.scene_document["source"]:
        return
    disparity = folder.disparity()
    low, high = float(disparity.min()), float(disparity.max())
    for d in stack.focus_disparities:
        if not low * (1.0 - FLOAT_ROUNDING) <= d <= high * (1.0 + FLOAT_ROUNDING):
            raise DatasetError(
                f"{folder.path / SCENE_FILE}: focus disparity {d} is outside the scene's {low} to {high}"
            )


def _require_depth_layers(folder: CameraFolder, shape: tuple[int, int]) -> None:
    with folder.interpreting():
        overscan = int(folder.scene_document["overscan"])
    extended = (shape[0] + 2 * overscan, shape[1] + 2 * overscan)
    far_m = 0.0
    for layer, names in zip(folder.depth_layers(), folder.scene_document["layers"], strict=True):
        path = folder.path / names["file"]
        require_stored(path, layer.rgba, (*extended, 4), np.float16)
        if layer.rgba[..., 3].max() > 1.0:
            raise DatasetError(f"{path}: has alpha above 1")
        checked_plane(folder.path / names["disparity_file"], extended)
        if not far_m <= layer.near_m < layer.far_m:
            raise DatasetError(f"{path}: its distances {layer.near_m} to {layer.far_m} do not follow {far_m}")
        far_m = layer.far_m
