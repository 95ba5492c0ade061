"""Layers cut where things hide each other, and completed behind by rule: nothing is learned.

Disparity is cut at a few levels, so that between most pixels of an edge and their neighbours behind it there is one. A
layer keeps the disparity of every pixel: a slanted or curved surface is whole, unless it comes nearer than an edge that
it passes elsewhere. Where a cut severs it, the two parts touch (`scenes.layered_depth` continues one behind the other).

What is hidden belongs to the nearest pixel that is seen farther. Its disparity goes on as the plane that fits around
that pixel, and its colours smoothly, without those of the rims of what is in front.

Estimated disparities have noise, blurred edges, or edges beside those of the picture: the first is filtered, the second
made sharp, and the third moved, where its edges then lie on those of the picture.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from renderers.layering.filling import (
    EDGE,
    before_farther,
    beside_nearer,
    depth_image,
    nearest_of,
    painted,
    require_disparity,
)
from scenes.arrays import Picture, Plane, bounding_box
from scenes.color import display_from_linear
from scenes.layered_depth import LayeredDepthImage

LAYERS_MAX = 8

# Levels that disparities are rounded to where cuts are sought.
_LEVELS = 512

# A cut separates at least this part of all edges, weighted by their steps.
_SHARE_MIN = 0.03

# A step along an edge weighs as many levels of disparity as it has; a smooth surface that is cut costs this many.
_SEAM = 4.0

# Blurred edges of estimated disparities pass from one side to the other in about as many pixels.
_RAMP_PX = 5

# A slope has at least 1.5 times the range in a window of twice the size, beside the border too; twice inside.
_WIDER = 1.4

# Of a sharp edge the two pixels beside it differ by almost all of the step, of an estimated one by half of it or less.
_SHARP = 0.7

# Edges are moved only where the picture changes by this factor more across the moved ones, and this part of them is
# left: the rest could be those across which it changes least.
_CLEARLY, _LEFT = 1.3, 0.7

# Half side of the square in which a plane is fitted to a surface.
_PLANE_PX = 5

_NEARBY = np.ones((3, 3), np.uint8)

# A surface whose three channels add up to more than white is a lamp, with at least this part of a pixel that it lights.
_LAMP, _LAMP_ALPHA = 3.0, 0.05

_ABOVE = ((slice(None), slice(1, None)), (slice(1, None), slice(None)))
_BELOW = ((slice(None), slice(None, -1)), (slice(None, -1), slice(None)))


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What is cut and completed, in L layers near to far.

    colour      (L, H, W, 3) linear light
    alpha       (L, H, W)
    depth       (L, H, W) disparity, continued where a layer is not seen
    extents     (H, W) bool each: where the layer is seen, or next behind one that is taken away; the last everywhere
    number      (H, W) int, of the layer that is seen
    disparity   (H, W), without noise and with sharp edges
    step        of disparity, the smallest that is an edge
    """

    colour: NDArray[np.float32]
    alpha: NDArray[np.float32]
    depth: NDArray[np.float32]
    extents: list[NDArray[np.bool_]]
    number: NDArray[np.int64]
    disparity: Plane
    step: float


def analyse(linear: Picture, disparity: Plane, *, reach_px: float = math.inf) -> LayeredDepthImage:
    """Up to LAYERS_MAX layers near to far; the farthest is opaque, behind the others too."""
    height, width = disparity.shape
    found = surfaces(linear, disparity, reach_px=reach_px)
    layers = zip(found.colour, found.alpha, found.depth, strict=True)
    return LayeredDepthImage(tuple(depth_image(*layer) for layer in layers), width, height, 0)


def surfaces(linear: Picture, disparity: Plane, *, reach_px: float = math.inf) -> Surfaces:
    """The layers of `analyse`, and how they were found. RendererError for disparities that layers cannot have."""
    require_disparity(disparity)
    surface, step = cleaned(disparity, reach_px)
    surface = aligned(surface, linear, step)
    number = np.searchsorted(-cuts(surface, step), -surface, side="right")
    beside = beside_nearer(surface, step)
    used, number = np.unique(number, return_inverse=True)
    number = number.reshape(surface.shape)
    extents, first = [], number.astype(np.uint8)
    for i in range(len(used)):
        here = first == i
        extents.append(here)
        # What is taken away here shows what is nearest behind it.
        if i < len(used) - 1:
            first = np.where(here, nearest_of(first > i).of(first), first)

    alpha = np.array(extents, np.float32)
    colour, depth = np.empty((*alpha.shape, 3), np.float32), np.empty_like(alpha)

    def complete(i: int) -> None:
        seen, around = number == i, bounding_box(extents[i])
        colour[i] = linear
        colour[i][around] = _completed(linear[around], seen[around], beside[around])
        depth[i] = continued(surface, seen)

    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        # The farthest, which fills the frame, takes longest.
        list(pool.map(complete, reversed(range(len(used)))))
    unmix(linear, colour, alpha, number, beside, before_farther(surface, step))
    return Surfaces(colour, alpha, depth, extents, number, surface, step)


