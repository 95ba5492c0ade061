"""BokehMe's classical renderer (Peng et al. 2022, section 3.2): B(x) = sum_y w I(y) / sum_y w, a normalized scatter.

    w(y -> x) = (1/2 + 1/2 tanh(4 (r_y - |x - y|))) / (r_y^2 + 0.2),    |x - y| <= floor(r_y) + 1 along x and y

Occlusion is ignored: near and far blur into each other alike. With a shaped aperture the outline takes the place
of r_y in the tanh (section 4.2 of the release's `scatter_ex`), turned by 180 degrees for sources nearer than focus.
"""

import numpy as np
from numpy.typing import NDArray

from renderers.splatting.kernels import KernelBank
from renderers.splatting.outline import kernels_with_edge
from renderers.splatting.splat import splat
from runtime.backend import Backend
from scenes.aperture import Aperture
from scenes.arrays import Picture, Plane
from scenes.lens import Lens


def scatter(linear: Picture, disparity: Plane, lens: Lens, *, arch: Backend = "cpu") -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32."""
    defocus_px = lens.defocus_px(disparity)
    bank, kernel = soft_disks(defocus_px, lens.aperture)
    weighted = np.ones((*linear.shape[:2], 4), np.float32)
    weighted[..., :3] = linear
    weighted /= (np.square(defocus_px) + np.float32(0.2))[..., None]
    sums: NDArray[np.float32] = splat(weighted, kernel, bank, arch)
    return sums[..., :3] / sums[..., 3:]


def soft_disks(defocus_px: Plane, aperture: Aperture) -> tuple[KernelBank, NDArray[np.int32]]:
    """The kernels of all radii in a picture, without their 1 / (r^2 + 0.2), and (H, W) which one each pixel has."""
    return kernels_with_edge(defocus_px, aperture, lambda inside_px: 0.5 + 0.5 * np.tanh(4.0 * inside_px))
