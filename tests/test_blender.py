"""Cycles as ground truth: its blur radius, its agreement with the tracer, its depth, noise, layers and files."""

import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from blender_scripts import billboards, production, render_blb, views
from blender_scripts.camera import Camera, blender_lens
from blender_scripts.job import RenderJob, Sampling
from blender_scripts.lens_points import VIEWS_MAX
from blender_scripts.passes import Passes, read_passes
from blender_scripts.process import BlenderProcess
from blender_scripts.refusal import Refusal
from blender_scripts.scene_names import SCENE_NAMES
from blender_scripts.views import Views
from bokehdata import images
from bokehdata.kinds.camera import CameraFolder
from bokehdata.kinds.light_field import LightFieldFolder
from bokehdata.reader import Dataset
from bokehdata.verify import verify
from bokehdata.writer import DatasetWriter
from raytrace.tracer import Tracer
from runtime import backend
from scenes.aperture import Disk, Polygon, aperture_points
from scenes.billboard import Billboard, Scene
from scenes.color import HALF_MAX, REFERENCE_GAMMA, display_rmse
from scenes.lens import ThinLens, disparity_from_distance
from scenes.stack import Stack

pytestmark = pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="bokehforge[blender] is not installed")

SIZE = ["--width", "48", "--height", "32"]
TINY = [*SIZE, "--blur-levels", "1", "--focus-count", "2", "--samples", "8", "--device", "cpu", "--stack", "direct"]


@pytest.fixture(scope="module")
def blender():
    with BlenderProcess() as process:
        yield process


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """The first two built-in scenes, with layers, in a folder whose name Blender would take for a variable."""
    out = tmp_path_factory.mktemp("blender") / "set {blend_name}"
    assert render_blb.main([*TINY, "--scenes", "2", "--layers", "3", "--out", str(out)]) == 0
    return Dataset(out)


def _bytes(root) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


# Billboards, rendered by Cycles.


def _load(blender: BlenderProcess, scene: Scene, folder) -> None:
    npz = folder / "scene.npz"
    billboards.export(scene, npz)
    size = {"width": scene.width, "height": scene.height}
    blender.ask({"do": "load", "kind": "billboards", "npz": str(npz), "device": "cpu", **size})


def _render(blender: BlenderProcess, scene: Scene, lens: ThinLens, folder, *, samples: int, seed: int) -> Passes:
    exr = folder / "render.exr"
    settings = {"adaptive_threshold": None, "denoise": False, "slice": None, "overscan": 0}
    camera = billboards.nominal_camera(scene)
    blender.ask(
        {
            "do": "render",
            "exr": str(exr),
            "samples": samples,
            "seed": seed,
            "lens": blender_lens(lens, camera),
            **settings,
        }
    )
    return read_passes(exr)


def _spot_scene(disparity: float, x: int, y: int, *, width=80, height=64, overscan=4) -> Scene:
    """A light of 3 x 3 texels around pixel (x, y) of the frame, in front of black."""
    shape = (height + 2 * overscan, width + 2 * overscan, 4)
    spot, black = np.zeros(shape, np.float16), np.zeros(shape, np.float16)
    spot[y + overscan - 1 : y + overscan + 2, x + overscan - 1 : x + overscan + 2] = (100.0, 100.0, 100.0, 1.0)
    black[..., 3] = 1.0
    return Scene((Billboard(spot, disparity), Billboard(black, 0.0)), width, height, overscan)


def _second_moment_px2(image: np.ndarray) -> float:
    """Mean squared distance of the light from its centre."""
    weight = image.astype(np.float64).mean(axis=2)
    y, x = np.indices(weight.shape)
    total = weight.sum()
    cx, cy = (weight * x).sum() / total, (weight * y).sum() / total
    return float((weight * ((x - cx) ** 2 + (y - cy) ** 2)).sum() / total)


@pytest.mark.parametrize(
    "disparity, focus, radius_px, place, aperture",
    [
        (0.8, 0.2, 16.0, (40, 32), Disk()),
        (0.8, 0.2, 12.0, (22, 18), Disk()),
        (0.2, 0.8, 16.0, (40, 32), Disk()),
        (0.2, 0.8, 12.0, (58, 46), Disk()),
        (0.9, 0.0, 16.0, (40, 32), Disk()),  # focused at infinity
        (0.3, 0.7, 16.0, (40, 32), Polygon(5)),
        (0.7, 0.3, 14.0, (30, 22), Polygon(5, rotation_deg=30.0)),
        (0.3, 0.7, 14.0, (52, 42), Polygon(6)),
        (0.7, 0.3, 16.0, (40, 32), Polygon(6, rotation_deg=15.0)),
    ],
)
def test_blur_radius_is_what_the_formula_says(blender, tmp_path, disparity, focus, radius_px, place, aperture):
    scene = _spot_scene(disparity, *place)
    lens = ThinLens(radius_px / abs(disparity - focus), focus, aperture)
    _load(blender, scene, tmp_path)
    sharp = _render(blender, scene, ThinLens(0.0, focus), tmp_path, samples=64, seed=1).rgba_premul[..., :3]
    blurred = _render(blender, scene, lens, tmp_path, samples=512, seed=2).rgba_premul[..., :3]
    # The second moments of the light, the pixel and the aperture add up.
    moment = _second_moment_px2(blurred) - _second_moment_px2(sharp)
    points = aperture_points(aperture, 4096)
    points = points - points.mean(axis=0)
    predicted = abs(lens.defocus_px(disparity))
    measured = np.sqrt(moment / np.mean(np.sum(points**2, axis=1)))
    # About 9 * 512 rays hit the light. n random points give the radius of a disk to 0.29 / sqrt(n) = 0.4 %.
    assert measured == pytest.approx(predicted, rel=0.02)


@pytest.mark.parametrize("disparity, focus", [(0.8, 0.2), (0.2, 0.8)], ids=["near", "far"])
@pytest.mark.parametrize(
    "aperture", [Polygon(3), Polygon(4), Polygon(5, rotation_deg=30.0), Polygon(6, rotation_deg=-10.0)], ids=repr
)
def test_blades_point_where_the_tracer_s_do(blender, tmp_path, disparity, focus, aperture):
    scene = _spot_scene(disparity, 40, 32, overscan=24)
    lens = ThinLens(16.0 / abs(disparity - focus), focus, aperture)
    ours = Tracer(backend.start("cpu")).render(scene, lens, pixel="box", samples=1024).linear[0]
    _load(blender, scene, tmp_path)
    theirs = _render(blender, scene, lens, tmp_path, samples=256, seed=3).rgba_premul[..., :3]
    turned = np.angle(_polygon_moment(theirs, aperture.blades) / _polygon_moment(ours, aperture.blades))
    # Half a blade would be pi. About 9 * 256 rays leave 0.023 of noise on a moment of 0.24 or more: 0.1 rad.
    assert abs(turned) < 0.4


def _polygon_moment(image: np.ndarray, blades: int) -> complex:
    """Mean of z^n over the light around its centre, divided by that of |z|^n. Its phase is n times the orientation."""
    weight = image.astype(np.float64).mean(axis=2)
    y, x = np.indices(weight.shape)
    z = x + 1j * y
    z = z - (weight * z).sum() / weight.sum()
    return (weight * z**blades).sum() / (weight * abs(z) ** blades).sum()


def _bridge_scene(rng: np.random.Generator, *, width=96, height=64, overscan=14) -> Scene:
    """Three layers of smooth random colour: one with soft edges, a slanted one with holes, a bright background."""
    shape = (height + 2 * overscan, width + 2 * overscan)
    y, x = np.indices(shape)

    def waves() -> np.ndarray:
        k, phase = rng.normal(0.0, 0.18, (3, 2)), rng.uniform(0.0, 6.0, 3)
        return 0.5 + 0.45 * np.sin(k[:, :1, None] * x + k[:, 1:, None] * y + phase[:, None, None])

    def layer(alpha: np.ndarray, level: float) -> np.ndarray:
        return np.concatenate([level * waves().transpose(1, 2, 0), alpha[..., None]], axis=-1).astype(np.float16)

    disk = np.clip(14.0 - np.hypot(x - 50.0, y - 40.0), 0.0, 1.0)
    stripes = np.clip(3.0 * np.sin(0.3 * x + 0.1 * y), 0.0, 1.0)
    background = layer(np.ones(shape), 0.6)
    background[20:23, 90:93, :3] = 12.0
    return Scene(
        (
            Billboard(layer(disk, 0.9), 0.9),
            Billboard(layer(stripes, 0.7), 0.55, slope=(0.0012, -0.0008)),
            Billboard(background, 0.15),
        ),
        width,
        height,
        overscan,
    )