def unmix(
    linear: Picture,
    colour: NDArray[np.float32],
    alpha: NDArray[np.float32],
    number: NDArray,
    beside: NDArray[np.bool_],
    before: NDArray[np.bool_],
) -> None:
    """Give the light of pixels on both sides of edges to both surfaces: a I_near + (1 - a) I_far = I.

    With the colours that both have nearby, a is the projection of I to the line between them; the surface that the
    disparity is of has at least half of the pixel. The rest, off the line, is that surface's too: without blur the
    layers show the picture. But beside a lamp that is nearer, what is too bright is the lamp's.

    colour   (L, H, W, 3), changed in place
    alpha    (L, H, W), changed in place
    """
    of = number.astype(np.uint8)
    _unmix(linear, of, cv2.erode(of, _NEARBY), cv2.dilate(of, _NEARBY), beside, before, colour, alpha)


@numba.njit(nogil=True, cache=True)
def _unmix(linear, number, in_front, in_back, beside, before, colour, alpha):
    """`unmix`; `in_front` and `in_back` are the nearest and the farthest layer of a pixel and its neighbours."""
    height, width = number.shape
    for y in range(height):
        for x in range(width):
            if not (beside[y, x] or before[y, x]):
                continue
            n, light = number[y, x], linear[y, x]
            own = colour[n, y, x].copy()
            if beside[y, x] and in_front[y, x] < n:
                i = in_front[y, x]
                near = _nearby(linear, number, in_front, in_back, i, y, x)
                a = min(max(_part_of(near, own, light), 0.0), 0.5, _most(light, near))
                is_brighter = (light - own - a * (near - own)).sum() > 0.0
                if is_brighter and near.sum() > max(own.sum(), _LAMP):
                    a = max(a, _LAMP_ALPHA)
                    colour[i, y, x] = np.maximum(own + (light - own) / a, 0.0)
                else:
                    colour[i, y, x] = near
                    own[:] = np.maximum((light - a * near) / (1.0 - a), 0.0)
                alpha[i, y, x] = a
            elif before[y, x] and not beside[y, x] and in_back[y, x] > n:
                behind = n + 1
                while alpha[behind, y, x] == 0.0:
                    behind += 1
                near, far = _nearby(linear, number, in_front, in_back, n, y, x), colour[behind, y, x].copy()
                a = max(min(max(_part_of(near, far, light), 0.5), 1.0), 1.0 - _most(light, far))
                alpha[n, y, x] = a
                own[:] = np.maximum(far + (light - far) / a, 0.0)
            colour[n, y, x] = own


@numba.njit(nogil=True, cache=True)
def _nearby(linear, number, in_front, in_back, layer, y, x):
    """The mean colour (3,) of a layer in a square of 5 x 5; pixels inside weigh most: its rim has other light too."""
    total, colour = 0.0, np.zeros(3)
    for j in range(max(y - 2, 0), min(y + 3, number.shape[0])):
        for i in range(max(x - 2, 0), min(x + 3, number.shape[1])):
            is_inside = in_front[j, i] == layer and in_back[j, i] == layer
            weight = 0.05 * (number[j, i] == layer) + is_inside
            total += weight
            colour += weight * linear[j, i]
    return colour / total


@numba.njit(nogil=True, cache=True)
def _most(light, colour):
    """The most of a colour that light can have in it without less than none left, (3,) both; at most 1."""
    most = 1.0
    for c in range(3):
        if colour[c] > light[c]:
            most = min(most, light[c] / max(colour[c], 1e-8))
    return most


@numba.njit(nogil=True, cache=True)
def _part_of(near, far, light):
    """How far from `far` to `near`, (3,) both, the closest point to the light (3,) lies on their line."""
    across = near - far
    return ((light - far) * across).sum() / max((across**2).sum(), 1e-8)


def _completed(linear: Picture, seen: NDArray[np.bool_], mixed: NDArray[np.bool_]) -> Picture:
    """The picture of what is seen, continued where it is hidden, and without what is mixed into it."""
    alone = seen & ~mixed
    return painted(linear, alone if alone.any() else seen, mixed & seen, skies=True)


