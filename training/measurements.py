"""What several models measure on a validation picture."""

import math

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from evaluation.metrics import psnr
from renderers.neural.tensors import picture_from_tensor
from training.module import PictureBatch


def shown_psnr(
    picture: PictureBatch, truth: PictureBatch, where: Bool[Tensor, "1 1 height width"] | None = None
) -> float:
    """PSNR in dB of a picture (batch of 1) clipped as it is shown, against a truth in [0, 1].

    where   pixels that count; None for all. nan where there are none
    """
    shown, true = np.clip(picture_from_tensor(picture), 0.0, 1.0), picture_from_tensor(truth)
    if where is not None:
        mask = where[0, 0].cpu().numpy()
        if not mask.any():
            return math.nan
        shown, true = shown[mask], true[mask]
    return psnr(shown, true, data_range=1.0)
