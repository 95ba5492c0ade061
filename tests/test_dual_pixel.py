"""Views of dual pixels: each half of the aperture by itself, which together are the picture."""

import json
import shutil

import numpy as np
import pytest
from scipy import stats
from test_aperture import SHAPES, chi_square, transmission

from bokehdata import images
from bokehdata.format import BokehSetting
from bokehdata.opening import open_cases
from bokehdata.reader import Dataset
from bokehdata.verify import verify
from bokehforge import cli
from raytrace.production import retrace, traced
from raytrace.tracer import Tracer
from scenes.aperture import Character, Disk, Mask, Polygon, aperture_points
from scenes.billboard import Billboard, Scene
from scenes.color import linear_from_display
from scenes.dual_pixel import SIDES, half, half_lens, light_of
from scenes.lens import ThinLens
from scenes.recipe import RecipeError, load_recipe
from scenes.stack import Stack

SIZE, OVERSCAN, RADIUS = 96, 34, 16.0


def light_in_the_middle(disparity: float, *, side_px: int = 1, light: float = 1000.0) -> Scene:
    """A square of light at the centre of a dark plane."""
    rgba = np.zeros((SIZE + 2 * OVERSCAN,) * 2 + (4,), np.float16)
    rgba[..., 3] = 1.0
    lit = slice(OVERSCAN + SIZE // 2 - side_px // 2, OVERSCAN + SIZE // 2 + (side_px + 1) // 2)
    rgba[lit, lit, :3] = light
    return Scene((Billboard(rgba, disparity),), SIZE, SIZE, OVERSCAN)


# The halves


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("aperture", SHAPES.values(), ids=SHAPES)
def test_a_half_has_the_density_of_the_whole_on_its_side_and_nothing_on_the_other(aperture, side):
    rng = np.random.default_rng(7)
    points = half(aperture, side).warp(rng.random(100_000), rng.random(100_000))
    towards = points[:, 0] if side == "right" else -points[:, 0]
    # Cells of a mask are open over their whole width.
    assert towards.min() > -0.01
    # Both halves, each with the share of points that its light is, have the density of the whole.
    other = half(aperture, "left" if side == "right" else "right").warp(rng.random(100_000), rng.random(100_000))
    count = round(60_000 * light_of(aperture, side))
    both = np.concatenate([points[:count], other[: 60_000 - count]])
    statistic, freedom = chi_square(aperture, both)
    assert statistic < stats.chi2.isf(1e-4, freedom)


@pytest.mark.parametrize("aperture", SHAPES.values(), ids=SHAPES)
def test_the_light_of_the_halves_is_that_of_the_whole(aperture):
    assert sum(light_of(aperture, side) for side in SIDES) == pytest.approx(1.0, abs=1e-6)
    x, y = np.random.default_rng(0).uniform(-1.0, 1.0, (2, 400_000))
    light = transmission(aperture, x, y)
    assert light_of(aperture, "right") == pytest.approx(light[x >= 0].sum() / light.sum(), abs=0.005)


@pytest.mark.parametrize("aperture", [Disk(), Polygon(5, rotation_deg=20.0), Mask(np.full((7, 7), 255, np.uint8))])
def test_a_half_lets_through_what_the_whole_does(aperture):
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (1000, 2))
    by_halves = sum(half(aperture, side).transmission_at(points) for side in SIDES)
    off_the_middle = np.abs(points[:, 0]) > 1.0 / 7.0
    np.testing.assert_allclose(by_halves[off_the_middle], aperture.transmission_at(points)[off_the_middle])


def test_the_set_of_points_of_a_half_is_as_even_as_that_of_a_whole():
    points = aperture_points(half(Disk(), "right"), 50_000)
    mirrored = points * [-1.0, 1.0]
    statistic, freedom = chi_square(Disk(), np.concatenate([points, mirrored]))
    assert statistic < 0.1 * freedom


# The views


@pytest.mark.parametrize(("disparity", "sign"), [(0.0, 1.0), (1.0, -1.0)], ids=["behind the focus", "in front of it"])
def test_a_point_of_light_is_half_a_disc_upright_behind_the_focus_and_turned_in_front(disparity, sign):
    scene = light_in_the_middle(disparity)
    lens = ThinLens(2.0 * RADIUS, 0.5)
    for side, direction in (("left", -1.0), ("right", 1.0)):
        disc = Tracer().render(scene, half_lens(lens, side), samples=4096).linear[0][..., 0]
        x = np.arange(SIZE) - SIZE // 2
        centroid = float((disc.sum(axis=0) * x).sum() / disc.sum())
        # Of half a disc: 4 r / (3 pi) from its straight side.
        assert centroid == pytest.approx(sign * direction * 4.0 * RADIUS / (3.0 * np.pi), abs=0.1)
        # With the exposure of the whole, on half its area.
        assert disc.sum() == pytest.approx(1000.0, rel=1e-3)


