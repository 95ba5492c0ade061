"""Training samples from cases, for torch: random crops of pictures, with everything drawn from one number.

    cases = open_cases(Path("datasets/default"))
    dataset = PictureCrops(cases, CropSettings(crop_px=96, margin_px=14), seed=0)
    sample = dataset[7]     # {"image": (3, 96, 96), "truth": (3, 96, 96), "defocus_px": (1, 96, 96), ...}

Sample n depends on (seed, n) alone: not on workers, order or a restart. n counts on beyond the length of the dataset;
each stretch of that length is an epoch, in which every picture comes once.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from bokehdata.cases import Case, known_disparity
from bokehdata.corruptions import Corruption, random_corruption
from bokehdata.format import DatasetError
from scenes.arrays import Picture, Plane
from scenes.lens import ThinLens

# Tensors by name of a plane; "name" is a text and "gamma" a scalar.
Sample = dict[str, Tensor | str]


@dataclass(frozen=True)
class CropSettings:
    """How a sample is drawn from a picture.

    crop_px        side of the square crop; None for the whole picture
    margin_px      pixels kept around the crop, as far as the picture goes, while `planes` are computed: a little more
                   than the largest blur radius, so that what blurs into the crop is there
    augmentation   probability that the disparity given is corrupted (`bokehdata.corruptions.random_corruption`)
    turned         whether the crop is flipped and turned by multiples of 90 degrees at random
    """

    crop_px: int | None
    margin_px: int = 0
    augmentation: float = 0.75
    turned: bool = True


@dataclass(frozen=True, eq=False)
class Refocusing:
    """The disparity of a crop's window and the lens of its truth.

    disparity         (h, w) float32 as it truly is
    disparity_given   as a renderer gets it
    whole_range       smallest and largest true disparity of the whole picture
    """

    disparity: Plane
    disparity_given: Plane
    lens: ThinLens
    whole_range: tuple[float, float]

    @cached_property
    def defocus_px(self) -> Plane:
        """Signed defocus of the disparity given, pixels: (h, w) float32."""
        return np.asarray(self.lens.defocus_px(self.disparity_given), np.float32)

    @cached_property
    def whole_range_px(self) -> NDArray[np.float32]:
        """Smallest and largest signed defocus of the whole picture, of its true disparity: (2,) float32."""
        return np.asarray(self.lens.defocus_px(np.array(self.whole_range, np.float32)), np.float32)


@dataclass(frozen=True, eq=False)
class Crop:
    """A window of a picture with its margin. The truth and the disparity are read when they are asked for.

    image        (h, w, 3) display values at the gamma of the case, not clipped
    window       rows and columns in the picture
    inner        rows and columns of the crop in the window
    corruption   of the disparity given; None for none
    size         height and width of the picture, pixels
    peak         largest display value of the whole picture
    rng          for what planes draw at random beside
    """

    case: Case
    image: Picture
    window: tuple[slice, slice]
    inner: tuple[slice, slice]
    corruption: Corruption | None
    size: tuple[int, int]
    peak: float
    rng: np.random.Generator

    @cached_property
    def truth(self) -> Picture:
        """(h, w, 3) display values, not clipped; DatasetError for a truth of another size."""
        return self._windowed(self.case.truth())

    @cached_property
    def disparity_given(self) -> Plane:
        """(h, w) float32 as a renderer gets it; DatasetError for a picture whose disparity is not known."""
        true = self._windowed(self._disparity)
        return true if self.corruption is None else self.corruption.apply(true)

    @cached_property
    def refocusing(self) -> Refocusing:
        """What is known of the refocusing; DatasetError for a picture whose disparity or lens is not known."""
        lens, whole = self.case.lens(), self._disparity
        whole_range = (float(whole.min()), float(whole.max()))
        return Refocusing(self._windowed(whole), self.disparity_given, lens, whole_range)

    @cached_property
    def _disparity(self) -> Plane:
        return known_disparity(self.case)

    def _windowed(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        if plane.shape[:2] != self.size:
            raise DatasetError(f"{self.case.name}: its image, its truth and its disparity must have one size")
        return np.ascontiguousarray(plane[self.window])


# What a sample holds, by name: (h, w) or (h, w, C) arrays of the window; () or (n,) numbers of the whole picture.
Planes = Callable[[Crop], Mapping[str, NDArray[np.float32]]]


def picture_planes(crop: Crop) -> dict[str, Picture]:
    """image and truth, in display values: all that pairs of photographs have."""
    return {"image": crop.image, "truth": crop.truth}


def plain_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """image, truth (display values) and defocus_px, the signed defocus of the disparity given."""
    return {**picture_planes(crop), "defocus_px": crop.refocusing.defocus_px}


def sample_of(case: Case, settings: CropSettings, planes: Planes, *, rng: np.random.Generator) -> Sample:
    """A random crop as tensors: (C, h, w) float32 for every plane, numbers as they are, "gamma" (scalar), "name".

    DatasetError where the picture is smaller than the crop, or lacks what the planes are made of.
    """
    crop = _cut(case, settings, rng)
    turns, mirrored = (int(rng.integers(4)), bool(rng.integers(2))) if settings.turned else (0, False)
    sample: Sample = {"gamma": torch.tensor(case.gamma, dtype=torch.float32), "name": case.name}
    for name, plane in planes(crop).items():
        if plane.ndim < 2:
            sample[name] = torch.from_numpy(plane)
            continue
        turned = np.rot90(plane[crop.inner], turns)
        turned = np.atleast_3d(turned[:, ::-1] if mirrored else turned)
        sample[name] = torch.from_numpy(np.ascontiguousarray(turned.transpose(2, 0, 1)))
    return sample


def _cut(case: Case, settings: CropSettings, rng: np.random.Generator) -> Crop:
    image = case.image()
    height, width = image.shape[:2]
    crop_height, crop_width = (height, width) if settings.crop_px is None else (settings.crop_px, settings.crop_px)
    if crop_height > height or crop_width > width:
        raise DatasetError(f"{case.name}: is {width} x {height} px, smaller than a crop of {settings.crop_px} px")
    margin = settings.margin_px
    y, x = int(rng.integers(height - crop_height + 1)), int(rng.integers(width - crop_width + 1))
    top, left = max(y - margin, 0), max(x - margin, 0)
    window = slice(top, min(y + crop_height + margin, height)), slice(left, min(x + crop_width + margin, width))
    return Crop(
        case=case,
        image=np.ascontiguousarray(image[window]),
        window=window,
        inner=(slice(y - top, y - top + crop_height), slice(x - left, x - left + crop_width)),
        # Drawn for every picture: what is drawn after it does not depend on what is known of the picture.
        corruption=random_corruption(rng=rng) if rng.uniform() < settings.augmentation else None,
        size=(height, width),
        peak=float(image.max()),
        rng=rng.spawn(1)[0],
    )


class PictureCrops(TorchDataset[Sample]):
    """Random crops of some cases, map-style.

    cases                of any data: `bokehdata.opening.open_cases`
    settings             how crops are drawn
    seed                 of every random choice
    planes               what a sample holds
    blur_parameter_min   pictures of smaller K are left out
    blur_parameter_max   pictures of larger K are left out; those of unknown K stay
    raises               DatasetError where no picture is left
    """

    def __init__(
        self,
        cases: Sequence[Case],
        settings: CropSettings,
        *,
        seed: int,
        planes: Planes = plain_planes,
        blur_parameter_min: float = 0.0,
        blur_parameter_max: float = math.inf,
    ):
        self._settings, self._seed, self._planes = settings, seed, planes
        self._cases = [
            case
            for case in cases
            if case.blur_parameter is None or blur_parameter_min <= case.blur_parameter <= blur_parameter_max
        ]
        if not self._cases:
            asked = f"from {blur_parameter_min:g} to {blur_parameter_max:g} px"
            raise DatasetError(f"there is no picture with a blur parameter {asked} to train on")

    def __len__(self) -> int:
        """Pictures of an epoch; `[n]` takes any n >= 0."""
        return len(self._cases)

    def __getitem__(self, n: int) -> Sample:
        epoch, position = divmod(n, len(self._cases))
        order = _generator(self._seed, 0, epoch).permutation(len(self._cases))
        return sample_of(self._cases[order[position]], self._settings, self._planes, rng=_generator(self._seed, 1, n))


def _generator(seed: int, *key: int) -> np.random.Generator:
    # A key keeps these streams apart from those of scenes, which are default_rng([seed, i]).
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
