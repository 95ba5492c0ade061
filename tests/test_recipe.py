"""Recipes: the built-in ones, the user's own YAML files, and refused ones."""

import dataclasses
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from scenes.aperture import Character, Disk, Donut, Mask, Polygon
from scenes.prescription import biconvex
from scenes.recipe import Recipe, RecipeError, load_recipe, recipe_names


def written(folder: Path, text: str, name: str = "mine.yaml") -> str:
    (folder / name).write_text(text, "utf-8")
    return str(folder / name)


CAMERA = (
    "camera: {focal_length_m: 0.05, sensor_width_m: 0.03, sensor_height_m: 0.02, f_numbers: [16, 2], "
    "subject_m: [1, 2], background_ratio: [2, 9]"
)
FRAME = "width_px: 300\nheight_px: 200\n"

# The recipes of the project


def test_the_built_in_recipes_are_those_of_the_papers_and_three_of_our_own():
    assert recipe_names() == [
        "blb-levels",
        "bokehme-small",
        "bokehme-train",
        "default",
        "dpdd-like",
        "drbokeh-benchmark",
        "drbokeh-thin",
        "ebb-like",
        "mpib",
        "night",
        "objects",
        "real-lens",
    ]


@pytest.mark.parametrize("name", recipe_names())
def test_every_built_in_recipe_loads_under_its_own_name(name):
    assert load_recipe(name).name == name


def test_default_is_everyday_scenes_at_512_px():
    recipe = load_recipe("default")
    assert (recipe.scenes, recipe.size_px, recipe.foregrounds) == (100, 512, (2, 5))
    assert (recipe.blur_parameters, recipe.random_blur) == ((12.0, 24.0), None)
    assert (recipe.focus, recipe.focus_count, recipe.gammas) == ("layers", 5, (2.2,))
    assert (recipe.background_slant, recipe.foreground_slant) == (0.0, 0.0)
    assert recipe.apertures == (Disk(),) and recipe.pixel == "point" and recipe.noise == 0.002


def test_bokehme_train_is_the_training_set_of_bokehme():
    recipe = load_recipe("bokehme-train")
    assert (recipe.scenes, recipe.blur_parameters, recipe.gammas) == (150, (12.0, 24.0), (1.0, 2.0, 3.0, 4.0, 5.0))
    assert (recipe.focus, recipe.focus_count, recipe.focus_range) == ("even", 20, (0.05, 1.0))


def test_ebb_like_is_a_near_subject_through_the_camera_of_ebb():
    recipe = load_recipe("ebb-like")
    assert (recipe.width, recipe.height, recipe.images_per_scene) == (1536, 1024, 2)
    camera = recipe.camera
    assert camera is not None and camera.f_numbers == (16.0, 1.8)
    assert (camera.focal_length_m, camera.sensor_width_m, camera.sensor_height_m) == (0.05, 0.0223, 0.0149)
    # Its scenes are in no other dataset.
    assert recipe.seed not in {load_recipe(name).seed for name in recipe_names() if name != "ebb-like"}


@pytest.mark.parametrize(("size", "frame"), [(1536, (1536, 1024)), (768, (768, 512)), (100, (100, 67))])
def test_a_size_is_that_of_the_longer_side(size, frame):
    recipe = load_recipe("ebb-like").at_size(size)
    assert (recipe.width, recipe.height) == frame
    upright = Recipe(name="upright", width_px=1024, height_px=1536).at_size(size)
    assert (upright.height, upright.width) == frame
    assert Recipe(name="square").at_size(size).size_px == size


def test_a_recipe_with_a_camera_is_described_by_what_it_uses(tmp_path):
    recipe = load_recipe("ebb-like")
    described = recipe.describe()
    assert described["camera"]["f_numbers"] == [16.0, 1.8] and described["width_px"] == 1536
    assert not described.keys() & {"size_px", "blur_parameters", "focus", "foreground_disparity"}
    again = load_recipe(written(tmp_path, yaml.safe_dump(described), "ebb-like.yaml"))
    assert again == recipe
    # Headers of older datasets have none of the keys.
    assert not load_recipe("default").describe().keys() & {"camera", "width_px", "height_px"}


def test_blb_levels_is_500_pictures_a_level_at_the_radii_of_blb():
    recipe = load_recipe("blb-levels")
    assert (recipe.scenes, recipe.blur_parameters, recipe.gammas) == (50, (10.0, 20.0, 30.0, 40.0, 50.0), (2.2,))
    assert (recipe.focus, recipe.focus_count, recipe.focus_range) == ("even", 10, (0.0, 1.0))
    assert recipe.full_range
    # What is trained on the other recipes has not seen its scenes, unless somebody asks for its seed.
    others = {load_recipe(name).seed for name in recipe_names() if name != "blb-levels"}
    assert recipe.seed not in others


