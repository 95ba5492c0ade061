"""Proof that a dataset is whole: every checksum, shape, range and invariant, and one picture traced again.

Content is looked at only where the bytes are what the index says, so that one damaged file gives one problem.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bokehdata import images
from bokehdata.format import (
    DEPTH_FILE,
    DISPARITY_FILE,
    INDEX_FILE,
    INFO_FILE,
    PREVIEW_FILE,
    SCENE_FILE,
    BokehSetting,
    DatasetError,
    Information,
    billboard_information,
    bokeh_file,
    bokeh_settings,
    image_file,
    info_document,
    is_browser_name,
    is_leftover_name,
    is_number,
    is_scene_folder_name,
)
from bokehdata.index import IndexEntry, read_index, wrong_files
from bokehdata.kinds.camera import camera_information, disparity_of
from bokehdata.reader import Dataset, SceneFolder
from scenes.billboard import Scene, SceneError
from scenes.color import HALF_MAX, REFERENCE_GAMMA, display_from_linear, display_rmse
from scenes.stack import Stack

# (scene, stack, setting, noise asked for as display RMSE) -> (H, W, 3) linear light at the gamma of the setting.
Retrace = Callable[[Scene, Stack, BokehSetting, float], NDArray]

# Largest display error of rounding to half floats, that of the darkest: (2^-25) ** (1 / 2.2).
_HALF_ROUNDING_DISPLAY = 4e-4

# Half floats near 1 are 2^-10 apart, subnormal ones 2^-24. Two roundings of nearly equal numbers differ by one step.
_HALF_STEP_RELATIVE, _HALF_STEP_ABSOLUTE = 2.0**-10, 2.0**-24

# Few roundings of float32.
_FLOAT_ROUNDING = 4e-7


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file or folder; `path` is relative to the dataset."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


@dataclass(frozen=True)
class Report:
    """What `verify` found.

    problems    empty for a dataset that is whole
    notes       what is no defect and good to know
    unchecked   what could not be checked, and why
    scenes      number of scenes looked at
    retraced    the picture traced again, relative to the dataset; None if there was none
    """

    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    unchecked: tuple[str, ...]
    scenes: int
    retraced: str | None


def verify(root: Path | str, *, retrace: Retrace | None = None, on_scene: Callable[[], None] = lambda: None) -> Report:
    """Check every scene of a dataset, ours or BLB's; DatasetError where there is none.

    retrace    traces a picture anew. It is given the noisiest picture among the scenes without problems; the display
               RMSE between the two must stay below twice the root of the sum of the squares of their noise (each
               estimate is within a factor of 2 of the true error, and the errors are independent), or the rounding of
               half floats.
    on_scene   called after each scene
    """
    dataset = Dataset(root)
    problems: list[Problem] = []
    entries: Mapping[str, IndexEntry] = {}
    if dataset.is_indexed:
        entries, torn_lines = read_index(dataset.root)
        problems += [Problem(INDEX_FILE, f"line {n} is not an entry: {what}") for n, what in torn_lines.items()]
        problems += _stray_folders(dataset.root, entries)

    whole: list[SceneFolder] = []
    for folder in dataset:
        found = _scene_problems(folder, entries.get(folder.name))
        problems += found
        if not found:
            whole.append(folder)
        on_scene()

    unchecked = [] if dataset.is_indexed else ["checksums: there is no index"]
    candidates = [folder for folder in whole if folder.has_billboards]
    if len(candidates) < len(whole):
        unchecked.append("overscan, the all-in-focus picture and the disparity: scenes without layers")
    retraced = None
    if retrace is None or not candidates:
        unchecked.append(f"tracing again: {'no tracer' if retrace is None else 'no scene that can be traced'}")
    else:
        retraced, problem = _retrace_noisiest(candidates, retrace)
        problems += problem
    return Report(tuple(problems), _noise_notes(candidates), tuple(unchecked), len(dataset), retraced)


def _stray_folders(root: Path, entries: Mapping[str, IndexEntry]) -> list[Problem]:
    problems = []
    for name in sorted(path.name for path in root.iterdir()):
        if is_leftover_name(name):
            problems.append(Problem(name, "left over from a run that was killed; run it again to clean up"))
        elif is_scene_folder_name(name) and name not in entries:
            problems.append(Problem(name, "is not in the index; run the generator again to finish it"))
    return problems


def _scene_problems(folder: SceneFolder, entry: IndexEntry | None) -> list[Problem]:
    if entry is not None:
        damaged = _damaged_files(folder.path, entry)
        if damaged:
            return [Problem(f"{folder.name}/{name}".rstrip("/"), what) for name, what in damaged.items()]
    try:
        if folder.has_document and not folder.has_billboards:
            checks = _space_scene_checks(folder, entry)
        elif entry is not None or folder.has_billboards:
            checks = _traced_scene_checks(folder, entry)
        else:
            checks = _blb_scene_checks(folder)
    except DatasetError as error:
        return [_problem(folder, error)]
    problems = []
    for check in checks:
        try:
            check()
        except DatasetError as error:
            problems.append(_problem(folder, error))
    return problems


def _problem(folder: SceneFolder, error: DatasetError) -> Problem:
    """The problem of an error "path: what is wrong"."""
    path, _, what = f"{folder.name}{str(error).removeprefix(str(folder.path))}".partition(": ")
    return Problem(path, what)


def _damaged_files(path: Path, entry: IndexEntry) -> dict[str, str]:
    if not path.is_dir():
        return {"": "is in the index and missing"}
    damaged = wrong_files(path.parent, [entry]).get(entry.folder, {})
    present = {
        file.relative_to(path).as_posix()
        for file in path.rglob("*")
        if file.is_file() and not is_browser_name(file.name)
    }
    return damaged | {name: "is not in the index" for name in sorted(present - entry.files.keys())}


def _traced_scene_checks(folder: SceneFolder, entry: IndexEntry | None) -> list[Callable[[], object]]:
    scene, stack = folder.scene(), folder.stack()
    pictures = [bokeh_file(setting, folder.image_format) for setting in bokeh_settings(stack)]
    checks: list[Callable[[], object]] = [
        lambda: _require_overscan(folder.path / SCENE_FILE, scene, stack),
        lambda: _require_info(folder, billboard_information(scene, stack)),
        lambda: _require_noise_asked(folder),
        lambda: _require_noise(folder, pictures, entry),
        lambda: _require_all_in_focus(folder, scene),
        lambda: _require_planes(folder, scene),
        lambda: _require_preview(folder.path / PREVIEW_FILE),
        lambda: _require_only_the_stack(folder, stack),
    ]
    checks += [partial(_require_bokeh, folder, scene, stack, setting) for setting in bokeh_settings(stack)]
    return checks


def _space_scene_checks(folder: SceneFolder, entry: IndexEntry | None) -> list[Callable[[], object]]:
    stack, document = folder.stack(), folder.scene_document
    try:
        shape, overscan = (int(document["height"]), int(document["width"])), int(document["overscan"])
        focal_length_m = _positive(document["camera"], "focal_length_m")
        sensor_width_m = _positive(document["camera"], "sensor_width_m")
        information = camera_information(shape[1], shape[0], focal_length_m, sensor_width_m, stack)
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{folder.path / SCENE_FILE}: does not describe a scene ({error!r})") from error
    pictures = [image_file(folder.image_format)]
    pictures += [bokeh_file(setting, folder.image_format) for setting in bokeh_settings(stack)]
    checks: list[Callable[[], object]] = [
        lambda: _require_info(folder, information),
        lambda: _require_noise(folder, pictures, entry),
        lambda: _require_space_planes(folder, shape),
        lambda: _require_focus_inside(folder, stack),
        lambda: _require_depth_layers(folder, shape, overscan),
        lambda: _require_preview(folder.path / PREVIEW_FILE),
        lambda: _require_only_the_stack(folder, stack),
    ]
    checks += [partial(_colour, folder.path / name, shape, strict=True) for name in pictures]
    return checks


def _positive(document: Mapping[str, Any], key: str) -> float:
    value = document[key]
    if not (is_number(value) and value > 0):
        raise ValueError(f"{key} is {value!r}")
    return value


def _blb_scene_checks(folder: SceneFolder) -> list[Callable[[], object]]:
    stack, info = folder.stack(), folder.info
    for key in ("resolution_x", "resolution_y"):
        if key not in info:
            raise DatasetError(f"{folder.path / INFO_FILE}: {key} is missing")
    f_stops = info.get("f_stops")
    if not isinstance(f_stops, list) or len(f_stops) != len(stack.blur_parameters):
        raise DatasetError(f"{folder.path / INFO_FILE}: f_stops is {f_stops!r}, not one number per blur parameter")
    shape = (info["resolution_y"], info["resolution_x"])
    depth = folder.path / DEPTH_FILE
    pictures = [image_file(folder.image_format)]
    pictures += [bokeh_file(setting, folder.image_format) for setting in bokeh_settings(stack)]
    checks: list[Callable[[], object]] = [lambda: _require_positive(depth, _plane(depth, shape))]
    checks += [partial(_colour, folder.path / name, shape) for name in pictures]
    return checks


# Each of these raises DatasetError, "path: what is wrong with it".


def _require_overscan(path: Path, scene: Scene, stack: Stack) -> None:
    try:
        for _, _, lens in stack.lenses():
            scene.require_overscan(lens)
    except SceneError as error:
        raise DatasetError(f"{path}: {error}") from error


def _require_info(folder: SceneFolder, information: Information) -> None:
    path, info = folder.path / INFO_FILE, folder.info
    for key, value in info_document(information, {}, {}).items():
        if key not in ("noise_rmse", "samples") and info.get(key) != value:
            raise DatasetError(f"{path}: {key} is {info.get(key)!r}, by {SCENE_FILE} it must be {value!r}")


def _require_noise_asked(folder: SceneFolder) -> None:
    asked = folder.scene_document.get("noise")
    if not is_number(asked):
        raise DatasetError(f"{folder.path / SCENE_FILE}: noise is {asked!r}")


def _require_noise(folder: SceneFolder, pictures: list[str], entry: IndexEntry | None) -> None:
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
        raise DatasetError(f"{folder.path}: image count or largest noise in the index differ from info.json")


def _require_all_in_focus(folder: SceneFolder, scene: Scene) -> None:
    path = folder.path / image_file(folder.image_format)
    _require_equal_pictures(path, _colour(path, (scene.height, scene.width), strict=True), _composite(scene))


def _require_planes(folder: SceneFolder, scene: Scene) -> None:
    shape = (scene.height, scene.width)
    path = folder.path / DISPARITY_FILE
    disparity, composite = _plane(path, shape, strict=True), scene.composite_disparity()
    if not np.allclose(disparity, composite, rtol=_FLOAT_ROUNDING, atol=0.0):
        raise DatasetError(f"{path}: is not the disparity of the nearest layer with alpha >= 0.5")
    path = folder.path / DEPTH_FILE
    depth = _plane(path, shape, strict=True)
    _require_positive(path, depth)
    if not np.allclose(depth, 1.0 / np.maximum(disparity, 1.0 / HALF_MAX), rtol=_FLOAT_ROUNDING, atol=0.0):
        raise DatasetError(f"{path}: is not 1 / disparity, {HALF_MAX:.0f} at most")


def _require_space_planes(folder: SceneFolder, shape: tuple[int, int]) -> None:
    depth = _plane(folder.path / DEPTH_FILE, shape, strict=True)
    _require_positive(folder.path / DEPTH_FILE, depth)
    path = folder.path / DISPARITY_FILE
    if not np.array_equal(_plane(path, shape, strict=True), disparity_of(depth)):
        raise DatasetError(f"{path}: is not 1 / depth, 0 at {HALF_MAX:.0f}")


def _require_focus_inside(folder: SceneFolder, stack: Stack) -> None:
    disparity = folder.disparity()
    low, high = float(disparity.min()), float(disparity.max())
    for d in stack.focus_disparities:
        if not low * (1.0 - _FLOAT_ROUNDING) <= d <= high * (1.0 + _FLOAT_ROUNDING):
            raise DatasetError(
                f"{folder.path / SCENE_FILE}: focus disparity {d} is outside the scene's {low} to {high}"
            )


def _require_depth_layers(folder: SceneFolder, shape: tuple[int, int], overscan: int) -> None:
    extended = (shape[0] + 2 * overscan, shape[1] + 2 * overscan)
    far_m = 0.0
    for layer, names in zip(folder.depth_layers(), folder.scene_document["layers"], strict=True):
        path = folder.path / names["file"]
        _require_stored(path, layer.rgba, (*extended, 4), np.float16, strict=True)
        if layer.rgba[..., 3].max() > 1.0:
            raise DatasetError(f"{path}: has alpha above 1")
        _plane(folder.path / names["disparity_file"], extended, strict=True)
        if not far_m <= layer.near_m < layer.far_m:
            raise DatasetError(f"{path}: its distances {layer.near_m} to {layer.far_m} do not follow {far_m}")
        far_m = layer.far_m


def _require_preview(path: Path) -> None:
    if cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_REDUCED_COLOR_8) is None:
        raise DatasetError(f"{path}: is not a picture")


def _require_bokeh(folder: SceneFolder, scene: Scene, stack: Stack, setting: BokehSetting) -> None:
    path = folder.path / bokeh_file(setting, folder.image_format)
    linear = _colour(path, (scene.height, scene.width), strict=True)
    is_pinhole = stack.blur_parameters[setting.blur_index] == 0.0 and stack.pixel == "point"
    # At other gammas the layers are mixed in other light where they are translucent.
    if is_pinhole and setting.gamma == REFERENCE_GAMMA:
        _require_equal_pictures(path, linear, folder.image())


def _require_only_the_stack(folder: SceneFolder, stack: Stack) -> None:
    if strangers := set(folder.bokeh_settings()) - set(bokeh_settings(stack)):
        name = bokeh_file(min(strangers), folder.image_format)
        raise DatasetError(f"{folder.path / name}: is not in the stack of scene.yaml")


def _colour(path: Path, shape: tuple[int, int], *, strict: bool = False) -> NDArray[np.float32]:
    """(H, W, 3) linear light of a picture, its shape and range checked; `strict` for files of our own."""
    stored = images.read_png_levels(path) if path.suffix == ".png" else images.read_exr(path)
    _require_stored(path, stored, (*shape, 3), np.uint16 if path.suffix == ".png" else np.float16, strict=strict)
    return images.read_linear(path)


def _plane(path: Path, shape: tuple[int, int], *, strict: bool = False) -> NDArray[np.float32]:
    stored = images.read_exr(path)
    _require_stored(path, stored, (*shape, 3), np.float32, strict=strict)
    return stored[..., 0].astype(np.float32)


def _require_stored(path: Path, stored: NDArray, shape: tuple[int, ...], dtype, *, strict: bool) -> None:
    if stored.shape[:2] != shape[:2] or (strict and (stored.shape != shape or stored.dtype != dtype)):
        raise DatasetError(f"{path}: is {stored.shape} {stored.dtype}, not {shape} {np.dtype(dtype)}")
    if not np.isfinite(stored).all() or stored.min() < 0:
        raise DatasetError(f"{path}: holds values that are negative or not finite")


def _require_positive(path: Path, depth: NDArray[np.float32]) -> None:
    if depth.min() <= 0.0 or depth.max() > HALF_MAX:
        raise DatasetError(f"{path}: depth spans {depth.min()} to {depth.max()}, not (0, {HALF_MAX:.0f}]")


def _require_equal_pictures(path: Path, stored: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
    """Equal after rounding to what the file can hold, up to one step of it."""
    if path.suffix == ".png":
        error = np.abs(display_from_linear(stored) - display_from_linear(np.clip(wanted, 0.0, 1.0)))
        is_off = error > 1.0 / 65535
    else:
        is_off = np.abs(stored - wanted) > _HALF_STEP_RELATIVE * wanted + _HALF_STEP_ABSOLUTE
    if is_off.any():
        y, x = np.argwhere(is_off.any(axis=2))[0]
        raise DatasetError(f"{path}: is not what the layers give without a lens, first at pixel ({x}, {y})")


def _composite(scene: Scene) -> NDArray[np.float32]:
    """(H, W, 3) of the layers, far to near, each over the ones behind it."""
    linear = np.zeros((scene.height, scene.width, 3), np.float32)
    for i in reversed(range(len(scene.layers))):
        rgba = scene.frame_rgba(i).astype(np.float32)
        linear = linear * (1.0 - rgba[..., 3:]) + rgba[..., :3] * rgba[..., 3:]
    return linear


def _noise_notes(folders: list[SceneFolder]) -> tuple[str, ...]:
    above = Counter(
        folder.scene_document["noise"]
        for folder in folders
        for noise in folder.info["noise_rmse"].values()
        if noise > folder.scene_document["noise"]
    )
    return tuple(
        f"{count} {'picture has' if count == 1 else 'pictures have'} more noise than the {asked:g} asked for "
        "(the tracer's largest set of lens points)"
        for asked, count in above.items()
    )


def _retrace_noisiest(folders: list[SceneFolder], retrace: Retrace) -> tuple[str, list[Problem]]:
    folder, setting, noise = max(
        (
            (folder, setting, folder.info["noise_rmse"][bokeh_file(setting, folder.image_format)])
            for folder in folders
            for setting in bokeh_settings(folder.stack())
        ),
        key=lambda candidate: candidate[2],
    )
    asked = folder.scene_document["noise"]
    traced = retrace(folder.scene(), folder.stack(), setting, asked)
    rmse = display_rmse(
        folder.bokeh(*setting), display_from_linear(traced, setting.gamma) ** REFERENCE_GAMMA, REFERENCE_GAMMA
    )
    # Where the tracer ended at its largest set, it does so again.
    allowed = max(2.0 * math.hypot(noise, max(noise, asked)), _HALF_ROUNDING_DISPLAY)
    path = f"{folder.name}/{bokeh_file(setting, folder.image_format)}"
    if rmse > allowed:
        return path, [Problem(path, f"traced again it differs by {rmse:.5f} display RMSE, more than {allowed:.5f}")]
    return path, []
