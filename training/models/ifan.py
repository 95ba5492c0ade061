"""IFAN (Lee et al. 2021), which deblurs a picture: `ifan`, and `ifan-small` for two CPU cores.

Trained on any pairs: DPDD, `dpdd-like`, a sharp picture and its truth. Where the blurred picture has dual-pixel views,
they teach the disparity; other samples go without that term.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.nn.utils import clip_grad_norm_

from bokehdata.torch_data import Crop
from inverse.deblurring.ifan import IFAN as Ifan
from inverse.deblurring.ifan import Reblurring
from inverse.deblurring.inference import NETWORKS, deblurred
from inverse.deblurring.losses import disparity_loss, eighth
from inverse.deblurring.pairs import begins_blurred, views_of_blurred
from renderers.neural.tensors import picture_from_tensor, tensor_from_plane
from scenes.arrays import Picture
from training.measurements import shown_psnr
from training.model import Model, Samples
from training.models.pairs import for_pairs
from training.module import Batch, PictureBatch, Training
from training.presets import Preset, PresetName

# How samples are varied: noise that the sharp picture has too, grey, and pictures made smaller.
_NOISE_SHARE, _NOISE_RMSE = 0.05, (0.001, 0.0707)
_GREY_SHARE = 0.3
_SMALLER_SHARE, _SCALE_MIN = 0.5, 0.7

# Around a crop, so that 256 px are left of one at the smallest scale.
_MARGIN_PX = math.ceil(256 * (1.0 / _SCALE_MIN - 1.0) / 2.0)

_WEIGHT_DECAY = 0.01

# Fine-tuning goes by this part of the learning rate: 1e-5 of 1e-4.
_FINE_TUNING = 0.1


@dataclass(frozen=True, kw_only=True)
class IfanPreset(Preset):
    """Settings of IFAN.

    halved_at       parts of the steps after which the learning rate is halved
    from_identity   whether the first picture is the one given; not in the paper
    disparity       whether views teach the disparity
    reblur          whether the sharp picture is blurred again
    nearest         whether the picture to blur again is made small by its nearest pixels, as by the released code
    fine_tuning     at a tenth of the rate, which stays; without blurring again, which weights do not come with
    """

    halved_at: tuple[float, ...] = ()
    from_identity: bool = False
    disparity: bool = True
    reblur: bool = True
    nearest: bool = False
    fine_tuning: bool = False


class DeblurringBatch(Batch):
    """Display values, clipped as they are shown.

    blurred      what is given
    sharp        what is to come of it
    left, right  dual-pixel views of the blurred picture, 0 where there are none
    has_views    1 or 0
    """

    blurred: PictureBatch
    sharp: PictureBatch
    left: PictureBatch
    right: PictureBatch
    has_views: Float32[Tensor, " batch"]


class WholeBatch(Batch):
    """blurred, sharp   display values, clipped as they are shown"""

    blurred: PictureBatch
    sharp: PictureBatch


def whole_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of a WholeBatch."""
    pictures = (crop.image, crop.truth) if begins_blurred(crop.case) else (crop.truth, crop.image)
    return {name: np.clip(p, 0.0, 1.0) for name, p in zip(("blurred", "sharp"), pictures, strict=True)}


