"""The two light-transport kernels in Taichi: one integral, for layers that face the camera and for slanted layers.

All pixels share one set of lens points s. Both kernels average over s the front-to-back composite of the layers that
the ray meets: colour += T c, T *= 1 - a, with (c, a) the bilinear lookup of premultiplied linear RGBA at x + S s.

Frames are cut into tiles of `visibility.TILE_HEIGHT` x `TILE_WIDTH` pixels. Each tile has a list of the layers that its
rays can see, nearest first. Only the given tiles are traced. Textures are padded, so lookups do not test bounds.
"""

# Taichi's argument annotations are values, not types.
# pyright: reportInvalidTypeForm=false, reportGeneralTypeIssues=false

import taichi as ti

from raytrace.visibility import TILE_HEIGHT, TILE_WIDTH
from scenes import lens

RGBA = ti.types.vector(4, ti.f32)
Texels = ti.types.ndarray(dtype=RGBA, ndim=1)

_slanted_defocus_px = ti.func(lens.slanted_defocus_px)


@ti.func
def bilinear(texels: ti.template(), texel: int, row: int, left: float, right: float, upper: float, lower: float):
    """Bilinear lookup from a texel and its right and lower neighbours, with the weights of columns and rows."""
    return upper * (left * texels[texel] + right * texels[texel + 1]) + lower * (
        left * texels[texel + row] + right * texels[texel + row + 1]
    )


