"""`gen.py` as users run it: same bytes however it is run, stopped or resumed, and a clear word for every bad input."""

import fcntl
import getpass
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import OpenEXR
import pytest
import tyro
import yaml
from PIL import Image

from bokehdata import images, index, writer
from bokehdata.format import DatasetError
from bokehdata.opening import open_cases
from bokehdata.reader import Dataset
from bokehdata.verify import verify
from raytrace import gen
from raytrace.production import SceneMaker, TracingJob
from scenes import decode
from scenes.color import display_from_linear
from scenes.recipe import load_recipe

REPOSITORY = Path(__file__).parents[1]
SCRIPT = (sys.executable, str(REPOSITORY / "raytrace" / "gen.py"))
MODULE = (sys.executable, "-m", "raytrace.gen")
COMMAND = (str(Path(sys.executable).with_name("bokehforge")), "gen")

SCENES = 6
TINY = "scenes: 6\nsize_px: 48\nforegrounds: [1, 2]\nblur_parameters: [3]\nfocus_count: 2\nnoise: 0.02\n"


def run(*arguments, cwd: Path, program=SCRIPT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*program, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300)


def made(*arguments, cwd: Path, program=SCRIPT) -> subprocess.CompletedProcess[str]:
    result = run(*arguments, cwd=cwd, program=program)
    assert result.returncode == 0, result.stderr
    return result


def said(stderr: str) -> list[str]:
    """Lines of standard error but those of progress, which a slow machine gets."""
    return [line for line in stderr.splitlines() if line and not re.fullmatch(r"\d+/\d+ .*scenes, .* left", line)]


