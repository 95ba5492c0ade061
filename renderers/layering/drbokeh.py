"""Dr.Bokeh's layers of a picture (Sheng et al. 2023): a foreground, and a background that is whole.

The paper finds the foreground by a network for salient objects, and completes the background by LaMa. Neither has
weights here. In their places: the foreground is what is nearer than the disparity that splits the picture best (Otsu
1979), with hard edges, and the background is continued smoothly (pull-push) from one pixel beside it, where the paper's
pipeline dilates twice by 5 x 5 and inpaints by Telea's method.

Rendered by Dr.Bokeh, hard edges were as good as edges softened by half a pixel (33.8 and 33.6 dB on five scenes of
drbokeh-benchmark, 33.6 and 33.6 dB on ten pictures of blb-levels), and better than closed-form matting with its own
foreground colours (32.4 and 32.0 dB): a soft alpha needs colours that are unmixed as well.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from renderers.base import RendererError
from renderers.layering.filling import beside_nearer, depth_image, extended, from_nearest, painted, require_disparity
from scenes.arrays import Picture, Plane
from scenes.layered_depth import LayeredDepthImage

# Pixels of a smaller alpha are background alone (section 4.7.4 has 0.1).
_ALPHA_MIN = 0.1

_LEVELS = 255


def analyse(
    linear: Picture, disparity: Plane, *, reach_px: float = math.inf, matte: Plane | None = None
) -> LayeredDepthImage:
    """Foreground and background; the background alone where nothing stands out. The reach is ignored.

    matte   alpha of the foreground, (H, W) in [0, 1], in place of what the disparity says
    """
    require_disparity(disparity)
    alpha = nearer_half(disparity).astype(np.float32) if matte is None else _checked(matte, disparity.shape)
    foreground = alpha > _ALPHA_MIN
    height, width = disparity.shape
    layers = []
    # Pixels of an edge hold both: what is behind begins one pixel away from what is in front.
    # A matte that is given need not end where the disparity does.
    mixed = _beside(foreground) if matte is not None else _beside(foreground) & beside_nearer(disparity)
    seen = ~(foreground | mixed)
    if foreground.any() and seen.any():
        layers.append(depth_image(extended(linear, foreground), alpha, from_nearest(disparity, foreground)))
        linear, disparity = painted(linear, seen, ~(foreground | seen)), from_nearest(disparity, seen)
    layers.append(depth_image(linear, np.ones_like(alpha), disparity))
    return LayeredDepthImage(tuple(layers), width, height, 0)


def nearer_half(disparity: Plane) -> NDArray[np.bool_]:
    """(H, W), True where a pixel belongs to the nearer of the two classes that Otsu's threshold makes of disparity."""
    low, span = disparity.min(), np.ptp(disparity)
    if span == 0.0:
        return np.zeros(disparity.shape, bool)
    level = np.rint((disparity - low) / span * _LEVELS).astype(np.uint8)
    threshold, _ = cv2.threshold(level, 0, _LEVELS, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return level > threshold


def _checked(matte: Plane, shape: tuple[int, ...]) -> Plane:
    if matte.shape != shape or not (matte.min() >= 0.0 and matte.max() <= 1.0):
        raise RendererError(f"the matte is {matte.shape}; it must be {shape}, from 0 to 1")
    return np.asarray(matte, np.float32)


def _beside(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
