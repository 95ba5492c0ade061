"""Pictures with alpha: cropping, resizing, rotating, and extending colour under alpha 0.

Every function takes and returns (H, W, 4) float32 with straight alpha in [0, 1] and colour in linear light, >= 0, not
clipped at 1. Filters run on premultiplied colour, so that nearly transparent texels do not bleed into edges. Texels
that are not moved keep their exact values.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.arrays import Picture, Rgba, bounding_box
from scenes.color import premultiplied


def straight(rgba_premul: Rgba) -> Rgba:
    """Straight alpha from premultiplied. Colour is 0 where alpha is 0. Alpha above 1, from rounding, becomes 1."""
    rgba = np.array(rgba_premul)
    divisor = np.where(rgba[..., 3] > 0.0, rgba[..., 3], np.float32(1.0))
    for channel in range(3):
        rgba[..., channel] /= divisor
    np.minimum(rgba[..., 3], 1.0, out=rgba[..., 3])
    return rgba


def crop_to_alpha(rgba: NDArray) -> NDArray:
    """View of the smallest rectangle that holds every texel with alpha > 0, any dtype. ValueError if there is none."""
    covered = rgba[..., 3] > 0
    if not covered.any():
        raise ValueError("alpha is zero everywhere")
    return rgba[bounding_box(covered)]


def extend_colour(rgba: Rgba) -> Rgba:
    """Fill the colour of texels with alpha 0 from covered texels nearby. All other texels keep their exact values.

    Pull-push over a pyramid of halved pictures (Gortler et al., The Lumigraph, 1996, section 3.4): an empty texel takes
    the alpha-weighted mean of the finest level that covers it. The extension is therefore smooth and stays in the range
    of the covered colours. A picture with alpha 0 everywhere is returned unchanged.
    """
    empty = rgba[..., 3] == 0.0
    if empty.all() or not empty.any():
        return rgba
    return filled(rgba, _from_coarser(premultiplied(rgba)), empty)


def resize_rgba(rgba: Rgba, size: tuple[int, int]) -> Rgba:
    """The picture at `size` = (height, width): mean over areas to shrink, bilinear to enlarge. Colour is extended."""
    if rgba.shape[:2] == size:
        return extend_colour(rgba)
    return extend_colour(straight(resized(premultiplied(rgba), size)))


def resized(picture: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W) or (H, W, C) of any linear quantity at `size` = (height, width).

    Mean over areas to shrink, bilinear to enlarge.
    """
    shrinks = size[0] <= picture.shape[0] and size[1] <= picture.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size[::-1], interpolation=interpolation), np.float32)


def rotate_rgba(rgba: Rgba, degrees: float) -> Rgba:
    """The picture rotated anticlockwise as seen, cropped to alpha. Colour under alpha 0 is anything.

    Multiples of 90 degrees move texels without filtering. Other angles use bilinear interpolation.
    """
    quarter_turns, remainder = divmod(degrees, 90.0)
    rgba = np.rot90(rgba, int(quarter_turns) % 4)
    if remainder:
        rgba = straight(_rotated(premultiplied(rgba), remainder))
    return np.array(crop_to_alpha(rgba))


def _rotated(rgba_premul: Rgba, degrees: float) -> Rgba:
    height, width = rgba_premul.shape[:2]
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # One more texel on each side, so that bilinear edges fade to alpha 0 and are not cut off at the border.
    new_height = math.ceil(width * abs(s) + height * abs(c)) + 2
    new_width = math.ceil(width * abs(c) + height * abs(s)) + 2
    # From output to input array indices, centre to centre; y points down, so anticlockwise as seen is (c, s; -s, c).
    turn = np.array([[c, -s], [s, c]])
    centre, new_centre = np.array([width - 1, height - 1]) / 2, np.array([new_width - 1, new_height - 1]) / 2
    input_from_output = np.column_stack([turn, centre - turn @ new_centre])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(rgba_premul, input_from_output, (new_width, new_height), flags=flags), np.float32)


def _pull_push(rgba_premul: Rgba) -> Picture:
    """Straight colour of every texel: its own if its alpha is above 0, else that of the next coarser level."""
    alpha, colour = rgba_premul[..., 3], straight(rgba_premul)[..., :3]
    return colour if alpha.all() else filled(colour, _from_coarser(rgba_premul), alpha <= 0.0)


def _from_coarser(rgba_premul: Rgba) -> Picture:
    """Straight colour of the next coarser level at every texel."""
    height, width = rgba_premul.shape[:2]
    return resized(_pull_push(resized(rgba_premul, ((height + 1) // 2, (width + 1) // 2))), (height, width))


def filled(rgba: NDArray, colour: NDArray, empty: NDArray[np.bool_]) -> NDArray:
    """A copy of a picture with the colour of another at some texels, (H, W, 3 or more) both; alpha is kept."""
    changed = rgba.copy()
    for channel in range(3):
        np.copyto(changed[..., channel], colour[..., channel], where=empty)
    return changed
