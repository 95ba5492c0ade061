"""Losses that several models share, as pure functions.

Pictures are (B, 3, H, W) display values, error maps (B, 1, H, W) in [0, 1]. Every loss is a mean over batch, channels
and pixels. Equations are those of BokehMe (Peng et al. 2022).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def gradient_l1(prediction: Tensor, truth: Tensor) -> Tensor:
    """L1 of forward differences: the mean along x plus the mean along y."""
    difference = prediction - truth
    return difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()


def picture_l1(prediction: Tensor, truth: Tensor) -> Tensor:
    """L1 of values plus L1 of forward differences."""
    return F.l1_loss(prediction, truth) + gradient_l1(prediction, truth)


def fusion_loss(fused: Tensor, rendered: Tensor, truth: Tensor) -> Tensor:
    """Eq. 11: values and differences of the fused picture and of the networks' own."""
    return picture_l1(fused, truth) + picture_l1(rendered, truth)


def where_it_counts(rendered: Tensor, truth: Tensor, error_map: Tensor, elsewhere: float) -> Tensor:
    """The networks' picture with its errors scaled by the error map, and by `elsewhere` where the map is smaller.

    The fused picture shows the networks' picture only where the scatter is wrong: a short training is best spent there.
    elsewhere = 1 weighs the whole picture alike, as the paper does.
    """
    return rendered if elsewhere == 1.0 else torch.lerp(truth, rendered, error_map.clamp(min=elsewhere))


def error_map_bce(error_logit: Tensor, error_map: Tensor) -> Tensor:
    """Binary cross-entropy with soft targets in [0, 1]. Its smallest value is `error_map_entropy`, not 0."""
    return F.binary_cross_entropy_with_logits(error_logit, error_map)


def error_map_entropy(error_map: Tensor) -> Tensor:
    """Entropy of the targets, the smallest value of the cross-entropy; 0 for maps of 0 and 1."""
    entropy = torch.special.entr(error_map) + torch.special.entr(1.0 - error_map)
    return entropy.mean()