def _block_means(image: np.ndarray, side: int = 32) -> np.ndarray:
    height, width = image.shape[0] // side * side, image.shape[1] // side * side
    blocks = image[:height, :width].reshape(height // side, side, width // side, side, 3)
    return blocks.mean(axis=(1, 3), dtype=np.float64)


@pytest.mark.slow
@pytest.mark.parametrize(
    "aperture, wrong",
    [(Disk(), Polygon(3)), (Polygon(3, rotation_deg=20.0), Polygon(3, rotation_deg=200.0))],
    ids=["disk", "triangle"],
)
def test_cycles_and_the_tracer_see_the_same_billboards(blender, tmp_path, aperture, wrong):
    scene = _bridge_scene(np.random.default_rng(5))
    lens = ThinLens(14.0, 0.5, aperture)
    tracer = Tracer(backend.start("cpu"))
    ours, turned = (
        _block_means(tracer.render(scene, replace(lens, aperture=shape), pixel="box", samples=16384).linear[0])
        for shape in (aperture, wrong)
    )
    _load(blender, scene, tmp_path)
    theirs = np.stack(
        [
            _block_means(_render(blender, scene, lens, tmp_path, samples=64, seed=seed).rgba_premul[..., :3])
            for seed in range(16)
        ]
    )
    standard_error = theirs.std(axis=0, ddof=1) / np.sqrt(len(theirs))
    # 18 blocks and channels at 4 standard errors of 16 seeds; 1e-4 for float32 and the tracer's own finite set.
    bound = 1e-4 + 4.0 * standard_error
    assert (np.abs(theirs.mean(axis=0) - ours) <= bound).all()
    # The bound is strict enough: another aperture, even the same one turned by 180 degrees, exceeds it.
    assert (np.abs(theirs.mean(axis=0) - turned) > bound).any()


def _tent(image: np.ndarray) -> np.ndarray:
    """A filter with the second moment of a tent of two pixels, 1/6, which takes a pixel off every side."""
    for axis in (0, 1):
        image = np.moveaxis(image, axis, 0)
        image = np.moveaxis((image[:-2] + 10.0 * image[1:-1] + image[2:]) / 12.0, 0, axis)
    return image


def _light_field(blender: BlenderProcess, folder, camera: Camera, size, stack: Stack, num_views: int) -> Views:
    """The light field of the loaded scene."""
    span = max(stack.focus_disparities) - min(stack.focus_disparities)
    radii = tuple(k * span for k in stack.blur_parameters)
    sampling = Sampling(num_views, stack="light-field")
    job = RenderJob(folder, *size, radii, len(stack.focus_disparities), stack.aperture, sampling, "cpu", 0, 0)
    light_field = Views(job, stack, camera, 0, folder / "views.npz")
    light_field.render(blender)
    return light_field


def _require_cycles_lens(light_field: Views, blender: BlenderProcess, folder, camera: Camera, stack: Stack) -> None:
    """Require the pictures to be those of Cycles' own lens within the noise of both.

    Those of the largest aperture may not be those of another focus.
    """
    exr = folder / "render.exr"
    settings = {"adaptive_threshold": None, "denoise": False, "slice": None, "overscan": 1, "samples": 64}

    def direct(lens: ThinLens, seed: int) -> np.ndarray:
        blender.ask({"do": "render", "exr": str(exr), "seed": seed, "lens": blender_lens(lens, camera), **settings})
        return _block_means(_tent(read_passes(exr).rgba_premul[..., :3]))

    for k in range(len(stack.blur_parameters)):
        theirs = [np.stack([direct(stack.lens(k, f), seed) for seed in range(8)]) for f in range(2)]
        for f in range(2):
            halves = [_block_means(light_field.half(half, k, f)) for half in (0, 1)]
            square = np.square(halves[0] - halves[1]) / 4.0
            # Two halves say little about a block. Its error is taken to be at least that of all blocks.
            variance = theirs[f].var(axis=0, ddof=1) / 8 + np.maximum(square, square.mean())
            bound = 1e-4 + 4.0 * np.sqrt(variance)
            ours = _block_means(light_field.bokeh(k, f)[0])
            assert (np.abs(theirs[f].mean(axis=0) - ours) <= bound).all(), (k, f)
            if k == len(stack.blur_parameters) - 1:
                assert (np.abs(theirs[1 - f].mean(axis=0) - ours) > bound).any(), (k, f)


@pytest.mark.slow
def test_a_light_field_gives_the_pictures_of_cycles_lens(blender, tmp_path):
    scene = _bridge_scene(np.random.default_rng(5), overscan=20)
    stack = Stack((9.0, 18.0), (0.15, 0.9), pixel="box+tent")
    camera = billboards.nominal_camera(scene)
    _load(blender, scene, tmp_path)
    light_field = _light_field(blender, tmp_path, camera, (scene.width, scene.height), stack, 640)
    _require_cycles_lens(light_field, blender, tmp_path, camera, stack)


@pytest.mark.parametrize("disparity, focus_index", [(0.8, 0), (0.2, 1)], ids=["near", "far"])
def test_blades_of_a_light_field_point_where_the_tracer_s_do(blender, tmp_path, disparity, focus_index):
    aperture = Polygon(3, rotation_deg=20.0)
    scene = _spot_scene(disparity, 40, 32, overscan=24)
    stack = Stack((20.0,), (0.2, 0.8), aperture=aperture, pixel="box+tent")
    ours = Tracer(backend.start("cpu")).render(scene, stack.lens(0, focus_index), pixel="box", samples=1024).linear[0]
    _load(blender, scene, tmp_path)
    camera = billboards.nominal_camera(scene)
    theirs = _light_field(blender, tmp_path, camera, (scene.width, scene.height), stack, 128).bokeh(0, focus_index)[0]
    turned = np.angle(_polygon_moment(theirs, 3) / _polygon_moment(ours, 3))
    assert abs(turned) < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("aperture", [Disk(), Polygon(3, rotation_deg=20.0)], ids=["disk", "triangle"])
def test_a_light_field_of_a_scene_in_space_gives_the_pictures_of_cycles_lens(blender, tmp_path, aperture):
    size = (96, 64)
    request = {"do": "load", "kind": "procedural", "scene": "still_life", "seed": 0, "device": "cpu"}
    loaded = blender.ask({**request, "width": size[0], "height": size[1]})
    camera = Camera(loaded["focal_length_m"], loaded["sensor_width_m"], size[0])
    # From the back of the table to the nearest things on it.
    focus = (0.45, 1.6)
    stack = Stack(tuple(r / (focus[1] - focus[0]) for r in (4.0, 16.0)), focus, aperture=aperture, pixel="box+tent")
    light_field = _light_field(blender, tmp_path, camera, size, stack, 512)
    _require_cycles_lens(light_field, blender, tmp_path, camera, stack)


def test_a_picture_after_views_is_taken_from_the_camera_s_own_place(blender, tmp_path):
    scene, exr = _bridge_scene(np.random.default_rng(5)), tmp_path / "render.exr"
    _load(blender, scene, tmp_path)
    # A sequence of samples as long as that of the views.
    settings = {"samples": 4, "seed": 1, "sequence": VIEWS_MAX, "adaptive_threshold": None, "denoise": False}
    request = {"do": "render", "exr": str(exr), "lens": None, "slice": None, "overscan": 0, **settings}
    blender.ask(request)
    before = read_passes(exr)
    stack = Stack((9.0,), (0.2, 0.8), pixel="box+tent")
    _light_field(blender, tmp_path, billboards.nominal_camera(scene), (scene.width, scene.height), stack, 8)
    blender.ask(request)
    after = read_passes(exr)
    np.testing.assert_array_equal(after.depth, before.depth)
    np.testing.assert_array_equal(after.rgba_premul, before.rgba_premul)


def test_depth_is_planar_and_through_the_pixel_centre(blender, tmp_path):
    scene = _bridge_scene(np.random.default_rng(5))
    _load(blender, scene, tmp_path)
    depth = _render(blender, scene, ThinLens(0.0, 0.5), tmp_path, samples=1, seed=0).depth
    # The corner of a plane that faces the camera is as deep as its middle.
    np.testing.assert_allclose(depth[[0, -1], [0, -1]], 1.0 / scene.composite_disparity()[[0, -1], [0, -1]], rtol=1e-5)
    # Where the near layer is opaque, and where the slanted one is.
    alpha = [scene.frame_rgba(i)[..., 3] for i in range(2)]
    for layer, is_seen in ((0, alpha[0] == 1.0), (1, (alpha[0] == 0.0) & (alpha[1] == 1.0))):
        assert is_seen.sum() > 100
        np.testing.assert_allclose(1.0 / depth[is_seen], scene.frame_disparity(layer)[is_seen], rtol=1e-4)


# The command and what it writes.


def test_dataset_is_whole_and_reads_like_blb(dataset):
    report = verify(dataset.root)
    assert not report.problems
    for folder in dataset:
        info, disparity = folder.info, folder.disparity()
        assert info["disparity_unit"] == "1/m" and isinstance(folder, CameraFolder)
        # Focus goes from the farthest to the nearest surface, evenly in disparity. f-stops give K by Blender's formula.
        focus = [disparity_from_distance(z) for z in info["focus_distances"]]
        assert focus == pytest.approx([disparity.min(), disparity.max()], rel=1e-6)
        for k, f_stop in zip(info["blur_parameters"], info["f_stops"], strict=True):
            assert k * (focus[-1] - focus[0]) == pytest.approx(10.0)
            f, w = info["focal_length"], info["sensor_width"]
            assert f * f * info["resolution_x"] / (2.0 * w * f_stop) == pytest.approx(k)
        background = folder.depth() == HALF_MAX
        assert np.array_equal(background, disparity == 0.0)
        assert set(info["noise_rmse"]) == {"image.exr", "bokeh_00_00.exr", "bokeh_00_01.exr"}
        assert set(info["samples"].values()) == {8}


@pytest.mark.slow
def test_variants_of_a_scene_differ_and_equal_seeds_give_equal_bytes(dataset, tmp_path):
    arguments = [*TINY, "--layers", "3"]
    # The second scene alone is that of the set of two.
    assert render_blb.main([*arguments, "--scenes", "2", "--first-scene", "1", "--out", str(tmp_path / "same")]) == 0
    assert Dataset(tmp_path / "same").names == {"000001"}
    assert not verify(tmp_path / "same").problems
    second = {name: sha for name, sha in _bytes(dataset.root).items() if name.startswith("000001/")}
    same = {name: sha for name, sha in _bytes(tmp_path / "same").items() if name.startswith("000001/")}
    assert second == same
    assert render_blb.main([*arguments, "--scenes", "1", "--seed", "1", "--out", str(tmp_path / "other")]) == 0
    assert not np.array_equal(Dataset(tmp_path / "other")[0].depth(), dataset[0].depth())


@pytest.mark.slow
def test_every_built_in_scene_has_light_and_depth(tmp_path):
    arguments = [*TINY, "--samples", "2", "--scenes", str(len(SCENE_NAMES)), "--out", str(tmp_path / "set")]
    assert render_blb.main(arguments) == 0
    assert not verify(tmp_path / "set").problems
    for name, folder in zip(SCENE_NAMES, Dataset(tmp_path / "set"), strict=True):
        far, near = folder.info["focus_distances"]
        assert far > 1.5 * near, name
        # Neither dark nor burnt out.
        assert 0.05 < np.mean(np.clip(folder.image(), 0.0, 1.0) ** (1.0 / REFERENCE_GAMMA)) < 0.95, name


def test_finished_dataset_is_left_alone(dataset, monkeypatch):
    before = _bytes(dataset.root)
    monkeypatch.setattr(production, "produce_scene", None)  # nothing may be rendered
    assert render_blb.main([*TINY, "--scenes", "2", "--layers", "3", "--out", str(dataset.root)]) == 0
    assert _bytes(dataset.root) == before


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The first scene with 32 times the samples."""
    out = tmp_path_factory.mktemp("reference") / "set"
    assert render_blb.main([*TINY, "--samples", "256", "--scenes", "1", "--out", str(out)]) == 0
    return Dataset(out)[0]


def test_noise_estimate_is_within_a_factor_of_two(dataset, reference):
    noisy = dataset[0]
    for name, a, b in [("image.exr", noisy.image(), reference.image())] + [
        (f"bokeh_00_0{f}.exr", noisy.bokeh(0, f), reference.bokeh(0, f)) for f in range(2)
    ]:
        error = display_rmse(a, b)
        assert 0.5 * error <= noisy.info["noise_rmse"][name] <= 2.0 * error, name


def _first_scene(tmp_path, *arguments):
    assert render_blb.main([*TINY, *arguments, "--scenes", "1", "--out", str(tmp_path / "set")]) == 0
    return Dataset(tmp_path / "set")[0]


def test_noise_threshold_ends_the_sampling_early_and_is_recorded(reference, tmp_path):
    early = _first_scene(tmp_path, "--samples", "256", "--noise-threshold", "0.5")
    assert early.scene_document["source"]["noise_threshold"] == 0.5
    assert reference.scene_document["source"]["noise_threshold"] is None
    # Half the samples would give 1.4 times the noise. Such a high threshold takes far fewer.
    assert early.info["noise_rmse"]["image.exr"] > 1.4 * reference.info["noise_rmse"]["image.exr"]


def test_denoiser_smooths_and_is_recorded(dataset, reference, tmp_path):
    smooth = _first_scene(tmp_path, "--denoise")
    assert smooth.scene_document["source"]["denoised"] is True
    assert dataset[0].scene_document["source"]["denoised"] is False
    # With the same samples, the denoised picture is nearer to the truth.
    assert display_rmse(smooth.image(), reference.image()) < 0.9 * display_rmse(dataset[0].image(), reference.image())


def test_time_limit_takes_samples_away_and_is_recorded(blends, tmp_path):
    # No picture is finished within a microsecond. The smallest number is one sample for each seed.
    hasty = _first_scene(tmp_path, "--time-limit", "1e-6", "--blend", str(blends / "walls.blend"))
    assert hasty.scene_document["source"]["time_limit_s"] == 1e-6
    assert set(hasty.info["samples"].values()) == {2}


def test_layers_compose_to_the_picture_and_keep_their_distances(dataset):
    for folder in dataset:
        layers = folder.depth_layers()
        overscan = folder.scene_document["overscan"]
        height, width = folder.depth().shape
        inside = slice(overscan, overscan + height), slice(overscan, overscan + width)
        composite = np.zeros((height, width, 3), np.float32)
        for layer in reversed(layers):
            rgba = layer.rgba[inside].astype(np.float32)
            composite = composite * (1.0 - rgba[..., 3:]) + rgba[..., :3] * rgba[..., 3:]
            hit = layer.disparity > 0.0
            distance = 1.0 / layer.disparity[hit]
            # Cycles clips in float32.
            assert (distance >= layer.near_m * 0.9999).all() and (distance <= layer.far_m * 1.0001).all()
        assert (layers[-1].rgba[..., 3] == 1.0).all()
        # Layers and picture are separate renders, each with about the noise given for the picture.
        assert display_rmse(composite, folder.image()) < 3.0 * folder.info["noise_rmse"]["image.exr"]


def test_kill_after_rendering_costs_no_picture(blends, tmp_path, monkeypatch):
    out = tmp_path / "set"
    arguments = [*TINY, "--out", str(out), "--blend", str(blends / "walls.blend")]

    def kill(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(DatasetWriter, "add", kill)
        assert render_blb.main(arguments) == 130
    # The folder exists but is not in the index. It is written again from the kept pictures.
    asked = []
    ask = BlenderProcess.ask
    monkeypatch.setattr(BlenderProcess, "ask", lambda self, request: asked.append(request["do"]) or ask(self, request))
    assert render_blb.main(arguments) == 0
    assert "load" in asked and "render" not in asked
    assert not list(out.glob(".rendered-*"))


def test_stopped_run_goes_on_with_the_next_picture(dataset, tmp_path, monkeypatch):
    out = tmp_path / "set"
    arguments = [*TINY, "--scenes", "1", "--layers", "3", "--out", str(out)]
    produce = production.produce_scene

    def stopped(*positional, on_picture, **named):
        pictures = iter(range(3))

        def as_ctrl_c_in_the_fourth() -> None:
            if next(pictures, None) is None:
                raise KeyboardInterrupt

        return produce(*positional, on_picture=as_ctrl_c_in_the_fourth, **named)

    monkeypatch.setattr(production, "produce_scene", stopped)
    assert render_blb.main(arguments) == 130
    assert not (out / "000000").exists()

    asked = []
    ask = BlenderProcess.ask
    monkeypatch.setattr(production, "produce_scene", produce)
    monkeypatch.setattr(BlenderProcess, "ask", lambda self, request: asked.append(request["do"]) or ask(self, request))
    assert render_blb.main(arguments) == 0
    # 6 pictures, 4 of them kept; each is rendered twice. Then the surfaces that the 3 layers begin with.
    assert asked.count("render") == 2 * (6 - 4) + 3
    whole = {name: sha for name, sha in _bytes(dataset.root).items() if name.startswith("000000/")}
    assert {name: sha for name, sha in _bytes(out).items() if name.startswith("000000/")} == whole
    assert not list(out.glob(".rendered-*"))


LIGHT_FIELD = [*SIZE, "--blur-levels", "2", "--focus-count", "2", "--samples", "24", "--device", "cpu"]


def test_light_field_of_a_file_is_whole_and_goes_on_after_a_kill(blends, tmp_path, monkeypatch):
    arguments = [*LIGHT_FIELD, "--radius-step", "4", "--layers", "2", "--blend", str(blends / "walls.blend")]
    whole = tmp_path / "whole"
    assert render_blb.main([*arguments, "--out", str(whole)]) == 0
    assert not verify(whole).problems
    folder = Dataset(whole)[0]
    assert folder.stack().pixel == folder.scene_document["pixel"] == "box+tent"
    source = folder.scene_document["source"]
    assert (source["stack"], source["samples"], source["noise"]) == ("light-field", 24, None)
    samples = folder.info["samples"]
    assert samples["image.exr"] == 12 and samples["bokeh_01_00.exr"] == 24 and 2 <= samples["bokeh_00_00.exr"] < 24
    assert len(folder.depth_layers()) == 2

    # Killed at view 20 of 36, with a checkpoint after every view.
    monkeypatch.setattr(views, "_CHECKPOINT_EVERY_S", 0.0)
    ask, asked = BlenderProcess.ask, []

    def killed(self, request):
        if "view" in request:
            asked.append(request)
        if len(asked) == 20:
            raise KeyboardInterrupt
        return ask(self, request)

    out = tmp_path / "set"
    with monkeypatch.context() as patched:
        patched.setattr(BlenderProcess, "ask", killed)
        assert render_blb.main([*arguments, "--out", str(out)]) == 130
    assert (out / ".rendered-000000" / "views.npz").is_file() and not (out / "000000").exists()
    assert render_blb.main([*arguments, "--out", str(out)]) == 0
    assert _bytes(out) == _bytes(whole)
    assert not list(out.glob(".rendered-*"))


def test_kept_views_are_seen_from_their_lens_points_and_go_on_after_a_kill(blends, tmp_path, monkeypatch):
    arguments = [*SIZE, "--blur-levels", "1", "--radius-step", "8", "--focus-count", "2", "--samples", "8"]
    arguments += ["--keep-views", "3", "--view-samples", "4", "--layers", "2", "--device", "cpu"]
    arguments += ["--blend", str(blends / "walls.blend")]
    whole = tmp_path / "whole"
    assert render_blb.main([*arguments, "--out", str(whole)]) == 0
    assert not verify(whole).problems
    folder = Dataset(whole)[0]
    assert isinstance(folder, LightFieldFolder) and folder.grid.side == 3 and folder.grid.samples == 4
    header = Dataset(whole).header
    assert (header["keep_views"], header["view_samples"]) == (3, 4) and "square grid" in header["views_rule"]
    assert folder.noise_rmse.shape == (3, 3) and (folder.noise_rmse > 0.0).all()

    # The small wall, at 2 m, moves by K (d_0 - d) (u, v).
    def place(row: int, column: int) -> np.ndarray:
        y, x = np.nonzero(folder.view_depth(row, column) < 3.0)
        return np.array([x.mean(), y.mean()])

    for row, column in ((1, 0), (1, 2), (0, 1), (2, 2)):
        moved = folder.grid.blur_parameter * (folder.grid.disparity - 0.5) * folder.grid.point(row, column)
        assert np.abs(moved).max() > 2.0
        # Each edge is seen to a pixel.
        np.testing.assert_allclose(place(row, column) - place(1, 1), moved, atol=0.6)

    # Killed in the fifth of the 9 views, after the 12 of the stack.
    ask, asked = BlenderProcess.ask, []

    def killed(self, request):
        if "view" in request:
            asked.append(request)
        if len(asked) == 12 + 2 * 4 + 2:
            raise KeyboardInterrupt
        return ask(self, request)

    out = tmp_path / "set"
    with monkeypatch.context() as patched:
        patched.setattr(BlenderProcess, "ask", killed)
        assert render_blb.main([*arguments, "--out", str(out)]) == 130
    assert len(list((out / ".rendered-000000" / "views").glob("*.exr.json"))) == 4 and not (out / "000000").exists()
    asked.clear()
    with monkeypatch.context() as patched:
        patched.setattr(BlenderProcess, "ask", lambda self, request: asked.append(request) or ask(self, request))
        assert render_blb.main([*arguments, "--out", str(out)]) == 0
    assert sum("view" in request for request in asked) == 2 * 5
    assert _bytes(out) == _bytes(whole)
    assert not list(out.glob(".rendered-*"))


def test_views_are_those_of_a_camera_that_others_carry_and_turn(blends, tmp_path):
    """`verify` requires the middle view's depth to be the pinhole's, and the stack's pictures of the views."""
    arguments = [*SIZE, "--blur-levels", "1", "--radius-step", "8", "--focus-count", "2", "--samples", "8"]
    arguments += ["--keep-views", "3", "--view-samples", "4", "--device", "cpu"]
    arguments += ["--blend", str(blends / "carried.blend")]
    assert render_blb.main([*arguments, "--out", str(tmp_path / "set")]) == 0
    assert not verify(tmp_path / "set").problems


def test_crash_is_reported_with_the_scene_and_the_others_go_on(blends, tmp_path, monkeypatch, capsys):
    ask = BlenderProcess.ask

    def dies_in_the_first_scene(self, request):
        if request.get("path", "").endswith("no_camera.blend"):
            os.kill(self._process.pid, signal.SIGKILL)
        return ask(self, request)

    monkeypatch.setattr(BlenderProcess, "ask", dies_in_the_first_scene)
    files = [str(blends / name) for name in ("no_camera.blend", "walls.blend")]
    assert render_blb.main([*TINY, "--out", str(tmp_path / "set"), "--blend", *files]) == 1
    error = capsys.readouterr().err
    assert "no_camera" in error and "status -9" in error
    assert [folder.name for folder in Dataset(tmp_path / "set")] == ["000001"]
    # Where there is no scene in the end, there is nothing to look at.
    assert render_blb.main([*TINY, "--out", str(tmp_path / "none"), "--blend", files[0]]) == 2
    assert "no scene was made" in capsys.readouterr().err


_STAND_IN = """
import runpy, sys
import bpy

bpy.app.binary_path, *sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[sys.argv.index("-P") + 1], run_name="__main__")
"""


@pytest.fixture
def installed_blender(tmp_path):
    """Stand-in for an installed Blender: it prints to stdout, then runs the script after -P with its own Python."""
    fake = tmp_path / "blender"
    code = shlex.quote(_STAND_IN)
    fake.write_text(
        f"""#!/bin/sh
echo "Blender 5.0.1 (a greeting on stdout)"
exec {shlex.quote(sys.executable)} -I -c {code} "$0" blender "$@"
"""
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    return fake


def test_installed_blender_runs_the_same_worker(installed_blender, tmp_path):
    out = tmp_path / "set"
    assert render_blb.main([*TINY, "--scenes", "1", "--blender", str(installed_blender), "--out", str(out)]) == 0
    assert verify(out).scenes == 1


def _inside(installed_blender, arguments, python) -> subprocess.CompletedProcess:
    """`blender -b -P render_blb.py -- arguments`, with the Python that is to have bokehforge."""
    command = [str(installed_blender), "-b", "-P", render_blb.__file__, "--", *arguments]
    environment = {**os.environ, "BOKEHFORGE_PYTHON": str(python)}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_script_started_by_blender_is_the_command(installed_blender, tmp_path):
    out = tmp_path / "set"
    done = _inside(installed_blender, [*TINY, "--scenes", "1", "--out", str(out)], sys.executable)
    assert done.returncode == 0, done.stderr
    assert f"1 scene is in {out}" in done.stdout
    assert verify(out).scenes == 1 and not verify(out).problems
    # Exit code and message are the command's, too.
    refused = _inside(installed_blender, ["--samples", "7"], sys.executable)
    assert refused.returncode == 2 and "--samples is 7" in refused.stderr


def test_script_started_by_blender_says_when_it_finds_no_bokehforge(installed_blender, tmp_path):
    done = _inside(installed_blender, TINY, tmp_path / "python")
    assert done.returncode == 2
    assert f"bokehforge is not installed in {tmp_path / 'python'}" in done.stderr
    assert "set BOKEHFORGE_PYTHON" in done.stderr and done.stderr.count("\n") == 1


def _check_with(tmp_path, bpy_module: str) -> str:
    """The worker's refusal of a check with another bpy and without NumPy, as in Debian's Blender."""
    (tmp_path / "bpy.py").write_text(bpy_module)
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError('numpy')\n")
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); "
        f"runpy.run_path({str(Path(render_blb.__file__).with_name('inside_blender.py'))!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], input='{"do": "check"}\n', capture_output=True, text=True)
    answer = json.loads(done.stdout)
    assert answer["refused"]
    return answer["error"]


def test_blender_that_is_too_old_is_refused_before_anything_of_ours_loads(tmp_path):
    error = _check_with(tmp_path, "class app:\n    version, version_string = (3, 4, 1), '3.4.1'\n")
    assert "Blender 3.4.1 is too old; install 5.0 or newer" in error


def test_missing_libraries_of_the_system_are_named(tmp_path):
    lost = "libXrender.so.1: cannot open shared object file: No such file or directory"
    error = _check_with(tmp_path, f"raise ImportError({lost!r})\n")
    assert lost in error and "\n" not in error
    installed = (Path(__file__).parent.parent / ".ci" / "run").read_text()
    packages = error.partition("apt-get install ")[2].split()
    assert "libxrender1" in packages and all(f" {package} " in installed for package in packages)


def test_device_that_is_not_there_and_blender_that_is_none_are_named(tmp_path, capsys):
    gpus = ["cuda", "hip", "metal"]
    with BlenderProcess() as process:
        absent = next(gpu for gpu in gpus if _is_absent(process, gpu))
    for arguments, culprit in ((["--device", absent], absent), (["--blender", "/bin/true"], "Blender ended")):
        assert render_blb.main([*TINY, *arguments, "--out", str(tmp_path / "set")]) == 2
        error = capsys.readouterr().err
        assert culprit in error and error.count("\n") == 1
    assert not (tmp_path / "set").exists()


def _is_absent(process: BlenderProcess, device: str) -> bool:
    try:
        process.ask({"do": "check", "device": device})
    except Refusal:
        return True
    return False


def _plant(path: Path, value: float) -> None:
    pixels = images.read_exr_plane(path)
    pixels[5, 7] = value
    images.write_exr_plane(path, pixels)


def _without_index(damage):
    """Damage that only the checks of file contents can find."""

    def both(root: Path) -> None:
        (root / "index.jsonl").unlink()
        (root / "dataset.yaml").unlink()
        damage(root)

    return both


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda root: os.truncate(root / "000000/layers/01_disparity.exr", 500), "layers/01_disparity.exr: has 500"),
        (lambda root: (root / "000000/layers/02.exr").unlink(), "layers/02.exr: is missing"),
        (_without_index(lambda root: _plant(root / "000000/depth.exr", 0.0)), "depth.exr: depth spans 0.0"),
        (_without_index(lambda root: _plant(root / "000000/disparity.exr", 0.3)), "disparity.exr: is not 1 / depth"),
        (
            _without_index(lambda root: _edit(root / "000000/info.json", "focal_length", 0.2)),
            "info.json: focal_length is 0.2",
        ),
        (
            _without_index(lambda root: shutil.copy(root / "000000/image.exr", root / "000000/layers/00.exr")),
            "layers/00.exr: is (32, 48, 3)",
        ),
    ],
    ids=["torn", "lost", "depth", "disparity", "camera", "layer"],
)
def test_verify_names_what_is_damaged_in_a_scene_in_space(dataset, tmp_path, damage, message):
    shutil.copytree(dataset.root, tmp_path / "set")
    damage(tmp_path / "set")
    problems = [f"{problem.path}: {problem.what}" for problem in verify(tmp_path / "set").problems]
    assert problems and all(problem.startswith("000000/") for problem in problems)
    assert message in problems[0], problems


