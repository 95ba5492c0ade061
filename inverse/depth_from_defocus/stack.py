"""The focal stack of a sharp picture, and how well each plane of it explains a blurred one.

Planes are disparities relative to the focus, normalized.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from inverse.depth_from_defocus.losses import WINDOWS_PX, shown

# Variance of a window of the sharp picture above which it has an edge that costs do not cross, display values squared.
_EDGE = 1e-3


def stack(linear: Tensor, planes: Tensor, blur_parameter: float) -> Tensor:
    """The picture as if all of it were in one plane, for each of (N,) relative disparities: (N, 3, H, W)."""
    pictures = []
    for d in planes.tolist():
        radius = abs(blur_parameter * d)
        half = math.ceil(radius + 0.5)
        offset = torch.arange(-half, half + 1, dtype=linear.dtype)
        # The part of each pixel inside the disk, its rim as a straight line.
        kernel = (radius + 0.5 - torch.hypot(offset[:, None], offset[None])).clamp(0.0, 1.0)
        if radius < 0.5:
            kernel = torch.lerp((kernel > 0.0).to(kernel) * (torch.hypot(offset[:, None], offset) == 0), kernel, radius)
        padded = F.pad(linear, (half,) * 4, mode="replicate").transpose(0, 1)
        pictures.append(F.conv2d(padded, (kernel / kernel.sum())[None, None]).transpose(0, 1))
    return torch.cat(pictures)


def costs_of(linear: Tensor, blurred: Tensor, planes: Tensor, blur_parameter: float, gamma: float) -> Tensor:
    """How badly each plane explains each pixel: the error over windows of the larger sizes of H_SSIM.

    A window counts the less, the larger it is.

    linear    (1, 3, H, W) sharp picture in linear light
    blurred   (1, 3, H, W) display values
    planes    (N,) relative disparities
    returns   (N, H, W)
    """
    explained = shown(stack(linear, planes, blur_parameter), gamma)
    error = (explained - blurred).abs().mean(dim=1, keepdim=True)
    guide = shown(linear, gamma).mean(dim=1, keepdim=True)
    costs = torch.zeros_like(error)
    for i, side in enumerate(WINDOWS_PX[1:]):
        costs += _smoothed(error, guide, side) * 0.5**i
    return costs[:, 0]


def _smoothed(values: Tensor, guide: Tensor, side: int) -> Tensor:
    """The mean over windows, kept apart where the guide has edges: the guided filter of He et al. 2010."""
    of_guide, of_values = _mean(guide, side), _mean(values, side)
    slope = (_mean(guide * values, side) - of_guide * of_values) / (_mean(guide * guide, side) - of_guide**2 + _EDGE)
    return _mean(slope, side) * guide + _mean(of_values - slope * of_guide, side)


def _mean(values: Tensor, side: int) -> Tensor:
    """Over windows of an odd side; beyond the picture its border repeats. Sums run, so that the side costs nothing."""
    half = side // 2
    for padding in ((half + 1, half, 0, 0), (0, 0, half + 1, half)):
        dim = -1 if padding[0] else -2
        sums = F.pad(values, padding, mode="replicate").cumsum(dim)
        values = (sums.narrow(dim, side, sums.shape[dim] - side) - sums.narrow(dim, 0, sums.shape[dim] - side)) / side
    return values
