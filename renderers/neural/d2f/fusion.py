"""How D2F's picture of half the size comes to full size: the sharp picture shows where the mask says so.

Beside the network of stage 2, three rows of Table 8 (LP-SR and Conv-Pyramid are networks that the paper does not
describe). Tensors are (B, C, H, W); `sharp` and `blurred` are pictures of one size, `defocus` is |D| (B, 1, H, W).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from renderers.neural.d2f.network import IN_FOCUS
from renderers.neural.layers import padded_to_multiple
from renderers.neural.pyramid import composed, decomposed, reduced

# D at which the mask of naive blending begins to fall, and where it is 0; BRDE does not give them.
_NAIVE_FROM, _NAIVE_TO = 0.15, 0.35

_LEVELS = 5

_STEPS_MAX, _RESIDUAL = 2000, 1e-6


def in_focus(defocus: Tensor) -> Tensor:
    """M_b: 1 where the sharp picture is to show, else 0. The text after Eq. 19 has it the other way round."""
    return (defocus < IN_FOCUS).to(defocus.dtype)


def naive(sharp: Tensor, blurred: Tensor, defocus: Tensor) -> Tensor:
    """A linear ramp from one picture to the other, as BRDE blends them."""
    mask = ((_NAIVE_TO - defocus) / (_NAIVE_TO - _NAIVE_FROM)).clamp(0.0, 1.0)
    return torch.lerp(blurred, sharp, mask)


def laplacian_pyramid(sharp: Tensor, blurred: Tensor, defocus: Tensor) -> Tensor:
    """The differences of both pyramids, blended by the reduced masks (Burt and Adelson 1983)."""
    height, width = sharp.shape[-2:]
    mask = in_focus(defocus)
    sharp, blurred, mask = (padded_to_multiple(x, 2**_LEVELS, 4 * 2**_LEVELS) for x in (sharp, blurred, mask))
    (fine_s, small_s), (fine_b, small_b) = decomposed(sharp, _LEVELS), decomposed(blurred, _LEVELS)
    blended = []
    for s, b in zip(fine_s, fine_b, strict=True):
        blended.append(torch.lerp(b, s, mask))
        mask = reduced(mask)
    return composed(blended, torch.lerp(small_b, small_s, mask))[..., :height, :width]


def poisson(sharp: Tensor, blurred: Tensor, defocus: Tensor) -> Tensor:
    """The Laplacian of the sharp picture where it is to show, and the blurred one elsewhere (Perez et al. 2003).

    Solved by conjugate gradients until the residual is 1e-6 of what it was; beyond the frame nothing is added.
    """
    mask = in_focus(defocus)
    residual = mask * laplacian(sharp - blurred)
    added, direction = torch.zeros_like(residual), residual
    squared = (residual**2).sum()
    goal = squared * _RESIDUAL**2
    for _ in range(_STEPS_MAX):
        if squared <= goal:
            break
        changed = mask * laplacian(direction)
        step = squared / (direction * changed).sum()
        added, residual = added + step * direction, residual - step * changed
        before, squared = squared, (residual**2).sum()
        direction = residual + squared / before * direction
    return blurred + added


def laplacian(x: Tensor) -> Tensor:
    """4 x less the four neighbours, which are 0 beyond the frame."""
    padded = F.pad(x, (1, 1, 1, 1))
    neighbours = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return 4.0 * x - neighbours
