"""Sampled scenes: properties of every recipe and seed, and how often the default scenes show occlusion."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes.billboard import Scene, SceneError
from scenes.matte import rotate_rgba
from scenes.procedural import ProceduralCutouts
from scenes.recipe import Recipe, load_recipe
from scenes.sampling import overscan_of, sample_scene
from scenes.stack import Stack

# No deadline: a slow machine must not fail a test. The examples are the same in every run.
properties = settings(max_examples=40, deadline=None, derandomize=True)


class GreyPhotographs:
    def draw(self, height, width, *, rng):
        return np.full((height, width, 3), rng.uniform(), np.float32), {"kind": "grey"}


class RandomCutouts:
    """Patches of random alpha and shape, remembered."""

    def __init__(self, extra_draws: int = 0):
        self.drawn: list[np.ndarray] = []
        self._extra_draws = extra_draws

    def draw(self, side_px, *, rng):
        rng.random(self._extra_draws)
        height, width = rng.integers(max(1, side_px // 3), side_px + 1, 2)
        rgba = rng.random((height, width, 4), dtype=np.float32)
        self.drawn.append(rgba)
        return rgba, {"kind": "patch"}


def sampled(recipe: Recipe, seed: int, cutouts: RandomCutouts | None = None) -> tuple[Scene, Stack]:
    """A scene of the recipe with simple stand-ins for the pictures, because real ones take time to draw."""
    rng = np.random.default_rng([0, seed])
    return sample_scene(recipe, rng=rng, photographs=GreyPhotographs(), cutouts=cutouts or RandomCutouts())


def ranges(low: float, high: float):
    return st.tuples(st.floats(low, high), st.floats(low, high)).map(lambda ends: (min(ends), max(ends)))


@st.composite
def recipes(draw) -> Recipe:
    """Any valid recipe with small frames."""
    foregrounds = sorted(draw(st.tuples(st.integers(0, 6), st.integers(0, 6))))
    background_slant = draw(st.sampled_from([0.0, 0.1]))
    background_disparity = draw(ranges(background_slant, 0.5))
    foreground_disparity = draw(st.floats(0.0, 0.6)), draw(st.floats(0.8, 1.0))
    # The foregrounds, with their gaps and slants, share the range in front of the background. A little stays free.
    room = foreground_disparity[1] - max(foreground_disparity[0], background_disparity[1]) - background_slant
    share = 0.99 * room / max(1, foregrounds[1])
    gap = draw(st.floats(0.001, 1.0)) * share
    return Recipe(
        name="any",
        size_px=draw(st.integers(16, 40)),
        foregrounds=(foregrounds[0], foregrounds[1]),
        foreground_scale=draw(ranges(0.05, 1.0)),
        rotation_deg=draw(st.sampled_from([0.0, 20.0, 180.0])),
        visible_min=draw(st.floats(0.0, 0.9)),
        cluster=draw(st.floats(0.0, 1.0)),
        background_disparity=background_disparity,
        foreground_disparity=foreground_disparity,
        disparity_gap=gap,
        background_slant=background_slant,
        foreground_slant=draw(st.sampled_from([0.0, 0.5])) * (share - gap),
        blur_parameters=tuple(draw(st.lists(st.floats(0.0, 40.0), min_size=1, max_size=3))),
        random_blur=draw(st.none() | ranges(0.5, 40.0)),
        focus=draw(st.sampled_from(["layers", "even", "random"])),
        focus_count=draw(st.integers(1, 7)),
        focus_range=draw(ranges(0.0, 1.0)),
    )


def full_range_recipes():
    def spanning(recipe: Recipe) -> Recipe:
        least, most = (max(1, count) for count in recipe.foregrounds)
        return replace(
            recipe, full_range=True, foregrounds=(least, most), background_slant=0.0, foreground_slant=0.0
        )  # fmt: skip

    return recipes().map(spanning)


class Pieces:
    """Cut-outs of an even alpha, one after the other. They fill the frame, or a quarter of it."""

    def __init__(self, *pieces: tuple[float, bool]):
        self.left = list(pieces)

    def draw(self, side_px, *, rng):
        alpha, is_whole = self.left.pop(0)
        side = side_px if is_whole else side_px // 2
        return np.full((side, side, 4), alpha, np.float32), {"alpha": alpha}


PIECES = Recipe(
    name="pieces", size_px=32, foreground_scale=(2.0, 2.0), rotation_deg=0.0, visible_min=0.0, cluster=0.0,
    full_range=True, blur_parameters=(4.0,), focus="even", focus_count=3,
)  # fmt: skip


# Every recipe, every seed


@properties
@given(recipes(), st.integers(0, 2**32))
def test_layers_go_near_to_far_with_gaps_between_their_disparities_and_the_last_is_opaque(recipe, seed):
    scene, _ = sampled(recipe, seed)
    assert recipe.foregrounds[0] <= len(scene.layers) - 1 <= recipe.foregrounds[1]
    intervals = [scene.disparity_interval(i) for i in range(len(scene.layers))]
    for (nearer, _), (_, farther) in zip(intervals, intervals[1:], strict=False):
        assert nearer - farther >= recipe.disparity_gap - 1e-9  # sums of float64
    assert scene.layers[-1].rgba[..., 3].min() == 1.0


@properties
@given(recipes(), st.integers(0, 2**32))
def test_disparities_lie_where_the_recipe_says(recipe, seed):
    scene, _ = sampled(recipe, seed)
    *foregrounds, background = [scene.disparity_interval(i) for i in range(len(scene.layers))]
    for low, high in foregrounds:
        assert recipe.foreground_disparity[0] - 1e-9 <= low <= high <= recipe.foreground_disparity[1] + 1e-9
    assert recipe.background_disparity[0] <= scene.layers[-1].disparity <= recipe.background_disparity[1]
    assert 0.0 <= background[0] and background[1] <= 1.0


@properties
@given(full_range_recipes(), st.integers(0, 2**32))
def test_over_the_full_range_the_farthest_pixel_has_disparity_0_and_the_nearest_1(recipe, seed):
    scene, stack = sampled(recipe, seed)
    composite = scene.composite_disparity()
    assert (composite.min(), composite.max()) == (0.0, 1.0)
    disparities = [layer.disparity for layer in scene.layers]
    assert (disparities[0], disparities[-1]) == (1.0, 0.0)
    gaps = -np.diff(disparities)
    assert (gaps >= recipe.disparity_gap - 1e-9).all()  # sums of float64
    for _, _, lens in stack.lenses():
        scene.require_overscan(lens)


@properties
@given(full_range_recipes(), st.integers(0, 2**32))
def test_the_full_range_changes_disparities_by_one_scale_and_no_picture(recipe, seed):
    spanning, _ = sampled(recipe, seed)
    plain, _ = sampled(replace(recipe, full_range=False), seed)
    if spanning.layers[0].asset == plain.layers[0].asset:  # not drawn again
        for a, b in zip(spanning.layers, plain.layers, strict=True):
            np.testing.assert_array_equal(a.rgba, b.rgba)
    near, far = plain.layers[0].disparity, plain.layers[-1].disparity
    for a, b in zip(spanning.layers, plain.layers, strict=True):
        assert a.disparity * (near - far) + far == pytest.approx(b.disparity, abs=1e-12)


@properties
@given(recipes(), st.integers(0, 2**32))
def test_the_overscan_is_enough_for_every_lens_and_even(recipe, seed):
    scene, stack = sampled(recipe, seed)
    for _, _, lens in stack.lenses():
        scene.require_overscan(lens)
    assert scene.overscan == overscan_of(recipe) and scene.overscan % 2 == 0


def test_the_overscan_is_enough_where_near_and_far_are_as_far_apart_as_can_be():
    recipe = Recipe(
        name="far", size_px=16, foregrounds=(1, 1), background_disparity=(0.0, 0.0), foreground_disparity=(0.99, 1.0),
        focus="even", focus_count=2, blur_parameters=(200.0,),
    )  # fmt: skip
    scene, stack = sampled(recipe, 0)
    needed = [scene.blur_radius_max_px(lens) + 2 for _, _, lens in stack.lenses()]
    # One ray from the nearest plane at focus 0, one from infinity at focus 1; at most 4 px for rounding to even.
    assert scene.overscan - 4 - 200 * 0.01 <= max(needed) <= scene.overscan


@properties
@given(recipes(), st.integers(0, 2**32))
def test_enough_of_every_cut_out_lies_inside_the_frame(recipe, seed):
    cutouts = RandomCutouts()
    scene, _ = sampled(replace(recipe, rotation_deg=0.0), seed, cutouts)
    for i, drawn in enumerate(cutouts.drawn):
        inside = scene.frame_rgba(i)[..., 3].sum(dtype=np.float64)
        # Without rotation no cut-out is larger than the frame, so a cut-out in the middle is completely inside. Half
        # floats round alpha by 2^-11 of it at most.
        assert inside >= recipe.visible_min * drawn[..., 3].sum(dtype=np.float64) * (1 - 2.0**-11)


@properties
@given(recipes(), st.integers(0, 2**32))
def test_the_same_generator_gives_the_same_scene_to_the_bit(recipe, seed):
    (first, first_stack), (again, again_stack) = sampled(recipe, seed), sampled(recipe, seed)
    assert first_stack == again_stack
    for layer, other in zip(first.layers, again.layers, strict=True):
        assert layer.rgba.tobytes() == other.rgba.tobytes()
        assert (layer.disparity, layer.slope, layer.asset) == (other.disparity, other.slope, other.asset)


@properties
@given(recipes(), st.integers(0, 2**32))
def test_how_an_asset_is_made_changes_neither_disparities_nor_lenses(recipe, seed):
    (scene, stack), (other, other_stack) = sampled(recipe, seed), sampled(recipe, seed, RandomCutouts(extra_draws=3))
    assert [(layer.disparity, layer.slope) for layer in scene.layers] == [
        (layer.disparity, layer.slope) for layer in other.layers
    ]
    assert stack == other_stack


# Focus and blur


@properties
@given(recipes(), st.integers(0, 2**32))
def test_focus_disparities_are_as_many_as_asked_for_and_go_far_to_near(recipe, seed):
    _, stack = sampled(recipe, seed)
    assert len(stack.focus_disparities) == recipe.focus_count
    assert list(stack.focus_disparities) == sorted(stack.focus_disparities)


@properties
@given(recipes(), st.integers(0, 2**32))
def test_focus_on_layers_is_on_all_of_them_and_then_between_them(recipe, seed):
    scene, stack = sampled(replace(recipe, focus="layers"), seed)
    layers = {layer.disparity for layer in scene.layers}
    focus = set(stack.focus_disparities)
    if recipe.focus_count >= len(layers):
        assert layers <= focus
    else:
        assert focus <= layers
    if 1 < recipe.focus_count <= len(layers):
        assert {min(layers), max(layers)} <= focus
    if len(layers) > 1:
        assert min(layers) <= min(focus) and max(focus) <= max(layers)


@properties
@given(recipes(), st.integers(0, 2**32))
def test_random_focus_lies_between_the_farthest_and_the_nearest_layer(recipe, seed):
    scene, stack = sampled(replace(recipe, focus="random"), seed)
    near, far = scene.layers[0].disparity, scene.layers[-1].disparity
    assert all(far <= d <= near for d in stack.focus_disparities)


def assert_uniform(draws) -> None:
    """Kolmogorov-Smirnov on [0, 1]; uniform draws fail once in a thousand (1.95 / sqrt(n))."""
    count = len(draws)
    assert np.abs(np.sort(draws) - (np.arange(count) + 0.5) / count).max() < 1.95 / np.sqrt(count)


def test_random_focus_covers_that_range():
    recipe = Recipe(name="focus", size_px=16, focus="random", focus_count=1, blur_parameters=(1.0,))
    place = []
    for seed in range(300):
        scene, stack = sampled(recipe, seed)
        near, far = scene.layers[0].disparity, scene.layers[-1].disparity
        place.append((stack.focus_disparities[0] - far) / (near - far))
    assert_uniform(place)


def test_even_focus_is_twenty_steps_of_a_twentieth_in_bokehme_train():
    recipe = replace(load_recipe("bokehme-train"), size_px=16)
    _, stack = sampled(recipe, 0)
    np.testing.assert_allclose(stack.focus_disparities, np.arange(1, 21) / 20, atol=1e-12)
    assert stack.gammas == (1.0, 2.0, 3.0, 4.0, 5.0)


def test_random_blur_is_one_per_scene_and_even_in_its_logarithm():
    recipe = replace(load_recipe("drbokeh-thin"), size_px=16)
    drawn = []
    for seed in range(300):
        _, stack = sampled(recipe, seed)
        drawn += stack.blur_parameters
    place = np.log(np.array(drawn) / 10.0) / np.log(40.0 / 10.0)
    assert len(drawn) == 300
    assert_uniform(place)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_every_number_of_foregrounds_occurs(count):
    recipe = Recipe(name="count", size_px=16, foregrounds=(1, 5), blur_parameters=(1.0,))
    # The chance that 60 scenes never have one of five equally likely numbers is 2e-6.
    assert any(len(sampled(recipe, seed)[0].layers) - 1 == count for seed in range(60))


def test_every_aperture_of_a_recipe_is_drawn():
    recipe = replace(load_recipe("night"), size_px=16)
    drawn = {str(sampled(recipe, seed)[1].aperture) for seed in range(60)}
    assert drawn == {str(aperture) for aperture in recipe.apertures}  # missing one of four: 1e-7


@pytest.mark.parametrize("name", ["default", "bokehme-train", "drbokeh-thin", "night"])
def test_only_mpib_has_slanted_scenes(name):
    assert not sampled(replace(load_recipe(name), size_px=16), 0)[0].is_slanted
    assert sampled(replace(load_recipe("mpib"), size_px=16), 0)[0].is_slanted


def test_clustered_cut_outs_overlap_more():
    def overlapping(cluster: float) -> int:
        recipe = Recipe(
            name="cluster", size_px=64, foregrounds=(2, 2), foreground_scale=(0.2, 0.2), rotation_deg=0.0,
            cluster=cluster, blur_parameters=(1.0,),
        )  # fmt: skip
        scenes = [sampled(recipe, seed)[0] for seed in range(100)]
        return sum(
            bool(((scene.layers[0].rgba[..., 3] > 0) & (scene.layers[1].rgba[..., 3] > 0)).any()) for scene in scenes
        )

    # By chance, two squares of side 0.2 overlap in less than half of the scenes. Placed over each other, always.
    assert overlapping(1.0) > 90 and overlapping(0.0) < 50


# Occlusion in the default scenes, with their own pictures


@pytest.fixture(scope="module")
def default_scenes() -> list[tuple[Scene, Stack]]:
    recipe = load_recipe("default")
    return [sample_scene(recipe, rng=np.random.default_rng([0, i])) for i in range(8)]


def test_foregrounds_overlap_in_the_picture_of_most_default_scenes(default_scenes):
    overlapping = []
    for scene, _ in default_scenes:
        covers = sum((scene.frame_rgba(i)[..., 3] >= 0.5).astype(int) for i in range(len(scene.layers) - 1))
        overlapping.append(np.mean(covers >= 2) > 0.01)
    # Over 1 % of the frame, in at least 5 of 8 scenes.
    assert sum(overlapping) >= 5


def test_three_tenths_of_the_pixels_of_default_scenes_lie_within_the_largest_blur_of_a_depth_edge(default_scenes):
    near = []
    for scene, stack in default_scenes:
        disparity = scene.composite_disparity()
        edge = np.zeros(disparity.shape, bool)
        edge[:, 1:] |= disparity[:, 1:] != disparity[:, :-1]
        edge[1:] |= disparity[1:] != disparity[:-1]
        largest_blur_px = max(scene.blur_radius_max_px(lens) for _, _, lens in stack.lenses())
        distance_px = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        near.append(np.mean(distance_px <= largest_blur_px))
    assert np.mean(near) >= 0.3


@pytest.mark.parametrize("name", ["default", "night"])
def test_the_smallest_frame_holds_procedural_scenes(name):
    recipe = replace(load_recipe(name), size_px=16, blur_parameters=(2.0,))
    for seed in range(4):
        scene, _ = sample_scene(recipe, rng=np.random.default_rng([seed, 0]))
        assert (scene.width, scene.height) == (16, 16)


def test_a_layer_is_drawn_again_from_what_its_record_says():
    recipe = replace(load_recipe("default"), size_px=48, blur_parameters=(2.0,), foregrounds=(1, 1))
    scene, _ = sample_scene(recipe, rng=np.random.default_rng([7, 3]))
    asset = scene.layers[0].asset
    children = np.random.default_rng([7, 3]).spawn(2)
    rng = children[asset["child"]]
    rng.uniform()  # the scale that gave side_px
    rgba, again = ProceduralCutouts(lights=recipe.lights).draw(asset["side_px"], rng=rng)
    assert again == {key: asset[key] for key in again}
    turned = rotate_rgba(rgba, asset["degrees"])
    o = scene.overscan
    x, y = asset["x"] + o, asset["y"] + o
    height, width = (min(n, 48 + 2 * o - at) for n, at in zip(turned.shape[:2], (y, x), strict=True))
    top, left = max(0, -y), max(0, -x)
    np.testing.assert_array_equal(
        scene.layers[0].rgba[y + top : y + height, x + left : x + width, 3],
        turned[top:height, left:width, 3].astype(np.float16),
    )


# Scenes over the full range that do not show both of its ends at first


@pytest.mark.parametrize(
    "hidden, why",
    [((0.4, False), "the foreground is too faint to have a disparity"), ((1.0, True), "it hides the background")],
)
def test_foregrounds_are_drawn_again_until_both_ends_of_the_range_are_seen(hidden, why):
    recipe = replace(PIECES, foregrounds=(1, 1))
    cutouts = Pieces(hidden, hidden, (1.0, False), (1.0, True))
    scene, stack = sample_scene(recipe, rng=np.random.default_rng(0), photographs=GreyPhotographs(), cutouts=cutouts)
    composite = scene.composite_disparity()
    assert (composite.min(), composite.max()) == (0.0, 1.0), why
    assert len(cutouts.left) == 1
    # The third drawing is the third child of the scene's generator after the background, and its record says so.
    assert scene.layers[0].asset["child"] == 3 and scene.layers[0].asset["alpha"] == 1.0


def test_the_record_of_a_layer_that_was_drawn_again_names_the_generator_that_drew_it():
    recipe = replace(PIECES, foregrounds=(2, 2), foreground_scale=(0.5, 2.0))
    faint = [(0.4, False)] * 4
    scene, _ = sample_scene(
        recipe, rng=np.random.default_rng(1), photographs=GreyPhotographs(), cutouts=Pieces(*faint, *[(1.0, False)] * 2)
    )
    children = np.random.default_rng(1).spawn(7)
    assert [layer.asset["child"] for layer in scene.layers] == [5, 6, 0]
    for layer in scene.layers[:2]:
        scale = children[layer.asset["child"]].uniform(*recipe.foreground_scale)
        assert layer.asset["side_px"] == round(scale * recipe.size_px)


def test_a_faint_layer_between_others_and_a_hidden_one_need_no_other_drawing():
    recipe = replace(PIECES, foregrounds=(3, 3))
    cutouts = Pieces((1.0, False), (0.4, False), (0.4, True))
    scene, _ = sample_scene(recipe, rng=np.random.default_rng(0), photographs=GreyPhotographs(), cutouts=cutouts)
    assert [layer.asset.get("child") for layer in scene.layers] == [1, 2, 3, 0]


def test_cut_outs_that_never_show_both_ends_are_refused_after_a_few_drawings():
    cutouts = Pieces(*[(0.4, False)] * 1000)
    with pytest.raises(SceneError, match="recipe pieces: .*use other cut-outs, or leave full_range out"):
        sample_scene(
            replace(PIECES, foregrounds=(1, 1)),
            rng=np.random.default_rng(0),
            photographs=GreyPhotographs(),
            cutouts=cutouts,
        )
    assert len(cutouts.left) >= 900


# The protocol of BLB


@pytest.fixture(scope="module")
def blb_scenes() -> list[tuple[Scene, Stack]]:
    recipe = replace(load_recipe("blb-levels"), size_px=64)
    return [sample_scene(recipe, rng=np.random.default_rng([recipe.seed, i])) for i in range(6)]


def test_every_level_of_blb_reaches_its_largest_radius_where_focus_is_at_an_end(blb_scenes):
    for scene, stack in blb_scenes:
        disparity = scene.composite_disparity()
        assert len(list(stack.lenses())) == 50
        for blur_index, focus_index, lens in stack.lenses():
            radius_px = float(np.abs(lens.defocus_px(disparity)).max())
            largest = 10.0 * (blur_index + 1)
            if focus_index in (0, 9):
                assert radius_px == largest
            else:
                # K times the distance to the farther end of [0, 1].
                assert radius_px == pytest.approx(largest * max(focus_index, 9 - focus_index) / 9)


def test_focus_of_blb_goes_in_even_steps_of_disparity_from_far_to_near(blb_scenes):
    for _, stack in blb_scenes:
        np.testing.assert_allclose(stack.focus_disparities, np.arange(10) / 9, rtol=0, atol=1e-12)
        assert (stack.focus_disparities[0], stack.focus_disparities[-1]) == (0.0, 1.0)
