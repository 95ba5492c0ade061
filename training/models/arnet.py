"""ARNet, BokehMe's adaptive rendering network (Peng et al. 2022)."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from renderers.neural.bokehme.inference import fused
from renderers.neural.bokehme.network import ARNet
from training.losses import error_map_bce, error_map_entropy, fusion_loss, where_it_counts
from training.model import Model, Samples
from training.models.bokehme import (
    BokehmePreset,
    FusionBatch,
    classical_picture,
    fusion_planes,
    picture_numbers,
    seen,
    with_highlights,
)
from training.module import Training

BCE_WEIGHT = 0.1


def arnet_loss(fused: Tensor, rendered: Tensor, truth: Tensor, error_logit: Tensor, error_map: Tensor) -> Tensor:
    """Eq. 10: Eq. 11 and 0.1 times the binary cross-entropy of the error map."""
    return fusion_loss(fused, rendered, truth) + BCE_WEIGHT * error_map_bce(error_logit, error_map)


class ArnetTraining(Training[FusionBatch, FusionBatch]):
    """ARNet by Eq. 10, at full size: its defocus reaches 1.2."""

    criterion = "fused_psnr"

    def __init__(self, preset: BokehmePreset, steps: int):
        super().__init__(ARNet(), preset, steps)
        self._elsewhere = preset.elsewhere

    def _render(self, network: nn.Module, batch: FusionBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Fused picture, ARNet's own, and the logit of its error map."""
        rendered, logit = network(*seen(batch))
        together = fused(batch["classical"], rendered, torch.sigmoid(logit))
        highlights, gamma = batch["highlights"], batch["gamma"]
        return with_highlights(together, highlights, gamma), with_highlights(rendered, highlights, gamma), logit

    def objective(self, batch: FusionBatch) -> dict[str, Tensor]:
        together, rendered, logit = self._render(self.network, batch)
        truth, error_map = batch["truth"], batch["error_map"]
        bce = error_map_bce(logit, error_map)
        judged = where_it_counts(rendered, truth, error_map, self._elsewhere)
        return {
            "loss": arnet_loss(together, judged, truth, logit, error_map),
            "excess_bce": bce - error_map_entropy(error_map),
        }

    def measurements(self, batch: FusionBatch) -> tuple[dict[str, float], list[Tensor]]:
        together, rendered, logit = self._render(self.validated, batch)
        pictures = {"classical": classical_picture(batch), "rendered": rendered, "fused": together}
        shown = [batch["image"], *pictures.values(), batch["truth"], torch.sigmoid(logit), batch["error_map"]]
        return picture_numbers(batch, pictures), shown


ARNET = Model(
    name="arnet",
    presets={
        "smoke": BokehmePreset.smoke(),
        "cpu": replace(BokehmePreset.cpu(), elsewhere=0.1),
        # Section 4.1: Adam at 1e-4, batches of 16, 50 epochs, K = 12. It does not give the crop; 128 px is that of
        # DeepFocus, whose preprocessing it names.
        "paper": BokehmePreset(crop_px=128, batch=16, learning_rate=1e-4, epochs=50),
    },
    build=lambda preset, steps, weights: ArnetTraining(preset, steps),
    samples=Samples(FusionBatch, fusion_planes),
)
