"""What renderers are measured on, as one stream of cases: our datasets, BLB folders, and plain folders of pictures.

A plain folder holds `image/`, `disparity/` and `truth/` with files of the same stem, and `settings.json`:

    {"street": {"blur_parameter": 24.0, "focus_disparity": 0.4, "gamma": 2.2},
     "garden": {"focus_box": [x0, y0, x1, y1]}}

image, truth      integer files hold display values, floating-point files (EXR, HDR, TIFF) linear light at gamma 2.2
disparity         .exr or .npy as it is, integer files divided by their largest value; larger is nearer
blur_parameter    K, pixels per unit of that disparity; may be left out where the protocol searches for it
focus_disparity   d_f in that unit, or focus_box: the median disparity in x0 <= x < x1, y0 <= y < y1, pixels
gamma             linear = display ** gamma, 2.2 where left out
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bokehdata.format import DEPTH_FILE, DISPARITY_FILE, INFO_FILE, SCENE_FILE, BokehSetting, DatasetError, bokeh_file
from bokehdata.format import image_file as stack_image_file
from bokehdata.images import read_exr_plane
from bokehdata.reader import Dataset, SceneFolder
from scenes.aperture import Aperture, Disk
from scenes.color import REFERENCE_GAMMA, display_from_linear
from scenes.decode import DecodeError, decode, opaque
from scenes.layered import LayeredScene
from scenes.lens import ThinLens

PLAIN_FOLDERS = ("image", "disparity", "truth")
SETTINGS_FILE = "settings.json"

Image = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One picture to render and its truth. Small and picklable: each method reads its files anew.

    name              unique in the data: "000012/bokeh_00_03", or the stem of a plain picture
    scene             what is in front of the lens; cases of one scene share image, disparity and layers
    blur_parameter    K of the truth, pixels per unit of disparity; None where nobody knows it
    focus_disparity   d_f, in the unit of the disparity
    gamma             of the display values
    level             blur level from 1 on, None where the data has none
    focus_index       None where the data has none
    noise_rmse        display RMSE of the truth against the converged picture, None where unknown

    The methods raise DatasetError, which names the file, for what cannot be read.
    """

    name: str
    scene: str
    blur_parameter: float | None
    focus_disparity: float
    gamma: float = REFERENCE_GAMMA
    aperture: Aperture = field(default_factory=Disk)
    level: int | None = None
    focus_index: int | None = None
    noise_rmse: float | None = None

    def lens(self, blur_parameter: float) -> ThinLens:
        """The lens of the case at another blur parameter."""
        return ThinLens(blur_parameter, self.focus_disparity, self.aperture)

    def image(self) -> Image:
        """All-in-focus display values at `gamma`: (H, W, 3) float32, not clipped."""
        raise NotImplementedError

    def disparity(self) -> Image:
        """(H, W) float32."""
        raise NotImplementedError

    def layers(self) -> LayeredScene | None:
        """True layers, None where the data has none."""
        raise NotImplementedError

    def truth(self) -> Image:
        """The refocused picture in display values: (H, W, 3) float32, not clipped."""
        raise NotImplementedError

    def files(self) -> list[Path]:
        """What the picture, its disparity, its layers and its truth are read from."""
        raise NotImplementedError

    def digest(self) -> str:
        """sha256 of the files and of the lens: equal digests give equal measurements."""
        lens = (self.blur_parameter, self.focus_disparity, self.gamma, self.aperture.describe())
        digest = hashlib.sha256(repr(lens).encode())
        for path in self.files():
            digest.update(_file_digest(path))
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class StackCase(Case):
    """A picture of a bokeh stack on disk, ours or BLB's."""

    folder: SceneFolder
    setting: BokehSetting

    def image(self) -> Image:
        # Files of every gamma decode with the reference gamma; what differs is what the renderer makes linear.
        return display_from_linear(self.folder.image())

    def disparity(self) -> Image:
        return self.folder.disparity()

    def layers(self) -> LayeredScene | None:
        return self.folder.layers()

    def truth(self) -> Image:
        return display_from_linear(self.folder.bokeh(*self.setting))

    def files(self) -> list[Path]:
        image_format = self.folder.image_format
        described = (SCENE_FILE, DISPARITY_FILE) if self.folder.has_document else (INFO_FILE, DEPTH_FILE)
        names = (stack_image_file(image_format), bokeh_file(self.setting, image_format), *described)
        return [self.folder.path / name for name in names] + self.folder.layer_files()


@dataclass(frozen=True, kw_only=True)
class PlainCase(Case):
    """A picture, its disparity and its truth as three files."""

    image_file: Path
    disparity_file: Path
    truth_file: Path

    def image(self) -> Image:
        return read_display(self.image_file)

    def disparity(self) -> Image:
        return read_disparity(self.disparity_file)

    def layers(self) -> LayeredScene | None:
        return None

    def truth(self) -> Image:
        return read_display(self.truth_file)

    def files(self) -> list[Path]:
        return [self.image_file, self.disparity_file, self.truth_file]


def open_cases(root: Path) -> list[Case]:
    """Every case of a folder in a fixed order; DatasetError for what is not one of the three kinds, or is empty."""
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    is_plain = all((root / name).is_dir() for name in PLAIN_FOLDERS)
    cases = _plain_cases(root) if is_plain else _stack_cases(root)
    if not cases:
        raise DatasetError(f"{root}: holds no picture to measure on")
    return cases


