"""MPIB's layers of a picture (Peng et al. 2022): planes of one disparity each, and a background behind the near rims.

The paper's plane i of N has the disparity (i + 1/2) / N, 0 the farthest, of disparities normalized to [0, 1]. Here it
has the mean of its pixels, and each pixel belongs to one plane; the soft planes of the paper come from its network
(`renderers.neural.mpib`). The background mask is the paper's. LaMa, which paints the background, has no weights here:
a hidden pixel has the disparity of the nearest pixel beside an edge that is farther, and the colours of its plane,
continued.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from renderers.layering.filling import (
    EDGE,
    beside_nearer,
    depth_image,
    extended,
    from_nearest,
    painted,
    require_disparity,
)
from scenes.arrays import Picture, Plane
from scenes.layered_depth import LayeredDepthImage

PLANES = 32

# The mask is found at this size of the shorter side, where the picture is larger. The release enlarges smaller ones.
_SIDE_PX = 1024

# Seeds of the mask: |gx| + |gy| of Sobel's differences, smoothed by 7 x 7; and the smallest of them, of the picture.
_SEED, _SMALLEST = 0.2, 1e-4


@dataclass(frozen=True, eq=False)
class Background:
    """What shows where the rims of what is near are taken away.

    linear      (H, W, 3) linear light: the picture, painted where it is `hidden` or `mixed`
    disparity   (H, W) of it
    hidden      (H, W) bool: where there is something else behind what is seen
    mixed       (H, W) bool: where it is seen itself, beside something nearer whose light is in the pixel too
    """

    linear: Picture
    disparity: Plane
    hidden: NDArray[np.bool_]
    mixed: NDArray[np.bool_]


def analyse(
    linear: Picture, disparity: Plane, *, reach_px: float = math.inf, planes: int = PLANES
) -> LayeredDepthImage:
    """The planes that have pixels, near to far; the farthest is opaque, behind the others too."""
    require_disparity(disparity)
    background = behind(linear, disparity, reach_px=reach_px, planes=planes)
    seen, hidden = (plane_of(d, planes, scale=disparity) for d in (disparity, background.disparity))
    height, width = disparity.shape
    used = np.union1d(seen, hidden[background.hidden])[::-1]
    layers = []
    for i in used:
        here = seen == i
        alpha = here | (background.hidden & (hidden == i))
        known = np.where(here, disparity, background.disparity)[alpha]
        colour = np.where((here & ~background.mixed)[..., None], linear, background.linear)
        if i == used[-1]:
            colour, alpha = extended(colour, alpha), np.ones_like(alpha)
        layers.append(depth_image(colour, alpha.astype(np.float32), np.full(disparity.shape, known.mean(), np.float32)))
    return LayeredDepthImage(tuple(layers), width, height, 0)


def plane_of(disparity: Plane, planes: int, *, scale: Plane) -> NDArray[np.int64]:
    """(H, W) number of the plane of every pixel, 0 the farthest.

    scale   the disparity of the picture, whose range the planes divide
    """
    normalized = (disparity - scale.min()) / (np.ptp(scale) or 1.0)
    return np.clip(np.floor(normalized * planes), 0, planes - 1).astype(np.int64)


def behind(linear: Picture, disparity: Plane, *, reach_px: float = math.inf, planes: int = PLANES) -> Background:
    """The background of a picture, as far behind edges as a blur of `reach_px` shows it."""
    masked, edges = background_mask(disparity, reach_px), beside_nearer(disparity)
    number, beyond = plane_of(disparity, planes, scale=disparity), disparity.copy()
    for i in np.unique(number[masked]):
        # What goes on behind a thing is what its edge hides, or the edge of something that stands farther.
        here = masked & (number == i)
        farther = edges & (disparity < disparity[here].min() - EDGE * np.ptp(disparity))
        if farther.any():
            beyond[here] = from_nearest(disparity, farther)[here]
    hidden, mixed = beyond < disparity, masked & edges & (beyond == disparity)
    number_beyond, shown = plane_of(beyond, planes, scale=disparity), linear.copy()
    for i in np.unique(number_beyond[hidden | mixed]):
        # A plane is painted from the pixels that show it, and into which nothing nearer is mixed.
        seen, filled = number == i, (hidden | mixed) & (number_beyond == i)
        alone = seen & ~mixed
        shown[filled] = painted(linear, alone if alone.any() else seen, mixed)[filled]
    return Background(shown, beyond, hidden, mixed)


def background_mask(disparity: Plane, reach_px: float) -> NDArray[np.bool_]:
    """Where a background may show beside an edge: twice `reach_px` into what is near, (H, W) bool.

    The differences of disparity point to what is nearer. From the edges on, the mask follows them pixel by pixel, each
    new pixel going on in the direction in which it was reached.
    """
    height, width = disparity.shape
    scale = min(1.0, _SIDE_PX / min(height, width))
    small = (max(round(width * scale), 1), max(round(height * scale), 1))
    reduced = cv2.resize(disparity, small, interpolation=cv2.INTER_AREA) if scale < 1.0 else disparity
    mask, field = _seeds((reduced - reduced.min()) / (float(np.ptp(reduced)) or 1.0))
    rows, columns = np.nonzero(mask)
    for _ in range(int(min(2.0 * reach_px * scale, sum(small)))):
        if not rows.size:
            break
        rows, columns = _followed(mask, field, rows, columns)
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    return cv2.resize(grown, (width, height), interpolation=cv2.INTER_NEAREST) > 0


def _seeds(normalized: Plane) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """The edges of disparity, and its differences (H, W, 2) along x and y there, of length 1."""
    border = cv2.BORDER_REPLICATE
    steps = [cv2.Sobel(normalized, cv2.CV_32F, *along, borderType=border) for along in ((1, 0), (0, 1))]
    field = np.stack([cv2.GaussianBlur(step, (7, 7), 0, borderType=border) for step in steps], axis=-1)
    mask = np.abs(field).sum(axis=-1) > _SEED
    _, label, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    mask &= (stats[:, cv2.CC_STAT_AREA] >= _SMALLEST * mask.size)[label]
    return mask, _of_length_1(np.where(mask[..., None], field, 0.0))


def _followed(mask, field, rows, columns) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Splat the vectors of the newest pixels one pixel along themselves, into pixels that are not masked yet.

    Mask and field are changed in place; returns the pixels that are new. Older pixels reach none: what they point to
    was masked by the step after their own.
    """
    height, width = mask.shape
    vector = field[rows, columns]
    x, y = columns + vector[:, 0], rows + vector[:, 1]
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    sums = np.zeros((height * width, 2))
    reached = []
    for dy, dx in np.ndindex(2, 2):
        weight = (1.0 - np.abs(x - left - dx)) * (1.0 - np.abs(y - top - dy))
        to_x, to_y = left + dx, top + dy
        inside = (to_x >= 0) & (to_x < width) & (to_y >= 0) & (to_y < height) & (weight > 0.0)
        target = to_y[inside] * width + to_x[inside]
        free = ~mask.ravel()[target]
        np.add.at(sums, target[free], (weight[:, None] * vector)[inside][free])
        reached.append(target[free])
    new = np.unique(np.concatenate(reached))
    new = new[np.abs(sums[new]).max(axis=1, initial=0.0) > 1e-6]
    mask.ravel()[new] = True
    field.reshape(-1, 2)[new] = _of_length_1(sums[new])
    return np.divmod(new, width)


def _of_length_1(vectors: NDArray) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros(vectors.shape), where=length > 0.0)
