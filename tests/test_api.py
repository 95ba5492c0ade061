"""`import bokehforge`: the public interface, and the examples that use it."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bokehforge as bf
from bokehforge import api
from raytrace.gen import main as gen
from scenes.aperture import aperture_points

ROOT = Path(__file__).parents[1]


@pytest.fixture
def white_plane() -> bf.Scene:
    """A white plane that fills the upper half of the frame and more, before a black one: 32 x 32 px, overscan 12."""
    near, far = np.zeros((56, 56, 4), np.float16), np.zeros((56, 56, 4), np.float16)
    near[:28], far[..., 3] = 1.0, 1.0
    return bf.Scene(width=32, height=32, overscan=12, layers=(bf.Billboard(near, 0.8), bf.Billboard(far, 0.2)))


def test_every_public_name_is_there_with_a_docstring():
    assert set(api.__all__) <= set(dir(bf))
    for name in api.__all__:
        assert getattr(bf, name) is getattr(api, name) and getattr(bf, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = bf.absent  # pyright: ignore[reportAttributeAccessIssue]


def test_a_traced_edge_is_the_cumulative_of_the_disk(white_plane):
    """Half of the light at the edge; at half a radius the part of a disk beyond a chord there."""
    traced = bf.trace(white_plane, bf.ThinLens(blur_parameter=10.0, focus_disparity=0.0), noise=5e-4)
    light = traced.image[:, 16, 0] ** 2.2
    radius = 8.0
    for row in (12, 15, 18):
        h = (row + 0.5 - 16.0) / radius
        expected = (math.acos(h) - h * math.sqrt(1 - h * h)) / math.pi
        assert light[row] == pytest.approx(expected, abs=0.01)
    assert traced.noise_rmse <= 5e-4


def test_lens_points_are_as_many_as_asked_for_and_arch_auto_takes_what_runs(white_plane):
    lens = bf.ThinLens(10.0, 0.0, bf.Polygon(6))
    traced = bf.trace(white_plane, lens, lens_points=64, arch="auto")
    assert traced.lens_points == 64 and math.isnan(traced.noise_rmse)
    assert len(aperture_points(lens.aperture, 64)) == 64


def test_a_renderer_and_the_scores_are_those_of_the_benchmark(white_plane):
    image = white_plane.composite()
    lens = bf.ThinLens(10.0, 0.2)
    assert "scatter" in bf.renderer_names()
    refocused = bf.refocus(image, white_plane.composite_disparity(), lens, renderer="scatter")
    scores = bf.score(refocused, image)
    assert scores["rmse"] == pytest.approx(float(np.sqrt(np.mean((np.clip(refocused, 0, 1) - image) ** 2))), rel=1e-5)
    assert "lpips" not in scores and bf.score(image, image)["psnr"] is None
    with pytest.raises(bf.RendererError, match="no renderer 'magic'"):
        bf.refocus(image, white_plane.composite_disparity(), lens, renderer="magic")


def test_lpips_is_computed_when_it_is_asked_for(white_plane):
    pytest.importorskip("torch")
    image = white_plane.composite()
    assert bf.score(image, image, lpips=True)["lpips"] == 0.0


def test_a_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(bf.DatasetError, match=str(tmp_path)):
        bf.open_dataset(tmp_path)


def test_the_first_steps_run(tmp_path):
    assert gen(["--scenes", "1", "--size", "64", "--out", str(tmp_path / "data")]) == 0
    command = [sys.executable, str(ROOT / "examples/first_steps.py"), str(tmp_path / "data")]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    lines = dict(line.split(": ") for line in said.splitlines()[1:])
    assert float(lines["scatter"].split()[0]) > float(lines["identity"].split()[0]) > 20
    assert len(lines) == 5


def test_the_notebook_runs(monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.read(ROOT / "examples/first_steps.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    errors = [output for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "error"]
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert not errors and len(pictures) >= 2
