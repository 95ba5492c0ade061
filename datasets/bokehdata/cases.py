"""A picture, its truth, and what is known beside them: one type to measure on and to train on."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from bokehdata.folder import SceneFolder
from bokehdata.format import DISPARITY_FILE, INFO_FILE, BokehSetting, DatasetError, bokeh_file, image_file
from bokehdata.origins import Origins
from runtime.documents import is_number, shown
from runtime.files import opened, sha256_of
from scenes.aperture import Aperture, Disk
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA, display_from_linear
from scenes.dual_pixel import SIDES
from scenes.layered import LayeredScene
from scenes.lens import ThinLens
from scenes.thick_lens import Paraxial

# What a case reads its pixels from.
Plate = Literal["image", "truth", "disparity"]


class Stored(NamedTuple):
    """A file as it is: its suffix in small letters, ".exr", and its bytes."""

    suffix: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Case:
    """One picture to render and its truth. Small and picklable: each method reads its files anew.

    name              unique in the data: "000012/bokeh_00_03", or the stem of a plain picture
    scene             what is in front of the lens; cases of one scene share image, disparity and layers
    blur_parameter    K of the truth, pixels per unit of disparity; None where nobody knows it
    focus_disparity   d_f, in the unit of the disparity; None where nobody knows it
    gamma             of the display values
    level             blur level from 1 on, None where the data has none
    focus_index       None where the data has none
    number            in the numbering of a public set that protocols name pictures by, None in other data
    noise_rmse        display RMSE of the truth against the converged picture, None where unknown
    label             what it is a picture of: the label of the nearest layer that has one; None where nobody says

    The methods raise DatasetError, which names the file, for what cannot be read.
    """

    name: str
    scene: str
    blur_parameter: float | None = None
    focus_disparity: float | None = None
    gamma: float = REFERENCE_GAMMA
    aperture: Aperture = field(default_factory=Disk)
    level: int | None = None
    focus_index: int | None = None
    number: int | None = None
    noise_rmse: float | None = None
    label: str | None = None

    def lens(self, blur_parameter: float | None = None) -> ThinLens:
        """The lens of the truth, or the same at another blur parameter; DatasetError where it is not known."""
        blur_parameter = self.blur_parameter if blur_parameter is None else blur_parameter
        if blur_parameter is None or self.focus_disparity is None:
            raise DatasetError(f"{self.name}: its blur parameter or its focus disparity is not known")
        return ThinLens(blur_parameter, self.focus_disparity, self.aperture)

    def focused(self) -> "Case":
        """With its focus disparity found where that can be and is not known; else the case itself."""
        return self

    @property
    def origins(self) -> Origins:
        """What the picture shows, by content. Pictures that share one are never both trained and validated on."""
        raise NotImplementedError

    def image(self) -> Picture:
        """All-in-focus display values at `gamma`: (H, W, 3) float32, not clipped."""
        raise NotImplementedError

    def truth(self) -> Picture:
        """The refocused picture in display values: (H, W, 3) float32, not clipped."""
        raise NotImplementedError

    def disparity(self) -> Plane | None:
        """(H, W) float32, None where the data has none."""
        return None

    def layers(self) -> LayeredScene | None:
        """True layers, None where the data has none."""
        return None

    def views(self) -> Mapping[str, Picture]:
        """Further pictures of the same scene by name, such as the two of a dual-pixel sensor: display values."""
        return {}

    def files(self) -> list[Path]:
        """What the picture, its disparity, its layers and its truth are read from."""
        raise NotImplementedError

    def stored(self, plate: Plate) -> Stored | None:
        """The file that one of them is read from, None where there is no such file."""
        return None

    def digest(self) -> str:
        """sha256 of the files and of the lens: equal digests give equal measurements."""
        lens = (self.blur_parameter, self.focus_disparity, self.gamma, self.aperture.describe())
        digest = hashlib.sha256(repr(lens).encode())
        for of_file in self._file_digests():
            digest.update(of_file)
        return digest.hexdigest()

    def _file_digests(self) -> Iterator[bytes]:
        for path in self.files():
            try:
                yield bytes.fromhex(sha256_of(path))
            except OSError as error:
                raise DatasetError(f"{path}: {error.strerror}") from error


@dataclass(frozen=True, kw_only=True)
class StackCase(Case):
    """A picture of a bokeh stack on disk, ours or BLB's.

    input_setting   of the picture that stands in for the all-in-focus one, None for that one
    """

    folder: SceneFolder
    setting: BokehSetting
    input_setting: BokehSetting | None = None

    @property
    def origins(self) -> Origins:
        return self.folder.origins

    def lens(self, blur_parameter: float | None = None) -> ThinLens:
        """That of any case; at the blur parameter of the truth it tells its real lens to those who trace rays."""
        lens = super().lens(blur_parameter)
        # A search for the best blur parameter comes by it too.
        if lens.blur_parameter == self.blur_parameter and (real := self.folder.real_lens(self.setting)) is not None:
            return Paraxial(lens.blur_parameter, lens.focus_disparity, lens.aperture, real)
        return lens

    def image(self) -> Picture:
        # Files of every gamma decode with the reference gamma; what differs is what the renderer makes linear.
        if self.input_setting is not None:
            return display_from_linear(self.folder.bokeh(*self.input_setting))
        return display_from_linear(self.folder.image())

    def views(self) -> Mapping[str, Picture]:
        """Those of dual pixels: of the picture that is given in place of the all-in-focus one, else of the truth."""
        if not self.folder.stack().dual_pixel:
            return {}
        seen = self.input_setting or self.setting
        return {side: display_from_linear(self.folder.bokeh(*seen._replace(half=side))) for side in SIDES}

    def truth(self) -> Picture:
        return display_from_linear(self.folder.bokeh(*self.setting))

    def disparity(self) -> Plane | None:
        return self.folder.disparity() if self.folder.has_disparity else None

    def stored(self, plate: Plate) -> Stored | None:
        image = image_file(self.folder.image_format)
        if self.input_setting is not None:
            image = bokeh_file(self.input_setting, self.folder.image_format)
        truth = bokeh_file(self.setting, self.folder.image_format)
        path = self.folder.path / {"image": image, "truth": truth, "disparity": DISPARITY_FILE}[plate]
        # BLB has no file of disparities.
        return None if plate == "disparity" and not path.is_file() else stored_file(path)

    def layers(self) -> LayeredScene | None:
        return self.folder.layers()

    def files(self) -> list[Path]:
        files = self.folder.picture_files(self.setting)
        if self.input_setting is not None:
            files.append(self.folder.path / bokeh_file(self.input_setting, self.folder.image_format))
        return files


@dataclass(frozen=True, kw_only=True, eq=False)
class MemoryCase(Case):
    """A picture that is in memory: traced just now, or a window of another one.

    planes        image, truth (display values) and disparity
    true_layers   None where they are not known
    """

    planes: tuple[Picture, Picture, Plane]
    true_layers: LayeredScene | None = None

    def image(self) -> Picture:
        return self.planes[0]

    def truth(self) -> Picture:
        return self.planes[1]

    def disparity(self) -> Plane:
        return self.planes[2]

    def layers(self) -> LayeredScene | None:
        return self.true_layers

    def files(self) -> list[Path]:
        return []


def stack_cases(folders: Iterable[SceneFolder]) -> list[Case]:
    """Every picture of the stacks of some scenes, in their order; DatasetError for one that is not in its stack."""
    cases: list[Case] = []
    for folder in folders:
        stack = folder.stack()
        label = next((label for label in folder.labels if label is not None), None)
        for setting in folder.bokeh_settings():
            name = bokeh_file(setting, folder.image_format)
            if setting.blur_index >= len(stack.blur_parameters) or setting.focus_index >= len(stack.focus_disparities):
                raise DatasetError(f"{folder.path / name}: its indices are not in {INFO_FILE}")
            if setting.blur_index == stack.input_blur_index:
                continue
            is_paired = stack.input_blur_index is not None
            cases.append(
                StackCase(
                    name=f"{folder.name}/{Path(name).stem}",
                    scene=folder.name,
                    blur_parameter=_known(stack.blur_parameters[setting.blur_index]),
                    focus_disparity=_known(stack.focus_disparities[setting.focus_index]),
                    gamma=setting.gamma,
                    aperture=stack.aperture,
                    level=setting.blur_index + 1,
                    focus_index=setting.focus_index,
                    number=folder.number,
                    noise_rmse=noise_of(folder, name),
                    label=label,
                    folder=folder,
                    setting=setting,
                    input_setting=setting._replace(blur_index=stack.input_blur_index) if is_paired else None,
                )
            )
    return cases


def _known(value: float) -> float | None:
    """A number of a stack; not a number (NaN) is what nobody knows."""
    return None if math.isnan(value) else value


def noise_of(folder: SceneFolder, name: str) -> float | None:
    """What `info.json` says of a picture's noise; BLB's says nothing."""
    told = folder.info.get("noise_rmse", {})
    noise = told.get(name) if isinstance(told, dict) else told
    if noise is not None and not is_number(noise):
        raise DatasetError(f"{folder.path / INFO_FILE}: noise_rmse of {name} is {shown(noise)}")
    return noise


def stored_file(path: Path) -> Stored:
    """A file as it is; DatasetError where it cannot be read."""
    try:
        with opened(path) as file:
            return Stored(path.suffix.lower(), file.read())
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error


def known_disparity(case: Case) -> Plane:
    """The disparity of a case; DatasetError where it has none."""
    disparity = case.disparity()
    if disparity is None:
        raise DatasetError(f"{case.name}: has no disparity")
    return disparity
