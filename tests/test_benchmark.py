"""The benchmark measures what it says on every kind of data, survives bad renderers, and goes on where it stopped."""

import json
import math
import os
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from skimage.metrics import peak_signal_noise_ratio

from bokehdata.cases import Case
from bokehdata.format import bokeh_settings
from bokehdata.images import read_disparity, read_display, read_exr_rgb, write_png
from bokehdata.kinds.billboards import write_billboards
from bokehdata.opening import open_cases
from bokehdata.origins import scene_origin
from bokehdata.writer import DatasetWriter, SceneWriter
from evaluation import lpips
from evaluation.benchmark import main
from evaluation.external import RendererSpec, python_spec
from evaluation.protocols import PROTOCOLS, Task, best_on_lattice, tasks
from evaluation.rendering import RenderProcess
from evaluation.report import main as report
from evaluation.tables import tables
from raytrace import gen
from renderers import RENDERERS
from renderers.neural.ampn.network import AMPN
from renderers.neural.renderer import shipped
from renderers.neural.training_record import metadata_of
from scenes.billboard import Billboard, Scene
from scenes.color import REFERENCE_GAMMA
from scenes.lens import ThinLens
from scenes.recipe import load_recipe
from scenes.stack import Stack

WIDTH, HEIGHT = 64, 48
STACK = Stack((4.0, 10.0), (0.2, 0.8), (REFERENCE_GAMMA, 4.0))
METRICS = ("rmse", "rmse_s", "psnr", "ssim", "ssim_uniform7", "zncc", "lpips", "seconds")

# Renderers of somebody else: each notes its call, so that tests see what it was given and how often.
STRANGERS = """
    import json, os, signal
    import numpy as np

    def note(image, disparity, lens, gamma, scene):
        with open(os.environ["CALLS"], "a") as calls:
            call = {"k": lens.blur_parameter, "focus": lens.focus_disparity, "gamma": gamma,
                    "layers": scene is not None, "disparity": float(disparity.sum())}
            print(json.dumps(call), file=calls)

    def copy(image, disparity, lens, *, gamma, scene):
        note(image, disparity, lens, gamma, scene)
        return image

    def without_layers(image, disparity, lens, *, gamma):
        note(image, disparity, lens, gamma, None)
        return image

    def brighter(image, disparity, lens, *, gamma, scene):
        # Right at K = 12 times the focus disparity, and off by a brightness beyond it.
        return image + np.float32(abs(lens.blur_parameter / 12.0 / lens.focus_disparity - 1.0))

    def framed(image, disparity, lens, *, gamma, scene):
        # Its border is right at K = 5, and far off elsewhere.
        out = image + np.float32(0.1 * abs(lens.blur_parameter / 9.6 - 1.0))
        border = np.ones(disparity.shape, bool)
        border[2:-2, 2:-2] = False
        out[border] = image[border] * np.float32(5.0 / (5.0 + abs(lens.blur_parameter - 5.0)))
        return out

    def flat(image, disparity, lens):
        # Asks for neither gamma nor layers, and is given neither.
        return np.full_like(image, 0.5)

    def awkward(image, disparity, lens, *, gamma, scene):
        if lens.focus_disparity > 0.5: raise RuntimeError("focus too near\\nfor me")
        if lens.blur_parameter > 5.0: os.kill(os.getpid(), signal.SIGKILL)
        return image if gamma > 3.0 else image * np.nan

    def hungry(image, disparity, lens, *, gamma, scene):
        return image + np.ones(25_000_000, np.float64)[:1].astype(np.float32) * 0.0
"""


def texture(seed: int, *shape: int) -> np.ndarray:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] / 7.0
    rng = np.random.default_rng(seed)
    waves = [np.sin(x * rng.uniform(0.5, 2) + y * rng.uniform(0.5, 2) + rng.uniform(0, 6)) for _ in range(3)]
    return (0.5 + 0.45 * np.stack(waves, axis=-1)).astype(np.float32)


def write_dataset(root: Path, scenes: int, stack: Stack = STACK) -> Path:
    """Two layers, near on the left, and "truths" that only need to differ from each other."""
    with DatasetWriter(root, {"recipe": "test"}) as writer:
        for i in range(scenes):
            layers = []
            for j, disparity in enumerate((0.8, 0.2)):
                rgba = np.ones((HEIGHT, WIDTH, 4), np.float16)
                rgba[..., :3] = texture(10 * i + j, HEIGHT, WIDTH)
                if j == 0:
                    rgba[:, WIDTH // 2 :, 3] = 0.0
                layers.append(Billboard(rgba, disparity))
            with SceneWriter(root, i) as scene:
                write_billboards(scene, Scene(tuple(layers), WIDTH, HEIGHT, 0), stack, seed=0, noise=0.002)
                scene.write_image(1.5 * texture(i, HEIGHT, WIDTH))
                for number, setting in enumerate(bokeh_settings(stack)):
                    truth = texture(i, HEIGHT, WIDTH) * np.float32(1.0 + 0.1 * number)
                    scene.write_bokeh(setting, truth, noise_rmse=0.001, samples=64)
            writer.add(scene.entry)
    return root


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "pairs", 2)


@pytest.fixture(scope="module")
def blb(dataset, tmp_path_factory) -> Path:
    """The first scene as BLB would hold it."""
    root = tmp_path_factory.mktemp("blb")
    shutil.copytree(
        dataset / "000000", root / "277", ignore=shutil.ignore_patterns("layers", "*.yaml", "disparity*", "*_g*")
    )
    return root


@pytest.fixture
def strangers(tmp_path, monkeypatch) -> Path:
    """File of the STRANGERS; what `copy` was called with goes to calls.jsonl beside it."""
    path = tmp_path / "strangers.py"
    path.write_text(textwrap.dedent(STRANGERS))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls.jsonl"))
    return path


