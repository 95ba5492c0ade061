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

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from bokehdata.cases import Case
from bokehdata.corruptions import random_corruption
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
    """

    disparity: Plane
    disparity_given: Plane
    lens: ThinLens


@dataclass(frozen=True, eq=False)
class Crop:
    """A window of a picture with its margin; `inner` is the crop within it.

    image, truth   (h, w, 3) display values at `gamma`, not clipped
    inner          rows and columns of the crop in the window
    known          None where the data has no disparity, or its lens is not known
    """

    name: str
    image: Picture
    truth: Picture
    gamma: float
    inner: tuple[slice, slice]
    known: Refocusing | None

    @property
    def refocusing(self) -> Refocusing:
        """What is known of the refocusing; DatasetError for a picture of which nothing is."""
        if self.known is None:
            raise DatasetError(f"{self.name}: has no disparity or no lens, which this model is trained with")
        return self.known


# What a sample holds: (h, w) or (h, w, C) arrays of the window, by name.
Planes = Callable[[Crop], Mapping[str, NDArray[np.float32]]]


def picture_planes(crop: Crop) -> dict[str, Picture]:
    """image and truth, in display values: all that pairs of photographs have."""
    return {"image": crop.image, "truth": crop.truth}


def plain_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """image, truth (display values) and defocus_px, the signed defocus of the disparity given."""
    known = crop.refocusing
    defocus_px = np.asarray(known.lens.defocus_px(known.disparity_given), np.float32)
    return {**picture_planes(crop), "defocus_px": defocus_px}


def sample_of(case: Case, settings: CropSettings, planes: Planes, *, rng: np.random.Generator) -> Sample:
    """A random crop as tensors: (C, h, w) float32 for every plane, "gamma" (scalar), "name".

    DatasetError where the picture is smaller than the crop, or lacks what the planes are made of.
    """
    crop = _cut(case, settings, rng)
    turns, mirrored = (int(rng.integers(4)), bool(rng.integers(2))) if settings.turned else (0, False)
    sample: Sample = {"gamma": torch.tensor(case.gamma, dtype=torch.float32), "name": case.name}
    for name, plane in planes(crop).items():
        turned = np.rot90(plane[crop.inner], turns)
        turned = np.atleast_3d(turned[:, ::-1] if mirrored else turned)
        sample[name] = torch.from_numpy(np.ascontiguousarray(turned.transpose(2, 0, 1)))
    return sample


def _cut(case: Case, settings: CropSettings, rng: np.random.Generator) -> Crop:
    image, truth, disparity = case.image(), case.truth(), case.disparity()
    height, width = truth.shape[:2]
    if image.shape != truth.shape or (disparity is not None and disparity.shape != truth.shape[:2]):
        raise DatasetError(f"{case.name}: its image, its truth and its disparity must have one size")
    crop_height, crop_width = (height, width) if settings.crop_px is None else (settings.crop_px, settings.crop_px)
    if crop_height > height or crop_width > width:
        raise DatasetError(f"{case.name}: is {width} x {height} px, smaller than a crop of {settings.crop_px} px")
    margin = settings.margin_px
    y, x = int(rng.integers(height - crop_height + 1)), int(rng.integers(width - crop_width + 1))
    top, left = max(y - margin, 0), max(x - margin, 0)
    window = slice(top, min(y + crop_height + margin, height)), slice(left, min(x + crop_width + margin, width))
    # Drawn for every picture, so that what follows does not depend on what is known of it.
    corruption = random_corruption(rng=rng) if rng.uniform() < settings.augmentation else None
    known = None
    if disparity is not None and case.blur_parameter is not None and case.focus_disparity is not None:
        true = np.ascontiguousarray(disparity[window])
        known = Refocusing(true, true if corruption is None else corruption.apply(true), case.lens())
    return Crop(
        name=case.name,
        image=np.ascontiguousarray(image[window]),
        truth=truth[window],
        gamma=case.gamma,
        inner=(slice(y - top, y - top + crop_height), slice(x - left, x - left + crop_width)),
        known=known,
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
