"""D2F's weighted layered rendering (Luo et al. 2020, Eqs. 5 to 16): B = sum_l w_l k_l*(M_l I) / sum_l w_l k_l*M_l.

    M_l = 1/2 + 1/2 tanh(gamma (1/L - |D - l/L|)),     w_l = prod (1 - M_j) over the layers j in front of l
    k_l = 1/2 + 1/2 tanh(sigma (r_l^2 - x^2 - y^2) + phi), unit sum,     gamma = 100, sigma = 0.25, phi = 0.5, L = 15

Differences from the print: kernels have unit sum (raw sums let strong blur outvote the rest thousands to one); D is
signed, with the table's layers on either side of an unblurred one, and nearer layers are in front; D is laid out so
that a pixel of blur radius r_l is drawn by layer l; the table of radii is stretched to K. The radiance is 1: it comes
from a network, and linear light does its part.
"""

import numpy as np
from numpy.typing import NDArray

from renderers.classical.composite import Composite
from renderers.splatting.kernels import kernel_bank
from renderers.splatting.outline import brightness, signed_distance_px
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.lens import Lens

# Radii of the published kernels in pixels: sizes 1, 3, 5, 7, 11, ... 69 of Eq. 14.
LAYER_RADII_PX = np.array([0, 1, 2, 3, 5, 7, 9, 11, 13, 16, 19, 22, 26, 30, 34])
_LAYERS = len(LAYER_RADII_PX)

# gamma / L: how steep a mask is in units of the distance between layers.
_MASK_SLOPE = 100.0 / _LAYERS


def d2f_layered(linear: Picture, disparity: Plane, lens: Lens, *, arch: Backend = "cpu") -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32. The table of radii ends at K for disparities normalized to [0, 1]."""
    defocus_px = lens.defocus_px(disparity)
    # A focus beyond the disparities of the picture blurs it by more than their range.
    radius_max = max(float(np.ptp(defocus_px)), float(np.abs(defocus_px).max()))
    radii = layer_radii_px(radius_max)
    # D in units of 1/L, growing with distance as in the paper; of two layers that share a pixel the nearer one shows.
    behind = -np.sign(defocus_px) * np.interp(np.abs(defocus_px), radii, np.arange(len(radii))) + 0.5
    layers = np.arange(len(radii) - 1, -len(radii), -1)
    defocus_of_layer = -np.sign(layers) * radii[np.abs(layers)].astype(np.float64)

    def profile(dx, dy, defocus_px):
        inside = signed_distance_px(lens.aperture, dx, dy, defocus_px)
        # r^2 - rho^2, which is inside (inside + 2 rho) for a disk.
        edge = 0.5 + 0.5 * np.tanh(0.25 * inside * (inside + 2.0 * np.hypot(dx, dy)) + 0.5)
        return edge * brightness(lens.aperture, dx, dy, defocus_px)

    bank = kernel_bank(defocus_of_layer, np.abs(defocus_of_layer).astype(np.int64), profile)
    composite = Composite(linear, bank, arch)
    for i, layer in enumerate(layers):
        mask = 0.5 + 0.5 * np.tanh(_MASK_SLOPE * (1.0 - np.abs(behind - layer)))
        composite.add(i, np.where(mask > 1e-4, mask, 0.0).astype(np.float32), blurred_mask_hides=False)
    return composite.normalized()


def layer_radii_px(radius_max: float) -> NDArray[np.float64]:
    """The published table stretched to a largest radius: whole pixels, ascending from 0, each once.

    Above 34 px the growing curve is sampled at more places, so that layers lie no farther apart than published.
    """
    stretch = radius_max / LAYER_RADII_PX[-1]
    intervals = int(np.ceil((_LAYERS - 1) * max(stretch, 1.0)))
    curve = np.interp(np.linspace(0, _LAYERS - 1, intervals + 1), np.arange(_LAYERS), LAYER_RADII_PX)
    return np.unique(np.rint(stretch * curve))
