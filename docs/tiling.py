"""Join pictures with white gaps, for the pictures of the README."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def joined(pictures: Sequence[NDArray[np.uint8]], *, axis: int, gap_px: int = 5) -> NDArray[np.uint8]:
    """Join (H, W, 3) pictures in a row (axis 1) or in a column (axis 0)."""
    shape = list(pictures[0].shape)
    shape[axis] = gap_px
    gap = np.full(shape, 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=axis)
