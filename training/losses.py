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


def dissimilarity(prediction: Tensor, truth: Tensor) -> Tensor:
    """1 - SSIM (Wang et al. 2004) of display values in [0, 1], as `evaluation.metrics.ssim` defines it.

    Gaussian windows of 11 x 11 px, sigma 1.5, whole windows only: each side must have 11 px.
    """
    channels = prediction.shape[1]
    offsets = torch.arange(-5.0, 6.0, dtype=prediction.dtype, device=prediction.device)
    window = torch.exp(-0.5 * (offsets / 1.5) ** 2)
    window = (window / window.sum()).expand(channels, 1, 1, -1)

    def local_mean(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, window, groups=channels), window.mT, groups=channels)

    # Squares of few bits would drown the variances.
    with torch.autocast(prediction.device.type, enabled=False):
        p, t = local_mean(prediction), local_mean(truth)
        variance_p = local_mean(prediction**2) - p**2
        variance_t = local_mean(truth**2) - t**2
        covariance = local_mean(prediction * truth) - p * t
        c1, c2 = 0.01**2, 0.03**2
        luminance = (2 * p * t + c1) / (p**2 + t**2 + c1)
        structure = (2 * covariance + c2) / (variance_p + variance_t + c2)
        return 1.0 - (luminance * structure).mean()


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