def calls(strangers: Path) -> list[dict]:
    path = strangers.with_name("calls.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def benchmark(*words) -> int:
    return main([str(word) for word in ("--no-lpips", *words)])


def results(out: Path) -> dict:
    return json.loads((out / "results.json").read_text(), parse_constant=pytest.fail)


def numbers(document: dict) -> list[dict]:
    """Rows without what may differ from run to run."""
    varying = ("seconds", "peak_memory_bytes", "start_memory_bytes")
    return [{key: value for key, value in row.items() if key not in varying} for row in document["rows"]]


# ---------- what is measured


def test_there_is_a_row_for_every_renderer_and_picture(dataset, tmp_path):
    assert benchmark("--data", dataset, "--renderers", "scatter,identity", "--out", tmp_path / "out") == 0
    document = results(tmp_path / "out")
    assert document["complete"]
    # 2 scenes of 2 blurs, 2 focus settings and 2 gammas.
    assert len(document["rows"]) == 2 * 16
    assert {(row["renderer"], row["image"]) for row in document["rows"]} == {
        (renderer, f"{scene}/{name}")
        for renderer in ("scatter", "identity")
        for scene in ("000000", "000001")
        for name in (f"bokeh_{k:02d}_{f:02d}{g}" for k in (0, 1) for f in (0, 1) for g in ("", "_g4"))
    }
    row = document["rows"][0]
    assert set(METRICS) <= set(row)
    assert (
        set(row["regions"])
        == set(document["regions"])
        == {
            "all",
            "in_focus",
            "boundaries",
            "highlights",
            "border_cropped",
        }
    )
    assert (row["level"], row["focus_index"], row["true_blur_parameter"], row["blur_parameter"]) == (1, 0, 4.0, 4.0)
    assert row["blur_radius_px"] == pytest.approx(4.0 * 0.6, rel=1e-6)
    assert document["software"]["numpy"] == np.__version__


def test_the_numbers_are_those_of_the_displayed_files(dataset, tmp_path):
    benchmark("--data", dataset, "--renderers", "identity", "--out", tmp_path / "out")
    for row in results(tmp_path / "out")["rows"]:
        scene, name = row["image"].split("/")
        image, truth = (
            np.clip(read_exr_rgb(dataset / scene / f"{file}.exr"), 0, 1).astype(np.float64) ** (1 / 2.2)
            for file in ("image", name)
        )
        # The benchmark works in single precision.
        assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, image, data_range=1.0), abs=1e-4)


def test_a_blb_folder_gives_the_same_numbers(dataset, blb, tmp_path):
    benchmark("--data", dataset, "--renderers", "identity", "--out", tmp_path / "ours")
    benchmark("--data", blb, "--renderers", "identity", "--out", tmp_path / "blb")
    ours = {row["image"].split("/")[1]: row for row in results(tmp_path / "ours")["rows"] if row["scene"] == "000000"}
    theirs = results(tmp_path / "blb")["rows"]
    assert len(theirs) == 4
    for row in theirs:
        twin = ours[row["image"].split("/")[1]]
        assert [row[name] for name in METRICS[:-1]] == [twin[name] for name in METRICS[:-1]]


def test_a_plain_folder_takes_its_lens_from_settings(strangers, tmp_path):
    root = tmp_path / "plain"
    for name in ("image", "disparity", "truth"):
        (root / name).mkdir(parents=True)
    display = texture(0, HEIGHT, WIDTH)
    write_png(root / "image" / "a.png", display)
    write_png(root / "truth" / "a.png", display * 0.5)
    disparity = np.tile(np.linspace(0, 2, WIDTH, dtype=np.float32), (HEIGHT, 1))
    np.save(root / "disparity" / "a.npy", disparity)
    settings = {"a": {"blur_parameter": 7.0, "focus_box": [10, 0, 13, HEIGHT], "gamma": 1.8}}
    (root / "settings.json").write_text(json.dumps(settings))
    assert benchmark("--data", root, "--renderers", f"{strangers}:copy", "--out", tmp_path / "out") == 0
    (row,) = results(tmp_path / "out")["rows"]
    assert row["rmse"] == pytest.approx(float(np.sqrt(np.mean((0.5 * display) ** 2))), rel=1e-4)
    call = calls(strangers)[-1]
    assert (call["k"], call["gamma"], call["layers"]) == (7.0, 1.8, False)
    # The median of columns 10, 11 and 12.
    assert call["focus"] == pytest.approx(disparity[0, 11])


def test_integer_files_are_display_values_and_floating_point_ones_linear_light(tmp_path, dataset):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((16, 16, 3), 128, np.uint8))
    assert read_display(tmp_path / "grey.png")[0, 0, 0] == pytest.approx(128 / 255)
    assert read_disparity(tmp_path / "grey.png")[0, 0] == pytest.approx(128 / 255)
    exr = dataset / "000000" / "image.exr"
    assert np.array_equal(read_display(exr), read_exr_rgb(exr) ** (1 / 2.2))


def test_a_renderer_gets_gamma_disparity_and_the_true_layers(dataset, strangers, tmp_path):
    benchmark("--data", dataset, "--renderers", f"{strangers}:copy", f"{strangers}:flat", "--out", tmp_path / "out")
    # The first picture is rendered once more, to warm up.
    seen = calls(strangers)[1:]
    assert [(call["k"], call["focus"], call["gamma"]) for call in seen[:8]] == [
        (k, f, g) for k in (4.0, 10.0) for f in (0.2, 0.8) for g in (2.2, 4.0)
    ]
    assert all(call["layers"] for call in seen)
    assert seen[0]["disparity"] == pytest.approx(HEIGHT * WIDTH * 0.5, rel=1e-5)
    assert not any("error" in row for row in results(tmp_path / "out")["rows"])


def test_a_program_exchanges_files(dataset, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, numpy as np\n"
        "image, disparity, out, k, f, g = sys.argv[1:]\n"
        "if float(f) > 0.5: sys.exit('cannot focus so near')\n"
        "a, d = np.load(image), np.load(disparity)\n"
        "assert a.dtype == d.dtype == np.float32 and a.shape[:2] == d.shape\n"
        "np.save(out, a * 0 + float(k) / 20)\n"
    )
    placeholders = "{image} {disparity} {out} {blur_parameter} {focus_disparity} {gamma}"
    command, out = f"prog={sys.executable} {program} {placeholders}", tmp_path / "out"
    assert benchmark("--data", dataset, "--limit", 8, "--commands", command, "--out", out) == 0
    rows = results(out)["rows"]
    assert sorted({row["error"] for row in rows if "error" in row}) == [
        f"RendererError: {sys.executable} ended with exit code 1: cannot focus so near"
    ]
    row = next(row for row in rows if row["image"].endswith("/bokeh_01_00"))
    truth = np.clip(read_exr_rgb(dataset / f"{row['image']}.exr"), 0, 1) ** (1 / 2.2)
    assert row["rmse"] == pytest.approx(float(np.sqrt(np.mean((0.5 - truth) ** 2))), rel=1e-5)


