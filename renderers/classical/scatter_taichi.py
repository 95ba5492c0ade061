"""BokehMe's classical renderer (Peng et al. 2022, section 3.2) for a GPU: every pixel gathers what reaches it.

The formula is in `renderers.classical.scatter`. A GPU has the arithmetic to pay the square of the radius, and without
running sums nothing depends on the order of its threads.
"""

# Taichi's argument annotations are values, not types.
# pyright: reportInvalidTypeForm=false, reportGeneralTypeIssues=false

import numpy as np
import taichi as ti
from numpy.typing import NDArray

from renderers.base import RendererError
from runtime import backend
from runtime.backend import Backend
from scenes.aperture import Disk
from scenes.arrays import Picture, Plane
from scenes.lens import Lens


def scatter_taichi(linear: Picture, disparity: Plane, lens: Lens, *, arch: Backend = "cpu") -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32; round apertures only."""
    if not isinstance(lens.aperture, Disk):
        raise RendererError(f"scatter-taichi renders a round aperture, not {lens.aperture}")
    backend.require(arch)
    radius_px = np.abs(lens.defocus_px(disparity))
    blurred = np.empty_like(linear)
    _gather(linear, radius_px, int(radius_px.max()) + 1, blurred)
    return blurred


@ti.kernel
def _gather(
    linear: ti.types.ndarray(ti.f32, ndim=3),
    radius_px: ti.types.ndarray(ti.f32, ndim=2),
    reach: int,
    blurred: ti.types.ndarray(ti.f32, ndim=3),
):
    height, width = radius_px.shape[0], radius_px.shape[1]
    for y, x in ti.ndrange(height, width):
        total = ti.Vector([0.0, 0.0, 0.0, 0.0])
        for sy in range(ti.max(y - reach, 0), ti.min(y + reach + 1, height)):
            # A sum of its own for every row: ten thousand terms one by one would cost float32 three digits.
            of_row = ti.Vector([0.0, 0.0, 0.0, 0.0])
            for sx in range(ti.max(x - reach, 0), ti.min(x + reach + 1, width)):
                r = radius_px[sy, sx]
                if ti.max(ti.abs(sy - y), ti.abs(sx - x)) <= int(r) + 1:
                    rho = ti.sqrt(float((sx - x) * (sx - x) + (sy - y) * (sy - y)))
                    w = (0.5 + 0.5 * ti.tanh(4.0 * (r - rho))) / (r * r + 0.2)
                    of_row += w * ti.Vector([linear[sy, sx, 0], linear[sy, sx, 1], linear[sy, sx, 2], 1.0])
            total += of_row
        for c in ti.static(range(3)):
            blurred[y, x, c] = total[c] / total[3]
