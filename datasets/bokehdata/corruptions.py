"""Imperfect disparity maps (BokehMe, section 4.3): Gaussian blur, dilation and erosion at levels 1 to 5.

Level L has a window of (2 L + 1)^2 pixels: the paper's d3 is a dilation by 7 x 7. It does not give the sigma of the
Gaussian; ours is 0.3 (L - 1) + 0.8. Benchmarks apply each of them; training draws one.
"""

from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Operation = Literal["blur", "dilate", "erode"]
OPERATIONS: tuple[Operation, ...] = ("blur", "dilate", "erode")
LEVELS = (1, 2, 3, 4, 5)

# Pixels that a value depends on, to each side.
REACH_PX = max(LEVELS)


class Corruption(NamedTuple):
    """What is done to a disparity map before a renderer gets it. `dilate` grows near things, `erode` far ones."""

    operation: Operation
    level: int

    def __str__(self) -> str:
        return f"{self.operation}{self.level}"

    def apply(self, disparity: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) float32 to the same. At the border the map is continued by its last values."""
        side = 2 * self.level + 1
        if self.operation == "blur":
            sigma = 0.3 * (self.level - 1) + 0.8
            blurred = cv2.GaussianBlur(disparity, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)
            return np.asarray(blurred, np.float32)
        morphology = cv2.dilate if self.operation == "dilate" else cv2.erode
        return np.asarray(morphology(disparity, np.ones((side, side), np.uint8)), np.float32)


def every_corruption() -> tuple[Corruption, ...]:
    """The 15 maps that BokehMe evaluates."""
    return tuple(Corruption(operation, level) for operation in OPERATIONS for level in LEVELS)


def random_corruption(*, rng: np.random.Generator) -> Corruption:
    """One of the 15 with equal probability, for training. The paper does not give the probabilities of its own."""
    level = int(rng.choice(LEVELS))
    return Corruption(OPERATIONS[rng.integers(len(OPERATIONS))], level)
