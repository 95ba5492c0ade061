"""Intervals hold what they promise, and a difference is claimed only where scenes agree on it."""

import math

import numpy as np
import pytest

from evaluation.intervals import Scenes, ranking


def pictures(scenes: int, per_scene: int) -> dict[str, str]:
    return {f"{i}/{j}": str(i) for i in range(scenes) for j in range(per_scene)}


def test_a_mean_is_over_pictures_and_its_interval_over_scenes():
    scenes = Scenes(pictures(4, 10))
    values = {picture: float(picture[0]) for picture in pictures(4, 10)}
    estimate = scenes.mean(values)
    assert estimate.mean == 1.5
    # Forty pictures, but four values: the standard error is sqrt(1.25 / 4) = 0.56, not 0.18.
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * math.sqrt(1.25 / 4), rel=0.15)


def test_the_interval_covers_the_true_mean_as_often_as_it_says():
    """Normal scenes, 40 of them, 300 times: 95 % would be 285; four standard deviations of the count are 15."""
    rng = np.random.default_rng(0)
    names = pictures(40, 1)
    scenes = Scenes(names)
    inside = 0
    for _ in range(300):
        estimate = scenes.mean(dict(zip(names, rng.normal(3.0, 1.0, 40), strict=True)))
        inside += estimate.low <= 3.0 <= estimate.high
    assert 270 <= inside <= 297


def test_what_makes_a_scene_hard_for_both_cancels_in_a_difference():
    rng = np.random.default_rng(1)
    names = pictures(30, 2)
    scenes = Scenes(names)
    hardness = {str(i): 5.0 * x for i, x in enumerate(rng.normal(size=30))}
    a = {picture: 30.0 + hardness[scene] + 0.1 * rng.normal() for picture, scene in names.items()}
    b = {picture: 29.8 + hardness[scene] + 0.1 * rng.normal() for picture, scene in names.items()}
    difference = scenes.difference(a, b)
    assert difference is not None and difference.is_significant
    assert difference.low < 0.2 < difference.high
    # Alone, each mean is far less certain than the two differ.
    assert scenes.mean(a).low < scenes.mean(b).mean


def test_equal_scenes_have_an_interval_of_no_length_and_one_scene_has_none():
    scenes = Scenes(pictures(5, 2))
    estimate = scenes.mean(dict.fromkeys(pictures(5, 2), 7.0))
    assert (estimate.low, estimate.high) == (7.0, 7.0)
    one = Scenes(pictures(1, 9)).mean({picture: float(i) for i, picture in enumerate(pictures(1, 9))})
    assert one.mean == 4.0 and math.isnan(one.low) and not one.is_significant


def test_only_pictures_that_both_have_count():
    scenes = Scenes(pictures(3, 2))
    a = {"0/0": 1.0, "0/1": 9.0, "1/0": 2.0}
    difference = scenes.difference(a, {"0/0": 0.0, "1/0": 0.0, "2/0": 5.0})
    assert difference is not None and difference.mean == 1.5
    assert scenes.difference(a, {"2/1": 3.0}) is None


def test_a_ranking_says_where_neighbours_differ():
    names = pictures(12, 1)
    scenes = Scenes(names)
    even = {picture: 30.0 for picture in names}
    # Better in half of the scenes, worse in the others.
    mixed = {picture: 30.0 + (1.0 if i % 2 else -1.1) for i, picture in enumerate(names)}
    worse = {picture: 25.0 + 0.1 * i for i, picture in enumerate(names)}
    line = ranking({"worse": worse, "mixed": mixed, "even": even}, scenes, more_is_better=True)
    assert line == "even = mixed > worse"
    assert ranking({"worse": worse, "even": even}, scenes, more_is_better=False) == "worse > even"


def test_equal_data_gives_equal_intervals():
    values = {picture: float(i) for i, picture in enumerate(pictures(6, 3))}
    assert Scenes(pictures(6, 3)).mean(values) == Scenes(pictures(6, 3)).mean(dict(reversed(values.items())))
