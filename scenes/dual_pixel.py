"""The halves of an aperture, as the two photodiodes of a dual pixel see them.

The sensor sees the left view through the left half of the lens (x < 0 of the lens coordinate). Behind the focus plane a
point of light shows as the left half of its disc there, and in front of it as the right half, turned with the lens
(`scenes.lens`). Each view has the exposure of the whole picture, so that the picture is the mean of the two, weighted
by the light of the halves (Abuolaim and Brown 2020, section 3; theirs are photographs).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from scenes.aperture import Aperture, Character, Disk, Donut, Mask, Polygon
from scenes.arrays import LensPoints
from scenes.lens import ThinLens

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = get_args(Side)


@dataclass(frozen=True)
class HalfOutline:
    """The half of an aperture with an outline on one side of x = 0. It is traced through; renderers do not know it."""

    whole: Disk | Polygon | Donut | Character
    side: Side

    is_round = False

    @cached_property
    def _turns(self) -> tuple[float, float]:
        """By light, from where to where in a turn the half goes."""
        first = -math.pi / 2.0 if self.side == "right" else math.pi / 2.0
        return self.whole.light_before(first), self.whole.light_before(first + math.pi)

    @property
    def area(self) -> float:
        low, high = self._turns
        return self.whole.area * (high - low)

    def warp(self, u: NDArray, v: NDArray) -> LensPoints:
        low, high = self._turns
        return self.whole.warp(u, (low + v * (high - low)) % 1.0)

    def transmission_at(self, points: LensPoints) -> NDArray[np.float64]:
        inside = points[:, 0] >= 0.0 if self.side == "right" else points[:, 0] < 0.0
        return self.whole.transmission_at(points) * inside

    def describe(self) -> dict:
        return {**self.whole.describe(), "half": self.side}


def half(aperture: Aperture, side: Side) -> Aperture:
    """The part of an aperture on one side of x = 0. ValueError for one that is nothing there, or has a second stop."""
    if isinstance(aperture, Mask):
        return _half_mask(aperture, side)
    if isinstance(aperture, Character):
        if aperture.cat_eye > 0.0:
            raise ValueError(f"cat_eye is {aperture.cat_eye}; an aperture with a second stop has no halves")
        if isinstance(aperture.shape, Mask):
            return replace(aperture, shape=_half_mask(aperture.shape, side))
    assert isinstance(aperture, Disk | Polygon | Donut | Character)
    return HalfOutline(aperture, side)


def half_lens(lens: ThinLens, side: Side) -> ThinLens:
    """The lens with one half of its aperture open."""
    return replace(lens, aperture=half(lens.aperture, side))


def light_of(aperture: Aperture, side: Side) -> float:
    """The share of the light that passes one half, in (0, 1)."""
    return half(aperture, side).area / aperture.area


def mean_of_views(aperture: Aperture, views: Mapping[Side, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Linear light of the whole aperture from that of its two halves, any shape, weighted by their light."""
    left, right = (np.float32(light_of(aperture, side)) * views[side] for side in SIDES)
    return left + right


def _half_mask(mask: Mask, side: Side) -> Mask:
    """Of an odd number of columns each half has half the light of the middle one."""
    columns = mask.transmission.shape[1]
    kept = mask.transmission.copy()
    kept[:, (columns + 1) // 2 :] = 0
    if columns % 2:
        kept[:, columns // 2] -= kept[:, columns // 2] // 2
    return Mask(kept if side == "left" else mask.transmission - kept)
