"""What RevealNet begins with: the layers of `reveal0`, and which of them meet at every pixel beside an edge.

A pixel beside an edge has three of the layers, near to far:

    near       the surface in front of the edge: seen on one side of it, spilled over the other
    behind     what the edge hides, or what is seen beside it
    farthest   another surface that may be behind instead, where there is one; else `behind` again

On the near side `behind` and `farthest` are hidden. Where reveal0 has the last layer there, another one that is seen
closer than REACH_PX may end behind the near surface: it is `behind`, and has alpha 0 to begin with.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from renderers.layering import reveal0
from renderers.layering.filling import before_farther, beside_nearer, nearest_of
from scenes.arrays import Picture, Plane

# Layers are changed this near to an edge: hair is seldom longer, and what is hidden deeper shows little.
REACH_PX = 32

_NEARBY = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class Rims:
    """Layers near to far, and where they meet.

    colour        (L, H, W, 3) float32 linear light, also under alpha 0 where a rim may need it
    alpha         (L, H, W) float32, straight
    disparity     (L, H, W) float32, everywhere
    place         (3, H, W) int64: numbers of the near layer, of that behind, and of the farthest
    distance_px   (H, W) float32 to the edge: > 0 on its near side, < 0 on its far side, 0 farther away than REACH_PX
    """

    colour: NDArray[np.float32]
    alpha: NDArray[np.float32]
    disparity: NDArray[np.float32]
    place: NDArray[np.int64]
    distance_px: Plane


def rims(linear: Picture, disparity: Plane, reach_px: float = math.inf) -> Rims:
    """The rims of a picture in linear light, for blur of up to a radius.

    RendererError for disparities that layers cannot have.
    """
    found = reveal0.surfaces(linear, disparity, reach_px=reach_px)
    colour, alpha, planes = found.colour, found.alpha, found.depth
    number, last = found.number, len(alpha) - 1
    place = np.stack([number, number, number])
    inner, outer, in_front = _edges(found)
    distance_px = np.zeros(number.shape, np.float32)
    if not inner.any():
        return Rims(colour, alpha, planes, place, distance_px)

    # Beside the edge of another surface, a pixel is on neither side of it.
    to_inner, of_inner = _distance(inner, number)
    to_outer, of_outer = _distance(outer, number)
    is_near = of_inner & (to_inner <= REACH_PX) & ~(of_outer & (to_outer < to_inner))
    is_far = of_outer & (to_outer <= REACH_PX) & ~is_near
    distance_px[is_near], distance_px[is_far] = to_inner[is_near] + 0.5, -0.5 - to_outer[is_far]
    place[0, is_far] = nearest_of(outer).of(in_front)[is_far]

    hidden = np.stack([extent & (number < i) for i, extent in enumerate(found.extents)])
    place[1, is_near] = _first(hidden)[is_near]
    hidden &= place[1] < np.arange(last + 1)[:, None, None]
    place[2, is_near] = np.where(hidden.any(0), _first(hidden), last)[is_near]
    for i in range(last - 1):
        # The last layer is behind, as far as the rule can tell: what else may be?
        middle = (number > i) & (number < last)
        unsure = is_near & (number == i) & (place[1] == last)
        if middle.any() and unsure.any():
            nearest = nearest_of(middle)
            unsure &= _distance_to(nearest.pixel) <= REACH_PX
            place[1, unsure] = nearest.of(number)[unsure]

    for i in range(last):
        bare = (alpha[i] == 0.0) & (distance_px != 0.0) & ((place[0] == i) | (place[1] == i))
        if bare.any():
            colour[i, bare] = nearest_of(number == i).of(colour[i])[bare]
    return Rims(colour, alpha, planes, place, distance_px)


def _edges(found: reveal0.Surfaces) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """The pixels in front of edges, those behind, and (H, W) the number of what is in front of the latter."""
    number = found.number.astype(np.uint8)
    in_front, behind = cv2.erode(number, _NEARBY), cv2.dilate(number, _NEARBY)
    inner = before_farther(found.disparity, found.step) & (behind > number)
    outer = beside_nearer(found.disparity, found.step) & (in_front < number)
    return inner, outer, in_front.astype(np.int64)


def _distance(edge: NDArray[np.bool_], number: NDArray[np.int64]) -> tuple[Plane, NDArray[np.bool_]]:
    """(H, W) pixels to the nearest pixel of an edge, and whether that is of the same layer."""
    nearest = nearest_of(edge)
    return _distance_to(nearest.pixel), nearest.of(number) == number


def _distance_to(pixel: NDArray[np.int64]) -> Plane:
    """(H, W): how far away the pixels of these numbers are, row by row."""
    height, width = pixel.shape
    y, x = np.divmod(pixel, width)
    return np.hypot(y - np.arange(height)[:, None], x - np.arange(width)).astype(np.float32)


def _first(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(H, W): number of the first of the masks (L, H, W) that holds a pixel; 0 where none does."""
    return masks.argmax(0)
