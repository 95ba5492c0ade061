"""Dr.Bokeh (Sheng et al. 2023) in torch, differentiable in colour, alpha and disparity, the backward written by hand.

The equations of `renderers.classical.drbokeh` for a round aperture, on tensors of any device and float dtype. The
backward is the corrected one: the paper's Eqs. 10 and 11 differentiate N / W as if each pixel were alone in its sums.

    N(x) = sum_y v s(R_y - |x - y|) - f(x) sum_{y != x} v s(R_y - |x - y|) q(y, x),     v = a I / R_y^2
    f(x) = exp(-3 (K d_x)^2),    q(y, x) = (1 - tanh(10 (d_y - d_x - 0.1))) / 2,    O = 1 - f q

The first sum is over soft disks (`soft_disks`). The second is what O takes away: it is felt in focus only, so that it
is summed pair by pair there and nowhere else. V is a mean over the disk of the target. Sums over pairs have a backward
of their own; all that is done to single pixels is left to autograd.
"""

import math

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from renderers.differentiable.soft_disks import Disks, SoftStep, arrays_of, disk_gathers, disk_sums, table_at, tensor_of

_EPSILON = 1e-8

# 1 / (1 + 10 exp(-3 t)) of the weights, and 1/2 + 1/2 tanh(6 t) of V.
_STEP = SoftStep(steepness=3.0, shift=math.log(10.0))
_RIM = SoftStep(steepness=12.0)

# From this defocus on, exp(-3 S^2) is below 2e-16.
_FOCUS_PX = 3.5

# Exponents of q are cut here, where it is 0 or 1.
_EXPONENT_MAX = 300.0


def refocus_layers(
    rgb: Tensor,
    alpha: Tensor,
    disparity: Tensor,
    blur_parameter: float,
    focus_disparity: float,
    *,
    occlusion: bool = True,
    leak: bool = False,
) -> Tensor:
    """Composite of layers, each blurred with its own sums: (B, 3, H, W) linear light.

    rgb         (B, L, 3, H, W) linear light, layers near to far
    alpha       (B, L, 1, H, W) in [0, 1], straight; the last layer is taken as opaque
    disparity   (B, L, 1, H, W) normalized to [0, 1], defined under alpha 0 as well
    occlusion   whether what is in focus hides what is behind it in its own layer (O); without it O is 1
    leak        replace vanishing derivatives of O by small ones of the same sign, as the released code does
    Beyond the picture its border repeats.
    """
    relative = disparity - focus_disparity
    # No kernel reaches farther than this.
    reach = math.ceil(blur_parameter * float(relative.detach().abs().max())) + 4
    refocused = torch.zeros_like(rgb[:, 0])
    transmittance = torch.ones_like(alpha[:, 0])
    layers = rgb.shape[1]
    for i in range(layers):
        padded = F.pad(torch.cat([rgb[:, i], alpha[:, i], relative[:, i]], dim=1), (reach,) * 4, mode="replicate")
        colour, a, d = padded.split([3, 1, 1], dim=1)
        n, w = layer_sums(colour, a, d, blur_parameter, occlusion=occlusion, leak=leak)
        blurred = (n / (w + _EPSILON))[..., reach:-reach, reach:-reach]
        if i == layers - 1:
            return refocused + transmittance * blurred
        visible = visibility(a, d, blur_parameter)[..., reach:-reach, reach:-reach]
        refocused = refocused + transmittance * visible * blurred
        transmittance = transmittance * (1.0 - visible)
    return refocused


def layer_sums(
    rgb: Tensor, alpha: Tensor, relative: Tensor, blur_parameter: float, *, occlusion: bool = True, leak: bool = False
) -> tuple[Tensor, Tensor]:
    """N (B, 3, H, W) and W (B, 1, H, W) of one layer, zero outside.

    rgb (B, 3, H, W), alpha and disparity relative to the focus (B, 1, H, W); options as of `refocus_layers`.
    """
    radius = blur_parameter * relative.abs() + 1.0
    weighted = torch.cat([rgb * alpha, alpha], dim=1) / radius.square()
    sums = disk_sums(weighted, radius, _STEP)
    if occlusion:
        in_focus = _InFocus.apply(relative, blur_parameter, leak)
        sums = sums - in_focus * _HiddenSums.apply(weighted, radius, relative, blur_parameter, leak)
    return sums[:, :3], sums[:, 3:]


