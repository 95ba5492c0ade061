"""MPIB (Peng et al. 2022): its planes, their upsampling, and the small network that works at full size.

The paper does not say how it trains. Here its planes are blurred as at inference, and compared with the truth; the
background is what `renderers.layering.mpib` paints, as at inference too.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from bokehdata.torch_data import Crop
from renderers.layering.mpib import behind
from renderers.neural.checkpoints import loaded
from renderers.neural.layers import resized
from renderers.neural.mpib.inference import small_planes
from renderers.neural.mpib.network import AUPNet, MPINet, SmallMPINet
from renderers.neural.mpib.planes import Depths, composite_disparity, even_depths, refocused
from renderers.neural.renderer import shipped
from renderers.neural.trunks import ResNet18, load_trunk
from scenes.color import display_from_linear, linear_from_display
from scenes.lens import normalized_focus_and_blur
from training.losses import picture_l1
from training.measurements import shown_psnr
from training.model import Model, Samples
from training.module import Batch, PictureBatch, PlaneBatch, Training
from training.presets import Preset


class MpibBatch(Batch):
    """Disparities are those given, normalized by the range of the whole picture and cut to [0, 1].

    image              all-in-focus display values, not clipped
    truth              display values, clipped as it is shown and compared
    disparity          of the picture
    background         display values, not clipped
    disparity_behind   of the background
    painted            1 where the background is not the picture
    lens               K and focus, for normalized disparities
    """

    image: PictureBatch
    truth: PictureBatch
    disparity: PlaneBatch
    background: PictureBatch
    disparity_behind: PlaneBatch
    painted: PlaneBatch
    lens: Float32[Tensor, "batch 2"]


def mpib_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of a MpibBatch."""
    known = crop.refocusing
    low, high = known.whole_range
    high = high if high > low else low + 1.0
    lens = normalized_focus_and_blur(known.lens.blur_parameter, known.lens.focus_disparity, low, high)
    disparity = np.clip((known.disparity_given - low) / (high - low), 0.0, 1.0).astype(np.float32)
    reach_px = float(np.abs(known.defocus_px).max())
    background = behind(linear_from_display(crop.image), disparity, reach_px=reach_px)
    return {
        "image": crop.image,
        "truth": np.clip(crop.truth, 0.0, 1.0),
        "disparity": disparity,
        "background": display_from_linear(background.linear),
        "disparity_behind": background.disparity,
        "painted": (background.hidden | background.mixed).astype(np.float32),
        "lens": np.array(lens, np.float32),
    }


