"""CoCNet's physical model (Eqs. 1 to 8): layers a pixel of radius deep, convolved with a disk times a Butterworth rim.

    H = C (beta + (1 - beta) b / b_max),  b = rho / (1 + rho),  rho = (|x|^2 / d0^2)^n,  d0 = 2 r / alpha
    B <- I_i * H_i + (1 - M_i * H_i) B,  W <- M_i * H_i + (1 - M_i * H_i) W    far to near,  result B / W

The kernel's details are those of the dual-pixel code that the paper takes it from (Abuolaim et al. 2021) with n = 3,
alpha = 2.5, beta = 0.2. It knows whole radii; between two of them, their kernels are interpolated linearly. The printed
blend (8) attenuates each layer twice and draws a seam at every step in depth; this is ordinary `over`, every layer
treated alike. Left out is the final smoothing of the kernel, which widens its radius.
"""

import numpy as np
from numpy.typing import NDArray

from renderers.classical.composite import Composite
from renderers.splatting.kernels import KernelBank, kernel_bank
from renderers.splatting.outline import brightness, signed_distance_px
from runtime.backend import Backend
from scenes.aperture import Aperture
from scenes.arrays import Picture, Plane
from scenes.lens import Lens

_ORDER = 3
_ALPHA = 2.5
_BETA = 0.2

# Up to this radius the rim would leave a hollow ring of a few pixels: a plain disk.
_PLAIN_UP_TO_PX = 2


def cocnet_physical(linear: Picture, disparity: Plane, lens: Lens, *, arch: Backend = "cpu") -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32."""
    defocus_px = lens.defocus_px(disparity)
    farther = np.floor(defocus_px)
    share_of_nearer = defocus_px - farther
    layers = np.unique(farther)
    kernels = np.union1d(layers, layers + 1.0)
    composite = Composite(linear, butterworth_disks(kernels.astype(np.float64), lens.aperture), arch)
    for layer in layers:
        mask = (farther == layer).astype(np.float32)
        composite.add(int(np.searchsorted(kernels, layer)), mask, share_of_next=share_of_nearer)
    return composite.normalized()


def butterworth_disks(defocus_px: NDArray[np.float64], aperture: Aperture) -> KernelBank:
    """Apertures of whole radii |S| with a bright rim, one for each defocus."""

    def profile(dx, dy, defocus_px):
        radius = np.abs(defocus_px)
        inside = signed_distance_px(aperture, dx, dy, defocus_px) >= 0.0
        cut_off = np.maximum(2.0 * radius / _ALPHA, 1.0)
        rho = ((dx**2 + dy**2) / cut_off**2) ** _ORDER
        rim = rho / (1.0 + rho)
        # The corner of the window has the largest value, 0 the smallest.
        rim = _BETA + (1.0 - _BETA) * rim / np.maximum(rim.max(axis=(1, 2), keepdims=True), 1e-6)
        return inside * np.where(radius <= _PLAIN_UP_TO_PX, 1.0, rim) * brightness(aperture, dx, dy, defocus_px)

    return kernel_bank(defocus_px, np.abs(defocus_px).astype(np.int64), profile)
