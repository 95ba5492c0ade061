"""The lattice of MPIB's ground-truth generator (Peng et al. 2022) in a plain loop of ours, not in their CUDA code.

The lens points are a square lattice of 51 x 51, cut to the disk. Every pixel follows every ray through every layer. The
loop is written twice, in Taichi (`mpib-51-taichi`) and in numba (`mpib-51-numba`), so that a comparison with it does
not depend on the compiler.
"""

# Taichi's argument annotations are values, not types.
# pyright: reportInvalidTypeForm=false, reportGeneralTypeIssues=false, reportIndexIssue=false

import numba
import numpy as np
import taichi as ti

from scenes.arrays import LensPoints, Picture
from scenes.billboard import Scene
from scenes.color import premultiplied
from scenes.lens import ThinLens

_RGBA = ti.types.vector(4, ti.f32)
_XY = ti.types.vector(2, ti.f32)


def lattice_points(per_side: int = 51) -> LensPoints:
    """Points of a square lattice within the unit disk. 51 a side give (1957, 2): rounding drops 4 on the circle."""
    along = -1.0 + 2.0 * np.arange(per_side) / (per_side - 1)
    points = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    return points[np.square(points).sum(axis=1) <= 1.0]


@ti.kernel
def _trace_in_taichi(
    texels: ti.types.ndarray(dtype=_RGBA, ndim=3),
    defocus_px: ti.types.ndarray(ti.f32, ndim=1),
    points: ti.types.ndarray(dtype=_XY, ndim=1),
    overscan: int,
    out: ti.types.ndarray(dtype=_RGBA, ndim=2),
):
    for y, x in out:
        colour = _RGBA(0.0)
        for s in range(points.shape[0]):
            transmittance = 1.0
            for layer in range(defocus_px.shape[0]):
                hit = ti.Vector([x, y]) + overscan + defocus_px[layer] * points[s]
                corner = ti.floor(hit)
                fx, fy = hit[0] - corner[0], hit[1] - corner[1]
                j, i = ti.cast(corner[0], ti.i32), ti.cast(corner[1], ti.i32)
                upper = (1.0 - fx) * texels[layer, i, j] + fx * texels[layer, i, j + 1]
                lower = (1.0 - fx) * texels[layer, i + 1, j] + fx * texels[layer, i + 1, j + 1]
                rgba = (1.0 - fy) * upper + fy * lower
                # Thresholds of the original: nearly empty texels are skipped, nearly opaque ones end the ray.
                if rgba[3] >= 0.01:
                    colour += transmittance * rgba
                    if rgba[3] > 0.99:
                        break
                    transmittance *= 1.0 - rgba[3]
        out[y, x] = colour / colour[3]


@numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)
def _trace_in_numba(texels, defocus_px, points, overscan, out):
    one = np.float32(1.0)
    for y in numba.prange(out.shape[0]):
        for x in range(out.shape[1]):
            red = green = blue = weight = np.float32(0.0)
            for s in range(len(points)):
                transmittance = one
                for layer in range(len(defocus_px)):
                    hit_x = np.float32(x + overscan) + defocus_px[layer] * points[s, 0]
                    hit_y = np.float32(y + overscan) + defocus_px[layer] * points[s, 1]
                    j, i = int(hit_x), int(hit_y)  # the overscan keeps them above 0
                    fx, fy = hit_x - np.float32(j), hit_y - np.float32(i)
                    top_left, top_right = (one - fy) * (one - fx), (one - fy) * fx
                    low_left, low_right = fy * (one - fx), fy * fx
                    a, b = texels[layer, i, j], texels[layer, i, j + 1]
                    c, d = texels[layer, i + 1, j], texels[layer, i + 1, j + 1]
                    alpha = top_left * a[3] + top_right * b[3] + low_left * c[3] + low_right * d[3]
                    # The thresholds of the loop above.
                    if alpha >= np.float32(0.01):
                        red += transmittance * (top_left * a[0] + top_right * b[0] + low_left * c[0] + low_right * d[0])
                        green += transmittance * (
                            top_left * a[1] + top_right * b[1] + low_left * c[1] + low_right * d[1]
                        )
                        blue += transmittance * (
                            top_left * a[2] + top_right * b[2] + low_left * c[2] + low_right * d[2]
                        )
                        weight += transmittance * alpha
                        if alpha > np.float32(0.99):
                            break
                        transmittance *= one - alpha
            out[y, x, 0] = red / weight
            out[y, x, 1] = green / weight
            out[y, x, 2] = blue / weight


class MpibLattice:
    """Renders one scene. The textures are prepared once, as for every renderer of the benchmark.

    The layers include their overscan, so the original's test of the picture's bounds is left out, which makes it
    faster.
    """

    def __init__(self, scene: Scene, lens: ThinLens):
        rgba_premul = np.stack([premultiplied(layer.rgba) for layer in scene.layers])
        disparities = np.array([layer.disparity for layer in scene.layers])
        defocus_px = lens.defocus_px(disparities)
        points = lattice_points()
        self.num_samples = len(points)
        self._overscan = scene.overscan
        self._rgba_premul = rgba_premul
        self._texels = ti.ndarray(_RGBA, rgba_premul.shape[:3])
        self._texels.from_numpy(rgba_premul)
        self._defocus_px = defocus_px.astype(np.float32)
        self._lens_points = points.astype(np.float32)
        self._points = ti.ndarray(_XY, len(points))
        self._points.from_numpy(self._lens_points)
        self._out = ti.ndarray(_RGBA, (scene.height, scene.width))

    def in_taichi(self) -> Picture:
        """(H, W, 3) linear light."""
        _trace_in_taichi(self._texels, self._defocus_px, self._points, self._overscan, self._out)
        return np.asarray(self._out.to_numpy(), np.float32)[..., :3]

    def in_numba(self) -> Picture:
        """(H, W, 3) linear light, on the CPU."""
        image = np.empty((*self._out.shape, 3), np.float32)
        _trace_in_numba(self._rgba_premul, self._defocus_px, self._lens_points, self._overscan, image)
        return image
