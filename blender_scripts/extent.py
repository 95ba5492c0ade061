"""The range of disparity of a scene."""

import numpy as np

from scenes.arrays import Plane

# Share of the pixels at each end that are ignored: 414 pixels at 1920 x 1080, or about 20 x 20; 25 at 480 x 270.
IGNORED_SHARE = 2e-4


def disparity_extent(disparity: Plane) -> tuple[float, float]:
    """(farthest, nearest) disparity of a picture, as in BLB but without isolated pixels.

    BLB takes the smallest and the largest of all pixels. One hair, leaf or spark close to the lens would then stretch
    the focus distances and reduce K for everything else. The most extreme `IGNORED_SHARE` of the pixels at each end is
    therefore ignored: no pixel in pictures below 5000 pixels, and a fraction of a row where a floor reaches the lens.
    Ignored pixels are rendered too. Their blur radius may exceed the largest one of the blur level.

    disparity   >= 0
    """
    values = np.sort(disparity, axis=None)
    ignored = int(IGNORED_SHARE * values.size)
    return float(values[ignored]), float(values[-1 - ignored])
