"""Imperfect disparity maps (BokehMe, section 4.3): Gaussian blur, dilation and erosion at levels 1 to 5.

Level L has a window of (2 L + 1)^2 pixels: the paper's d3 is a dilation by 7 x 7. It does not give the sigma of the
Gaussian; ours is 0.3 (L - 1) + 0.8. Benchmarks apply each of them; training draws one.
"""

from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Kind = Literal["blur", "dilate", "erode"]
KINDS: tuple[Kind, ...] = ("blur", "dilate", "erode")
LEVELS = (1, 2, 3, 4, 5)


class Corruption(NamedTuple):
    """What is done to a disparity map before a renderer gets it: `dilate` grows what is near, `erode` what is far."""

    kind: Kind
    level: int

    def __str__(self) -> str:
        return f"{self.kind}{self.level}"

    def apply(self, disparity: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) float32 to the same; at the border the map is continued by its last values."""
        side = 2 * self.level + 1
        if self.kind == "blur":
            sigma = 0.3 * (self.level - 1) + 0.8
            blurred = cv2.GaussianBlur(disparity, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)
            return np.asarray(blurred, np.float32)
        operation = cv2.dilate if self.kind == "dilate" else cv2.erode
        return np.asarray(operation(disparity, np.ones((side, side), np.uint8)), np.float32)


def every_corruption() -> tuple[Corruption, ...]:
    """The 15 maps that BokehMe evaluates."""
    return tuple(Corruption(kind, level) for kind in KINDS for level in LEVELS)


def random_corruption(*, rng: np.random.Generator) -> Corruption:
    """One of the 15, each alike: what training does to a disparity. The paper says that it does so, and not how."""
    level = int(rng.choice(LEVELS))
    return Corruption(KINDS[rng.integers(len(KINDS))], level)
