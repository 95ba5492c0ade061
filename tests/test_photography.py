"""Scenes in front of a real camera: its optics, its ground, and a subject that the picture itself points out."""

import math
from dataclasses import replace

import numpy as np
import pytest

from scenes.camera import Camera
from scenes.lens import f_number_from_blur_parameter
from scenes.photography import SUBJECT_SHARE
from scenes.procedural.grounds import GroundView, seen
from scenes.recipe import load_recipe
from scenes.sampling import overscan_of, sample_scene

EBB = Camera(
    focal_length_m=0.05,
    sensor_width_m=0.0223,
    sensor_height_m=0.0149,
    f_numbers=(16.0, 1.8),
    subject_m=(1.0, 4.0),
    background_ratio=(2.0, 20.0),
)
SMALL = load_recipe("ebb-like").at_size(96)


# The camera


@pytest.mark.parametrize(
    ("distance_m", "radius_mm", "radius_px"), [(1.2, 0.122, 8.4), (2.0, 0.365, 25.1), (5.0, 0.585, 40.2)]
)
def test_the_blur_of_a_50_mm_lens_at_f_1_8_is_that_of_paraxial_optics(distance_m, radius_mm, radius_px):
    """r = (A / 2) (f / D) |D - P| / (P - f) on the sensor (CoCNet, Eq. 1), of a lens that is focused at 1 m."""
    blur_parameter = EBB.blur_parameter(1.8, 1.0, 1536)
    radius = blur_parameter * abs(1.0 / distance_m - 1.0)
    printed = 0.05 / 1.8 / 2 * 0.05 / distance_m * abs(distance_m - 1.0) / (1.0 - 0.05)
    assert printed * 1000 == pytest.approx(radius_mm, abs=6e-4)
    assert radius == pytest.approx(printed * 1536 / 0.0223, rel=1e-12)
    # The table has 68.7 px/mm, from the height of the sensor; the width gives 68.9.
    assert radius == pytest.approx(radius_px, rel=4e-3)


def test_the_pictures_of_a_pair_differ_in_their_f_number_alone():
    for focus_m in (1.0, 3.0):
        wide, narrow = (EBB.blur_parameter(f_number, focus_m, 1536) for f_number in (1.8, 16.0))
        assert wide / narrow == pytest.approx(16.0 / 1.8)
        back = f_number_from_blur_parameter(0.05, wide, 0.0223, 1536, 1.0 / focus_m)
        assert back == pytest.approx(1.8)


def test_nothing_behind_the_subject_is_blurred_more_than_infinity_behind_the_nearest_subject():
    largest = EBB.largest_blur_radius_px(1536)
    assert largest == pytest.approx(0.05 / 1.8 / 2 * 0.05 / (1.0 - 0.05) * 1536 / 0.0223)
    assert EBB.blur_parameter(1.8, 4.0, 1536) / 4.0 < largest
    low, high = EBB.blur_parameters(1536)
    assert low == EBB.blur_parameter(1.8, 4.0, 1536) < high == EBB.blur_parameter(1.8, 1.0, 1536)


def test_the_subject_is_as_large_as_the_lens_makes_it():
    """Magnification is image distance over distance: half a metre at 2 m is 12.8 mm on the sensor."""
    image_distance_m = 1.0 / (1.0 / 0.05 - 1.0 / 2.0)
    size_px = 0.5 / 2.0 * EBB.focal_length_px(2.0, 1536)
    assert size_px == pytest.approx(0.5 * image_distance_m / 2.0 / 0.0223 * 1536)


# The ground

VIEW = GroundView(focal_length_px=900.0, height_m=1.2, tilt_rad=math.radians(25.0))


def test_the_disparity_of_the_ground_is_that_of_rays_that_meet_it():
    """A ray through a pixel, turned by the tilt of the camera, goes down 1.2 m where its depth is 1 / disparity."""
    for y in (-250.0, 0.0, 310.0):
        for x in (-400.0, 90.0):
            depth = 1.0 / (VIEW.disparity + VIEW.slope * y)
            point = depth * np.array([x / 900.0, y / 900.0, 1.0])
            down = np.array([0.0, math.cos(VIEW.tilt_rad), math.sin(VIEW.tilt_rad)])
            assert point @ down == pytest.approx(1.2)


