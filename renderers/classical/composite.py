"""Pictures composited far to near from slices of about equal defocus, each blurred with one kernel.

This is what SteReFo, RVR, D2F and CoCNet have in common; they differ in where slices lie, in their kernels, and in what
a slice hides. Slices live in signed defocus S = K (d - d_f), in which one pixel of radius is one unit, so no method
depends on the unit of disparity.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from renderers.splatting.kernels import KernelBank
from renderers.splatting.splat import convolve, splat
from runtime.backend import Backend
from scenes.arrays import Picture, Plane

# Changes of weight per pixel of the picture from which on one transform of it all is faster; measured on a CPU.
_DENSE_TAPS = 20.0


class Composite:
    """The picture so far, from the far end: accumulated colour C and weight N as (H, W, 4) float32.

        C <- C (1 - hidden) + k * (M I),     N <- N (1 - hidden) + k * M

    with M the mask of a slice, k its kernel of unit sum and * the convolution, zero outside the picture.
    """

    def __init__(self, linear: Picture, bank: KernelBank, arch: Backend):
        self._source: NDArray[np.float32] = np.concatenate([linear, np.ones_like(linear[..., :1])], axis=-1)
        self._bank = bank
        self._arch: Backend = arch
        self._scale = (1.0 / bank.totals()).astype(np.float32)
        self.accumulated: NDArray[np.float32] = np.zeros_like(self._source)

    def add(
        self, kernel: int, mask: Plane, *, share_of_next: Plane | None = None, blurred_mask_hides: bool = True
    ) -> None:
        """Put the next nearer slice on top.

        kernel               its index in the bank
        mask                 (H, W) float32 in [0, 1], membership of the pixels
        share_of_next        (H, W) float32 in [0, 1], part of each pixel that has the next kernel of the bank instead
        blurred_mask_hides   whether k * M hides what is behind, or M itself
        """
        rows = np.flatnonzero(mask.any(axis=1))
        if not rows.size:
            return
        last = kernel if share_of_next is None else kernel + 1
        reach = int(self._bank.reach[kernel : last + 1].max())
        near = slice(max(rows[0] - reach, 0), rows[-1] + 1 + reach)
        mask = mask[near]
        if share_of_next is None:
            sums = self._blurred(near, mask, kernel)
        else:
            of_next = mask * share_of_next[near]
            sums = self._blurred(near, mask - of_next, kernel) + self._blurred(near, of_next, last)
        _over(self.accumulated[near], sums, np.ascontiguousarray(sums[..., 3]) if blurred_mask_hides else mask)

    def _blurred(self, rows: slice, mask: Plane, kernel: int) -> NDArray[np.float32]:
        """k * (M I) and k * M of some rows, in whose mask all of M lies."""
        values = self._source[rows] * mask[..., None]
        members = mask > 0.0
        if self._arch == "cpu" and members.mean() * self._bank.taps(kernel) > _DENSE_TAPS:
            sums = convolve(values, self._bank, kernel)
        else:
            sums = splat(values, np.where(members, np.int32(kernel), np.int32(-1)), self._bank, self._arch)
        return sums * self._scale[kernel]

    def normalized(self) -> NDArray[np.float32]:
        """C / N: (H, W, 3) float32. Every pixel has weight: at least part of its own light stays with it."""
        return self.accumulated[..., :3] / self.accumulated[..., 3:]


@numba.njit(parallel=True, fastmath=True, error_model="numpy", cache=True)
def _over(accumulated, sums, hidden):
    for y in numba.prange(accumulated.shape[0]):
        for x in range(accumulated.shape[1]):
            # Where kernels of two sizes meet in one slice, their sum may exceed 1.
            transmittance = max(np.float32(1.0) - hidden[y, x], np.float32(0.0))
            for c in range(4):
                accumulated[y, x, c] = accumulated[y, x, c] * transmittance + sums[y, x, c]