def deblurring_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of a DeblurringBatch."""
    pictures = whole_planes(crop)
    views = views_of_blurred(crop.case)
    for side in ("left", "right"):
        view = np.zeros_like(crop.image) if side not in views else views[side][crop.window]
        pictures[side] = np.clip(view, 0.0, 1.0)
    return {**varied(pictures, crop.inner, crop.rng), "has_views": np.array(len(views) > 0, np.float32)}


def varied(pictures: Mapping[str, Picture], inner: tuple[slice, slice], rng: np.random.Generator) -> dict[str, Picture]:
    """The crop in each of some windows made smaller, mirrored, noisy and grey at random, alike for all.

    pictures   windows by name; a mirror swaps `left` and `right`, which are what two halves of a lens see
    inner      rows and columns of the crop; a smaller picture shows of its margin too
    returns    arrays of the same shapes, of which only the crop is used
    """
    scale = rng.uniform(_SCALE_MIN, 1.0) if rng.uniform() < _SMALLER_SHARE else 1.0
    upside_down, mirrored = rng.integers(2, size=2)
    sigma = rng.uniform(*_NOISE_RMSE) if rng.uniform() < _NOISE_SHARE else 0.0
    is_grey = rng.uniform() < _GREY_SHARE
    shape = tuple(part.stop - part.start for part in inner)
    noise = rng.normal(0.0, sigma, (*shape, 3)).astype(np.float32) if sigma else None
    made: dict[str, Picture] = {}
    for name, picture in pictures.items():
        cut = _at_scale(picture, inner, scale)[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
        if noise is not None:
            cut = np.clip(cut + noise, 0.0, 1.0)
        if is_grey:
            cut = cv2.cvtColor(np.ascontiguousarray(cut), cv2.COLOR_RGB2GRAY)[..., None]
        swapped = {"left": "right", "right": "left"}.get(name, name) if mirrored else name
        made[swapped] = np.zeros_like(picture)
        made[swapped][inner] = cut
    return made


def _at_scale(picture: Picture, inner: tuple[slice, slice], scale: float) -> Picture:
    """The crop and what is around it, made smaller to its size; less of it where the picture ends near the crop."""
    if scale == 1.0:
        return picture[inner]
    shape = [part.stop - part.start for part in inner]
    room = min(
        distance
        for part, side in zip(inner, picture.shape[:2], strict=True)
        for distance in (part.start, side - part.stop)
    )
    extra = min(round(max(shape) * (1.0 / scale - 1.0) / 2.0), room)
    around = tuple(slice(part.start - extra, part.stop + extra) for part in inner)
    return cv2.resize(picture[around], shape[::-1], interpolation=cv2.INTER_AREA)


class IfanTraining(Training[DeblurringBatch, WholeBatch]):
    """Mean squares of three differences: to the sharp picture, of the views, and of the picture blurred again."""

    criterion = "deblurred_psnr"
    preset: IfanPreset
    network: Ifan
    validated: Ifan

    def __init__(self, name: str, preset: IfanPreset, steps: int):
        network = NETWORKS[name]()
        if preset.from_identity:
            network.start_from_identity()
        if preset.fine_tuning:
            rate = preset.learning_rate * _FINE_TUNING
            preset = replace(preset, learning_rate=rate, schedule="constant", halved_at=(), reblur=False)
        super().__init__(network, preset, steps)
        self.reblurring = Reblurring(network, steps=network.steps) if preset.reblur else None
        if self.reblurring is not None and preset.from_identity:
            self.reblurring.start_from_identity()

    def objective(self, batch: DeblurringBatch) -> dict[str, Tensor]:
        sharp, right = batch["sharp"], batch["right"]
        shown, filters = self.network.with_filters(batch["blurred"])
        terms = {"deblurred": mse_loss(shown.float(), sharp)}
        if self.preset.disparity and batch["has_views"].any():
            # Of the view alone, as the release estimates it, and not of the whole picture.
            disparity = self.network.disparity(right)
            terms["disparity"] = disparity_loss(disparity, eighth(batch["left"]), eighth(right), batch["has_views"])
        if self.reblurring is not None:
            again = self.reblurring(eighth(sharp, nearest=self.preset.nearest), filters)
            terms["reblurred"] = mse_loss(again.float(), eighth(batch["blurred"]))
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def measurements(self, batch: WholeBatch) -> tuple[dict[str, float], list[Tensor]]:
        blurred, sharp = batch["blurred"], batch["sharp"]
        shown = tensor_from_plane(deblurred(self.validated, picture_from_tensor(blurred)))
        numbers = {"deblurred_psnr": shown_psnr(shown, sharp), "blurred_psnr": shown_psnr(blurred, sharp)}
        return numbers, [blurred.cpu(), shown, sharp.cpu()]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        norm = clip_grad_norm_(self._trained(), self.preset.gradient_norm_max or math.inf)
        self._require_finite(norm, "gradient")

    def configure_optimizers(self) -> Any:
        rate = self.preset.learning_rate
        optimizer = torch.optim.RAdam(self._trained(), lr=rate, weight_decay=_WEIGHT_DECAY, decoupled_weight_decay=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._relative_rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _relative_rate(self, step: int) -> float:
        halvings = sum(step >= part * self.steps for part in self.preset.halved_at)
        return super()._relative_rate(step) * 0.5**halvings

    def _trained(self) -> list[nn.Parameter]:
        networks = [self.network] if self.reblurring is None else [self.network, self.reblurring]
        return [parameter for network in networks for parameter in network.parameters()]


# What `--ablation` changes.
ROWS: dict[str, dict[str, Any]] = {
    "fine-tuning": {"fine_tuning": True},
    "no-disparity": {"disparity": False},
    "no-reblurring": {"reblur": False},
    "nearest": {"nearest": True},
}

_SMOKE = replace(for_pairs(IfanPreset.smoke()), gradient_norm_max=0.5, from_identity=True)
_CPU = replace(
    for_pairs(IfanPreset.cpu()),
    crop_px=128,
    learning_rate=3e-4,
    steps=6000,
    gradient_norm_max=0.5,
    ema_decay=0.995,
    from_identity=True,
    validate_every=250,
    checkpoint_every=50,
    validation_pictures=6,
)
# 600,000 steps of 8 crops of 256 px; the rate is halved after 500,000 and 550,000.
_PAPER = for_pairs(
    IfanPreset(
        crop_px=256,
        batch=8,
        learning_rate=1e-4,
        steps=600_000,
        halved_at=(500 / 600, 550 / 600),
        gradient_norm_max=0.5,
    )
)
PRESETS: dict[PresetName, IfanPreset] = {"smoke": _SMOKE, "cpu": _CPU, "paper": _PAPER}


def _model(name: str) -> Model[IfanPreset]:
    return Model(
        name=name,
        presets=PRESETS,
        build=lambda preset, steps, weights: IfanTraining(name, preset, steps),
        samples=Samples(DeblurringBatch, deblurring_planes, margin_px=_MARGIN_PX, turned=False),
        validation_samples=Samples(WholeBatch, whole_planes),
        information="picture",
        ablations=ROWS,
    )


IFAN = {name: _model(name) for name in ("ifan", "ifan-small")}
