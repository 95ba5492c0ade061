"""Light fields on disk: their views, refocused, are the pictures that a lens takes, and `verify` holds them to it.

The scene is made of billboards. Its pictures come from the tracer, which knows no views, and its views from the slow
reference, ray by ray.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from bokehdata import images
from bokehdata.format import bokeh_settings
from bokehdata.kinds import open_scene
from bokehdata.kinds.camera import CameraScene
from bokehdata.kinds.light_field import (
    LightFieldFolder,
    View,
    ViewGrid,
    grid_positions,
    view_depth_file,
    view_file,
    write_light_field_scene,
)
from bokehdata.reader import Dataset
from bokehdata.verify import verify
from bokehdata.writer import DatasetWriter, SceneWriter
from raytrace.reference import render
from raytrace.tracer import Tracer
from scenes.aperture import Character, Disk, Donut, Polygon
from scenes.billboard import Billboard, Scene
from scenes.color import HALF_MAX, display_rmse
from scenes.lens import ThinLens
from scenes.stack import Stack

WIDTH, HEIGHT = 64, 48
SIDE, RADIUS_PX = 9, 8.0
# The layers of `random_scene` are at 0.9, 0.5 and 0.1, in 1/m here.
FOCUS = (0.1, 0.5, 0.9)
STACK = Stack((5.0, RADIUS_PX / 0.8), FOCUS, pixel="box+tent")
# Views reach half the largest radius beyond the frame, and the bilinear lookup one pixel more.
GRID = ViewGrid(grid_positions(SIDE), RADIUS_PX / 0.8, RADIUS_PX / 0.8 / (0.05 / 0.036 * WIDTH), 0.5, 5, 16)
NOISE = 2e-4


def seen_from(scene: Scene, u: float, v: float) -> View:
    """The view of a lens point: the rays of one point of the lens that is focused on the middle disparity."""
    o = GRID.overscan
    extended = Scene(scene.layers, WIDTH + 2 * o, HEIGHT + 2 * o, scene.overscan - o)
    lens, point = ThinLens(GRID.blur_parameter, GRID.disparity), np.array([[u, v]])
    linear = render(extended, lens, point)
    disparity = np.zeros(linear.shape[:2], np.float32)
    y, x = np.indices(disparity.shape) + extended.overscan
    for layer in reversed(scene.layers):
        shift = lens.defocus_px(layer.disparity)
        alpha = layer.rgba[np.rint(y + shift * v).astype(int), np.rint(x + shift * u).astype(int), 3]
        disparity[alpha >= 0.5] = layer.disparity
    return View(linear.astype(np.float32), np.float32(1.0) / disparity, NOISE)


@pytest.fixture(scope="module")
def scene(random_scene: Callable[..., Scene]) -> Scene:
    rough = random_scene(rng=np.random.default_rng(4), width=WIDTH, height=HEIGHT, overscan=20)
    # Smooth, so that the pixel filter does not matter.
    layers = [
        Billboard(cv2.GaussianBlur(layer.rgba.astype(np.float32), (0, 0), 1.5).astype(np.float16), layer.disparity)
        for layer in rough.layers
    ]
    return Scene(tuple(layers), WIDTH, HEIGHT, overscan=20)


@pytest.fixture(scope="module")
def dataset(scene, taichi_cpu, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "light field"
    views = (seen_from(scene, u, v) for v in GRID.positions for u in GRID.positions)
    tracer = Tracer(taichi_cpu)
    with DatasetWriter(root, {"recipe": "layers"}) as dataset:
        with SceneWriter(root, 0) as writer:
            space = CameraScene(scene.composite_depth(), 0.05, 0.036, {"name": "layers"})
            write_light_field_scene(writer, space, GRID, views, STACK, seed=0)
            writer.write_image(scene.composite(), noise_rmse=NOISE, samples=16)
            for setting in bokeh_settings(STACK):
                lens = STACK.lens(setting.blur_index, setting.focus_index)
                linear = tracer.render(scene, lens, samples=512).linear[0]
                writer.write_bokeh(setting, linear, noise_rmse=NOISE, samples=512)
            writer.write_preview(cv2.imencode(".jpg", np.full((16, 16, 3), 90, np.uint8))[1].tobytes())
        dataset.add(writer.entry)
    return root


def opened(dataset: Path) -> LightFieldFolder:
    folder = open_scene(dataset / "000000")
    assert isinstance(folder, LightFieldFolder)
    return folder


def test_it_is_a_dataset_without_problems(dataset):
    assert verify(dataset).problems == ()


def test_a_view_is_what_the_lens_point_sees(dataset, scene):
    folder = opened(dataset)
    assert type(Dataset(dataset)[0]) is LightFieldFolder and folder.grid == GRID
    assert GRID.positions[SIDE // 2] == 0.0 and GRID.positions[0] == -GRID.positions[-1] == -8 / 9
    row, column = 2, 7
    view = seen_from(scene, GRID.positions[column], GRID.positions[row])
    np.testing.assert_allclose(folder.view(row, column), view.linear, rtol=1e-3, atol=1e-6)  # half floats
    np.testing.assert_array_equal(folder.view_depth(row, column), view.depth)
    o = GRID.overscan
    np.testing.assert_array_equal(folder.framed_view(row, column), folder.view(row, column)[o:-o, o:-o])
    np.testing.assert_allclose(folder.framed_view(SIDE // 2, SIDE // 2), folder.image(), rtol=2e-3, atol=1e-6)


def test_three_lines_of_the_page_refocus(dataset):
    # Those of datasets/README.md, with names filled in.
    scene, o = opened(dataset), GRID.overscan
    readme = (Path(__file__).parents[1] / "datasets" / "README.md").read_text()
    shown = readme.split("(d_f - d_0) (u, v) pixels:\n\n```python\n")[1].split("```")[0]
    assert len(shown.splitlines()) == 3
    pictures, lens = [], STACK.lens(1, 2)
    given = {"K": lens.blur_parameter, "d_f": lens.focus_disparity, "d_0": GRID.disparity}
    exec(shown, {"np": np, "cv2": cv2, "scene": scene, "lens": lens, "pictures": pictures, **given})
    assert display_rmse(np.mean(pictures, axis=0)[o:-o, o:-o], scene.bokeh(1, 2)) < 0.02


@pytest.mark.parametrize("aperture", [Disk(), Polygon(3, rotation_deg=20.0), Donut(0.5)], ids=repr)
@pytest.mark.parametrize("blur_parameter, focus", [(10.0, 0.1), (10.0, 0.9), (6.0, 0.3)])
def test_refocused_views_are_the_picture_of_any_lens_within_the_aperture(
    dataset, scene, taichi_cpu, aperture, blur_parameter, focus
):
    lens = ThinLens(blur_parameter, focus, aperture)
    truth = Tracer(taichi_cpu).render(scene, lens, samples=512).linear[0]
    refocused = opened(dataset).refocused(lens)
    error = display_rmse(refocused, truth)
    # Without refocusing, or with the aperture turned, several times as much.
    assert error < 0.012
    assert display_rmse(scene.composite(), truth) > 3.0 * error


def test_views_of_plain_light_stay_as_bright_as_they_are(dataset):
    weights = GRID.weights(ThinLens(GRID.blur_parameter, 0.5))
    # The cells cover the disk: their share of the square is pi / 4.
    assert weights.mean() == pytest.approx(np.pi / 4.0, rel=0.003)
    assert GRID.weights(ThinLens(0.4 * GRID.blur_parameter, 0.5)).mean() == pytest.approx(0.04 * np.pi, rel=0.03)
    assert weights[4, 4] == 1.0 and weights[0, 0] == 0.0 and weights[0, 2] == 0.5


@pytest.mark.parametrize(
    "lens, message",
    [
        (ThinLens(12.0, 0.5), "blur parameter 12 is above the 10 of the views"),
        (ThinLens(8.0, 0.5, Character(Disk(), cat_eye=1.0)), "has a cat_eye"),
        (ThinLens(0.0, 0.5), "take the middle view"),
        (ThinLens(10.0, 2.0), "leaves the views' overscan of 5 px"),
    ],
)
def test_lens_that_the_views_cannot_make_is_refused(dataset, lens, message):
    with pytest.raises(ValueError, match=message):
        opened(dataset).refocused(lens)


# What verify finds.


def copy_without_index(dataset: Path, tmp_path: Path) -> Path:
    """A scene whose checksums nobody knows, so that only its content tells."""
    return Path(shutil.copytree(dataset / "000000", tmp_path / "000000"))


def edit_views(path: Path, **changes) -> None:
    document = yaml.safe_load((path / "scene.yaml").read_text())
    document["views"].update(changes)
    (path / "scene.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def turn_around(path: Path) -> None:
    """Views and depths as if u pointed to the left and v up."""
    for i in range(SIDE * SIDE // 2):
        for name in (view_file, view_depth_file):
            a, b = (path / name(*divmod(k, SIDE)) for k in (i, SIDE * SIDE - 1 - i))
            a.rename(path / "aside")
            b.rename(a)
            (path / "aside").rename(b)


def change(path: Path, row: int, column: int) -> None:
    view = images.read_exr(path / view_file(row, column)).astype(np.float32)
    images.write_exr_rgb(path / view_file(row, column), view[..., :1] * [0.5, 0.5, 0.5])


def far_away(path: Path, row: int, column: int) -> None:
    depth = images.read_exr_plane(path / view_depth_file(row, column))
    images.write_exr_plane(path / view_depth_file(row, column), np.full_like(depth, HALF_MAX))


@pytest.mark.parametrize(
    ("defect", "message"),
    [
        (lambda s: (s / view_file(3, 4)).unlink(), "views/03_04.exr: no such file"),
        (
            lambda s: shutil.copy(s / "image.exr", s / view_file(3, 4)),
            "views/03_04.exr: is (48, 64, 3) float16, not (58,",
        ),
        (lambda s: shutil.copy(s / view_file(0, 0), s / view_file(3, 9)), "views/03_09.exr: is not in the grid"),
        (
            lambda s: far_away(s, 8, 0),
            "views/08_00_depth.exr: moved to the middle view it agrees with depth.exr in 0 %",
        ),
        (
            lambda s: shutil.copy(s / view_depth_file(4, 6), s / view_depth_file(4, 4)),
            "views/04_04_depth.exr: moved to the middle view it agrees",
        ),
        (
            lambda s: [change(s, row, column) for row in range(SIDE) for column in range(SIDE)],
            "bokeh_01_00.exr: the views make another picture",
        ),
        (turn_around, "bokeh_01_00.exr: the views make another picture"),
        (lambda s: edit_views(s, disparity=0.45), "bokeh_01_00.exr: the views make another picture"),
        (lambda s: edit_views(s, blur_parameter=9.0), "scene.yaml: blur_parameter of the views is 9.0, by stack and"),
        (lambda s: edit_views(s, lens_radius_m=0.1), "scene.yaml: lens_radius_m of the views is 0.1, by stack and"),
        (
            lambda s: edit_views(s, positions=[-0.5, 0.5]),
            "scene.yaml: does not describe a scene (ValueError('positions",
        ),
        (lambda s: edit_views(s, overscan="all"), 'scene.yaml: does not describe a scene (ValueError("overscan of the'),
        (lambda s: edit_views(s, noise_rmse=[[0.1]]), "scene.yaml: does not describe a scene (ValueError('noise_rmse"),
        (lambda s: edit_views(s, noise_rmse="low"), "scene.yaml: does not describe a scene (ValueError("),
    ],
)
def test_defects_of_a_light_field_are_found(dataset, tmp_path, defect, message):
    path = copy_without_index(dataset, tmp_path)
    defect(path)
    problems = [str(problem) for problem in verify(path).problems]
    assert any(problem.startswith(f"000000/{message}") for problem in problems), problems


def test_a_picture_of_another_focus_is_found(dataset, tmp_path):
    path = copy_without_index(dataset, tmp_path)
    shutil.copy(path / "bokeh_01_01.exr", path / "bokeh_01_02.exr")
    (problem,) = verify(path).problems
    assert str(problem).startswith("000000/bokeh_01_02.exr: the views make another picture")


def test_torn_view_is_found_by_its_checksum(dataset, tmp_path):
    root = Path(shutil.copytree(dataset, tmp_path / "set"))
    with (root / "000000" / view_file(5, 5)).open("r+b") as file:
        file.truncate(300)
    (problem,) = verify(root).problems
    assert str(problem).startswith("000000/views/05_05.exr: has 300 bytes")