def test_tiles_of_the_ground_are_as_long_as_they_are_wide():
    """A texture of stripes along and across: at every pixel, a metre on the ground is a metre both ways."""
    side = 512
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    # Two ramps, constant along the other axis, that do not fold inside the picture.
    shown = seen(np.stack([x, y, np.zeros_like(x)], axis=-1), 60, 80, VIEW)
    depth = 1.0 / (VIEW.disparity + VIEW.slope * (np.arange(60) + 0.5 - 30.0))
    texel_m = depth[-1] / 900.0
    across = np.abs(np.diff(shown[:, 45:75, 0], axis=1)).mean(axis=1) * texel_m
    np.testing.assert_allclose(across, depth / 900.0, rtol=0.02)
    along = np.abs(np.gradient(shown[:, 60, 1])) * texel_m
    on_ground = depth * (math.cos(VIEW.tilt_rad) - (np.arange(60) - 29.5) / 900.0 * math.sin(VIEW.tilt_rad))
    np.testing.assert_allclose(along[2:-2], np.abs(np.gradient(on_ground))[2:-2], rtol=0.05)


def test_a_view_with_a_horizon_in_it_is_refused():
    with pytest.raises(ValueError, match="the horizon of"):
        seen(np.zeros((8, 8, 3), np.float32), 900, 80, GroundView(900.0, 1.2, math.radians(20.0)))


# Scenes


@pytest.fixture(scope="module")
def drawn():
    return [sample_scene(SMALL, rng=np.random.default_rng([1802, i])) for i in range(14)]


def test_the_subject_is_nearest_in_focus_and_plain_to_see(drawn):
    for scene, stack in drawn:
        subject = scene.layers[0]
        assert stack.focus_disparities == (subject.disparity,)
        assert subject.asset["role"] == "subject" and not subject.is_slanted
        share = (scene.frame_rgba(0)[..., 3] >= 0.5).mean()
        assert SUBJECT_SHARE[0] <= share <= SUBJECT_SHARE[1]
        # All else is clearly behind it.
        assert max(scene.disparity_interval(i)[1] for i in range(1, len(scene.layers))) < 0.97 * subject.disparity


def test_distances_are_those_of_the_recipe(drawn):
    camera = SMALL.camera
    assert camera is not None
    for scene, stack in drawn:
        subject, *_, background = scene.layers
        distance_m = 1.0 / subject.disparity
        assert camera.subject_m[0] - 1e-9 <= distance_m <= camera.subject_m[1] + 1e-9
        if not background.is_slanted:
            low, high = camera.background_ratio
            assert low - 1e-9 <= subject.disparity / background.disparity <= high + 1e-9
        wide = camera.blur_parameter(1.8, distance_m, scene.width)
        assert stack.blur_parameters == pytest.approx((wide * 1.8 / 16.0, wide)) and stack.input_blur_index == 0


def test_ground_is_among_the_scenes_and_stays_behind_the_subject(drawn):
    grounds = [scene for scene, _ in drawn if scene.is_slanted]
    # The recipe has a third of them; the seed is fixed.
    assert 2 <= len(grounds) <= 9
    for scene in grounds:
        ground = scene.layers[-1]
        assert ground.slope[0] == 0.0 and ground.slope[1] > 0.0
        assert 0.0 < scene.disparity_interval(len(scene.layers) - 1)[0]


def test_people_and_their_size(drawn):
    """Head and shoulders are 0.6 to 0.8 m, whatever their distance."""
    camera = SMALL.camera
    assert camera is not None
    sizes = [
        layer.asset["side_px"] / layer.disparity / camera.focal_length_px(1.0 / scene.layers[0].disparity, scene.width)
        for scene, _ in drawn
        for layer in scene.layers
        if layer.asset.get("style") == "portrait"
    ]
    # A size is rounded to whole pixels, of which there may be sixteen.
    assert sizes and all(0.6 - 0.03 < size < 0.8 + 0.03 for size in sizes)


def test_every_lens_of_a_scene_stays_inside_its_layers(drawn):
    for scene, stack in drawn:
        assert scene.overscan == overscan_of(SMALL)
        for _, _, lens in stack.lenses():
            scene.require_overscan(lens)


def test_a_scene_is_a_part_of_itself_at_another_size():
    """The frame scales, and blur with it: the same camera, with other pixels."""
    larger = replace(SMALL).at_size(192)
    for i in range(6):
        (scene, stack), (twice, stack_twice) = (
            sample_scene(recipe, rng=np.random.default_rng([1802, i])) for recipe in (SMALL, larger)
        )
        if scene.layers[0].asset["style"] == twice.layers[0].asset["style"]:
            ratios = np.array(stack_twice.blur_parameters) / np.array(stack.blur_parameters)
            assert ratios == pytest.approx(2.0, rel=0.05)
