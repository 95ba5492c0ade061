"""BokehMe's classical renderer (Peng et al. 2022, section 3.2) as it is written down: a loop over every window.

The formula is in `renderers.classical.scatter`; the cost grows with the square of the radius. The fast form is tested
and timed against it.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from renderers.base import RendererError
from runtime.backend import Backend
from scenes.aperture import Disk
from scenes.arrays import Picture, Plane
from scenes.lens import Lens

_BAND_ROWS = 32

# This far inside the rim, tanh(4 (r - rho)) is 1 in float32: a sensible loop computes neither root nor tanh there.
_SATURATED_PX = 2.3


def scatter_plain(linear: Picture, disparity: Plane, lens: Lens, *, arch: Backend = "cpu") -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32; round apertures only."""
    if not isinstance(lens.aperture, Disk):
        raise RendererError(f"scatter-plain renders a round aperture, not {lens.aperture}")
    radius_px = np.abs(lens.defocus_px(disparity))
    sums = np.zeros((*linear.shape[:2], 4), np.float32)
    _scatter(linear, radius_px, sums)
    return sums[..., :3] / sums[..., 3:]


@numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)
def _scatter(linear, radius_px, sums):
    height, width = radius_px.shape
    reach_max = int(radius_px.max()) + 1
    # Bands of target rows keep threads apart, so that nothing needs an atomic sum.
    for band in numba.prange((height + _BAND_ROWS - 1) // _BAND_ROWS):
        top = band * _BAND_ROWS
        bottom = min(top + _BAND_ROWS, height)
        for y in range(max(top - reach_max, 0), min(bottom + reach_max, height)):
            for x in range(width):
                r = radius_px[y, x]
                reach = int(r) + 1
                scale = np.float32(0.5) / (r * r + np.float32(0.2))
                saturated = max(r - np.float32(_SATURATED_PX), np.float32(-1.0))
                saturated = saturated * abs(saturated)
                for ty in range(max(y - reach, top), min(y + reach + 1, bottom)):
                    for tx in range(max(x - reach, 0), min(x + reach + 1, width)):
                        square = np.float32((tx - x) * (tx - x) + (ty - y) * (ty - y))
                        if square < saturated:
                            w = scale + scale
                        else:
                            w = scale + scale * math.tanh(np.float32(4.0) * (r - math.sqrt(square)))
                        sums[ty, tx, 0] += w * linear[y, x, 0]
                        sums[ty, tx, 1] += w * linear[y, x, 1]
                        sums[ty, tx, 2] += w * linear[y, x, 2]
                        sums[ty, tx, 3] += w
