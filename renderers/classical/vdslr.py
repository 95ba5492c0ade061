"""VDSLR (Yang et al. 2016): rays through the lens meet the height field of the disparity, B(x) = mean_s I(q(s)).

    q = x + delta s  at the nearest delta with S(q) >= delta,     S the signed defocus of pixels

The search goes from near to far over 8 strata with one random delta each (in the pixel's own stratum its own S, so that
no surface in focus is missed), then halves the bracket four times. A ray whose hit lies farther than one stratum from
the surface has passed an edge into what the picture does not show, and is dropped. The paper's own search is not
public; these choices are ours. On a GPU the rays are those of `renderers.classical.vdslr_taichi`.
"""

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from runtime import backend
from runtime.backend import Backend
from scenes.aperture import aperture_points
from scenes.arrays import Picture, Plane
from scenes.lens import Lens

_LENS_POINTS = 128
_STRATA = 8
_BISECTIONS = 4

# Each pixel takes one of these many lens sets, so that what a set misses does not show as a pattern.
_LENS_SETS = 64

# Taichi's random numbers are in float64, which Metal lacks.
_TAICHI: tuple[Backend, ...] = ("cuda", "vulkan")

# Steps of additive recurrences: even for any count, and unrelated to each other (Roberts 2018).
_GOLDEN, _PLASTIC = 0.6180339887498949, 0.7548776662466927


def vdslr(linear: Picture, disparity: Plane, lens: Lens, *, arch: Backend = "cpu") -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32. Beyond the picture its border pixels repeat."""
    defocus_px = lens.defocus_px(disparity)
    turns = (np.arange(_LENS_SETS) * _GOLDEN) % 1.0
    points = np.stack([aperture_points(lens.aperture, _LENS_POINTS, turn=turn) for turn in turns])
    # A ray meets nothing nearer than the nearest pixel within its reach, and need not look for it.
    reach = int(np.ceil(np.abs(defocus_px).max())) + 1
    within_reach = cv2.dilate(defocus_px, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    out = np.empty_like(linear)
    planes = (linear, defocus_px, within_reach, points.astype(np.float32), defocus_px.max(), defocus_px.min())
    if arch in _TAICHI:
        from renderers.classical.vdslr_taichi import trace

        backend.require(arch)
        trace(*planes, _STRATA, _BISECTIONS, _GOLDEN, _PLASTIC, out)
    else:
        _trace(*planes, out)
    return out


@numba.njit(inline="always")
def _nearest(position, size):
    return min(max(int(np.floor(position + np.float32(0.5))), 0), size - 1)


@numba.njit(inline="always")
def _shuffled(i):
    """A 32-bit integer with its bits well mixed (Wellons' lowbias32)."""
    # numba widens products to 64 bits.
    i = np.uint32(i)
    i = np.uint32(np.uint32(i ^ (i >> np.uint32(16))) * np.uint32(0x7FEB352D))
    i = np.uint32(np.uint32(i ^ (i >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(i ^ (i >> np.uint32(16)))


@numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)
def _trace(linear, defocus_px, within_reach, points, nearest_px, farthest_px, out):
    height, width = defocus_px.shape
    stratum = (nearest_px - farthest_px) / np.float32(_STRATA)
    for y in numba.prange(height):
        for x in range(width):
            bits = _shuffled(y * width + x)
            lens_set = points[bits % np.uint32(_LENS_SETS)]
            start = np.float64(bits) / 2.0**32
            nearest_in_reach = within_reach[y, x]
            r = g = b = np.float32(0.0)
            hits = 0
            own = min(int((nearest_px - defocus_px[y, x]) / max(stratum, np.float32(1e-6))), _STRATA - 1)
            for i in range(lens_set.shape[0]):
                sx, sy = lens_set[i, 0], lens_set[i, 1]
                # Bracket the surface: at `above` the ray is still in front of it, at `delta` it is not.
                above = delta = nearest_px
                for j in range(_STRATA + 1):
                    above = delta
                    if j == own:
                        delta = defocus_px[y, x]
                    elif j < _STRATA:
                        u = start + i * _GOLDEN + j * _PLASTIC
                        delta = nearest_px - (np.float32(j) + np.float32(u - np.floor(u))) * stratum
                    else:
                        # Nothing lies behind the farthest pixel: this step always hits.
                        delta = farthest_px
                    if delta > nearest_in_reach:
                        continue
                    if defocus_px[_nearest(y + delta * sy, height), _nearest(x + delta * sx, width)] >= delta:
                        break
                for _ in range(_BISECTIONS):
                    middle = np.float32(0.5) * (above + delta)
                    if (
                        middle <= nearest_in_reach
                        and defocus_px[_nearest(y + middle * sy, height), _nearest(x + middle * sx, width)] >= middle
                    ):
                        delta = middle
                    else:
                        above = middle
                # One fixed-point step lands exactly where the surface is flat.
                surface = defocus_px[_nearest(y + delta * sy, height), _nearest(x + delta * sx, width)]
                if surface - delta > stratum:
                    continue
                qy, qx = _nearest(y + surface * sy, height), _nearest(x + surface * sx, width)
                if abs(defocus_px[qy, qx] - surface) > surface - delta:
                    qy, qx = _nearest(y + delta * sy, height), _nearest(x + delta * sx, width)
                r += linear[qy, qx, 0]
                g += linear[qy, qx, 1]
                b += linear[qy, qx, 2]
                hits += 1
            if hits == 0:
                r, g, b, hits = linear[y, x, 0], linear[y, x, 1], linear[y, x, 2], 1
            out[y, x, 0] = r / hits
            out[y, x, 1] = g / hits
            out[y, x, 2] = b / hits
