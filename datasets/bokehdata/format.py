"""The layout of a dataset on disk: file names, `info.json`, and what every `scene.yaml` has.

`datasets/README.md` describes the same for people. Code written for BLB (BokehMe's benchmark set) reads our scenes:
they have its file names and the keys and units of its `info.json` (metres, pixels per unit of disparity). Signed
defocus is blur_parameters[KK] * (1 / depth - 1 / focus_distances[FF]).
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from runtime.documents import is_number, shown
from runtime.files import is_unfinished_name
from scenes.aperture import aperture_from
from scenes.arrays import Plane
from scenes.color import HALF_MAX, REFERENCE_GAMMA
from scenes.dual_pixel import SIDES, Side
from scenes.lens import distance_from_disparity, f_number_from_blur_parameter
from scenes.mounted_lens import MountedLens
from scenes.stack import TRACED_PIXELS, Pixel, Stack

SCHEMA_VERSION = 1

DATASET_FILE = "dataset.yaml"
INDEX_FILE = "index.jsonl"
INFO_FILE = "info.json"
SCENE_FILE = "scene.yaml"
DEPTH_FILE = "depth.exr"
DISPARITY_FILE = "disparity.exr"
PREVIEW_FILE = "preview.jpg"

ImageFormat = Literal["exr", "png"]

_BOKEH_NAME = re.compile(r"bokeh_(\d{2,})_(\d{2,})(?:_g(\d+(?:\.\d+)?))?(?:_(left|right))?\.(?:exr|png)")
_SCENE_FOLDER_NAME = re.compile(r"\d{6,}")
# What file browsers leave in every folder that they show.
_BROWSER_NAME = re.compile(r"\.DS_Store|\._.*|Thumbs\.db|desktop\.ini|\.directory")


class DatasetError(Exception):
    """A dataset that cannot be read or written as asked. The message names the path, what is wrong, and the fix."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError into a DatasetError that names the file at `path`: the error of a full disk names none."""
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written ({error.strerror}); fix that and run again") from error


@contextmanager
def reading(where: object) -> Iterator[None]:
    """Turns an OSError into a DatasetError that names the file or object; `where` does where the error names none."""
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{error.filename or where}: {error.strerror or error}") from error


class BokehSetting(NamedTuple):
    """One picture of a bokeh stack: indices into blur_parameters and focus_distances, and its gamma.

    half   of the aperture, for a view of a dual pixel; "" for the whole
    """

    blur_index: int
    focus_index: int
    gamma: float
    half: Side | Literal[""] = ""


def scene_folder_name(scene_index: int) -> str:
    return f"{scene_index:06d}"


def is_leftover_name(name: str) -> bool:
    """Whether a killed run may have left an unfinished scene or file of this name in the folder of a dataset."""
    scene = name.removeprefix(".").partition(".")[0]
    if is_scene_folder_name(scene) and is_unfinished_name(name, of=scene):
        return True
    return any(is_unfinished_name(name, of=file) for file in (DATASET_FILE, INDEX_FILE))


def is_browser_name(name: str) -> bool:
    """Whether a file of this name was left by a file browser, and is no part of a dataset."""
    return _BROWSER_NAME.fullmatch(name) is not None


def is_scene_folder_name(name: str) -> bool:
    return _SCENE_FOLDER_NAME.fullmatch(name) is not None


def image_file(image_format: ImageFormat) -> str:
    return f"image.{image_format}"


def layer_file(layer_index: int) -> str:
    """Path of a layer relative to the scene folder, 0 the nearest."""
    return f"layers/{layer_index:02d}.exr"


def layer_disparity_file(layer_index: int) -> str:
    """Path of a layer's disparities relative to the scene folder, 0 the nearest."""
    return layer_file(layer_index).replace(".exr", "_disparity.exr")


