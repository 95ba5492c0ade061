"""The Laplacian pyramid of Burt and Adelson (1983) on tensors (B, C, H, W) of even sides."""

import torch
import torch.nn.functional as F
from torch import Tensor

# In units of a sixteenth.
_BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


def reduced(x: Tensor) -> Tensor:
    """Half the size: the 5 x 5 binomial filter, then every other pixel. Borders are mirrored."""
    return _filtered(x)[..., ::2, ::2]


def expanded(x: Tensor) -> Tensor:
    """Twice the size: zeros between pixels, then four times the same filter."""
    b, c, h, w = x.shape
    spread = x.new_zeros(b, c, 2 * h, 2 * w)
    spread[..., ::2, ::2] = 4.0 * x
    return _filtered(spread)


def decomposed(x: Tensor, levels: int) -> tuple[list[Tensor], Tensor]:
    """The differences of `levels` levels, from the finest on, and the picture that is left."""
    differences = []
    for _ in range(levels):
        small = reduced(x)
        differences.append(x - expanded(small))
        x = small
    return differences, x


def composed(differences: list[Tensor], small: Tensor) -> Tensor:
    """The picture of its pyramid: the inverse of `decomposed`, exact up to rounding."""
    for difference in reversed(differences):
        small = expanded(small) + difference
    return small


def _filtered(x: Tensor) -> Tensor:
    channels = x.shape[1]
    kernel = (x.new_tensor(_BINOMIAL) / 16.0).expand(channels, 1, 1, -1)
    # A pyramid of few bits would not add up to its picture.
    with torch.autocast(x.device.type, enabled=False):
        x = F.conv2d(F.pad(x, (2, 2, 0, 0), mode="reflect"), kernel, groups=channels)
        return F.conv2d(F.pad(x, (0, 0, 2, 2), mode="reflect"), kernel.mT, groups=channels)
