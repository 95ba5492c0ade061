"""Where to cut a scene into depth layers."""

import numpy as np
from numpy.typing import NDArray

from blender_scripts.extent import disparity_extent
from scenes.color import HALF_MAX

# Cuts look for an empty place this far around the even spacing, as a share of it.
_REACH = 0.35
_BINS = 512


def slice_distances(depth: NDArray[np.float32], count: int) -> list[float]:
    """`count` + 1 planar distances, from near to far, that bound the layers of a picture.

    Cuts are evenly spaced in disparity, since so is blur, and moved to where fewest pixels are cut; the first distance
    is half that of the nearest pixel, so that what enters from beside the frame is there too, and the last is 65504.

    depth   (H, W) planar depth in metres, 65504 for the background
    """
    disparity = 1.0 / depth
    low, high = disparity_extent(disparity)
    histogram, edges = np.histogram(disparity, bins=_BINS, range=(low, high))
    # A cut between two bins severs the surfaces that go on from one to the other.
    severed = np.minimum(histogram[1:], histogram[:-1])
    cuts = []
    for k in range(1, count):
        middle = _BINS * k / count
        reach = _REACH * _BINS / count
        candidates = np.arange(max(1, round(middle - reach)), min(_BINS, round(middle + reach) + 1))
        # The emptiest place, and of several the one nearest to even spacing.
        best = min(candidates, key=lambda c: (severed[c - 1], abs(c - middle)))
        cuts.append(float(edges[best]))
    return [0.5 / float(disparity.max()), *(1.0 / d for d in reversed(cuts)), HALF_MAX]
