"""The light-transport kernel of real lenses: rays from the sensor are refracted at every surface on their way out.

The optics is that of `scenes.optics` and `scenes.thick_lens`, in float32: lengths in millimetres, rays along +z from
the sensor through the mirrored system. What the rays meet in the scene is gathered as in `kernels.gather`.
"""

# Taichi's argument annotations are values, not types.
# pyright: reportInvalidTypeForm=false, reportGeneralTypeIssues=false

import taichi as ti

from raytrace.kernels import RGBA, Texels, composite, place
from raytrace.visibility import TILE_HEIGHT, TILE_WIDTH
from scenes.optics import NEWTON_STEPS

Point = ti.types.vector(2, ti.f32)
Point3 = ti.types.vector(3, ti.f32)

# Columns of the table of surfaces. Those of the aspheric coefficients follow.
VERTEX, CURVATURE, CONIC, RIM, RATIO, ASPHERE = range(6)


@ti.func
def sag_and_slope(surfaces: ti.template(), i: int, terms: ti.template(), r2: float):
    """Sag of an aspheric surface, and its derivative divided by r, at r^2."""
    c = surfaces[i, CURVATURE]
    root = ti.sqrt(ti.max(1.0 - surfaces[i, CONIC] * c * c * r2, 1e-12))
    sag, slope, power = c * r2 / (1.0 + root), c / root, r2
    for j in ti.static(range(terms)):
        slope += 2.0 * (j + 2) * surfaces[i, ASPHERE + j] * power
        power *= r2
        sag += surfaces[i, ASPHERE + j] * power
    return sag, slope


@ti.func
def cross(surfaces: ti.template(), i: int, terms: ti.template(), start: Point3, d: Point3):
    """A ray through a surface: where it meets it, its direction behind it, and whether it passes."""
    c, k, ratio = surfaces[i, CURVATURE], surfaces[i, CONIC], surfaces[i, RATIO]
    # Go to the plane of the vertex first: distances along the ray are short then, and keep their digits.
    p = start - Point3(0.0, 0.0, surfaces[i, VERTEX])
    p -= p.z / d.z * d
    half = d.z - c * (p.x * d.x + p.y * d.y)
    square = half * half - c * (d.x * d.x + d.y * d.y + k * d.z * d.z) * c * (p.x * p.x + p.y * p.y)
    along = c * (p.x * p.x + p.y * p.y) / (half + ti.sqrt(ti.max(square, 0.0)))
    if ti.static(terms > 0):
        for _ in ti.static(range(NEWTON_STEPS)):
            x, y = p.x + along * d.x, p.y + along * d.y
            sag, slope = sag_and_slope(surfaces, i, terms, x * x + y * y)
            along -= (along * d.z - sag) / (d.z - slope * (x * d.x + y * d.y))
    p += along * d
    upright = 1.0 - c * k * p.z
    r2 = p.x * p.x + p.y * p.y
    normal = Point3(-c * p.x, -c * p.y, upright)
    if ti.static(terms > 0):
        _, slope = sag_and_slope(surfaces, i, terms, r2)
        normal = Point3(-slope * p.x, -slope * p.y, 1.0)
    normal = normal.normalized()
    cosine = d.dot(normal)
    square_after = 1.0 - ratio * ratio * (1.0 - cosine * cosine)
    after = ratio * d + (ti.sqrt(ti.max(square_after, 0.0)) - ratio * cosine) * normal
    passes = square >= 0.0 and square_after >= 0.0 and upright > 0.0 and r2 <= surfaces[i, RIM]
    return p + Point3(0.0, 0.0, surfaces[i, VERTEX]), after, passes


@ti.func
def cross_sphere(surfaces: ti.template(), i: int, start: Point3, d: Point3):
    """`cross` for a sphere or a plane, with fewer roots and divisions (Feder 1951, eqs. 1 to 8)."""
    c, ratio = surfaces[i, CURVATURE], surfaces[i, RATIO]
    # Start from the point of the ray that is next to the vertex.
    p = start - Point3(0.0, 0.0, surfaces[i, VERTEX])
    p -= p.dot(d) * d
    beyond = c * p.dot(p) - 2.0 * p.z
    square = d.z * d.z - c * beyond
    cosine = ti.sqrt(ti.max(square, 0.0))
    p += beyond / (d.z + cosine) * d
    square_after = 1.0 - ratio * ratio * (1.0 - cosine * cosine)
    bend = ti.sqrt(ti.max(square_after, 0.0)) - ratio * cosine
    after = ratio * d + bend * Point3(-c * p.x, -c * p.y, 1.0 - c * p.z)
    inside = p.x * p.x + p.y * p.y <= surfaces[i, RIM]
    passes = square >= 0.0 and square_after >= 0.0 and c * p.z < 1.0 and inside
    return p + Point3(0.0, 0.0, surfaces[i, VERTEX]), after, passes


