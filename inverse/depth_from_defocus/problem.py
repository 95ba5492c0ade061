"""What is given: a sharp picture, the same through a lens, and the lens."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA, linear_from_display
from scenes.lens import ThinLens


class ProblemError(ValueError):
    """Pictures or a lens that tell nothing of depth; the message names the value and what is needed."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A sharp picture and the same through a lens.

    sharp, blurred   (H, W, 3) float32 display values at `gamma`, >= 0, not clipped
    lens             of the blurred one: K in pixels per unit of disparity, and d_f
    farthest         the smallest disparity that may occur, in the unit of the lens
    nearest          the largest
    gamma            of the display values
    raises           ProblemError for pictures of two sizes or below 16 px, an empty range, and a blur below 1 px
    """

    sharp: Picture
    blurred: Picture
    lens: ThinLens
    farthest: float = 0.0
    nearest: float = 1.0
    gamma: float = REFERENCE_GAMMA

    def __post_init__(self):
        if self.sharp.shape != self.blurred.shape:
            sizes = " and ".join(f"{p.shape[1]} x {p.shape[0]}" for p in (self.sharp, self.blurred))
            raise ProblemError(f"the sharp and the blurred picture are {sizes} px; they must have one size")
        if min(self.sharp.shape[:2]) < 16:
            raise ProblemError(f"the pictures are {self.sharp.shape[1]} x {self.sharp.shape[0]} px; at least 16 a side")
        if not self.nearest > self.farthest:
            raise ProblemError(f"disparities from {self.farthest:g} to {self.nearest:g}; the first must be smaller")
        if self.reach_px < 1.0:
            raise ProblemError(
                f"the largest blur radius is {self.reach_px:.3g} px (K {self.lens.blur_parameter:g}, focus "
                f"{self.lens.focus_disparity:g}); below 1 px nothing is seen of depth"
            )

    @property
    def blur_parameter(self) -> float:
        """Pixels per unit of normalized disparity."""
        return self.lens.blur_parameter * (self.nearest - self.farthest)

    @property
    def focus(self) -> float:
        """Normalized disparity in focus; outside of [0, 1] where nothing may be."""
        return (self.lens.focus_disparity - self.farthest) / (self.nearest - self.farthest)

    @property
    def reach_px(self) -> float:
        """The largest blur radius that may occur."""
        return self.blur_parameter * max(abs(self.focus), abs(1.0 - self.focus))

    def normalized(self, disparity: Plane) -> NDArray[np.float32]:
        return ((disparity - self.farthest) / (self.nearest - self.farthest)).astype(np.float32)

    def in_units(self, normalized: NDArray[np.float32]) -> NDArray[np.float32]:
        """Disparity in the unit of the lens."""
        return (self.farthest + normalized * (self.nearest - self.farthest)).astype(np.float32)

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Sharp and blurred picture in linear light: (1, 3, H, W) float32."""
        return tensor_of(linear_from_display(self.sharp, self.gamma)), tensor_of(
            linear_from_display(self.blurred, self.gamma)
        )


def tensor_of(plane: NDArray) -> Tensor:
    """(1, C, H, W) float32 of (H, W, C) or (H, W)."""
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(plane).transpose(2, 0, 1), np.float32))[None]


def plane_of(tensor: Tensor) -> NDArray[np.float32]:
    """(H, W, C) of (1, C, H, W), or (H, W) where C is 1."""
    array = tensor.detach()[0].permute(1, 2, 0).numpy()
    return np.ascontiguousarray(array[..., 0] if array.shape[-1] == 1 else array)