def test_what_bokehme_is_trained_and_compared_on_spans_the_full_range_and_the_others_stay_as_they_were():
    assert {name for name in recipe_names() if load_recipe(name).full_range} == {
        "blb-levels",
        "bokehme-small",
        "bokehme-train",
    }


def test_a_recipe_without_the_full_range_is_described_as_before_there_was_the_key():
    assert "full_range" not in load_recipe("default").describe()
    assert load_recipe("blb-levels").describe()["full_range"] is True


def test_drbokeh_benchmark_is_100_scenes_of_five_billboards_with_one_random_blur_and_focus():
    recipe = load_recipe("drbokeh-benchmark")
    assert recipe.scenes == 100
    assert recipe.foregrounds == (4, 4)  # and the background
    assert recipe.random_blur is not None and (recipe.focus, recipe.focus_count) == ("random", 1)


def test_drbokeh_benchmark_is_seen_through_the_lens_of_the_paper_and_drbokeh_thin_through_a_thin_one():
    recipe, thin = load_recipe("drbokeh-benchmark"), load_recipe("drbokeh-thin")
    assert dataclasses.replace(recipe, lens=None, name="drbokeh-thin") == thin
    assert recipe.lens is not None and thin.lens is None
    (lens,) = recipe.lens.draw(np.random.default_rng(0))
    # 512 px at 0.0061 m leave 2.5 degrees to the corners: beyond, the paper's lens is not sharp in focus.
    corner_m = lens.sensor_width_m / np.sqrt(2.0)
    assert 2.4 < np.degrees(np.arctan(1000.0 * corner_m / lens.prescription.focal_length)) < 2.5
    # Two balls of radius 100 that meet in a rim of radius 2.
    ours, theirs = lens.prescription.surfaces, biconvex(100.0, 2.0, 1.5).surfaces
    assert ours[0].thickness == pytest.approx(theirs[0].thickness, rel=1e-12)
    assert [s.radius for s in ours] == [s.radius for s in theirs] and ours[0].glass == theirs[0].glass


def test_mpib_slants_background_and_foregrounds_and_the_others_slant_nothing():
    slanted = {name for name in recipe_names() if load_recipe(name).foreground_slant > 0}
    assert slanted == {"mpib"}
    assert load_recipe("mpib").background_slant > 0


def test_night_has_lights_and_apertures_whose_shape_shows():
    recipe = load_recipe("night")
    assert recipe.night and recipe.lights > load_recipe("default").lights
    assert {type(aperture) for aperture in recipe.apertures} == {Disk, Polygon, Donut}


def test_every_option_is_documented():
    documented = set(re.findall(r"^    ([a-z_]+)  ", Recipe.__doc__ or "", re.MULTILINE))
    assert documented == {field.name for field in dataclasses.fields(Recipe)}


# Files of the user's own


def test_a_key_left_out_has_its_default_and_the_name_is_that_of_the_file(tmp_path):
    recipe = load_recipe(written(tmp_path, "scenes: 3\nblur_parameters: [5, 7.5]\n", "small.yaml"))
    assert recipe == Recipe(name="small", scenes=3, blur_parameters=(5.0, 7.5))


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_described_and_loaded_again_is_the_same(name, tmp_path):
    recipe = load_recipe(name)
    assert load_recipe(written(tmp_path, yaml.safe_dump(recipe.describe()), "other.yaml")) == recipe


def test_an_aperture_may_be_a_picture_beside_the_recipe(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "mask.png"), picture)
    recipe = load_recipe(written(tmp_path, "apertures: [{shape: mask, file: mask.png}]"))
    (aperture,) = recipe.apertures
    assert isinstance(aperture, Mask)
    np.testing.assert_array_equal(aperture.transmission, picture)
    # The description holds the picture itself: dataset.yaml does not depend on a file that may be gone.
    (again,) = load_recipe(written(tmp_path, yaml.safe_dump(recipe.describe()), "again.yaml")).apertures
    assert isinstance(again, Mask)
    np.testing.assert_array_equal(again.transmission, picture)


