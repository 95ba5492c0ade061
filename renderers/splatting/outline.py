"""The image of an aperture: how far inside its outline a point lies, from which every method draws its own edge
profile, and how bright it is there."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from renderers.splatting.kernels import Frame, KernelBank, kernel_bank, nearest_kernels, nearest_kernels_of_cells
from scenes.aperture import Aperture, Character, Disk, Donut, Mask, Polygon, cat_eye_of
from scenes.arrays import Plane

# Lattice on which the outline of a mask is measured: cells across the unit disk.
_MASK_CELLS = 256


def signed_distance_px(aperture: Aperture, dx: NDArray, dy: NDArray, defocus_px: NDArray) -> NDArray[np.float32]:
    """Distance inside the outline of the image of a point in pixels, negative outside, (dx, dy) from its centre.

    defocus_px   S: the image has radius |S|, upright where S <= 0, turned by 180 degrees nearer than focus

    For a disk |S| - rho exactly; for polygons the distance along the radius (BokehMe's shaped scatter); for masks the
    distance to the nearest point of the outline, where grey counts as open from half on.
    """
    if isinstance(aperture, Character):
        aperture = aperture.shape
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


def brightness(aperture: Aperture, dx: NDArray, dy: NDArray, defocus_px: NDArray) -> NDArray[np.float64] | float:
    """Brightness of the image of a point over the area of a pixel, (dx, dy) from its centre; 1 on average over a disk.

    It is that of the ring, one pixel wide, which the pixel lies on. Beyond the rim it is that at the rim.
    """
    if not isinstance(aperture, Character):
        return 1.0
    rho, radius_px = np.hypot(dx, dy), np.maximum(np.abs(defocus_px), 1e-3)
    outer = np.minimum((rho + 0.5) / radius_px, 1.0)
    inner = np.clip((rho - 0.5) / radius_px, 0.0, 0.999 * outer)
    return (aperture.light_within(outer**2) - aperture.light_within(inner**2)) / (outer**2 - inner**2)


def kernels_with_edge(
    defocus_px: Plane, aperture: Aperture, edge: Callable[[NDArray], NDArray], frame: Frame | None = None
) -> tuple[KernelBank, NDArray[np.int32]]:
    """The kernels of all radii in a picture, and (H, W) which one each pixel has.

    edge    weight in [0, 1] at a distance inside the outline in pixels; what is farther than a pixel outside is cut off
    frame   where in the frame the picture lies, for apertures that change over it; the picture is the frame unless said
    """
    per_px, moved = 0.0, ()
    if cat_eye := cat_eye_of(aperture):
        frame = frame or Frame(*defocus_px.shape[::-1])
        quantised_px, fields, index = nearest_kernels_of_cells(defocus_px, aperture, frame)
        per_px, moved = cat_eye / frame.to_corner_px, tuple(cat_eye * fields.T)
    else:
        quantised_px, index = nearest_kernels(defocus_px, aperture)

    def profile(dx, dy, defocus_px, *moved):
        inside = signed_distance_px(aperture, dx, dy, defocus_px)
        if moved:
            # The second stop passes lens points s with |s + moved| <= 1. They are seen at e = -S s, where it is moved
            # by per_px e more: a disk of radius S' around S' moved.
            second_px = defocus_px / np.maximum(1.0 - per_px * defocus_px, 0.1)
            away = np.hypot(dx - second_px * moved[0], dy - second_px * moved[1])
            inside = np.minimum(inside, np.abs(second_px) - away)
        return edge(inside) * brightness(aperture, dx, dy, defocus_px)

    return kernel_bank(quantised_px, np.floor(np.abs(quantised_px)).astype(np.int64) + 1, profile, *moved), index


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
