"""Any data as pairs in the layout of EBB!, so that code written for EBB! trains on it.

OUT/Training/original/0.jpg     the input, numbered from 0
OUT/Training/bokeh/0.jpg        its truth
OUT/Training/disparity/0.exr    where it is known; with settings.json, the lens of every pair
OUT/Training/export.yaml        how they were made
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from bokehdata.cases import Case
from bokehdata.exports import settle
from bokehdata.format import SCHEMA_VERSION, DatasetError, writing
from bokehdata.images import write_exr_plane
from bokehdata.plain import DISPARITY_FOLDER, SETTINGS_FILE
from runtime.files import replacing, write_whole
from scenes.arrays import Picture
from scenes.color import byte_levels

IMAGE_FOLDER, TRUTH_FOLDER = "original", "bokeh"

# JPEG of EBB!'s kind, but without its loss of colour resolution.
_JPEG = (
    *(cv2.IMWRITE_JPEG_QUALITY, 98),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
)


@dataclass(frozen=True)
class Flaws:
    """What is wrong with pairs that were photographed one after the other. 0 is a perfect pair.

    misalignment_px   largest distance that the truth is shifted, and that its corners are turned; both pictures then
                      lose a border of that width twice
    colour_drift      largest relative change of each channel of the truth
    """

    misalignment_px: float = 0.0
    colour_drift: float = 0.0

    @property
    def border_px(self) -> int:
        """What both pictures lose on every side."""
        return math.ceil(2.0 * self.misalignment_px)

    def of(self, truth: Picture, *, rng: np.random.Generator) -> Picture:
        """A truth with flaws, at its full size: (H, W, 3) display values."""
        height, width = truth.shape[:2]
        gain = 1.0 + self.colour_drift * rng.uniform(-1.0, 1.0, 3)
        shift = self.misalignment_px * math.sqrt(rng.uniform()) * np.array(_direction(rng.uniform()))
        turn = self.misalignment_px * rng.uniform(-1.0, 1.0) / (math.hypot(width, height) / 2.0)
        if self.misalignment_px:
            matrix = cv2.getRotationMatrix2D(((width - 1) / 2.0, (height - 1) / 2.0), math.degrees(turn), 1.0)
            matrix[:, 2] += shift
            truth = np.asarray(
                cv2.warpAffine(truth, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE),
                np.float32,
            )
        return truth * gain.astype(np.float32)


def export_pairs(
    cases: Sequence[Case],
    out: Path,
    *,
    part: str = "Training",
    suffix: Literal["jpg", "png"] = "jpg",
    flaws: Flaws | None = None,
    seed: int = 0,
    on_pair: Callable[[], None] = lambda: None,
) -> int:
    """Write the pairs that are not there yet; returns their number.

    part     folder of the pairs in `out`
    seed     of the flaws; those of a pair depend on it and on the number of the pair
    on_pair  called after each case
    raises   DatasetError for a folder with pairs made otherwise, and for what cannot be read or written
    """
    flaws, folder = flaws or Flaws(), out / part
    header = {
        "schema": SCHEMA_VERSION,
        "first": cases[0].digest(),
        "suffix": suffix,
        "flaws": asdict(flaws),
        "seed": seed,
    }
    with writing(folder):
        for name in (IMAGE_FOLDER, TRUTH_FOLDER, DISPARITY_FOLDER):
            (folder / name).mkdir(parents=True, exist_ok=True)
    settle(folder, header, held=folder / TRUTH_FOLDER, what="pairs")
    made, settings = 0, {}
    for number, case in enumerate(cases):
        files = [folder / name / f"{number}.{suffix}" for name in (IMAGE_FOLDER, TRUTH_FOLDER)]
        if case.blur_parameter is not None and case.focus_disparity is not None:
            settings[str(number)] = {
                "blur_parameter": case.blur_parameter,
                "focus_disparity": case.focus_disparity,
                "gamma": case.gamma,
            }
        # The truth is written last.
        if not files[1].is_file():
            _write_pair(
                case, files, folder / DISPARITY_FOLDER / f"{number}.exr", flaws, np.random.default_rng([seed, number])
            )
            made += 1
        on_pair()
    with writing(folder / SETTINGS_FILE):
        write_whole(folder / SETTINGS_FILE, json.dumps(settings, indent=1) + "\n")
    return made


def _write_pair(
    case: Case, files: Sequence[Path], disparity_file: Path, flaws: Flaws, rng: np.random.Generator
) -> None:
    image, truth, disparity = case.image(), case.truth(), case.disparity()
    if image.shape != truth.shape:
        raise DatasetError(f"{case.name}: its image is {image.shape}, its truth is {truth.shape}")
    border = flaws.border_px
    if min(image.shape[:2]) <= 2 * border:
        raise DatasetError(f"{case.name}: is {image.shape}, which a misalignment leaves nothing of")
    if disparity is not None:
        with writing(disparity_file), replacing(disparity_file) as aside:
            write_exr_plane(aside, _inside(disparity, border))
    for path, picture in zip(files, (image, flaws.of(truth, rng=rng)), strict=True):
        with writing(path):
            write_whole(path, _encoded(_inside(picture, border), path.suffix))


def _inside(picture: NDArray, border: int) -> NDArray:
    height, width = picture.shape[:2]
    return np.ascontiguousarray(picture[border : height - border, border : width - border])


def _encoded(display: Picture, suffix: str) -> bytes:
    return cv2.imencode(suffix, byte_levels(display)[..., ::-1], _JPEG if suffix == ".jpg" else ())[1].tobytes()


def _direction(turns: float) -> tuple[float, float]:
    return math.cos(2.0 * math.pi * turns), math.sin(2.0 * math.pi * turns)
