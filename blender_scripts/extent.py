"""From where to where a scene reaches in disparity."""

import numpy as np
from numpy.typing import NDArray

# Share of the pixels beyond each end that do not count: 414 at 1920 x 1080, about 20 x 20 of them, 26 at 480 x 270.
IGNORED_SHARE = 2e-4


def disparity_extent(disparity: NDArray[np.float32]) -> tuple[float, float]:
    """(farthest, nearest) disparity of a picture, as BLB has them, but for isolated pixels.

    BLB takes the smallest and the largest of all pixels. One hair, leaf or spark at the lens would then stretch the
    focus distances and shrink K for everything else, so the most extreme `IGNORED_SHARE` of the pixels at each end is
    left out: none of them in pictures below 5000 pixels, and a fraction of a row where a floor runs to the lens. What
    is left out is rendered all the same, with a radius beyond the largest of its blur level.

    disparity   (H, W), >= 0
    """
    values = np.sort(disparity, axis=None)
    ignored = int(IGNORED_SHARE * values.size)
    return float(values[ignored]), float(values[-1 - ignored])
