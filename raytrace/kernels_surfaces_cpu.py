"""The kernel of real lenses for the CPU in numba: the algorithm of `kernels_surfaces.gather`, vectorised over pixels.

The rays of a row of a tile through one lens point go through the lens together, a surface at a time. Every step is one
loop of constant length over arrays, which LLVM compiles to the widest vectors of the processor. Only the lookups of
texels are made ray by ray; theirs are vectors of red, green, blue and alpha.

Arithmetic is in float32. numba takes plain numbers for float64, so constants are typed.
"""

import math

import numba
import numpy as np

from raytrace.visibility import TILE_HEIGHT, TILE_WIDTH
from scenes.optics import NEWTON_STEPS

_ZERO, _HALF, _ONE, _TWO = (np.float32(n) for n in (0.0, 0.5, 1.0, 2.0))
_TINY = np.float32(1e-30)

# Columns of the table of surfaces, as in `kernels_surfaces`.
_VERTEX, _CURVATURE, _CONIC, _RIM, _RATIO, _ASPHERE = range(6)


@numba.njit
def _pixels():
    """A number for each pixel of a row."""
    return np.empty(TILE_WIDTH, np.float32)


@numba.njit
def _root(square):
    return math.sqrt(square if square > _ZERO else _ZERO)


@numba.njit(inline="always")
def _cross_sphere(surface, px, py, pz, dx, dy, dz, weight):
    """`kernels_surfaces.cross_sphere` for the rays of a row. The weight of rays that do not pass becomes 0."""
    c, vertex, ratio, rim = surface[_CURVATURE], surface[_VERTEX], surface[_RATIO], surface[_RIM]
    for x in range(TILE_WIDTH):
        # Start from the point of the ray that is next to the vertex.
        z = pz[x] - vertex
        back = px[x] * dx[x] + py[x] * dy[x] + z * dz[x]
        qx, qy, qz = px[x] - back * dx[x], py[x] - back * dy[x], z - back * dz[x]
        beyond = c * (qx * qx + qy * qy + qz * qz) - _TWO * qz
        square = dz[x] * dz[x] - c * beyond
        cosine = _root(square)
        along = beyond / (dz[x] + cosine)
        qx, qy, qz = qx + along * dx[x], qy + along * dy[x], qz + along * dz[x]
        square_after = _ONE - ratio * ratio * (_ONE - cosine * cosine)
        bend = _root(square_after) - ratio * cosine
        upright = _ONE - c * qz
        px[x], py[x], pz[x] = qx, qy, qz + vertex
        dx[x], dy[x] = ratio * dx[x] - bend * c * qx, ratio * dy[x] - bend * c * qy
        dz[x] = ratio * dz[x] + bend * upright
        lit = weight[x] if qx * qx + qy * qy <= rim else _ZERO
        lit = lit if square >= _ZERO else _ZERO
        lit = lit if square_after >= _ZERO else _ZERO
        lit = lit if upright > _ZERO else _ZERO
        weight[x] = lit if dz[x] > _ZERO else _ZERO


@numba.njit
def _sag_and_slope(surface, r2):
    """Sag of an aspheric surface, and its derivative divided by r, at r^2."""
    c = surface[_CURVATURE]
    square = _ONE - surface[_CONIC] * c * c * r2
    root = math.sqrt(max(square, np.float32(1e-12)))
    sag, slope, power = c * r2 / (_ONE + root), c / root, r2
    for j in range(len(surface) - _ASPHERE):
        slope += np.float32(2 * (j + 2)) * surface[_ASPHERE + j] * power
        power *= r2
        sag += surface[_ASPHERE + j] * power
    return sag, slope


@numba.njit
def _cross(surface, px, py, pz, dx, dy, dz, weight):
    """`kernels_surfaces.cross` for the rays of a row, one after the other."""
    c, k, ratio, vertex = surface[_CURVATURE], surface[_CONIC], surface[_RATIO], surface[_VERTEX]
    for x in range(TILE_WIDTH):
        if weight[x] == _ZERO:
            continue
        ux, uy, uz = dx[x], dy[x], dz[x]
        # Go to the plane of the vertex first: distances along the ray are short then, and keep their digits.
        along = (vertex - pz[x]) / uz
        qx, qy = px[x] + along * ux, py[x] + along * uy
        r2 = qx * qx + qy * qy
        half = uz - c * (qx * ux + qy * uy)
        square = half * half - c * (ux * ux + uy * uy + k * uz * uz) * c * r2
        along = c * r2 / (half + _root(square))
        for _ in range(NEWTON_STEPS):
            hx, hy = qx + along * ux, qy + along * uy
            sag, slope = _sag_and_slope(surface, hx * hx + hy * hy)
            along -= (along * uz - sag) / (uz - slope * (hx * ux + hy * uy))
        qx, qy, qz = qx + along * ux, qy + along * uy, along * uz
        r2 = qx * qx + qy * qy
        _, slope = _sag_and_slope(surface, r2)
        length = math.sqrt(_ONE + slope * slope * r2)
        nx, ny, nz = -slope * qx / length, -slope * qy / length, _ONE / length
        cosine = ux * nx + uy * ny + uz * nz
        square_after = _ONE - ratio * ratio * (_ONE - cosine * cosine)
        bend = _root(square_after) - ratio * cosine
        px[x], py[x], pz[x] = qx, qy, qz + vertex
        dx[x], dy[x], dz[x] = ratio * ux + bend * nx, ratio * uy + bend * ny, ratio * uz + bend * nz
        upright = _ONE - c * k * qz
        if not (
            square >= _ZERO and square_after >= _ZERO and upright > _ZERO and r2 <= surface[_RIM] and dz[x] > _ZERO
        ):
            weight[x] = _ZERO


