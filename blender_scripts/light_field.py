"""All pictures of a bokeh stack from the same pinhole views.

A picture with a lens is the mean of pinhole pictures that are taken from the points of the lens. With the camera at a
lens point s of the largest aperture, what has disparity d is seen K s d pixels farther to the other side (K of the
largest aperture, `scenes.lens`). A view shifted back by K s d_f belongs to the picture focused on d_f. Nothing else
depends on the focus, and smaller apertures take the views inside them. Every view is added to all pictures as it
arrives, and is then forgotten.

The pixel of a picture is box+tent. Cycles averages over the area of a pixel (box), and a shift by a part of a pixel
takes the weighted mean of two neighbours. Over many views, the parts of the shifts are evenly spread over a pixel,
since each view has an offset of its own, and the weights of the neighbours form a tent.

The views are in two halves. Each picture's noise is half the display RMSE between the means of the two. Its samples are
the views in its aperture.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from scenes.arrays import Picture
from scenes.color import HALF_MAX, REFERENCE_GAMMA

# The rule of the tracer (raytrace/convergence.py): the estimated noise of no block of this many pixels a side exceeds
# the noise asked for by more than this factor.
_BLOCK = 16
_BLOCK_LIMIT = 3.0

# float32 colours of two halves.
_BYTES_PER_PIXEL = 2 * 3 * 4


@dataclass(frozen=True)
class Noise:
    """Estimated display RMSE against the converged picture.

    picture   over the whole picture
    block     of the worst block of 16 x 16 pixels
    """

    picture: float
    block: float

    def is_below(self, limit: float) -> bool:
        """Whether the picture meets the limit, and every block three times the limit."""
        return self.picture <= limit and self.block <= _BLOCK_LIMIT * limit


class LightFieldSums:
    """Running sums of views for levels x focuses pictures of height x width pixels.

    overscan   pixels that the views extend beyond the pictures on every side
    sums       (2, focuses, levels, height, 3 width) float32, of weight times colour, for each half
    weights    (2, levels) float64, the sums of the weights
    counts     (levels,) int64, number of views with a weight above 0
    """

    def __init__(self, levels: int, focuses: int, width: int, height: int, overscan: int):
        self._overscan = overscan
        self.sums = np.zeros((2, focuses, levels, height, 3 * width), np.float32)
        self.weights = np.zeros((2, levels))
        self.counts = np.zeros(levels, np.int64)

    def add(self, half: int, view: Picture, shift_px: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
        """Add a view.

        half       0 or 1
        view       (height + 2 overscan, width + 2 overscan, 3) linear light
        shift_px   (focuses, 2): content moves this far to the right and down; below the overscan in size
        weights    (levels,) >= 0
        """
        _, _, _, height, row = self.sums.shape
        extended = (height + 2 * self._overscan, row // 3 + 2 * self._overscan, 3)
        if view.shape != extended:
            raise ValueError(f"the view is {view.shape}; it must be {extended}")
        source = self._overscan - shift_px[:, ::-1]
        first = np.floor(source).astype(np.int64)
        if first.min() < 0 or first.max() >= 2 * self._overscan:
            raise ValueError(f"a shift of {np.abs(shift_px).max():.2f} px leaves the overscan of {self._overscan} px")
        # A shader that fails gives no number.
        finite = np.nan_to_num(view, nan=0.0, posinf=HALF_MAX, neginf=0.0).reshape(extended[0], -1)
        _add(self.sums[half], finite, first, (source - first).astype(np.float32), weights.astype(np.float32))
        self.weights[half] += weights
        self.counts += weights > 0.0

    def picture(self, level: int, focus: int) -> Picture:
        """The mean of all views: (height, width, 3) linear light, at most 65504."""
        total = self.sums[0, focus, level] + self.sums[1, focus, level]
        return _picture(total, self.weights[:, level].sum())

    def half(self, half: int, level: int, focus: int) -> Picture:
        """The mean of the views of a half. There must be one in the aperture."""
        return _picture(self.sums[half, focus, level], self.weights[half, level])

    def noise(self, level: int, focus: int) -> Noise:
        """The noise of a picture. Both halves must have a view in the aperture."""
        shown = [self.half(half, level, focus).clip(0.0, 1.0) ** (1.0 / REFERENCE_GAMMA) for half in (0, 1)]
        square = np.square((shown[0] - shown[1]) / 2.0).mean(axis=2, dtype=np.float64)
        return Noise(float(np.sqrt(square.mean())), float(np.sqrt(_block_means(square).max())))

    def is_below(self, limit: float) -> bool:
        """Whether the noise of every picture is below a limit."""
        return all(noise.is_below(limit) for noise in self.noises())

    def noises(self) -> Iterator[Noise]:
        """The noise of every picture."""
        _, focuses, levels = self.sums.shape[:3]
        return (self.noise(level, focus) for level in range(levels) for focus in range(focuses))


def sums_bytes(pictures: int, width: int, height: int) -> int:
    """Memory of the sums of some pictures. It does not depend on the number of views."""
    return pictures * width * height * _BYTES_PER_PIXEL


def _picture(total: NDArray[np.float32], weight: float) -> Picture:
    """Light clipped to the range of half floats."""
    mean = total * np.float32(1.0 / weight)
    return np.clip(mean, 0.0, HALF_MAX).reshape(len(mean), -1, 3)


def _block_means(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over blocks. Those at the right and lower border may be smaller."""
    begins = [np.arange(0, length, _BLOCK) for length in plane.shape]
    sums = np.add.reduceat(np.add.reduceat(plane, begins[0], axis=0), begins[1], axis=1)
    sizes = [np.diff(begin, append=length) for begin, length in zip(begins, plane.shape, strict=True)]
    return sums / np.outer(*sizes)


# Every value is changed by one thread, view after view, so the sums do not depend on the number of threads.
@numba.njit(parallel=True, boundscheck=False, error_model="numpy", cache=True)
def _add(sums, view, first, part, weights):
    """Add a shifted view to all pictures of a half.

    sums    (focuses, levels, height, 3 width) float32
    view    (rows, 3 columns) float32
    first   (focuses, 2) int64, row and column of the view that the upper left pixel begins at
    part    (focuses, 2) float32, part of a pixel by which it begins further down and to the right
    """
    num_focuses, num_levels, height, row = sums.shape
    one = np.float32(1.0)
    for i in numba.prange(num_focuses * height):
        focus, y = i // height, i % height
        wy, wx = part[focus, 0], part[focus, 1]
        begin = 3 * first[focus, 1]
        upper = view[first[focus, 0] + y, begin : begin + row + 3]
        lower = view[first[focus, 0] + y + 1, begin : begin + row + 3]
        across = np.empty(row + 3, np.float32)
        for x in range(row + 3):
            across[x] = (one - wy) * upper[x] + wy * lower[x]
        shifted = np.empty(row, np.float32)
        for x in range(row):
            shifted[x] = (one - wx) * across[x] + wx * across[x + 3]
        for level in range(num_levels):
            weight = weights[level]
            if weight > 0.0:
                target = sums[focus, level, y]
                for x in range(row):
                    target[x] += weight * shifted[x]
