"""The distances at which a scene is cut into depth layers, and the solids that the cuts open."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from blender_scripts.extent import disparity_extent
from bokehdata.kinds.camera import DepthLayer
from scenes.arrays import Plane
from scenes.color import HALF_MAX

# A cut may move this far from even spacing to find few pixels, as a share of the spacing.
_REACH = 0.35
_BINS = 512

# Alpha from which a surface hides what is behind it.
_OPAQUE = 0.999


def slice_distances(depth: Plane, count: int) -> list[float]:
    """`count` + 1 planar distances, from near to far, that bound the layers of a picture.

    Cuts are evenly spaced in disparity, because blur is linear in it, and then moved to where they sever fewest pixels.
    The first distance is half that of the nearest pixel, so that nearer surfaces beside the frame are included. The
    last one is 65504.

    depth   planar depth in metres, 65504 for the background
    """
    disparity = 1.0 / depth
    low, high = disparity_extent(disparity)
    histogram, edges = np.histogram(disparity, bins=_BINS, range=(low, high))
    # A cut between two bins severs surfaces that are in both.
    severed = np.minimum(histogram[1:], histogram[:-1])
    cuts = []
    for k in range(1, count):
        middle = _BINS * k / count
        reach = _REACH * _BINS / count
        candidates = np.arange(max(1, round(middle - reach)), min(_BINS, round(middle + reach) + 1))
        # Take the place with fewest pixels; of several, the one nearest to even spacing.
        best = min(candidates, key=lambda c: (severed[c - 1], abs(c - middle)))
        cuts.append(float(edges[best]))
    return [0.5 / float(disparity.max()), *(1.0 / d for d in reversed(cuts)), HALF_MAX]


@dataclass(frozen=True, eq=False)
class FirstHits:
    """The surface that the ray through each texel hits first beyond a distance.

    identity   (H, W) float32, equal on one connected piece of a mesh; 0 where nothing is hit
    is_back    (H, W) bool, the back of the surface, as seen from inside a solid
    """

    identity: NDArray[np.float32]
    is_back: NDArray[np.bool_]


def closed(layers: Sequence[DepthLayer], hits: Sequence[FirstHits]) -> list[DepthLayer]:
    """The layers, near to far, with the solids closed that their near ends cut open.

    A ray begins inside a solid where it leaves the solid's back first and entered its front in a nearer layer. It would
    see the dark inside. It gets the colour of that front instead, and the disparity of the cut. The composite of the
    layers stays as it is, because only texels are closed that the front hides entirely.

    hits   for each layer, beyond its near end and without a far end
    """
    result = list(layers)
    for i, layer in enumerate(layers):
        rgba, disparity = layer.rgba.copy(), layer.disparity.copy()
        is_open = hits[i].is_back & (hits[i].identity > 0.0)
        # Of several layers in whose view the front comes first, it is in the farthest.
        for front in range(i - 1, -1, -1):
            is_front = is_open & (hits[front].identity == hits[i].identity) & ~hits[front].is_back
            is_open &= ~is_front
            is_hidden = is_front & (layers[front].rgba[..., 3] > _OPAQUE)
            rgba[is_hidden] = layers[front].rgba[is_hidden]
            rgba[is_hidden, 3] = 1.0
            disparity[is_hidden] = 1.0 / layer.near_m
        result[i] = replace(layer, rgba=rgba, disparity=disparity)
    return result
