"""The distances at which a scene is cut into depth layers."""

import numpy as np

from blender_scripts.extent import disparity_extent
from scenes.arrays import Plane
from scenes.color import HALF_MAX

# A cut may move this far from even spacing to find few pixels, as a share of the spacing.
_REACH = 0.35
_BINS = 512


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
