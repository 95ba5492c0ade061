"""Scatter of every pixel into a disk of its own radius, at a cost that grows with the radius and not with its square.

Inside a disk the weight is constant, so along a row it changes only where the row crosses the rim. A pixel adds these
changes, weight(x) - weight(x - 1), to the rows it reaches; one running sum per row then gives the picture. This is the
derivative trick of Wadhwa et al. 2018 (section 4.3), here with soft rims and exact for any profile.

The rows are summed in float64, and weights are multiples of 2^-13, so that what a disk adds to a row it takes away
again with a negligible remainder, also for the brightest highlights. Bands of rows belong to one thread each and see
the sources in order: the bytes do not depend on the number of threads. On a GPU the same sums run in Taichi
(`renderers.splatting.splat_taichi`), except on Metal, which lacks float64.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numba
import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple
from numpy.typing import NDArray

from renderers.splatting.kernels import KernelBank
from runtime import backend
from runtime.backend import Backend

_BAND_ROWS = 32

# Taichi's sums are in float64, which Metal lacks.
_TAICHI: tuple[Backend, ...] = ("cuda", "vulkan")


def splat(
    values: NDArray, kernel: NDArray[np.int32], bank: KernelBank, arch: Backend = "cpu", *, signed: bool = False
) -> NDArray:
    """Sum over sources y of values(y) times the weight of its kernel at x - y.

    values    (H, W, C) float32, contiguous; on the CPU float64 as well
    kernel    (H, W) int32, index into the bank; sources with a negative one are left out
    signed    whether values may be negative, on the CPU only. Otherwise no sum is: rounding may leave less than nothing
    returns   (H, W, C) of the same type; what falls outside the picture is dropped
    raises    BackendError where Taichi runs on something else than `arch`
    """
    if arch in _TAICHI:
        from renderers.splatting.splat_taichi import splat_taichi

        backend.require(arch)
        return splat_taichi(values, kernel, bank)
    if bank.is_one_kernel and kernel.min() >= 0:
        return convolve(values, bank, signed=signed)
    out = np.empty_like(values)
    run = _splat(values.shape[2])
    row = values.shape[1] + 2 * int(bank.reach.max()) + 1
    run(values, kernel, bank.reach, bank.first_row, bank.row_taps, bank.cells(row), bank.step, row, out)
    return out if signed else np.maximum(out, 0.0, out=out)


def convolve(values: NDArray, bank: KernelBank, kernel: int = 0, *, signed: bool = False) -> NDArray:
    """`splat` of sources that all have the same kernel of the bank, at a cost that hardly depends on its size."""
    return _correlate(values, bank.dense(kernel)[::-1, ::-1], signed)


def gather(
    values: NDArray, kernel: NDArray[np.int32], bank: KernelBank, arch: Backend = "cpu", *, signed: bool = False
) -> NDArray:
    """The transpose of `splat`: sum over y of values(y) times the weight of the kernel of x at y - x.

    values    (H, W) float32; on the CPU float64 as well
    kernel    (H, W) int32, index into the bank
    signed    as of `splat`
    returns   (H, W) of the same type; the picture is zero outside
    raises    BackendError where Taichi runs on something else than `arch`
    """
    in_taichi = arch in _TAICHI
    if bank.is_one_kernel and not in_taichi:
        return _correlate(values, bank.dense(), signed)
    # Prefix sums P(x) of what stands left of x turn a change of weight into a product with a whole rest of a row.
    prefix = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, dtype=np.float64, out=prefix[:, 1:])
    if in_taichi:
        from renderers.splatting.splat_taichi import gather_taichi

        backend.require(arch)
        return gather_taichi(prefix, kernel, bank)
    out = np.empty_like(values)
    _gather(prefix, kernel, bank.reach, bank.first_row, bank.row_taps, bank.offset, bank.step, out)
    return out if signed else np.maximum(out, 0.0, out=out)


def _correlate(values: NDArray, weight: NDArray[np.float32], signed: bool) -> NDArray:
    """Sum over offsets d of weight(d) values(x + d), at every pixel; by Fourier transform where that is faster."""
    sums = cv2.filter2D(values, -1, weight, borderType=cv2.BORDER_CONSTANT).reshape(values.shape)
    return sums if signed else np.maximum(sums, 0.0, out=sums)


@numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)
def _gather(prefix, kernel, reach, first_row, row_taps, offset, step, out):
    height, width = kernel.shape
    for y in numba.prange(height):
        for x in range(width):
            n = kernel[y, x]
            h = reach[n]
            total = 0.0
            # The index of a parallel loop is unsigned: -y would be huge.
            for dy in range(max(y - h, 0) - y, min(y + h, height - 1) - y + 1):
                i = first_row[n] + dy + h
                line = prefix[y + dy]
                for t in range(row_taps[i], row_taps[i + 1]):
                    # The steps of a row add up to zero, so only the part left of each counts.
                    total -= np.float64(step[t]) * line[min(max(x + offset[t], 0), width)]
            out[y, x] = total


@cache
def _splat(channels: int) -> Callable[..., None]:
    """The kernel for so many channels, which the compiler must know to hold the values of a source in registers."""

    @numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)
    def run(values, kernel, reach, first_row, row_taps, cell, step, row, out):
        height, width = kernel.shape
        reach_max = reach.max()
        for band in numba.prange((height + _BAND_ROWS - 1) // _BAND_ROWS):
            top = np.int64(band) * _BAND_ROWS
            bottom = min(top + _BAND_ROWS, height)
            changes = np.zeros(((bottom - top) * row, channels), np.float64)
            for y in range(max(top - reach_max, 0), min(bottom + reach_max, height)):
                for x in range(width):
                    n = kernel[y, x]
                    if n < 0:
                        continue
                    h = np.int64(reach[n])
                    low, high = max(top - y, -h), min(bottom - 1 - y, h)
                    if low > high:
                        continue
                    value = to_fixed_tuple(values[y, x], channels)  # pyright: ignore[reportCallIssue]
                    is_dark = True
                    for c in range(channels):
                        is_dark &= value[c] == 0.0
                    if is_dark:
                        continue
                    # All taps of the rows in the band, one after the other. Of an unsigned index, numba does not ask
                    # whether it counts from the end.
                    i, first = first_row[n] + h, (y - h - top) * row + x + reach_max
                    for t in range(row_taps[i + low], row_taps[i + high + 1]):
                        to = np.uint64(first + cell[np.uint64(t)])
                        w = np.float64(step[np.uint64(t)])
                        for c in range(channels):
                            changes[to, c] += w * np.float64(value[c])
            for y in range(top, bottom):
                for c in range(channels):
                    line = changes[(y - top) * row : (y - top + 1) * row, c]
                    total = 0.0
                    for x in range(reach_max + width):
                        total += line[x]
                        if x >= reach_max:
                            out[y, x - reach_max, c] = total

    return run
