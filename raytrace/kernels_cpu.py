"""The lens-shift kernel for the CPU, in numba: the algorithm of `kernels.shift` with the pixels of a row side by side.

Taichi's compiler stops at SSE2 on recent processors and does not vectorise across pixels; here a row of a tile is one
constant-length loop over separate colour planes, which LLVM turns into the widest vectors the processor has.
"""

import numba
import numpy as np

from raytrace.visibility import TILE_HEIGHT, TILE_WIDTH


@numba.njit(inline="always")
def _lookup(upper, lower, x, w):
    return w[0] * upper[x] + w[1] * upper[x + 1] + w[2] * lower[x] + w[3] * lower[x + 1]


# Slices, not computed indices, and a constant trip count: without either the row loops below stay scalar.
@numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)
def shift(planes, row, offsets, weights, tile_layers, tiles, tiles_per_row, overscan, out):
    """Trace layers that face the camera.

    planes   (L, C + 1, texels) float32: C premultiplied colour channels (three per gamma), then alpha
    row      texels in a row of a plane
    out      (C, H, W) float32, the padded frame
    The rest as in `kernels.shift`, weights as (L, N, 4).
    """
    num_channels = out.shape[0]
    num_samples = offsets.shape[1]
    scale = np.float32(1.0) / np.float32(num_samples)
    for i in numba.prange(tiles.shape[0]):
        tile = tiles[i]
        y0 = (tile // tiles_per_row) * TILE_HEIGHT
        x0 = (tile % tiles_per_row) * TILE_WIDTH
        num_layers = tile_layers[tile, 0]
        colour = np.empty((num_channels, TILE_WIDTH), np.float32)
        transmittance = np.empty(TILE_WIDTH, np.float32)
        for y in range(y0, y0 + TILE_HEIGHT):
            pixel = (y + overscan) * row + x0 + overscan
            colour[:] = 0.0
            for s in range(num_samples):
                for j in range(num_layers):
                    layer = tile_layers[tile, 1 + j]
                    w = weights[layer, s]
                    begin = pixel + offsets[layer, s]
                    end = begin + TILE_WIDTH + 1
                    for c in range(num_channels):
                        upper = planes[layer, c, begin:end]
                        lower = planes[layer, c, begin + row : end + row]
                        sums = colour[c]
                        if j == 0:
                            for x in range(TILE_WIDTH):
                                sums[x] += _lookup(upper, lower, x, w)
                        else:
                            for x in range(TILE_WIDTH):
                                sums[x] += transmittance[x] * _lookup(upper, lower, x, w)
                    if j + 1 < num_layers:
                        upper = planes[layer, num_channels, begin:end]
                        lower = planes[layer, num_channels, begin + row : end + row]
                        if j == 0:
                            for x in range(TILE_WIDTH):
                                transmittance[x] = np.float32(1.0) - _lookup(upper, lower, x, w)
                        else:
                            for x in range(TILE_WIDTH):
                                transmittance[x] *= np.float32(1.0) - _lookup(upper, lower, x, w)
            for c in range(num_channels):
                sums = colour[c]
                target = out[c, y, x0 : x0 + TILE_WIDTH]
                for x in range(TILE_WIDTH):
                    target[x] = sums[x] * scale
