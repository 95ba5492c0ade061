"""Scenes of flat billboards, drawn by a recipe and traced by us. Any picture can be traced again from the folder.

Disparities lie in [0, 1] and have no unit, and there is no real camera, only a nominal one. A recipe with a camera has
both: disparities in 1/m, and a `camera` in `scene.yaml`.
"""

import re
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

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
)
from bokehdata.folder import Check, SceneFolder
from bokehdata.format import (
    DEPTH_FILE,
    DISPARITY_FILE,
    SCENE_FILE,
    BokehSetting,
    CameraSettings,
    DatasetError,
    bokeh_file,
    frame_document,
    image_file,
    layer_file,
    stored_from_linear,
    stored_settings,
)
from bokehdata.index import IndexEntry
from bokehdata.origins import Origins, picture_origin, scene_origin
from bokehdata.writer import SceneWriter
from runtime.documents import is_number, shown
from scenes.arrays import Picture
from scenes.billboard import Billboard, Scene
from scenes.camera import Camera
from scenes.color import HALF_MAX, REFERENCE_GAMMA, display_from_linear
from scenes.dual_pixel import SIDES, Side, mean_of_views
from scenes.stack import Stack

KIND = "billboards"

# With these the `f_stops` of BLB's `info.json` can be computed.
NOMINAL_FOCAL_LENGTH_M = 0.05
NOMINAL_SENSOR_WIDTH_M = 0.036

_CAMERA_KEYS = ("focal_length_m", "sensor_width_m", "sensor_height_m")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


# What tells of an asset; other keys are the generators' own.
_ASSET_VALUES: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("kind", "style", "file", "alpha_file"), _is_text),
    **dict.fromkeys(("sha256", "alpha_sha256"), _is_sha256),
    **dict.fromkeys(("child", "side_px"), _is_count),
    "flip": lambda value: isinstance(value, bool),
    "degrees": is_number,
}

# Half floats near 1 are 2^-10 apart, subnormal ones 2^-24. Two roundings of nearly equal numbers differ by one step.
_HALF_STEP_RELATIVE, _HALF_STEP_ABSOLUTE = 2.0**-10, 2.0**-24

_WITHOUT_LENS = "is not what the layers give without a lens"


def billboard_document(scene: Scene, stack: Stack, *, scene_index: int, seed: int, noise: float) -> dict[str, Any]:
    """The content of `scene.yaml`: with the files of the layers, all that is needed to trace the scene again.

    noise   display RMSE that was asked for
    """
    frame = frame_document(KIND, scene.width, scene.height, scene.overscan, stack, scene_index=scene_index, seed=seed)
    layers = [
        {
            "file": layer_file(i),
            "disparity": float(layer.disparity),
            "slope": [float(g) for g in layer.slope],
            "asset": dict(layer.asset),
        }
        for i, layer in enumerate(scene.layers)
    ]
    document = {**frame, "noise": float(noise), "layers": layers}
    if any(layer.label is not None for layer in scene.layers):
        document["labels"] = [layer.label for layer in scene.layers]
    return document


def camera_settings(scene: Scene, stack: Stack, camera: Mapping[str, float] | None = None) -> CameraSettings:
    """What `info.json` says of the camera, or of a nominal one.

    camera   focal_length_m and sensor_width_m
    """
    if camera is None:
        nominal = (NOMINAL_FOCAL_LENGTH_M, NOMINAL_SENSOR_WIDTH_M)
        return CameraSettings(scene.width, scene.height, *nominal, "normalised", stack)
    real = (camera["focal_length_m"], camera["sensor_width_m"])
    return CameraSettings(scene.width, scene.height, *real, "1/m", stack, sensor_moves=True)


def write_billboards(
    writer: SceneWriter, scene: Scene, stack: Stack, *, seed: int, noise: float, camera: Camera | None = None
) -> None:
    """Write the layers, `disparity.exr`, `depth.exr` and `scene.yaml`.

    seed     of the dataset
    noise    display RMSE asked for
    camera   of the recipe, where it has one
    """
    for i, layer in enumerate(scene.layers):
        writer.write_layer(layer_file(i), layer.rgba)
    writer.write_plane(DISPARITY_FILE, scene.composite_disparity())
    writer.write_plane(DEPTH_FILE, scene.composite_depth())
    document = billboard_document(scene, stack, scene_index=writer.scene_index, seed=seed, noise=noise)
    if camera is not None:
        document["camera"] = {key: getattr(camera, key) for key in _CAMERA_KEYS}
    writer.write_documents(document, camera_settings(scene, stack, document.get("camera")))


