"""Layers of camera scenes reach the renderers: as true as billboards, and with the disparity of what covers a texel.

The scenes are flat, written as if Blender had rendered them, so that the tracer knows the truth.
"""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bokehdata.format import DatasetError, bokeh_settings
from bokehdata.images import read_exr_plane, write_exr_plane
from bokehdata.kinds.camera import CameraFolder, CameraScene, DepthLayer, layered_depth_image, write_camera_scene
from bokehdata.opening import open_cases
from bokehdata.reader import Dataset
from bokehdata.writer import DatasetWriter, SceneWriter
from evaluation.benchmark import main
from raytrace.tracer import Tracer
from renderers import RENDERERS
from renderers.base import RendererError
from scenes.billboard import Billboard, Scene
from scenes.color import HALF_MAX, display_from_linear, linear_from_display
from scenes.layered import SceneError
from scenes.layered_depth import DepthImage, LayeredDepthImage
from scenes.lens import ThinLens, blur_radius_max_px
from scenes.stack import Stack

WIDTH, HEIGHT, OVERSCAN = 72, 56, 12
NEAR, FAR = 0.8, 0.2  # 1/m
# Focus on the far and on the near layer: a blur radius of 9 px for the other.
STACK = Stack((15.0,), (FAR, NEAR), pixel="point")
# Distances that bound the two layers.
BETWEEN_M = 2.5


def billboards() -> Scene:
    """A bright disk with an edge of partly covered texels over a dark texture."""
    shape = (HEIGHT + 2 * OVERSCAN, WIDTH + 2 * OVERSCAN)
    y, x = np.indices(shape)
    front, back = np.ones((*shape, 4)), np.ones((*shape, 4))
    front[..., :3] = (0.7 + 0.25 * np.sin(x / 2.0 + y / 3.0))[..., None]
    front[..., 3] = np.clip(18.5 - np.hypot(y - shape[0] / 2 + 0.5, x - shape[1] / 2 + 0.5), 0.0, 1.0)
    back[..., :3] = (0.2 + 0.15 * np.cos(x / 3.0 - y / 2.0))[..., None] * (0.3, 0.6, 1.0)
    layers = Billboard(front.astype(np.float16), NEAR), Billboard(back.astype(np.float16), FAR)
    return Scene(layers, WIDTH, HEIGHT, OVERSCAN)


def as_rendered(scene: Scene) -> CameraScene:
    """What Blender leaves of it: a layer has a disparity only where the ray through a texel's centre hits it."""
    front, back = (layer.rgba.copy() for layer in scene.layers)
    hit = front[..., 3] >= 0.5
    front[front[..., 3] == 0.0] = 0.0
    layers = (
        DepthLayer(front, np.where(hit, np.float32(NEAR), np.float32(0.0)), 0.5 / NEAR, BETWEEN_M),
        DepthLayer(back, np.full(back.shape[:2], FAR, np.float32), BETWEEN_M, HALF_MAX),
    )
    return CameraScene(scene.composite_depth(), 0.05, 0.036, {"name": "disk"}, layers, OVERSCAN)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    root, scene = tmp_path_factory.mktemp("data") / "camera", billboards()
    with DatasetWriter(root, {"recipe": "test"}) as writer:
        with SceneWriter(root, 0) as folder:
            write_camera_scene(folder, as_rendered(scene), STACK, seed=0)
            folder.write_image(scene.composite())
            for setting in bokeh_settings(STACK):
                render = Tracer("cpu").render(scene, STACK.lens(*setting[:2]), noise=1e-3)
                folder.write_bokeh(setting, render.linear[0], noise_rmse=1e-3, samples=64)
        writer.add(folder.entry)
    return root


@pytest.fixture(scope="module")
def folder(dataset) -> CameraFolder:
    (folder,) = Dataset(dataset)
    assert isinstance(folder, CameraFolder)
    return folder


def rmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(a - b))))


# ---------- what renderers make of them


