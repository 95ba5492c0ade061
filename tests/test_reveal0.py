"""reveal0 against closed forms: rims, strips, slopes, surfaces that touch, and maps that are not exact."""

import math

import cv2
import numpy as np
import pytest

from benchmarks import reveal_peeled
from renderers import RENDERERS
from renderers.classical.drbokeh import DefocusedLayer
from renderers.classical.layers_over import blur_premultiplied
from renderers.layering import reveal0
from scenes.aperture import Disk
from scenes.lens import ThinLens

HEIGHT, WIDTH, EDGE = 48, 96, 48

X = np.arange(WIDTH) + 0.5


def half_disk(t: np.ndarray) -> np.ndarray:
    """G(t): part of a unit disk inside a half plane, its centre t inside."""
    t = np.clip(t, -1.0, 1.0)
    return 0.5 + (t * np.sqrt(1.0 - t * t) + np.arcsin(t)) / math.pi


def columns(*parts: tuple[float, float, int]) -> tuple[np.ndarray, np.ndarray]:
    """(linear, disparity) of upright bands, left to right: light, disparity and last column."""
    linear, disparity = np.zeros((HEIGHT, WIDTH, 3), np.float32), np.zeros((HEIGHT, WIDTH), np.float32)
    first = 0
    for light, d, end in parts:
        linear[:, first:end], disparity[:, first:end] = light, d
        first = end
    return linear, disparity