def test_any_aperture_of_a_recipe_may_have_a_character(tmp_path):
    shape = "{shape: polygon, blades: 7, spherical: 0.8, cat_eye: 1}"
    recipe = load_recipe(written(tmp_path, f"apertures: [{shape}]"))
    assert recipe.apertures == (Character(Polygon(7), spherical=0.8, cat_eye=1.0),)
    assert load_recipe(written(tmp_path, yaml.safe_dump(recipe.describe()), "again.yaml")).apertures == recipe.apertures


def test_a_recipe_that_just_fits_is_taken():
    # Three slants of 2 x 1/32 and two gaps of 1/8 start at 1/4, one gap in front of the background. All sums are exact.
    fits = {"background_disparity": (0.0, 0.125), "disparity_gap": 0.125, "foreground_slant": 0.03125}
    Recipe(name="fits", foregrounds=(3, 3), foreground_disparity=(0.0, 0.6875), **fits)
    with pytest.raises(RecipeError, match="foregrounds"):
        Recipe(name="fits", foregrounds=(3, 3), foreground_disparity=(0.0, 0.6874), **fits)


# What is refused


@pytest.mark.parametrize(
    "text, culprit",
    [
        ("blurs: [1]", "key 'blurs' is unknown"),
        ("1: 2", "the key 1 is not text"),
        ("- scenes", "is not a mapping"),
        ("", "is not a mapping"),
        ("scenes: [", "is not YAML"),
        ("scenes: many", "scenes is 'many'; it must be a whole number"),
        ("scenes: 2.5", "scenes is 2.5"),
        ("scenes: true", "scenes is True"),
        ("scenes: 0", "scenes is 0"),
        ("seed: -1", "seed is -1"),
        ("seed: 1.5", "seed is 1.5; it must be a whole number"),
        ("full_range: true\nforegrounds: [0, 2]", "full_range is True; needs at least one foreground"),
        ("full_range: true\nforeground_slant: 0.01", "full_range is True; needs layers that face the camera"),
        (
            "full_range: true\nbackground_disparity: [0.1, 0.2]\nbackground_slant: 0.05",
            "full_range is True; needs layers that face the camera",
        ),
        ("full_range: 1", "full_range is 1; it must be true or false"),
        ("size_px: 15", "size_px is 15"),
        ("size_px: -512", "size_px is -512"),
        ("noise: 0", "noise is 0.0"),
        ("noise: .nan", "noise is nan; it must be a finite number"),
        ("night: 1", "night is 1; it must be true or false"),
        ("foregrounds: 3", "foregrounds is 3; it must be a list of 2 int values"),
        ("foregrounds: [1, 2, 3]", "foregrounds is [1, 2, 3]"),
        ("foregrounds: [3, 1]", "foregrounds is (3, 1)"),
        ("foregrounds: [-1, 1]", "foregrounds is (-1, 1)"),
        ("foreground_scale: [0, 1]", "foreground_scale is (0.0, 1.0)"),
        ("visible_min: 1", "visible_min is 1.0"),
        ("cluster: 1.5", "cluster is 1.5"),
        ("colour_jitter: 1", "colour_jitter is 1.0"),
        ("rotation_deg: -1", "rotation_deg is -1.0"),
        ("disparity_gap: 0", "disparity_gap is 0.0"),
        ("background_disparity: [0.2, 1.2]", "background_disparity is (0.2, 1.2)"),
        ("foreground_disparity: [0.1, 2]", "foreground_disparity is (0.1, 2.0)"),
        ("focus_range: [0.5, 0.1]", "focus_range is (0.5, 0.1)"),
        ("focus_range: [0, 1.5]", "focus_range is (0.0, 1.5)"),
        ("focus_count: 0", "focus_count is 0"),
        ("focus: nearest", "focus is 'nearest'; must be one of layers, even, random"),
        ("focus: 3", "focus is 3; it must be one of layers, even, random"),
        ("pixel: hexagon", "pixel is 'hexagon'"),
        ("blur_parameters: []", "blur_parameters is ()"),
        ("blur_parameters: [-1]", "blur_parameters is (-1.0,)"),
        ("blur_parameters: [12, .inf]", "blur_parameters is inf"),
        ("blur_parameters: 12", "blur_parameters is 12"),
        ("random_blur: [0, 10]", "random_blur is (0.0, 10.0)"),
        ("random_blur: 10", "random_blur is 10; it must be a list of 2 float values"),
        ("width_px: 300", "width_px is 300; needs height_px beside it"),
        ("width_px: 300\nheight_px: 2", "height_px is 2; must be at least 16 px"),
        (f"{CAMERA}}}\nwidth_px: 300\nheight_px: 300", "has no square pixels in a frame of 300 x 300 px"),
        (f"{CAMERA}}}\n{FRAME}blur_parameters: [3]", "blur_parameters is (3.0,); does not go with a camera"),
        (f"{CAMERA}}}\n{FRAME}foregrounds: [0, 1]", "foregrounds is (0, 1); needs a subject in every scene"),
        (f"{CAMERA}, ground: 2}}\n{FRAME}", "camera: ground is 2.0; must lie in [0, 1]"),
        (f"{CAMERA}, zoom: 2}}\n{FRAME}", "camera has the key 'zoom'; there are focal_length_m"),
        (f"{CAMERA}, tilt_deg: 3}}\n{FRAME}", "camera: tilt_deg is 3; it must be a list of 2 float values"),
        ("camera: 50 mm", "camera is '50 mm'; it must be a mapping"),
        ("camera: {focal_length_m: 0.05}", "camera has no sensor_width_m"),
        ("gammas: []", "gammas is ()"),
        ("gammas: [0]", "gammas is (0.0,)"),
        ("gammas: [30]", "gammas is (30.0,)"),
        ("noise: 5", "noise is 5.0; must lie between 0 and 1"),
        ("foreground_scale: [0.1, 50]", "foreground_scale is (0.1, 50.0)"),
        ("gammas: [2.2, 2.2]", "gammas is (2.2, 2.2); names a value twice"),
        ("apertures: []", "apertures is ()"),
        ("apertures: disk", "apertures is 'disk'; it must be a list"),
        ("apertures: [disk]", "aperture 'disk' must be a mapping"),
        ("apertures: [{shape: star}]", "shape 'star' is unknown"),
        ("apertures: [{shape: polygon, blades: 2}]", "2"),
        ("apertures: [{shape: polygon, blades: six}]", "six"),
        ("apertures: [{shape: polygon, leaves: 6}]", "leaves"),
        ("apertures: [{shape: donut, inner_radius: 1}]", "inner_radius is 1"),
        ("apertures: [{shape: mask, file: nowhere.png}]", "nowhere.png is missing or not a picture"),
        ("apertures: [{shape: mask, file: mine.yaml}]", "mine.yaml is missing or not a picture"),
        ("apertures: [{shape: mask, png_base64: '????'}]", "not a PNG picture"),
        # Twenty foregrounds have nineteen gaps of 0.05. Their range begins one gap in front of 0.3.
        ("foregrounds: [1, 20]", "need 0.95 of disparity in front of the background, there is 0.65"),
        ("foregrounds: [2, 2]\nforeground_slant: 0.2", "foregrounds"),
        # A background that slants beyond infinity, or beyond the nearest plane.
        ("background_slant: 0.1", "background_slant is 0.1; with background_disparity [0.0, 0.3] it leaves [0, 1]"),
        ("foregrounds: [0, 0]\nbackground_disparity: [0.5, 1]\nbackground_slant: 0.1", "background_slant is 0.1"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_with_the_key_and_the_value(text, culprit, tmp_path):
    with pytest.raises(RecipeError) as refusal:
        load_recipe(written(tmp_path, text))
    assert culprit in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "mine" in str(refusal.value)  # the file, or the recipe's name, which comes from it


@pytest.mark.parametrize("name", ["", "..", "../elsewhere"])
def test_a_name_that_names_no_folder_is_refused(name, tmp_path):
    with pytest.raises(RecipeError, match="name is"):
        load_recipe(written(tmp_path, f"name: '{name}'"))


def test_an_unknown_name_lists_those_that_there_are():
    with pytest.raises(RecipeError, match=f"'sunset' is unknown; there are {', '.join(recipe_names())}, or"):
        load_recipe("sunset")


def test_a_missing_file_a_folder_and_a_picture_are_no_recipes(tmp_path):
    with pytest.raises(RecipeError, match=r"nowhere\.yaml: cannot be read \(No such file"):
        load_recipe(str(tmp_path / "nowhere.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(RecipeError, match=r"folder\.yaml: cannot be read \(Is a directory"):
        load_recipe(str(tmp_path / "folder.yaml"))
    cv2.imwrite(str(tmp_path / "picture.png"), np.zeros((16, 16), np.uint8))
    (tmp_path / "picture.png").rename(tmp_path / "picture.yaml")
    with pytest.raises(RecipeError, match=r"picture\.yaml: is not text"):
        load_recipe(str(tmp_path / "picture.yaml"))
