"""The ground-truth generator of MPIB (Peng et al. 2022) as a plain Taichi loop: the peer `mpib-51`.

The lens points are a square lattice of 51 x 51, cut to the disk. Every pixel follows every ray through every layer.
"""

# Taichi's argument annotations are values, not types.
# pyright: reportInvalidTypeForm=false, reportGeneralTypeIssues=false, reportIndexIssue=false

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
def _trace(
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


class MpibLattice:
    """Renders one scene. The textures are uploaded once, as for every renderer of the benchmark.

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
        self._texels = ti.ndarray(_RGBA, rgba_premul.shape[:3])
        self._texels.from_numpy(rgba_premul)
        self._defocus_px = defocus_px.astype(np.float32)
        self._points = ti.ndarray(_XY, len(points))
        self._points.from_numpy(points.astype(np.float32))
        self._out = ti.ndarray(_RGBA, (scene.height, scene.width))

    def render(self) -> Picture:
        """(H, W, 3) linear light."""
        _trace(self._texels, self._defocus_px, self._points, self._overscan, self._out)
        return np.asarray(self._out.to_numpy(), np.float32)[..., :3]