def middle(linear: np.ndarray, disparity: np.ndarray, lens: ThinLens) -> np.ndarray:
    """Linear light along the middle row."""
    return RENDERERS["reveal0"](linear, disparity, lens, gamma=1.0)[HEIGHT // 2, :, 0]


@pytest.mark.parametrize("radius", [3.0, 10.0, 20.0])
def test_a_blurred_half_plane_shows_the_background_that_it_hides(radius):
    """The hidden part of a background of one colour has that colour."""
    seen = middle(*columns((1.0, 1.0, EDGE), (0.25, 0.0, WIDTH)), ThinLens(radius, 0.0))
    np.testing.assert_allclose(seen, 0.25 + 0.75 * half_disk((EDGE - X) / radius), atol=0.01 / radius + 2e-3)


def test_the_first_surface_of_every_pixel_shows_no_background_through_a_blurred_edge():
    """Rays that pass the edge there meet nothing, and the others show what is near."""
    linear, disparity = columns((1.0, 1.0, EDGE), (0.25, 0.0, WIDTH))
    lens = ThinLens(10.0, 0.0)
    one, two = (
        f(linear, disparity, lens, gamma=1.0)[HEIGHT // 2, :, 0] for f in (reveal_peeled.one, reveal_peeled.two)
    )
    true = 0.25 + 0.75 * half_disk((EDGE - X) / 10.0)
    np.testing.assert_allclose(one, np.where(X < EDGE, 1.0, true), atol=3e-3)
    np.testing.assert_allclose(two, true, atol=3e-3)


def test_where_two_edges_blur_over_each_other_a_third_surface_is_seen():
    linear, disparity = columns((0.2, 1.0, 46), (0.0, 0.5, 50), (1.0, 0.0, WIDTH))
    lens = ThinLens(20.0, 0.0)
    three = reveal_peeled.three(linear, disparity, lens, gamma=1.0)
    np.testing.assert_allclose(three, RENDERERS["reveal0"](linear, disparity, lens, gamma=1.0), atol=1e-4)
    assert np.abs(reveal_peeled.two(linear, disparity, lens, gamma=1.0) - three)[:, :46].max() > 0.01


def test_a_sky_behind_a_window_goes_on_in_its_own_light():
    seen = middle(*columns((0.2, 1.0, EDGE), (5.0, 0.0, WIDTH)), ThinLens(10.0, 0.0))
    np.testing.assert_allclose(seen, 5.0 - 4.8 * half_disk((EDGE - X) / 10.0), atol=0.02)


@pytest.mark.parametrize("focus", [0.0, 0.375, 0.75])
def test_a_step_of_a_pixel_of_blur_is_cut_wherever_the_focus_is(focus):
    """K = 7: the steps are of 4.2 and 1.05 px, and the largest radius is 5.25 px, or half of it."""
    linear, disparity = columns((1.0, 0.75, 40), (0.25, 0.6, 70), (0.5, 0.0, WIDTH))
    reach_px = 7.0 * max(focus, 0.75 - focus)
    assert len(reveal0.analyse(linear, disparity, reach_px=reach_px).layers) == 3
    assert len(reveal0.analyse(linear, disparity, reach_px=0.3 * reach_px).layers) == 2


def test_nothing_in_focus_bleeds_into_a_blurred_background():
    seen = middle(*columns((1.0, 1.0, EDGE), (0.25, 0.0, WIDTH)), ThinLens(12.0, 1.0))
    np.testing.assert_allclose(seen[:EDGE], 1.0, atol=1e-3)
    np.testing.assert_allclose(seen[EDGE:], 0.25, atol=1e-3)


def test_a_thin_strip_keeps_its_light():
    seen = middle(*columns((0.0, 0.0, 46), (1.0, 1.0, 50), (0.0, 0.0, WIDTH)), ThinLens(10.0, 0.0))
    np.testing.assert_allclose(seen, half_disk((50 - X) / 10.0) - half_disk((46 - X) / 10.0), atol=3e-3)


def test_of_two_that_touch_the_farther_goes_on_behind_the_nearer():
    """Light 1 at 20 px, light 0.5 at 10 px beside it, before black: the second is continued behind the first."""
    seen = middle(*columns((1.0, 1.0, 40), (0.5, 0.5, 60), (0.0, 0.0, WIDTH)), ThinLens(20.0, 0.0))
    near, middle_one = half_disk((40 - X) / 20.0), half_disk((60 - X) / 10.0)
    np.testing.assert_allclose(seen, near + (1.0 - near) * 0.5 * middle_one, atol=5e-3)


def slope(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    disparity = np.linspace(0.0, 1.0, WIDTH, dtype=np.float32)[None].repeat(HEIGHT, axis=0)
    return rng.random((HEIGHT, WIDTH, 3), np.float32), np.ascontiguousarray(disparity)


def test_a_slope_that_hides_nothing_is_one_layer_blurred_at_its_defocus():
    linear, disparity = slope(np.random.default_rng(0))
    lens = ThinLens(12.0, 0.5)
    seen = RENDERERS["reveal0"](linear, disparity, lens, gamma=1.0)
    opaque = np.concatenate([linear, np.ones_like(linear[..., :1])], axis=-1)
    expected = blur_premultiplied(DefocusedLayer(opaque, lens.defocus_px(disparity)), Disk())
    inside = (slice(14, -14), slice(14, -14))
    np.testing.assert_allclose(seen[inside], expected[..., :3][inside], atol=2e-3)


def crossed_slope() -> tuple[np.ndarray, np.ndarray, int]:
    """A black slope that a cut severs, and the column of the cut: things stand before both of its ends."""
    disparity = slope(np.random.default_rng(0))[1]
    disparity[:6, 4:30], disparity[-6:, 4:30] = 0.8, 0.8
    cut = reveal0.cuts(*reveal0.cleaned(disparity))
    assert len(cut) >= 1
    column = int(np.searchsorted(disparity[HEIGHT // 2], cut[0]))
    assert 30 < column < 90
    return np.zeros((HEIGHT, WIDTH, 3), np.float32), disparity, column


def test_where_a_cut_severs_a_slope_it_keeps_its_colour():
    linear, disparity, column = crossed_slope()
    seen = RENDERERS["reveal0"](linear + 0.5, disparity, ThinLens(16.0, 0.3), gamma=1.0)
    np.testing.assert_allclose(seen[HEIGHT // 2, column - 12 : column + 12], 0.5, atol=2e-3)


@pytest.mark.parametrize("side", [-2, -1, 0, 1])
def test_a_light_beside_a_cut_has_the_light_that_it_had(side):
    linear, disparity, column = crossed_slope()
    linear[HEIGHT // 2, column + side] = 10.0
    lens = ThinLens(14.0, 0.3)
    seen = RENDERERS["reveal0"](linear, disparity, lens, gamma=1.0)
    # Of the same slope, which nothing severs.
    whole = slope(np.random.default_rng(0))[1]
    expected = RENDERERS["reveal0"](linear, whole, lens, gamma=1.0)
    # On both sides of the cut the defocus differs a little. A light that both parts had would be half as bright again.
    assert float(seen.sum()) == pytest.approx(float(expected.sum()), rel=0.05)


def test_noise_of_the_disparity_tears_no_surface():
    linear, disparity = slope(np.random.default_rng(0))
    noisy = np.maximum(disparity + np.random.default_rng(1).normal(0.0, 0.02, disparity.shape), 0.0).astype(np.float32)
    assert len(reveal0.analyse(linear, noisy).layers) == 1


@pytest.mark.parametrize("ramp_px", [2, 4, 6])
def test_an_edge_that_is_blurred_in_the_disparity_is_made_sharp(ramp_px):
    _, disparity = columns((0.0, 0.9, EDGE), (0.0, 0.1, WIDTH))
    blurred = np.stack([np.interp(X, [EDGE - ramp_px / 2, EDGE + ramp_px / 2], [0.9, 0.1])] * HEIGHT)
    sharp, _ = reveal0.cleaned(blurred.astype(np.float32))
    np.testing.assert_allclose(sharp, disparity, atol=0.01)


def test_a_slope_is_not_sharpened():
    _, disparity = slope(np.random.default_rng(0))
    np.testing.assert_array_equal(reveal0.cleaned(disparity)[0], disparity)


def test_what_is_hidden_of_a_slope_goes_on_as_its_plane():
    disparity = np.linspace(0.1, 0.5, WIDTH, dtype=np.float32)[None].repeat(HEIGHT, axis=0)
    seen = np.ones(disparity.shape, bool)
    seen[:, 40:60] = False
    given = np.where(seen, disparity, np.float32(0.9))
    np.testing.assert_allclose(reveal0.continued(given, seen), disparity, atol=1e-5)


def test_light_of_a_pixel_on_an_edge_is_given_to_both_sides():
    """0.3 of one colour and 0.7 of the other: without blur the layers show it, and behind is the far colour alone."""
    linear, disparity = columns((1.0, 0.9, EDGE), (0.2, 0.1, WIDTH))
    linear[:, EDGE] = 0.3 * 1.0 + 0.7 * 0.2
    near, far = reveal0.analyse(linear, disparity).layers
    np.testing.assert_allclose(near.rgba[:, EDGE], [[1.0, 1.0, 1.0, 0.3]] * HEIGHT, atol=2e-3)
    np.testing.assert_allclose(far.rgba[:, EDGE, :3], 0.2, atol=2e-3)


def test_light_of_a_pixel_that_is_mostly_near_is_given_to_both_sides():
    """0.7 of one colour and 0.3 of the other, where the disparity is that of the near side."""
    linear, disparity = columns((1.0, 0.9, EDGE), (0.2, 0.1, WIDTH))
    linear[:, EDGE - 1] = 0.7 * 1.0 + 0.3 * 0.2
    near, far = reveal0.analyse(linear, disparity).layers
    np.testing.assert_allclose(near.rgba[:, EDGE - 1], [[1.0, 1.0, 1.0, 0.7]] * HEIGHT, atol=0.01)
    np.testing.assert_allclose(far.rgba[:, EDGE - 1, :3], 0.2, atol=0.01)


def test_saturated_colours_share_a_pixel_too():
    """Red before blue: a channel that both lack says nothing."""
    red, blue = np.float32([1.0, 0.0, 0.0]), np.float32([0.0, 0.0, 0.8])
    linear, disparity = columns((0.0, 1.0, EDGE), (0.0, 0.0, WIDTH))
    linear[:, :EDGE], linear[:, EDGE:], linear[:, EDGE] = red, blue, 0.3 * red + 0.7 * blue
    near, far = reveal0.analyse(linear, disparity).layers
    np.testing.assert_allclose(near.rgba[:, EDGE], [[*red, 0.3]] * HEIGHT, atol=2e-3)
    np.testing.assert_allclose(far.rgba[:, EDGE, :3], [blue] * HEIGHT, atol=2e-3)


def test_the_surface_that_the_disparity_is_of_has_at_least_half_of_a_pixel():
    """Colours alone would give it to the other side: a texture, not a mixture."""
    linear, disparity = columns((1.0, 0.9, EDGE), (0.2, 0.1, WIDTH))
    linear[:, EDGE - 1], linear[:, EDGE] = 0.3, 0.9
    near, _ = reveal0.analyse(linear, disparity).layers
    np.testing.assert_allclose(near.rgba[:, EDGE - 1 : EDGE + 1, 3], 0.5, atol=0.02)


def test_a_lamp_keeps_the_light_that_it_spills_over_a_far_pixel():
    linear, disparity = columns((0.2, 0.1, 40), (50.0, 0.9, 46), (0.2, 0.1, WIDTH))
    linear[:, 46] = 45.0
    near, far = reveal0.analyse(linear, disparity).layers
    np.testing.assert_allclose(far.rgba[:, 46, :3], 0.2, atol=2e-3)
    assert (near.rgba[:, 46, 3] == 0.5).all() and (near.rgba[:, 46, 0] > 50.0).all()


@pytest.mark.parametrize("grown", [-4, -1, 0, 2, 5])
def test_edges_of_the_disparity_are_moved_to_those_of_the_picture(grown):
    """A textured thing before a textured wall, whose disparity is grown or shrunk."""
    rng = np.random.default_rng(2)
    true = np.full((HEIGHT, WIDTH), 0.1, np.float32)
    true[12:36, 30:60] = 0.9
    linear = np.where(true[..., None] > 0.5, np.float32(0.7), np.float32(0.1)) + 0.1 * rng.random((HEIGHT, WIDTH, 3))
    given = true.copy()
    if grown:
        window = np.ones((2 * abs(grown) + 1,) * 2, np.uint8)
        given = (cv2.dilate if grown > 0 else cv2.erode)(true, window)
    np.testing.assert_array_equal(reveal0.aligned(given, linear.astype(np.float32), 0.1), true)


def test_an_exact_map_is_not_moved_to_the_edges_inside_a_thing():
    """A fence before a wall of much the same light, and a lattice inside that stands out: grown, the fence is gone."""
    rng = np.random.default_rng(3)
    given = np.full((HEIGHT, WIDTH), 0.1, np.float32)
    given[:, 2:60:6] = given[:, 3:60:6] = given[:, 4:60:6] = 0.9
    given[10:38, 70:90] = 0.9
    linear = (0.3 + 0.02 * rng.random((HEIGHT, WIDTH, 3))).astype(np.float32)
    linear[8:40, 68:92] = 0.9
    np.testing.assert_array_equal(reveal0.aligned(given, linear, 0.1), given)
