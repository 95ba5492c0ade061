"""The lower bound of any comparison: the all-in-focus picture itself."""

import numpy as np
from numpy.typing import NDArray

from runtime.backend import Backend
from scenes.lens import Lens


def identity(
    linear: NDArray[np.float32], disparity: NDArray[np.float32], lens: Lens, *, arch: Backend = "cpu"
) -> NDArray[np.float32]:
    """No blur at all: what a renderer has to beat."""
    return linear
