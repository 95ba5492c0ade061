"""Scatter of every pixel into a disk of its own radius, at a cost that grows with the radius and not with its square.

Inside a disk the weight is constant, so along a row it changes only where the row crosses the rim. A pixel adds these
changes, weight(x) - weight(x - 1), to the rows it reaches; one running sum per row then gives the picture. This is the
derivative trick of Wadhwa et al. 2018 (section 4.3), here with soft rims and exact for any profile.

The rows are summed in float64, and weights are multiples of 2^-13, so that what a disk adds to a row it takes away
again without a remainder to speak of, whatever a highlight weighs. Bands of rows belong to one thread each and see the
sources in order: the bytes do not depend on the number of threads. Where the program has started Taichi on CUDA, the
same sums run there (`renderers.splat_taichi`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from renderers.base import RendererError
from renderers.device import on_cuda
from scenes.aperture import Aperture, Disk

# Half-sizes above this are refused: kernels are drawn on their whole window, which would need gigabytes.
REACH_MAX_PX = 1024

# Radii are rounded to kernels that stand 1/512 px apart at focus and 1/36 px at 50 px: the larger a disk, the less of
# it is rim.
_KERNELS_PER_ROOT = 512
_ROOT_AT_FOCUS = 0.5

_WEIGHT_STEPS = 2**13
_BAND_ROWS = 32

Profile = Callable[[NDArray, NDArray, NDArray], NDArray]


@dataclass(frozen=True, eq=False)
class KernelBank:
    """Discrete kernels stored as changes of weight along their rows.

    reach       (N,) int32, half-size h: kernel n covers offsets -h to h
    first_row   (N,) int32, its row dy = -h in `row_taps`
    row_taps    taps of row i are row_taps[i] to row_taps[i + 1]
    offset      x offset of a tap
    step        change of the weight there, relative to that of the offset before
    """

    reach: NDArray[np.int32]
    first_row: NDArray[np.int32]
    row_taps: NDArray[np.int64]
    offset: NDArray[np.int32]
    step: NDArray[np.float32]

    def taps(self, kernel: int) -> int:
        """Number of changes of weight of one kernel: what a source costs."""
        first = self.first_row[kernel]
        return int(self.row_taps[first + 2 * self.reach[kernel] + 1] - self.row_taps[first])

    @property
    def is_one_kernel(self) -> bool:
        return len(self.reach) == 1

    def dense(self, kernel: int = 0) -> NDArray[np.float32]:
        """(2 h + 1, 2 h + 1) weights of one kernel."""
        h = int(self.reach[kernel])
        bounds = self.row_taps[self.first_row[kernel] : self.first_row[kernel] + 2 * h + 2]
        taps = slice(bounds[0], bounds[-1])
        change = np.zeros((2 * h + 1, 2 * h + 2))
        change[np.repeat(np.arange(2 * h + 1), np.diff(bounds)), self.offset[taps] + h] = self.step[taps]
        return np.cumsum(change, axis=1)[:, :-1].astype(np.float32)

    def totals(self) -> NDArray[np.float64]:
        """(N,) sum of each kernel: a change by `step` at `offset` lasts to the end of the row, where all is 0 again."""
        per_tap = np.concatenate([[0.0], np.cumsum(-self.step.astype(np.float64) * self.offset)])
        last_row = self.first_row + 2 * self.reach + 1
        return per_tap[self.row_taps[last_row]] - per_tap[self.row_taps[self.first_row]]


def kernel_bank(defocus_px: NDArray[np.float64], reach_px: NDArray[np.integer], profile: Profile) -> KernelBank:
    """The kernels of some defocuses, in the order given.

    defocus_px   (N,) signed, for apertures that turn; radii where the sign does not matter
    reach_px     (N,) half-sizes h of the square windows
    profile      weight in [0, 1] at offsets dx (1, 1, w) and dy (1, w, 1) for defocuses (n, 1, 1)
    raises       RendererError where a window is too large to be rendered
    """
    if reach_px.max() > REACH_MAX_PX:
        raise RendererError(f"a blur radius of {np.abs(defocus_px).max():.4g} px; at most {REACH_MAX_PX} are rendered")
    rows, offsets, steps = [], [], []
    first_row = np.concatenate([[0], np.cumsum(2 * reach_px + 1)])
    for h in np.unique(reach_px):
        of_size = np.flatnonzero(reach_px == h)
        window = np.arange(-h, h + 1)
        weight = profile(window[None, None, :], window[None, :, None], defocus_px[of_size, None, None])
        weight = np.rint(weight * _WEIGHT_STEPS).astype(np.int32)
        change = np.diff(weight, axis=2, prepend=0, append=0)
        n, dy, dx = np.nonzero(change)
        rows.append(first_row[of_size[n]] + dy)
        offsets.append(dx - h)
        steps.append(change[n, dy, dx])
    row = np.concatenate(rows)
    by_row = np.argsort(row, kind="stable")
    return KernelBank(
        reach=reach_px.astype(np.int32),
        first_row=first_row[:-1].astype(np.int32),
        row_taps=np.searchsorted(row[by_row], np.arange(first_row[-1] + 1)),
        offset=np.concatenate(offsets)[by_row].astype(np.int32),
        step=(np.concatenate(steps)[by_row] / _WEIGHT_STEPS).astype(np.float32),
    )


def nearest_kernels(
    defocus_px: NDArray[np.float32], aperture: Aperture
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """The few defocuses that stand for all of a picture: (N,) values for `kernel_bank` and (H, W) int32 indices."""
    # A disk looks the same from both sides of focus; other shapes have an upright and a turned kernel.
    signed_px = np.abs(defocus_px) if isinstance(aperture, Disk) else defocus_px
    root = np.sqrt(np.abs(signed_px) + np.float32(_ROOT_AT_FOCUS**2)) - np.float32(_ROOT_AT_FOCUS)
    label = np.rint(np.copysign(root, signed_px) * _KERNELS_PER_ROOT).astype(np.int64)
    first = label.min()
    label -= first
    used = np.flatnonzero(np.bincount(label.ravel()))
    index = np.full(used[-1] + 1, -1, np.int32)
    index[used] = np.arange(len(used))
    root_used = (used + first) / _KERNELS_PER_ROOT
    return np.copysign((np.abs(root_used) + _ROOT_AT_FOCUS) ** 2 - _ROOT_AT_FOCUS**2, root_used), index[label]


def splat(values: NDArray[np.float32], kernel: NDArray[np.int32], bank: KernelBank) -> NDArray[np.float32]:
    """Sum over sources y of values(y) times the weight of its kernel at x - y.

    values    (H, W, 4) float32, contiguous
    kernel    (H, W) int32, index into the bank; sources with a negative one are left out
    returns   (H, W, 4) float32; what falls outside the picture is dropped
    """
    if on_cuda():
        from renderers.splat_taichi import splat_taichi

        return splat_taichi(values, kernel, bank)
    if bank.is_one_kernel and kernel.min() >= 0:
        return spread(values, bank)
    out = np.empty_like(values)
    _splat(values, kernel, bank.reach, bank.first_row, bank.row_taps, bank.offset, bank.step, out)
    return out


def spread(values: NDArray[np.float32], bank: KernelBank, kernel: int = 0) -> NDArray[np.float32]:
    """`splat` of sources that all have the same kernel of the bank, at a cost that hardly depends on its size."""
    return _correlated(values, bank.dense(kernel)[::-1, ::-1])


def gather(values: NDArray[np.float32], kernel: NDArray[np.int32], bank: KernelBank) -> NDArray[np.float32]:
    """The transpose of `splat`: sum over y of values(y) times the weight of the kernel of x at y - x.

    values    (H, W) float32
    kernel    (H, W) int32, index into the bank
    returns   (H, W) float32; the picture is zero outside
    """
    cuda = on_cuda()
    if bank.is_one_kernel and not cuda:
        return _correlated(values, bank.dense())
    # Prefix sums P(x) of what stands left of x turn a change of weight into a product with a whole rest of a row.
    prefix = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, dtype=np.float64, out=prefix[:, 1:])
    if cuda:
        from renderers.splat_taichi import gather_taichi

        return gather_taichi(prefix, kernel, bank)
    out = np.empty_like(values)
    _gather(prefix, kernel, bank.reach, bank.first_row, bank.row_taps, bank.offset, bank.step, out)
    return out


def _correlated(values: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum over offsets d of weight(d) values(x + d), at every pixel; by Fourier transform where that is faster."""
    sums = cv2.filter2D(values, -1, weight, borderType=cv2.BORDER_CONSTANT)
    # The transform may leave less than nothing.
    return np.maximum(sums, 0.0, out=sums)


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
            out[y, x] = max(total, 0.0)


@numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)
def _splat(values, kernel, reach, first_row, row_taps, offset, step, out):
    height, width = kernel.shape
    reach_max = reach.max()
    row = width + 2 * reach_max + 1
    for band in numba.prange((height + _BAND_ROWS - 1) // _BAND_ROWS):
        top = band * _BAND_ROWS
        bottom = min(top + _BAND_ROWS, height)
        changes = np.zeros((bottom - top, row * 4), np.float64)
        for y in range(max(top - reach_max, 0), min(bottom + reach_max, height)):
            for x in range(width):
                n = kernel[y, x]
                if n < 0:
                    continue
                h = reach[n]
                first = max(-h, top - y)
                last = min(h, bottom - 1 - y)
                v0 = np.float64(values[y, x, 0])
                v1 = np.float64(values[y, x, 1])
                v2 = np.float64(values[y, x, 2])
                v3 = np.float64(values[y, x, 3])
                if v0 == v1 == v2 == v3 == 0.0:
                    continue
                for dy in range(first, last + 1):
                    i = first_row[n] + dy + h
                    line = changes[y + dy - top]
                    for t in range(row_taps[i], row_taps[i + 1]):
                        o = (x + reach_max + offset[t]) * 4
                        w = np.float64(step[t])
                        cell = line[o : o + 4]
                        cell[0] += w * v0
                        cell[1] += w * v1
                        cell[2] += w * v2
                        cell[3] += w * v3
        for y in range(top, bottom):
            line = changes[y - top]
            target = out[y]
            s0 = s1 = s2 = s3 = 0.0
            for x in range(reach_max + width):
                s0 += line[4 * x]
                s1 += line[4 * x + 1]
                s2 += line[4 * x + 2]
                s3 += line[4 * x + 3]
                if x >= reach_max:  # rounding may leave less than nothing
                    target[x - reach_max, 0] = max(s0, 0.0)
                    target[x - reach_max, 1] = max(s1, 0.0)
                    target[x - reach_max, 2] = max(s2, 0.0)
                    target[x - reach_max, 3] = max(s3, 0.0)
