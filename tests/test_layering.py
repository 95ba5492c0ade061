"""Layers found in a picture: what stands in front, what it hides, and that no light of one is left in the other."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from renderers import RENDERERS
from renderers.base import RendererError
from renderers.layering import LAYERINGS, Analyse, layering
from renderers.layering import drbokeh as drbokeh_layers
from renderers.layering import mpib as mpib_layers
from renderers.layering.filling import extended, from_nearest
from scenes.color import linear_from_display
from scenes.layered import LayeredScene
from scenes.lens import ThinLens


def half_disk(t: np.ndarray) -> np.ndarray:
    """G(t): part of a unit disk inside a half plane, its centre t inside."""
    t = np.clip(t, -1.0, 1.0)
    return 1.0 - (np.arccos(t) - t * np.sqrt(1.0 - t * t)) / math.pi


def halves(near: float = 1.0, far: float = 0.0, *, side: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """(linear, disparity): a near half plane on the left, of value `near`, before a far one of value `far`."""
    linear = np.full((side // 2, side, 3), far, np.float32)
    linear[:, : side // 2] = near
    disparity = np.full(linear.shape[:2], 0.1, np.float32)
    disparity[:, : side // 2] = 0.9
    return linear, disparity


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


# What every layering keeps


@pytest.fixture(scope="module")
def analyse(tmp_path_factory) -> Callable[[str], Analyse]:
    """A layering by name; one with a network has the weights that it begins its training with."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    from renderers.layering import reveal
    from renderers.neural.reveal.network import RevealNet

    torch.manual_seed(0)
    weights = tmp_path_factory.mktemp("weights") / "reveal.safetensors"
    save_file(RevealNet().state_dict(), weights)
    return lambda name: partial(reveal.analyse, weights=weights) if name == "reveal" else layering(name)


@pytest.mark.parametrize("name", LAYERINGS)
def test_layers_are_those_of_a_scene_and_every_renderer_of_layers_takes_them(name, analyse):
    linear, (_, disparity) = noise(40, 80, 3), halves()
    scene = analyse(name)(linear, disparity, reach_px=8.0)
    assert isinstance(scene, LayeredScene) and (scene.height, scene.width) == disparity.shape
    depths = [float(scene.frame_disparity(i).mean()) for i in range(len(scene.layers))]
    assert depths == sorted(depths, reverse=True) and len(depths) == 2
    for renderer in ("drbokeh", "drbokeh-release"):
        assert np.isfinite(RENDERERS[renderer](linear, disparity, ThinLens(10.0, 0.1), scene=scene)).all()


@pytest.mark.parametrize("name", LAYERINGS)
def test_without_blur_the_layers_show_the_picture_but_for_the_mixed_pixels_of_the_edge(name, analyse):
    linear, (_, disparity) = noise(40, 80, 3), halves()
    shown = analyse(name)(linear, disparity, reach_px=8.0).composite()
    # Half floats. Column 40 is behind the edge, and its light is partly that of the near half.
    np.testing.assert_allclose(np.delete(shown, 40, 1), np.delete(linear, 40, 1), rtol=1e-3, atol=5e-4)
    # reveal0 gives each side its part of it.
    assert (np.abs(shown[:, 40] - linear[:, 40]).max() > 0.1) == (not name.startswith("reveal"))


@pytest.mark.parametrize("name", LAYERINGS)
def test_light_of_the_near_thing_is_not_left_behind_it(name, analyse):
    linear, disparity = halves()
    # As a pixel that holds both.
    linear[:, 40] = 0.5
    scene = analyse(name)(linear, disparity, reach_px=8.0)
    farthest = scene.frame_rgba(len(scene.layers) - 1)
    assert (farthest[:, 28:, :3] == 0.0).all() and (farthest[..., 3] == 1.0).all()


@pytest.mark.parametrize("name", LAYERINGS)
def test_a_slope_has_no_edges(name, analyse):
    """A ground plane is cut, but no pixel of it is painted anew."""
    linear, disparity = noise(40, 80, 3), np.repeat(np.linspace(0.0, 1.0, 80, dtype=np.float32)[None], 40, 0)
    shown = analyse(name)(linear, disparity, reach_px=8.0).composite()
    np.testing.assert_allclose(shown, linear, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 8), (7, 1), (20, 30)])
