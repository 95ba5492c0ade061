"""Parts of a picture where renderers differ. Each is one sentence with its numbers, which results.json repeats."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.lens import Lens

IN_FOCUS_PX = 1.0
BOUNDARY_STEP_PX = 1.0
BOUNDARY_MARGIN_PX = 2
HIGHLIGHT_DISPLAY = 0.9
# Reaches are rounded up to this, so that a few distance maps serve all radii.
_REACH_STEP_PX = 4

REGIONS = {
    "all": "every pixel",
    "in_focus": f"pixels whose blur radius K |d - d_f| is below {IN_FOCUS_PX:g} px",
    "boundaries": f"pixels within R of one whose signed defocus differs from a 4-neighbour's by more than "
    f"{BOUNDARY_STEP_PX:g} px, R the larger of the two blur radii plus {BOUNDARY_MARGIN_PX} px, rounded up to a "
    f"multiple of {_REACH_STEP_PX} px",
    "highlights": f"pixels within the blur radius, rounded up to a multiple of {_REACH_STEP_PX} px, of one whose mean "
    f"all-in-focus display value is at least {HIGHLIGHT_DISPLAY:g}",
    "border_cropped": "pixels farther from the border than the largest blur radius of the picture, rounded up",
}


def region_masks(
    image: NDArray[np.float32], disparity: NDArray[np.float32], lens: Lens
) -> dict[str, NDArray[np.bool_]]:
    """The masks of all REGIONS, (H, W) each; any but `all` may be empty.

    image       all-in-focus display values, (H, W, 3), not clipped
    disparity   (H, W) as it truly is, in the unit of the lens
    """
    defocus_px = lens.defocus_px(disparity)
    radius_px = np.abs(defocus_px)
    crop = math.ceil(float(radius_px.max()))
    border_cropped = np.zeros(disparity.shape, bool)
    border_cropped[crop : max(crop, disparity.shape[0] - crop), crop : max(crop, disparity.shape[1] - crop)] = True
    return {
        "all": np.ones(disparity.shape, bool),
        "in_focus": radius_px < IN_FOCUS_PX,
        "boundaries": _boundaries(defocus_px),
        "highlights": _reached(image.mean(axis=2) >= HIGHLIGHT_DISPLAY, radius_px),
        "border_cropped": border_cropped,
    }


def _boundaries(defocus_px: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a step in depth shows: as far from it as the blur on either of its sides reaches."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    highest, lowest = cv2.dilate(defocus_px, cross), cv2.erode(defocus_px, cross)
    reach_px = np.maximum(np.abs(highest), np.abs(lowest)) + np.float32(BOUNDARY_MARGIN_PX)
    step_px = np.maximum(highest - defocus_px, defocus_px - lowest)
    return _reached(step_px > BOUNDARY_STEP_PX, reach_px)


def _reached(sources: NDArray[np.bool_], reach_px: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Pixels whose distance to a source is at most the source's reach, rounded up to a multiple of _REACH_STEP_PX."""
    steps = np.ceil(reach_px / _REACH_STEP_PX).astype(np.int32)
    reached = sources.copy()
    for step in np.unique(steps[sources]):
        away = np.where(sources & (steps == step), 0, 1).astype(np.uint8)
        reached |= cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= step * _REACH_STEP_PX
    return reached