def contents(root: Path) -> dict[str, str]:
    """Checksum of every file by its path, hidden ones and empty folders too."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in root.rglob("*")
    }


def first(num_scenes: int, files: dict[str, str]) -> dict[str, str]:
    """The files of the first scenes of a dataset, without the index."""
    kept = {f"{i:06d}" for i in range(num_scenes)} | {"dataset.yaml"}
    return {name: sha256 for name, sha256 in files.items() if name.split("/")[0] in kept}


def identities(root: Path) -> dict[str, tuple[int, int]]:
    """(inode, time of the last change) of every file of the scenes: what is written again gets new ones."""
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns) for p in root.glob("0*/**/*") if p.is_file()}


def finished_scenes(root: Path) -> int:
    """Lines of the index so far."""
    return len((root / "index.jsonl").read_text().splitlines()) if (root / "index.jsonl").exists() else 0


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)
    return np.rint(255 * cv2.GaussianBlur(noise, (0, 0), 2)).astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)
    return path


def cutout(alpha: np.ndarray) -> np.ndarray:
    return np.dstack([picture(*alpha.shape), alpha])


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """The folder that commands run in, with a recipe and pictures, good and bad."""
    home = tmp_path_factory.mktemp("home")
    (home / "tiny.yaml").write_text(TINY)

    disk = np.zeros((64, 64), np.uint8)
    cv2.circle(disk, (32, 32), 20, (255,), -1)
    save(home / "photos" / "good.png", picture(80, 90))
    save(home / "cutouts" / "good.png", cutout(disk))

    for folder in ("empty", "truncated", "undecodable", "small", "nan", "clear", "rectangle"):
        (home / folder).mkdir()
    whole = (home / "photos" / "good.png").read_bytes()
    (home / "truncated" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (home / "undecodable" / "text.jpg").write_text("not a picture")
    save(home / "small" / "low.png", picture(15, 40))
    images._write_exr(home / "nan" / "hole.exr", "RGB", np.full((32, 32, 3), np.nan, np.float16))
    save(home / "clear" / "glass.png", cutout(np.zeros((64, 64), np.uint8)))
    save(home / "rectangle" / "door.png", cutout(np.full((64, 64), 255, np.uint8)))

    for good, bad, mixed in (("photos", "truncated", "mixed-photos"), ("cutouts", "rectangle", "mixed-cutouts")):
        shutil.copytree(home / good, home / mixed)
        shutil.copytree(home / bad, home / mixed, dirs_exist_ok=True)
    return home


@pytest.fixture(scope="module")
def whole(home) -> SimpleNamespace:
    """A dataset in one uninterrupted run of one process, and what the run said."""
    result = made("--recipe", "tiny.yaml", "--workers", 1, cwd=home)
    root = home / "datasets" / "tiny"  # the default --out
    return SimpleNamespace(root=root, stdout=result.stdout, stderr=result.stderr, contents=contents(root))


@pytest.fixture(scope="module")
def two_scenes(home, whole) -> Path:
    made("--recipe", "tiny.yaml", "--scenes", 2, "--out", "two", cwd=home, program=MODULE)
    return home / "two"


# The same bytes


def test_two_workers_of_another_program_elsewhere_write_the_same_bytes(whole, home, tmp_path):
    made("--recipe", home / "tiny.yaml", "--workers", 2, "--out", "out", cwd=tmp_path, program=COMMAND)
    assert contents(tmp_path / "out") == whole.contents


@pytest.mark.slow
def test_kernels_compiled_anew_write_the_same_bytes_as_kernels_from_the_cache(home, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    # Slanted layers have a kernel of their own.
    (tmp_path / "slanted.yaml").write_text(
        TINY + "background_disparity: [0.1, 0.2]\nbackground_slant: 0.08\nforeground_slant: 0.05\n"
    )
    for recipe in (home / "tiny.yaml", tmp_path / "slanted.yaml"):
        options = ("--recipe", recipe, "--scenes", 1, "--workers", 1, "--out")
        for out in ("compiled", "cached"):
            made(*options, tmp_path / recipe.stem / out, cwd=home)
        assert contents(tmp_path / recipe.stem / "compiled") == contents(tmp_path / recipe.stem / "cached")
    cached = {path.name.partition("-")[0] for path in (tmp_path / "numba").rglob("kernels_cpu.*.nbc")}
    assert {"kernels_cpu.shift", "kernels_cpu.gather"} <= cached


def test_a_scene_does_not_depend_on_how_many_there_are(whole, two_scenes):
    assert first(2, contents(two_scenes)) == first(2, whole.contents)
    index, all_lines = ((root / "index.jsonl").read_text().splitlines() for root in (two_scenes, whole.root))
    assert index == all_lines[:2]


def test_another_seed_gives_other_scenes(whole, home, tmp_path):
    made("--recipe", home / "tiny.yaml", "--scenes", 1, "--seed", 1, "--out", "out", cwd=tmp_path)
    other = contents(tmp_path / "out")
    for name in ("image.exr", "disparity.exr", "layers/00.exr", "bokeh_00_01.exr", "preview.jpg"):
        assert other[f"000000/{name}"] != whole.contents[f"000000/{name}"]


def test_a_recipe_has_a_seed_of_its_own_and_the_command_wins(home, tmp_path):
    (tmp_path / "own.yaml").write_text(TINY + "seed: 4\n")
    for out, options in {"recipe": (), "same": ("--seed", 4), "zero": ("--seed", 0)}.items():
        made("--recipe", "own.yaml", "--scenes", 1, "--workers", 1, *options, "--out", out, cwd=tmp_path)
    headers = {out: yaml.safe_load((tmp_path / out / "dataset.yaml").read_text()) for out in ("recipe", "zero")}
    assert (headers["recipe"]["seed"], headers["zero"]["seed"]) == (4, 0)
    assert contents(tmp_path / "recipe") == contents(tmp_path / "same")
    assert contents(tmp_path / "recipe")["000000/image.exr"] != contents(tmp_path / "zero")["000000/image.exr"]
    assert yaml.safe_load((tmp_path / "recipe" / "000000" / "scene.yaml").read_text())["seed"] == 4


def test_ebb_like_is_a_pair_through_one_real_camera(tmp_path):
    options = ("--recipe", "ebb-like", "--scenes", 1, "--size", 96, "--noise", 0.1, "--workers", 1)
    made(*options, cwd=tmp_path)
    root = tmp_path / "datasets" / "ebb-like"
    info = json.loads((root / "000000" / "info.json").read_text())
    assert (info["resolution_x"], info["resolution_y"], info["disparity_unit"]) == (96, 64, "1/m")
    assert (info["focal_length"], info["sensor_width"], info["f_stops"]) == (0.05, 0.0223, [16.0, 1.8])
    (case,) = open_cases(root)
    assert case.name == "000000/bokeh_01_00"
    folder = Dataset(root)[0]
    np.testing.assert_array_equal(case.image(), display_from_linear(folder.bokeh(0, 0)))
    # In focus at a distance in metres: the nearest thing in the picture.
    assert case.focus_disparity == pytest.approx(float(folder.disparity().max()))
    assert 1.0 <= info["focus_distances"][0] <= 4.0
    assert not verify(root).problems


def test_blb_levels_says_what_its_pictures_are_as_blb_does(tmp_path):
    options = ("--recipe", "blb-levels", "--scenes", 1, "--size", 32, "--noise", 0.1, "--workers", 1)
    made(*options, cwd=tmp_path)
    root = tmp_path / "datasets" / "blb-levels"
    assert yaml.safe_load((root / "dataset.yaml").read_text())["seed"] == load_recipe("blb-levels").seed
    info = json.loads((root / "000000" / "info.json").read_text())
    # 65504 is infinity.
    focus = [0.0 if z == 65504 else 1 / z for z in info["focus_distances"]]
    np.testing.assert_allclose(focus, np.arange(10) / 9, rtol=0, atol=1e-12)
    # Reference 8.1: f-number = f^2 (W / w) / (2 K).
    per_level = info["focal_length"] ** 2 * info["resolution_x"] / info["sensor_width"] / 2
    np.testing.assert_allclose(info["f_stops"], [per_level / k for k in (10, 20, 30, 40, 50)], rtol=1e-12)
    # As any reader of BLB computes it from the files.
    disparity = 1 / images.read_exr_plane(root / "000000" / "depth.exr").astype(np.float64)
    for level, k in enumerate(info["blur_parameters"]):
        for j in (0, 9):
            assert (root / "000000" / f"bokeh_{level:02d}_{j:02d}.exr").is_file()
            assert np.abs(k * (disparity - focus[j])).max() == pytest.approx(10 * (level + 1), abs=k * 2 / 65504)
    assert len(list((root / "000000").glob("bokeh_*.exr"))) == 50


def test_the_recipe_in_the_dataset_makes_it_again(two_scenes, tmp_path):
    header = yaml.safe_load((two_scenes / "dataset.yaml").read_text())
    assert header["seed"] == 0 and header["version"] and header["backend"] == "cpu" and header["schema"] == 1
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(header["recipe"]))
    assert load_recipe(str(tmp_path / "again.yaml")).name == "tiny"
    made("--recipe", "again.yaml", "--scenes", 2, "--seed", header["seed"], cwd=tmp_path)
    assert contents(tmp_path / "datasets" / "tiny") == contents(two_scenes)


def test_no_file_tells_where_by_whom_or_on_which_machine_it_was_made(whole, home):
    secrets = [str(home), str(REPOSITORY), str(Path.home()), socket.gethostname(), getpass.getuser()]
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(secret)}(?!\w)" for secret in secrets))
    for path in whole.root.rglob("*"):
        if path.is_file():
            assert not pattern.search(words(path)), path


def words(path: Path) -> str:
    """What a file says beside its pixels."""
    if path.suffix == ".exr":
        with OpenEXR.File(str(path), header_only=True) as file:
            return str(file.header())
    if path.suffix == ".jpg":
        with Image.open(path) as file:
            return str(file.info)
    return path.read_text("utf-8")


# Stopped, and run again


@pytest.fixture
def running(home, tmp_path):
    """Start a run in a process group of its own, and wait until it is as far as the test wants it."""
    processes = []

    def start(workers: int, until: Callable[[int, Path], bool]) -> subprocess.Popen[str]:
        out = tmp_path / "out"
        command = [*SCRIPT, "--recipe", str(home / "tiny.yaml"), "--out", str(out), "--workers", str(workers)]
        # What runs in the background of a shell ignores Ctrl-C, and so would its children.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        signal.signal(signal.SIGINT, handler)
        processes.append(process)
        while not until(process.pid, out):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.005)
        return process

    yield start
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def a_scene_is_finished(pid: int, out: Path) -> bool:
    return finished_scenes(out) >= 1


def workers_are_starting(pid: int, out: Path) -> bool:
    # They have loaded NumPy: Python runs in them, and much is still to be imported.
    workers = worker_ids(pid)
    return len(workers) == 2 and all("numpy" in Path(f"/proc/{worker}/maps").read_text() for worker in workers)


def worker_ids(pid: int) -> list[int]:
    """Process ids of the workers of a run."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if not children.exists():
        pytest.skip("needs /proc to find the workers")
    return [
        int(child)
        for child in children.read_text().split()
        if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()
    ]