@ti.kernel
def gather(
    texels: Texels,
    planes: ti.types.ndarray(dtype=RGBA, ndim=1),
    points: ti.types.ndarray(dtype=RGBA, ndim=1),
    surfaces: ti.types.ndarray(ti.f32, ndim=2),
    iris: ti.types.ndarray(ti.f32, ndim=2),
    fields: ti.types.ndarray(dtype=RGBA, ndim=1),
    gains: ti.types.ndarray(ti.f32, ndim=1),
    terms: ti.template(),
    stop: int,
    field_step: float,
    sensor_z: float,
    aim_z: float,
    pupil_z: float,
    chief_px: float,
    per_mm: float,
    focus_disparity: float,
    natural: int,
    tile_layers: ti.types.ndarray(ti.i32, ndim=2),
    tiles: ti.types.ndarray(ti.i32, ndim=1),
    tiles_per_row: int,
    overscan: int,
    row: int,
    plane: int,
    middle_x: float,
    middle_y: float,
    share: RGBA,
    adds: int,
    sums: Texels,
    first: int,
    last: int,
    out: Texels,
):
    """Trace one wavelength through a real lens.

    surfaces           (n, 5 + terms) of the mirrored system: vertex, curvature, 1 + conic constant, square of the rim's
                       radius, n / n', aspheric coefficients
    terms              number of aspheric coefficients; -1 where all surfaces are spheres or planes
    stop               number of the surface with the iris
    iris               (side, side) transmission on the square around the stop's rim
    fields             sensor's mm per pixel; centre, radial and sagittal half axis of the pupil: every `field_step` px
    gains              of `scenes.thick_lens.Pupil`, as often
    sensor_z, aim_z    planes between which rays start; `pupil_z`: of the entrance pupil
    chief_px           distance of chief rays, F, in pixels
    per_mm             what one unit of disparity is in 1/mm
    natural            1: corners are darker; 0: the exposure of the pinhole picture
    middle_x, y        of the frame, in pixels from the centre of the first pixel
    share              of this wavelength in red, green and blue; `adds`: 1 adds to `out`, 0 begins it
    sums               (pixels) as `out`: colour and weight of the lens points before `first`
    The other arguments are as in `kernels.gather`.
    """
    num_samples = points.shape[0]
    for i in range(tiles.shape[0] * TILE_HEIGHT * TILE_WIDTH):
        tile, y, x = place(i, tiles, tiles_per_row)
        target = y * tiles_per_row * TILE_WIDTH + x
        from_middle = Point(x - middle_x, y - middle_y)
        distance = from_middle.norm()
        outward = from_middle / distance if distance > 0.0 else Point(1.0, 0.0)
        # Pixels of tiles may lie outside the frame, beyond the last field; they are not used.
        node = ti.min(distance / field_step, fields.shape[0] - 1.001)
        part = node - ti.floor(node)
        at = ti.cast(node, ti.i32)
        of_field = (1.0 - part) * fields[at] + part * fields[at + 1]
        total = RGBA(0.0) if first == 0 else sums[target]
        for s in range(first, last):
            point = points[s]
            on_lens = Point(point[0], point[1])
            sensor = -of_field[0] * (from_middle + Point(point[2], point[3]))
            aim = outward * (of_field[1] + (of_field[2] - of_field[3]) * on_lens.dot(outward)) + of_field[3] * on_lens
            p = Point3(sensor.x, sensor.y, sensor_z)
            d = Point3(aim.x - sensor.x, aim.y - sensor.y, aim_z - sensor_z).normalized()
            weight = (d.z * d.z) ** 2
            for j in range(surfaces.shape[0]):
                passes = True
                if ti.static(terms < 0):
                    p, d, passes = cross_sphere(surfaces, j, p, d)
                else:
                    p, d, passes = cross(surfaces, j, terms, p, d)
                if not passes or d.z <= 0.0:
                    weight = 0.0
                    break
                if j == stop:
                    side, rim = iris.shape[0], ti.sqrt(surfaces[j, RIM])
                    ix = ti.math.clamp(ti.cast((p.x / rim + 1.0) * 0.5 * side, ti.i32), 0, side - 1)
                    iy = ti.math.clamp(ti.cast((p.y / rim + 1.0) * 0.5 * side, ti.i32), 0, side - 1)
                    weight *= iris[iy, ix]
            if weight > 0.0:
                slope = Point(d.x, d.y) / d.z
                at_pupil = Point(p.x, p.y) - slope * (p.z - pupil_z)
                moves = chief_px * per_mm * at_pupil
                at_focus = Point(middle_x, middle_y) + chief_px * slope + focus_disparity * moves
                black = RGBA(0.0)
                colour = composite(
                    black,
                    texels,
                    planes,
                    tile_layers,
                    tile,
                    row,
                    plane,
                    overscan,
                    at_focus,
                    moves,
                    1.0,
                    focus_disparity,
                    True,
                )
                total += weight * RGBA(colour[0], colour[1], colour[2], 1.0)
        if last == num_samples:
            light = 1.0 / ti.max(total[3], 1e-30)
            if natural == 1:
                gain = (1.0 - part) * gains[at] + part * gains[at + 1]
                light = gain / num_samples
            before = RGBA(0.0) if adds == 0 else out[target]
            out[target] = before + share * light * total
        else:
            sums[target] = total
