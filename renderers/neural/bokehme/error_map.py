"""Where a renderer without occlusion goes wrong (BokehMe, Peng et al. 2022, Eqs. 2 to 5), from disparity alone.

At distance l from a depth edge with blur radii r and r' on its sides, alpha = l / max(r, r'), beta = min / max:

    initial    E = 1(alpha < 1)
    improved   E = max(0, 1 - alpha^4) (1/2 + 1/2 tanh(10 (2/3 - beta)))

In a picture with many edges each pixel takes the largest value that any pixel at an edge gives; l is the distance to
that pixel. The disparity should have sharp edges, as rendered or refined ones have.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from scenes.arrays import Plane
from scenes.lens import Lens

_BETA_LIMIT = 2.0 / 3.0

# The signed defocus steps at an edge by more than this part of the shorter side, in pixels (the authors' value), beyond
# the slope of the surfaces on its sides.
_STEP_OF_SIDE = 1e-3

_BAND_ROWS = 32


def initial_error_map(disparity: Plane, lens: Lens) -> NDArray[np.float32]:
    """1 within the larger blur radius of a depth edge, 0 elsewhere: (H, W) float32."""
    return _error_map(disparity, lens, improved=False)


def improved_error_map(disparity: Plane, lens: Lens) -> NDArray[np.float32]:
    """How wrong a renderer without occlusion is expected to be near depth edges, in [0, 1]: (H, W) float32.

    0 on continuous surfaces however steep, and where both sides of an edge are equally blurred.
    """
    return _error_map(disparity, lens, improved=True)


def _error_map(disparity: Plane, lens: Lens, *, improved: bool) -> NDArray[np.float32]:
    defocus_px = lens.defocus_px(disparity)
    elements = [_edge_elements(defocus_px)]
    y, x, radius_px, beta = _edge_elements(defocus_px.T)
    elements.append((x, y, radius_px, beta))
    y, x, radius_px, beta = (np.concatenate(parts) for parts in zip(*elements, strict=True))
    strength = 0.5 + 0.5 * np.tanh(10.0 * (_BETA_LIMIT - beta)) if improved else np.ones_like(beta)
    error = np.zeros_like(defocus_px)
    if len(y):
        _spread(y, x, radius_px, strength, improved, error)
    return error


def _edge_elements(defocus_px: Plane) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Both pixels of every pair along x that an edge parts: y, x, larger blur radius of the pair, beta."""
    step = np.diff(defocus_px, axis=1)
    size = np.abs(step)
    padded = np.pad(step, ((0, 0), (1, 1)))
    # A surface goes on with about the slope that it has next to the pair; an edge stands out from both sides.
    beyond_slope = np.minimum(np.abs(step - padded[:, :-2]), np.abs(step - padded[:, 2:]))
    threshold = _STEP_OF_SIDE * min(defocus_px.shape)
    y, x = np.nonzero((size > threshold) & (beyond_slope > threshold))
    radii = np.abs(np.stack([defocus_px[y, x], defocus_px[y, x + 1]]))
    larger = radii.max(axis=0)
    beta = np.divide(radii.min(axis=0), larger, out=np.ones_like(larger), where=larger > 0.0)
    return np.concatenate([y, y]), np.concatenate([x, x + 1]), np.tile(larger, 2), np.tile(beta, 2)


@numba.njit(parallel=True, boundscheck=False, error_model="numpy", cache=True)
def _spread(ys, xs, radius_px, strength, improved, error):
    height, width = error.shape
    for band in numba.prange((height + _BAND_ROWS - 1) // _BAND_ROWS):
        top = np.int64(band) * _BAND_ROWS
        bottom = min(top + _BAND_ROWS, height)
        for i in range(ys.shape[0]):
            y, x, r = ys[i], xs[i], radius_px[i]
            reach = int(r)
            for ty in range(max(y - reach, top), min(y + reach + 1, bottom)):
                for tx in range(max(x - reach, 0), min(x + reach + 1, width)):
                    alpha_squared = ((tx - x) * (tx - x) + (ty - y) * (ty - y)) / (r * r)
                    if alpha_squared < 1.0:
                        fall = 1.0 - alpha_squared * alpha_squared if improved else 1.0
                        error[ty, tx] = max(error[ty, tx], fall * strength[i])
