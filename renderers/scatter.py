"""BokehMe's classical renderer (Peng et al. 2022, section 3.2): B(x) = sum_y w I(y) / sum_y w, a normalised scatter.

    w(y -> x) = (1/2 + 1/2 tanh(4 (r_y - |x - y|))) / (r_y^2 + 0.2)        within the square |x - y|_inf <= floor(r_y) + 1

No order of depth enters: near and far blur into each other alike. With a shaped aperture the outline takes the place
of r_y in the tanh (section 4.2 of the release's `scatter_ex`), turned by 180 degrees for sources nearer than focus.
"""

import numpy as np
from numpy.typing import NDArray

from renderers.shape import inside_px
from renderers.splat import KernelBank, kernel_bank, splat
from scenes.aperture import Aperture, Disk
from scenes.lens import ThinLens, signed_defocus_px

# Radii are rounded to kernels that stand 1/256 px apart at focus and 1/18 px at 50 px: the larger a disk, the less of
# it is rim.
_KERNELS_PER_ROOT = 256
_ROOT_AT_FOCUS = 0.5


def scatter(linear: NDArray[np.float32], disparity: NDArray[np.float32], lens: ThinLens) -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32."""
    defocus_px = signed_defocus_px(disparity, lens.blur_parameter, lens.focus_disparity)
    bank, kernel = soft_disks(defocus_px, lens.aperture)
    weighted = np.ones((*linear.shape[:2], 4), np.float32)
    weighted[..., :3] = linear
    weighted /= (np.square(defocus_px) + np.float32(0.2))[..., None]
    sums = splat(weighted, kernel, bank)
    return sums[..., :3] / sums[..., 3:]


def soft_disks(defocus_px: NDArray[np.float32], aperture: Aperture) -> tuple[KernelBank, NDArray[np.int32]]:
    """The kernels of all radii in a picture, without their 1 / (r^2 + 0.2), and (H, W) which one each pixel has."""
    # A disk looks the same from both sides of focus; other shapes have an upright and a turned kernel.
    signed_px = np.abs(defocus_px) if isinstance(aperture, Disk) else defocus_px
    root = np.sqrt(np.abs(signed_px) + np.float32(_ROOT_AT_FOCUS**2)) - np.float32(_ROOT_AT_FOCUS)
    label = np.rint(np.copysign(root, signed_px) * _KERNELS_PER_ROOT).astype(np.int64)
    first = label.min()
    used = np.flatnonzero(np.bincount((label - first).ravel()))
    index = np.full(used[-1] + 1, -1, np.int32)
    index[used] = np.arange(len(used))

    def profile(dx, dy, defocus_px):
        turn = np.where(defocus_px > 0.0, -1.0, 1.0)
        return 0.5 + 0.5 * np.tanh(4.0 * inside_px(aperture, turn * dx, turn * dy, np.abs(defocus_px)))

    root_used = (used + first) / _KERNELS_PER_ROOT
    quantised_px = np.copysign((np.abs(root_used) + _ROOT_AT_FOCUS) ** 2 - _ROOT_AT_FOCUS**2, root_used)
    bank = kernel_bank(quantised_px, np.floor(np.abs(quantised_px)).astype(np.int64) + 1, profile)
    return bank, index[label - first]
