"""A pair of photographs, and what the readers of all layouts share."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import cv2
import numpy as np

from bokehdata.cases import Case
from bokehdata.exports import EXPORT_FILE
from bokehdata.format import DatasetError
from bokehdata.images import read_display
from bokehdata.plain import (
    DISPARITY_FOLDER,
    SETTINGS_FILE,
    PlainCase,
    files_of,
    read_settings,
    require_utf8,
    settings_of,
)
from scenes.arrays import Picture, Plane
from scenes.assets import SUFFIXES
from scenes.decode import DecodeError, upright_size

# What is done with a file that does not fit: its path and the reason. A reader leaves its pair out and goes on.
OnMisfit = Callable[[Path, str], None]

# Detail is compared over about this many pixels.
_DETAIL_PX = 8.0
# The share of the pixels with most detail in the input, and of those the share that keeps most of it.
_DETAILED, _SHARPEST = 0.5, 0.1


class Layout(NamedTuple):
    """One way to lay out pairs.

    is_here   whether a folder is laid out so
    cases     its pairs, in order
    """

    name: str
    is_here: Callable[[Path], bool]
    cases: Callable[[Path, OnMisfit], list[Case]]


@dataclass(frozen=True, kw_only=True)
class PhotoPair(PlainCase):
    """Two photographs of one scene by a camera at two apertures: the input is the one at the smaller opening.

    f_numbers    of the input and of the truth, None where unknown
    view_files   further pictures by name
    metadata     what the set itself says of the pair: plain values
    """

    f_numbers: tuple[float | None, float | None] = (None, None)
    view_files: Mapping[str, Path] = field(default_factory=dict, hash=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def views(self) -> Mapping[str, Picture]:
        return {name: read_display(path) for name, path in self.view_files.items()}

    def focused(self) -> Self:
        """With the focus disparity, where it is not known but there is a disparity to find it in."""
        disparity = None if self.focus_disparity is not None else self.disparity()
        if disparity is None:
            return self
        image, truth = self.image(), self.truth()
        if image.shape != truth.shape or disparity.shape != truth.shape[:2]:
            raise DatasetError(f"{self.disparity_file}: is {disparity.shape}, the pictures are {truth.shape[:2]}")
        return replace(self, focus_disparity=sharpest_disparity(image, truth, disparity))


def sharpest_disparity(image: Picture, truth: Picture, disparity: Plane) -> float:
    """The disparity that the truth is focused on: the median of where it keeps most of the detail of the input.

    Detail is the magnitude of the gradient, averaged over some pixels; where the input has little it does not count.
    """
    before, after = (_detail(picture) for picture in (image, truth))
    detailed = before >= np.quantile(before, 1.0 - _DETAILED)
    kept = np.where(detailed, after / np.maximum(before, np.float32(1e-6)), 0.0)
    return float(np.median(disparity[kept >= np.quantile(kept[detailed], 1.0 - _SHARPEST)]))


def _detail(picture: Picture) -> Plane:
    grey = picture.mean(axis=2)
    gradient = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return np.asarray(cv2.GaussianBlur(gradient, (0, 0), _DETAIL_PX), np.float32)


def pictures(folder: Path) -> dict[str, Path]:
    """The picture files of a folder by stem, in the order of their numbers, then of their names; {} for no folder."""
    if not folder.is_dir():
        return {}
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    files = {path.stem: path for path in in_order(found)}
    for path in files.values():
        require_utf8(path)
    return files


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Files in the order of the numbers that they are named by, then of their names."""
    return sorted(paths, key=lambda path: place_of(path.stem))


def place_of(stem: str) -> tuple[bool, int, str]:
    """What names are sorted by: numbers first, by their value."""
    is_number = stem.isascii() and stem.isdigit()
    return not is_number, int(stem) if is_number else 0, stem


def parts(root: Path, is_part: Callable[[Path], bool]) -> list[tuple[str, Path]]:
    """(prefix of the names of its pairs, folder) of every part of a set: "train/", or "" for a folder that is one."""
    if is_part(root):
        return [("", root)]
    return [(f"{folder.name}/", folder) for folder in sorted(root.iterdir()) if folder.is_dir() and is_part(folder)]


def number_of(stem: str) -> int | None:
    """The number that a stem is, as EBB! numbers its pairs; None for another name and for one that begins with 0."""
    return int(stem) if stem.isascii() and stem.isdigit() and stem == str(int(stem)) else None


def pairs_of(
    part: Path,
    prefix: str,
    folders: tuple[str, str],
    on_misfit: OnMisfit,
    *,
    views: Iterable[str] = (),
    ending: str = "",
    f_numbers: tuple[float, float],
) -> list[Case]:
    """The pairs of a part whose files have one stem in a folder of inputs and one of truths; others are misfits.

    prefix     of their names
    folders    of the inputs and of the truths, in the part
    views      further folders; a file of the same stem there is a view of that name
    ending     of the names, where several pairs have one input
    f_numbers  of the inputs and of the truths

    `disparity/` and `settings.json`, where there are some, are those of a plain folder (`bokehdata.plain`).
    """
    images, truths = (pictures(part / name) for name in folders)
    shown = {name: pictures(part / name) for name in views}
    # Numbers of an export are not those of a public set.
    known, is_ours = _Known(part), (part / EXPORT_FILE).is_file()
    cases: list[Case] = []
    for stem, image in images.items():
        if stem not in truths:
            on_misfit(image, f"has no truth of the same name in {folders[1]}/")
        elif fits(image, truths[stem], on_misfit):
            pair = PhotoPair(
                name=f"{prefix}{stem}{ending}",
                scene=f"{prefix}{stem}",
                number=None if is_ours else number_of(stem),
                image_file=image,
                truth_file=truths[stem],
                f_numbers=f_numbers,
                view_files={name: files[stem] for name, files in shown.items() if stem in files},
                **known.of(stem),
            )
            cases.append(pair)
    for stem, truth in truths.items():
        if stem not in images:
            on_misfit(truth, f"has no input of the same name in {folders[0]}/")
    return cases


class _Known:
    """What `disparity/` and `settings.json` of a part tell of its pairs, where there are some."""

    def __init__(self, part: Path):
        self._path = part / SETTINGS_FILE
        self._settings = read_settings(self._path) if self._path.is_file() else {}
        folder = part / DISPARITY_FOLDER
        self._disparities = files_of(folder) if folder.is_dir() else {}

    def of(self, stem: str) -> dict[str, Any]:
        """Fields of the pair; DatasetError for settings that are wrong."""
        disparity_file = self._disparities.get(stem)
        known: dict[str, Any] = {"disparity_file": disparity_file}
        if stem in self._settings:
            known |= settings_of(self._path, stem, self._settings[stem], disparity_file)._asdict()
        return known


def fits(image: Path, truth: Path, on_misfit: OnMisfit) -> bool:
    """Whether two picture files have one size, by their headers; where not, the second is a misfit."""
    sizes = []
    for path in (image, truth):
        try:
            sizes.append(upright_size(path))
        except DecodeError as error:
            on_misfit(path, str(error) if path.exists() else "no such file")
            return False
    if sizes[0] != sizes[1]:
        (width, height), (truth_width, truth_height) = sizes
        on_misfit(truth, f"is {truth_width} x {truth_height} px, its input {image.name} is {width} x {height} px")
        return False
    return True


def refuse(path: Path, reason: str) -> None:
    """The strict way with misfits: DatasetError for the first."""
    raise DatasetError(f"{path}: {reason}; repair or remove it")
