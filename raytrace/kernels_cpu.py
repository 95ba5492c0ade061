"""The lens-shift kernel for the CPU in numba: the algorithm of `kernels.shift`, vectorised over the pixels of a row.

Taichi's compiler uses at most SSE2 on recent processors and does not vectorise over pixels. Here a row of a tile is one
loop of constant length over separate colour planes, which LLVM compiles to the widest vectors of the processor. Memory
loads limit the speed, so four rows are traced together: they share five rows of texels, each interpolated across once.
"""

import numba
import numpy as np

from raytrace.visibility import TILE_HEIGHT, TILE_WIDTH

# Variables whose names end in 0 to 3 belong to these rows. TILE_HEIGHT is a multiple of it.
_ROWS = 4


@numba.njit(inline="always")
def _texel_rows(plane, begin, row):
    end = begin + TILE_WIDTH + 1
    return (
        plane[begin:end],
        plane[begin + row : end + row],
        plane[begin + 2 * row : end + 2 * row],
        plane[begin + 3 * row : end + 3 * row],
        plane[begin + 4 * row : end + 4 * row],
    )


@numba.njit(inline="always")
def _across(texels, x, w):
    return w[0] * texels[x] + w[1] * texels[x + 1]


@numba.njit(inline="always")
def _lookup(texel_rows, x, w):
    """Bilinear lookups of four pixels in one column."""
    a0, a1, a2 = _across(texel_rows[0], x, w), _across(texel_rows[1], x, w), _across(texel_rows[2], x, w)
    a3, a4 = _across(texel_rows[3], x, w), _across(texel_rows[4], x, w)
    return w[2] * a0 + w[3] * a1, w[2] * a1 + w[3] * a2, w[2] * a2 + w[3] * a3, w[2] * a3 + w[3] * a4


# The row loops are vectorised only with slices instead of computed indices, and with a constant trip count. There is no
# fastmath: it is not faster here, and freshly compiled code would round differently from cached code.
@numba.njit(parallel=True, boundscheck=False, error_model="numpy", cache=True)
def shift(planes, row, offsets, weights, tile_layers, tiles, tiles_per_row, overscan, out):
    """Trace layers that face the camera.

    planes   (L, C + 1, texels) float32: C premultiplied colour channels (three per gamma), then alpha
    row      texels in a row of a plane
    out      (C, H, W) float32, the padded frame
    The other arguments are as in `kernels.shift`, with weights (L, N, 4).
    """
    num_channels = out.shape[0]
    num_samples = offsets.shape[1]
    one = np.float32(1.0)
    scale = one / np.float32(num_samples)
    for i in numba.prange(tiles.shape[0]):
        tile = tiles[i]
        y0 = (tile // tiles_per_row) * TILE_HEIGHT
        x0 = (tile % tiles_per_row) * TILE_WIDTH
        num_layers = tile_layers[tile, 0]
        colour = np.empty((num_channels, _ROWS, TILE_WIDTH), np.float32)
        transmittance = np.empty((_ROWS, TILE_WIDTH), np.float32)
        t0, t1, t2, t3 = transmittance[0], transmittance[1], transmittance[2], transmittance[3]
        for y in range(y0, y0 + TILE_HEIGHT, _ROWS):
            pixel = (y + overscan) * row + x0 + overscan
            colour[:] = 0.0
            for s in range(num_samples):
                transmittance[:] = 1.0
                for j in range(num_layers):
                    layer = tile_layers[tile, 1 + j]
                    begin = pixel + offsets[layer, s]
                    w = (weights[layer, s, 0], weights[layer, s, 1], weights[layer, s, 2], weights[layer, s, 3])
                    for c in range(num_channels):
                        texels = _texel_rows(planes[layer, c], begin, row)
                        c0, c1, c2, c3 = colour[c, 0], colour[c, 1], colour[c, 2], colour[c, 3]
                        for x in range(TILE_WIDTH):
                            v0, v1, v2, v3 = _lookup(texels, x, w)
                            c0[x] += t0[x] * v0
                            c1[x] += t1[x] * v1
                            c2[x] += t2[x] * v2
                            c3[x] += t3[x] * v3
                    if j + 1 < num_layers:
                        texels = _texel_rows(planes[layer, num_channels], begin, row)
                        for x in range(TILE_WIDTH):
                            a0, a1, a2, a3 = _lookup(texels, x, w)
                            t0[x] *= one - a0
                            t1[x] *= one - a1
                            t2[x] *= one - a2
                            t3[x] *= one - a3
            for c in range(num_channels):
                for r in range(_ROWS):
                    sums = colour[c, r]
                    target = out[c, y + r, x0 : x0 + TILE_WIDTH]
                    for x in range(TILE_WIDTH):
                        target[x] = sums[x] * scale
