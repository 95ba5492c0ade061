"""The loss of Dr.Bokeh's section 4.3, Eq. 13: L = l1 L1(B, B*) + l2 G(D, I) + l3 H_SSIM(B, B*).

Pictures are (B, 3, H, W) display values, disparities (B, 1, H, W) normalized. Every term is a mean over pixels. The
print has H_SSIM with a plus sign; it must be a dissimilarity.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Sides of the windows of H_SSIM in the released code, pixels.
WINDOWS_PX = (3, 5, 11, 21, 31)

# A display value has no derivative at 0.
_DARK = 1e-4

_LEVELS = 4
_C1, _C2 = 0.01**2, 0.03**2


@dataclass(frozen=True)
class Loss:
    """Weights of the terms, those of the released experiment but for G.

    smoothness   of G. 0.5 in the released experiment, whose network makes smooth maps itself; pixels that are fitted
                 each by itself need more
    windows_px   of SSIM; () leaves it out
    edge         how strongly a step of the picture lets the disparity step: exp(-edge |dI|). 1 in the paper, where a
                 step from black to white still costs a third
    """

    l1: float = 0.5
    smoothness: float = 5.0
    similarity: float = 10.0
    windows_px: tuple[int, ...] = WINDOWS_PX
    edge: float = 10.0

    def __call__(self, rendered: Tensor, blurred: Tensor, disparity: Tensor, sharp: Tensor) -> Tensor:
        loss = self.l1 * F.l1_loss(rendered, blurred) + self.smoothness * roughness(disparity, sharp, self.edge)
        if self.windows_px:
            loss = loss + self.similarity * dissimilarity(rendered, blurred, self.windows_px)
        return loss


# The rows of the paper's second ablation table.
LOSSES = {
    "L1+G": Loss(windows_px=()),
    "L1+G+SSIM": Loss(windows_px=(11,)),
    "L1+G+H-SSIM": Loss(),
}


def shown(linear: Tensor, gamma: float) -> Tensor:
    """Display values as they are compared: clipped, above where their derivative grows without bound."""
    return linear.clamp(_DARK, 1.0) ** (1.0 / gamma)


def roughness(disparity: Tensor, sharp: Tensor, edge: float) -> Tensor:
    """G, Eq. 14: mean of |dD| exp(-edge |dI|) along x and y, over four sizes, each half of the one before."""
    total, levels = disparity.new_zeros(()), 0
    while levels < _LEVELS and min(disparity.shape[-2:]) >= 2:
        for dim in (-1, -2):
            step = sharp.diff(dim=dim).abs().mean(dim=1, keepdim=True)
            total = total + (disparity.diff(dim=dim).abs() * torch.exp(-edge * step)).mean()
        disparity, sharp = F.avg_pool2d(disparity, 2), F.avg_pool2d(sharp, 2)
        levels += 1
    return total / levels


def dissimilarity(rendered: Tensor, blurred: Tensor, windows_px: tuple[int, ...]) -> Tensor:
    """H_SSIM: mean over windows of 1 - SSIM, in windows of equal weight that lie inside the picture.

    A window wider than the picture is as wide as it.
    """
    similarity = torch.stack([_similarity(rendered, blurred, min(w, *rendered.shape[-2:])) for w in windows_px])
    return 1.0 - similarity.mean()


def _similarity(p: Tensor, g: Tensor, side: int) -> Tensor:
    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(F.avg_pool2d(x, (1, side), stride=1), (side, 1), stride=1)

    mean_p, mean_g = mean(p), mean(g)
    variance_p, variance_g = mean(p * p) - mean_p * mean_p, mean(g * g) - mean_g * mean_g
    covariance = mean(p * g) - mean_p * mean_g
    luminance = (2.0 * mean_p * mean_g + _C1) / (mean_p * mean_p + mean_g * mean_g + _C1)
    return (luminance * (2.0 * covariance + _C2) / (variance_p + variance_g + _C2)).mean()
