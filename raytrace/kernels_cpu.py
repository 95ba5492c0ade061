"""The kernels of thin lenses for the CPU in numba: the algorithms of `kernels`, vectorised over the pixels of a row.

Taichi's compiler uses at most SSE2 on recent processors and does not vectorise over pixels. Here loops run along a row
of a tile over separate colour planes, and LLVM compiles them to the widest vectors of the processor. `shift` is limited
by memory loads, so it traces four rows together: they share five rows of texels, each interpolated across once.
"""

import math

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


# A run of pixels looks up two rows of texels, one texel longer. These loops are vectorised only if written out.
@numba.njit
def _add(upper, lower, across, down, transmittance, colour):
    for x in range(len(colour)):
        above = upper[x] + across[x] * (upper[x + 1] - upper[x])
        below = lower[x] + across[x] * (lower[x + 1] - lower[x])
        colour[x] += transmittance[x] * (above + down[x] * (below - above))


@numba.njit
def _hold_back(upper, lower, across, down, transmittance):
    for x in range(len(transmittance)):
        above = upper[x] + across[x] * (upper[x + 1] - upper[x])
        below = lower[x] + across[x] * (lower[x + 1] - lower[x])
        transmittance[x] *= np.float32(1.0) - (above + down[x] * (below - above))


@numba.njit
def _end_of_run(first, step, x):
    """The pixel before which `first + step * pixel` leaves the texel where it is at pixel x."""
    texel = np.float32(math.floor(first + step * np.float32(x)))
    if step == np.float32(0.0):
        return TILE_WIDTH
    leaves = (texel + np.float32(step > np.float32(0.0)) - first) / step
    return x + 1 + int(min(max(leaves - np.float32(x), np.float32(0.0)), np.float32(TILE_WIDTH)))


@numba.njit(parallel=True, boundscheck=False, error_model="numpy", cache=True)
def gather(planes, row, points, defocus, stop, tile_layers, tiles, tiles_per_row, overscan, out):
    """Trace slanted layers, and through two stops.

    The defocus at which a ray through one lens point meets a plane is linear over the picture, and changes little along
    a row. So a row falls into a few runs of pixels whose texels are neighbours too.

    points    (N, 4) float32, lens point (x, y) and offset inside the pixel (x, y)
    defocus   (L, N, 3) float32, signed defocus in pixels at the centre of the first pixel of the frame, and its change
              per pixel in x and y
    stop      (3) float32, how far the second stop is moved by a pixel, in radii, and the middle of the frame in x and y
    The other arguments are as in `shift`. Pixels whose every ray is stopped are black.
    """
    num_channels, num_samples = out.shape[0], len(points)
    one, moved_per_px = np.float32(1.0), stop[0]
    for i in numba.prange(tiles.shape[0] * TILE_HEIGHT):
        tile = tiles[i // TILE_HEIGHT]
        y = (tile // tiles_per_row) * TILE_HEIGHT + i % TILE_HEIGHT
        x0 = (tile % tiles_per_row) * TILE_WIDTH
        num_layers = tile_layers[tile, 0]
        pixel = (y + overscan) * row + x0 + overscan
        colour = np.zeros((num_channels, TILE_WIDTH), np.float32)
        passed, transmittance = np.zeros(TILE_WIDTH, np.float32), np.empty(TILE_WIDTH, np.float32)
        across, down = np.empty(TILE_WIDTH, np.float32), np.empty(TILE_WIDTH, np.float32)
        for s in range(num_samples):
            u, v, jx, jy = points[s, 0], points[s, 1], points[s, 2], points[s, 3]
            transmittance[:] = one
            if moved_per_px != 0.0:
                at_y = v + moved_per_px * (np.float32(y) + jy - stop[2])
                for x in range(TILE_WIDTH):
                    at_x = u + moved_per_px * (np.float32(x0 + x) + jx - stop[1])
                    transmittance[x] = np.float32(at_x * at_x + at_y * at_y <= one)
            for x in range(TILE_WIDTH):
                passed[x] += transmittance[x]
            for j in range(num_layers):
                layer = tile_layers[tile, 1 + j]
                step_px = defocus[layer, s, 1]
                first_px = defocus[layer, s, 0] + step_px * (np.float32(x0) + jx)
                first_px += defocus[layer, s, 2] * (np.float32(y) + jy)
                shift_x, step_x = first_px * u + jx, step_px * u
                shift_y, step_y = first_px * v + jy, step_px * v
                begin = 0
                while begin < TILE_WIDTH:
                    end = min(_end_of_run(shift_x, step_x, begin), _end_of_run(shift_y, step_y, begin), TILE_WIDTH)
                    left = math.floor(shift_x + step_x * np.float32(begin))
                    upper = math.floor(shift_y + step_y * np.float32(begin))
                    length = end - begin
                    first_x = shift_x - np.float32(left) + step_x * np.float32(begin)
                    first_y = shift_y - np.float32(upper) + step_y * np.float32(begin)
                    for x in range(length):
                        across[x] = first_x + step_x * np.float32(x)
                        down[x] = first_y + step_y * np.float32(x)
                    at = pixel + int(upper) * row + int(left) + begin
                    run, light, texels = slice(begin, end), transmittance[begin:end], length + 1
                    for c in range(num_channels):
                        colours = planes[layer, c]
                        upper_row, lower_row = colours[at : at + texels], colours[at + row : at + row + texels]
                        _add(upper_row, lower_row, across, down, light, colour[c, run])
                    if j + 1 < num_layers:
                        alphas = planes[layer, num_channels]
                        upper_row, lower_row = alphas[at : at + texels], alphas[at + row : at + row + texels]
                        _hold_back(upper_row, lower_row, across, down, light)
                    begin = end
        for c in range(num_channels):
            for x in range(TILE_WIDTH):
                out[c, y, x0 + x] = colour[c, x] / max(passed[x], one)
