"""The blur of light above white, blocked by the surfaces before it.

The networks end at white, so light above it cannot go through the error map. It comes from few pixels, and each of its
rays is followed instead. The ray from pixel q, of defocus S_q, to pixel p of the sensor is, at defocus S, before pixel

    x(S) = p + (S / S_q) (q - p)

It is blocked where a surface nearer than q, of the disparity given, lies on it.
"""

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from scenes.arrays import Picture, Plane

# Pixels by which the defocus of a surface must exceed that of q to block its light: one surface is not before itself.
_NEARER_PX = 1.0

# Pixels of defocus by which a surface may miss the ray and still block it. Slopes are steps in a map of pixels.
_MISS_PX = 0.5

_BAND_ROWS = 16


def blurred_highlights(above: Picture, defocus_px: Plane) -> NDArray[np.float32]:
    """Light of the pixels of `above` that reaches each pixel of the sensor: (H, W, 3) float32 linear light.

    above        (H, W, 3) linear light, 0 in most pixels; the cost is that of each other pixel's disk
    defocus_px   (H, W) signed, as `Lens.defocus_px` gives it

    Every disk holds the energy of its pixel but for what is blocked and what leaves the frame.
    """
    defocus_px = np.ascontiguousarray(defocus_px, np.float32)
    lit = np.zeros(above.shape, np.float32)
    ys, xs = np.nonzero(above.any(axis=2))
    if len(ys):
        side = 2 * int(np.ceil(np.abs(defocus_px).max())) + 1
        nearest_px = cv2.dilate(defocus_px, np.ones((side, 1), np.uint8))
        nearest_px = cv2.dilate(nearest_px, np.ones((1, side), np.uint8))
        _light(ys, xs, np.ascontiguousarray(above[ys, xs], np.float32), defocus_px, nearest_px, lit)
    return lit


@numba.njit(inline="always")
def _weight(radius_px, dy, dx):
    """A disk with a rim one pixel wide."""
    return min(max(radius_px + 0.5 - np.sqrt(np.float32(dy * dy + dx * dx)), 0.0), 1.0)


@numba.njit(inline="always")
def _is_blocked(py, px, qy, qx, source_px, nearest_px, defocus_px):
    """Whether a surface lies on the ray from q to p, nearer than q and no nearer than `nearest_px`."""
    # In steps of a pixel from q on: towards p and past it where q is beyond focus, else away from p.
    distance = np.sqrt(np.float32((py - qy) ** 2 + (px - qx) ** 2))
    step_y, step_x = (py - qy) / distance, (px - qx) / distance
    if source_px > 0.0:
        step_y, step_x = -step_y, -step_x
    step_px = abs(source_px) / distance
    for step in range(1, int((nearest_px - source_px) / step_px) + 2):
        y, x = qy + int(np.floor(step * step_y + 0.5)), qx + int(np.floor(step * step_x + 0.5))
        if not (0 <= y < defocus_px.shape[0] and 0 <= x < defocus_px.shape[1]):
            return False
        surface_px = defocus_px[y, x]
        miss_px = abs(surface_px - (source_px + step * step_px))
        if surface_px > source_px + _NEARER_PX and miss_px <= 0.5 * step_px + _MISS_PX:
            return True
    return False


@numba.njit(parallel=True, boundscheck=False, error_model="numpy", cache=True)
def _light(ys, xs, above, defocus_px, nearest_px, lit):
    height, width = defocus_px.shape
    energy = np.empty(len(ys), np.float32)
    for i in numba.prange(len(ys)):
        radius_px = abs(defocus_px[ys[i], xs[i]])
        reach = int(radius_px + 0.5)
        total = 0.0
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                total += _weight(radius_px, dy, dx)
        energy[i] = total
    for band in numba.prange((height + _BAND_ROWS - 1) // _BAND_ROWS):
        top = np.int64(band) * _BAND_ROWS
        bottom = min(top + _BAND_ROWS, height)
        for i in range(len(ys)):
            y, x = ys[i], xs[i]
            source_px = defocus_px[y, x]
            reach = int(abs(source_px) + 0.5)
            for py in range(max(y - reach, top), min(y + reach + 1, bottom)):
                for px in range(max(x - reach, 0), min(x + reach + 1, width)):
                    weight = _weight(abs(source_px), py - y, px - x) / energy[i]
                    if weight == 0.0:
                        continue
                    # A pixel's own light is never blocked: it is what the all-in-focus picture shows there.
                    if nearest_px[py, px] > source_px + _NEARER_PX and (py != y or px != x):
                        if _is_blocked(py, px, y, x, source_px, nearest_px[py, px], defocus_px):
                            continue
                    for channel in range(3):
                        lit[py, px, channel] += weight * above[i, channel]
