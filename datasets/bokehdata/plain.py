"""Plain folders of pictures: what anybody can lay out by hand.

A plain folder holds `image/` and `truth/` with files of the same stem, and where it is known `disparity/` and
`settings.json`:

    {"street": {"blur_parameter": 24.0, "focus_disparity": 0.4, "gamma": 2.2},
     "garden": {"focus_box": [x0, y0, x1, y1]}}

image, truth      integer files hold display values, floating-point files (EXR, HDR, TIFF) linear light at gamma 2.2
disparity         .exr or .npy as it is, integer files divided by their largest value; larger is nearer
blur_parameter    K, pixels per unit of that disparity; may be left out where it is searched for
focus_disparity   d_f in that unit, or focus_box: the median disparity in x0 <= x < x1, y0 <= y < y1, pixels
gamma             linear = display ** gamma, 2.2 where left out

Without `disparity/` the folder is one of pairs, and needs no settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bokehdata.cases import Case, Plate, Stored, stored_file
from bokehdata.documents import read_json
from bokehdata.format import DatasetError
from bokehdata.images import read_disparity, read_display
from bokehdata.origins import Origins, origin_of_file
from runtime.files import is_utf8
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA
from scenes.lens import ThinLens

_PICTURES = ("image", "truth")
DISPARITY_FOLDER = "disparity"
SETTINGS_FILE = "settings.json"


@dataclass(frozen=True, kw_only=True)
class PictureFile(Case):
    """A picture as a file, with a disparity or without."""

    image_file: Path
    disparity_file: Path | None = None

    @property
    def origins(self) -> Origins:
        return self._origins

    @cached_property
    def _origins(self) -> Origins:
        return frozenset({origin_of_file(self.image_file)})

    def image(self) -> Picture:
        return read_display(self.image_file)

    def disparity(self) -> Plane | None:
        return None if self.disparity_file is None else read_disparity(self.disparity_file)

    def files(self) -> list[Path]:
        return [path for path in (self.image_file, self.disparity_file) if path is not None]


@dataclass(frozen=True, kw_only=True)
class PlainCase(PictureFile):
    """The same with its truth."""

    truth_file: Path

    def truth(self) -> Picture:
        return read_display(self.truth_file)

    def stored(self, plate: Plate) -> Stored | None:
        path = {"image": self.image_file, "truth": self.truth_file, "disparity": self.disparity_file}[plate]
        return None if path is None else stored_file(path)

    def files(self) -> list[Path]:
        return [*super().files(), self.truth_file]


def is_plain(root: Path) -> bool:
    """Whether a folder has this layout."""
    return all((root / name).is_dir() for name in _PICTURES)


def plain_cases(root: Path) -> list[Case]:
    """The cases of a plain folder, sorted by stem; DatasetError for settings that are missing or wrong."""
    images, truths = (files_of(root / name) for name in _PICTURES)
    disparities = files_of(root / DISPARITY_FOLDER) if (root / DISPARITY_FOLDER).is_dir() else None
    if disparities is None and not (root / SETTINGS_FILE).is_file():
        settings = {}
    else:
        settings = read_settings(root / SETTINGS_FILE)
    cases: list[Case] = []
    for stem in sorted(images.keys() & truths.keys() & (images if disparities is None else disparities).keys()):
        disparity_file = None if disparities is None else disparities[stem]
        if disparity_file is not None and stem not in settings:
            raise DatasetError(f"{root / SETTINGS_FILE}: has no entry {stem!r} with a focus_disparity or focus_box")
        given = settings_of(root / SETTINGS_FILE, stem, settings.get(stem, {}), disparity_file)
        cases.append(
            PlainCase(
                name=stem,
                scene=stem,
                blur_parameter=given.blur_parameter,
                focus_disparity=given.focus_disparity,
                gamma=given.gamma,
                image_file=images[stem],
                truth_file=truths[stem],
                disparity_file=disparity_file,
            )
        )
    return cases


def files_of(folder: Path) -> dict[str, Path]:
    """The files of a folder by stem."""
    files = {path.stem: path for path in folder.iterdir() if path.is_file()}
    for path in files.values():
        require_utf8(path)
    return files


def require_utf8(path: Path) -> None:
    """DatasetError for a name that results cannot hold."""
    if not is_utf8(path.name):
        raise DatasetError(f"{path}: has a name that is not UTF-8; rename it")


def read_settings(path: Path) -> dict[str, dict]:
    """What a `settings.json` says of each stem; DatasetError where it cannot be read."""
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; it gives each picture its lens")
    settings = read_json(path)
    if not all(isinstance(entry, dict) for entry in settings.values()):
        raise DatasetError(f"{path}: must map the stem of each picture to its settings")
    return settings


class Given(NamedTuple):
    """The fields of a case that settings give."""

    blur_parameter: float | None
    focus_disparity: float | None
    gamma: float


def settings_of(path: Path, stem: str, entry: Mapping[str, Any], disparity_file: Path | None) -> Given:
    """What `settings.json` says of one picture."""
    if unknown := sorted(set(entry) - {"blur_parameter", "focus_disparity", "focus_box", "gamma"}):
        raise DatasetError(f"{path}: {stem!r} has the unknown key {unknown[0]!r}")
    try:
        blur_parameter = None if entry.get("blur_parameter") is None else float(entry["blur_parameter"])
        gamma = float(entry.get("gamma", REFERENCE_GAMMA))
        focus_disparity = None
        if "focus_disparity" in entry:
            focus_disparity = float(entry["focus_disparity"])
        elif disparity_file is not None:
            x0, y0, x1, y1 = (int(edge) for edge in entry["focus_box"])
            inside = read_disparity(disparity_file)[y0:y1, x0:x1]
            if not inside.size:
                raise DatasetError(f"{path}: the focus_box of {stem!r} holds no pixel")
            focus_disparity = float(np.median(inside))
        if not gamma > 0.0:
            raise ValueError(f"gamma is {gamma}; it must be above 0")
        ThinLens(blur_parameter or 0.0, focus_disparity or 0.0)
    except KeyError as error:
        raise DatasetError(f"{path}: {stem!r} needs a focus_disparity or a focus_box") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise DatasetError(f"{path}: {stem!r}: {error}") from error
    return Given(blur_parameter, focus_disparity, gamma)
