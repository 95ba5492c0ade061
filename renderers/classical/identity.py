"""The lower bound of any comparison: the all-in-focus picture itself."""

import numpy as np
from numpy.typing import NDArray

from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.lens import Lens


def identity(linear: Picture, disparity: Plane, lens: Lens, *, arch: Backend = "cpu") -> NDArray[np.float32]:
    """No blur at all: what a renderer has to beat."""
    return linear
