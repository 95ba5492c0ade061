"""Error maps: the closed form of two planes, and what must not show in them."""

import numpy as np
import pytest

from renderers.classical.scatter import scatter
from renderers.neural.bokehme.error_map import improved_error_map, initial_error_map
from scenes.lens import ThinLens

SIZE = 121
LENS = ThinLens(1.0, 100.0)  # one pixel per unit of disparity


def two_planes(near_px: float, far_px: float) -> np.ndarray:
    """Disparity of a half plane of defocus `near_px` on the right of one of `far_px`."""
    disparity = np.full((SIZE, SIZE), 100.0 + far_px, np.float32)
    disparity[:, SIZE // 2 :] = 100.0 + near_px
    return disparity


def distance_px() -> np.ndarray:
    """Signed distance of the pixel centres from the edge, positive in the foreground."""
    return np.arange(SIZE) - (SIZE // 2 - 0.5)


def half_disk(t: np.ndarray) -> np.ndarray:
    """G(t): part of a unit disk inside a half plane, its centre t inside (methods, 5.2)."""
    t = np.clip(t, -1.0, 1.0)
    return 1.0 - (np.arccos(t) - t * np.sqrt(1.0 - t * t)) / np.pi


def colour_difference(near_px: float, far_px: float) -> np.ndarray:
    """k(s) = G_F |G_F - G_B| / (1 + G_F - G_B): error of a normalized scatter, per difference of the two colours."""
    s = distance_px()
    near = half_disk(s / abs(near_px)) if near_px else (s > 0).astype(float)
    far = half_disk(s / abs(far_px)) if far_px else (s > 0).astype(float)
    return near * np.abs(near - far) / (1.0 + near - far)


@pytest.mark.parametrize(("near_px", "far_px"), [(10, 0), (10, 5), (3, -8), (-4, -16)])
def test_the_maps_are_the_papers_at_a_straight_edge(near_px, far_px):
    reach = max(abs(near_px), abs(far_px))
    beta = min(abs(near_px), abs(far_px)) / reach
    # l counts from the centre of the pixel at the edge: half a pixel less than from the edge itself.
    alpha = (np.abs(distance_px()) - 0.5) / reach
    initial = initial_error_map(two_planes(near_px, far_px), LENS)
    np.testing.assert_array_equal(initial[SIZE // 2], alpha < 1.0)
    improved = improved_error_map(two_planes(near_px, far_px), LENS)
    expected = np.maximum(0.0, 1.0 - alpha**4) * (0.5 + 0.5 * np.tanh(10.0 * (2.0 / 3.0 - beta)))
    np.testing.assert_allclose(improved[SIZE // 2], expected, atol=1e-6)


# Radius ratios of the paper's example: background 0, foreground 0.2, focus at 0, 0.2 and 0.5.
@pytest.mark.parametrize(("near_px", "far_px"), [(20, 0), (0, -20), (-12, -20), (12, -12 * 0.7), (10, 6)])
def test_the_improved_map_covers_the_true_error_of_the_scatter(near_px, far_px):
    """k is the closed form; the map exceeds it everywhere for beta <= 0.75 (methods, 5.2)."""
    error = improved_error_map(two_planes(near_px, far_px), LENS)[SIZE // 2]
    assert (error - colour_difference(near_px, far_px)).min() > -1e-6


@pytest.mark.parametrize(("near_px", "far_px"), [(10, 5), (5, 10), (16, 9)])
def test_the_closed_form_is_what_the_scatter_does(near_px, far_px):
    linear = np.zeros((SIZE, SIZE, 3), np.float32)
    linear[:, SIZE // 2 :] = 1.0
    blurred = scatter(linear, two_planes(near_px, far_px), LENS)[SIZE // 2, :, 0]
    truth = half_disk(distance_px() / near_px)
    inside = np.abs(distance_px()) < SIZE // 2 - 20  # away from the borders of the picture
    # The discrete kernel deviates by up to 0.005 when both radii are at least 5 (methods, 4.1).
    np.testing.assert_allclose(np.abs(blurred - truth)[inside], colour_difference(near_px, far_px)[inside], atol=0.006)


def test_the_published_values_of_the_closed_form():
    s = distance_px()
    k = dict(zip(s, colour_difference(10.0, 5.0), strict=True))
    # Maximum 0.201 at s = 4.68 (methods, 5.2); 4.5 is the nearest pixel.
    assert max(k.values()) == pytest.approx(0.201, abs=2e-3) and k[4.5] == max(k.values())


@pytest.mark.parametrize("slope_px", [0.05, 0.8, 3.0])
def test_a_continuous_surface_has_no_error_however_steep(slope_px):
    disparity = (100.0 + slope_px * (np.arange(SIZE) - 50.0) + np.zeros((SIZE, 1))).astype(np.float32)
    for error_map in (initial_error_map, improved_error_map):
        assert not error_map(disparity, LENS).any()
        assert not error_map(np.ascontiguousarray(disparity.T), LENS).any()


def test_equal_blur_on_both_sides_of_focus_makes_no_error():
    # tanh leaves 0.0013 at beta = 1.
    assert improved_error_map(two_planes(9.0, -9.0), LENS).max() < 0.002
    assert initial_error_map(two_planes(9.0, -9.0), LENS).max() == 1.0


def test_everything_in_focus_makes_no_error():
    assert not initial_error_map(np.full((9, 9), 100.0, np.float32), LENS).any()
    assert not improved_error_map(two_planes(5.0, 0.0), ThinLens(0.0, 100.0)).any()


def test_of_two_edges_nearby_the_larger_error_counts_in_any_order():
    steps = np.full((40, 60), 100.0, np.float32)
    steps[:, 20:] += 3.0
    steps[:, 26:] += 9.0
    both = improved_error_map(steps, LENS)
    single = [
        improved_error_map(np.where(steps > 100.0 + level, b, a), LENS)
        for level, a, b in ((0.0, np.float32(100.0), np.float32(103.0)), (3.0, np.float32(103.0), np.float32(112.0)))
    ]
    np.testing.assert_allclose(both, np.maximum(*single), atol=1e-6)
    np.testing.assert_allclose(improved_error_map(np.ascontiguousarray(steps[:, ::-1]), LENS), both[:, ::-1], atol=1e-6)
