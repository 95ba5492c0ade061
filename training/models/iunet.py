"""IUNet, BokehMe's iterative upsampling network (Peng et al. 2022), behind a trained ARNet."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bokehdata.torch_data import Crop
from renderers.neural.bokehme.dilated_defocus import dilated_defocus_px
from renderers.neural.bokehme.inference import DEFOCUS_UNIT_PX, fused, upsampled
from renderers.neural.bokehme.network import ARNet, IUNet
from renderers.neural.checkpoints import loaded
from renderers.neural.layers import resized
from renderers.neural.renderer import shipped
from training.losses import fusion_loss, where_it_counts
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
from training.models.sharp_start import start_sharp
from training.module import PlaneBatch, Training


class IunetBatch(FusionBatch):
    """dilated_px   the dilated defocus, of the disparity given"""

    dilated_px: PlaneBatch


def iunet_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of an IunetBatch."""
    return {**fusion_planes(crop), "dilated_px": dilated_defocus_px(crop.refocusing.defocus_px)}


class IunetTraining(Training[IunetBatch, IunetBatch]):
    """IUNet by Eq. 11, behind a frozen ARNet at half size: one step of upsampling, masked as at inference."""

    criterion = "fused_psnr"

    def __init__(self, preset: BokehmePreset, steps: int, arnet: nn.Module):
        network = IUNet()
        start_sharp(network)
        super().__init__(network, preset, steps)
        self._elsewhere = preset.elsewhere
        # In a list it is no part of this module: not trained, not saved in checkpoints.
        self._frozen = [arnet]

    def on_fit_start(self) -> None:
        self._frozen[0].to(self.device)

    def _render(self, network: nn.Module, batch: IunetBatch) -> tuple[Tensor, Tensor]:
        """Fused picture and the networks' own."""
        image, defocus, gamma = seen(batch)
        half = (image.shape[-2] // 2, image.shape[-1] // 2)
        with torch.no_grad():
            coarse, logit = self._frozen[0](resized(image, half), resized(defocus, half) / 2.0, gamma)
            error = resized(torch.sigmoid(logit), image.shape[-2:])
        dilated = batch["dilated_px"] / DEFOCUS_UNIT_PX
        rendered = upsampled(network, image, defocus, dilated, coarse.clamp(min=0.0), gamma)
        together = fused(batch["classical"], rendered, error)
        highlights, gamma = batch["highlights"], batch["gamma"]
        return with_highlights(together, highlights, gamma), with_highlights(rendered, highlights, gamma)

    def objective(self, batch: IunetBatch) -> dict[str, Tensor]:
        together, rendered = self._render(self.network, batch)
        judged = where_it_counts(rendered, batch["truth"], batch["error_map"], self._elsewhere)
        return {"loss": fusion_loss(together, judged, batch["truth"])}

    def measurements(self, batch: IunetBatch) -> tuple[dict[str, float], list[Tensor]]:
        together, rendered = self._render(self.validated, batch)
        pictures = {"classical": classical_picture(batch), "rendered": rendered, "fused": together}
        return picture_numbers(batch, pictures), [batch["image"], *pictures.values(), batch["truth"]]


IUNET = Model(
    name="iunet",
    presets={
        "smoke": replace(BokehmePreset.smoke(), blur_parameter_max=24.0),
        "cpu": replace(BokehmePreset.cpu(), crop_px=128, steps=12000, blur_parameter_max=24.0, elsewhere=0.1),
        # Section 4.1: as for ARNet, but K = 24. The crop is twice as large because the blur is.
        "paper": BokehmePreset(
            crop_px=256, batch=16, learning_rate=1e-4, epochs=50, blur_parameter_min=24.0, blur_parameter_max=24.0
        ),
    },
    build=lambda preset, steps, weights: IunetTraining(preset, steps, loaded(ARNet(), weights["arnet"])),
    samples=Samples(IunetBatch, iunet_planes),
    behind={"arnet": shipped("bokehme", "arnet")},
)
