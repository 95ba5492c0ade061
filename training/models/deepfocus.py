"""DeepFocus (Xiao et al. 2018)."""

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor, nn

from bokehdata.torch_data import Crop
from renderers.neural.deepfocus.inference import WholePicture, deepfocus_inputs
from renderers.neural.deepfocus.network import DeepFocus
from scenes.color import REFERENCE_GAMMA, regraded
from training.measurements import shown_psnr
from training.model import Model, Samples
from training.module import Batch, PictureBatch, PlaneBatch, Training
from training.presets import Preset

# The loss takes logarithms of errors; equal pictures give log10 of this.
_SMALLEST_ERROR = 1e-8


class DeepfocusBatch(Batch):
    """Display values are those of gamma 2.2, whatever the gamma of the picture: the network is told none.

    image            all-in-focus display values, not clipped
    truth            display values, clipped as it is shown and compared
    defocus_px       signed, of the disparity given
    whole_peak       largest display value of each whole picture, at most 1
    whole_range_px   smallest and largest signed defocus of each whole picture
    """

    image: PictureBatch
    truth: PictureBatch
    defocus_px: PlaneBatch
    whole_peak: Float32[Tensor, " batch"]
    whole_range_px: Float32[Tensor, "batch 2"]


def deepfocus_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of a DeepfocusBatch."""
    known, gamma = crop.refocusing, crop.case.gamma
    return {
        "image": regraded(crop.image, gamma, REFERENCE_GAMMA),
        "truth": regraded(np.clip(crop.truth, 0.0, 1.0), gamma, REFERENCE_GAMMA),
        "defocus_px": known.defocus_px,
        "whole_peak": np.array(min(regraded(crop.peak, gamma, REFERENCE_GAMMA), 1.0), np.float32),
        "whole_range_px": known.whole_range_px,
    }


def whole_picture(batch: DeepfocusBatch) -> WholePicture:
    """What inference normalizes by. Signed defocus is disparity but for scale and offset, which cancel."""
    numbers = torch.column_stack([batch["whole_peak"], batch["whole_range_px"]])
    return WholePicture(*numbers.T[..., None, None, None])


def deepfocus_loss(prediction: Tensor, truth: Tensor) -> Tensor:
    """log10 L1 + 1/2 (log10 L1 of x differences + log10 L1 of y differences) of pictures (B, 3, H, W)."""
    difference = prediction - truth
    parts = (difference, difference.diff(dim=-1), difference.diff(dim=-2))
    values, along_x, along_y = (torch.log10(part.abs().mean() + _SMALLEST_ERROR) for part in parts)
    return values + 0.5 * (along_x + along_y)


class DeepfocusTraining(Training[DeepfocusBatch, DeepfocusBatch]):
    """DeepFocus by its own loss; the defocus it sees is unsigned."""

    criterion = "rendered_psnr"

    def __init__(self, preset: Preset, steps: int):
        super().__init__(DeepFocus(), preset, steps)

    def _render(self, network: nn.Module, batch: DeepfocusBatch) -> Tensor:
        whole, defocus_px = whole_picture(batch), batch["defocus_px"]
        # The network's picture is in units of the peak.
        return network(*deepfocus_inputs(batch["image"], defocus_px, defocus_px, whole)) * whole.peak

    def objective(self, batch: DeepfocusBatch) -> dict[str, Tensor]:
        return {"loss": deepfocus_loss(self._render(self.network, batch), batch["truth"])}

    def measurements(self, batch: DeepfocusBatch) -> tuple[dict[str, float], list[Tensor]]:
        rendered = self._render(self.validated, batch)
        return {"rendered_psnr": shown_psnr(rendered, batch["truth"])}, [batch["image"], rendered, batch["truth"]]


DEEPFOCUS = Model(
    name="deepfocus",
    presets={
        "smoke": Preset.smoke(),
        "cpu": Preset.cpu(),
        # Adam at 1e-4, batches of 16, 200 epochs, crops of 128 px, as its release trains; K as for ARNet.
        "paper": Preset(crop_px=128, batch=16, learning_rate=1e-4, epochs=200),
    },
    build=lambda preset, steps, weights: DeepfocusTraining(preset, steps),
    samples=Samples(DeepfocusBatch, deepfocus_planes),
)