class BillboardFolder(SceneFolder):
    """The folder of a billboard scene."""

    kind = KIND

    @cached_property
    def origins(self) -> Origins:
        """Its seed and number, and the user's own photographs and cut-outs in it."""
        document = self.scene_document
        with self.interpreting():
            assets = [layer["asset"] for layer in document["layers"]]
            own = {picture_origin(asset["sha256"]) for asset in assets if "sha256" in asset}
            return frozenset({scene_origin(document["seed"], document["scene"]), *own})

    @property
    def labels(self) -> tuple[str | None, ...]:
        document = self.scene_document
        with self.interpreting():
            count = len(document["layers"])
        labels = document.get("labels", [None] * count)
        if not isinstance(labels, list) or not all(label is None or isinstance(label, str) for label in labels):
            raise DatasetError(
                f"{self.path / SCENE_FILE}: labels is {shown(labels)}; it must list a text for each layer"
            )
        if len(labels) != count:
            raise DatasetError(f"{self.path / SCENE_FILE}: lists {len(labels)} labels of {count} layers")
        return tuple(labels)

    def layers(self) -> Scene:
        return self.scene()

    def scene(self) -> Scene:
        document = self.scene_document
        with self.interpreting():
            layers = tuple(
                Billboard(
                    rgba=images.read_exr(self.path / layer["file"]),
                    disparity=layer["disparity"],
                    slope=tuple(layer["slope"]),
                    asset=layer["asset"],
                    label=label,
                )
                for layer, label in zip(document["layers"], self.labels, strict=True)
            )
            return Scene(layers, document["width"], document["height"], document["overscan"])

    def _camera_settings(self, scene: Scene, stack: Stack) -> CameraSettings:
        with self.interpreting():
            return camera_settings(scene, stack, self.scene_document.get("camera"))

    def checks(self, entry: IndexEntry | None) -> list[Check]:
        scene, stack = self.scene(), self.stack()
        return [
            lambda: _require_overscan(self, scene, stack),
            lambda: require_info(self, self._camera_settings(scene, stack)),
            lambda: _require_noise_asked(self),
            lambda: _require_assets(self),
            lambda: require_noise(self, bokeh_files(self, stack), entry),
            lambda: _require_all_in_focus(self, scene),
            lambda: _require_planes(self, scene),
            lambda: require_preview(self),
            lambda: require_only_the_stack(self, stack),
            *(partial(_require_bokeh, self, scene, stack, setting) for setting in stored_settings(stack)),
        ]


def _require_overscan(folder: BillboardFolder, scene: Scene, stack: Stack) -> None:
    try:
        for blur_index, focus_index, _ in stack.lenses():
            scene.require_overscan(stack.traced_lens(blur_index, focus_index, scene.width, scene.height))
    except ValueError as error:
        raise DatasetError(f"{folder.path / SCENE_FILE}: {error}") from error


def _require_noise_asked(folder: BillboardFolder) -> None:
    asked = folder.scene_document.get("noise")
    if not is_number(asked):
        raise DatasetError(f"{folder.path / SCENE_FILE}: noise is {asked!r}")


def _require_assets(folder: BillboardFolder) -> None:
    """What tells of a layer's origin can be what was written: kinds, names, checksums, numbers."""
    for number, layer in enumerate(folder.scene_document["layers"]):
        asset = layer["asset"]
        where = f"{folder.path / SCENE_FILE}: layer {number}: asset"
        if not isinstance(asset, dict):
            raise DatasetError(f"{where} is {shown(asset)}; it must be a mapping")
        if asset.get("kind") in ("photograph", "cutout") and "sha256" not in asset:
            raise DatasetError(f"{where} has no sha256")
        for key, value in asset.items():
            if key in _ASSET_VALUES and not _ASSET_VALUES[key](value):
                raise DatasetError(f"{where}: {key} is {shown(value)}")


def _require_all_in_focus(folder: BillboardFolder, scene: Scene) -> None:
    path = folder.path / image_file(folder.image_format)
    _require_equal_pictures(path, checked_picture(path, (scene.height, scene.width)), scene.composite(), _WITHOUT_LENS)


def _require_planes(folder: BillboardFolder, scene: Scene) -> None:
    shape = (scene.height, scene.width)
    path = folder.path / DISPARITY_FILE
    disparity, composite = checked_plane(path, shape), scene.composite_disparity()
    if not np.allclose(disparity, composite, rtol=FLOAT_ROUNDING, atol=0.0):
        raise DatasetError(f"{path}: is not the disparity of the nearest layer with alpha >= 0.5")
    path = folder.path / DEPTH_FILE
    depth = checked_plane(path, shape)
    require_depth(path, depth)
    if not np.allclose(depth, 1.0 / np.maximum(disparity, 1.0 / HALF_MAX), rtol=FLOAT_ROUNDING, atol=0.0):
        raise DatasetError(f"{path}: is not 1 / disparity, {HALF_MAX:.0f} at most")


def _require_bokeh(folder: BillboardFolder, scene: Scene, stack: Stack, setting: BokehSetting) -> None:
    path = folder.path / bokeh_file(setting, folder.image_format)
    linear = checked_picture(path, (scene.height, scene.width))
    is_pinhole = stack.blur_parameters[setting.blur_index] == 0.0 and stack.pixel == "point"
    # At other gammas translucent layers are mixed in other light.
    if is_pinhole and setting.gamma == REFERENCE_GAMMA:
        _require_equal_pictures(path, linear, folder.image(), _WITHOUT_LENS)
    if stack.dual_pixel and not setting.half:
        power = setting.gamma / REFERENCE_GAMMA
        views: dict[Side, Picture] = {side: folder.bokeh(*setting._replace(half=side)) ** power for side in SIDES}
        stored = stored_from_linear(mean_of_views(stack.aperture, views), setting.gamma)
        _require_equal_pictures(path, linear, stored, "is not the mean of its left and right views")


def _require_equal_pictures(path: Path, stored: Picture, wanted: Picture, otherwise: str) -> None:
    """Equal after rounding to what the file can hold, up to one step of it."""
    if path.suffix == ".png":
        error = np.abs(display_from_linear(stored) - display_from_linear(np.clip(wanted, 0.0, 1.0)))
        is_off = error > 1.0 / 65535
    else:
        is_off = np.abs(stored - wanted) > _HALF_STEP_RELATIVE * wanted + _HALF_STEP_ABSOLUTE
    if is_off.any():
        y, x = np.argwhere(is_off.any(axis=2))[0]
        raise DatasetError(f"{path}: {otherwise}, first at pixel ({x}, {y})")