@ti.func
def place(i: int, tiles: ti.template(), tiles_per_row: int):
    """Tile, row and column in the padded frame of the i-th pixel of some tiles."""
    tile = tiles[i // (TILE_HEIGHT * TILE_WIDTH)]
    y = (tile // tiles_per_row) * TILE_HEIGHT + (i // TILE_WIDTH) % TILE_HEIGHT
    x = (tile % tiles_per_row) * TILE_WIDTH + i % TILE_WIDTH
    return tile, y, x


@ti.func
def composite(
    before: RGBA,
    texels: ti.template(),
    planes: ti.template(),
    tile_layers: ti.template(),
    tile: int,
    row: int,
    plane: int,
    overscan: int,
    at_focus: ti.template(),
    moves: ti.template(),
    blur_parameter: float,
    focus_disparity: float,
    clamped: ti.template(),
):
    """Add what one ray meets: premultiplied RGBA of the layers of its tile, over each other.

    before     sum of the rays before it
    at_focus   image position of the ray in the plane of focus, from the centre of the first pixel
    moves      how far it moves per unit of defocus: `blur_parameter` times the change of disparity
    clamped    whether the ray may leave the layers; their borders go on there
    The other arguments are as in `gather`.
    """
    colour = before
    transmittance = 1.0
    for j in range(tile_layers[tile, 0]):
        layer = tile_layers[tile, 1 + j]
        # Compute the defocus where the ray meets the plane, then the image position x + S s.
        d0, gx, gy = planes[layer][0], planes[layer][1], planes[layer][2]
        defocus_px = _slanted_defocus_px(
            d0 + gx * at_focus[0] + gy * at_focus[1], gx * moves[0] + gy * moves[1], blur_parameter, focus_disparity
        )
        x_hit = at_focus[0] + defocus_px * moves[0] + overscan
        y_hit = at_focus[1] + defocus_px * moves[1] + overscan
        if ti.static(clamped):
            x_hit = ti.math.clamp(x_hit, 0.0, row - 1.01)
            y_hit = ti.math.clamp(y_hit, 0.0, plane // row - 1.01)
        x0, y0 = ti.floor(x_hit), ti.floor(y_hit)
        fx, fy = x_hit - x0, y_hit - y0
        texel = layer * plane + ti.cast(y0, ti.i32) * row + ti.cast(x0, ti.i32)
        c = bilinear(texels, texel, row, 1 - fx, fx, 1 - fy, fy)
        colour += transmittance * c
        transmittance *= 1.0 - c[3]
        if transmittance == 0.0:
            break
    return colour


@ti.kernel
def shift(
    texels: Texels,
    offsets: ti.types.ndarray(ti.i32, ndim=2),
    weights: ti.types.ndarray(dtype=RGBA, ndim=2),
    tile_layers: ti.types.ndarray(ti.i32, ndim=2),
    tiles: ti.types.ndarray(ti.i32, ndim=1),
    tiles_per_row: int,
    overscan: int,
    row: int,
    plane: int,
    first: int,
    last: int,
    out: Texels,
):
    """Trace layers that face the camera. A lens point shifts a layer by the same amount at all pixels.

    texels        layers one after the other, `plane` texels each, `row` texels a row
    offsets       (L, N) texels from a pixel to the upper left texel of its lookup
    weights       (L, N) weights of the lookup's left and right column, and of its upper and lower row
    tile_layers   (tiles, 1 + L) number of layers, then their indices near to far
    tiles         indices of the tiles to trace
    first, last   lens points of this call: from `first` on, before `last`. Those of a frame are taken in order
    out           the padded frame, `tiles_per_row * TILE_WIDTH` pixels a row: sums, after the last point means
    """
    num_samples = offsets.shape[1]
    for i in range(tiles.shape[0] * TILE_HEIGHT * TILE_WIDTH):
        tile, y, x = place(i, tiles, tiles_per_row)
        pixel = (y + overscan) * row + x + overscan
        num_layers = tile_layers[tile, 0]
        target = y * tiles_per_row * TILE_WIDTH + x
        colour = RGBA(0.0) if first == 0 else out[target]
        for s in range(first, last):
            transmittance = 1.0
            for j in range(num_layers):
                layer = tile_layers[tile, 1 + j]
                w = weights[layer, s]
                c = bilinear(texels, layer * plane + pixel + offsets[layer, s], row, w[0], w[1], w[2], w[3])
                colour += transmittance * c
                transmittance *= 1.0 - c[3]
                if transmittance == 0.0:
                    break
        out[target] = colour / num_samples if last == num_samples else colour


@ti.kernel
def gather(
    texels: Texels,
    planes: ti.types.ndarray(dtype=RGBA, ndim=1),
    points: ti.types.ndarray(dtype=RGBA, ndim=1),
    tile_layers: ti.types.ndarray(ti.i32, ndim=2),
    tiles: ti.types.ndarray(ti.i32, ndim=1),
    tiles_per_row: int,
    overscan: int,
    row: int,
    plane: int,
    blur_parameter: float,
    focus_disparity: float,
    moved_per_px: float,
    middle_x: float,
    middle_y: float,
    first: int,
    last: int,
    out: Texels,
):
    """Trace slanted layers, and through two stops. Every ray is intersected with every plane.

    planes          (L) disparity at the centre of the first pixel of the frame, its slope per pixel in x and y, and 0
    points          (N) lens point (x, y) and offset inside the pixel (x, y)
    moved_per_px    how far the second stop is moved by a pixel, in radii; 0 stops no ray
    middle          of the frame, pixels from the centre of its first one
    The other arguments are as in `shift`. Pixels whose every ray is stopped are black.
    """
    num_samples = points.shape[0]
    for i in range(tiles.shape[0] * TILE_HEIGHT * TILE_WIDTH):
        tile, y, x = place(i, tiles, tiles_per_row)
        target = y * tiles_per_row * TILE_WIDTH + x
        colour = RGBA(0.0) if first == 0 else out[target]
        for s in range(first, last):
            point = points[s]
            ray, lens_point = ti.Vector([x + point[2], y + point[3]]), ti.Vector([point[0], point[1]])
            at_x = point[0] + moved_per_px * (x + point[2] - middle_x)
            at_y = point[1] + moved_per_px * (y + point[3] - middle_y)
            if moved_per_px == 0.0 or at_x * at_x + at_y * at_y <= 1.0:
                colour = composite(
                    colour,
                    texels,
                    planes,
                    tile_layers,
                    tile,
                    row,
                    plane,
                    overscan,
                    ray,
                    lens_point,
                    blur_parameter,
                    focus_disparity,
                    False,
                )
        if last == num_samples:
            # Every ray that passes ends at the background, which is opaque: the sum of alpha counts them.
            colour /= num_samples if moved_per_px == 0.0 else ti.max(colour[3], 1.0)
        out[target] = colour


@ti.kernel
def block_errors(
    smaller: Texels,
    larger: Texels,
    tiles: ti.types.ndarray(ti.i32, ndim=1),
    tiles_per_row: int,
    width: int,
    height: int,
    gamma: float,
    square: ti.types.ndarray(ti.f32, ndim=2),
):
    """Square differences of two padded frames as displayed, summed over the parts of tiles that are in the frame.

    width, height   of the frame, pixels
    gamma           of linear = display ** gamma
    square          (tiles, blocks) sums over the colours and pixels of each block, from left to right in a tile
    """
    blocks = square.shape[1]
    side = TILE_WIDTH // blocks
    for i in range(tiles.shape[0] * blocks):
        tile = tiles[i // blocks]
        top = (tile // tiles_per_row) * TILE_HEIGHT
        left = (tile % tiles_per_row) * TILE_WIDTH + (i % blocks) * side
        total = 0.0
        for j in range(TILE_HEIGHT * side):
            y, x = top + j // side, left + j % side
            if y < height and x < width:
                target = y * tiles_per_row * TILE_WIDTH + x
                for c in ti.static(range(3)):
                    shown = ti.pow(ti.math.clamp(larger[target][c], 0.0, 1.0), 1.0 / gamma)
                    difference = shown - ti.pow(ti.math.clamp(smaller[target][c], 0.0, 1.0), 1.0 / gamma)
                    total += difference * difference
        square[i // blocks, i % blocks] = total


@ti.kernel
def copy_tiles(source: Texels, target: Texels, tiles: ti.types.ndarray(ti.i32, ndim=1), tiles_per_row: int):
    """Copy the given tiles of one padded frame to another."""
    for i in range(tiles.shape[0] * TILE_HEIGHT * TILE_WIDTH):
        tile, y, x = place(i, tiles, tiles_per_row)
        target[y * tiles_per_row * TILE_WIDTH + x] = source[y * tiles_per_row * TILE_WIDTH + x]
