"""Sums over disks with soft rims, differentiable in values and radii, the backward written by hand.

    sums_c(x) = sum_y v_c(y) s(R_y - |x - y|)          `disk_sums`: every pixel y scatters into a disk of its radius
    sums_c(x) = sum_y v_c(y) s(R_x - |x - y|)          `disk_gathers`: every pixel x gathers from a disk of its radius
    s(t) = 1 / (1 + exp(shift - steepness t)),         ds/dR = steepness s (1 - s)

Each is the transpose of the other, so that two loops are all there is. Where s is 1 to the rounding of the tensors, a
row of a disk is one difference of a running sum: that part costs in proportion to the radius. The rim, as wide as
needed, is summed pixel by pixel. There exp(shift - steepness (R - rho)) is a product of a factor of the source and one
of the offset: no exponential is taken for a pair.

Sums are in float64 on the CPU; tensors of other devices are copied there and back. The bytes do not depend on the
number of threads.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

_BAND_ROWS = 32

# Exponentials of offsets are tabled around radii that stand so far apart: none of them overflows.
_TABLE_EVERY_PX = 32
_EXPONENT_MAX = 600.0


@dataclass(frozen=True)
class SoftStep:
    """s(t) at t pixels inside the rim."""

    steepness: float
    shift: float = 0.0

    def tail_px(self, epsilon: float) -> float:
        """How far outside the rim s is above epsilon."""
        return (-math.log(epsilon) - self.shift) / self.steepness

    def full_px(self, epsilon: float) -> float:
        """How far inside the rim 1 - s is above epsilon."""
        return (-math.log(epsilon) + self.shift) / self.steepness


@dataclass(frozen=True, eq=False)
class Disks:
    """The disks of one picture.

    radius    (H, W) float64, pixels
    epsilon   weights below it are left out, those within it of 1 count as 1
    """

    radius: NDArray[np.float64]
    step: SoftStep
    epsilon: float

    @cached_property
    def shape(self) -> tuple[NDArray, NDArray, float, float, float, float]:
        """What the loops are given: radii, tables, and the four numbers of the step."""
        step, tail = self.step, self.step.tail_px(self.epsilon)
        reach = math.ceil(max(float(self.radius.max()) + tail, 0.0))
        tables = _exponentials(step.steepness, -(-reach // 16) * 16)
        return self.radius, tables, step.steepness, step.shift, tail, step.full_px(self.epsilon)

    def scattered(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(C, H, W): each value times its own disk, summed."""
        out = np.zeros(values.shape)
        _scatter(values, *self.shape, out)
        return out

    def gathered(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(C, H, W) twice: the sum over the disk of each pixel, and its derivative with respect to the radius."""
        sums, slopes = np.empty(values.shape), np.empty(values.shape)
        prefix = np.zeros((*values.shape[:2], values.shape[2] + 1))
        np.cumsum(values, axis=2, out=prefix[..., 1:])
        _gather(values, prefix, *self.shape, sums, slopes)
        return sums, slopes


def disk_sums(values: Tensor, radius: Tensor, step: SoftStep) -> Tensor:
    """Every pixel scatters into its disk: (B, C, H, W) from values (B, C, H, W) and radii (B, 1, H, W), pixels.

    float32 or float64; zero outside the picture.
    """
    return _Scatter.apply(values, radius, step)  # pyright: ignore[reportReturnType]


def disk_gathers(values: Tensor, radius: Tensor, step: SoftStep) -> Tensor:
    """Every pixel gathers from its disk: shapes as of `disk_sums`."""
    return _Gather.apply(values, radius, step)  # pyright: ignore[reportReturnType]


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, radius, step):
        ctx.save_for_backward(values, radius)
        ctx.step = step
        return tensor_of([d.scattered(v) for v, d in _items(values, radius, step)], values)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        values, radius = ctx.saved_tensors
        sums, slopes = _gathered(grad_outputs[0], radius, ctx.step)
        return sums, (values * slopes).sum(dim=1, keepdim=True), None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, radius, step):
        sums, slopes = _gathered(values, radius, step)
        ctx.save_for_backward(radius, slopes)
        ctx.step = step
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        radius, slopes = ctx.saved_tensors
        (grad,) = grad_outputs
        scattered = tensor_of([d.scattered(v) for v, d in _items(grad, radius, ctx.step)], grad)
        return scattered, (grad * slopes).sum(dim=1, keepdim=True), None


def _gathered(values: Tensor, radius: Tensor, step: SoftStep) -> tuple[Tensor, Tensor]:
    pairs = [d.gathered(v) for v, d in _items(values, radius, step)]
    return tensor_of([sums for sums, _ in pairs], values), tensor_of([slopes for _, slopes in pairs], values)


def _items(values: Tensor, radius: Tensor, step: SoftStep):
    """(values, disks) of each picture of a batch."""
    epsilon = torch.finfo(values.dtype).eps
    for v, r in zip(arrays_of(values), arrays_of(radius), strict=True):
        yield v, Disks(r[0], step, epsilon)


def arrays_of(tensor: Tensor) -> list[NDArray[np.float64]]:
    """The pictures of a batch: (C, H, W) float64, contiguous."""
    return list(np.ascontiguousarray(tensor.detach().cpu().numpy(), np.float64))


def tensor_of(pictures: list[NDArray[np.float64]], like: Tensor) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).to(like)


@lru_cache(maxsize=8)
def _exponentials(steepness: float, reach: int) -> NDArray[np.float64]:
    """exp(steepness (rho - m)) at offsets (m / 32, |dy|, dx + reach), for m = 0, 32, 64, ..."""
    offset = np.arange(-reach, reach + 1)
    rho = np.hypot(offset[reach:, None], offset[None])
    around = np.arange(reach // _TABLE_EVERY_PX + 2)[:, None, None] * _TABLE_EVERY_PX
    return np.exp(np.clip(steepness * (rho - around), -_EXPONENT_MAX, _EXPONENT_MAX))


@numba.njit(inline="always")
def _row(radius, dy, tail, full):
    """Half-width of a row of a disk, and of its part where the weight is 1: -1 where there is none."""
    outer, inner = radius + tail, radius - full
    half = int(math.sqrt(outer * outer - dy * dy))
    return half, int(math.sqrt(inner * inner - dy * dy)) if inner >= dy else -1


@numba.njit(inline="always")
def _weights(factor, line, first, last, origin, weight):
    """s of the pixels from `first` to before `last` of a row, into `weight`; line[pixel + origin] is of that pixel."""
    for x in range(first, last):
        weight[x - first] = 1.0 / (1.0 + factor * line[x + origin])


@numba.njit(inline="always")
def table_at(r, steepness, shift):
    """The table whose radius R is nearest to r, and exp(shift - steepness (r - R))."""
    table = int(r / _TABLE_EVERY_PX + 0.5)
    return table, math.exp(shift + steepness * (table * _TABLE_EVERY_PX - r))


@numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)
def _scatter(values, radius, tables, steepness, shift, tail, full, out):
    channels, height, width = values.shape
    reach = tables.shape[1] - 1
    for band in numba.prange((height + _BAND_ROWS - 1) // _BAND_ROWS):
        top = np.int64(band) * _BAND_ROWS
        bottom = min(top + _BAND_ROWS, height)
        # What begins and ends at a pixel of a row, where weights are 1.
        changes = np.zeros((bottom - top, channels, width + 1))
        weight = np.empty(2 * reach + 1)
        for y in range(max(top - reach, 0), min(bottom + reach, height)):
            for x in range(width):
                is_dark = True
                for c in range(channels):
                    is_dark &= values[c, y, x] == 0.0
                r = radius[y, x]
                if is_dark or r + tail < 0.0:
                    continue
                table, factor = table_at(r, steepness, shift)
                h = int(r + tail)
                for ty in range(max(y - h, top), min(y + h, bottom - 1) + 1):
                    dy = abs(ty - y)
                    half, whole = _row(r, dy, tail, full)
                    first, last = max(x - half, 0), min(x + half + 1, width)
                    left, right = last, last
                    if whole >= 0:
                        left, right = max(x - whole, 0), min(x + whole + 1, width)
                        for c in range(channels):
                            changes[ty - top, c, left] += values[c, y, x]
                            changes[ty - top, c, right] -= values[c, y, x]
                    line = tables[table, dy]
                    for a, b in ((first, left), (right, last)):
                        _weights(factor, line, a, b, reach - x, weight)
                        for c in range(channels):
                            value, row = values[c, y, x], out[c, ty]
                            for i in range(b - a):
                                row[a + i] += value * weight[i]
        for ty in range(top, bottom):
            for c in range(channels):
                total = 0.0
                for x in range(width):
                    total += changes[ty - top, c, x]
                    out[c, ty, x] += total


@numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)
def _gather(values, prefix, radius, tables, steepness, shift, tail, full, sums, slopes):
    channels, height, width = values.shape
    reach = tables.shape[1] - 1
    for row_index in numba.prange(height):
        y = np.int64(row_index)
        weight, slope = np.empty(2 * reach + 1), np.empty(2 * reach + 1)
        for x in range(width):
            for c in range(channels):
                sums[c, y, x] = 0.0
                slopes[c, y, x] = 0.0
            r = radius[y, x]
            if r + tail < 0.0:
                continue
            table, factor = table_at(r, steepness, shift)
            h = int(r + tail)
            for ty in range(max(y - h, 0), min(y + h, height - 1) + 1):
                dy = abs(ty - y)
                half, whole = _row(r, dy, tail, full)
                first, last = max(x - half, 0), min(x + half + 1, width)
                left, right = last, last
                if whole >= 0:
                    left, right = max(x - whole, 0), min(x + whole + 1, width)
                    for c in range(channels):
                        sums[c, y, x] += prefix[c, ty, right] - prefix[c, ty, left]
                line = tables[table, dy]
                for a, b in ((first, left), (right, last)):
                    _weights(factor, line, a, b, reach - x, weight)
                    for i in range(b - a):
                        slope[i] = steepness * weight[i] * (1.0 - weight[i])
                    for c in range(channels):
                        row = values[c, ty]
                        total, change = 0.0, 0.0
                        for i in range(b - a):
                            total += row[a + i] * weight[i]
                            change += row[a + i] * slope[i]
                        sums[c, y, x] += total
                        slopes[c, y, x] += change
