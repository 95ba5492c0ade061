"""The bias of a denoiser is told apart from the noise of both pictures."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bokehdata.format import bokeh_settings
from bokehdata.kinds.camera import CameraScene, write_camera_scene
from bokehdata.writer import DatasetWriter, SceneWriter
from scenes.color import linear_from_display
from scenes.stack import Stack

COMMAND = Path(__file__).parents[1] / "benchmarks" / "denoiser.py"
HEIGHT, WIDTH = 96, 128


def dataset(root: Path, *, bias: float, noise: float, seed: int, blur_parameters: tuple[float, ...] = (5.0,)) -> Path:
    """A light field of one grey scene: display values of 0.5 + bias and independent noise, which it states.

    All in focus the bias is twice as large.
    """
    rng, stack = np.random.default_rng(seed), Stack(blur_parameters, (0.2, 0.8), pixel="box+tent")

    def picture(bias: float) -> NDArray:
        return linear_from_display(0.5 + bias + noise * rng.standard_normal((HEIGHT, WIDTH, 3), np.float32))

    with DatasetWriter(root, {"recipe": "test"}) as writer:
        with SceneWriter(root, 0) as folder:
            scene = CameraScene(np.full((HEIGHT, WIDTH), 2.0, np.float32), 0.05, 0.036, {"name": "grey"}, (), 0)
            write_camera_scene(folder, scene, stack, seed=0)
            folder.write_image(picture(2.0 * bias), noise_rmse=noise, samples=64)
            for setting in bokeh_settings(stack):
                folder.write_bokeh(setting, picture(bias), noise_rmse=noise, samples=64)
        writer.add(folder.entry)
    return root


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_bias_is_what_the_noise_of_both_leaves(tmp_path):
    """Of pictures of one lens. The other blur of the truth has no partner, and the levels have other numbers."""
    truth = dataset(tmp_path / "truth", bias=0.0, noise=0.03, seed=1, blur_parameters=(2.0, 5.0))
    denoised = dataset(tmp_path / "denoised", bias=0.01, noise=0.02, seed=2)
    done = run(truth, denoised)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["000000", "2"], ["000000", "all"], ["000000", "in focus"]]
    for row, true_bias in zip(rows, (0.01, 0.01, 0.02), strict=True):
        difference, noise, noise_denoised, bias = map(float, row[2:])
        assert (noise, noise_denoised) == (0.03, 0.02)
        assert difference == pytest.approx(np.sqrt(0.03**2 + 0.02**2 + true_bias**2), abs=3e-4)
        assert bias == pytest.approx(true_bias, abs=1e-3)


def test_other_lenses_and_other_scenes_are_refused_in_a_line(tmp_path):
    truth = dataset(tmp_path / "truth", bias=0.0, noise=0.03, seed=1)
    other = dataset(tmp_path / "other", bias=0.0, noise=0.03, seed=1, blur_parameters=(6.0,))
    for folder in (other, tmp_path / "none"):
        done = run(truth, folder)
        assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
        assert str(folder) in done.stderr


@pytest.mark.parametrize(
    ("file", "named"), [("image.exr", "000000, in focus,"), ("bokeh_00_00.exr", "000000/bokeh_00_00")]
)
def test_a_picture_of_unknown_noise_is_named(tmp_path, file, named):
    truth = dataset(tmp_path / "truth", bias=0.0, noise=0.03, seed=1)
    denoised = dataset(tmp_path / "denoised", bias=0.01, noise=0.02, seed=2)
    path = denoised / "000000" / "info.json"
    info = json.loads(path.read_text())
    del info["noise_rmse"][file]
    path.write_text(json.dumps(info))
    done = run(truth, denoised)
    assert done.returncode == 2
    assert done.stderr == f"error: the noise of {named} is not known\n"