def _stack_cases(root: Path) -> list[Case]:
    cases: list[Case] = []
    for folder in Dataset(root):
        stack, noise = folder.stack(), folder.info.get("noise_rmse", {})
        for setting in folder.bokeh_settings():
            name = bokeh_file(setting, folder.image_format)
            if setting.blur_index >= len(stack.blur_parameters) or setting.focus_index >= len(stack.focus_disparities):
                raise DatasetError(f"{folder.path / name}: its indices are not in {INFO_FILE}")
            cases.append(
                StackCase(
                    name=f"{folder.name}/{Path(name).stem}",
                    scene=folder.name,
                    blur_parameter=stack.blur_parameters[setting.blur_index],
                    focus_disparity=stack.focus_disparities[setting.focus_index],
                    gamma=setting.gamma,
                    aperture=stack.aperture,
                    level=setting.blur_index + 1,
                    focus_index=setting.focus_index,
                    noise_rmse=noise.get(name),
                    folder=folder,
                    setting=setting,
                )
            )
    return cases


def _plain_cases(root: Path) -> list[Case]:
    settings = _settings(root / SETTINGS_FILE)
    by_stem = [{path.stem: path for path in (root / name).iterdir() if path.is_file()} for name in PLAIN_FOLDERS]
    cases: list[Case] = []
    for stem in sorted(set.intersection(*map(set, by_stem))):
        if stem not in settings:
            raise DatasetError(f"{root / SETTINGS_FILE}: has no entry {stem!r} with a focus_disparity or focus_box")
        image_file, disparity_file, truth_file = (files[stem] for files in by_stem)
        lens = _lens_of(root / SETTINGS_FILE, stem, settings[stem], disparity_file)
        cases.append(
            PlainCase(
                name=stem,
                scene=stem,
                blur_parameter=lens.blur_parameter,
                focus_disparity=lens.focus_disparity,
                gamma=lens.gamma,
                image_file=image_file,
                disparity_file=disparity_file,
                truth_file=truth_file,
            )
        )
    return cases


def _settings(path: Path) -> dict[str, dict]:
    try:
        settings = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}; it gives each picture its lens") from error
    except ValueError as error:
        raise DatasetError(f"{path}: is not JSON ({error})") from error
    if not isinstance(settings, dict) or not all(isinstance(entry, dict) for entry in settings.values()):
        raise DatasetError(f"{path}: must map the stem of each picture to its settings")
    return settings


class _Lens(NamedTuple):
    blur_parameter: float | None
    focus_disparity: float
    gamma: float


def _lens_of(path: Path, stem: str, entry: Mapping[str, Any], disparity_file: Path) -> _Lens:
    """What `settings.json` says of one picture."""
    if unknown := sorted(set(entry) - {"blur_parameter", "focus_disparity", "focus_box", "gamma"}):
        raise DatasetError(f"{path}: {stem!r} has the unknown key {unknown[0]!r}")
    try:
        blur_parameter = None if entry.get("blur_parameter") is None else float(entry["blur_parameter"])
        gamma = float(entry.get("gamma", REFERENCE_GAMMA))
        if "focus_disparity" in entry:
            focus_disparity = float(entry["focus_disparity"])
        else:
            x0, y0, x1, y1 = (int(edge) for edge in entry["focus_box"])
            inside = read_disparity(disparity_file)[y0:y1, x0:x1]
            if not inside.size:
                raise DatasetError(f"{path}: the focus_box of {stem!r} holds no pixel")
            focus_disparity = float(np.median(inside))
        if not gamma > 0.0:
            raise ValueError(f"gamma is {gamma}; it must be above 0")
        ThinLens(blur_parameter or 0.0, focus_disparity)
    except KeyError as error:
        raise DatasetError(f"{path}: {stem!r} needs a focus_disparity or a focus_box") from error
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{path}: {stem!r}: {error}") from error
    return _Lens(blur_parameter, focus_disparity, gamma)


def read_display(path: Path) -> Image:
    """A picture file as display values: (H, W, 3) float32; floating-point files hold linear light at gamma 2.2."""
    picture = _decoded(path)[..., :3]
    if picture.dtype == np.float32:
        return display_from_linear(np.maximum(picture, 0.0))
    return picture.astype(np.float32) / np.float32(opaque(picture))


def read_disparity(path: Path) -> Image:
    """A disparity file: (H, W) float32, EXR and NPY as they are, integers divided by the largest of their type."""
    if path.suffix == ".npy":
        try:
            disparity = np.asarray(np.load(path, allow_pickle=False), np.float32)
        except (OSError, ValueError) as error:
            raise DatasetError(f"{path}: not a whole NPY file of numbers ({error})") from error
        if disparity.ndim != 2:
            raise DatasetError(f"{path}: is {disparity.shape}; a disparity is (H, W)")
        return disparity
    if path.suffix == ".exr":
        return read_exr_plane(path)
    levels = _decoded(path)
    return levels[..., 0].astype(np.float32) / np.float32(opaque(levels))


def _decoded(path: Path) -> NDArray:
    try:
        return decode(path)[0]
    except DecodeError as error:
        raise DatasetError(f"{path}: {error}") from error


def _file_digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from error
