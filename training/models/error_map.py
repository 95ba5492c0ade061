"""The error map of BokehMe (Peng et al. 2022) by a network of its own: where the scatter is wrong."""

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bokehdata.torch_data import Crop
from renderers.neural.bokehme.error_map import improved_error_map
from renderers.neural.bokehme.network import ErrorMapNet
from training.losses import error_map_bce, error_map_entropy
from training.model import Model, Samples
from training.models.bokehme import FusionBatch, SeenBatch, classical_picture, fusion_planes, seen
from training.module import PlaneBatch, Training
from training.presets import Preset

# A classical picture counts as wrong where its mean absolute error over the channels exceeds this.
WRONG_DISPLAY = 4.0 / 255.0


class ErrorMapBatch(SeenBatch):
    """error_map   where the scatter is expected to be wrong"""

    error_map: PlaneBatch


def error_map_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of an ErrorMapBatch; the map comes from the true disparity, the defocus from the one that is given."""
    known = crop.refocusing
    return {
        "image": crop.image,
        "defocus_px": known.defocus_px,
        "error_map": improved_error_map(known.disparity, known.lens),
    }


class ErrorMapTraining(Training[ErrorMapBatch, FusionBatch]):
    """The error map by its cross-entropy. Precision and recall are those of finding where the scatter is wrong."""

    criterion = "excess_bce"
    larger_is_better = False

    def __init__(self, preset: Preset, steps: int):
        super().__init__(ErrorMapNet(), preset, steps)

    def objective(self, batch: ErrorMapBatch) -> dict[str, Tensor]:
        bce = error_map_bce(self.network(*seen(batch)), batch["error_map"])
        return {"loss": bce, "excess_bce": bce - error_map_entropy(batch["error_map"])}

    def measurements(self, batch: FusionBatch) -> tuple[dict[str, float], list[Tensor]]:
        logit = self.validated(*seen(batch))
        bce = error_map_bce(logit, batch["error_map"])
        measured = (classical_picture(batch) - batch["truth"]).abs().mean(1, keepdim=True)
        precision, recall = precision_and_recall(logit > 0.0, measured > WRONG_DISPLAY)
        numbers = {
            "bce": float(bce),
            "excess_bce": float(bce - error_map_entropy(batch["error_map"])),
            "precision": precision,
            "recall": recall,
        }
        return numbers, [batch["image"], torch.sigmoid(logit), batch["error_map"], measured]


def precision_and_recall(predicted: Tensor, actual: Tensor) -> tuple[float, float]:
    """Part of the predicted pixels that are actual, part of the actual ones that are predicted; nan where none are."""
    both, first, second = (float(mask.sum()) for mask in (predicted & actual, predicted, actual))
    return both / first if first else math.nan, both / second if second else math.nan


ERROR_MAP = Model(
    name="error-map",
    presets={
        "smoke": Preset.smoke(),
        "cpu": replace(Preset.cpu(), steps=4000),
        # BokehMe, section 4.1, as for ARNet.
        "paper": Preset(crop_px=128, batch=16, learning_rate=1e-4, epochs=50),
    },
    build=lambda preset, steps, weights: ErrorMapTraining(preset, steps),
    samples=Samples(ErrorMapBatch, error_map_planes),
    validation_samples=Samples(FusionBatch, fusion_planes),
)