@numba.njit
def _find_texels(plane, focus_disparity, overscan, row, rows, at_x, at_y, moves_x, moves_y, texel, fx, fy):
    """Where rays meet a plane: the upper left texel of four, and how far beyond it, in columns and rows.

    at, moves   image positions in the plane of focus, and how far they move per unit of disparity
    """
    d0, gx, gy = plane[0], plane[1], plane[2]
    last_x, last_y = np.float32(row) - np.float32(1.01), np.float32(rows) - np.float32(1.01)
    for x in range(TILE_WIDTH):
        # `lens.slanted_defocus_px` for K = 1.
        beyond_focus = d0 + gx * at_x[x] + gy * at_y[x] - focus_disparity
        beyond_focus /= _ONE - (gx * moves_x[x] + gy * moves_y[x])
        hit_x = at_x[x] + beyond_focus * moves_x[x] + np.float32(overscan)
        hit_y = at_y[x] + beyond_focus * moves_y[x] + np.float32(overscan)
        # Rays may leave the layers. Their borders go on there.
        hit_x, hit_y = (hit_x if hit_x > _ZERO else _ZERO), (hit_y if hit_y > _ZERO else _ZERO)
        hit_x, hit_y = (hit_x if hit_x < last_x else last_x), (hit_y if hit_y < last_y else last_y)
        left, upper = np.int32(hit_x), np.int32(hit_y)
        fx[x], fy[x] = hit_x - np.float32(left), hit_y - np.float32(upper)
        texel[x] = upper * np.int32(row) + left


@numba.njit
def _look_up(texels, first, row, texel, fx, fy, transmittance, total):
    """Add what rays see of a layer to the sums of their pixels, and take the light that it holds back.

    texels   floats, four a texel; the layer begins at texel `first`
    """
    for x in range(TILE_WIDTH):
        if transmittance[x] > _ZERO:
            # Unsigned, for numba takes negative numbers for places from the end.
            upper = numba.uintp(4) * numba.uintp(first + texel[x])
            lower = upper + numba.uintp(4) * numba.uintp(row)
            across, down = fx[x], fy[x]
            r = _channel(texels, upper, lower, across, down)
            g = _channel(texels, upper + _G, lower + _G, across, down)
            b = _channel(texels, upper + _B, lower + _B, across, down)
            a = _channel(texels, upper + _A, lower + _A, across, down)
            total[x, 0] += transmittance[x] * r
            total[x, 1] += transmittance[x] * g
            total[x, 2] += transmittance[x] * b
            transmittance[x] *= _ONE - a


_G, _B, _A, _NEXT = (np.uintp(n) for n in (1, 2, 3, 4))


@numba.njit
def _channel(texels, upper, lower, across, down):
    above = (_ONE - across) * texels[upper] + across * texels[upper + _NEXT]
    below = (_ONE - across) * texels[lower] + across * texels[lower + _NEXT]
    return (_ONE - down) * above + down * below


