"""SteReFo (Busam et al. 2019, section 3.3): slices one pixel of radius apart, C <- C (1 - k*M) + k*(M I), result C / N.

    M_i = 1(|S - S_i| < 1),     S_i = S_min, S_min + 1, ... far to near,     k_i = disk of radius |S_i|, unit sum

Neighbouring masks overlap by half, as in the released code. There a pixel just one step away belongs to a slice as
well; here it does not, else the next slice would blur a farthest plane that is in focus.
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

# Lattice points on the circle belong to the disk, also where rounding makes the radius a little smaller.
_ON_THE_RIM_PX = 1e-4


def sterefo(linear: Picture, disparity: Plane, lens: Lens, *, arch: Backend = "cpu") -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32."""
    defocus_px = lens.defocus_px(disparity)
    slices = slice_defocus_px(defocus_px)
    composite = Composite(linear, hard_disks(slices, lens.aperture), arch)
    for i, s in enumerate(slices):
        composite.add(i, (np.abs(defocus_px - s) < 1.0).astype(np.float32))
    return composite.normalized()


def slice_defocus_px(defocus_px: Plane, step_px: float = 1.0) -> NDArray[np.float64]:
    """S_i of the slices: from the farthest pixel in steps of so many pixels until the nearest is reached."""
    farthest, nearest = float(defocus_px.min()), float(defocus_px.max())
    return farthest + step_px * np.arange(np.ceil((nearest - farthest) / step_px) + 1.0)


def hard_disks(defocus_px: NDArray[np.float64], aperture: Aperture) -> KernelBank:
    """Apertures with a hard edge at |S|, one for each defocus."""

    def profile(dx, dy, defocus_px):
        inside = signed_distance_px(aperture, dx, dy, defocus_px) >= -_ON_THE_RIM_PX
        # A shape smaller than a pixel may miss every lattice point; its light stays where it is.
        empty = ~inside.any(axis=(1, 2), keepdims=True)
        return inside * brightness(aperture, dx, dy, defocus_px) + (empty & (dx == 0) & (dy == 0))

    return kernel_bank(defocus_px, np.floor(np.abs(defocus_px) + _ON_THE_RIM_PX).astype(np.int64), profile)
