"""How far inside an aperture's outline a point of its image lies: from this every method draws its own edge profile."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from renderers.splatting.kernels import KernelBank, kernel_bank, nearest_kernels
from scenes.aperture import Aperture, Disk, Donut, Mask, Polygon
from scenes.arrays import Plane

# Lattice on which the outline of a mask is measured: cells across the unit disk.
_MASK_CELLS = 256


def signed_distance_px(aperture: Aperture, dx: NDArray, dy: NDArray, defocus_px: NDArray) -> NDArray[np.float32]:
    """Distance inside the outline of the image of a point in pixels, negative outside, (dx, dy) from its centre.

    defocus_px   S: the image has radius |S|, upright where S <= 0, turned by 180 degrees nearer than focus

    For a disk |S| - rho exactly; for polygons the distance along the radius (BokehMe's shaped scatter); for masks the
    distance to the nearest point of the outline, where grey counts as open from half on.
    """
    radius_px = np.abs(defocus_px)
    turn = np.where(defocus_px > 0.0, -1.0, 1.0)
    dx, dy = turn * dx, turn * dy
    rho = np.hypot(dx, dy)
    if isinstance(aperture, Disk):
        return np.asarray(radius_px - rho, np.float32)
    if isinstance(aperture, Polygon):
        return np.asarray(radius_px * aperture.outline(np.arctan2(dy, dx)) - rho, np.float32)
    if isinstance(aperture, Donut):
        return np.asarray(np.minimum(radius_px - rho, rho - radius_px * aperture.inner_radius), np.float32)
    if isinstance(aperture, Mask):
        return _inside_mask_px(aperture, dx, dy, radius_px)
    raise TypeError(f"no outline is known for the aperture {aperture}")


def kernels_with_edge(
    defocus_px: Plane, aperture: Aperture, edge: Callable[[NDArray], NDArray]
) -> tuple[KernelBank, NDArray[np.int32]]:
    """The kernels of all radii in a picture, and (H, W) which one each pixel has.

    edge   weight in [0, 1] at a distance inside the outline in pixels; what is farther than a pixel outside is cut off
    """

    def profile(dx, dy, defocus_px):
        return edge(signed_distance_px(aperture, dx, dy, defocus_px))

    quantised_px, index = nearest_kernels(defocus_px, aperture)
    return kernel_bank(quantised_px, np.floor(np.abs(quantised_px)).astype(np.int64) + 1, profile), index


def _inside_mask_px(mask: Mask, dx: NDArray, dy: NDArray, radius_px: NDArray) -> NDArray[np.float32]:
    # The lattice spans twice the unit disk, so that distances are right well outside the shape.
    side = 2 * _MASK_CELLS
    grey = cv2.resize(mask.transmission, (_MASK_CELLS, _MASK_CELLS), interpolation=cv2.INTER_LINEAR)
    centre = (np.arange(_MASK_CELLS) + 0.5) / _MASK_CELLS * 2.0 - 1.0
    disk = np.add.outer(centre**2, centre**2) <= 1.0
    is_open = np.zeros((side, side), np.uint8)
    quarter = slice(_MASK_CELLS // 2, _MASK_CELLS // 2 + _MASK_CELLS)
    is_open[quarter, quarter] = (grey >= 128) & disk
    to_closed = cv2.distanceTransform(is_open, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    to_open = cv2.distanceTransform(1 - is_open, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Each counts from cell centre to cell centre: the outline is half a cell nearer.
    inside = np.where(is_open > 0, to_closed - 0.5, 0.5 - to_open) / (_MASK_CELLS / 2)
    scale = _MASK_CELLS / 2 / np.maximum(radius_px, 1e-3)
    u, v = np.broadcast_arrays(dx * scale + side / 2 - 0.5, dy * scale + side / 2 - 0.5)
    reach = np.maximum(np.maximum(np.abs(u - side / 2), np.abs(v - side / 2)) - side / 2, 0.0) / scale
    shape = u.shape
    lookup = cv2.remap(
        inside.astype(np.float32),
        u.reshape(shape[0], -1).astype(np.float32),
        v.reshape(shape[0], -1).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    ).reshape(shape)
    return np.asarray(lookup * radius_px - reach, np.float32)