def test_a_renderer_that_fails_is_recorded_and_the_others_go_on(dataset, strangers, tmp_path, capsys):
    out = tmp_path / "out"
    assert benchmark("--data", dataset, "--renderers", f"{strangers}:awkward", "identity", "--out", out) == 0
    document = results(out)
    awkward = {row["image"]: row for row in document["rows"] if row["renderer"] == "awkward"}
    assert awkward["000000/bokeh_00_01"]["error"] == "RuntimeError: focus too near for me"
    assert "signal 9" in awkward["000000/bokeh_01_00"]["error"]
    assert "NaN" in awkward["000001/bokeh_00_00"]["error"]
    assert "psnr" in awkward["000000/bokeh_00_00_g4"]
    assert [r["failed"] for r in document["renderers"]] == [14, 0]
    assert "awkward failed on 000000/bokeh_00_01" in capsys.readouterr().err


@pytest.mark.parametrize("file_bytes", [0, 100, 5_000])
def test_a_full_disk_names_the_folder_of_results(dataset, tmp_path, capsys, full_disk, file_bytes):
    out = tmp_path / "results"
    with full_disk(file_bytes):
        assert benchmark("--data", dataset, "--renderers", "identity", "--out", out, "--limit", 2) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"benchmark.py: error: {out}") and "Traceback" not in "".join(lines)
    assert not list(out.glob(".*"))
    assert benchmark("--data", dataset, "--renderers", "identity", "--out", out, "--limit", 2) == 0


def test_the_first_failure_has_its_traceback_in_a_file(dataset, strangers, tmp_path, capsys):
    out = tmp_path / "out"
    assert benchmark("--data", dataset, "--renderers", f"{strangers}:awkward", "--out", out) == 0
    assert "(traceback in" in capsys.readouterr().err
    log = (out / "errors.log").read_text()
    assert log.count("Traceback") == 1 and "the renderer returned NaN" in log


def test_a_renderer_that_always_fails_is_left_out_early_and_is_the_exit_code(dataset, tmp_path, capsys):
    broken = tmp_path / "broken.py"
    broken.write_text("def method(image, disparity, lens):\n    raise ValueError('not mine')\n")
    out = tmp_path / "out"
    assert benchmark("--data", dataset, "--renderers", "identity", "--out", out) == 0
    # Though the folder holds good rows of another renderer.
    assert benchmark("--data", dataset, "--renderers", f"{broken}:method", "--out", out) == 1
    assert "method fails in the same way every time" in capsys.readouterr().err
    assert [r["rows"] for r in results(out)["renderers"] if r["name"] == "method"] == [5]
    broken.write_text("def method(image, disparity, lens):\n    return image\n")
    assert benchmark("--data", dataset, "--limit", 6, "--renderers", f"{broken}:method", "--out", out) == 0
    assert [r["rows"] for r in results(out)["renderers"] if r["name"] == "method"] == [6]


def test_a_renderer_that_never_returns_has_failed_and_the_others_go_on(dataset, tmp_path):
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import time\n"
        "def method(image, disparity, lens):\n"
        "    time.sleep(0 if lens.focus_disparity > 0.5 else 3600)\n"
        "    return image\n"
    )
    out = tmp_path / "out"
    words = ("--limit", 2, "--time-limit", 2, "--renderers", f"{slow}:method", "identity", "--out", out)
    assert benchmark("--data", dataset, *words) == 0
    rows = results(out)["rows"]
    assert [row.get("error") for row in rows if row["renderer"] == "identity"] == [None, None]
    assert {row.get("error") for row in rows if row["renderer"] == "method"} == {
        None,
        "the renderer took over 2 s (--time-limit)",
    }


def test_a_plug_in_imports_what_lies_beside_it_and_is_measured_again_when_that_changes(dataset, tmp_path, monkeypatch):
    folder, out = tmp_path / "mine", tmp_path / "out"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner/__init__.py").write_text("from .strength import STRENGTH\n")
    (folder / "inner/strength.py").write_text("STRENGTH = 1.0\n")
    (folder / "plug_in.py").write_text(
        "from inner import STRENGTH\ndef method(image, disparity, lens):\n    return image * STRENGTH\n"
    )
    errors = []
    for strength in ("1.0", "0.5"):
        (folder / "inner/strength.py").write_text(f"STRENGTH = {strength}\n")
        words = ("--limit", 1, "--renderers", f"{folder / 'plug_in.py'}:method", "--out", out)
        assert benchmark("--data", dataset, *words) == 0
        errors.append(results(out)["rows"][0]["rmse"])
    assert errors[0] != errors[1]


def test_a_command_is_measured_again_when_its_script_changes(dataset, tmp_path):
    script, out = tmp_path / "script.py", tmp_path / "out"
    errors = []
    for strength in (1.0, 0.5):
        script.write_text(
            f"import sys, numpy as np\nnp.save(sys.argv[2], np.load(sys.argv[1]) * np.float32({strength}))\n"
        )
        command = f"prog={sys.executable} {script} {{image}} {{out}}"
        assert benchmark("--data", dataset, "--limit", 1, "--commands", command, "--out", out) == 0
        errors.append(results(out)["rows"][0]["rmse"])
    assert errors[0] != errors[1]


def test_fresh_measures_again_what_is_there(dataset, tmp_path):
    """What a renderer reads besides its files may have changed without our knowing."""
    method, number, out = tmp_path / "method.py", tmp_path / "number.txt", tmp_path / "out"
    method.write_text(f"def method(image, disparity, lens):\n    return image * float(open({str(number)!r}).read())\n")
    errors = []
    for strength, options in (("1.0", ()), ("0.5", ()), ("0.5", ("--fresh",))):
        number.write_text(strength)
        words = ("--limit", 1, "--renderers", f"{method}:method", "--out", out, *options)
        assert benchmark("--data", dataset, *words) == 0
        errors.append(results(out)["rows"][0]["rmse"])
    assert errors[0] == errors[1] != errors[2]


def test_memory_is_that_of_the_renderer_alone(dataset, strangers, tmp_path):
    out = tmp_path / "out"
    benchmark("--data", dataset, "--limit", 1, "--renderers", f"{strangers}:hungry", f"{strangers}:flat", "--out", out)
    hungry, flat = results(out)["renderers"]
    # An array of 25 million doubles; half of it is what must show at least, if the system shares pages.
    assert hungry["peak_memory_bytes"] - flat["peak_memory_bytes"] > 100_000_000


# ---------- protocols