def _edit(path: Path, key: str, value: float) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))


def test_a_solid_that_is_cut_shows_its_own_colour_not_the_dark_inside(blends, tmp_path):
    # A beam leads away from 1.5 to 5.5 m: the cuts go through it, and a lens that looks around it sees the cuts.
    arguments = [*TINY, "--layers", "4", "--blend", str(blends / "beam.blend")]
    assert render_blb.main([*arguments, "--samples", "16", "--out", str(tmp_path)]) == 0
    (folder,) = Dataset(tmp_path)
    front, *behind = folder.depth_layers()
    height, width = front.disparity.shape
    x, y = (np.mgrid[:height, :width][::-1] + 0.5 - np.array([width, height])[:, None, None] / 2) / (48 * 50 / 36)
    cut = [layer for layer in behind if 1.5 < layer.near_m < 5.5]
    assert len(cut) == 3
    for layer in cut:
        # The beam's cross section there, half a metre wide, 0.3 m to the right of the axis.
        outside = np.maximum(abs(x * layer.near_m - 0.3), abs(y * layer.near_m)) - 0.25
        rim = layer.near_m / (48 * 50 / 36)
        is_closed = np.isclose(layer.disparity, 1.0 / layer.near_m, rtol=1e-6)
        assert is_closed[outside < -rim].all() and not is_closed[outside > rim].any()
        np.testing.assert_array_equal(layer.rgba[is_closed], front.rgba[is_closed])


