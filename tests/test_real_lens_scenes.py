"""Scenes that are traced through real lenses: from the recipe to the files and back."""

import shutil

import numpy as np
import pytest
import yaml

from bokehdata.format import DatasetError
from bokehdata.opening import open_cases
from bokehforge import verify
from raytrace import gen
from renderers import RENDERERS
from scenes.color import display_rmse, linear_from_display
from scenes.lens import ThinLens
from scenes.prescription import load_prescription
from scenes.recipe import RecipeError, load_recipe
from scenes.sampling import sample_scene
from scenes.thick_lens import Paraxial, ThickLens

LENS = {
    "prescriptions": ["petzval-kodak", "singlet"],
    "sensor_width_m": 0.024,
    "focal_length_m": 0.05,
    "f_number": [4.0, 4.0],
    "swap": True,
}


def recipe_file(tmp_path, **changes):
    keys = {"foregrounds": [1, 1], "blur_parameters": [9], "focus_count": 1, "noise": 0.01, "size_px": 48}
    path = tmp_path / "swapped.yaml"
    path.write_text(yaml.safe_dump({**keys, "lens": {**LENS, **changes}}))
    return path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, taichi_cpu):
    folder = tmp_path_factory.mktemp("real")
    out = folder / "out"
    arguments = ["--recipe", str(recipe_file(folder)), "--scenes", "1", "--out", str(out)]
    assert gen.main([*arguments, "--workers", "1", "--arch", "cpu"]) == 0
    return out


def test_a_scene_is_traced_through_every_lens_to_be_swapped(dataset):
    through = open_cases(dataset)
    assert [case.name for case in through] == ["000000/bokeh_00_00", "000000/bokeh_01_00"]
    lenses = [case.lens() for case in through]
    assert all(isinstance(lens, Paraxial) and isinstance(lens.real, ThickLens) for lens in lenses)
    assert [lens.real.prescription.name.split()[0] for lens in lenses] == ["Petzval", "Equi-convex"]
    # A search for the best blur parameter comes by the true one; at others nobody knows the lens.
    assert isinstance(through[0].lens(9.0), Paraxial) and not isinstance(through[0].lens(8.9), Paraxial)
    # One paraxial blur for both: what differs is the character.
    assert {lens.blur_parameter for lens in lenses} == {9.0}
    for lens in lenses:
        assert lens.real.blur_parameter == pytest.approx(9.0, rel=1e-9)
        assert lens.real.system.paraxial.entrance_pupil_radius == pytest.approx(50.0 / 8.0, rel=1e-9)
    pictures = [linear_from_display(case.truth()) for case in through]
    assert display_rmse(*pictures) > 0.03


def test_the_oracle_looks_through_the_same_lens(dataset):
    for case in open_cases(dataset):
        image, disparity, lens, layers = case.image(), case.disparity(), case.lens(), case.layers()

        def error(lens, case=case, known=(image, disparity), layers=layers):
            traced = RENDERERS["oracle-layers"](*known, lens, scene=layers)
            return display_rmse(linear_from_display(traced), linear_from_display(case.truth()))

        # Both have noise: 0.01 and 0.002.
        assert error(lens) < 0.012
        assert error(ThinLens(lens.blur_parameter, lens.focus_disparity)) > 1.5 * error(lens)


def test_verify_traces_it_again(dataset, capsys):
    assert verify.main([str(dataset)]) == 0
    assert "traced again" in capsys.readouterr().out


def test_a_lens_of_a_scene_that_is_none_is_named(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "copy")
    scene = tmp_path / "copy/000000/scene.yaml"
    document = yaml.safe_load(scene.read_text())
    document["lenses"][0]["f_number"] = 0
    scene.write_text(yaml.safe_dump(document))
    with pytest.raises(DatasetError, match=r"scene\.yaml: .*f_number is 0"):
        open_cases(tmp_path / "copy")


def test_rays_that_stray_stay_on_the_layers(taichi_cpu, tmp_path):
    recipe = load_recipe(str(recipe_file(tmp_path, prescriptions=["singlet", "achromat"])))
    for seed in range(4):
        scene, stack = sample_scene(recipe, rng=np.random.default_rng(seed))
        for blur_index, focus_index, _ in stack.lenses():
            scene.require_overscan(stack.traced_lens(blur_index, focus_index, scene.width, scene.height))


def test_each_scene_has_one_of_the_lenses_and_an_f_number_of_its_own(tmp_path):
    path = recipe_file(tmp_path, prescriptions=["biotar", "tessar"], swap=False, f_number=[2.0, 8.0])
    recipe, drawn = load_recipe(str(path)), []
    for seed in range(40):
        (lens,) = recipe.lens.draw(np.random.default_rng(seed))
        drawn.append((lens.prescription.name.split()[0], lens.f_number))
    names = [load_prescription(name).name.split()[0] for name in ("biotar", "tessar")]
    assert {name for name, _ in drawn} == set(names)
    of_biotar, of_tessar = ([n for of, n in drawn if of == name] for name in names)
    assert min(of_biotar) < 3.2 and max(of_biotar) > 6.0
    # The Tessar opens to f/2.7.
    assert min(of_tessar) == pytest.approx(2.72, abs=0.02)


def test_the_thin_twin_of_a_recipe_has_the_same_scenes_and_blur(tmp_path):
    drawn = []
    for thin in (False, True):
        recipe = load_recipe(str(recipe_file(tmp_path, swap=False, thin=thin)))
        drawn.append(sample_scene(recipe, rng=np.random.default_rng(4)))
    (scene, stack), (twin, of_twin) = drawn
    assert stack.mounts and not of_twin.mounts
    assert twin.overscan == scene.overscan
    for layer, other in zip(scene.layers, twin.layers, strict=True):
        assert layer.disparity == other.disparity
        np.testing.assert_array_equal(layer.rgba, other.rgba)
    assert list(stack.lenses()) == list(of_twin.lenses())
    assert of_twin.traced_lens(0, 0, scene.width, scene.height) == stack.lens(0, 0)


def test_a_lens_that_does_not_light_the_frame_is_named(taichi_cpu, tmp_path, capsys):
    recipe = recipe_file(tmp_path, prescriptions=["petzval-kodak"], sensor_width_m=0.045, f_number=[2.2, 2.2])
    assert gen.main(["--recipe", str(recipe), "--scenes", "1", "--out", str(tmp_path / "out"), "--workers", "1"]) == 2
    assert "use a smaller sensor_width_m" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"prescriptions": ["jupiter"]}, "lens 'jupiter' is unknown"),
        ({"prescriptions": []}, "prescriptions needs at least one name"),
        ({"f_number": [4.0, 2.0]}, "0 < low <= high"),
        ({"sensor_width_m": 0}, "sensor_width_m is 0"),
        ({"exposure": "bright"}, "exposure is 'bright'"),
        ({"wavelengths": 99}, "wavelengths is 99"),
        ({"colour": 1}, "lens has the key 'colour'"),
    ],
)
def test_what_is_no_kit_of_lenses_is_named(tmp_path, changes, message):
    with pytest.raises(RecipeError, match=message.replace("[", "\\[")):
        load_recipe(str(recipe_file(tmp_path, **changes)))