def last_words(process: subprocess.Popen[str]) -> str:
    """What was on stderr. It ends when the last process that holds it does: an orphan would run into the timeout."""
    return process.communicate(timeout=60)[1]


@pytest.mark.parametrize("workers, victim", [(1, os.kill), (2, os.kill), (2, os.killpg)])
def test_a_killed_run_leaves_no_process_and_goes_on_to_the_same_bytes(running, whole, home, tmp_path, workers, victim):
    process = running(workers, a_scene_is_finished)
    victim(process.pid, signal.SIGKILL)
    last_words(process)
    assert process.returncode == -signal.SIGKILL
    assert finished_scenes(tmp_path / "out") < SCENES
    made("--recipe", home / "tiny.yaml", "--out", tmp_path / "out", "--workers", workers, cwd=home)
    assert contents(tmp_path / "out") == whole.contents


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "workers, until", [(1, a_scene_is_finished), (2, a_scene_is_finished), (2, workers_are_starting)]
)
def test_a_signal_stops_with_a_word_and_without_a_trace(running, whole, tmp_path, workers, until, number):
    process = running(workers, until)
    os.killpg(process.pid, number)  # terminals and Slurm send it to the whole group
    errors = last_words(process)
    assert process.returncode == 128 + number
    assert said(errors) == ["gen.py: stopped; finished scenes are safe, the same command goes on from here"]
    # What is in the index is whole, and nothing lies there half-written.
    left = contents(tmp_path / "out")
    assert not [name for name in left if name.startswith(".")]
    assert first(finished_scenes(tmp_path / "out"), left).items() <= whole.contents.items()