def cleaned(disparity: Plane, reach_px: float = math.inf) -> tuple[Plane, float]:
    """The disparity without noise and with sharp edges, and the smallest step that is an edge.

    A focus within the span makes the largest blur radius at least half of what the span alone is blurred to: a smaller
    step than is left to one pixel changes no radius by more than that.
    """
    span = float(np.ptp(disparity))
    residual = np.abs(disparity - cv2.medianBlur(disparity, 3))
    noise = 1.4826 * float(np.median(residual))
    if noise > 1e-4 * span:
        disparity = cv2.medianBlur(cv2.medianBlur(disparity, 5), 5)
    step = max(EDGE * span, 0.5 * span / max(reach_px, 0.5), 4.0 * noise)
    return sharpened(disparity, step), step


def aligned(disparity: Plane, linear: Picture, step: float) -> Plane:
    """The disparity with near things grown or shrunk by a few pixels, where its edges then lie on those of the picture.

    One number of pixels for the whole map: estimated disparities that err do so everywhere alike.
    """
    display = display_from_linear(np.minimum(linear, np.float32(1.0)))
    changes = [np.abs(display[here] - display[there]).sum(axis=2) for here, there in zip(_ABOVE, _BELOW, strict=True)]

    def contrast(plane: Plane) -> tuple[float, float]:
        """Mean change of the picture across the edges of a map, and how many these are."""
        total = count = 0.0
        for change, here, there in zip(changes, _ABOVE, _BELOW, strict=True):
            is_edge = np.abs(plane[here] - plane[there]) > step
            total, count = total + float(change[is_edge].sum(dtype=np.float64)), count + np.count_nonzero(is_edge)
        return total / max(count, 1.0), count

    def trials(reach: int) -> list[tuple[Plane, float, float]]:
        return [(moved, *contrast(moved)) for moved in _extremes(disparity, reach)]

    before, count = contrast(disparity)
    best, most = disparity, _CLEARLY * before
    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        for moved, found, left in chain.from_iterable(pool.map(trials, range(1, _RAMP_PX + 1))):
            if found > most and left >= _LEFT * count:
                best, most = moved, found
    return best


def sharpened(disparity: Plane, step: float) -> Plane:
    """The disparity with the pixels inside a blurred edge given to the side that they are closer to.

    Such an edge is steeper than what is around it: a slope keeps its pixels. A map most of whose edges are sharp is
    left as it is.
    """
    near, far = _extremes(disparity, _RAMP_PX)
    nearer, farther = _extremes(disparity, 2 * _RAMP_PX)
    is_edge = (near - far > step) & (nearer - farther < _WIDER * (near - far))
    steepest = np.zeros_like(disparity)
    for here, there in zip(_ABOVE, _BELOW, strict=True):
        steepest[here] = np.maximum(steepest[here], np.abs(disparity[here] - disparity[there]))
    steepest, _ = _extremes(steepest, _RAMP_PX)
    if not is_edge.any() or np.median(steepest[is_edge] / (near - far)[is_edge]) > _SHARP:
        return disparity
    inside = is_edge & (_passing(disparity) > 0.01 * (near - far))
    return np.where(inside, np.where(disparity - far > 0.5 * (near - far), near, far), disparity)


def _extremes(plane: Plane, reach: int) -> tuple[Plane, Plane]:
    """The largest and the smallest value up to `reach` away."""
    window = np.ones((2 * reach + 1,) * 2, np.uint8)
    return cv2.dilate(plane, window), cv2.erode(plane, window)


def _passing(plane: Plane) -> Plane:
    """By how much a pixel lies between its two neighbours, along the axis where that is most."""
    padded = np.pad(plane, 1, mode="edge")
    height, width = plane.shape
    most = np.zeros_like(plane)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        b = padded[1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width]
        most = np.maximum(most, np.maximum(np.minimum(a - plane, plane - b), np.minimum(plane - a, b - plane)))
    return most


