"""The parts of a picture are where their one sentence says, and a corrupted disparity is what its name says."""

import math

import cv2
import numpy as np
import pytest
from scipy import ndimage

from bokehdata.corruptions import LEVELS, OPERATIONS, Corruption, every_corruption
from evaluation.regions import REGIONS, region_masks
from scenes.lens import ThinLens

WIDTH, HEIGHT = 96, 64
DARK = np.zeros((HEIGHT, WIDTH, 3), np.float32)


def half_planes(near: float, far: float, edge: int = WIDTH // 2) -> np.ndarray:
    """Disparity `near` left of a column, `far` from it on."""
    disparity = np.full((HEIGHT, WIDTH), far, np.float32)
    disparity[:, :edge] = near
    return disparity


def test_every_region_has_a_sentence_and_a_mask():
    masks = region_masks(DARK, half_planes(0.8, 0.2), ThinLens(10.0, 0.2))
    assert set(masks) == set(REGIONS)
    assert masks["all"].all()


def test_in_focus_is_where_the_blur_radius_is_below_a_pixel():
    disparity = np.tile(np.linspace(0.0, 1.0, WIDTH, dtype=np.float32), (HEIGHT, 1))
    mask = region_masks(DARK, disparity, ThinLens(20.0, 0.5))["in_focus"]
    assert np.array_equal(mask, np.abs(20.0 * (disparity - 0.5)) < 1.0)
    assert 0 < mask.sum() < mask.size


@pytest.mark.parametrize(("near", "far", "focus"), [(0.8, 0.2, 0.2), (0.8, 0.2, 0.8), (0.9, 0.1, 0.6)])
def test_a_boundary_reaches_as_far_as_the_larger_blur_on_either_side(near, far, focus):
    lens = ThinLens(20.0, focus)
    radius_px = 20.0 * max(abs(near - focus), abs(far - focus))
    reach_px = 4 * math.ceil((radius_px + 2) / 4)
    mask = region_masks(DARK, half_planes(near, far), lens)["boundaries"]
    # The columns at the step itself are WIDTH / 2 - 1 and WIDTH / 2; each reaches the same distance.
    columns = np.flatnonzero(mask.all(axis=0))
    assert (columns[0], columns[-1]) == (WIDTH // 2 - 1 - reach_px, WIDTH // 2 + reach_px)
    assert np.array_equal(mask.any(axis=0), mask.all(axis=0))


def test_a_slope_is_no_boundary():
    disparity = np.tile(np.linspace(0.0, 1.0, WIDTH, dtype=np.float32), (HEIGHT, 1))
    # 20 px of defocus over 96 columns: 0.2 px from pixel to pixel.
    assert not region_masks(DARK, disparity, ThinLens(20.0, 0.5))["boundaries"].any()


def test_a_highlight_covers_the_disk_it_is_spread_over():
    image = DARK.copy()
    image[30, 40] = (2.4, 0.3, 0.1)  # a red light: its mean is above 0.9, though two channels are dark
    image[10, 10] = (1.0, 1.0, 0.1)  # a yellow flower is none
    mask = region_masks(image, np.full((HEIGHT, WIDTH), 0.5, np.float32), ThinLens(24.0, 0.0))["highlights"]
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    assert np.array_equal(mask, np.hypot(x - 40, y - 30) <= 12.0)


def test_the_cropped_border_is_as_wide_as_the_largest_blur():
    mask = region_masks(DARK, half_planes(0.8, 0.2), ThinLens(20.0, 0.3))["border_cropped"]
    # The largest radius is 20 |0.8 - 0.3| = 10 px, up to the rounding of 0.8 in single precision.
    crop = math.ceil(20.0 * float(np.float32(0.8) - np.float32(0.3)))
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[crop:-crop, crop:-crop] = True
    assert np.array_equal(mask, expected)


def test_a_crop_wider_than_the_picture_leaves_nothing():
    masks = region_masks(DARK, half_planes(1.0, 0.0), ThinLens(100.0, 0.0))
    assert not masks["border_cropped"].any()


@pytest.mark.parametrize("level", LEVELS)
def test_dilation_and_erosion_are_the_extremes_of_a_square_window(level):
    disparity = np.random.default_rng(level).random((40, 50)).astype(np.float32)
    side = 2 * level + 1
    # Both continue the map beyond its border by values that never win.
    largest = ndimage.maximum_filter(disparity, side, mode="constant", cval=-np.inf)
    smallest = ndimage.minimum_filter(disparity, side, mode="constant", cval=np.inf)
    assert np.array_equal(Corruption("dilate", level).apply(disparity), largest)
    assert np.array_equal(Corruption("erode", level).apply(disparity), smallest)


@pytest.mark.parametrize("level", LEVELS)
def test_blur_is_a_gaussian_of_the_same_window(level):
    disparity = np.random.default_rng(level).random((40, 50)).astype(np.float32)
    sigma = 0.3 * (level - 1) + 0.8
    library = ndimage.gaussian_filter(disparity.astype(np.float64), sigma, radius=level, mode="nearest")
    # Single precision sums of at most 121 weights.
    assert np.abs(Corruption("blur", level).apply(disparity) - library).max() < 1e-6


def test_the_papers_d3_is_a_dilation_by_seven_pixels():
    point = np.zeros((21, 21), np.float32)
    point[10, 10] = 1.0
    grown = Corruption("dilate", 3).apply(point)
    assert cv2.countNonZero(grown) == 49
    assert str(Corruption("dilate", 3)) == "dilate3"


def test_there_are_fifteen_corrupted_maps():
    assert len(every_corruption()) == 15 == len(set(every_corruption()))
    assert {c.operation for c in every_corruption()} == set(OPERATIONS)
