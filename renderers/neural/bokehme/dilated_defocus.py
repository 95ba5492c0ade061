"""BokehMe's dilated signed defocus (Peng et al. 2022, section 3.3): S^d(x) = max trunc(S_y) over y with |x - y| <= r_y.

The largest value wins, so sources are taken from large to small and each pixel is filled once, by the first disk that
covers it. Filled pixels of a row are skipped over with a union-find, and a disk is a handful of row spans: the cost
grows with the radius, not its square.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from scenes.arrays import Plane

_BAND_ROWS = 32


def dilated_defocus_px(defocus_px: Plane) -> NDArray[np.float32]:
    """Signed defocus spread over the blur disks: (H, W) float32, whole pixels, never below trunc(S) of the pixel."""
    whole = np.trunc(defocus_px).astype(np.int32)
    order = np.argsort(-whole.ravel(), kind="stable")
    dilated = np.empty_like(defocus_px)
    _fill(order, np.abs(defocus_px), whole, dilated)
    return dilated


@numba.njit(inline="always")
def _next_empty(following, x):
    """First empty pixel from x on; shortens the path it took."""
    while following[x] != x:
        following[x] = following[following[x]]
        x = following[x]
    return x


@numba.njit(parallel=True, boundscheck=False, cache=True)
def _fill(order, radius_px, whole, dilated):
    height, width = whole.shape
    reach = int(radius_px.max())
    for band in numba.prange((height + _BAND_ROWS - 1) // _BAND_ROWS):
        top = np.int64(band) * _BAND_ROWS
        bottom = min(top + _BAND_ROWS, height)
        # following[row, x] is x where the pixel is empty, else a pixel to the right; `width` ends the row.
        following = np.empty((bottom - top, width + 1), np.int32)
        for row in range(bottom - top):
            for x in range(width + 1):
                following[row, x] = x
        for i in range(order.shape[0]):
            y, x = order[i] // width, order[i] % width
            if y < top - reach or y >= bottom + reach:
                continue
            r = radius_px[y, x]
            value = whole[y, x]
            for ty in range(max(y - int(r), top), min(y + int(r) + 1, bottom)):
                half = int(np.sqrt(np.float64(r) * r - (ty - y) * (ty - y)))
                row = following[ty - top]
                last = min(x + half, width - 1)
                tx = _next_empty(row, max(x - half, 0))
                while tx <= last:
                    dilated[ty, tx] = value
                    row[tx] = tx + 1
                    tx = _next_empty(row, tx + 1)
