"""DeepLens (Wang et al. 2018): the lens blur at a small size, then upsampling by two behind it.

Its losses and rates are not known. Both stages minimise what BokehMe's networks do (Eq. 11 of Peng et al. 2022), values
and differences. They learn radii up to 8 px at the small size, 16 px at twice that.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from bokehdata.torch_data import Crop
from renderers.neural.bokehme.inference import highlights
from renderers.neural.checkpoints import loaded
from renderers.neural.deeplens.inference import RADIUS_MAX_PX, halved
from renderers.neural.deeplens.network import MULTIPLE, BlurNet, UpsamplingNet
from renderers.neural.renderer import shipped
from scenes.color import REFERENCE_GAMMA, regraded
from training.losses import picture_l1
from training.measurements import shown_psnr
from training.model import Model, Samples
from training.models.bokehme import with_highlights
from training.module import Batch, PictureBatch, PlaneBatch, Training
from training.presets import Preset, PresetName


class DeeplensBatch(Batch):
    """Display values are those of gamma 2.2, whatever the gamma of the picture.

    image        all-in-focus display values, clipped at white
    truth        display values, clipped as it is shown and compared
    highlights   the blur of the light above white, linear light
    defocus_px   signed, of the disparity given
    """

    image: PictureBatch
    truth: PictureBatch
    highlights: PictureBatch
    defocus_px: PlaneBatch


def deeplens_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of a DeeplensBatch."""
    known, gamma = crop.refocusing, crop.case.gamma
    image, truth = (regraded(np.clip(p, 0.0, 1.0), gamma, REFERENCE_GAMMA) for p in (crop.image, crop.truth))
    return {
        "image": image,
        "truth": truth,
        "highlights": highlights(crop.image, known.disparity_given, known.lens, gamma),
        "defocus_px": known.defocus_px,
    }


class Planes(NamedTuple):
    """A batch at some size. The defocus is in [-1, 1], in the unit of BlurNet."""

    image: Tensor
    truth: Tensor
    highlights: Tensor
    defocus: Tensor

    def shown(self, picture: Tensor) -> Tensor:
        """A picture of the networks with the light above white."""
        gamma = picture.new_full((len(picture),), REFERENCE_GAMMA)
        return with_highlights(picture, self.highlights, gamma)


def at_two_sizes(batch: DeeplensBatch) -> tuple[Planes, Planes]:
    """The batch at a size where no radius exceeds 16 px, and at half of it. Sides are multiples of 16 and of 8 px."""
    planes = torch.cat([batch["image"], batch["truth"], batch["highlights"], batch["defocus_px"]], 1)
    height, width = planes.shape[-2:]
    unit_px = 2.0 * RADIUS_MAX_PX
    factor = max(float(batch["defocus_px"].abs().max()) / unit_px, 1.0)
    size = tuple(max(int(side / factor) // (2 * MULTIPLE), 1) * 2 * MULTIPLE for side in (height, width))
    if size != (height, width):
        planes = F.interpolate(planes, size, mode="area")
    large, small = (
        Planes(p[:, :3], p[:, 3:6], p[:, 6:9], (p[:, 9:] * size[1] / width / unit_px).clamp(-1.0, 1.0))
        for p in (planes, halved(planes))
    )
    return large, small


class DeeplensBlurTraining(Training[DeeplensBatch, DeeplensBatch]):
    """Stage 1 at the small size."""

    criterion = "rendered_psnr"

    def __init__(self, preset: Preset, steps: int):
        super().__init__(BlurNet(), preset, steps)

    def objective(self, batch: DeeplensBatch) -> dict[str, Tensor]:
        _, small = at_two_sizes(batch)
        return {"loss": picture_l1(small.shown(self.network(small.image, small.defocus)), small.truth)}

    def measurements(self, batch: DeeplensBatch) -> tuple[dict[str, float], list[Tensor]]:
        _, small = at_two_sizes(batch)
        rendered = small.shown(self.validated(small.image, small.defocus))
        return {"rendered_psnr": shown_psnr(rendered, small.truth)}, [small.image, rendered, small.truth]


class DeeplensUpsamplingTraining(Training[DeeplensBatch, DeeplensBatch]):
    """Stage 2 behind stage 1, which is frozen: one step of upsampling. Inference takes more with the same weights."""

    criterion = "rendered_psnr"

    def __init__(self, preset: Preset, steps: int, blur: nn.Module):
        super().__init__(UpsamplingNet(), preset, steps)
        # In a list it is no part of this module: not trained, not saved in checkpoints.
        self._frozen = [blur]

    def on_fit_start(self) -> None:
        self._frozen[0].to(self.device)

    def _rendered(self, network: nn.Module, batch: DeeplensBatch) -> tuple[Tensor, Tensor, Planes]:
        """The picture and what the enlarged one of stage 1 is, with the light above white; the planes at their size."""
        large, small = at_two_sizes(batch)
        with torch.no_grad():
            refocused = self._frozen[0](small.image, small.defocus)
        enlarged = F.interpolate(refocused, large.image.shape[-2:], mode="bilinear", align_corners=False)
        rendered = network(small.image, refocused, small.defocus, large.image)
        return large.shown(rendered), large.shown(enlarged), large

    def objective(self, batch: DeeplensBatch) -> dict[str, Tensor]:
        rendered, _, large = self._rendered(self.network, batch)
        return {"loss": picture_l1(rendered, large.truth)}

    def measurements(self, batch: DeeplensBatch) -> tuple[dict[str, float], list[Tensor]]:
        rendered, enlarged, large = self._rendered(self.validated, batch)
        numbers = {
            "rendered_psnr": shown_psnr(rendered, large.truth),
            "enlarged_psnr": shown_psnr(enlarged, large.truth),
        }
        return numbers, [large.image, enlarged, rendered, large.truth]


# Pictures of K = 12 and 24 are reduced to radii of 16 px.
_BLUR_PARAMETER_MAX = 24.0


def _presets(crop_px: int) -> dict[PresetName, Preset]:
    """crop_px   of "cpu", before it is reduced. Its steps take about twenty minutes on two idle cores"""
    presets: dict[PresetName, Preset] = {
        "smoke": Preset.smoke(),
        "cpu": replace(Preset.cpu(), crop_px=crop_px, steps=4000, learning_rate=1e-3, validate_every=500),
        # As BokehMe's IUNet; the paper's own schedule is not known.
        "paper": Preset(crop_px=256, batch=16, learning_rate=1e-4, epochs=50),
    }
    return {name: replace(preset, blur_parameter_max=_BLUR_PARAMETER_MAX) for name, preset in presets.items()}


_SAMPLES = Samples(DeeplensBatch, deeplens_planes)

DEEPLENS = (
    Model(
        name="deeplens-blur",
        presets=_presets(crop_px=128),
        build=lambda preset, steps, weights: DeeplensBlurTraining(preset, steps),
        samples=_SAMPLES,
    ),
    Model(
        name="deeplens-upsampling",
        presets=_presets(crop_px=96),
        build=lambda preset, steps, weights: DeeplensUpsamplingTraining(
            preset, steps, loaded(BlurNet(), weights["deeplens-blur"])
        ),
        samples=_SAMPLES,
        behind={"deeplens-blur": shipped("deeplens", "deeplens-blur")},
    ),
)