# There is no fastmath: freshly compiled code would round differently from cached code.
@numba.njit(parallel=True, boundscheck=False, error_model="numpy", cache=True)
def gather(
    texels,
    planes,
    points,
    surfaces,
    iris,
    fields,
    gains,
    terms,
    stop,
    field_step,
    sensor_z,
    aim_z,
    pupil_z,
    chief_px,
    per_mm,
    focus_disparity,
    natural,
    tile_layers,
    tiles,
    tiles_per_row,
    overscan,
    row,
    plane,
    middle_x,
    middle_y,
    share,
    adds,
    out,
):
    """Trace one wavelength through a real lens, with all lens points.

    texels   (L plane, 4) float32 premultiplied RGBA
    share    (3) of this wavelength in red, green and blue
    out      (3, H, W) the padded frame
    The other arguments are as in `kernels_surfaces.gather`: numbers and arrays of float32, and int64.
    """
    num_samples, num_surfaces = len(points), len(surfaces)
    flat = texels.reshape(-1)
    for i in numba.prange(tiles.shape[0] * TILE_HEIGHT):
        tile = tiles[i // TILE_HEIGHT]
        y = (tile // tiles_per_row) * TILE_HEIGHT + i % TILE_HEIGHT
        x0 = (tile % tiles_per_row) * TILE_WIDTH
        num_layers = tile_layers[tile, 0]
        # Of the pixels: from the centre of the frame, the direction there, and the pupil as they see it.
        from_x, out_x, out_y = _pixels(), _pixels(), _pixels()
        scale, centre, radial, sagittal, gain = _pixels(), _pixels(), _pixels(), _pixels(), _pixels()
        from_y = np.float32(y) - middle_y
        for x in range(TILE_WIDTH):
            from_x[x] = np.float32(x0 + x) - middle_x
            distance = math.sqrt(from_x[x] * from_x[x] + from_y * from_y)
            out_x[x] = from_x[x] / distance if distance > _ZERO else _ONE
            out_y[x] = from_y / distance if distance > _ZERO else _ZERO
            # Pixels of tiles may lie outside the frame, beyond the last field; they are not used.
            node = min(distance / field_step, np.float32(len(fields)) - np.float32(1.001))
            at = int(node)
            part = node - np.float32(at)
            scale[x] = -((_ONE - part) * fields[at, 0] + part * fields[at + 1, 0])
            centre[x] = (_ONE - part) * fields[at, 1] + part * fields[at + 1, 1]
            radial[x] = (_ONE - part) * fields[at, 2] + part * fields[at + 1, 2]
            sagittal[x] = (_ONE - part) * fields[at, 3] + part * fields[at + 1, 3]
            gain[x] = (_ONE - part) * gains[at] + part * gains[at + 1]
        # Of the rays: positions, directions and weights; of the pixels: their sums.
        px, py, pz, dx, dy, dz, weight = _pixels(), _pixels(), _pixels(), _pixels(), _pixels(), _pixels(), _pixels()
        total, light = np.zeros((TILE_WIDTH, 3), np.float32), np.zeros(TILE_WIDTH, np.float32)
        # Of the lookups: the upper left texel, and how far beyond it.
        texel, fx, fy = np.empty(TILE_WIDTH, np.int32), _pixels(), _pixels()
        for s in range(num_samples):
            u, v, jx, jy = points[s, 0], points[s, 1], points[s, 2], points[s, 3]
            for x in range(TILE_WIDTH):
                along = (radial[x] - sagittal[x]) * (u * out_x[x] + v * out_y[x]) + centre[x]
                px[x], py[x], pz[x] = scale[x] * (from_x[x] + jx), scale[x] * (from_y + jy), sensor_z
                ax = out_x[x] * along + sagittal[x] * u - px[x]
                ay = out_y[x] * along + sagittal[x] * v - py[x]
                az = aim_z - sensor_z
                shorter = _ONE / math.sqrt(ax * ax + ay * ay + az * az)
                dx[x], dy[x], dz[x] = ax * shorter, ay * shorter, az * shorter
                weight[x] = dz[x] * dz[x] * dz[x] * dz[x]
            for j in range(num_surfaces):
                if terms < 0:
                    _cross_sphere(surfaces[j], px, py, pz, dx, dy, dz, weight)
                else:
                    _cross(surfaces[j], px, py, pz, dx, dy, dz, weight)
                if j == stop and len(iris) > 1:
                    side, rim = len(iris), math.sqrt(surfaces[j, _RIM])
                    for x in range(TILE_WIDTH):
                        if weight[x] > _ZERO:
                            ix = int((px[x] / rim + _ONE) * _HALF * np.float32(side))
                            iy = int((py[x] / rim + _ONE) * _HALF * np.float32(side))
                            weight[x] *= iris[min(max(iy, 0), side - 1), min(max(ix, 0), side - 1)]
            # From here on (dx, dy) is the image position in focus, (px, py) how far it moves per unit of disparity, and
            # dz how much light the layers before let through.
            for x in range(TILE_WIDTH):
                tx, ty = dx[x] / dz[x], dy[x] / dz[x]
                to_pupil = pz[x] - pupil_z
                px[x] = chief_px * per_mm * (px[x] - tx * to_pupil)
                py[x] = chief_px * per_mm * (py[x] - ty * to_pupil)
                dx[x] = middle_x + chief_px * tx + focus_disparity * px[x]
                dy[x] = middle_y + chief_px * ty + focus_disparity * py[x]
                light[x] += weight[x]
                dz[x] = weight[x]
            for j in range(num_layers):
                layer = tile_layers[tile, 1 + j]
                _find_texels(planes[layer], focus_disparity, overscan, row, plane // row, dx, dy, px, py, texel, fx, fy)
                _look_up(flat, layer * plane, row, texel, fx, fy, dz, total)
        for x in range(TILE_WIDTH):
            exposure = gain[x] / np.float32(num_samples) if natural else _ONE / max(light[x], _TINY)
            for c in range(3):
                before = out[c, y, x0 + x] if adds else _ZERO
                out[c, y, x0 + x] = before + share[c] * exposure * total[x, c]
