"""D2F (Luo et al. 2020): stage 1 by the layers that it renders, stage 2 by the Laplacian of the picture to come."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evaluation.lpips import LpipsUnavailable
from renderers.neural.checkpoints import loaded
from renderers.neural.d2f.fusion import in_focus, laplacian
from renderers.neural.d2f.inference import NETWORKS, SIZES, doubled, halved
from renderers.neural.d2f.layers import Layering, Order, rendered
from renderers.neural.d2f.network import DefocusNet, FusionNet, Radiance, radiance_of
from renderers.neural.d2f.rows import KERNEL_ROWS, RENDERING_ROWS
from renderers.neural.renderer import shipped
from renderers.neural.trunks import MobileNetV2, ResNeXt50, load_trunk
from training.losses import dissimilarity
from training.measurements import shown_psnr
from training.model import Model
from training.models.pairs import PAIRS, PairBatch, PairTraining, for_pairs
from training.perceptual import Vgg16
from training.presets import Preset, PresetName

VGG_WEIGHT, GRADIENT_WEIGHT, POISSON_WEIGHT = 0.1, 0.1, 10.0

_SCALES = 4


@dataclass(frozen=True, kw_only=True)
class D2fPreset(Preset):
    """Settings of D2F; the rows of its ablation tables change them.

    ssim, vgg, gradient   terms of the loss beside L1 (Eqs. 20 and 22)
    sizes                 of the kernels, a key of SIZES
    soft                  whether their rims are soft
    radiance              how much a pixel's light counts
    order                 which layers hide others
    """

    ssim: bool = True
    vgg: bool = True
    gradient: bool = True
    sizes: str = "growing"
    soft: bool = True
    radiance: Radiance = "net"
    order: Order = "near-on-top"

    def render(self, network: nn.Module, half: Tensor) -> tuple[Tensor, Tensor]:
        """The picture of stage 1 at half the size, and D."""
        defocus, predicted = network(half)
        layering = Layering(SIZES[self.sizes], self.order, self.soft, one_sided=self.order != "printed")
        return rendered(half, radiance_of(half, predicted, self.radiance), defocus, layering), defocus


class _D2fTraining(PairTraining[PairBatch]):
    preset: D2fPreset

    def __init__(self, network: nn.Module, preset: D2fPreset, steps: int):
        super().__init__(network, preset, steps)
        self._perceived: Callable[[Tensor, Tensor], Tensor] | None = None
        if preset.vgg:
            try:
                self._perceived = Vgg16().distance
                self.notes = ("features of VGG16 stand in for those of VGG19 in the loss",)
            except LpipsUnavailable as error:
                self.notes = (f"the loss has no VGG features: {error}",)

    def loss(self, rendered: Tensor, truth: Tensor) -> Tensor:
        total = F.l1_loss(rendered, truth)
        if self.preset.ssim:
            total = total + dissimilarity(rendered, truth)
        if self._perceived is not None:
            total = total + VGG_WEIGHT * self._perceived(rendered, truth)
        return total


class D2fDefocusTraining(_D2fTraining):
    """Stage 1 at half the size: L1 + 0.1 VGG + (1 - SSIM) + 0.1 of the gradients of D (Eq. 20)."""

    def __init__(self, name: str, preset: D2fPreset, steps: int, weights: Mapping[str, Path]):
        network = NETWORKS[name]()
        assert isinstance(network, DefocusNet)
        if given := weights.get(network.encoder.torchvision):
            load_trunk(network.encoder, given)
        super().__init__(network, preset, steps)

    def objective(self, batch: PairBatch) -> dict[str, Tensor]:
        half = halved(batch["image"])
        picture, defocus = self.preset.render(self.network, half)
        loss = self.loss(picture, halved(batch["truth"]))
        if self.preset.gradient:
            loss = loss + GRADIENT_WEIGHT * gradients_where_flat(defocus, half)
        return {"loss": loss}

    def measurements(self, batch: PairBatch) -> tuple[dict[str, float], list[Tensor]]:
        half, truth = halved(batch["image"]), halved(batch["truth"])
        picture, defocus = self.preset.render(self.validated, half)
        numbers = {"rendered_psnr": shown_psnr(picture, truth), "defocus_mean": float(defocus.mean())}
        return numbers, [half, defocus, picture, truth]


class D2fFusionTraining(_D2fTraining):
    """Stage 2 behind stage 1, which is frozen: L1 + 0.1 VGG + (1 - SSIM) + 10 Poisson (Eq. 22).

    The gradients of D, which the paper adds, do not depend on what is trained.
    """

    def __init__(self, stage1: str, preset: D2fPreset, steps: int, weights: Mapping[str, Path]):
        super().__init__(FusionNet(), preset, steps)
        # In a list it is no part of this module: not trained, not saved in checkpoints.
        self._frozen = [loaded(NETWORKS[stage1](), weights[stage1])]

    def on_fit_start(self) -> None:
        self._frozen[0].to(self.device)

    def _fused(self, network: nn.Module, batch: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
        """The final picture; the blurred one and D at full size."""
        image = batch["image"]
        with torch.no_grad():
            picture, defocus = self.preset.render(self._frozen[0], halved(image))
            picture, defocus = doubled(picture, image.shape), doubled(defocus, image.shape)
        return torch.lerp(picture, image, network(image, defocus)), picture, defocus

    def objective(self, batch: PairBatch) -> dict[str, Tensor]:
        fused, picture, defocus = self._fused(self.network, batch)
        wanted = torch.lerp(picture, batch["image"], in_focus(defocus))
        poisson = poisson_loss(fused, wanted)
        return {"loss": self.loss(fused, batch["truth"]) + POISSON_WEIGHT * poisson, "poisson": poisson}

    def measurements(self, batch: PairBatch) -> tuple[dict[str, float], list[Tensor]]:
        fused, picture, _ = self._fused(self.validated, batch)
        numbers = {
            "rendered_psnr": shown_psnr(fused, batch["truth"]),
            "blurred_psnr": shown_psnr(picture, batch["truth"]),
        }
        return numbers, [batch["image"], picture, fused, batch["truth"]]


def gradients_where_flat(defocus: Tensor, image: Tensor) -> Tensor:
    """Eq. 21: L1 of differences between neighbours of D, less where the picture has some; the mean of four sizes."""
    total = defocus.new_zeros(())
    for scale in range(_SCALES):
        if scale:
            defocus, image = F.avg_pool2d(defocus, 2), F.avg_pool2d(image, 2)
        for dim in (-1, -2):
            kept = torch.exp(-image.diff(dim=dim).abs().sum(1, keepdim=True))
            total = total + (defocus.diff(dim=dim).abs() * kept).mean()
    return total / _SCALES


def poisson_loss(picture: Tensor, wanted: Tensor) -> Tensor:
    """Eq. 18: half the mean square of the difference of Laplacians."""
    return 0.5 * F.mse_loss(laplacian(picture), laplacian(wanted))


# Rows of the tables, for `--ablation`; "total" of each is the preset as it is.
STAGE1_ROWS: dict[str, dict[str, Any]] = {
    "l1": {"ssim": False, "vgg": False, "gradient": False},
    "l1-grad": {"ssim": False, "vgg": False},
    "l1-ssim-grad": {"vgg": False},
    **RENDERING_ROWS,
    **KERNEL_ROWS,
}
STAGE2_ROWS: dict[str, dict[str, Any]] = {
    "l1-poisson": {"ssim": False, "vgg": False, "gradient": False},
    "l1-ssim-poisson": {"vgg": False, "gradient": False},
    "l1-ssim-vgg-poisson": {"gradient": False},
    **RENDERING_ROWS,
    **KERNEL_ROWS,
}


def _presets(epochs: int, batch: int) -> dict[PresetName, D2fPreset]:
    return {
        "smoke": for_pairs(D2fPreset.smoke()),
        "cpu": replace(for_pairs(D2fPreset.cpu()), crop_px=256, batch=2),
        # 512 px of half the size in stage 1, and 1024 px in stage 2. Neither rate, batch nor epochs are printed.
        "paper": for_pairs(D2fPreset(crop_px=1024, batch=batch, learning_rate=1e-4, epochs=epochs)),
    }


def _stages(name: str, trunk: str) -> tuple[Model[D2fPreset], Model[D2fPreset]]:
    stage1, stage2 = f"{name}-defocus", f"{name}-fusion"
    return (
        Model(
            name=stage1,
            presets=_presets(epochs=60, batch=4),
            build=lambda preset, steps, weights: D2fDefocusTraining(stage1, preset, steps, weights),
            samples=PAIRS,
            information="picture",
            trunk=trunk,
            ablations=STAGE1_ROWS,
        ),
        Model(
            name=stage2,
            presets=_presets(epochs=20, batch=2),
            build=lambda preset, steps, weights: D2fFusionTraining(stage1, preset, steps, weights),
            samples=PAIRS,
            information="picture",
            ablations=STAGE2_ROWS,
            behind={stage1: shipped("d2f", stage1)},
        ),
    )


D2F = _stages("d2f", ResNeXt50.torchvision)
D2F_SMALL = _stages("d2f-small", MobileNetV2.torchvision)