class _MpibTraining(Training[MpibBatch, MpibBatch]):
    """L1 and gradient L1 of the picture, and L1 of the disparity that the planes show."""

    criterion = "rendered_psnr"

    def __init__(self, network: nn.Module, preset: Preset, steps: int):
        super().__init__(network, preset, steps)
        # Light from beyond a crop reaches this far into it.
        self._border = min(int(preset.blur_parameter_max), preset.crop_px // 3)

    def planes(self, network: nn.Module, batch: MpibBatch) -> tuple[Tensor, Tensor, Depths]:
        """omega, alpha and the depths of the planes."""
        raise NotImplementedError

    def objective(self, batch: MpibBatch) -> dict[str, Tensor]:
        omega, alpha, depths = self.planes(self.network, batch)
        inner = (..., *[slice(self._border, -self._border or None)] * 2)
        picture = picture_l1(_picture(batch, omega, alpha, depths)[inner], batch["truth"][inner])
        disparity = l1_loss(composite_disparity(alpha, depths), batch["disparity"])
        return {"loss": picture + disparity, "disparity": disparity}

    def measurements(self, batch: MpibBatch) -> tuple[dict[str, float], list[Tensor]]:
        rendered = _picture(batch, *self.planes(self.validated, batch))
        shown = [batch["image"], batch["background"], rendered, batch["truth"]]
        return {"rendered_psnr": shown_psnr(rendered, batch["truth"])}, shown


def _picture(batch: MpibBatch, omega: Tensor, alpha: Tensor, depths: Depths) -> Tensor:
    radius_px = depths.radius_px(*batch["lens"].T)
    return refocused(batch["image"], batch["background"], omega, alpha, radius_px, batch["gamma"])


class MpibPlanesTraining(_MpibTraining):
    """MPINet at the size of the crop."""

    def __init__(self, preset: Preset, steps: int, weights: Mapping[str, Path]):
        network = MPINet()
        if given := weights.get(ResNet18.torchvision):
            load_trunk(network.encoder, given)
        super().__init__(network, preset, steps)

    def planes(self, network: nn.Module, batch: MpibBatch) -> tuple[Tensor, Tensor, Depths]:
        omega, alpha = network(batch["image"].clamp(max=1.0), batch["disparity"])
        return omega, alpha, even_depths(alpha.shape[1], len(alpha), alpha)


class MpibUpsamplingTraining(_MpibTraining):
    """AUPNet behind a frozen MPINet at half size, and L1 of its alpha to that of the MPINet at full size."""

    def __init__(self, preset: Preset, steps: int, mpinet: nn.Module):
        super().__init__(AUPNet(), preset, steps)
        # In a list it is no part of this module: not trained, not saved in checkpoints.
        self._frozen = [mpinet]

    def on_fit_start(self) -> None:
        self._frozen[0].to(self.device)

    def planes(self, network: nn.Module, batch: MpibBatch) -> tuple[Tensor, Tensor, Depths]:
        image, disparity = batch["image"].clamp(max=1.0), batch["disparity"]
        size = image.shape[-2:]
        half = (size[0] // 2, size[1] // 2)
        with torch.no_grad():
            omega, alpha = self._frozen[0](resized(image, half), resized(disparity, half))
        depths = even_depths(alpha.shape[1], len(alpha), alpha)
        return resized(omega, size), network(image, disparity, alpha), depths

    def objective(self, batch: MpibBatch) -> dict[str, Tensor]:
        terms = super().objective(batch)
        with torch.no_grad():
            _, wanted = self._frozen[0](batch["image"].clamp(max=1.0), batch["disparity"])
        _, alpha, _ = self.planes(self.network, batch)
        return {**terms, "loss": terms["loss"] + l1_loss(alpha, wanted)}


class MpibSmallTraining(_MpibTraining):
    """SmallMPINet, which begins with hard planes."""

    def __init__(self, preset: Preset, steps: int):
        super().__init__(SmallMPINet(), preset, steps)

    def planes(self, network: nn.Module, batch: MpibBatch) -> tuple[Tensor, Tensor, Depths]:
        return small_planes(network, batch["image"], batch["disparity"], batch["disparity_behind"], batch["painted"])


# Batch norm needs more than one value of the smallest maps, and crops are continued to multiples of 32 px.
_SMOKE = replace(Preset.smoke(), crop_px=40)
# Crops of 256 px and K up to 30, so that the blur fits into them.
_PAPER = Preset(crop_px=256, batch=8, learning_rate=1e-4, epochs=50, blur_parameter_max=30.0)
_CPU = replace(Preset.cpu(), crop_px=128, blur_parameter_max=24.0)
_SAMPLES = Samples(MpibBatch, mpib_planes)

MPIB = (
    Model(
        name="mpib-planes",
        presets={"smoke": _SMOKE, "cpu": replace(_CPU, batch=2), "paper": _PAPER},
        build=lambda preset, steps, weights: MpibPlanesTraining(preset, steps, weights),
        samples=_SAMPLES,
        trunk=ResNet18.torchvision,
    ),
    Model(
        name="mpib-upsampling",
        presets={"smoke": _SMOKE, "cpu": replace(_CPU, batch=2), "paper": _PAPER},
        build=lambda preset, steps, weights: MpibUpsamplingTraining(
            preset, steps, loaded(MPINet(), weights["mpib-planes"])
        ),
        samples=_SAMPLES,
        behind={"mpib-planes": shipped("mpib", "mpib-planes")},
    ),
)

MPIB_SMALL = Model(
    name="mpib-small",
    presets={"smoke": _SMOKE, "cpu": replace(_CPU, batch=3, steps=5000, validate_every=500), "paper": _PAPER},
    build=lambda preset, steps, weights: MpibSmallTraining(preset, steps),
    samples=_SAMPLES,
)
