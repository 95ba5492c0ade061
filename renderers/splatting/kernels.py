"""Kernels of the splat: discrete disks and other apertures, stored as the changes of their weights along rows."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from renderers.base import RendererError
from scenes.aperture import Aperture

# Half-sizes above this are refused: kernels are drawn on their whole window, which would need gigabytes.
REACH_MAX_PX = 1024

# Radii are rounded to kernels that stand 1/512 px apart at focus and 1/36 px at 50 px: the larger a disk, the less of
# it is rim.
_KERNELS_PER_ROOT = 512
_ROOT_AT_FOCUS = 0.5

# An aperture that changes over the frame has kernels for cells, so many from the centre of the frame to a corner, and
# fewer radii in each: 1/64 px apart at focus and 1/4 px at 50 px.
_CELLS_TO_CORNER = 32
_KERNELS_PER_ROOT_AND_CELL = 64

# Weights that are drawn at once.
_DRAWN_AT_ONCE = 2**22

# Weights are multiples of this part of 1, so that what a kernel adds to a row it takes away without a remainder.
_WEIGHT_STEPS = 2**13

Profile = Callable[..., NDArray]


class Frame(NamedTuple):
    """Where a picture lies in the frame of a camera, pixels.

    width, height   of the frame
    left, top       of the picture's first pixel, in the frame; negative beyond its border
    """

    width: int
    height: int
    left: int = 0
    top: int = 0

    @property
    def to_corner_px(self) -> float:
        """From the centre of the frame."""
        return math.hypot(self.width, self.height) / 2.0


@dataclass(frozen=True, eq=False)
class KernelBank:
    """Discrete kernels stored as changes of weight along their rows.

    reach       (N,) int32, half-size h: kernel n covers offsets -h to h
    first_row   (N,) int32, its row dy = -h in `row_taps`; kernel after kernel
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

    def cells(self, width: int) -> NDArray[np.int32]:
        """Where each tap lies in a picture of this width, in cells after that of offset 0 in its kernel's first row."""
        rows = np.arange(len(self.row_taps) - 1) - np.repeat(self.first_row, 2 * self.reach + 1)
        return np.repeat(rows * width, np.diff(self.row_taps)).astype(np.int32) + self.offset

    def totals(self) -> NDArray[np.float64]:
        """(N,) sum of each kernel: a change by `step` at `offset` lasts to the end of the row, where all is 0 again."""
        per_tap = np.concatenate([[0.0], np.cumsum(-self.step.astype(np.float64) * self.offset)])
        last_row = self.first_row + 2 * self.reach + 1
        return per_tap[self.row_taps[last_row]] - per_tap[self.row_taps[self.first_row]]


def kernel_bank(
    defocus_px: NDArray[np.float64], reach_px: NDArray[np.integer], profile: Profile, *more: NDArray[np.float64]
) -> KernelBank:
    """The kernels of some defocuses, in the order given.

    defocus_px   (N,) signed, for apertures that turn; radii where the sign does not matter
    reach_px     (N,) half-sizes h of the square windows
    profile      weight >= 0 at offsets dx (1, 1, w) and dy (1, w, 1) for defocuses (n, 1, 1), and for each of:
    more         (N,) further values, which it is given as (n, 1, 1)
    raises       RendererError where a window is too large to be rendered
    """
    if reach_px.max() > REACH_MAX_PX:
        raise RendererError(f"a blur radius of {np.abs(defocus_px).max():.4g} px; at most {REACH_MAX_PX} are rendered")
    rows, offsets, steps = [], [], []
    first_row = np.concatenate([[0], np.cumsum(2 * reach_px + 1)])
    for h in np.unique(reach_px):
        of_size = np.flatnonzero(reach_px == h)
        window = np.arange(-h, h + 1)
        at_once = max(_DRAWN_AT_ONCE // window.size**2, 1)
        for some in np.split(of_size, range(at_once, of_size.size, at_once)):
            of_some = (values[some, None, None] for values in (defocus_px, *more))
            weight = profile(window[None, None, :], window[None, :, None], *of_some)
            weight = np.rint(weight * _WEIGHT_STEPS).astype(np.int32)
            change = np.diff(weight, axis=2, prepend=0, append=0)
            n, dy, dx = np.nonzero(change)
            rows.append(first_row[some[n]] + dy)
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
    label = _labels(defocus_px, aperture, _KERNELS_PER_ROOT)
    first = label.min()
    label -= first
    used = np.flatnonzero(np.bincount(label.ravel()))
    index = np.full(used[-1] + 1, -1, np.int32)
    index[used] = np.arange(len(used))
    return _defocus_of(used + first, _KERNELS_PER_ROOT), index[label]


def nearest_kernels_of_cells(
    defocus_px: NDArray[np.float32], aperture: Aperture, frame: Frame
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    """As `nearest_kernels`, for each cell of the frame its own: (N,) defocuses, (N, 2) fields, and (H, W) indices.

    A field is the centre of a cell, from that of the frame, in units of the distance of its corners.
    """
    height, width = defocus_px.shape
    middle = np.array([frame.width, frame.height]) / 2.0
    cell_px = math.ceil(frame.to_corner_px / _CELLS_TO_CORNER)
    column, row = ((np.arange(n) + first) // cell_px for n, first in ((width, frame.left), (height, frame.top)))
    cell = (row - row[0])[:, None] * (column[-1] - column[0] + 1) + (column - column[0])
    label = _labels(defocus_px, aperture, _KERNELS_PER_ROOT_AND_CELL)
    first, span = label.min(), np.ptp(label) + 1
    used, index = np.unique(cell * span + label - first, return_inverse=True)
    rows, columns = np.divmod(used // span, column[-1] - column[0] + 1)
    centres = (np.stack([columns + column[0], rows + row[0]], axis=-1) + 0.5) * cell_px - middle
    defocuses = _defocus_of(used % span + first, _KERNELS_PER_ROOT_AND_CELL)
    return defocuses, centres / frame.to_corner_px, index.reshape(label.shape).astype(np.int32)


def _labels(defocus_px: NDArray[np.float32], aperture: Aperture, per_root: int) -> NDArray[np.int64]:
    # What is round looks the same from both sides of focus; other shapes have an upright and a turned kernel.
    signed_px = np.abs(defocus_px) if aperture.is_round else defocus_px
    root = np.sqrt(np.abs(signed_px) + np.float32(_ROOT_AT_FOCUS**2)) - np.float32(_ROOT_AT_FOCUS)
    return np.rint(np.copysign(root, signed_px) * per_root).astype(np.int64)


def _defocus_of(label: NDArray[np.int64], per_root: int) -> NDArray[np.float64]:
    root = label / per_root
    return np.copysign((np.abs(root) + _ROOT_AT_FOCUS) ** 2 - _ROOT_AT_FOCUS**2, root)
