"""The rays of `renderers.classical.vdslr` in Taichi: the same search and random numbers, one thread for each pixel."""

# Taichi's argument annotations are values, not types.
# pyright: reportInvalidTypeForm=false, reportGeneralTypeIssues=false

import taichi as ti


@ti.func
def _nearest(position, size):
    return ti.min(ti.max(int(ti.floor(position + 0.5)), 0), size - 1)


@ti.func
def _shuffled(i):
    i = (i ^ (i >> ti.u32(16))) * ti.u32(0x7FEB352D)
    i = (i ^ (i >> ti.u32(15))) * ti.u32(0x846CA68B)
    return i ^ (i >> ti.u32(16))


@ti.kernel
def trace(
    linear: ti.types.ndarray(ti.f32, ndim=3),
    defocus_px: ti.types.ndarray(ti.f32, ndim=2),
    within_reach: ti.types.ndarray(ti.f32, ndim=2),
    lens_sets: ti.types.ndarray(ti.f32, ndim=3),
    nearest_px: ti.f32,
    farthest_px: ti.f32,
    strata: int,
    bisections: int,
    golden: ti.f64,
    plastic: ti.f64,
    out: ti.types.ndarray(ti.f32, ndim=3),
):
    height, width = defocus_px.shape[0], defocus_px.shape[1]
    stratum = (nearest_px - farthest_px) / strata
    for y, x in ti.ndrange(defocus_px.shape[0], defocus_px.shape[1]):
        bits = _shuffled(ti.cast(y * width + x, ti.u32))
        lens_set = int(bits % ti.cast(lens_sets.shape[0], ti.u32))
        start = ti.cast(bits, ti.f64) / 2.0**32
        own = ti.min(int((nearest_px - defocus_px[y, x]) / ti.max(stratum, 1e-6)), strata - 1)
        total = ti.Vector([0.0, 0.0, 0.0])
        hits = 0
        for i in range(lens_sets.shape[1]):
            sx, sy = lens_sets[lens_set, i, 0], lens_sets[lens_set, i, 1]
            above, delta = nearest_px, nearest_px
            for j in range(strata + 1):
                above = delta
                if j == own:
                    delta = defocus_px[y, x]
                elif j < strata:
                    u = start + i * golden + j * plastic
                    delta = nearest_px - (j + ti.cast(u - ti.floor(u), ti.f32)) * stratum
                else:
                    delta = farthest_px
                if delta <= within_reach[y, x]:
                    if defocus_px[_nearest(y + delta * sy, height), _nearest(x + delta * sx, width)] >= delta:
                        break
            for _ in range(bisections):
                middle = 0.5 * (above + delta)
                hit = False
                if middle <= within_reach[y, x]:
                    hit = defocus_px[_nearest(y + middle * sy, height), _nearest(x + middle * sx, width)] >= middle
                if hit:
                    delta = middle
                else:
                    above = middle
            surface = defocus_px[_nearest(y + delta * sy, height), _nearest(x + delta * sx, width)]
            if surface - delta <= stratum:
                qy, qx = _nearest(y + surface * sy, height), _nearest(x + surface * sx, width)
                if ti.abs(defocus_px[qy, qx] - surface) > surface - delta:
                    qy, qx = _nearest(y + delta * sy, height), _nearest(x + delta * sx, width)
                total += ti.Vector([linear[qy, qx, 0], linear[qy, qx, 1], linear[qy, qx, 2]])
                hits += 1
        for c in ti.static(range(3)):
            out[y, x, c] = total[c] / hits if hits > 0 else linear[y, x, c]