@pytest.mark.parametrize("focus_index", [0, 1])
def test_layers_of_a_flat_camera_scene_blur_like_its_billboards(folder, focus_index):
    image, disparity, lens = display_from_linear(folder.image()), folder.disparity(), folder.lens(0, focus_index)
    refocused = RENDERERS["drbokeh"](image, disparity, lens, scene=folder.layers())
    # The same numbers in the same order: nothing may differ but the light under alpha 0, of which there is none.
    np.testing.assert_array_equal(refocused, RENDERERS["drbokeh"](image, disparity, lens, scene=billboards()))


@pytest.mark.parametrize("focus_index", [0, 1])
def test_true_layers_bring_dr_bokeh_to_the_truth_where_depth_changes(folder, focus_index):
    image, disparity, lens = display_from_linear(folder.image()), folder.disparity(), folder.lens(0, focus_index)
    truth = display_from_linear(folder.bokeh(0, focus_index))
    y, x = np.indices(disparity.shape) + 0.5
    # The edge lies 18 px from the middle, and the blur reaches 9 px to both sides of it.
    at_edge = np.abs(np.hypot(y - HEIGHT / 2, x - WIDTH / 2) - 18.0) < 9.0
    errors = {
        name: rmse(RENDERERS[name](image, disparity, lens, scene=folder.layers())[at_edge], truth[at_edge])
        for name in ("drbokeh", "drbokeh-single")
    }
    # The truth has a noise of 0.001; a picture without layers lacks what is hidden, and the rim of what hides it.
    assert errors["drbokeh"] < 0.1 * errors["drbokeh-single"]


def test_light_at_a_silhouette_is_blurred_like_the_surface_it_is_of(folder):
    """As if the rays through the centres of its half-covered texels had not missed it."""
    layers = folder.layers()
    assert isinstance(layers, LayeredDepthImage)
    front, back = layers.layers
    stored = folder.depth_layers()[0]
    assert ((stored.rgba[..., 3] > 0.0) & (stored.disparity == 0.0)).any()
    np.testing.assert_array_equal(front.disparity, np.float32(NEAR))
    np.testing.assert_array_equal(back.disparity, np.float32(FAR))


def test_what_no_ray_hits_stands_where_the_nearest_surface_does():
    rgba = np.ones((5, 9, 4), np.float16)
    disparity = np.zeros((5, 9), np.float32)
    disparity[:, 0], disparity[2, 8] = [0.6, 0.7, 0.8, 0.9, 1.0], 2.0
    near, far = DepthLayer(rgba, disparity, 0.4, 2.0), DepthLayer(rgba, disparity, 2.0, HALF_MAX)
    layers = layered_depth_image((near, far), width=9, height=5, overscan=0)
    filled = layers.layer_disparity(0)
    np.testing.assert_array_equal(filled[:, :3], np.repeat(disparity[:, :1], 3, axis=1))
    np.testing.assert_array_equal(filled[:, 7:], 2.0)
    # In the farthest layer 0 is a distance: that of the sky.
    np.testing.assert_array_equal(layers.layer_disparity(1), disparity)


def test_a_haze_that_no_ray_hits_stands_at_the_far_end_of_its_layer():
    rgba = np.full((3, 4, 4), 0.25, np.float16)
    layer = DepthLayer(rgba, np.zeros((3, 4), np.float32), 1.0, 2.5)
    back = DepthLayer(np.ones_like(rgba), np.zeros((3, 4), np.float32), 2.5, HALF_MAX)
    np.testing.assert_array_equal(
        layered_depth_image((layer, back), 4, 3, 0).layer_disparity(0), np.full((3, 4), 0.4, np.float32)
    )


