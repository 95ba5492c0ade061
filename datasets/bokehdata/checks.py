"""Checks that several kinds of scenes share. Each raises DatasetError, "path: what is wrong with it"."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bokehdata import images
from bokehdata.folder import SceneFolder
from bokehdata.format import (
    INFO_FILE,
    PREVIEW_FILE,
    SCENE_FILE,
    CameraSettings,
    DatasetError,
    bokeh_file,
    info_document,
    stored_settings,
)
from bokehdata.index import IndexEntry
from runtime.documents import is_number
from runtime.silence import quiet_libraries
from scenes.arrays import Picture, Plane
from scenes.color import HALF_MAX
from scenes.decode import DecodeError, header_of
from scenes.stack import Stack

# A few roundings of float32, relative.
FLOAT_ROUNDING = 4e-7


def bokeh_files(folder: SceneFolder, stack: Stack) -> list[str]:
    """Names of the refocused pictures that a stack asks for."""
    return [bokeh_file(setting, folder.image_format) for setting in stored_settings(stack)]


def require_info(folder: SceneFolder, settings: CameraSettings) -> None:
    """`info.json` agrees with `scene.yaml`."""
    for key, value in info_document(settings, {}, {}).items():
        if key not in ("noise_rmse", "samples") and folder.info.get(key) != value:
            raise DatasetError(
                f"{folder.path / INFO_FILE}: {key} is {folder.info.get(key)!r}, by {SCENE_FILE} it must be {value!r}"
            )


def require_noise(folder: SceneFolder, pictures: list[str], entry: IndexEntry | None) -> None:
    """`info.json` has noise and samples of every picture; the index has their count and the largest noise."""
    path = folder.path / INFO_FILE
    noise_rmse, samples = (folder.info.get(key) for key in ("noise_rmse", "samples"))
    if not (isinstance(noise_rmse, dict) and isinstance(samples, dict)):
        raise DatasetError(f"{path}: noise_rmse or samples is not a mapping of file names")
    for name in (*pictures, *noise_rmse):
        noise, count = noise_rmse.get(name), samples.get(name)
        if not (is_number(noise) and noise >= 0.0):
            raise DatasetError(f"{path}: noise_rmse of {name} is {noise!r}")
        if not (isinstance(count, int) and count >= 1):
            raise DatasetError(f"{path}: samples of {name} are {count!r}")
    if entry is not None and (entry.images, entry.noise_rmse_max) != (len(noise_rmse), max(noise_rmse.values())):
        raise DatasetError(f"{folder.path}: image count or largest noise in the index differ from {INFO_FILE}")


def require_preview(folder: SceneFolder) -> None:
    """The contact sheet can be decoded."""
    path = folder.path / PREVIEW_FILE
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    try:
        header_of(path, side_min_px=1)
        with quiet_libraries:
            picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_REDUCED_COLOR_8)
    except (DecodeError, cv2.error):
        picture = None
    if picture is None:
        raise DatasetError(f"{path}: is not a picture")


def require_only_the_stack(folder: SceneFolder, stack: Stack) -> None:
    """There is no refocused picture beside those of the stack."""
    if strangers := set(folder.stored_settings()) - set(stored_settings(stack)):
        name = bokeh_file(min(strangers), folder.image_format)
        raise DatasetError(f"{folder.path / name}: is not in the stack of {SCENE_FILE}")


def require_depth(path: Path, depth: Plane) -> None:
    """Depths lie in (0, 65504]."""
    if depth.min() <= 0.0 or depth.max() > HALF_MAX:
        raise DatasetError(f"{path}: depth spans {depth.min()} to {depth.max()}, not (0, {HALF_MAX:.0f}]")


def checked_picture(path: Path, shape: tuple[int, int], *, strict: bool = True) -> Picture:
    """(H, W, 3) float32 linear light of a picture of this (H, W), finite and not negative.

    strict   also the channels and the type are those that our writer stores; not so in BLB
    """
    stored = images.read_png_levels(path) if path.suffix == ".png" else images.read_exr(path)
    require_stored(path, stored, (*shape, 3), np.uint16 if path.suffix == ".png" else np.float16, strict=strict)
    return images.read_linear(path)


def checked_plane(path: Path, shape: tuple[int, int], *, strict: bool = True) -> Plane:
    """The same of a plane: (H, W) float32."""
    stored = images.read_exr(path)
    require_stored(path, stored, (*shape, 3), np.float32, strict=strict)
    return stored[..., 0].astype(np.float32)


def require_stored(path: Path, stored: NDArray, shape: tuple[int, ...], dtype, *, strict: bool = True) -> None:
    """Pixels as they are in a file have this shape and type, and are finite and not negative."""
    if stored.shape[:2] != shape[:2] or (strict and (stored.shape != shape or stored.dtype != dtype)):
        raise DatasetError(f"{path}: is {stored.shape} {stored.dtype}, not {shape} {np.dtype(dtype)}")
    if not np.isfinite(stored).all() or stored.min() < 0:
        raise DatasetError(f"{path}: holds values that are negative or not finite")