def bokeh_file(setting: BokehSetting, image_format: ImageFormat) -> str:
    """`bokeh_KK_FF.exr` at the reference gamma, `bokeh_KK_FF_gG.exr` at others; G in its shortest exact digits.

    Views of dual pixels have `_left` or `_right` before the suffix.
    """
    name = f"bokeh_{setting.blur_index:02d}_{setting.focus_index:02d}"
    if setting.gamma != REFERENCE_GAMMA:
        name += f"_g{np.format_float_positional(setting.gamma, trim='-')}"
    return f"{name}_{setting.half}.{image_format}" if setting.half else f"{name}.{image_format}"


def bokeh_setting(name: str) -> BokehSetting | None:
    """The setting of a bokeh picture's file name, None for any other file."""
    match = _BOKEH_NAME.fullmatch(name)
    if match is None:
        return None
    blur, focus, gamma, half = match.groups()
    side: Any = half or ""
    return BokehSetting(int(blur), int(focus), float(gamma) if gamma else REFERENCE_GAMMA, side)


def bokeh_settings(stack: Stack) -> Iterator[BokehSetting]:
    """Every picture of a stack, blur outermost, gamma innermost."""
    for blur_index in range(len(stack.blur_parameters)):
        for focus_index in range(len(stack.focus_disparities)):
            for gamma in stack.gammas:
                yield BokehSetting(blur_index, focus_index, gamma)


def stored_settings(stack: Stack) -> Iterator[BokehSetting]:
    """Every picture of a stack, each followed by its views of dual pixels, where there are any."""
    for setting in bokeh_settings(stack):
        yield setting
        if stack.dual_pixel:
            for side in SIDES:
                yield setting._replace(half=side)


def stored_from_linear(linear, gamma: float):
    """Linear light at `gamma` as files hold it: display ** 2.2 with display = linear ** (1 / gamma); any shape.

    The power 2.2 is the same for every file, so that `** (1 / 2.2)` shows each of them. Linear light at gamma 5 is not
    stored as it is, since half floats of it would be coarser than the promised noise.
    """
    return linear if gamma == REFERENCE_GAMMA else linear ** (REFERENCE_GAMMA / gamma)


def disparity_of(depth: Plane) -> Plane:
    """1 / depth: (H, W) float32; 0 where the depth is 65504 or more."""
    return np.divide(1.0, depth, out=np.zeros_like(depth), where=depth < HALF_MAX)


class CameraSettings(NamedTuple):
    """What `info.json` says of the camera, and the stack of its lens settings."""

    width: int
    height: int
    focal_length_m: float
    sensor_width_m: float
    disparity_unit: Literal["normalised", "1/m"]
    stack: Stack
    # The sensor is where the first focus is sharp; else at the focal length, whatever the focus.
    sensor_moves: bool = False


def info_document(
    settings: CameraSettings, noise_rmse: Mapping[str, float], samples: Mapping[str, int]
) -> dict[str, Any]:
    """The content of `info.json`: BLB's keys in BLB's order and units, then ours.

    noise_rmse   display RMSE against the converged picture, per file name
    samples      lens samples per pixel, per file name
    """
    width, height, focal_length_m, sensor_width_m, disparity_unit, stack, sensor_moves = settings
    sensor_focus = stack.focus_disparities[0] if sensor_moves else 0.0

    def f_number(blur_parameter: float) -> float | None:
        # JSON has no infinity: a pinhole (K = 0) has no f-number.
        if blur_parameter == 0.0:
            return None
        f_number = f_number_from_blur_parameter(focal_length_m, blur_parameter, sensor_width_m, width, sensor_focus)
        # A real lens has the f-number that its recipe says, which rounding would hide.
        return round(f_number, 12) if sensor_moves else f_number

    return {
        "resolution_x": width,
        "resolution_y": height,
        "focal_length": focal_length_m,
        "sensor_width": sensor_width_m,
        "focus_distances": [distance_from_disparity(float(d)) for d in stack.focus_disparities],
        "f_stops": [f_number(float(k)) for k in stack.blur_parameters],
        "blur_parameters": [float(k) for k in stack.blur_parameters],
        "disparity_unit": disparity_unit,
        "gammas": [float(g) for g in stack.gammas],
        "noise_rmse": {name: float(noise_rmse[name]) for name in sorted(noise_rmse)},
        "samples": {name: int(samples[name]) for name in sorted(samples)},
    }


