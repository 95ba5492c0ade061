"""Intervals of means and of differences: the paired bootstrap over scenes.

Pictures of one scene are not independent, so scenes are drawn anew with replacement, each with all its pictures. All
renderers are measured on the same scenes, so a difference is that of two means over the same draw: what makes a scene
hard for both cancels. The interval is between percentiles of the draws.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# 2000 draws place the ends of a 95 % interval within a few per cent of its length.
DRAWS = 2000
COVERAGE = 0.95

# Values by picture, each with the scene that it is of.
Values = Mapping[str, float]


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval; without an interval (nan, nan) where there are fewer than two scenes."""

    mean: float
    low: float
    high: float

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0; for differences."""
        return self.low > 0.0 or self.high < 0.0

    def text(self, digits: int, sign: str = "") -> str:
        """Such as "31.20 [30.10, 32.40]"; without the interval where there is none. `sign` "+" writes all signs."""
        mean, low, high = (f"{x:{sign}.{digits}f}" for x in (self.mean, self.low, self.high))
        return mean if math.isnan(self.low) else f"{mean} [{low}, {high}]"


class Scenes:
    """The scenes of some pictures, and the draws of them that all means and differences share.

    scene_of   scene of every picture, by the name of the picture
    Deterministic: equal scenes give equal intervals.
    """

    def __init__(self, scene_of: Mapping[str, str]):
        self._names = sorted(set(scene_of.values()))
        index = {name: i for i, name in enumerate(self._names)}
        self._index_of = {picture: index[scene] for picture, scene in scene_of.items()}
        count = len(self._names)
        self._draws = np.random.default_rng(0).multinomial(count, np.full(count, 1.0 / count), DRAWS)

    def __len__(self) -> int:
        return len(self._names)

    def mean(self, values: Values) -> Estimate:
        """Mean over the pictures that have a value, at least one."""
        sums, counts = self._by_scene(values)
        mean = float(sums.sum() / counts.sum())
        if np.count_nonzero(counts) < 2:
            return Estimate(mean, float("nan"), float("nan"))
        drawn = self._draws @ counts
        # A draw may hold none of the few scenes that have a value.
        means = (self._draws @ sums)[drawn > 0] / drawn[drawn > 0]
        tail = 50.0 * (1.0 - COVERAGE)
        low, high = np.percentile(means, [tail, 100.0 - tail])
        return Estimate(mean, float(low), float(high))

    def difference(self, a: Values, b: Values) -> Estimate | None:
        """Mean of a - b over the pictures that both have a value of; None where there is no such picture."""
        both = {picture: a[picture] - b[picture] for picture in a if picture in b}
        return self.mean(both) if both else None

    def _by_scene(self, values: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sum and number of the values of every scene."""
        scenes = [self._index_of[picture] for picture in values]
        size = len(self._names)
        sums = np.bincount(scenes, weights=list(values.values()), minlength=size)
        return sums.astype(np.float64), np.bincount(scenes, minlength=size).astype(np.float64)


def ranking(values: Mapping[str, Values], scenes: Scenes, *, more_is_better: bool) -> str:
    """Renderers from best to worst in a line: " > " where the difference to the next one is significant, else " = ".

    values   of every renderer, at least one value each
    """
    order: Sequence[str] = sorted(values, key=lambda name: scenes.mean(values[name]).mean, reverse=more_is_better)
    line = order[0]
    for better, worse in zip(order, order[1:], strict=False):
        difference = scenes.difference(values[better], values[worse])
        line += f" {'>' if difference is not None and difference.is_significant else '='} {worse}"
    return line