def visibility(alpha: Tensor, relative: Tensor, blur_parameter: float) -> Tensor:
    """V (B, 1, H, W) of one layer, zero outside; inputs as of `layer_sums`."""
    radius = ((blur_parameter * relative).square() + 0.25).sqrt()
    covered, area = disk_gathers(torch.cat([alpha, torch.ones_like(alpha)], dim=1), radius, _RIM).split(1, dim=1)
    return covered / area


class _InFocus(torch.autograd.Function):
    """f of disparities relative to the focus."""

    @staticmethod
    def forward(ctx, relative, blur_parameter, leak):
        in_focus = torch.exp(-3.0 * (blur_parameter * relative).square())
        ctx.save_for_backward(relative, in_focus)
        ctx.options = (blur_parameter, leak)
        return in_focus

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        relative, in_focus = ctx.saved_tensors
        blur_parameter, leak = ctx.options
        slope = 6.0 * blur_parameter**2 * relative * in_focus
        return -grad_outputs[0] * (_leaked(slope) if leak else slope), None, None


class _HiddenSums(torch.autograd.Function):
    """sum_{y != x} v_c(y) s(R_y - |x - y|) q(y, x) at the pixels x in focus, 0 elsewhere: (B, C, H, W)."""

    @staticmethod
    def forward(ctx, weighted, radius, relative, blur_parameter, leak):
        sums, slopes = [], []
        for of_pairs, v in zip(_pairs(radius, relative, blur_parameter, leak), arrays_of(weighted), strict=True):
            both = np.zeros((2, *v.shape))
            _hide(v, *of_pairs, *both)
            sums.append(both[0])
            slopes.append(both[1])
        ctx.save_for_backward(weighted, radius, relative, tensor_of(slopes, weighted))
        ctx.options = (blur_parameter, leak)
        return tensor_of(sums, weighted)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        weighted, radius, relative, slopes = ctx.saved_tensors
        (grad,) = grad_outputs
        of_weighted, of_radius, of_source = [], [], []
        items = zip(_pairs(radius, relative, *ctx.options), arrays_of(weighted), arrays_of(grad), strict=True)
        for of_pairs, v, g in items:
            by_weight, by_place = np.zeros(v.shape), np.zeros((2, 1, *v.shape[1:]))
            _hide_backward(v, g, *of_pairs, by_weight, by_place)
            of_weighted.append(by_weight)
            of_radius.append(by_place[0])
            of_source.append(by_place[1])
        of_target = (grad * slopes).sum(dim=1, keepdim=True)
        of_relative = of_target - tensor_of(of_source, relative)
        return tensor_of(of_weighted, weighted), tensor_of(of_radius, radius), of_relative, None, None


def _pairs(radius: Tensor, relative: Tensor, blur_parameter: float, leak: bool):
    """What `_hide` and its backward are given of each picture of a batch."""
    epsilon = torch.finfo(radius.dtype).eps
    for r, d in zip(arrays_of(radius), arrays_of(relative), strict=True):
        in_focus = np.abs(blur_parameter * d[0]) <= _FOCUS_PX
        columns = np.nonzero(in_focus)[1]
        # before[y, x]: how many pixels in focus come before (y, x), row by row.
        before = np.zeros((in_focus.shape[0], in_focus.shape[1] + 1), np.int64)
        np.cumsum(in_focus, axis=1, out=before[:, 1:])
        before += np.concatenate([[0], np.cumsum(before[:, -1])[:-1]])[:, None]
        source = np.exp(np.clip(20.0 * d[0] - 2.0, -_EXPONENT_MAX, _EXPONENT_MAX))
        target = np.exp(np.clip(-20.0 * d[0][in_focus], -_EXPONENT_MAX, _EXPONENT_MAX))
        radius_px, tables, steepness, shift, tail, _ = Disks(r[0], _STEP, epsilon).shape
        yield columns, before, source, target, leak, radius_px, tables, steepness, shift, tail