def frame_document(
    kind: str, width: int, height: int, overscan: int, stack: Stack, *, scene_index: int, seed: int
) -> dict[str, Any]:
    """The part of `scene.yaml` that every kind of scene has: its kind, its number, its frame and its stack."""
    document = {
        "schema": SCHEMA_VERSION,
        "kind": kind,
        "seed": seed,
        "scene": scene_index,
        "width": width,
        "height": height,
        "overscan": overscan,
        "reference_gamma": REFERENCE_GAMMA,
        "pixel": stack.pixel,
        "aperture": stack.aperture.describe(),
        "blur_parameters": [float(k) for k in stack.blur_parameters],
        "focus_disparities": [float(d) for d in stack.focus_disparities],
        "gammas": [float(g) for g in stack.gammas],
    }
    if stack.mounts:
        document["lenses"] = [mount.describe() for mount in stack.mounts]
        document["inv_m_per_unit"] = stack.inv_m_per_unit
    if stack.input_blur_index is not None:
        document["input_blur_index"] = stack.input_blur_index
    if stack.dual_pixel:
        document["dual_pixel"] = True
    return document


def stack_from_scene_document(document: Mapping[str, Any]) -> Stack:
    """The stack of a `scene.yaml`; ValueError names the key whose value does not make one."""
    aperture: Any = document.get("aperture")
    pixel: Any = document.get("pixel")
    if not isinstance(aperture, dict):
        raise ValueError(f"aperture is {shown(aperture)}; it must be a mapping with a shape")
    pixels = TRACED_PIXELS if document.get("kind") == "billboards" else get_args(Pixel)
    if pixel not in pixels:
        raise ValueError(f"pixel is {shown(pixel)}; it must be one of {', '.join(pixels)}")
    blur_parameters, input_index = listed_numbers(document, "blur_parameters"), document.get("input_blur_index")
    if input_index is not None and input_index not in range(len(blur_parameters)):
        raise ValueError(f"input_blur_index is {shown(input_index)}; it must be that of one of the blur_parameters")
    dual_pixel = document.get("dual_pixel", False)
    if not isinstance(dual_pixel, bool):
        raise ValueError(f"dual_pixel is {shown(dual_pixel)}; it must be true or false")
    mounts, unit = document.get("lenses", []), document.get("inv_m_per_unit", 1.0)
    if not isinstance(mounts, list) or (mounts and len(mounts) != len(blur_parameters)):
        raise ValueError(f"lenses is {shown(mounts)}; it must list one for each of the blur_parameters")
    if not is_number(unit) or not unit > 0:
        raise ValueError(f"inv_m_per_unit is {shown(unit)}; it must be above 0")
    return Stack(
        blur_parameters=blur_parameters,
        mounts=tuple(map(MountedLens.from_description, mounts)),
        inv_m_per_unit=unit,
        input_blur_index=input_index,
        dual_pixel=dual_pixel,
        focus_disparities=listed_numbers(document, "focus_disparities"),
        gammas=listed_numbers(document, "gammas", above_zero=True),
        aperture=aperture_from(aperture),
        pixel=pixel,
    )


def listed_numbers(document: Mapping[str, Any], key: str, *, above_zero: bool = False) -> tuple[float, ...]:
    """The numbers that a document lists under a key; ValueError where it lists none, or one below (or at) 0."""
    values = document.get(key)
    if not (isinstance(values, list) and values and all(is_number(v) and v >= 0 for v in values)) or (
        above_zero and 0 in values
    ):
        raise ValueError(f"{key} is {shown(values)}; it must list numbers {'above' if above_zero else 'of at least'} 0")
    return tuple(values)
