"""Kernels of the splat: discrete disks and other apertures, stored as the changes of their weights along rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renderers.base import RendererError
from scenes.aperture import Aperture, Disk

# Half-sizes above this are refused: kernels are drawn on their whole window, which would need gigabytes.
REACH_MAX_PX = 1024

# Radii are rounded to kernels that stand 1/512 px apart at focus and 1/36 px at 50 px: the larger a disk, the less of
# it is rim.
_KERNELS_PER_ROOT = 512
_ROOT_AT_FOCUS = 0.5

# Weights are multiples of this part of 1, so that what a kernel adds to a row it takes away without a remainder.
_WEIGHT_STEPS = 2**13

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
    """The defocuses of a picture, quantised: (N,) values for `kernel_bank`, and (H, W) int32 indices into them."""
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
