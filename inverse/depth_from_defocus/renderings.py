"""The renderers that depth is sought through: Dr.Bokeh with and without its occlusion, and a Gaussian.

All take linear light (B, 3, H, W) and disparity relative to the focus (B, 1, H, W), normalized, and K in pixels.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from renderers.differentiable.drbokeh import refocus_layers

Rendering = Callable[[Tensor, Tensor, float], Tensor]

# Standard deviations of the Gaussian stand so far apart, pixels; a pixel has a mixture of the two beside its own.
_SIGMA_STEP_PX = 0.5


def drbokeh(linear: Tensor, relative: Tensor, blur_parameter: float) -> Tensor:
    """Single layer, with the leak of the released code."""
    return _drbokeh(linear, relative, blur_parameter, occlusion=True)


def drbokeh_without_occlusion(linear: Tensor, relative: Tensor, blur_parameter: float) -> Tensor:
    return _drbokeh(linear, relative, blur_parameter, occlusion=False)


def _drbokeh(linear: Tensor, relative: Tensor, blur_parameter: float, *, occlusion: bool) -> Tensor:
    layer, depth = linear[:, None], relative[:, None]
    return refocus_layers(layer, torch.ones_like(depth), depth, blur_parameter, 0.0, occlusion=occlusion, leak=True)


def gaussian(linear: Tensor, relative: Tensor, blur_parameter: float) -> Tensor:
    """Gur and Wolf 2019: every pixel scatters into a Gaussian with the variance of its disk, sigma = r / 2.

    sum_y I(y) g / sum_y g. Kernels of the few standard deviations in use are mixed, so that a picture is a few
    convolutions.
    """
    sigma = (0.5 * blur_parameter * relative.abs() / _SIGMA_STEP_PX).clamp(max=1e4)
    count = math.ceil(float(sigma.detach().max())) + 1
    light = torch.cat([linear, torch.ones_like(relative)], dim=1)
    sums = torch.zeros_like(light)
    for i in range(count):
        share = (1.0 - (sigma - i).abs()).clamp(min=0.0)
        sums = sums + blurred_by(light * share, _gaussian_1d(i * _SIGMA_STEP_PX, light))
    return sums[:, :3] / sums[:, 3:].clamp(min=1e-6)


def blurred_by(values: Tensor, kernel: Tensor) -> Tensor:
    """Convolution along both axes; beyond the picture its border repeats."""
    half = len(kernel) // 2
    if half == 0:
        return values
    padded = F.pad(values, (half,) * 4, mode="replicate").transpose(0, 1).flatten(0, 1)[:, None]
    along_x = F.conv2d(padded, kernel.view(1, 1, 1, -1))
    both = F.conv2d(along_x, kernel.view(1, 1, -1, 1))
    return both.view(values.shape[1], values.shape[0], *values.shape[2:]).transpose(0, 1)


def _gaussian_1d(sigma: float, like: Tensor) -> Tensor:
    half = math.ceil(3.0 * sigma)
    offset = torch.arange(-half, half + 1, dtype=like.dtype, device=like.device)
    weight = torch.exp(-0.5 * (offset / max(sigma, 1e-6)) ** 2)
    return weight / weight.sum()


RENDERINGS: dict[str, Rendering] = {
    "drbokeh": drbokeh,
    "drbokeh-no-occlusion": drbokeh_without_occlusion,
    "gaussian": gaussian,
}