def cuts(disparity: Plane, step: float) -> NDArray[np.float64]:
    """Disparities between layers, near to far: as many edges as possible have one between their two sides."""
    low, span = float(disparity.min()), float(np.ptp(disparity))
    if span == 0.0:
        return np.zeros(0)
    level = np.minimum(((disparity - low) / span * _LEVELS), np.float32(_LEVELS - 1)).astype(np.int64)
    # edges[a, b]: pairs of neighbours of the levels a < b with an edge between them. A cut at t separates a < t <= b.
    edges, seams = np.zeros((_LEVELS, _LEVELS)), np.zeros(_LEVELS + 1)
    for here, there in zip(_ABOVE, _BELOW, strict=True):
        a, b = np.minimum(level[here], level[there]), np.maximum(level[here], level[there])
        is_edge = np.abs(disparity[here] - disparity[there]) > step
        edges += np.bincount((a * _LEVELS + b)[is_edge], minlength=_LEVELS**2).reshape(edges.shape)
        for end, sign in ((a, 1.0), (b, -1.0)):
            seams[1:] += sign * np.bincount(end[~is_edge], minlength=_LEVELS)
    seams = np.cumsum(seams[:_LEVELS])
    lower, upper = np.nonzero(edges)
    weight = edges[lower, upper] * (upper - lower)
    enough, found = _SHARE_MIN * weight.sum(), []
    while weight.size and len(found) < LAYERS_MAX - 1:
        separated = np.zeros(_LEVELS + 1)
        np.add.at(separated, lower + 1, weight)
        np.add.at(separated, upper + 1, -weight)
        score = np.cumsum(separated)[:_LEVELS] - _SEAM * seams
        if score.max() <= enough:
            break
        best = np.flatnonzero(score >= score.max() - 1e-6 * abs(score.max()))
        cut = int(best[len(best) // 2])
        found.append(cut)
        left = (upper < cut) | (lower >= cut)
        lower, upper, weight = lower[left], upper[left], weight[left]
    occupied = np.flatnonzero(np.bincount(level.ravel(), minlength=_LEVELS))
    # Between levels that nothing has, a cut severs nothing.
    gaps = sorted(((b - a, a) for a, b in zip(occupied, occupied[1:], strict=False)), reverse=True)
    for size, a in gaps:
        is_new = size * span > step * _LEVELS and not any(a < cut <= a + size for cut in found)
        if is_new and seams[a + 1] == 0 and len(found) < LAYERS_MAX - 1:
            found.append(a + (size + 1) // 2)
    return np.sort(low + np.array(found, np.float64) * span / _LEVELS)[::-1]


def continued(disparity: Plane, seen: NDArray[np.bool_]) -> Plane:
    """(H, W): where it is not seen, the plane around the nearest pixel that is, within the disparities seen."""
    if seen.all():
        return disparity
    known = disparity[seen]
    nearest = np.where(seen, -1, nearest_of(seen).pixel)
    beyond = disparity.copy()
    slopes = np.full((nearest.size, 2), np.nan, np.float32)
    _continue(disparity, seen, nearest, known.min(), known.max(), slopes, beyond)
    return beyond


@numba.njit(nogil=True, cache=True)
def _continue(disparity, seen, nearest, low, high, slopes, beyond):
    """`continued`; the slopes (H W, 2) of planes are found once for each pixel that is continued."""
    height, width = disparity.shape
    for y in range(height):
        for x in range(width):
            q = nearest[y, x]
            if q < 0:
                continue
            qy, qx = q // width, q % width
            if np.isnan(slopes[q, 0]):
                slopes[q, 0], slopes[q, 1] = _slope(disparity, seen, qy, qx)
            d = disparity[qy, qx] + slopes[q, 0] * (y - qy) + slopes[q, 1] * (x - qx)
            beyond[y, x] = min(max(d, low), high)


@numba.njit(cache=True)
def _slope(disparity, seen, y, x):
    """Disparity per pixel along y and x of the plane that fits best to what is seen around a pixel."""
    height, width = disparity.shape
    n = sy = sx = sd = yy = xx = yx = yd = xd = 0.0
    for j in range(max(y - _PLANE_PX, 0), min(y + _PLANE_PX + 1, height)):
        for i in range(max(x - _PLANE_PX, 0), min(x + _PLANE_PX + 1, width)):
            if not seen[j, i]:
                continue
            dy, dx, d = float(j - y), float(i - x), float(disparity[j, i]) - float(disparity[y, x])
            n += 1.0
            sy += dy
            sx += dx
            sd += d
            yy += dy * dy
            xx += dx * dx
            yx += dy * dx
            yd += dy * d
            xd += dx * d
    yy, xx, yx, yd, xd = yy - sy * sy / n, xx - sx * sx / n, yx - sy * sx / n, yd - sy * sd / n, xd - sx * sd / n
    determinant = yy * xx - yx * yx
    # A few pixels in a row have no plane.
    if determinant < n * n:
        return 0.0, 0.0
    return (xx * yd - yx * xd) / determinant, (yy * xd - yx * yd) / determinant
