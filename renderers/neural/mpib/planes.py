"""The planes of MPIB (Peng et al. 2022) and what a lens makes of them, with gradients.

Plane i of N, 0 the farthest, has blend weights omega_i, alpha_i and the colour C_i = omega_i BG + (1 - omega_i) I, in
display values. Far to near, from nothing on,

    B <- B (1 - k_i * alpha_i) + k_i * (alpha_i [C_i^gamma, 1])

with k_i a soft disk of whole radius and unit sum (`renderers.neural.d2f.layers` has the same); the picture is B / B_1.
Tensors are (B, C, H, W); disparities are normalized to [0, 1], and K and the focus are those of that scale.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from renderers.neural.d2f.layers import blurred, kernel

# Planes of less alpha are left out where no gradient is wanted.
_ALPHA_MIN = 1e-3

# Keeps the slope of the root finite at black, and the ratio where there is no plane.
_BLACK, _EPSILON = 1e-4, 1e-8


@dataclass(frozen=True)
class Depths:
    """Where planes lie.

    disparity   (B, N)
    slack       (B, N): a plane is sharp when the focus is no farther from its disparity than this
    """

    disparity: Tensor
    slack: Tensor

    def radius_px(self, blur_parameter: Tensor, focus: Tensor) -> Tensor:
        """(B, N) whole pixels, for K and focus (B)."""
        away = (self.disparity - focus[:, None]).abs() - self.slack
        return torch.round(blur_parameter[:, None] * away.clamp(min=0.0))


def even_depths(planes: int, batch: int, like: Tensor) -> Depths:
    """The centres of equal parts of [0, 1], sharp within half a part."""
    centres = (torch.arange(planes, dtype=like.dtype, device=like.device) + 0.5) / planes
    disparity = centres.expand(batch, -1)
    return Depths(disparity, torch.full_like(disparity, 0.5 / planes))


def fitted_depths(seen: Tensor, behind: Tensor, disparity: Tensor, disparity_behind: Tensor) -> Depths:
    """The mean disparity of the pixels of each plane, sharp within half of their range.

    seen, behind                  (B, N, H, W), 1 where a plane shows the picture, and where the background
    disparity, disparity_behind   (B, 1, H, W) of these two
    """
    masks, values = torch.stack([seen, behind]), torch.stack([disparity, disparity_behind])
    count = masks.sum((0, 3, 4))
    mean = (masks * values).sum((0, 3, 4)) / count.clamp(min=1.0)
    low = torch.where(masks > 0.0, values, torch.inf).amin((0, 3, 4))
    high = torch.where(masks > 0.0, values, -torch.inf).amax((0, 3, 4))
    return Depths(mean, torch.where(count > 0.0, 0.5 * (high - low), 0.0))


def hard_planes(disparity: Tensor, planes: int) -> Tensor:
    """(B, N, H, W): 1 in the one plane of each pixel of a disparity (B, 1, H, W)."""
    number = (disparity * planes).floor().clamp(0, planes - 1)
    return (number == torch.arange(planes, device=disparity.device).reshape(1, -1, 1, 1)).to(disparity.dtype)


def refocused(
    image: Tensor, background: Tensor, omega: Tensor, alpha: Tensor, radius_px: Tensor, gamma: Tensor
) -> Tensor:
    """The planes, blurred and put over each other: (B, 3, H, W) display values at gamma.

    image, background   (B, 3, H, W) display values, not clipped
    omega, alpha        (B, N, H, W)
    radius_px           (B, N) whole pixels
    gamma               (B)
    """
    # Sums of a hundred products of few bits would band the picture; Fourier transforms do not know them.
    with torch.autocast(image.device.type, enabled=False):
        rows = [_of_one(*row) for row in zip(image, background, omega, alpha, radius_px, gamma, strict=True)]
        return torch.stack(rows)


def _of_one(image, background, omega, alpha, radius_px, gamma) -> Tensor:
    total = torch.zeros_like(torch.cat([image, image[:1]]))[None]
    for i, radius in enumerate(radius_px.tolist()):
        if float(alpha[i].detach().max()) < (0.0 if torch.is_grad_enabled() else _ALPHA_MIN):
            continue
        colour = torch.lerp(image, background, omega[i]) ** gamma
        plane = blurred(alpha[i] * torch.cat([colour, torch.ones_like(colour[:1])])[None], disk(radius))
        total = total * (1.0 - plane[:, 3:]) + plane
    linear = total[0, :3] / total[0, 3:].clamp(min=_EPSILON)
    return linear.clamp(min=_BLACK**gamma if torch.is_grad_enabled() else 0.0) ** (1.0 / gamma)


def composite_disparity(alpha: Tensor, depths: Depths) -> Tensor:
    """The disparity that the planes show without blur, (B, 1, H, W)."""
    shown, weight = torch.zeros_like(alpha[:, :1]), torch.zeros_like(alpha[:, :1])
    for i in range(alpha.shape[1]):
        plane = alpha[:, i : i + 1]
        shown = shown * (1.0 - plane) + plane * depths.disparity[:, i].reshape(-1, 1, 1, 1)
        weight = weight * (1.0 - plane) + plane
    return shown / weight.clamp(min=_EPSILON)


def disk(radius_px: float) -> Tensor:
    """The kernel of a whole radius: (2 r + 1, 2 r + 1) of unit sum; no blur at 0."""
    return kernel(2 * math.floor(radius_px) + 1)