def test_small_lamps_are_seen_whole_reflected_dimmed_and_light_nothing(blends, tmp_path):
    assert render_blb.main([*TINY, "--blb-focus", "--blend", str(blends / "lamp.blend"), "--out", str(tmp_path)]) == 0
    (folder,) = Dataset(tmp_path)
    row = folder.image()[16]
    assert (row[24] == 100.0).all(), "seen by the lens"
    np.testing.assert_allclose(row[4], 8.0, rtol=0.01, err_msg="seen in the mirror")
    assert (row[44] == 0.0).all(), "chalk"


# The user's own files.

_MAKE_BLENDS = """
import bpy, sys
from pathlib import Path

folder = Path(sys.argv[1])

def empty():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene

def wall(distance, size=20.0):
    bpy.ops.mesh.primitive_plane_add(size=size, location=(0, distance, 0), rotation=(1.5708, 0, 0))
    return bpy.context.object

def camera(kind="PERSP", name="view"):
    data = bpy.data.cameras.new(name)
    data.type = kind
    obj = bpy.data.objects.new(name, data)
    obj.rotation_euler = (1.5708, 0, 0)
    bpy.context.scene.collection.objects.link(obj)
    return obj

scene = empty()
wall(8.0)
wall(2.0, size=0.8)
scene.camera = camera()
image = bpy.data.images.new("lost", 8, 8)
image.source, image.filepath = "FILE", "//not/there.png"
material = bpy.data.materials.new("m")
material.use_nodes = True
texture = material.node_tree.nodes.new("ShaderNodeTexImage")
texture.image = image
material.node_tree.links.new(texture.outputs[0], material.node_tree.nodes["Principled BSDF"].inputs["Base Color"])
bpy.context.object.data.materials.append(material)
# Everything that could stand between the light and the file.
scene.view_settings.exposure = 3.0
scene.render.use_border, scene.render.border_max_x = True, 0.3
scene.render.use_motion_blur = True
scene.render.resolution_percentage = 25
scene.camera.data.dof.use_dof = True
scene.camera.data.dof.focus_object = bpy.context.object
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "walls.blend"))
# The same camera on a holder, from which a constraint turns it to the last wall.
holder = bpy.data.objects.new("holder", None)
scene.collection.objects.link(holder)
holder.matrix_world = scene.camera.matrix_world.copy()
holder.location.x += 0.2
scene.camera.parent = holder
scene.camera.matrix_basis.identity()
constraint = scene.camera.constraints.new("TRACK_TO")
constraint.target, constraint.track_axis, constraint.up_axis = bpy.context.object, "TRACK_NEGATIVE_Z", "UP_Y"
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "carried.blend"))

def bright():
    scene = empty()
    sky = bpy.data.worlds.new("sky")
    sky.use_nodes = True
    sky.node_tree.nodes["Background"].inputs["Color"].default_value = (0.8, 0.8, 0.8, 1.0)
    scene.world = sky
    scene.camera = camera()
    return scene

def shining():
    material = bpy.data.materials.new("shining")
    material.use_nodes = True
    tree = material.node_tree
    # The shader of a new material stays beside it, unconnected.
    emission = tree.nodes.new("ShaderNodeEmission")
    tree.links.new(emission.outputs[0], tree.nodes["Material Output"].inputs["Surface"])
    return material

# Two walls before an empty background, or in front of what stands for one, or in a hall.
for name in ("sky", "dome", "sky_box", "hall"):
    bright()
    wall(8.0, size=5.0)
    wall(2.0, size=0.8)
    bpy.ops.object.light_add(type="POINT", location=(0, -1, 1))
    bpy.context.object.data.energy = 1000.0
    if name == "dome":
        bpy.ops.mesh.primitive_uv_sphere_add(radius=300.0, location=(5, 40, -30))
        bpy.context.object.hide_viewport = True
    elif name != "sky":
        bpy.ops.mesh.primitive_cube_add(size=20.0)
        if name == "sky_box":
            bpy.context.object.data.materials.append(shining())
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / f"{name}.blend"))

bright()
wall(8.0)
bpy.ops.mesh.primitive_grid_add(size=400.0, location=(0, 0, -1))
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "backdrop.blend"))

scene = empty()
bpy.ops.mesh.primitive_cube_add(size=2.0, location=(30, 10, 1), scale=(1.0, 1.0, 3.0))
bpy.ops.mesh.primitive_plane_add(size=400.0)
bpy.ops.mesh.primitive_ico_sphere_add(radius=2000.0)
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "stage.blend"))

scene = empty()
bpy.ops.mesh.primitive_monkey_add(location=(50, 0, 0))
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "no_camera.blend"))

scene = empty()
wall(5.0)
scene.camera = camera("ORTHO")
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "ortho.blend"))

scene = empty()
wall(8.0)
bpy.ops.mesh.primitive_cube_add(size=1.0, location=(0.3, 3.5, 0), scale=(0.5, 4.0, 0.5))
sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
sun.rotation_euler, sun.data.energy = (1.2, 0.2, 0), 4.0
scene.collection.objects.link(sun)
scene.camera = camera()
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "beam.blend"))

# A lamp seen between a mirror on the left and chalk on the right, which stand across the view.
scene = empty()
from blender_scripts.procedural import materials
lamp = materials.light("lamp", (1.0, 1.0, 1.0), 100.0, sampled=False)
mirror = materials.plain("mirror", (1.0, 1.0, 1.0), metallic=1.0, roughness=0.0, variation=0.0)
chalk = bpy.data.materials.new("chalk")
chalk.use_nodes = True
tree = chalk.node_tree
tree.links.new(tree.nodes.new("ShaderNodeBsdfDiffuse").outputs[0], tree.nodes["Material Output"].inputs[0])
for x, material in ((-1.2, mirror), (1.2, chalk)):
    bpy.ops.mesh.primitive_plane_add(size=1.6, location=(x, 4, 0), rotation=(1.5708, 0, 0))
    bpy.context.object.data.materials.append(material)
for at, size in (((0, 4, 0), 0.4), ((0, -3, 0), 60.0)):
    bpy.ops.mesh.primitive_plane_add(size=size, location=at, rotation=(1.5708, 0, 0))
    bpy.context.object.data.materials.append(lamp)
scene.camera = camera()
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "lamp.blend"))

empty()
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "nothing.blend"))

def glowing(name, grouped=False):
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    if grouped:
        inner = bpy.data.node_groups.new(name, "ShaderNodeTree")
        inner.interface.new_socket("light", in_out="OUTPUT", socket_type="NodeSocketShader")
        end = inner.nodes.new("NodeGroupOutput")
        emission = inner.nodes.new("ShaderNodeEmission")
        inner.links.new(emission.outputs[0], end.inputs[0])
        group = tree.nodes.new("ShaderNodeGroup")
        group.node_tree = inner
        tree.links.new(group.outputs[0], output.inputs[0])
    else:
        emission = tree.nodes.new("ShaderNodeEmission")
        tree.links.new(emission.outputs[0], output.inputs[0])
    emission.inputs[0].default_value = (0.25, 0.5, 2.0, 1.0)
    return material

# Everything that could run, and everything that could change a pixel on its way to the file.
scene = empty()
walls = wall(8.0), wall(2.0, size=0.8)
for one in walls:
    one.data.materials.append(glowing("glow"))
scene.camera = camera()
scene.view_settings.view_transform, scene.view_settings.look = "AgX", "AgX - High Contrast"
scene.view_settings.exposure, scene.view_settings.gamma = 2.0, 1.8
scene.render.dither_intensity = 2.0
scene.cycles.film_exposure = 3.0
script = bpy.data.texts.new("at_load.py")
script.write(f"open({str(folder / 'script_ran')!r}, 'w').close()")
script.use_module = True
driven = bpy.data.objects.new("driven", None)
scene.collection.objects.link(driven)
driver = driven.driver_add("location", 1).driver
driver.expression = "0 * len(bpy.data.objects) + frame + 1.0"  # plain arithmetic alone would be safe, and run
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "glow.blend"))

scene = empty()
wall(4.0).data.materials.append(glowing("grouped glow", grouped=True))
scene.camera = camera()
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "grouped.blend"))

scene = empty()
collection = bpy.data.collections.new("part")
monkey = bpy.data.meshes.new("triangle")
monkey.from_pydata([(0, 0, 0), (1, 0, 0), (0, 0, 1)], [], [(0, 1, 2)])
collection.objects.link(bpy.data.objects.new("triangle", monkey))
collection.objects.link(bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "SUN")))
instance = bpy.data.objects.new("instance", None)
instance.instance_type, instance.instance_collection = "COLLECTION", collection
instance.location = (40, 0, 0)
scene.collection.objects.link(instance)
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "instances.blend"))

def textured(image):
    material = bpy.data.materials.new("textured")
    material.use_nodes = True
    material.node_tree.nodes.new("ShaderNodeTexImage").image = image
    return material

def picture(path):
    image = bpy.data.images.new("picture", 4, 4)
    path.parent.mkdir(exist_ok=True)
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)

def tiled(name, numbers):
    image = bpy.data.images.new(name, 4, 4, tiled=True)
    image.filepath = f"//{name}.<UDIM>.png"
    for number in numbers:
        if number != 1001:
            image.tiles.new(number)
    return image

empty()
picture(folder / "whole.1001.png")
picture(folder / "whole.1012.png")
picture(folder / "part.1001.png")
bpy.ops.mesh.primitive_plane_add()
for image in (tiled("whole", (1001, 1012)), tiled("part", (1001, 1002))):
    bpy.context.object.data.materials.append(textured(image))
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "tiles.blend"))

empty()
picture(folder / "library" / "wood.png")
image = bpy.data.images.load(str(folder / "library" / "wood.png"))
image.filepath = "//wood.png"
material = textured(image)
material.use_fake_user = True
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "library" / "materials.blend"), relative_remap=False)
empty()
with bpy.data.libraries.load(str(folder / "library" / "materials.blend"), link=True, relative=False) as (_, wanted):
    wanted.materials = ["textured"]
bpy.ops.mesh.primitive_plane_add()
bpy.context.object.data.materials.append(wanted.materials[0])
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "linked.blend"))

scene = empty()
scene.camera = camera()
bpy.ops.object.light_add(location=(0, -5, 0))
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "black.blend"))

def keyframed(owner, path, frames):
    name = path.rpartition(".")[2]
    target = owner.path_resolve(path.rpartition(".")[0]) if "." in path else owner
    for frame, value in frames.items():
        setattr(target, name, value)
        owner.keyframe_insert(path, frame=frame)

scene = empty()
near_wall = wall(2.0, size=0.8)
scene.camera = camera()
scene.render.engine = "CYCLES"
keyframed(scene.camera.data, "dof.focus_distance", {1: 7.0, 11: 9.0})
keyframed(scene.camera.data, "clip_start", {1: 0.7, 11: 0.9})
keyframed(scene.camera.data, "lens", {1: 30.0, 11: 50.0})
keyframed(scene, "cycles.samples", {1: 3, 11: 5})
keyframed(scene, "view_settings.exposure", {1: 2.0, 11: 3.0})
keyframed(near_wall, "location", {1: (0, 2, 0), 11: (0, 4, 0)})
camera(name="bound")
for frame in (1, 5):
    scene.timeline_markers.new(str(frame), frame=frame).camera = bpy.data.objects["bound"]
scene.view_layers[0].use = False
scene.view_layers.new("second")
scene.view_layers.new("third")
scene.cycles.sample_offset, scene.cycles.use_sample_subset = 7, True
scene.cycles.film_transparent_glass = True
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "animated.blend"))

(folder / "corrupt.blend").write_bytes((folder / "walls.blend").read_bytes()[:3000])
(folder / "text.blend").write_text("not a blend file")
"""


