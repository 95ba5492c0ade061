"""The losses of BokehMe (Peng et al. 2022, Eqs. 10 and 11), of DeepFocus and of the error map, as pure functions.

Pictures are (B, 3, H, W) display values, error maps (B, 1, H, W); every loss is a mean over batch, channels and pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

BCE_WEIGHT = 0.1

# DeepFocus takes logarithms of errors; equal pictures give log10 of this.
_SMALLEST_ERROR = 1e-8


def gradient_l1(prediction: Tensor, truth: Tensor) -> Tensor:
    """L1 of forward differences: the mean along x plus the mean along y."""
    difference = prediction - truth
    return difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()


def picture_l1(prediction: Tensor, truth: Tensor) -> Tensor:
    """L1 of values plus L1 of forward differences."""
    return F.l1_loss(prediction, truth) + gradient_l1(prediction, truth)


def where_it_counts(rendered: Tensor, truth: Tensor, error_map: Tensor, elsewhere: float) -> Tensor:
    """The networks' picture with its errors scaled by the error map, and by `elsewhere` where that is smaller.

    The fused picture shows the networks' only where the scatter is wrong. What they learn in few steps is best spent
    there; elsewhere = 1 asks for the whole picture, as the paper does.
    """
    return rendered if elsewhere == 1.0 else torch.lerp(truth, rendered, error_map.clamp(min=elsewhere))


def iunet_loss(fused: Tensor, rendered: Tensor, truth: Tensor) -> Tensor:
    """Eq. 11: values and differences of the fused picture and of the networks' own."""
    return picture_l1(fused, truth) + picture_l1(rendered, truth)


def arnet_loss(fused: Tensor, rendered: Tensor, truth: Tensor, error_logit: Tensor, error_map: Tensor) -> Tensor:
    """Eq. 10: Eq. 11 and 0.1 times the binary cross-entropy of the error map."""
    return iunet_loss(fused, rendered, truth) + BCE_WEIGHT * error_map_bce(error_logit, error_map)


def error_map_bce(error_logit: Tensor, error_map: Tensor) -> Tensor:
    """Binary cross-entropy with soft targets in [0, 1]; at its best it is `error_map_entropy`, not 0."""
    return F.binary_cross_entropy_with_logits(error_logit, error_map)


def error_map_entropy(error_map: Tensor) -> Tensor:
    """Entropy of the targets, what the cross-entropy cannot fall below; 0 for maps of 0 and 1."""
    entropy = torch.special.entr(error_map) + torch.special.entr(1.0 - error_map)
    return entropy.mean()


def deepfocus_loss(prediction: Tensor, truth: Tensor) -> Tensor:
    """log10 L1 + 1/2 (log10 L1 of x differences + log10 L1 of y differences) (Xiao et al. 2018)."""
    difference = prediction - truth
    parts = (difference, difference.diff(dim=-1), difference.diff(dim=-2))
    values, along_x, along_y = (torch.log10(part.abs().mean() + _SMALLEST_ERROR) for part in parts)
    return values + 0.5 * (along_x + along_y)
