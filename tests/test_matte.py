"""Filters for pictures with straight alpha."""

import numpy as np
import pytest

from scenes.color import premultiplied
from scenes.matte import crop_to_alpha, extend_colour, resize_rgba, resized, rotate_rgba, straight

GREEN = np.array([0.1, 0.8, 0.2], np.float32)
MAGENTA = np.array([1.0, 0.0, 1.0], np.float32)


def disk(size: int, colour=GREEN, under_alpha_0=MAGENTA) -> np.ndarray:
    """A hard disk of one colour in the middle, another colour where nothing is covered."""
    y, x = np.indices((size, size)) + 0.5 - size / 2
    covered = (np.hypot(x, y) < 0.4 * size)[..., None]
    return np.concatenate([np.where(covered, colour, under_alpha_0), covered], axis=-1).astype(np.float32)


def random_rgba(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rgba = rng.random((height, width, 4), dtype=np.float32)
    rgba[..., 3] *= rng.random((height, width)) > 0.4
    return rgba


# Twelve levels of means, each with a few float32 roundings.
MEANS = dict(rtol=1e-5, atol=0)


def test_a_crop_is_tight_and_changes_nothing():
    rgba = np.zeros((9, 12, 4), np.float32)
    rgba[2:5, 3:10, 3] = 0.01
    rgba[2:5, 3:10, :3] = 700.0
    np.testing.assert_array_equal(crop_to_alpha(rgba), rgba[2:5, 3:10])


def test_a_picture_covered_nowhere_has_no_crop():
    with pytest.raises(ValueError, match="alpha is zero"):
        crop_to_alpha(np.zeros((4, 4, 4), np.float32))


def test_premultiplying_and_back_is_the_identity_where_covered():
    rgba = random_rgba(20, 30)
    covered = rgba[..., 3] > 0
    # One product and one quotient: two roundings of float32.
    np.testing.assert_allclose(straight(premultiplied(rgba))[covered], rgba[covered], rtol=3e-7)


def test_extension_keeps_the_bits_of_covered_texels_however_thin():
    rgba = random_rgba(37, 53)
    rgba[5, 5, 3] = 1e-6
    extended = extend_colour(rgba)
    covered = rgba[..., 3] > 0
    np.testing.assert_array_equal(extended[covered], rgba[covered])
    np.testing.assert_array_equal(extended[..., 3], rgba[..., 3])


def test_extension_of_one_colour_is_that_colour_everywhere():
    np.testing.assert_allclose(extend_colour(disk(101))[..., :3], np.broadcast_to(GREEN, (101, 101, 3)), **MEANS)


def test_extension_takes_the_colour_of_the_near_side_and_stays_in_range():
    rgba = np.zeros((64, 96, 4), np.float32)
    rgba[16:48, 24:48] = [1.0, 0.2, 0.1, 1.0]
    rgba[16:48, 48:72] = [0.1, 0.2, 500.0, 1.0]
    extended = extend_colour(rgba)[..., :3]
    np.testing.assert_allclose(extended[32, 20], [1.0, 0.2, 0.1], **MEANS)
    np.testing.assert_allclose(extended[32, 76], [0.1, 0.2, 500.0], **MEANS)
    assert (extended >= np.float32([0.1, 0.2, 0.1]) * (1 - 1e-5)).all()
    assert (extended <= np.float32([1.0, 0.2, 500.0]) * (1 + 1e-5)).all()


def test_extension_is_smooth_away_from_the_object():
    extended = extend_colour(random_rgba(64, 64)[:8, :8].repeat(1, 0))  # covered and empty texels mixed
    wide = np.zeros((64, 64, 4), np.float32)
    wide[28:36, 28:36] = extended
    steps = np.abs(np.diff(extend_colour(wide)[:20, :, 0], axis=1))
    # Independent random colours differ by 1/3 on average and up to 1. A smooth field over 64 texels differs far less.
    assert steps.max() < 0.05


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_there_is_nothing_to_extend_in_an_opaque_or_an_empty_picture(alpha):
    rgba = random_rgba(8, 8)
    rgba[..., 3] = alpha
    np.testing.assert_array_equal(extend_colour(rgba), rgba)


def test_resizing_leaves_no_halo():
    small = resize_rgba(disk(150), (37, 37))
    edge = (small[..., 3] > 0) & (small[..., 3] < 1)
    assert edge.sum() > 50
    # A mean of straight colour would include magenta: red would rise from 0.1 to up to 1.
    np.testing.assert_allclose(small[edge][:, :3], np.broadcast_to(GREEN, (edge.sum(), 3)), **MEANS)


def test_shrinking_keeps_the_light_and_the_coverage():
    rgba = random_rgba(120, 90)
    rgba[..., :3] *= 1000.0
    small = resize_rgba(rgba, (24, 30))
    # A mean of means over equal areas sums the texels in another order.
    np.testing.assert_allclose(premultiplied(small).mean((0, 1)), premultiplied(rgba).mean((0, 1)), rtol=1e-5)


def test_a_single_bright_texel_survives_shrinking():
    rgba = disk(64)
    rgba[32, 32, :3] = 1000.0
    assert resize_rgba(rgba, (16, 16))[8, 8, 0] == pytest.approx((1000.0 + 15 * GREEN[0]) / 16, rel=1e-5)


def test_the_same_size_keeps_the_bits():
    rgba = extend_colour(random_rgba(31, 17))
    np.testing.assert_array_equal(resize_rgba(rgba, (31, 17)), rgba)


@pytest.mark.parametrize("size", [(11, 7), (93, 51)])
def test_resizing_keeps_a_constant_and_alpha_at_most_1(size):
    rgba = resize_rgba(np.ones((31, 17, 4), np.float32), size)
    assert rgba.shape == (*size, 4) and rgba.dtype == np.float32
    assert rgba[..., 3].max() <= 1.0
    np.testing.assert_allclose(rgba, 1.0, **MEANS)


def test_shrinking_averages_over_areas():
    checker = (np.indices((40, 60)).sum(0) % 2).astype(np.float32)[..., None].repeat(3, 2)
    np.testing.assert_allclose(resized(checker, (10, 15)), 0.5, **MEANS)


def marked() -> np.ndarray:
    """An opaque square with a mark in its upper right corner."""
    rgba = np.ones((21, 21, 4), np.float32)
    rgba[..., :3] = 0.0
    rgba[:5, -5:, 0] = 1.0
    return rgba


def mark_centre(rgba: np.ndarray) -> np.ndarray:
    """Row and column of the mark relative to the centre, in units of the picture's size."""
    light = rgba[..., 0] * rgba[..., 3]
    indices = np.indices(light.shape) + 0.5
    return (indices * light).sum((1, 2)) / light.sum() / light.shape - 0.5


@pytest.mark.parametrize(
    ("degrees", "corner"), [(0.0, (-1, 1)), (90.0, (-1, -1)), (180.0, (1, -1)), (270.0, (1, 1)), (-90.0, (1, 1))]
)
def test_turning_is_anticlockwise_as_seen_and_exact_by_right_angles(degrees, corner):
    turned = rotate_rgba(marked(), degrees)
    assert np.array_equal(np.sign(mark_centre(turned)), corner)
    np.testing.assert_array_equal(np.unique(turned), [0.0, 1.0])


@pytest.mark.parametrize("degrees", [89.0, -1.0, 181.0])
def test_a_turn_by_a_degree_is_near_the_turn_by_none(degrees):
    nearest = 90.0 * round(degrees / 90.0)
    expected = mark_centre(rotate_rgba(marked(), nearest))
    # A degree moves a corner by 0.25 texels of 21, and the crop grows by up to one texel on a side.
    np.testing.assert_allclose(mark_centre(rotate_rgba(marked(), degrees)), expected, atol=1.5 / 21)


def test_turning_a_disk_gives_the_disk_tightly_cropped_without_halo():
    turned = extend_colour(rotate_rgba(disk(100), 31.0))
    # The disk is 80 texels wide; bilinear edges reach one texel further on each side.
    assert all(80 <= side <= 82 for side in turned.shape[:2])
    # The area of the disk is kept: bilinear weights sum to 1, up to OpenCV's 1/32 texel coordinates.
    assert turned[..., 3].sum() == pytest.approx(disk(100)[..., 3].sum(), rel=1e-3)
    np.testing.assert_allclose(turned[..., :3], np.broadcast_to(GREEN, turned[..., :3].shape), **MEANS)
    assert ((turned[..., 3] > 0) & (turned[..., 3] < 1)).sum() > 200  # edges are soft, not stairs


def test_the_border_of_a_full_picture_is_soft_after_turning():
    alpha = rotate_rgba(np.ones((40, 40, 4), np.float32), 30.0)[..., 3]
    # 40 (cos 30 + sin 30) = 54.6 texels, and bilinear edges reach one texel further on each side.
    assert all(54 <= side <= 57 for side in alpha.shape)
    assert alpha[0].max() < 0.9 and alpha[:, 0].max() < 0.9
    assert alpha.sum() == pytest.approx(1600.0, rel=1e-3)