_OPEN_ANIMATED = """
import bpy, json, sys
from blender_scripts import blend_file, rendering

warnings = blend_file.open_scene(sys.argv[1], blend_file.View(camera="view", frame=11), width=48, height=32)
scene = bpy.context.scene
found = {"lens": scene.camera.data.lens, "samples": scene.cycles.samples}
rendering.configure(scene, 48, 32)
scene.cycles.samples, scene.camera.data.dof.focus_distance = 64, 1.5
with rendering._Slice(scene, (0.1, 1e6)):
    # As every render does: whatever is animated takes its value of the frame.
    scene.frame_set(scene.frame_current)
    slice_m = scene.camera.data.clip_start, scene.camera.data.clip_end
print(json.dumps({
    "warnings": warnings,
    "found": found,
    "slice_m": slice_m,
    "camera": scene.camera.name,
    "focus_distance": scene.camera.data.dof.focus_distance,
    "samples": scene.cycles.samples,
    "exposure": scene.view_settings.exposure,
    "wall": bpy.data.objects["Plane"].location[1],
    "layers": [layer.name for layer in scene.view_layers if layer.use],
    "subset": [scene.cycles.sample_offset, scene.cycles.use_sample_subset, scene.cycles.film_transparent_glass],
}))
"""


@pytest.fixture(scope="module")
def blends(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blends")
    subprocess.run([sys.executable, "-c", _MAKE_BLENDS, str(folder)], check=True, capture_output=True)
    return folder


def test_own_blend_files_render_and_each_fault_is_named(blends, tmp_path, capsys):
    names = ["walls", "no_camera", "ortho", "nothing", "corrupt", "text"]
    out = tmp_path / "set"
    files = [str(blends / f"{name}.blend") for name in names]
    assert render_blb.main([*TINY, "--out", str(out), "--blend", *files]) == 1
    error = capsys.readouterr().err
    for part in (
        "walls.blend: 1 missing texture, seen as magenta: lost",
        "walls.blend: has no lights; lit by a neutral sky",
        "no_camera.blend: has no camera; looking at everything",
        "ortho.blend: camera 'view' is ortho",
        "nothing.blend: holds nothing that can be seen",
        "corrupt.blend: Blender cannot open it",
        "text.blend: Blender cannot open it",
        "4 failed: ortho.blend, nothing.blend, corrupt.blend, text.blend",
    ):
        assert part in error, part
    assert "Traceback" not in error

    walls, no_camera = Dataset(out)
    assert not verify(out).problems
    # Focus and blur fit the walls at 8 m and 2 m, and ignore the file's own lens and border.
    assert walls.info["focus_distances"] == pytest.approx([8.0, 2.0], rel=1e-4)
    assert walls.info["blur_parameters"] == pytest.approx([10.0 / (1 / 2 - 1 / 8)], rel=1e-4)
    assert 0.1 < (no_camera.depth() < HALF_MAX).mean() < 0.9


def test_animation_of_a_file_moves_its_objects_and_leaves_lens_and_sampling_to_us(blends):
    command = [sys.executable, "-c", _OPEN_ANIMATED, str(blends / "animated.blend")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    # The file's values at frame 11 ...
    assert told["found"] == {"lens": 50.0, "samples": 5}
    assert told["wall"] == pytest.approx(4.0)
    # ... do not replace the values that we set, and the camera is the requested one, not that of a marker.
    assert (told["focus_distance"], told["samples"], told["exposure"]) == (1.5, 64, 0.0)
    assert told["camera"] == "view"
    # A layer does not show more than the picture.
    assert told["slice_m"] == pytest.approx([0.9, 1000.0])
    assert told["layers"] == ["second"]
    assert "has 2 view layers; rendering 'second' alone" in told["warnings"]
    assert told["subset"] == [0, False, False]


def test_camera_that_is_not_there_is_named_with_those_that_are(blends, tmp_path, capsys):
    arguments = [*TINY, "--out", str(tmp_path / "set"), "--blend", str(blends / "walls.blend"), "--camera", "front"]
    # None of the given files can be used.
    assert render_blb.main(arguments) == 2
    assert "has no camera 'front'; there are: view" in capsys.readouterr().err


def test_refused_scene_leaves_nothing_behind(blends, tmp_path, capsys):
    out = tmp_path / "set"
    assert render_blb.main([*TINY, "--out", str(out), "--blend", str(blends / "black.blend")]) == 2
    printed = capsys.readouterr()
    assert "black.blend): the picture is black" in printed.err
    assert f"error: {out}: no scene was made" in printed.err and "look at them" not in printed.out
    assert not list(out.glob(".*")) and not list(out.glob("0*"))


_TELL = """
import bpy, json, sys
from types import SimpleNamespace
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from blender_scripts import blend_file, rendering, surroundings

folder, told = sys.argv[1], {}
def open_scene(name, width=48, height=32, **view):
    return blend_file.open_scene(f"{folder}/{name}.blend", blend_file.View(**view), width=width, height=height)

for name in ("grouped", "instances", "tiles", "linked", "dome", "sky_box", "hall", "backdrop"):
    told[name] = open_scene(name)
    told[f"skies of {name}"] = surroundings.skies(bpy.context.scene)
    if name == "instances":
        told["camera"] = list(bpy.context.scene.camera.location)

for width, height in ((48, 32), (20, 40)):
    told["stage"] = open_scene("stage", width, height)
    scene = bpy.context.scene
    rendering.configure(scene, width, height)
    cube = bpy.data.objects["Cube"]
    corners = [cube.matrix_world @ Vector(corner) for corner in cube.bound_box]
    told[f"seen at {width} x {height}"] = [list(world_to_camera_view(scene, scene.camera, c)) for c in corners]

told["glow"] = open_scene("glow", frame=11)
told["without scripts"] = bpy.data.objects["driven"].location[1]
# It would run, were it let.
bpy.ops.wm.open_mainfile(filepath=f"{folder}/glow.blend", load_ui=False, use_scripts=True)
bpy.context.scene.frame_set(11)
told["with scripts"] = bpy.data.objects["driven"].location[1]

# Nobody can write files of 2.79 any more.
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.mesh.primitive_plane_add()
for name in ("internal", "of cycles"):
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    bpy.context.object.data.materials.append(material)
material.node_tree.nodes.new("ShaderNodeBsdfGlass")
told["new"] = blend_file._old_materials()
blend_file.bpy = SimpleNamespace(data=SimpleNamespace(version=(2, 79, 0), materials=bpy.data.materials))
told["old"] = blend_file._old_materials()
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(blends):
    """Warnings about files that are only opened. The file `script_ran` exists if a script ran without permission."""
    assert not (blends / "script_ran").exists()
    done = subprocess.run([sys.executable, "-c", _TELL, str(blends)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_light_in_a_group_of_nodes_and_things_in_an_instance_are_seen(told):
    assert told["grouped"] == []
    assert told["instances"] == ["has no camera; looking at everything from the front, right and above"]
    # The new camera looks at the instance.
    assert told["camera"][0] == pytest.approx(40.0, abs=5.0)


def test_boxes_and_domes_around_the_camera_are_skies_and_the_walls_of_a_room_are_not(told):
    # The dome is far beyond everything. The box is not, but does nothing except shine. A ground has nothing above it.
    assert told["skies of dome"] == ["Sphere"] and told["skies of sky_box"] == ["Cube"]
    assert told["skies of hall"] == told["skies of backdrop"] == []


def test_a_camera_for_a_file_without_one_fits_the_subject_into_the_picture(told):
    assert (
        told["stage"][0] == "has no camera; looking at everything but Icosphere, Plane from the front, right and above"
    )
    for size in ("48 x 32", "20 x 40"):
        # (right, up) in parts of the picture.
        seen = np.array(told[f"seen at {size}"])[:, :2]
        assert (seen > 0.0).all() and (seen < 1.0).all()
        assert np.ptp(seen, axis=0).max() > 0.75


def test_the_background_counts_as_a_surface_where_blb_is_asked_for(blends, tmp_path):
    """The walls are at 8 m and 2 m, beside them is nothing. The largest blur radius is 10 px in either set."""
    focus = {}
    for rule in ([], ["--blb-focus"]):
        out = tmp_path / f"set{len(rule)}"
        assert render_blb.main([*TINY, *rule, "--blend", str(blends / "sky.blend"), "--out", str(out)]) == 0
        folder = Dataset(out)[0]
        focus[len(rule)] = folder.info["focus_distances"]
        assert (folder.depth() == HALF_MAX).mean() > 0.1
        defocus = [abs(folder.lens(0, f).defocus_px(folder.disparity())).max() for f in range(2)]
        assert max(defocus) == pytest.approx(10.0, rel=1e-4)
        assert not verify(out).problems
    assert focus[0] == pytest.approx([8.0, 2.0], rel=1e-4)
    assert focus[1] == pytest.approx([HALF_MAX, 2.0], rel=1e-4)
    # One set is not continued by the other rule.
    assert render_blb.main([*TINY, "--blend", str(blends / "sky.blend"), "--out", str(tmp_path / "set1")]) == 2


def test_a_sky_box_has_its_depth_and_no_focus(blends, tmp_path, capsys):
    files = [str(blends / f"{name}.blend") for name in ("dome", "sky_box", "hall")]
    assert render_blb.main([*TINY, "--blend", *files, "--out", str(tmp_path / "set")]) == 0
    dome, box, hall = Dataset(tmp_path / "set")
    assert not verify(tmp_path / "set").problems
    for folder in (dome, box):
        assert folder.info["focus_distances"] == pytest.approx([8.0, 2.0], rel=1e-3)
    assert 200.0 < dome.depth().max() < 400.0 and box.depth().max() == pytest.approx(10.0, rel=1e-3)
    assert hall.info["focus_distances"] == pytest.approx([10.0, 2.0], rel=1e-3)
    error = capsys.readouterr().err
    assert "dome.blend: focuses on nothing that is taken for a sky: Sphere" in error
    assert "hall.blend" not in error


def test_a_sky_box_has_no_focus_in_a_light_field_either(blends, tmp_path):
    arguments = [*SIZE, "--blur-levels", "1", "--focus-count", "2", "--samples", "8", "--device", "cpu"]
    assert render_blb.main([*arguments, "--blend", str(blends / "sky_box.blend"), "--out", str(tmp_path)]) == 0
    (box,) = Dataset(tmp_path)
    assert box.info["focus_distances"] == pytest.approx([8.0, 2.0], rel=1e-3)
    # It is there in the pictures: only the camera of one render does not see it.
    assert box.depth().max() == pytest.approx(10.0, rel=1e-3) and box.image().min() > 0.0


def test_focus_distances_are_those_that_are_named(blends, tmp_path, capsys):
    walls = ["--blend", str(blends / "walls.blend")]
    assert render_blb.main([*TINY, *walls, "--focus-range", "2", "4", "--out", str(tmp_path / "range")]) == 0
    (folder,) = Dataset(tmp_path / "range")
    assert folder.info["focus_distances"] == pytest.approx([4.0, 2.0])
    # With the focus at 2 m, the wall at 8 m has the largest radius.
    assert folder.info["blur_parameters"] == pytest.approx([10.0 / (1 / 2 - 1 / 8)], rel=1e-4)
    assert "nothing is sharp" not in capsys.readouterr().err
    named = [argument for argument in TINY if argument not in ("--focus-count", "2")]
    distances = ["--focus-distances", "1", "inf", "3"]
    assert render_blb.main([*named, *walls, *distances, "--out", str(tmp_path / "named")]) == 0
    (folder,) = Dataset(tmp_path / "named")
    assert folder.info["focus_distances"] == pytest.approx([HALF_MAX, 3.0, 1.0])
    assert folder.info["blur_parameters"] == pytest.approx([10.0 / (1 / 1 - 1 / 8)], rel=1e-4)
    assert not verify(tmp_path / "named").problems
    told = "nothing is sharp at a focus of 6.55e+04, 1 m: what the camera sees is 2 to 8 m away"
    assert told in capsys.readouterr().err


def test_a_camera_stands_and_looks_where_it_is_told(blends, tmp_path):
    walls = ["--blend", str(blends / "walls.blend")]
    behind = ["--camera-at", "0", "-2", "0", "--look-at", "0", "8", "0"]
    assert render_blb.main([*TINY, *walls, *behind, "--out", str(tmp_path / "behind")]) == 0
    (folder,) = Dataset(tmp_path / "behind")
    assert folder.info["focus_distances"] == pytest.approx([10.0, 4.0], rel=1e-4)
    source = folder.scene_document["source"]
    assert (source["at"], source["look_at"]) == ([0.0, -2.0, 0.0], [0.0, 8.0, 0.0])
    # The wall of 0.8 m is in the middle of a picture of 48 px: 0.8 / 4 of 50 mm, on 36 mm.
    near = folder.depth() < 5.0
    assert near[16].sum() == pytest.approx(0.8 / 4 * 50 / 36 * 48, abs=2)
    assert near[16, 23] and near[16, 24]


def test_cameras_and_frames_of_files_are_listed(blends, capsys):
    files = [str(blends / f"{name}.blend") for name in ("animated", "ortho", "no_camera", "text")]
    assert render_blb.main(["--list", "--blend", *files]) == 1
    printed = capsys.readouterr()
    animated, ortho, no_camera = (part.splitlines() for part in printed.out.split(str(blends) + "/")[1:])
    assert animated == [
        "animated.blend: frames 1 to 250, 24 a second, saved at 1",
        "  camera 'bound': 50 mm, active",
        "  camera 'view': 30 mm",
        "  from frame 1 on: camera 'bound'",
        "  from frame 5 on: camera 'bound'",
    ]
    assert ortho[1:] == ["  camera 'view': orthographic, without a thin lens, active"]
    assert no_camera[1].startswith("  no camera")
    assert "text.blend: Blender cannot open it" in printed.err


def test_tiles_are_looked_for_one_by_one_and_pictures_of_a_library_beside_it(told):
    assert told["tiles"][0] == "1 missing texture, seen as magenta: part"
    assert not any("missing" in line for line in told["linked"])


def test_materials_of_blender_internal_are_named(told):
    assert told["new"] == []
    assert told["old"] == [
        "saved by Blender 2.79; 1 material of Blender Internal, of which the plain colour alone is seen: internal"
    ]


def test_nothing_in_a_file_runs(told):
    # A driver that may not run gives 0.
    assert (told["without scripts"], told["with scripts"]) == (0.0, 12.0)
    assert told["glow"] == ["holds scripts or drivers in Python, which do not run: values that they set are 0"]


def test_light_reaches_the_file_as_it_is_and_no_script_runs(blends, tmp_path):
    (blends / "script_ran").unlink(missing_ok=True)
    arguments = [*TINY, "--out", str(tmp_path / "set"), "--blend", str(blends / "glow.blend"), "--frame", "11"]
    assert render_blb.main(arguments) == 0
    scene = Dataset(tmp_path / "set")[0]
    # Two walls emit the same light, so every sample of every pixel has this value. Half floats hold it exactly.
    for picture in (scene.image(), scene.bokeh(0, 0), scene.bokeh(0, 1)):
        np.testing.assert_allclose(picture, np.broadcast_to([0.25, 0.5, 2.0], picture.shape), rtol=1e-3)
    assert scene.info["focus_distances"] == pytest.approx([8.0, 2.0], rel=1e-4)
    assert not (blends / "script_ran").exists()