@pytest.mark.parametrize("name", ["drbokeh", "drbokeh-release"])
def test_layers_without_overscan_go_on_beyond_the_frame(name):
    """No border is darker, nor does a layer that fills the frame let light through there."""
    rgba = np.ones((20, 26, 4), np.float16)
    rgba[..., :3] = 0.25
    bright = rgba.copy()
    bright[..., :3] = 1.0
    layers = DepthImage(rgba, np.full((20, 26), 0.9, np.float32)), DepthImage(bright, np.zeros((20, 26), np.float32))
    scene = LayeredDepthImage(layers, 26, 20, overscan=0)
    image = display_from_linear(rgba[..., :3].astype(np.float32))
    refocused = RENDERERS[name](image, scene.composite_disparity(), ThinLens(10.0, 0.1), scene=scene)
    # Sums of weights in float32.
    np.testing.assert_allclose(refocused, image, atol=2e-5)


def floor(cut: float | None) -> LayeredDepthImage:
    """A bright floor that comes nearer towards the bottom, over the dark inside of the house.

    cut   disparity at which it is cut in two layers, None for one
    """
    height, width, overscan = 48, 40, 10
    shape = (height + 2 * overscan, width + 2 * overscan)
    y, x = np.indices(shape)
    disparity = np.linspace(0.2, 1.0, shape[0], dtype=np.float32)[:, None].repeat(shape[1], axis=1)
    rgba = np.ones((*shape, 4), np.float16)
    rgba[..., :3] = (0.6 + 0.3 * np.sin(x / 2.0) * np.cos(y / 3.0))[..., None]
    if cut is None:
        return LayeredDepthImage((DepthImage(rgba, disparity),), width, height, overscan)
    near, far = rgba.copy(), rgba.copy()
    near[disparity < cut] = 0.0
    far[disparity >= cut, :3] = 0.0
    inside = np.where(disparity >= cut, np.float32(0.1), disparity)
    layers = DepthImage(near, np.maximum(disparity, np.float32(cut))), DepthImage(far, inside)
    return LayeredDepthImage(layers, width, height, overscan)


@pytest.mark.parametrize("focus_disparity", [0.2, 0.6, 1.0])
def test_a_surface_that_is_cut_blurs_like_a_whole_one(focus_disparity):
    lens = ThinLens(10.0, focus_disparity)
    whole, cut = floor(None), floor(0.5)
    image = display_from_linear(whole.frame_rgba(0)[..., :3].astype(np.float32))
    expected, refocused = (
        linear_from_display(RENDERERS["drbokeh"](image, scene.composite_disparity(), lens, scene=scene))
        for scene in (whole, cut)
    )
    # At the cut the nearer half of a disk counts 3/4 and the other 1/4, which is off by a quarter of the difference of
    # their means: 0.05 of 0.2. What is under the floor is black, and would take away a quarter of the light there.
    np.testing.assert_allclose(refocused, expected, atol=0.06)


def test_a_surface_that_is_cut_goes_on_behind_the_cut_as_far_as_the_lens_sees():
    scene, lens = floor(0.5), ThinLens(10.0, 0.2)
    repeats = scene.for_lens(lens).repeats(1)
    assert repeats is not None
    reach_px = math.ceil(blur_radius_max_px(lens, scene.composite_disparity()))
    assert (repeats.sum(axis=0) == 1 + reach_px).all()


def test_what_stands_on_a_surface_that_is_cut_does_not_go_on_behind_the_cut():
    """A post on the nearer part; the floor goes on beside it."""
    scene, lens = floor(0.5), ThinLens(5.0, 0.2)
    nearer, farther = scene.layers
    columns, disparity = slice(20, 26), nearer.disparity.copy()
    disparity[:, columns] += 0.6
    posted = replace(scene, layers=(replace(nearer, disparity=disparity), farther))
    repeats = posted.for_lens(lens).repeats(1)
    assert repeats is not None and repeats.shape == disparity.shape
    assert not repeats[:, columns].any() and repeats[:, :20].any() and repeats[:, 26:].any()