def test_the_picture_is_the_mean_of_its_views_and_of_the_whole_lens():
    scene, stack = (
        light_in_the_middle(0.1, side_px=24, light=0.8),
        Stack((RADIUS,), (0.9,), (2.2, 5.0), Polygon(5, rotation_deg=20.0), dual_pixel=True),
    )
    renders = traced(Tracer(), scene, stack, 0, 0, stack.gammas, 0.002)
    assert list(renders) == ["", "left", "right"]
    left, right = (light_of(stack.aperture, side) for side in SIDES)
    mean = left * renders["left"].linear + right * renders["right"].linear
    np.testing.assert_allclose(renders[""].linear, mean, rtol=1e-5)
    direct = Tracer().render(scene, stack.lens(0, 0), gammas=stack.gammas, samples=8192).linear
    for gamma, ours, theirs in zip(stack.gammas, renders[""].linear, direct, strict=True):
        shown = [np.clip(linear, 0.0, 1.0) ** (1.0 / gamma) for linear in (ours, theirs)]
        assert np.sqrt(np.mean((shown[0] - shown[1]) ** 2)) < 0.004
    again = retrace(Tracer(), scene, stack, BokehSetting(0, 0, 5.0, "left"), 0.002)
    np.testing.assert_allclose(again, renders["left"].linear[1], rtol=1e-5)


def test_a_second_stop_has_no_halves():
    with pytest.raises(ValueError, match="dual_pixel is True; only thin lenses"):
        Stack((4.0,), (0.5,), aperture=Character(Disk(), cat_eye=0.5), dual_pixel=True)
    with pytest.raises(ValueError, match=r"cat_eye is 0\.5; an aperture with a second stop has no halves"):
        half(Character(Disk(), cat_eye=0.5), "left")


# On disk


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two gammas, and an aperture whose halves differ."""
    root = tmp_path_factory.mktemp("dual")
    recipe = root / "dual.yaml"
    recipe.write_text(
        "size_px: 48\nblur_parameters: [8]\nfocus_count: 2\ngammas: [2.2, 5]\nnoise: 0.02\ndual_pixel: true\n"
        "apertures:\n- {shape: polygon, blades: 5, rotation_deg: 20}\n"
    )
    options = ("--recipe", str(recipe), "--scenes", "2", "--workers", "1", "--arch", "cpu")
    assert cli.main(["gen", *options, "--out", str(root / "set")]) == 0
    return root / "set"


def test_a_dataset_has_both_views_of_every_picture_and_is_whole(dataset):
    folder = Dataset(dataset)[0]
    names = sorted(path.name for path in folder.path.glob("bokeh_00_00*"))
    assert names == sorted(f"bokeh_00_00{gamma}{view}.exr" for gamma in ("", "_g5") for view in ("", "_left", "_right"))
    assert len(json.loads((folder.path / "info.json").read_text())["noise_rmse"]) == 12
    report = verify(dataset, retrace=lambda *args: retrace(Tracer(), *args))
    assert not report.problems and report.retraced is not None


def test_views_are_no_pictures_of_the_stack(dataset):
    folder = Dataset(dataset)[0]
    assert len(folder.bokeh_settings()) == 4 and not any(setting.half for setting in folder.bokeh_settings())
    cases = open_cases(dataset)
    assert len(cases) == 8
    # Where the all-in-focus picture is given, they are those of the truth.
    left, right = (linear_from_display(cases[0].views()[side]) for side in SIDES)
    share = light_of(cases[0].aperture, "left")
    np.testing.assert_allclose(share * left + (1 - share) * right, folder.bokeh(0, 0), rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("gamma", ["", "_g5"])
def test_a_view_that_is_not_its_half_is_a_problem(dataset, tmp_path, gamma):
    copy = shutil.copytree(dataset, tmp_path / "copy")
    (copy / "index.jsonl").unlink(), (copy / "dataset.yaml").unlink()
    path = copy / "000001" / f"bokeh_00_01{gamma}_left.exr"
    images.write_linear(path, images.read_linear(path) * np.float32(1.01))
    (problem,) = verify(copy).problems
    assert str(problem).startswith(f"000001/bokeh_00_01{gamma}.exr: is not the mean of its left and right views")


def test_a_recipe_like_dpdd_has_views_of_its_input(tmp_path):
    options = ("--recipe", "dpdd-like", "--scenes", "1", "--size", "96", "--noise", "0.05", "--workers", "1")
    assert cli.main(["gen", *options, "--arch", "cpu", "--out", str(tmp_path / "set")]) == 0
    folder = Dataset(tmp_path / "set")[0]
    assert folder.info["f_stops"] == [4.0, 22.0]
    left, right = (folder.bokeh(0, 0, half=side) for side in SIDES)
    assert np.abs(left - right).max() > 0.01
    (case,) = open_cases(tmp_path / "set")
    assert case.name == "000000/bokeh_01_00"
    # As DPDD's own are: of the picture that is given.
    np.testing.assert_allclose(np.mean([*case.views().values()], axis=0), case.image(), atol=0.05)
    np.testing.assert_allclose(linear_from_display(case.views()["left"]), left, rtol=1e-4, atol=1e-6)
    assert not verify(tmp_path / "set").problems


@pytest.mark.parametrize(
    "key", ["apertures: [{shape: disk, cat_eye: 0.5}]", "lens: {prescriptions: [tessar], sensor_width_m: 0.036}"]
)
def test_a_recipe_of_lenses_without_halves_is_refused(tmp_path, key):
    (tmp_path / "own.yaml").write_text(f"{key}\ndual_pixel: true\n")
    with pytest.raises(RecipeError, match="dual_pixel is True; needs thin lenses with one stop"):
        load_recipe(str(tmp_path / "own.yaml"))