def test_a_killed_worker_costs_its_scene_a_second_try(running, whole, tmp_path):
    process = running(2, a_scene_is_finished)
    os.kill(worker_ids(process.pid)[0], signal.SIGKILL)
    errors = last_words(process)
    assert process.returncode == 0
    # None, where the worker was between two scenes and there was none left.
    assert all(re.fullmatch(r"scene \d: its worker died .*; it is made again", line) for line in said(errors))
    assert contents(tmp_path / "out") == whole.contents


def test_a_worker_on_a_machine_that_does_not_see_the_dataset_makes_nothing(tmp_path):
    job = TracingJob(
        root=tmp_path / "elsewhere",
        recipe=load_recipe("default"),
        seed=0,
        photographs=None,
        cutouts=None,
        image_format="exr",
        backend="cpu",
        threads=1,
    )
    with pytest.raises(DatasetError, match="choose an --out that all machines see"):
        SceneMaker(job)(0)
    assert list(tmp_path.iterdir()) == []


def test_only_damaged_scenes_are_made_again(whole, home, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(whole.root, out)
    (out / "000001" / "image.exr").write_bytes(b"short")
    (out / "000003" / "info.json").unlink()
    (out / ".000004.99").mkdir()  # what a killed run leaves
    before = identities(out)
    result = made("--recipe", "tiny.yaml", "--out", out, "--workers", 1, cwd=home)
    assert "4 of 6 scenes are finished already" in result.stdout
    assert contents(out) == whole.contents
    after = identities(out)
    again = {Path(name).relative_to(out).parts[0] for name in after if after[name] != before.get(name)}
    assert again == {"000001", "000003"}


def test_more_scenes_extend_a_dataset_and_leave_the_others_alone(whole, two_scenes, home, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(two_scenes, out)
    before = identities(out)
    made("--recipe", "tiny.yaml", "--scenes", 4, "--out", out, cwd=home)
    after = identities(out)
    assert {name: after[name] for name in before} == before
    assert first(4, contents(out)) == first(4, whole.contents) and finished_scenes(out) == 4


# What it says


def test_the_end_says_where_how_long_how_noisy_and_how_to_look(whole):
    noise = max(max(json.loads(path.read_text())["noise_rmse"].values()) for path in whole.root.glob("*/info.json"))
    assert re.search(r"6 scenes are in datasets/tiny: 6 made in \d+ s \(assets \d+ %, tracing \d+ %", whole.stdout)
    assert f"largest noise {noise:.4f}" in whole.stdout
    assert "bokehforge view datasets/tiny" in whole.stdout


def test_it_is_quiet_in_a_log(whole):
    assert said(whole.stderr) == []
    assert "\r" not in whole.stderr + whole.stdout and "\x1b" not in whole.stderr + whole.stdout


@pytest.mark.parametrize("image_format", ["exr", "png"])
def test_the_size_is_told_before_within_half_of_the_truth(home, tmp_path, image_format):
    options = ("--size", 256, "--scenes", 2, "--noise", 0.02, "--format", image_format, "--out", tmp_path / "out")
    told = re.search(r"about ([\d.]+) MB", made(*options, cwd=home).stdout)
    assert told is not None
    true_bytes = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert 1 / 1.5 < float(told[1]) * 1e6 / true_bytes < 1.5


def test_a_dry_run_writes_nothing(home, tmp_path):
    result = made("--recipe", home / "tiny.yaml", "--dry-run", cwd=tmp_path)
    assert re.search(r"6 scenes of 2 images, 48 x 48 px, about [\d.]+ MB, into datasets/tiny", result.stdout)
    assert list(tmp_path.iterdir()) == []


# The user's own pictures


@pytest.mark.parametrize(
    "option, folder, skipped, kinds",
    [
        ("--backgrounds", "mixed-photos", "cut.png: cannot be read", {"photograph"}),
        ("--foregrounds", "mixed-cutouts", "door.png: is opaque all over", {"cutout"}),
    ],
)
def test_own_pictures_of_one_kind_suffice_and_a_bad_one_is_named_skipped_and_counted(
    home, tmp_path, option, folder, skipped, kinds
):
    options = ("--recipe", "tiny.yaml", "--scenes", 1, "--out", tmp_path / "out", option)
    result = made(*options, folder, cwd=home)
    (line,) = said(result.stderr)
    assert line.startswith(f"skipped {folder}/{skipped}")
    assert f"{folder}: 1 usable picture, 1 skipped" in result.stdout
    scene = yaml.safe_load((tmp_path / "out" / "000000" / "scene.yaml").read_text())
    assets = [layer["asset"] for layer in scene["layers"]]
    own = [asset for asset in assets if asset["kind"] in kinds]
    assert own == (assets[-1:] if option == "--backgrounds" else assets[:-1])
    assert all(asset["file"] == "good.png" for asset in own)


# Bad input


@pytest.fixture
def refused(home, whole, tmp_path, monkeypatch, capfd):
    """Run the command on a finished dataset: it must say one line, return 2, and leave the dataset as it was."""
    out = tmp_path / "finished"
    shutil.copytree(whole.root, out)
    before, scenes_before = contents(out), identities(out)
    monkeypatch.chdir(home)
    # Taichi runs already, with what other tests have made.
    monkeypatch.setattr(gen.backend, "start", lambda arch: "cpu")
    monkeypatch.setattr(gen, "produce", None)

    def refused(*arguments) -> str:
        assert gen.main(["--recipe", "tiny.yaml", "--out", str(out), *map(str, arguments)]) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert contents(out) == before and identities(out) == scenes_before
        assert line.startswith("gen.py: error: ")
        return line

    return refused


@pytest.mark.parametrize(
    "options, culprit",
    [
        (("--scenes", 0), "--scenes is 0; it must be at least 1"),
        (("--scenes", -3), "--scenes is -3"),
        (("--size", 0), "--size is 0; it must be at least 16"),
        (("--size", -512), "--size is -512"),
        (("--size", 15), "--size is 15"),
        (("--workers", 0), "--workers is 0"),
        (("--workers", -1), "--workers is -1"),
        (("--seed", -1), "--seed is -1"),
        (("--noise", 0), "--noise is 0.0; it must lie between 0 and 1"),
        (("--noise", -0.1), "--noise is -0.1"),
        (("--noise", "nan"), "--noise is nan"),
        (("--recipe", "sunset"), "recipe 'sunset' is unknown"),
        (("--recipe", "nowhere.yaml"), "nowhere.yaml: cannot be read (No such file"),
        (("--backgrounds", "nowhere"), "nowhere: no such folder"),
        (("--backgrounds", "tiny.yaml"), "tiny.yaml is a file"),
        (("--backgrounds", "empty"), "empty: no usable picture"),
        (("--backgrounds", "truncated"), "cut.png: cannot be read"),
        (("--backgrounds", "undecodable"), "text.jpg"),
        (("--backgrounds", "small"), "low.png: is 40 x 15 px; each side needs at least 16"),
        (("--backgrounds", "nan"), "hole.exr: holds NaN"),
        (("--foregrounds", "nowhere"), "nowhere: no such folder"),
        (("--foregrounds", "photos"), "good.png: has no alpha"),
        (("--foregrounds", "clear"), "glass.png: has alpha 0 everywhere"),
        (("--foregrounds", "rectangle"), "door.png: is opaque all over"),
        (("--backgrounds", "mixed-photos", "--strict"), "mixed-photos/cut.png"),
        (("--foregrounds", "mixed-cutouts", "--strict"), "mixed-cutouts/door.png"),
        # A dataset of other options stands in the folder.
        (("--size", 64), "size_px 48, this run has 64"),
        (("--seed", 5), "seed 0, this run has 5"),
        (("--noise", 0.1), "noise 0.02, this run has 0.1"),
        (("--recipe", "default"), "'tiny', this run has 'default'"),
        (("--format", "png"), "image_format 'exr', this run has 'png'"),
        (("--backgrounds", "photos"), "backgrounds 'procedural'"),
        (("--out", "tiny.yaml"), "tiny.yaml: cannot be made a folder"),
        (("--out", "tiny.yaml/below"), "tiny.yaml/below: cannot be made a folder"),
        (("--out", "photos"), "photos: holds good.png and is not a dataset"),
    ],
)
def test_bad_input_is_named_in_one_line_and_finished_scenes_stay(refused, options, culprit):
    assert culprit in refused(*options)


@pytest.mark.parametrize(
    "text, culprit",
    [
        ("blur: 3", "key 'blur' is unknown"),
        ("scenes: many", "scenes is 'many'; it must be a whole number"),
        ("foregrounds: [1, 30]", "there is 0.65"),
        ("scenes: [", "is not YAML"),
    ],
)
def test_a_bad_recipe_is_named_in_one_line(refused, tmp_path, text, culprit):
    (tmp_path / "bad.yaml").write_text(text)
    assert culprit in refused("--recipe", tmp_path / "bad.yaml")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(refused, monkeypatch):
    monkeypatch.setattr(decode, "MEGAPIXELS_MAX", 0.005)
    assert "good.png: is 90 x 80 px; at most 0.005 megapixels are read" in refused("--backgrounds", "photos")


def test_a_dataset_of_another_version_is_refused(whole, refused, home, tmp_path):
    other = tmp_path / "newer"
    shutil.copytree(whole.root, other)
    header = (other / "dataset.yaml").read_text()
    (other / "dataset.yaml").write_text(header.replace("schema: 1", "schema: 2"))
    before = contents(other)
    assert "schema 2, this run has 1" in refused("--out", other)
    assert contents(other) == before


def test_a_run_that_cannot_fit_is_refused(refused, monkeypatch):
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    assert re.search(r"needs about [\d.]+ MB and the disk has 0\.0 MB free", refused("--scenes", 7))


def test_a_full_disk_is_named(refused, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(index, "replacing", full)
    assert re.search(r"index\.jsonl: cannot be written \(No space left on device\)", refused())


def test_a_second_run_on_the_same_folder_is_refused(refused, tmp_path):
    descriptor = os.open(tmp_path / "finished", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert "finished: another run is writing to it" in refused()
    finally:
        os.close(descriptor)


def test_a_folder_that_may_not_be_written_is_named(home, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    if os.access(closed, os.W_OK):
        closed = Path("/proc")  # this user may write anywhere but here
        if not closed.is_dir():
            pytest.skip("this user may write everywhere")
    result = run("--recipe", "tiny.yaml", "--out", closed / "out", cwd=home)
    assert result.returncode == 2
    assert result.stderr.startswith(f"gen.py: error: {closed}/out: cannot be made a folder")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("arch", ["cuda", "metal", "vulkan"])
def test_a_backend_that_is_not_here_is_an_error(home, tmp_path, arch):
    result = run("--recipe", "tiny.yaml", "--scenes", 1, "--out", tmp_path / "out", "--arch", arch, cwd=home)
    if result.returncode == 0:
        pytest.skip(f"{arch} is here")
    assert result.returncode == 2
    # A Vulkan loader without a driver has a line of its own to say before.
    assert result.stderr.splitlines()[-1] == (
        f"gen.py: error: the backend '{arch}' is not available on this machine; use --arch cpu or --arch auto"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [("--scenes", "many"), ("--noise", "low"), ("--arch", "abacus"), ("--speed", "9")])
def test_what_the_parser_refuses_keeps_its_form(options, capfd):
    with pytest.raises(SystemExit) as exit_code:
        gen.main([*options])
    assert exit_code.value.code == 2
    assert options[0] in capfd.readouterr().err


def test_the_worked_example_of_the_help_is_a_command_line_that_parses():
    (example,) = re.findall(r"Example: python raytrace/gen\.py (.*)", gen.Options.__doc__ or "")
    assert tyro.cli(gen.Options, args=example.split()).scenes == 100


# Memory


def peak_bytes(*arguments, cwd: Path) -> int:
    """Largest resident memory of a run of one process."""
    process = subprocess.Popen([*SCRIPT, *map(str, arguments)], cwd=cwd, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_scenes(home, tmp_path):
    (tmp_path / "flat.yaml").write_text("size_px: 640\nforegrounds: [2, 2]\nblur_parameters: [2]\nfocus_count: 1\n")
    own = ("--backgrounds", home / "photos", "--foregrounds", home / "cutouts", "--noise", 0.05, "--workers", 1)
    few, many = (
        peak_bytes("--recipe", "flat.yaml", "--scenes", scenes, "--out", f"{scenes}", *own, cwd=tmp_path)
        for scenes in (2, 8)
    )
    # One scene more kept is three layers of 646 x 646 half RGBA and their textures in float32, 30 MB; six are 180 MB.
    assert many - few < 60e6


@pytest.mark.slow
def test_a_scene_of_4096_px_with_all_the_layers_of_the_default_recipe_takes_less_than_4_gib(tmp_path):
    # One picture, and coarse: neither their number nor the lens points change what is held at a time.
    recipe = "size_px: 4096\nforegrounds: [5, 5]\nblur_parameters: [24]\nfocus_count: 1\nnoise: 0.02\n"
    (tmp_path / "large.yaml").write_text(recipe)
    assert peak_bytes("--recipe", "large.yaml", "--scenes", 1, "--workers", 1, cwd=tmp_path) < 4 * 2**30