def test_a_surface_is_not_continued_over_an_edge(folder):
    layers = folder.layers()
    mended = layers.for_lens(folder.lens(0, 0))
    for mended_layer, layer in zip(mended.layers, layers.layers, strict=True):
        np.testing.assert_array_equal(mended_layer.rgba, layer.rgba)
        np.testing.assert_array_equal(mended_layer.disparity, layer.disparity)


def test_the_oracle_says_that_it_cannot_trace_what_is_not_flat(folder):
    image, disparity = display_from_linear(folder.image()), folder.disparity()
    with pytest.raises(RendererError, match="traces flat layers"):
        RENDERERS["oracle-layers"](image, disparity, folder.lens(0, 0), scene=folder.layers())


def test_layers_of_another_size_than_the_picture_are_named():
    image, disparity = np.ones((HEIGHT, WIDTH + 1, 3), np.float32), np.ones((HEIGHT, WIDTH + 1), np.float32)
    with pytest.raises(RendererError, match=r"the scene is \(56, 72\), the image \(56, 73\)"):
        RENDERERS["drbokeh"](image, disparity, ThinLens(3.0, 0.0), scene=billboards())


@pytest.mark.parametrize(
    ("disparity", "message"),
    [
        (np.ones((4, 6), np.float32), r"disparity of layer 0 is \(4, 6\) float32, not \(4, 5\) float32"),
        (np.ones((4, 5)), "float64"),
        (np.full((4, 5), np.nan, np.float32), "disparity of layer 0 holds values"),
        (np.full((4, 5), -0.1, np.float32), "disparity of layer 0 holds values"),
    ],
)
def test_disparities_that_do_not_fit_are_named(disparity, message):
    with pytest.raises(SceneError, match=message):
        LayeredDepthImage((DepthImage(np.ones((4, 5, 4), np.float16), disparity),), 5, 4, 0)


# ---------- the benchmark


def test_a_case_has_the_layers_and_its_digest_covers_them(dataset, tmp_path):
    copy = shutil.copytree(dataset, tmp_path / "copy")
    before = [case.digest() for case in open_cases(copy)]
    case = open_cases(copy)[0]
    assert isinstance(case.layers(), LayeredDepthImage)
    path = copy / "000000" / "layers" / "00_disparity.exr"
    write_exr_plane(path, read_exr_plane(path) * np.float32(0.99))
    assert all(a != b.digest() for a, b in zip(before, open_cases(copy), strict=True))


def test_layers_that_do_not_fit_together_are_a_broken_dataset(dataset, tmp_path):
    copy = shutil.copytree(dataset, tmp_path / "copy")
    write_exr_plane(copy / "000000" / "layers" / "00_disparity.exr", np.ones((4, 5), np.float32))
    with pytest.raises(DatasetError, match="000000: the disparity of layer 0 is"):
        open_cases(copy)[0].layers()


def test_the_benchmark_gives_dr_bokeh_the_layers_and_records_why_the_oracle_fails(dataset, folder, tmp_path):
    out = tmp_path / "out"
    arguments = ["--no-lpips", "--data", str(dataset), "--renderers", "drbokeh,oracle-layers", "--out", str(out)]
    # One of the two fails on every picture.
    assert main(arguments) == 1
    rows = json.loads((out / "results.json").read_text())["rows"]
    by_name = {(row["renderer"], row["image"]): row for row in rows}
    image, disparity = display_from_linear(folder.image()), folder.disparity()
    for focus_index in (0, 1):
        truth = np.clip(display_from_linear(folder.bokeh(0, focus_index)), 0.0, 1.0)
        refocused = RENDERERS["drbokeh"](image, disparity, folder.lens(0, focus_index), scene=folder.layers())
        row = by_name["drbokeh", f"000000/bokeh_00_{focus_index:02d}"]
        # The benchmark works in single precision.
        assert row["rmse"] == pytest.approx(rmse(np.clip(refocused, 0, 1), truth), rel=1e-4)
        assert "traces flat layers" in by_name["oracle-layers", f"000000/bokeh_00_{focus_index:02d}"]["error"]
