"""Training samples from datasets on disk, for torch: random crops of pictures, with everything drawn from one number.

    dataset = PictureCrops([Dataset("datasets/default")], CropSettings(crop_px=96, margin_px=14), seed=0)
    sample = dataset[7]     # {"image": (3, 96, 96), "truth": (3, 96, 96), "defocus_px": (1, 96, 96), ...}

Sample n depends on (seed, n) alone: not on workers, order or a restart. n counts on beyond the length of the dataset;
each stretch of that length is an epoch, in which every picture comes once.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from bokehdata.format import BokehSetting, DatasetError
from bokehdata.reader import SceneFolder
from scenes.color import display_from_linear
from scenes.lens import ThinLens, signed_defocus_px

Image = NDArray[np.float32]
Sample = dict[str, Tensor | str]

# Disparity is corrupted in windows of 2 level + 1 pixels, up to the largest that BokehMe tests with (section 4.3). The
# paper says that training does so and not how much.
AUGMENTATION_LEVELS = (1, 2, 3, 4, 5)


@dataclass(frozen=True, eq=False)
class Picture:
    """One refocused picture and what it is made from; pictures are display values at `gamma`, not clipped.

    name        "000012/bokeh_00_03", for messages
    image       all-in-focus, (H, W, 3) float32
    truth       refocused, (H, W, 3) float32
    disparity   (H, W) float32, in the unit of the lens
    """

    name: str
    image: Image
    truth: Image
    disparity: NDArray[np.float32]
    lens: ThinLens
    gamma: float


@dataclass(frozen=True)
class CropSettings:
    """How a sample is drawn from a picture.

    crop_px        side of the square crop; None for the whole picture
    margin_px      pixels kept around the crop, as far as the picture goes, while `planes` are computed: a little more
                   than the largest blur radius, so that what blurs into the crop is there
    augmentation   probability that the disparity given is corrupted: by Gaussian blur, dilation or erosion, each alike,
                   in a window of 2 l + 1 pixels, l uniform in 1 to 5, sigma 0.3 (l - 1) + 0.8
    turned         whether the crop is flipped and turned by multiples of 90 degrees at random
    """

    crop_px: int | None
    margin_px: int = 0
    augmentation: float = 0.75
    turned: bool = True


@dataclass(frozen=True, eq=False)
class Crop:
    """A window of a picture with its margin; `inner` is the crop within it.

    disparity         as it truly is
    disparity_given   as a renderer gets it
    """

    image: Image
    truth: Image
    disparity: NDArray[np.float32]
    disparity_given: NDArray[np.float32]
    lens: ThinLens
    gamma: float
    inner: tuple[slice, slice]


# What a sample holds: (h, w) or (h, w, C) arrays of the window, by name.
Planes = Callable[[Crop], Mapping[str, NDArray[np.float32]]]


def plain_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """image, truth (display values) and defocus_px, the signed defocus of the disparity given."""
    defocus_px = signed_defocus_px(crop.disparity_given, crop.lens.blur_parameter, crop.lens.focus_disparity)
    return {"image": crop.image, "truth": crop.truth, "defocus_px": np.asarray(defocus_px, np.float32)}


def sample_of(picture: Picture, settings: CropSettings, planes: Planes, *, rng: np.random.Generator) -> Sample:
    """A random crop as tensors: (C, h, w) float32 for every plane, "gamma" (scalar), "name".

    DatasetError where the picture is smaller than the crop.
    """
    crop = _cut(picture, settings, rng)
    turns, mirrored = (int(rng.integers(4)), bool(rng.integers(2))) if settings.turned else (0, False)
    sample: Sample = {"gamma": torch.tensor(picture.gamma, dtype=torch.float32), "name": picture.name}
    for name, plane in planes(crop).items():
        turned = np.rot90(plane[crop.inner], turns)
        turned = np.atleast_3d(turned[:, ::-1] if mirrored else turned)
        sample[name] = torch.from_numpy(np.ascontiguousarray(turned.transpose(2, 0, 1)))
    return sample


def _cut(picture: Picture, settings: CropSettings, rng: np.random.Generator) -> Crop:
    height, width = picture.disparity.shape
    crop_height, crop_width = (height, width) if settings.crop_px is None else (settings.crop_px, settings.crop_px)
    if crop_height > height or crop_width > width:
        raise DatasetError(f"{picture.name}: is {width} x {height} px, smaller than a crop of {settings.crop_px} px")
    margin = settings.margin_px
    y, x = int(rng.integers(height - crop_height + 1)), int(rng.integers(width - crop_width + 1))
    top, left = max(y - margin, 0), max(x - margin, 0)
    window = slice(top, min(y + crop_height + margin, height)), slice(left, min(x + crop_width + margin, width))
    disparity = np.ascontiguousarray(picture.disparity[window])
    given = corrupted_disparity(disparity, rng=rng) if rng.uniform() < settings.augmentation else disparity
    return Crop(
        image=np.ascontiguousarray(picture.image[window]),
        truth=picture.truth[window],
        disparity=disparity,
        disparity_given=given,
        lens=picture.lens,
        gamma=picture.gamma,
        inner=(slice(y - top, y - top + crop_height), slice(x - left, x - left + crop_width)),
    )


def corrupted_disparity(disparity: NDArray[np.float32], *, rng: np.random.Generator) -> NDArray[np.float32]:
    """A disparity map as an imperfect estimator gives it: blurred, or its near or its far regions grown.

    (H, W) float32; no value leaves the range of the input.
    """
    side = 2 * int(rng.choice(AUGMENTATION_LEVELS)) + 1
    kind = rng.integers(3)
    if kind == 0:
        sigma = 0.3 * ((side - 1) / 2 - 1) + 0.8
        return np.asarray(cv2.GaussianBlur(disparity, (side, side), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
    operation = cv2.dilate if kind == 1 else cv2.erode
    return np.asarray(operation(disparity, np.ones((side, side), np.uint8)), np.float32)


class PictureCrops(TorchDataset[Sample]):
    """Random crops of the pictures of some scenes, map-style.

    scenes               folders of our datasets or BLB's, from one or many `bokehdata.reader.Dataset`
    settings             how crops are drawn
    seed                 of every random choice
    planes               what a sample holds
    blur_parameter_min   pictures of smaller K are left out
    blur_parameter_max   pictures of larger K are left out
    raises               DatasetError where no picture is left
    """

    def __init__(
        self,
        scenes: Iterable[SceneFolder],
        settings: CropSettings,
        *,
        seed: int,
        planes: Planes = plain_planes,
        blur_parameter_min: float = 0.0,
        blur_parameter_max: float = math.inf,
    ):
        self._settings, self._seed, self._planes = settings, seed, planes
        self._pictures: list[tuple[SceneFolder, BokehSetting]] = []
        for scene in scenes:
            blur_parameters = scene.stack().blur_parameters
            self._pictures += [
                (scene, setting)
                for setting in scene.bokeh_settings()
                if blur_parameter_min <= blur_parameters[setting.blur_index] <= blur_parameter_max
            ]
        if not self._pictures:
            asked = f"from {blur_parameter_min:g} to {blur_parameter_max:g} px"
            raise DatasetError(f"there is no picture with a blur parameter {asked} to train on")

    def __len__(self) -> int:
        """Pictures of an epoch; `[n]` takes any n >= 0."""
        return len(self._pictures)

    def __getitem__(self, n: int) -> Sample:
        epoch, position = divmod(n, len(self._pictures))
        order = _generator(self._seed, 0, epoch).permutation(len(self._pictures))
        picture = read_picture(*self._pictures[order[position]])
        return sample_of(picture, self._settings, self._planes, rng=_generator(self._seed, 1, n))


def read_picture(scene: SceneFolder, setting: BokehSetting) -> Picture:
    """One picture of a scene on disk; DatasetError for a file that is missing or broken."""
    return Picture(
        name=f"{scene.name}/bokeh_{setting.blur_index:02d}_{setting.focus_index:02d} at gamma {setting.gamma:g}",
        # Files of every gamma decode with the reference gamma; what differs is what blur takes to be linear.
        image=display_from_linear(scene.image()),
        truth=display_from_linear(scene.bokeh(*setting)),
        disparity=scene.disparity(),
        lens=scene.lens(setting.blur_index, setting.focus_index),
        gamma=setting.gamma,
    )


def _generator(seed: int, *key: int) -> np.random.Generator:
    # A key keeps these streams apart from those of scenes, which are default_rng([seed, i]).
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