def test_a_corrupted_disparity_reaches_the_renderer_and_the_regions_stay_true(dataset, strangers, tmp_path, capsys):
    out = tmp_path / "out"
    benchmark(
        *("--data", dataset, "--protocol", "blb-corrupted", "--limit", 1, "--border", "none", "--out", out),
        *("--renderers", f"{strangers}:without_layers", f"{strangers}:copy"),
    )
    assert "left out, their true layers would not be corrupted: copy" in capsys.readouterr().err
    rows = results(out)["rows"]
    assert [row["corruption"] for row in rows] == [
        None,
        *(f"{kind}{level}" for kind in ("blur", "dilate", "erode") for level in range(1, 6)),
    ]
    # There is no level 3 in two: the middle one stands in.
    assert {row["level"] for row in rows} == {2}
    given = {row["corruption"]: call["disparity"] for row, call in zip(rows, calls(strangers)[1:], strict=True)}
    # Dilation by 2 L + 1 pixels moves the edge by L, over the whole height, by a step of 0.6.
    for level in range(1, 6):
        assert given[f"dilate{level}"] - given[None] == pytest.approx(level * HEIGHT * 0.6, rel=1e-4)
        assert given[None] - given[f"erode{level}"] == pytest.approx(level * HEIGHT * 0.6, rel=1e-4)
    assert len({json.dumps(row["regions"]) for row in rows}) == 1


def test_the_best_blur_parameter_of_each_renderer_is_found(tmp_path, strangers):
    data = write_dataset(tmp_path / "one", 1, Stack((10.0,), (0.8,)))
    # The truth is the picture itself, so the best K is where `brighter` adds nothing: 12 x 0.8.
    shutil.copy(data / "000000" / "image.exr", data / "000000" / "bokeh_00_00.exr")
    out = tmp_path / "out"
    benchmark("--data", data, "--protocol", "drbokeh", "--renderers", f"{strangers}:brighter", "--out", out)
    (row,) = results(out)["rows"]
    # The lattice has steps of 0.01 K_true.
    assert row["blur_parameter"] == pytest.approx(9.6, abs=0.1)
    assert row["true_blur_parameter"] == 10.0
    benchmark("--data", data, "--renderers", f"{strangers}:brighter", "--out", tmp_path / "true")
    (true,) = results(tmp_path / "true")["rows"]
    assert row["at_true_blur_parameter"]["rmse"] == true["rmse"] > row["rmse"]
    assert row["at_true_blur_parameter"]["regions"] == true["regions"]
    assert [10.0 * g for g in (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)] == pytest.approx(
        [k for k, _ in row["searched"] if abs(k / 2.5 - round(k / 2.5)) < 1e-9]
    )


def test_the_best_blur_parameter_is_that_of_the_region_which_the_protocol_names(tmp_path, strangers):
    """A renderer whose border is right at another K, by a large error: the border is not what is compared."""
    data = write_dataset(tmp_path / "one", 1, Stack((10.0,), (0.8,)))
    shutil.copy(data / "000000" / "image.exr", data / "000000" / "bokeh_00_00.exr")
    out = tmp_path / "out"
    # The blur reaches 10 (0.8 - 0.2) = 6 px, and the border is 2 px wide.
    benchmark("--data", data, "--protocol", "drbokeh", "--renderers", f"{strangers}:framed", "--out", out)
    (row,) = results(out)["rows"]
    assert row["blur_parameter"] == pytest.approx(9.6, abs=0.1)
    assert row["regions"]["border_cropped"]["rmse"] < 0.01 < row["rmse"]


def test_an_unknown_blur_parameter_is_searched_from_1_to_100_px(tmp_path, strangers):
    data = write_dataset(tmp_path / "one", 1, Stack((10.0,), (0.8,)))
    shutil.copy(data / "000000" / "image.exr", data / "000000" / "bokeh_00_00.exr")
    out = tmp_path / "out"
    benchmark("--data", data, "--protocol", "best-k", "--renderers", f"{strangers}:brighter", "--out", out)
    (row,) = results(out)["rows"]
    # Disparities span 0.6: whole pixels over the span nearest to 9.6 x 0.6 = 5.76 are 6.
    assert row["blur_parameter"] * 0.6 == pytest.approx(6.0, rel=1e-5)


@pytest.mark.parametrize("best", [0.25, 0.31, 0.5, 0.987, 1.0, 1.5])
def test_the_search_finds_the_minimum_to_a_step(best):
    grid = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    found, errors = best_on_lattice(lambda x: abs(x - best), grid, 0.01)
    assert found == pytest.approx(best, abs=0.0051)
    assert set(grid) <= set(errors)
    assert len(errors) < 20


def test_the_search_passes_over_what_cannot_be_rendered():
    found, _ = best_on_lattice(lambda x: float("inf") if x > 0.9 else abs(x - 1.2), (0.25, 0.5, 0.75, 1.0), 0.01)
    assert found == pytest.approx(0.9)


def stacks(scenes: int, levels: int, focuses: int, gammas: int = 1) -> list:
    """Cases of whole stacks, in the order of the data."""
    given = {"blur_parameter": 8.0, "focus_disparity": 0.5}
    return [
        Case(name=f"{s}/{k}_{f}_{g}", scene=f"{s}", level=k, focus_index=f, gamma=g, **given)
        for s in range(scenes)
        for k in range(1, levels + 1)
        for f in range(focuses)
        for g in range(gammas)
    ]


def drawn(cases: list, limit: int | None) -> list:
    return [task.case for task in tasks(PROTOCOLS["blb"], cases, limit)]


def counts(cases: list, factor: str, among: list) -> list[int]:
    """How many of the cases have each value that the factor has among others."""
    counted = Counter(getattr(case, factor) for case in cases)
    return [counted[value] for value in dict.fromkeys(getattr(case, factor) for case in among)]


def test_500_pictures_of_the_blb_levels_are_10_of_a_scene_100_of_a_level_and_50_of_a_focus():
    cases = stacks(50, 5, 10)
    chosen = drawn(cases, 500)
    assert len(chosen) == len({case.name for case in chosen}) == 500
    assert chosen == [case for case in cases if case in chosen]  # in the order of the data
    assert counts(chosen, "scene", cases) == [10] * 50
    assert counts(chosen, "level", cases) == [100] * 5
    assert counts(chosen, "focus_index", cases) == [50] * 10
    # Levels and focuses go together as often as they should, too.
    assert set(Counter((case.level, case.focus_index) for case in chosen).values()) == {10}
    assert set(Counter((case.scene, case.level) for case in chosen).values()) == {2}


