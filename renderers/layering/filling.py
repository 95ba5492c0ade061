"""What is not known, from what is known around it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from renderers.base import RendererError
from scenes.arrays import Picture, Plane
from scenes.color import HALF_MAX
from scenes.layered_depth import DepthImage
from scenes.matte import extend_colour

# A step of disparity by this part of the picture's range is an edge; less is a slope.
EDGE = 0.02


def beside_nearer(disparity: Plane) -> NDArray[np.bool_]:
    """(H, W), True where one of the eight neighbours is nearer by an edge: such a pixel holds light of both."""
    return cv2.dilate(disparity, np.ones((3, 3), np.uint8)) - disparity > EDGE * np.ptp(disparity)


def from_nearest(plane: NDArray, known: NDArray[np.bool_]) -> NDArray:
    """(H, W) or (H, W, C) with the value of the nearest known pixel at every other one.

    known   (H, W), at least one pixel
    """
    # The transform labels what is 0, and gives every other pixel the label of the nearest of these.
    _, label = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label = np.asarray(label, np.int64).ravel()
    pixel_of = np.zeros(label.max() + 1, np.int64)
    pixels = np.flatnonzero(known)
    pixel_of[label[pixels]] = pixels
    return plane.reshape(known.size, -1)[pixel_of[label]].reshape(plane.shape)


def extended(linear: Picture, known: NDArray[np.bool_]) -> Picture:
    """The picture with all but the known pixels continued smoothly from them (pull-push)."""
    return extend_colour(np.concatenate([linear, known[..., None].astype(np.float32)], axis=-1))[..., :3]


def depth_image(linear: Picture, alpha: Plane, disparity: Plane) -> DepthImage:
    """A layer of straight alpha, its colour in linear light cut at the largest half float."""
    rgba = np.concatenate([np.minimum(linear, np.float32(HALF_MAX)), alpha[..., None]], axis=-1)
    return DepthImage(rgba.astype(np.float16), np.ascontiguousarray(disparity))


def require_disparity(disparity: Plane) -> None:
    """RendererError for what layers cannot have: disparities behind infinity."""
    if not disparity.min() >= 0.0:
        raise RendererError(f"the disparity is {disparity.min():g} somewhere; layers need 0, infinity, or more")
