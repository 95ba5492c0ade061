"""What is not known, from what is known around it."""

from dataclasses import dataclass

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from renderers.base import RendererError
from scenes.arrays import Picture, Plane, half
from scenes.color import HALF_MAX, display_from_linear, linear_from_display
from scenes.layered_depth import DepthImage
from scenes.matte import extend_colour

# Side of the square of pixels that a mixed one is compared with.
_NEARBY = 5

# Light above white that fills a square of this side is a window or a sky, and less of it a lamp.
_SKY = 9

# A step of disparity by this part of the picture's range is an edge; less is a slope.
EDGE = 0.02


def beside_nearer(disparity: Plane, step: float | None = None) -> NDArray[np.bool_]:
    """(H, W), True where one of the eight neighbours is nearer by an edge: such a pixel holds light of both.

    step   of disparity, from which on it is an edge; EDGE of the range unless said
    """
    least = EDGE * np.ptp(disparity) if step is None else step
    return cv2.dilate(disparity, np.ones((3, 3), np.uint8)) - disparity > least


def before_farther(disparity: Plane, step: float) -> NDArray[np.bool_]:
    """(H, W), True where one of the eight neighbours is farther by an edge: such a pixel may hold light of both."""
    return disparity - cv2.erode(disparity, np.ones((3, 3), np.uint8)) > step


@dataclass(frozen=True, eq=False)
class Nearest:
    """Which known pixel is nearest to every pixel: (H, W) its number, row by row."""

    pixel: NDArray[np.int64]

    def of(self, plane: NDArray) -> NDArray:
        """(H, W) or (H, W, C) with the value of the nearest known pixel at every pixel."""
        return plane.reshape(self.pixel.size, -1)[self.pixel.ravel()].reshape(plane.shape)


def from_nearest(plane: NDArray, known: NDArray[np.bool_]) -> NDArray:
    """(H, W) or (H, W, C) with the value of the nearest known pixel at every other one.

    known   (H, W), at least one pixel
    """
    return nearest_of(known).of(plane)


def nearest_of(known: NDArray[np.bool_]) -> Nearest:
    """For every pixel the nearest of the known ones, of which there is at least one."""
    # The transform labels what is 0, and gives every other pixel the label of the nearest of these.
    _, label = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label = np.asarray(label, np.int64).ravel()
    pixel_of = np.zeros(label.max() + 1, np.int64)
    pixels = np.flatnonzero(known)
    pixel_of[label[pixels]] = pixels
    return Nearest(pixel_of[label].reshape(known.shape))


def extended(linear: Picture, known: NDArray[np.bool_], *, skies: bool = False) -> Picture:
    """The picture with all but the known pixels continued smoothly from them (pull-push).

    Means are those of display values up to white: a lamp lights no more than itself.

    skies   light above white that fills squares of _SKY pixels is continued as well, as that of a sky behind a window;
            cuts that sever a wall would have it shine through the gaps between the parts
    """
    most = np.float32(1.0)
    if skies and linear.max() > most:
        most = np.maximum(_filling_squares(linear, known), most)
    display = display_from_linear(np.minimum(linear, most))
    filled = extend_colour(np.concatenate([display, known[..., None].astype(np.float32)], axis=-1))[..., :3]
    return np.where(known[..., None], linear, linear_from_display(filled))


def _filling_squares(linear: Picture, known: NDArray[np.bool_]) -> Picture:
    """(H, W, 3): the most light that all known pixels of a square around have; 0 where none is known by half."""
    window = np.ones((_SKY, _SKY), np.uint8)
    is_known = cv2.blur(known.astype(np.float32), window.shape) > 0.5
    is_bright = cv2.inRange(linear, np.zeros(3), np.ones(3)) == 0
    if not cv2.erode((is_bright | ~known).astype(np.uint8), window)[is_known].any():
        return np.zeros_like(linear)
    least = cv2.erode(np.where(known[..., None], linear, np.float32(np.inf)), window)
    return cv2.dilate(np.where(is_known[..., None], least, np.float32(0.0)), window)


def painted(linear: Picture, known: NDArray[np.bool_], mixed: NDArray[np.bool_], *, skies: bool = False) -> Picture:
    """The picture, continued from the known pixels; where it is mixed, as far as they have such colours nearby.

    A pixel into which a little of something else is mixed keeps its detail; one that something bright outshines does
    not. `skies` is that of `extended`.
    """
    whole = extended(linear, known, skies=skies)
    _clip_to_nearby(linear, known, mixed, whole)
    return whole


@numba.njit(nogil=True, cache=True)
def _clip_to_nearby(linear, known, mixed, whole):
    """Give the mixed pixels of `whole` their light, cut to the range of the known ones nearby, where there are any."""
    height, width = known.shape
    for y in range(height):
        for x in range(width):
            if not mixed[y, x]:
                continue
            for c in range(3):
                least, most = np.float32(np.inf), np.float32(-np.inf)
                for j in range(max(y - _NEARBY // 2, 0), min(y + _NEARBY // 2 + 1, height)):
                    for i in range(max(x - _NEARBY // 2, 0), min(x + _NEARBY // 2 + 1, width)):
                        if known[j, i]:
                            least, most = min(least, linear[j, i, c]), max(most, linear[j, i, c])
                if least <= most:
                    whole[y, x, c] = min(max(linear[y, x, c], least), most)


def depth_image(linear: Picture, alpha: Plane, disparity: Plane) -> DepthImage:
    """A layer of straight alpha, its colour in linear light cut at the largest half float."""
    rgba = np.concatenate([np.minimum(linear, np.float32(HALF_MAX)), alpha[..., None]], axis=-1)
    return DepthImage(half(rgba), np.ascontiguousarray(disparity))


def require_disparity(disparity: Plane) -> None:
    """RendererError for what layers cannot have: disparities behind infinity, or infinitely near."""
    if not np.isfinite(disparity).all():
        raise RendererError("the disparity is not finite somewhere; layers need finite ones")
    if not disparity.min() >= 0.0:
        raise RendererError(f"the disparity is {disparity.min():g} somewhere; layers need 0, infinity, or more")