def test_100_pictures_of_blb_itself_show_every_scene_at_every_level_and_focus():
    chosen = drawn(stacks(10, 5, 10), 100)
    assert len({(case.scene, case.level) for case in chosen}) == 50
    assert len({(case.scene, case.focus_index) for case in chosen}) == 100
    assert len({(case.level, case.focus_index) for case in chosen}) == 50


@examples(max_examples=60, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 6), st.integers(1, 10), st.integers(1, 4)),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_every_limit_is_balanced_and_part_of_a_larger_one(shape, share, part):
    cases = stacks(*shape)
    limit = max(1, round(share * len(cases)))
    chosen = drawn(cases, limit)
    assert len(chosen) == limit and chosen == drawn(cases, limit)
    smaller = {case.name for case in drawn(cases, max(1, round(part * limit)))}
    assert smaller <= {case.name for case in chosen}
    for factor, apart in {"scene": 2, "level": 1, "focus_index": 1, "gamma": 2}.items():
        counted = counts(chosen, factor, cases)
        assert max(counted) - min(counted) <= apart


@pytest.mark.parametrize("rhythm", [2, 5, 10])
def test_a_limit_draws_from_the_data_without_its_rhythm(rhythm):
    """Two focuses, five levels, ten scenes: the first, every second or every fifth picture would be of one kind."""
    cases = stacks(10, 5, 2)
    chosen = drawn(cases, len(cases) // rhythm)
    for factor in ("scene", "level", "focus_index"):
        counted = counts(chosen, factor, cases)
        assert min(counted) >= 1 and max(counted) - min(counted) <= 1


def test_a_limit_takes_data_without_levels_and_stacks_with_gaps():
    plain = [replace(case, level=None, focus_index=None) for case in stacks(30, 1, 1)]
    assert len(drawn(plain, 12)) == 12 and drawn(plain, 100) == drawn(plain, None) == plain
    # Some pictures are missing everywhere, and one scene has nothing but level 3.
    holes = [case for i, case in enumerate(stacks(20, 5, 10)) if i % 11 != 7]
    holes = [case for case in holes if case.scene != "4" or case.level == 3]
    chosen = drawn(holes, 200)
    assert len(chosen) == 200 and any(case.scene == "4" for case in chosen)
    whole = [case for case in holes if case.scene != "4"]
    for factor, expected in {"scene": 10, "level": 40, "focus_index": 20}.items():
        assert all(0.7 * expected <= count <= 1.3 * expected for count in counts(chosen, factor, whole))


def test_only_the_level_of_the_protocol_is_drawn_from():
    chosen = [task.case for task in tasks(PROTOCOLS["blb-corrupted"], stacks(10, 5, 10), 20) if not task.corruption]
    assert {case.level for case in chosen} == {3}
    assert set(Counter(case.scene for case in chosen).values()) == {2}
    assert set(Counter(case.focus_index for case in chosen).values()) == {2}


# ---------- going on, and other data


def test_a_benchmark_says_which_weights_it_rendered_with(dataset, tmp_path, capsys):
    words = ("--data", dataset, "--limit", 1, "--no-lpips", "--renderers", "identity", "bokehme")
    assert benchmark(*words, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    (sentence,) = [line for line in printed.splitlines() if "renders with the weights" in line]
    assert sentence.startswith("bokehme") and "arnet.safetensors (" in sentence and "iunet.safetensors (" in sentence


def with_record(folder: Path, metadata: dict[str, str] | None) -> list[Path]:
    """The weights of BokehMe that ship, with another record of what they were trained on."""
    folder.mkdir()
    for name in ("arnet", "iunet"):
        save_file(load_file(shipped("bokehme", name)), folder / f"{name}.safetensors", metadata=metadata)
    return [folder / "arnet.safetensors", folder / "iunet.safetensors"]


def test_a_benchmark_warns_where_weights_were_trained_on_what_it_measures(dataset, tmp_path, capsys):
    # The scenes are numbers 0 and 1 of seed 0.
    record = {"trained_on": {"scene of seed 0": [[1, 40]]}, "validated_on": {"scene of seed 9": [[0, 3]]}}
    weights = with_record(tmp_path / "weights", metadata_of(record))
    words = ("--data", dataset, "--limit", 4, "--renderers", "identity", "bokehme", "--out", tmp_path / "out")
    assert benchmark(*words, "--weights", *weights) == 0
    said = capsys.readouterr()
    assert "warning: bokehme was trained or validated on what 2 of the 4 rows show (arnet.safetensors" in said.err
    assert "bokehme was trained or validated on what 2 of its 4 rows show." in said.out
    document = results(tmp_path / "out")
    flags = {(row["renderer"], row["scene"]): row.get("seen_in_training") for row in document["rows"]}
    assert flags == {
        ("identity", "000000"): None,
        ("identity", "000001"): None,
        ("bokehme", "000000"): False,
        ("bokehme", "000001"): True,
    }
    assert {entry["name"]: entry["seen_in_training"] for entry in document["renderers"]} == {
        "identity": 0,
        "bokehme": 2,
    }


def test_what_chose_the_weights_counts_as_seen_and_a_network_of_two_files_has_seen_both(dataset, tmp_path, capsys):
    record = {"trained_on": {}, "validated_on": {"scene of seed 0": [[0, 0]]}}
    weights = with_record(tmp_path / "weights", metadata_of(record))
    words = ("--data", dataset, "--limit", 2, "--renderers", "bokehme")
    # Only the second file is other than what ships.
    assert benchmark(*words, "--out", tmp_path / "out", "--weights", weights[1]) == 0
    assert "validated on what 1 of the 2 rows show" in capsys.readouterr().err


@pytest.mark.parametrize("metadata", [None, {"training": "arnet, step 24000"}])
def test_weights_that_do_not_say_what_they_saw_are_named(dataset, metadata, tmp_path, capsys):
    weights = with_record(tmp_path / "weights", metadata)
    words = ("--data", dataset, "--limit", 1, "--renderers", "bokehme", "--out", tmp_path / "out")
    assert benchmark(*words, "--weights", *weights) == 0
    assert "warning: bokehme may have been trained on these pictures: the record of" in capsys.readouterr().err
    document = results(tmp_path / "out")
    assert [entry["seen_in_training"] for entry in document["renderers"]] == [None]


@pytest.mark.slow
def test_the_weights_that_ship_have_not_seen_another_seed(dataset, tmp_path, capsys):
    words = ("--data", dataset, "--limit", 1, "--renderers", "bokehme", "scatter", "--out", tmp_path / "out")
    assert benchmark(*words) == 0
    assert "warning" not in capsys.readouterr().err
    document = results(tmp_path / "out")
    assert [entry["seen_in_training"] for entry in document["renderers"]] == [0, 0]
    assert not shipped_has_seen("blb-levels", 50)


def shipped_has_seen(recipe: str, scenes: int) -> bool:
    seen = RendererSpec("bokehme", "own", "bokehme").seen()
    assert seen
    return not seen.isdisjoint(scene_origin(load_recipe(recipe).seed, number) for number in range(scenes))


def test_a_finished_run_renders_nothing_again(dataset, strangers, tmp_path):
    words = ("--data", dataset, "--renderers", f"{strangers}:copy", "--out", tmp_path / "out")
    benchmark(*words)
    before, document = len(calls(strangers)), results(tmp_path / "out")
    benchmark(*words)
    assert len(calls(strangers)) == before
    assert results(tmp_path / "out") == document


def test_a_killed_run_goes_on_and_ends_the_same(dataset, strangers, tmp_path):
    words = ("--data", dataset, "--renderers", f"{strangers}:copy", "--out", tmp_path / "out")
    benchmark(*words)
    document = results(tmp_path / "out")
    log = tmp_path / "out" / "rows.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    # A header, ten whole rows, half a row.
    log.write_bytes(b"".join(lines[:11]) + lines[11][:40])
    (tmp_path / "out" / "results.json").unlink()
    before = len(calls(strangers))
    benchmark(*words)
    # Six rows are missing, and the first call of a process is not timed.
    assert len(calls(strangers)) - before == 6 + 1
    assert numbers(results(tmp_path / "out")) == numbers(document)


def test_more_renderers_join_those_already_measured(dataset, strangers, tmp_path):
    out = tmp_path / "out"
    benchmark("--data", dataset, "--renderers", f"{strangers}:copy", "--out", out)
    before = len(calls(strangers))
    benchmark("--data", dataset, "--renderers", "identity", "--out", out)
    assert len(calls(strangers)) == before
    assert [renderer["name"] for renderer in results(out)["renderers"]] == ["copy", "identity"]
    assert len(results(out)["rows"]) == 32


def test_a_changed_renderer_or_picture_is_measured_again(strangers, tmp_path):
    data = write_dataset(tmp_path / "data", 1, Stack((4.0,), (0.2, 0.8)))
    words = ("--data", data, "--renderers", f"{strangers}:copy", "--out", tmp_path / "out")
    benchmark(*words)
    shutil.copy(data / "000000" / "bokeh_00_01.exr", data / "000000" / "bokeh_00_00.exr")
    benchmark(*words)
    # 2 + 1 to warm up, then 1 + 1.
    assert len(calls(strangers)) == 5
    strangers.write_text(strangers.read_text() + "\n# another version\n")
    benchmark(*words)
    assert len(calls(strangers)) == 8


def test_a_folder_of_other_results_is_left_alone(dataset, tmp_path, capsys):
    out = tmp_path / "out"
    benchmark("--data", dataset, "--limit", 1, "--renderers", "identity", "--out", out)
    before = (out / "results.json").read_bytes()
    words = ("--data", dataset, "--limit", 1, "--protocol", "drbokeh", "--renderers", "identity", "--out", out)
    assert benchmark(*words) == 2
    assert "rows of other protocol; choose another --out" in capsys.readouterr().err
    assert (out / "results.json").read_bytes() == before


def test_pictures_are_kept_for_as_many_images_as_asked(dataset, tmp_path):
    out = tmp_path / "out"
    benchmark("--data", dataset, "--renderers", "identity", "--out", out, "--pictures", 4, "--picture-side", 20)
    document = results(out)
    assert len(document["pictures"]) == 4
    for image in document["pictures"]:
        names = {path.name for path in (out / "pictures" / image).iterdir()}
        assert names == {"image.webp", "truth.webp", "identity.webp", "identity.error.webp"}


def test_lpips_is_null_and_explained_where_it_is_not_installed(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(lpips, "_PACKAGE", "a-package-that-nobody-has")
    words = ["--data", dataset, "--limit", 1, "--renderers", "identity", "--out", tmp_path / "out"]
    assert main([str(word) for word in words]) == 0
    document = results(tmp_path / "out")
    assert document["rows"][0]["lpips"] is None
    assert not document["lpips"]["available"]
    assert "not installed" in document["lpips"]["reason"]


def test_lpips_is_a_number_where_it_is_installed(dataset, tmp_path):
    try:
        lpips.Lpips()
    except lpips.LpipsUnavailable as reason:
        pytest.skip(str(reason))
    words = ["--data", dataset, "--limit", 1, "--renderers", "identity", "--out", tmp_path / "out"]
    assert main([str(word) for word in words]) == 0
    assert results(tmp_path / "out")["rows"][0]["lpips"] > 0.0


# ---------- bad input


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--renderers", "blurrr"), "no renderer 'blurrr'; there are"),
        (("--renderers", "nowhere.at.all:render"), "cannot be imported"),
        (("--renderers", "identity", "identity"), "two renderers are called identity"),
        (("--renderers", "../x=identity"), "cannot name a renderer"),
        (("--commands", "prog=program {image}"), "{out}"),
        (("--commands", "prog=program {pictures} {out}"), "no placeholder {pictures}"),
        ((), "must name what to measure"),
        (("--renderers", "bokehme", "--weights", "absent/arnet.safetensors"), "arnet.safetensors: no such file"),
        (("--renderers", "identity", "--limit", "0"), "--limit is 0"),
        (("--renderers", "identity", "--repeats", "-1"), "--repeats is -1"),
    ],
)
def test_what_cannot_be_measured_is_named(dataset, tmp_path, capsys, words, complaint):
    assert benchmark("--data", dataset, "--out", tmp_path / "out", *words) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_backend_that_is_not_there_is_named(dataset, tmp_path, capsys):
    absent = "cuda" if sys.platform == "darwin" else "metal"
    words = ("--data", dataset, "--out", tmp_path / "out", "--renderers", "scatter", "--arch", absent)
    assert benchmark(*words) == 2
    assert f"the backend '{absent}' is not available" in capsys.readouterr().err


def test_data_that_is_none_is_named(tmp_path, capsys):
    assert benchmark("--data", tmp_path / "absent", "--renderers", "identity", "--out", tmp_path / "out") == 2
    assert "absent: no such folder" in capsys.readouterr().err
    for name in ("image", "disparity", "truth"):
        (tmp_path / "plain" / name).mkdir(parents=True)
    (tmp_path / "plain" / "settings.json").write_text("{")
    assert benchmark("--data", tmp_path / "plain", "--renderers", "identity", "--out", tmp_path / "out") == 2
    assert "settings.json: is not JSON" in capsys.readouterr().err


def test_a_truncated_picture_fails_its_rows_only(tmp_path):
    data = write_dataset(tmp_path / "data", 1, Stack((4.0,), (0.2, 0.8)))
    broken = data / "000000" / "bokeh_00_01.exr"
    broken.write_bytes(broken.read_bytes()[:-400])
    assert benchmark("--data", data, "--renderers", "identity", "--out", tmp_path / "out") == 0
    good, bad = results(tmp_path / "out")["rows"]
    assert "psnr" in good
    assert "bokeh_00_01.exr" in bad["error"]


def test_the_file_runs_from_any_folder(dataset, tmp_path):
    script = Path(__file__).parents[1] / "evaluation" / "benchmark.py"
    words = [script, "--data", dataset, "--limit", 1, "--no-lpips", "--renderers", "identity", "--out", "out"]
    finished = subprocess.run(
        [sys.executable, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, env=os.environ, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert len(results(tmp_path / "out")["rows"]) == 1


def test_taichi_is_started_for_renderers_that_bring_it_along(dataset, tmp_path):
    out = tmp_path / "out"
    words = ("--data", dataset, "--limit", 1, "--renderers", "scatter-taichi", "scatter", "--out", out)
    assert benchmark(*words) == 0
    taichi, numba = results(out)["rows"]
    # One method in two implementations, to the precision of its quantised kernels.
    assert taichi["rmse"] == pytest.approx(numba["rmse"], rel=1e-3)


def test_a_dry_run_says_what_would_be_measured_and_writes_nothing(dataset, strangers, tmp_path, capsys):
    arguments = ["--data", str(dataset), "--out", str(tmp_path / "out"), "--renderers", "identity", f"{strangers}:copy"]
    assert main([*arguments, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "16 rows for each of 2 renderers: identity, copy" in said and "pictures of 2 scenes" in said
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "--dry-run", "--repeats", "0"]) == 2
    assert "--repeats is 0; it must be at least 1" in capsys.readouterr().err


def test_pairs_without_disparity_are_cases_that_cannot_be_refocused(tmp_path, capsys):
    for name in ("image", "truth"):
        (tmp_path / "pairs" / name).mkdir(parents=True)
        write_png(tmp_path / "pairs" / name / "street.png", texture(3, HEIGHT, WIDTH))
    (case,) = open_cases(tmp_path / "pairs")
    assert case.disparity() is None and case.layers() is None and case.blur_parameter is None
    assert case.image().shape == case.truth().shape == (HEIGHT, WIDTH, 3)
    assert main(["--data", str(tmp_path / "pairs"), "--out", str(tmp_path / "out"), "--renderers", "scatter"]) == 2
    assert "street has no disparity to focus on; val294 and val470 need none" in capsys.readouterr().err


BORDERS = """
    import numpy as np

    def seen(image, disparity, lens, *, gamma):
        # What lies two pixels above each pixel: at the upper border it shows how the picture goes on.
        assert image.shape[:2] == disparity.shape
        return np.roll(image, 2, axis=0)
"""


@pytest.mark.parametrize("border", ["replicate", "reflect", "none"])
def test_pictures_go_on_beyond_the_frame_the_same_way_for_every_method(dataset, tmp_path, border):
    (tmp_path / "borders.py").write_text(textwrap.dedent(BORDERS))
    spec = python_spec(f"{tmp_path / 'borders.py'}:seen")
    case = open_cases(dataset)[0]
    image = case.image()
    above = {"replicate": image[[0, 0]], "reflect": image[[2, 1]], "none": image[[-2, -1]]}[border]
    with RenderProcess(spec, border=border) as process:
        rendered = process.render(Task(case), 4.0, repeats=1).image
    np.testing.assert_array_equal(rendered, np.concatenate([above, image[:-2]]))


def test_the_oracle_shows_the_noise_of_the_truth(tmp_path):
    """Its lens points are others than those of the truth: two independent errors of 0.002, not none."""
    recipe = tmp_path / "small.yaml"
    recipe.write_text("size_px: 128\nforegrounds: [2, 2]\nblur_parameters: [15]\nfocus_count: 2\n")
    data = tmp_path / "data"
    arguments = ["--recipe", str(recipe), "--out", str(data), "--scenes", "2", "--workers", "1", "--arch", "cpu"]
    assert gen.main(arguments) == 0
    benchmark("--data", data, "--renderers", "oracle-layers", "--no-lpips", "--out", tmp_path / "out")
    document = results(tmp_path / "out")
    assert document["renderers"][0]["information"] == "truth"
    ratios = [row["rmse"] / math.hypot(row["noise_rmse"], 0.002) for row in document["rows"]]
    # Each estimate is within a factor of two, and the tracer stops below what it was asked for.
    assert all(0.2 < ratio < 2.0 for ratio in ratios)


def test_a_folder_that_was_renamed_keeps_its_rows(dataset, tmp_path, capsys):
    """Rows belong to the data by its digest."""
    copy = tmp_path / "renamed"
    shutil.copytree(dataset, copy)
    words = ("--renderers", "identity", "--no-lpips", "--out", tmp_path / "out")
    assert benchmark("--data", dataset, *words) == 0
    assert benchmark("--data", copy, *words) == 0
    assert "already there: 16 rows" in capsys.readouterr().out


# Pairs


@pytest.fixture
def ebb(tmp_path):
    """EBB! as it is distributed, in small: a training pair, four held-out ones of which one has no truth."""
    root = tmp_path / "EBB"
    for number in (4399, 4400, 4401, 4402, 4693):
        for folder in ("original", "bokeh"):
            (root / "Training" / folder).mkdir(parents=True, exist_ok=True)
            path = root / "Training" / folder / f"{number}.jpg"
            shown = texture(number + 7 * (folder == "bokeh"), HEIGHT, WIDTH)
            assert cv2.imwrite(str(path), np.rint(255 * shown[..., ::-1]).astype(np.uint8))
    (root / "Training" / "bokeh" / "4402.jpg").unlink()
    return root


PICTURE_ONLY = """
    import numpy as np

    def seen(image):
        assert image.shape == tuple(SHAPE) and image.dtype == np.float32
        return image

    def with_disparity(image, disparity, lens):
        return image
"""


@pytest.fixture
def alone(tmp_path):
    def write(*shape: int) -> str:
        path = tmp_path / "alone.py"
        path.write_text(textwrap.dedent(PICTURE_ONLY).replace("tuple(SHAPE)", str(shape)))
        return str(path)

    return write


def test_val294_is_pairs_4400_to_4693_given_at_1536_x_1024(ebb, alone, tmp_path, capsys):
    module = alone(1024, 1536, 3)
    words = ("--protocol", "val294", "--renderers", "identity", f"{module}:seen", "scatter", f"{module}:with_disparity")
    assert benchmark("--data", ebb, *words, "--no-lpips", "--out", tmp_path / "out") == 0
    said = capsys.readouterr()
    assert "original/4402.jpg: has no truth of the same name" in said.err
    assert "left out, the lens of these pairs is not known: scatter, with_disparity" in said.err
    document = results(tmp_path / "out")
    assert [row["image"] for row in document["rows"]] == 2 * [f"Training/{n}" for n in (4400, 4401, 4693)]
    for row in document["rows"]:
        assert "error" not in row and row["blur_parameter"] is None and row["regions"] == {}
        assert (row["height"], row["width"]) == (HEIGHT, WIDTH)
        scale = PROTOCOLS["val294"].scale
        shown, truth = (
            read_display(ebb / "Training" / folder / f"{row['image'].split('/')[1]}.jpg")
            for folder in ("original", "bokeh")
        )
        compared = scale.finished(scale.given(shown), truth)
        assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, compared, data_range=1.0), rel=1e-5)
    # A method that is given the picture alone, whoever wrote it.
    assert [renderer["information"] for renderer in document["renderers"]] == ["picture", "picture"]
    first = tables(document)[0]
    assert [column.name for column in first.columns] == ["PSNR", "SSIM 7x7", "Time (s)", "Parameters", "GMAC"]
    assert report([str(tmp_path / "out")]) == 0


def test_pairs_say_what_networks_cost_at_the_size_that_they_are_given(ebb, tmp_path):
    """Of 1536 x 1024 px, whatever the size of the photograph; nothing of a method that is no network."""
    weights = tmp_path / "ampn.safetensors"
    save_file(AMPN().state_dict(), weights)
    words = ("--protocol", "val294", "--renderers", "identity", "ampn", "--weights", str(weights), "--no-lpips")
    assert benchmark("--data", ebb, *words, "--limit", "1", "--out", tmp_path / "out") == 0
    document = results(tmp_path / "out")
    plain, network = document["rows"]
    assert "parameters" not in plain and "gmac" not in plain
    assert network["parameters"] == sum(weight.numel() for weight in AMPN().parameters())
    assert network["gmac"] == pytest.approx(22.8, abs=0.3)
    first = tables(document)[0]
    texts = {
        line.name: [cell.text(column, "") for cell, column in zip(line.cells, first.columns, strict=True)][-2:]
        for line in first.lines
    }
    assert texts == {"identity": ["-", "-"], "ampn": [f"{network['parameters']:,}", f"{network['gmac']:.1f}"]}


def test_held_out_pairs_of_other_data_are_its_last_scenes(dataset):
    cases = open_cases(dataset)
    val294 = PROTOCOLS["val294"]
    assert tasks(val294, cases) == [Task(case, None, val294.scale) for case in cases]
    last = tasks(replace(val294, numbers=(0, 1)), cases)
    assert {task.case.scene for task in last} == {"000001"}


def test_val470_begins_at_pair_4224(ebb):
    cases = open_cases(ebb, on_misfit=lambda *misfit: None)
    assert [task.case.number for task in tasks(PROTOCOLS["val470"], cases)] == [4399, 4400, 4401, 4693]
    assert [task.case.number for task in tasks(PROTOCOLS["val294"], cases)] == [4400, 4401, 4693]
    assert len(tasks(PROTOCOLS["val294"], cases, limit=2)) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--protocol", "blb", "--scale", "strict"), "--scale is strict; it belongs to val294 and val470, not to blb"),
        (("--protocol", "val294", "--renderers", "scatter"), "--renderers needs one that is given the picture alone"),
        (("--protocol", "best-k"), "4399 has no disparity to focus on"),
    ],
)
def test_what_cannot_be_measured_on_pairs_is_refused(ebb, tmp_path, capsys, options, message):
    words = ["--renderers", "identity", *options] if "--renderers" not in options else list(options)
    assert main(["--data", str(ebb), "--out", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_part_of_ebb_without_held_out_pairs_is_refused(ebb, tmp_path, capsys):
    for path in (ebb / "Training").rglob("*.jpg"):
        if path.stem != "4399":
            path.unlink()
    words = ["--data", str(ebb), "--protocol", "val294", "--renderers", "identity", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "none of its pairs has a number from 4400 to 4693" in capsys.readouterr().err


def test_best_k_on_pairs_finds_their_focus_and_their_blur(tmp_path):
    """Two walls, the nearer in focus: the truth blurs the farther by 6 px, and neither number is told."""
    image = np.random.default_rng(3).uniform(0.1, 0.9, (96, 128, 3)).astype(np.float32)
    disparity = np.repeat(np.array([1.0, 0.25], np.float32), 64)[None].repeat(96, axis=0)
    truth = RENDERERS["scatter"](image, disparity, ThinLens(8.0, 1.0))
    part = tmp_path / "EBB" / "Training"
    for folder, shown in (("original", image), ("bokeh", truth)):
        (part / folder).mkdir(parents=True)
        write_png(part / folder / "12.png", shown)
    (part / "disparity").mkdir()
    np.save(part / "disparity" / "12.npy", disparity)
    words = ("--protocol", "best-k", "--renderers", "scatter", "--border", "none", "--no-lpips")
    assert benchmark("--data", tmp_path / "EBB", *words, "--out", tmp_path / "out") == 0
    (row,) = results(tmp_path / "out")["rows"]
    assert row["focus_disparity"] == 1.0
    # K in steps that blur the span of 0.75 by whole pixels.
    assert row["blur_parameter"] == pytest.approx(8.0)