@pytest.mark.parametrize("name", LAYERINGS)
def test_a_picture_of_one_disparity_is_one_layer(name, analyse, size):
    linear = noise(*size, 3)
    scene = analyse(name)(linear, np.full(size, 0.4, np.float32), reach_px=8.0)
    assert len(scene.layers) == 1
    np.testing.assert_allclose(scene.composite(), linear, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", LAYERINGS)
def test_disparities_behind_infinity_are_named(name, analyse):
    with pytest.raises(RendererError, match=r"disparity is -0\.5 somewhere"):
        analyse(name)(noise(9, 9, 3), np.full((9, 9), -0.5, np.float32))


def test_every_unknown_pixel_takes_the_value_of_the_nearest_known_one():
    known = np.zeros((6, 9), bool)
    known[2, 1] = known[2, 7] = True
    filled = from_nearest(np.arange(54.0).reshape(6, 9), known)
    assert (filled[:, :4] == 19.0).all() and (filled[:, 5:] == 25.0).all()


@pytest.mark.parametrize(("side", "is_sky"), [(24, True), (10, True), (8, False), (3, False)])
def test_light_above_white_goes_on_behind_where_it_is_a_sky_and_not_where_it_is_a_lamp(side, is_sky):
    """Columns from 40 on are seen, and hold a bright square beside what is hidden."""
    linear, known = np.full((60, 80, 3), 0.2, np.float32), np.zeros((60, 80), bool)
    known[:, 40:] = True
    linear[20 : 20 + side, 40 : 40 + side] = 5.0
    filled = extended(linear, known, skies=True)
    np.testing.assert_array_equal(filled[known], linear[known])
    assert (filled[:, :40].max() > 2.0) == is_sky
    assert (filled[:, :40].max() > 1.0) == is_sky


def test_a_lamp_that_is_hardly_seen_is_no_sky():
    """Most of the square around it is hidden: what is seen of it may be all that there is."""
    linear, known = np.full((60, 80, 3), 5.0, np.float32), np.zeros((60, 80), bool)
    known[20:40, 40:43] = True
    assert extended(linear, known, skies=True)[:, :40].max() <= 1.0


# Dr.Bokeh


def test_the_nearer_class_of_disparities_is_the_foreground():
    disparity = np.zeros((30, 30), np.float32)
    disparity[:10], disparity[10:15], disparity[15:] = 0.1, 0.25, 0.8
    np.testing.assert_array_equal(drbokeh_layers.nearer_half(disparity), disparity > 0.5)


def test_a_matte_is_the_alpha_of_the_foreground():
    linear, disparity = halves()
    matte = np.zeros(disparity.shape, np.float32)
    matte[:, 50:] = np.linspace(0.2, 1.0, 30)
    scene = drbokeh_layers.analyse(linear, disparity, matte=matte)
    np.testing.assert_allclose(scene.frame_rgba(0)[..., 3], matte, atol=1e-3)
    assert (scene.frame_disparity(1) == disparity[:, 49:50]).mean() > 0.3


def test_the_background_has_no_light_of_what_a_matte_cuts_out():
    linear = np.full((40, 80, 3), 0.1, np.float32)
    linear[:, 50:], linear[:, 49] = (1.0, 0.0, 0.0), (0.5, 0.05, 0.05)  # with a mixed pixel at the edge
    matte = np.zeros((40, 80), np.float32)
    matte[:, 50:] = 1.0
    # The disparity has its edge elsewhere.
    disparity = np.where(np.arange(80) < 60, 0.2, 0.8).astype(np.float32) * np.ones((40, 1), np.float32)
    scene = drbokeh_layers.analyse(linear, disparity, matte=matte)
    np.testing.assert_allclose(scene.frame_rgba(1)[..., :3], 0.1, atol=1e-3)


@pytest.mark.parametrize("matte", [np.zeros((9, 9), np.float32), np.full((40, 80), 2.0, np.float32)])
def test_a_matte_that_does_not_fit_is_named(matte):
    renderer = RENDERERS["drbokeh-rgbd"].with_controls(matte=matte)
    linear, disparity = halves()
    with pytest.raises(RendererError, match=r"the matte is .* it must be \(40, 80\), from 0 to 1"):
        renderer(linear, disparity, ThinLens(10.0, 0.1))


def test_dr_bokeh_sees_a_background_through_the_rim_of_a_blurred_foreground():
    """On both sides of the edge the part of the lens that it hides, as the truth has it."""
    linear, disparity = halves()
    lens = ThinLens(15.0, 0.1)
    refocused = linear_from_display(RENDERERS["drbokeh-rgbd"](linear, disparity, lens))
    column = np.arange(20, 60)
    np.testing.assert_allclose(refocused[20, 20:60, 0], half_disk((40 - column - 0.5) / 12.0), atol=0.015)


def test_true_layers_are_not_looked_at():
    linear, disparity = halves()
    lens, renderer = ThinLens(15.0, 0.1), RENDERERS["drbokeh-rgbd"]
    other = layering("drbokeh")(noise(40, 80, 3), disparity)
    expected = renderer(linear, disparity, lens)
    np.testing.assert_array_equal(renderer(linear, disparity, lens, scene=other), expected)
    # They are layers of the same picture at every gamma.
    found = layering("drbokeh")(linear_from_display(noise(40, 80, 3)), disparity)
    np.testing.assert_array_equal(
        renderer(noise(40, 80, 3), disparity, lens, gamma=4.0),
        RENDERERS["drbokeh"](noise(40, 80, 3), disparity, lens, gamma=4.0, scene=found),
    )


# MPIB


def test_the_mask_goes_twice_the_radius_into_what_is_near_and_stays_at_the_edge_of_what_is_far():
    _, disparity = halves(side=120)
    for reach_px in (0.0, 5.0, 12.0):
        columns = np.flatnonzero(mpib_layers.background_mask(disparity, reach_px)[30])
        # The edge itself is some pixels wide: two differences, 7 x 7 and 5 x 5.
        assert 0 <= 60 - 2 * reach_px - columns.min() <= 7 and 60 <= columns.max() <= 66


def test_a_mask_smaller_than_the_thing_leaves_its_middle():
    y, x = np.indices((110, 110)) - 55
    rho = np.hypot(x, y)
    disparity = (rho < 40).astype(np.float32)
    mask = mpib_layers.background_mask(disparity, 8.0)
    # It follows a direction that lies between pixels into both: slanted ones go up to a diagonal a step.
    assert mask[(rho > 24) & (rho < 40)].all() and not mask[rho < 8].any()
    assert mpib_layers.background_mask(disparity, 20.0)[rho < 40].all()


def test_a_speck_is_no_edge():
    disparity = np.zeros((400, 400), np.float32)
    disparity[200, 200] = 0.3
    disparity[:100] = 1.0
    mask = mpib_layers.background_mask(disparity, 4.0)
    assert not mask[150:250].any() and mask[90:100].all()


def test_what_is_hidden_has_the_disparity_and_the_colour_of_what_is_next_to_it_behind():
    """Two far things before which a near one stands: each goes on behind it up to the other."""
    linear, disparity = np.zeros((60, 120, 3), np.float32), np.zeros((60, 120), np.float32)
    disparity[:, 60:] = 0.4
    linear[:, :60], linear[:, 60:] = (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)
    near = (slice(20, 60), slice(40, 80))
    disparity[near], linear[near] = 1.0, (1.0, 0.0, 0.0)
    background = mpib_layers.behind(linear, disparity, reach_px=20.0)
    inside = (slice(30, 60), slice(44, 76))
    assert background.hidden[inside].all() and (background.linear[inside][..., 0] == 0.0).all()
    assert (background.linear[40, 44:54] == (0.0, 0.0, 1.0)).all() and (background.disparity[40, 44:54] == 0.0).all()
    assert (background.linear[40, 66:76] == (0.0, 1.0, 0.0)).all()
    assert (background.disparity[40, 66:76] == np.float32(0.4)).all()


def test_each_of_three_things_hides_what_is_next_to_it_and_farther():
    """A bar before the rim of a panel: behind the bar is the panel, and behind the panel what is far, bar or not."""
    disparity = np.zeros((80, 80), np.float32)
    disparity[15:65, 20:60] = 0.5
    disparity[37:43, 20:50] = 1.0
    background = mpib_layers.behind(noise(80, 80, 3), disparity, reach_px=6.0)
    assert (background.disparity[38:42, 25:45] == 0.5).all() and background.hidden[38:42, 25:45].all()
    assert (background.disparity[20:60, 20:25][np.r_[0:15, 25:40]] == 0.0).all()


def test_planes_have_one_disparity_each_that_of_their_pixels():
    linear, disparity = noise(40, 80, 3), halves()[1]
    disparity[:10, 40:] = 0.5
    scene = mpib_layers.analyse(linear, disparity, reach_px=4.0)
    np.testing.assert_allclose(
        [np.unique(scene.frame_disparity(i)) for i in range(3)], [[0.9], [0.5], [0.1]], rtol=1e-6
    )
    assert ((scene.frame_rgba(0)[..., 3] == 1.0) == (disparity == np.float32(0.9))).all()