def _leaked(slope: Tensor) -> Tensor:
    """The slope, kept away from zero in two steps: at least 1e-2 above 1e-4, at least 1e-3 above 1e-6."""
    size = slope.abs()
    floor = torch.where(size >= 1e-4, 1e-2, torch.where(size >= 1e-6, 1e-3, 0.0)).to(slope)
    return torch.where(size >= 1e-2, slope, torch.where(floor > 0.0, slope.sign() * floor, slope))


@numba.njit(inline="always")
def _slope_of_q(q, leak):
    """-dq/dd_y = dq/dd_x, with the leak of the released code: that of tanh(u) / 2."""
    slope = 20.0 * q * (1.0 - q)
    if leak and slope < 1e-2:
        slope = 1e-2 if slope >= 1e-4 else 1e-3 if slope >= 1e-6 else slope
    return slope


@numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)
def _hide(values, columns, before, source, target, leak, radius, tables, steepness, shift, tail, sums, slopes):
    channels, height, width = values.shape
    reach, band_rows = tables.shape[1] - 1, 32
    for band in numba.prange((height + band_rows - 1) // band_rows):
        top = np.int64(band) * band_rows
        bottom = min(top + band_rows, height)
        for y in range(max(top - reach, 0), min(bottom + reach, height)):
            for x in range(width):
                r = radius[y, x]
                table, factor = table_at(r, steepness, shift)
                h = int(r + tail)
                for ty in range(max(y - h, top), min(y + h, bottom - 1) + 1):
                    dy = abs(ty - y)
                    half = int(math.sqrt((r + tail) * (r + tail) - dy * dy))
                    first, last = before[ty, max(x - half, 0)], before[ty, min(x + half + 1, width)]
                    for i in range(first, last):
                        tx = columns[i]
                        if tx == x and dy == 0:
                            continue
                        weight = 1.0 / (1.0 + factor * tables[table, dy, tx - x + reach])
                        q = 1.0 / (1.0 + source[y, x] * target[i])
                        slope = _slope_of_q(q, leak)
                        for c in range(channels):
                            sums[c, ty, tx] += values[c, y, x] * weight * q
                            slopes[c, ty, tx] += values[c, y, x] * weight * slope


@numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)
def _hide_backward(
    values, grad, columns, before, source, target, leak, radius, tables, steepness, shift, tail, by_weight, by_place
):
    channels, height, width = values.shape
    reach = tables.shape[1] - 1
    for row in numba.prange(height):
        y = np.int64(row)
        for x in range(width):
            r = radius[y, x]
            table, factor = table_at(r, steepness, shift)
            h = int(r + tail)
            of_radius, of_source = 0.0, 0.0
            for ty in range(max(y - h, 0), min(y + h, height - 1) + 1):
                dy = abs(ty - y)
                half = int(math.sqrt((r + tail) * (r + tail) - dy * dy))
                first, last = before[ty, max(x - half, 0)], before[ty, min(x + half + 1, width)]
                for i in range(first, last):
                    tx = columns[i]
                    if tx == x and dy == 0:
                        continue
                    weight = 1.0 / (1.0 + factor * tables[table, dy, tx - x + reach])
                    q = 1.0 / (1.0 + source[y, x] * target[i])
                    gain = 0.0
                    for c in range(channels):
                        by_weight[c, y, x] += weight * q * grad[c, ty, tx]
                        gain += values[c, y, x] * grad[c, ty, tx]
                    of_radius += gain * steepness * weight * (1.0 - weight) * q
                    of_source += gain * weight * _slope_of_q(q, leak)
            by_place[0, 0, y, x] = of_radius
            by_place[1, 0, y, x] = of_source
