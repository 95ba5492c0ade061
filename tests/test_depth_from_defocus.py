"""Depth from defocus: known depth is found, the side of the focus too, and the loss says what the paper's says."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bokehdata.cases import MemoryCase
from bokehdata.images import read_exr_plane, write_exr_plane, write_png
from bokehdata.torch_data import CropSettings, sample_of
from bokehforge import depth
from renderers import RENDERERS
from scenes.billboard import Billboard, Scene
from scenes.color import display_from_linear, linear_from_display
from scenes.lens import ThinLens

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file
ddf = pytest.importorskip("inverse.depth_from_defocus.fit")
losses = pytest.importorskip("inverse.depth_from_defocus.losses")
renderings = pytest.importorskip("inverse.depth_from_defocus.renderings")
network = pytest.importorskip("inverse.depth_from_defocus.network")
from inverse.depth_from_defocus.problem import Pair, ProblemError  # noqa: E402
from inverse.depth_from_defocus.scores import scores  # noqa: E402
from training.models.defocus_depth import DEFOCUS_DEPTH, defocus_depth_planes  # noqa: E402

SIDE = 56


def texture(seed: int = 0, side: int = SIDE) -> np.ndarray:
    """Display values with detail of all sizes from a pixel on."""
    rng = np.random.default_rng(seed)
    picture = sum(cv2.GaussianBlur(rng.random((side, side, 3)), (0, 0), s) * s for s in (0.6, 1.5, 4.0))
    return ((picture - picture.min()) / np.ptp(picture)).astype(np.float32)


def pair_of(sharp: np.ndarray, disparity: np.ndarray, lens: ThinLens, **more) -> Pair:
    """Blurred by the classical Dr.Bokeh, whose code shares nothing with what the fit renders by."""
    return Pair(sharp, RENDERERS["drbokeh-single"](sharp, disparity, lens), lens, **more)


def slanted() -> np.ndarray:
    """From 0.1 on the left to 0.9 on the right."""
    return np.tile(np.linspace(0.1, 0.9, SIDE, dtype=np.float32), (SIDE, 1))


# 0.04 of disparity is a third of a pixel of radius. The others do not blur as the truth was: the stack is flat within
# each window of its kernel, and a Gaussian has no rim.
@pytest.mark.parametrize(
    "method, most", [("drbokeh", 0.04), ("drbokeh-no-occlusion", 0.05), ("aperture", 0.08), ("gaussian", 0.15)]
)
def test_a_slanted_plane_is_found_by_every_method(method, most):
    pair = pair_of(texture(), slanted(), ThinLens(8.0, 1.0))
    found = ddf.fit(pair, ddf.FitSettings(method=method, steps=25))
    inside = (slice(8, -8), slice(8, -8))
    error = np.abs(found.disparity - slanted())[inside]
    assert error.mean() < most
    assert np.median(np.abs(found.rendered - pair.blurred)[inside]) < 0.02


def test_the_descent_finds_more_than_the_stack_that_it_begins_from():
    pair = pair_of(texture(1), slanted(), ThinLens(8.0, 1.0))
    start, end = (ddf.fit(pair, ddf.FitSettings(steps=steps, planes=7)) for steps in (0, 30))
    errors = [np.abs(found.disparity - slanted()).mean() for found in (start, end)]
    assert errors[1] < 0.7 * errors[0]
    assert end.losses[-1] < end.losses[0]


def test_the_best_of_a_descent_is_kept():
    """Steps of this length end farther away than they begin."""
    pair = pair_of(texture(1), slanted(), ThinLens(8.0, 1.0))
    found = ddf.fit(pair, ddf.FitSettings(steps=4, learning_rate=0.3), start=slanted())
    assert found.losses[0] < min(found.losses[1:])
    np.testing.assert_allclose(found.disparity, slanted(), atol=1e-6)


def test_what_is_in_focus_learns_of_what_is_far_nearer():
    """The leak of the released code: without it tanh has no derivative left there (methods, 9.2)."""
    linear = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    relative = torch.tensor([[[[0.0, 0.9]]]], requires_grad=True)
    renderings.drbokeh(linear, relative, 2.0)[0, 0, 0, 0].backward()
    assert abs(float(relative.grad[0, 0, 0, 0])) > 1e-5


@pytest.mark.slow
def test_a_slanted_plane_is_found_from_a_constant():
    """Of its own rendering, by 500 steps of Adam: within 0.01 (methods, 9.2, ask for 0.02).

    The constant is half-way between the ends of the plane. From 0.3 and 0.95 some pixels stay up to 0.7 and 0.5 wrong,
    and the means are 0.017 and 0.041: a descent begins from a focal stack for this reason.
    """
    truth = np.tile(np.linspace(0.1, 0.9, 40, dtype=np.float32), (40, 1))
    sharp, lens = texture()[:40, :40], ThinLens(8.0, 1.0)
    pair = Pair(sharp, network.rendered_by(Pair(sharp, sharp, lens), truth), lens)
    settings = ddf.FitSettings(steps=500, loss=replace(losses.Loss(), smoothness=0.5))
    found = ddf.fit(pair, settings, start=np.full_like(truth, 0.5))
    assert np.abs(found.disparity - truth)[8:-8, 8:-8].mean() < 0.01


def test_the_unit_of_the_lens_does_not_matter():
    """1/m instead of normalized: K in pixels per 1/m, a range from 0.5 to 2.5."""
    sharp, lens = texture(), ThinLens(4.0, 2.5)
    disparity = 0.5 + 2.0 * slanted()
    blurred = pair_of(sharp, slanted(), ThinLens(8.0, 1.0)).blurred
    settings = ddf.FitSettings(steps=10)
    metric = ddf.fit(Pair(sharp, blurred, lens, 0.5, 2.5), settings).disparity
    normalized = ddf.fit(Pair(sharp, blurred, ThinLens(8.0, 1.0)), settings).disparity
    np.testing.assert_allclose(metric, 0.5 + 2.0 * normalized, atol=1e-5)
    assert np.abs(metric - disparity).mean() < 0.1


def square(inner: float, outer: float) -> tuple[np.ndarray, np.ndarray, Scene]:
    """A textured square at disparity `inner` in the middle of a plane at `outer`, and its disparity and layers."""
    overscan = 12
    side = SIDE + 2 * overscan
    near, far = (np.ones((side, side, 4), np.float16) for _ in range(2))
    near[..., :3], far[..., :3] = texture(2, side) ** 2.2, texture(3, side) ** 2.2
    near[..., 3] = 0.0
    near[30:50, 30:50, 3] = 1.0
    scene = Scene((Billboard(near, inner), Billboard(far, outer)), SIDE, SIDE, overscan)
    return display_from_linear(scene.composite()), scene.composite_disparity(), scene


@pytest.mark.parametrize("focus, inner, outer", [(0.5, 0.5, 0.0), (0.5, 1.0, 0.5)])
def test_the_side_of_the_focus_is_told_by_what_hides_what(focus, inner, outer):
    """A square in focus before a blurred plane, or a blurred square before a plane in focus."""
    sharp, disparity, scene = square(inner, outer)
    lens = ThinLens(16.0, focus)
    blurred = RENDERERS["layers-over"](sharp, disparity, lens, scene=scene)
    found = ddf.fit(Pair(sharp, blurred, lens), ddf.FitSettings(steps=4, planes=17))
    blurs = outer if outer != focus else inner
    there = np.abs(disparity - blurs) < 0.01
    assert np.median(found.disparity[there]) == pytest.approx(blurs, abs=0.12)


def test_occlusion_keeps_the_rim_of_what_is_in_focus():
    """The picture of a sharp square before a blurred plane: without O, the plane spills over its rim."""
    sharp, disparity, scene = square(1.0, 0.0)
    lens = ThinLens(8.0, 1.0)
    truth = RENDERERS["layers-over"](sharp, disparity, lens, scene=scene)
    pair = Pair(sharp, truth, lens)
    rim = np.zeros((SIDE, SIDE), bool)
    rim[18:38, 18:38] = True
    rim[20:36, 20:36] = False
    linear, _ = pair.tensors()
    relative = torch.from_numpy(disparity)[None, None] - 1.0
    errors = {}
    for name in ("drbokeh", "drbokeh-no-occlusion"):
        rendered = renderings.RENDERINGS[name](linear, relative, 8.0)[0].permute(1, 2, 0).numpy()
        errors[name] = np.abs(display_from_linear(np.maximum(rendered, 0.0)) - truth)[rim].mean()
    assert errors["drbokeh"] < 0.5 * errors["drbokeh-no-occlusion"]


def test_a_gaussian_has_the_variance_of_the_disk():
    """sigma = r / 2: the mean of rho^2 over a disk is r^2 / 2."""
    linear, side = torch.zeros(1, 3, 41, 41, dtype=torch.float64), np.arange(41) - 20
    linear[..., 20, 20] = 1.0
    blurred = renderings.gaussian(linear, torch.full((1, 1, 41, 41), -0.7, dtype=torch.float64), 8.0)[0, 0].numpy()
    rho_2 = np.add.outer(side**2, side**2)
    # Between the two standard deviations that are mixed; kernels end at three of them.
    assert (blurred * rho_2).sum() / blurred.sum() == pytest.approx(5.6**2 / 2.0, rel=0.05)


def test_the_dissimilarity_of_eleven_is_that_of_plain_means():
    rng = np.random.default_rng(4)
    a, b = (torch.from_numpy(rng.random((1, 3, 17, 19))) for _ in range(2))
    values = []
    for y, x in np.ndindex(7, 9):
        p, g = (t[0, :, y : y + 11, x : x + 11].reshape(3, -1).numpy() for t in (a, b))
        mp, mg, c = p.mean(1), g.mean(1), ((p - p.mean(1)[:, None]) * (g - g.mean(1)[:, None])).mean(1)
        luminance = (2 * mp * mg + 1e-4) / (mp**2 + mg**2 + 1e-4)
        values.append(luminance * (2 * c + 9e-4) / (p.var(1) + g.var(1) + 9e-4))
    assert float(losses.dissimilarity(a, b, (11,))) == pytest.approx(1.0 - np.mean(values), abs=1e-9)
    assert float(losses.dissimilarity(a, a, losses.WINDOWS_PX)) == pytest.approx(0.0, abs=1e-9)


def test_a_step_of_disparity_costs_less_where_the_picture_steps():
    disparity, sharp = torch.zeros(1, 1, 32, 32), torch.zeros(1, 3, 32, 32)
    disparity[..., 16:] = 1.0
    plain = float(losses.roughness(disparity, sharp, 10.0))
    sharp[..., 16:] = 1.0
    assert float(losses.roughness(disparity, sharp, 10.0)) < 1e-3 * plain
    # Eq. 14 as printed: a step from black to white costs exp(-1) of it.
    assert float(losses.roughness(disparity, sharp, 1.0)) == pytest.approx(plain * np.exp(-1.0), rel=1e-5)


def test_scores_are_those_of_the_literature():
    true = np.full((SIDE, SIDE), 0.5, np.float32)
    pair = pair_of(texture(), true, ThinLens(8.0, 1.0))
    off = true.copy()
    off[: SIDE // 2] = 0.75
    numbers = scores(pair, ddf.Fit(off, pair.blurred, ()), true)
    # Of depth: 1 / 0.75 is a third less than 1 / 0.5.
    assert numbers["abs_rel"] == pytest.approx(1.0 / 6.0)
    assert numbers["depth_rmse"] == pytest.approx(0.25 / np.sqrt(2.0))
    assert numbers["delta"] == pytest.approx(0.5)
    assert (numbers["rmse"], numbers["ssim"]) == (0.0, 1.0)
    # What may occur does not change what depth is, nor does its unit.
    for unit, (farthest, nearest) in ((1.0, (0.4, 1.0)), (4.0, (0.0, 4.0)), (4.0, (1.9, 3.1))):
        given = pair_of(texture(), true, ThinLens(8.0, 1.0)), ThinLens(8.0 / unit, unit)
        moved = replace(given[0], lens=given[1], farthest=farthest, nearest=nearest)
        again = scores(moved, ddf.Fit(unit * off, pair.blurred, ()), unit * true)
        assert again["abs_rel"] == pytest.approx(numbers["abs_rel"]) and again["delta"] == numbers["delta"]


def test_the_network_has_its_parameters_and_takes_any_size():
    net = network.DefocusDepthNet()
    assert sum(p.numel() for p in net.parameters()) == 275_169
    pictures = torch.rand(2, 2, 3, 37, 50)
    with torch.inference_mode():
        found = net(*pictures, torch.tensor([4.0, 9.0]), torch.tensor([1.0, 0.0]))
    assert found.shape == (2, 1, 37, 50) and 0.0 <= float(found.min()) < float(found.max()) <= 1.0


def test_the_untrained_network_knows_the_focal_stack(tmp_path):
    """It begins where a fit begins; training only changes what each plane costs."""
    pair = pair_of(texture(), slanted(), ThinLens(8.0, 1.0))
    net = network.DefocusDepthNet()
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    found = network.estimated(pair, tmp_path / "net.safetensors")
    # Planes lie 0.043 apart, and their mean under the softmax is drawn to the middle.
    assert np.abs(found - slanted()).mean() < 0.08


@pytest.mark.parametrize(
    "change, words",
    [
        ({"blurred": np.zeros((SIDE, SIDE - 1, 3), np.float32)}, "must have one size"),
        ({"lens": ThinLens(0.5, 1.0)}, "below 1 px"),
        ({"farthest": 1.0}, "the first must be smaller"),
    ],
)
def test_what_tells_nothing_of_depth_is_refused(change, words):
    given = {"sharp": texture(), "blurred": texture(), "lens": ThinLens(8.0, 1.0), **change}
    with pytest.raises(ProblemError, match=words):
        Pair(**given)


def test_the_command_writes_depth_a_picture_and_scores(tmp_path, capsys):
    pair = pair_of(texture(), slanted(), ThinLens(8.0, 1.0))
    write_png(tmp_path / "sharp.png", pair.sharp)
    write_png(tmp_path / "blurred.png", pair.blurred)
    write_exr_plane(tmp_path / "true.exr", slanted())
    pictures = [str(tmp_path / "sharp.png"), str(tmp_path / "blurred.png")]
    wanted = ["--focus", "1", "--blur", "8", "--out", str(tmp_path / "depth.exr"), "--steps", "5"]
    more = ["--truth", str(tmp_path / "true.exr"), "--picture", str(tmp_path / "look.jpg")]
    assert depth.main([*pictures, *wanted, *more]) == 0
    found = 1.0 / read_exr_plane(tmp_path / "depth.exr")
    assert np.abs(found - slanted()).mean() < 0.08
    assert cv2.imread(str(tmp_path / "look.jpg")).shape[1] > 900
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["delta"] > 0.8
    again = (tmp_path / "depth.exr").read_bytes()
    assert depth.main([*pictures, *wanted]) == 0
    assert (tmp_path / "depth.exr").read_bytes() == again


@pytest.mark.parametrize(
    "options, words",
    [
        (["--method", "magic"], "--method is 'magic'"),
        (["--loss", "L2"], "--loss is 'L2'"),
        (["--steps", "0"], "--steps is 0"),
        (["--blur", "0.1"], "below 1 px"),
        (["--out", "depth.png"], "must end in .exr"),
        (["--picture", "missing/look.png"], "there is no folder"),
        (["--nearest", "0"], "the first must be smaller"),
        (["--method", "network", "--weights", "no.safetensors"], "no.safetensors"),
    ],
)
def test_the_command_refuses_what_it_cannot_use(tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    write_png(tmp_path / "sharp.png", texture())
    given = ["sharp.png", "sharp.png", "--focus", "1", "--blur", "8", "--out", "depth.exr"]
    assert depth.main([*given, *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "depth.exr").exists()


@pytest.mark.slow
def test_the_tables_resume(tmp_path):
    command = Path(__file__).parents[1] / "benchmarks" / "depth_from_defocus.py"
    gen = Path(__file__).parents[1] / "raytrace" / "gen.py"
    data, out = tmp_path / "data", tmp_path / "out"
    made = [sys.executable, gen, "--recipe", "bokehme-small", "--scenes", "2", "--size", "64", "--out", data]
    subprocess.run(made, check=True, capture_output=True)
    run = [sys.executable, command, "--data", data, "--out", out, "--size", "64", "--steps", "2", "--workers", "1"]
    subprocess.run(run, check=True, capture_output=True)
    rows, tables = (out / "rows.jsonl").read_text(), (out / "tables.md").read_text()
    assert "| Dr.Bokeh |" in tables and "0.0123 / 0.9807 / 38.4422" in tables
    # A run that was killed in the middle of a line.
    (out / "rows.jsonl").write_text("".join(rows.splitlines(keepends=True)[:-2]) + '{"key": "da')
    subprocess.run(run, check=True, capture_output=True)
    assert sorted((out / "rows.jsonl").read_text().splitlines()) == sorted(rows.splitlines())
    assert (out / "tables.md").read_text() == tables


# Its training


def lens_sample(seed: int) -> dict[str, torch.Tensor]:
    """Two layers of texture, seen whole: a disk in front of a plane."""
    y, x = np.mgrid[:80, :80]
    disk = (np.hypot(y - 40, x - 40) < 22).astype(np.float32)
    layers = [
        Billboard(np.dstack([linear_from_display(np.tile(texture(i), (2, 2, 1))[:80, :80]), alpha]).astype("f2"), at)
        for i, (alpha, at) in enumerate(((disk, 0.8), (np.ones_like(disk), 0.2)))
    ]
    scene = Scene(tuple(layers), 80, 80, 0)
    planes = (display_from_linear(scene.composite()),) * 2 + (scene.composite_disparity(),)
    case = MemoryCase(name="disk", scene="disk", planes=planes, true_layers=scene)
    made = sample_of(
        case, CropSettings(80, 0, 0.0, turned=False), defocus_depth_planes, rng=np.random.default_rng(seed)
    )
    return {name: plane[None] for name, plane in made.items() if isinstance(plane, torch.Tensor)}


@pytest.mark.parametrize("seed", range(4))
def test_a_sample_is_blurred_as_its_disparity_and_its_lens_say(seed):
    sample = lens_sample(seed)
    blur_parameter, focus = (float(v) for v in sample["lens"][0])
    assert 3.0 <= blur_parameter <= 12.0 and focus in (0.0, 1.0)
    disparity = sample["disparity"][0, 0].numpy()
    radius = blur_parameter * np.abs(disparity - focus)
    change = (sample["truth"] - sample["image"]).abs().mean(1)[0].numpy()
    y, x = np.mgrid[:80, :80]
    # Away from the rim of the disk, whose blur covers what is behind it.
    away = np.abs(np.hypot(y - 40, x - 40) - 22) > 14
    assert change[away & (radius < 0.4)].size == 0 or change[away & (radius < 0.4)].mean() < 0.03
    assert change[away & (radius > 2.0)].mean() > 0.04


def test_the_objective_is_least_for_the_true_disparity(monkeypatch):
    training = DEFOCUS_DEPTH.build(DEFOCUS_DEPTH.presets["cpu"], 10, {})
    for seed in range(3):
        sample = lens_sample(seed)
        losses_of = []
        for told in (sample["disparity"], 1.0 - sample["disparity"], torch.full_like(sample["disparity"], 0.5)):
            monkeypatch.setattr(training.network, "forward", lambda *given, told=told: told)
            losses_of.append(float(training.objective(sample)["loss"]))
        assert losses_of[0] < 0.8 * min(losses_of[1:])
