"""Runs are reproducible, resumable and honest: same seed, same bytes, whatever stopped them on the way."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, default_collate

from bokehdata.cases import Case, MemoryCase
from bokehdata.corruptions import every_corruption, random_corruption
from bokehdata.format import DatasetError
from bokehdata.images import write_exr_rgb, write_png
from bokehdata.opening import open_cases
from bokehdata.origins import picture_origin, scene_origin
from bokehdata.torch_data import CropSettings, PictureCrops, picture_planes, plain_planes, sample_of
from inverse.attacks.classifiers import OBJECTS
from raytrace import gen
from renderers.neural.bokehme.inference import DEFOCUS_UNIT_PX
from renderers.neural.bokehme.network import ARNet, IUNet
from renderers.neural.checkpoints import in_half_floats, loaded
from renderers.neural.d2f.inference import NETWORKS as D2F_NETWORKS
from renderers.neural.d2f.network import FusionNet
from renderers.neural.deepfocus.inference import refocus
from renderers.neural.deepfocus.network import DeepFocus
from renderers.neural.deeplens.inference import NETWORKS as DEEPLENS_NETWORKS
from renderers.neural.mpib.inference import NETWORKS as MPIB_NETWORKS
from renderers.neural.renderer import shipped
from renderers.neural.training_record import read_record, seen_by
from renderers.neural.trunks import MobileNetV2
from runtime.files import sha256_of
from runtime.progress import Progress
from scenes.color import display_from_linear, linear_from_display
from scenes.recipe import RecipeError, load_recipe
from scenes.sampling import sample_scene
from training import callbacks, held_out, ship, train
from training.data import Loaders, StepBatches, data_on_disk, margin_for
from training.losses import fusion_loss, picture_l1
from training.measurements import shown_psnr
from training.model import Model, Samples
from training.models import MODELS
from training.models.ampn import AMPN_ROWS
from training.models.arnet import ARNET, ArnetTraining
from training.models.bokehme import classical_picture, fusion_planes, with_highlights
from training.models.classifier import CLASSIFIERS
from training.models.cocnet import COCNET
from training.models.deepfocus import DEEPFOCUS, DeepfocusTraining, deepfocus_planes
from training.models.dmshn import DMSHN
from training.models.error_map import precision_and_recall
from training.models.ifan import IFAN
from training.models.iunet import IUNET, IunetTraining
from training.models.pairs import BLUR_PARAMETER_MAX, PairTraining
from training.models.sharp_start import start_sharp
from training.module import Batch, PictureBatch, Training
from training.on_the_fly import OnTheFly, Stream
from training.presets import Preset

RECIPE = """
size_px: 48
foregrounds: [1, 2]
blur_parameters: [8, 20]
focus: layers
focus_count: 1
gammas: [2.2]
noise: 0.02
"""


def generated(recipe: Path, out: Path, *, scenes: int, seed: int) -> Path:
    arguments = ["--recipe", str(recipe), "--out", str(out), "--scenes", str(scenes), "--seed", str(seed)]
    assert gen.main([*arguments, "--workers", "1", "--arch", "cpu"]) == 0
    return out


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tensors this small gain nothing from more, and lose much where other work runs beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def data(recipe, tmp_path_factory) -> Path:
    """Four scenes of two pictures."""
    return generated(recipe, tmp_path_factory.mktemp("data") / "tiny", scenes=4, seed=7)


def arguments(out: Path, data: Path | str, *options: str, model: str = "arnet") -> list[str]:
    """Of what an option says twice, the last counts."""
    return ["--model", model, "--data", str(data), "--out", str(out), "--preset", "smoke", "--workers", "0", *options]


def scenes_of(cases: list[Case]) -> set[str]:
    return {case.scene for case in cases}


def run(out: Path, data: Path | str, *options: str, model: str = "arnet") -> int:
    return train.main(arguments(out, data, *options, model=model))


def command(out: Path, data: Path, *options: str) -> list[str]:
    """The same in a process of its own."""
    return [sys.executable, "-m", "training.train", *arguments(out, data, *options)]


def metrics(out: Path, kind: str = "val/") -> list[dict]:
    """The lines of a run that are of validations, or of training."""
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if any(key.startswith(kind) for key in line)]


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory) -> Path:
    """An uninterrupted run of 20 steps."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    assert run(out, data) == 0
    return out


# Reproducible


def test_the_same_seed_gives_the_same_weights_and_numbers(finished, data, tmp_path):
    assert run(tmp_path / "again", data) == 0
    for name in ("arnet.safetensors", "metrics.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (finished / name).read_bytes(), name
    assert run(tmp_path / "other", data, "--seed", "1") == 0
    assert (tmp_path / "other" / "arnet.safetensors").read_bytes() != (finished / "arnet.safetensors").read_bytes()


@pytest.mark.parametrize("stop_at", [3, 10, 13])
def test_a_run_stopped_anywhere_ends_as_an_uninterrupted_one(finished, data, tmp_path, monkeypatch, stop_at):
    """Before the first validation, at it, and between it and the second; weights, moments and rates go on."""
    steps = 0

    def stop(self) -> bool:
        nonlocal steps
        steps += 1
        return steps >= stop_at

    with monkeypatch.context() as context:
        context.setattr(callbacks.StopSignal, "__call__", stop)
        assert run(tmp_path, data) == 130
    stopped = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert stopped["global_step"] == stop_at
    assert run(tmp_path, data) == 0
    for name in ("arnet.safetensors", "metrics.jsonl"):
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes(), name
    ends = [torch.load(out / "last.ckpt", weights_only=True) for out in (tmp_path, finished)]
    assert [end["global_step"] for end in ends] == [20, 20]
    for name, value in ends[0]["state_dict"].items():
        assert torch.equal(value, ends[1]["state_dict"][name]), name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint_to_go_on_from(number, data, tmp_path):
    words = command(tmp_path, data, "--steps", "100000", "--workers", "1")
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "last.ckpt").is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    # As a terminal and Slurm do it: to the process that trains and to those that make samples.
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert "the same command goes on from here" in errors and "Traceback" not in errors
    step = torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"]
    assert f"stopped after step {step} of 100000" in errors


def test_ranks_share_the_steps_out():
    """Three processes see together what one sees whose batch is three times as large."""
    alone = list(StepBatches(2, 5, 6))
    ranks = [list(StepBatches(2, 5, 2, rank=rank, world=3)) for rank in range(3)]
    assert [sum(parts, []) for parts in zip(*ranks, strict=True)] == alone


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_with_twice_the_batch(data, tmp_path, monkeypatch):
    two_devices = ("--threads", "1", "--accelerator", "cpu", "--devices", "2")
    words = command(tmp_path / "two", data, "--steps", "3", *two_devices)
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("3 steps are done") == 1
    smoke = ARNET.presets["smoke"]
    monkeypatch.setitem(ARNET.presets, "smoke", replace(smoke, batch=2 * smoke.batch))
    assert run(tmp_path / "one", data, "--steps", "3") == 0
    two, one = (load_file(tmp_path / out / "arnet.safetensors") for out in ("two", "one"))
    for name, value in two.items():
        # Three steps of Adam move a weight by up to 3e-3; sums in another order by little of that.
        torch.testing.assert_close(value, one[name], atol=1e-4, rtol=0.0)


# Honest


def test_a_loss_that_is_not_finite_stops_the_run_by_name(data, tmp_path, monkeypatch, capsys):
    objective = ArnetTraining.objective

    def broken(self, batch):
        terms = objective(self, batch)
        return {"loss": terms["loss"] * float("nan")} if self.global_step == 12 else terms

    monkeypatch.setattr(ArnetTraining, "objective", broken)
    assert run(tmp_path, data) == 1
    message = capsys.readouterr().err
    assert "the loss is nan at step 12, batch: 0000" in message and "at gamma 2.2" in message
    # The checkpoint before it is whole and finite.
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert state["global_step"] == 10
    assert all(torch.isfinite(value).all() for value in state["state_dict"].values())


def test_a_gradient_that_is_not_finite_stops_the_run_too(data, tmp_path, monkeypatch, capsys):
    objective = ArnetTraining.objective

    def broken(self, batch):
        terms = objective(self, batch)
        # Its value is 0, its derivative is infinite.
        terms["loss"] = terms["loss"] + torch.sqrt(terms["loss"] - terms["loss"].detach())
        return terms

    monkeypatch.setattr(ArnetTraining, "objective", broken)
    assert run(tmp_path, data) == 1
    message = capsys.readouterr().err
    assert "the gradient is nan at step 0, batch: 0000" in message and "there is no checkpoint yet" in message


def test_a_run_says_what_it_was(finished, data):
    said = json.loads((finished / "run.json").read_text())
    assert (said["model"], said["parameters"], said["seed"]) == ("arnet", 923_664, 0)
    assert said["data"] == {"training": [held_out.digest(data, open_cases(data))]}
    assert said["preset"]["name"] == "smoke" and said["preset"]["steps"] == 20
    assert {"git", "torch", "lightning"} <= said["software"].keys()
    (last,) = [line for line in metrics(finished) if line["step"] == 20]
    assert {"val/fused_psnr", "val/classical_psnr", "val/fused_psnr_near_edges"} <= last.keys()
    assert any((finished / "tensorboard").iterdir())
    assert set(load_file(finished / "arnet.safetensors")) == set(ARNet().state_dict())


def test_a_finished_run_asked_for_again_changes_nothing(data, tmp_path):
    """Fifteen steps: the last validation is no regular one."""
    files = []
    for _ in range(2):
        assert run(tmp_path, data, "--steps", "15") == 0
        files.append([(tmp_path / name).read_bytes() for name in ("arnet.safetensors", "metrics.jsonl", "run.json")])
    assert files[0] == files[1]
    assert [line["step"] for line in metrics(tmp_path)] == [10, 15]


def test_a_finished_run_asked_for_again_is_not_run(data, tmp_path, monkeypatch, capsys):
    assert run(tmp_path, data, "--steps", "2") == 0
    said = capsys.readouterr().out
    monkeypatch.setattr(train.pl.Trainer, "fit", None)
    monkeypatch.setattr(train.pl.Trainer, "validate", None)
    assert run(tmp_path, data, "--steps", "2") == 0
    assert capsys.readouterr().out == said and "last validation: " in said


def test_a_short_run_has_curves_and_its_settings_in_a_file(finished):
    assert [line["step"] for line in metrics(finished, "train/")] == list(range(1, 21))
    (settings,) = finished.glob("tensorboard/hparams.yaml")
    hparams = yaml.safe_load(settings.read_text())
    assert hparams["model"] == "arnet" and hparams["preset"]["steps"] == 20 and hparams["seed"] == 0


def test_the_weights_may_be_read_by_others(finished):
    assert (finished / "arnet.safetensors").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_progress_counts_the_steps_of_the_whole_run_and_shows_the_loss(data, tmp_path, monkeypatch):
    """Stopped after 4 of 12 steps, the run goes on at 4."""
    said = []

    class Spy(Progress):
        def __init__(self, total, unit, *, done=0):
            said.append((total, done))
            super().__init__(total, unit, done=done)

        def add(self, units=1, extra=0, note=""):
            said.append(note)

    monkeypatch.setattr(callbacks, "Progress", Spy)
    with monkeypatch.context() as context:
        asked = iter([False] * 3 + [True] * 10)
        context.setattr(callbacks.StopSignal, "__call__", lambda self: next(asked))
        assert run(tmp_path, data, "--steps", "12") == 130
    assert run(tmp_path, data, "--steps", "12") == 0
    assert [entry for entry in said if isinstance(entry, tuple)] == [(12, 0), (12, 4)]
    notes = [entry for entry in said if isinstance(entry, str)]
    assert len(notes) == 12 and all(note.startswith("loss ") for note in notes)
    assert ", fused_psnr " not in notes[9] and ", fused_psnr " in notes[11]


def test_what_a_killed_run_was_writing_is_removed(data, tmp_path):
    left, other = (tmp_path / name for name in (".last.123.ckpt", ".notes.123.ckpt"))
    for path in (left, other):
        path.write_bytes(b"half")
    assert run(tmp_path, data, "--steps", "1") == 0
    assert other.is_file() and not left.exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] == ".") == [other.name]


def test_a_folder_of_another_run_is_refused(finished, data, capsys):
    before = {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    assert run(finished, data, "--seed", "3") == 2
    assert "holds a run with another seed (0, not 3)" in capsys.readouterr().err
    assert run(finished, data, "--steps", "30") == 2
    assert "holds a run with another preset steps (20, not 30)" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    "options, culprit",
    [
        (["--steps", "0"], "--steps is 0"),
        (["--limit", "0"], "--limit is 0; it must be at least 1"),
        (["--limit", "1"], "1 scene; training needs two at least"),
        (["--data", "on-the-fly", "--limit", "3"], "--limit is 3, and scenes on-the-fly have no end; leave it out"),
        (["--model", "resnet"], "--model is 'resnet'; there are arnet, iunet, bokehme, deepfocus, error-map"),
        (["--arnet", "nowhere.safetensors"], "nowhere.safetensors: there are no such weights"),
        (["--init", "nowhere.safetensors"], "nowhere.safetensors: there are no such weights"),
        (["--validation", "nowhere"], "nowhere: no such folder"),
        (["--precision", "7"], "--precision 7"),
        (["--precision", "16-mixed"], "--precision 16-mixed"),
        (["--trunk", "resnet18.pth"], "--trunk is resnet18.pth, and arnet has no encoder of torchvision"),
        (["--ablation", "l1"], "--ablation is l1; arnet has none"),
    ],
)
def test_bad_input_is_named_on_one_line(data, tmp_path, capsys, options, culprit):
    model = "iunet" if "--arnet" in options else "arnet"
    assert run(tmp_path / "out", data, *options, model=model) == 2
    message = capsys.readouterr().err
    assert culprit in message and "Traceback" not in message


# Held out


def test_held_out_scenes_are_never_trained_on(data, recipe, tmp_path):
    cases = open_cases(data)
    training, validation = held_out.split(cases)
    held_out.require_disjoint(training, validation)
    assert [len(scenes_of(part)) for part in (training, validation)] == [3, 1]
    crops = [PictureCrops(part, CropSettings(24), seed=0) for part in (training, validation)]
    seen = [{part[n]["name"].split("/")[0] for n in range(2 * len(part))} for part in crops]
    assert seen[0] & seen[1] == set() and seen[0] | seen[1] == scenes_of(cases)

    # Scene i of a seed is the same draw in every recipe, whatever becomes of it.
    other = tmp_path / "other.yaml"
    other.write_text(recipe.read_text().replace("noise: 0.02", "noise: 0.03"))
    same_seed = open_cases(generated(other, tmp_path / "same", scenes=1, seed=7))
    same = r"same/000000/image.exr: shows the same as .*/000000/image.exr \(scene of seed 7: 0\), which is trained on"
    with pytest.raises(DatasetError, match=same):
        held_out.require_disjoint(cases, same_seed)
    held_out.require_disjoint(*held_out.split([*cases, *same_seed]))
    held_out.require_disjoint(cases, open_cases(generated(recipe, tmp_path / "fresh", scenes=2, seed=8)))


def test_crops_are_cut_with_the_margin_of_the_largest_blur(data):
    preset = ARNET.presets["smoke"]
    loaders = Loaders(data_on_disk([data], None, ARNET), ARNET, preset, seed=4, workers=0)
    settings = CropSettings(preset.crop_px, margin_for(preset.blur_parameter_max), preset.augmentation)
    training, _ = held_out.split(open_cases(data))
    crops = PictureCrops(training, settings, seed=4, planes=fusion_planes, blur_parameter_max=preset.blur_parameter_max)
    assert loaders.first_sample()["name"] == crops[0]["name"]
    assert torch.equal(loaders.first_sample()["classical"], crops[0]["classical"])


def test_a_limit_takes_the_first_scenes_of_each_folder(data, recipe, tmp_path):
    other = generated(recipe, tmp_path / "other", scenes=2, seed=8)
    limited = data_on_disk([data, other], None, ARNET, 3)
    trained, kept = limited.training, limited.validation
    assert [case.folder.path.parent.name for case in kept] == ["other"] * 2
    origins = frozenset(origin for case in (*trained, *kept) for origin in case.origins)
    assert origins == {*(scene_origin(7, number) for number in range(3)), *(scene_origin(8, n) for n in range(2))}
    # Every picture of a scene stays, and a folder to validate on is used whole.
    assert len(trained) == 2 * 4
    assert len(data_on_disk([other], data, ARNET, 1).validation) == 2 * 4
    assert len(data_on_disk([data], None, ARNET, 99).training) == 2 * 3


def test_a_limit_is_part_of_a_run(data, tmp_path, capsys):
    assert run(tmp_path, data, "--steps", "1", "--limit", "2") == 0
    record = read_record(tmp_path / "arnet.safetensors")
    assert record is not None and seen_by(record) == {scene_origin(7, 0), scene_origin(7, 1)}
    assert run(tmp_path, data, "--steps", "1") == 2
    assert "holds a run with another limit (2, not None)" in capsys.readouterr().err


def test_a_validation_set_that_overlaps_is_refused(data, tmp_path, capsys):
    assert run(tmp_path / "out", data, "--validation", str(data)) == 2
    assert "which is trained on" in capsys.readouterr().err


def showing(*scenes: tuple[int, str]) -> list[Case]:
    """A picture of every scene: its number, and the user's own photographs in it, a letter each."""
    cases: list = []
    for number, photographs in scenes:
        origins = frozenset({scene_origin(1, number), *map(picture_origin, photographs)})
        files = [Path(f"{number}/image.exr")]
        cases.append(SimpleNamespace(name=f"{number}", origins=origins, files=lambda files=files: files))
    return cases


def numbers_of(cases: list[Case]) -> list[int]:
    return [int(case.name) for case in cases]


def test_scenes_that_share_a_photograph_are_not_parted():
    cases = showing((0, "a"), (1, "b"), (2, "bc"), (3, ""), (4, "c"), (5, "d"))
    training, validation = held_out.split(cases)
    assert (numbers_of(training), numbers_of(validation)) == ([0, 1, 2, 3, 4], [5])
    held_out.require_disjoint(training, validation)
    # The last scenes hang together with others: all of these are held out, if they are not the largest group.
    cases = showing((0, "a"), (1, "a"), (2, "a"), (3, "b"), (4, "c"), (5, "bc"))
    training, validation = held_out.split(cases)
    assert (numbers_of(training), numbers_of(validation)) == ([0, 1, 2], [3, 4, 5])
    training, validation = held_out.split(showing((0, "a"), (1, "b"), (2, "b"), (3, "b")))
    assert (numbers_of(training), numbers_of(validation)) == ([1, 2, 3], [0])


def test_scenes_that_hang_together_one_by_one_cannot_be_split():
    with pytest.raises(DatasetError, match="all 4 scenes share photographs .* give --validation a folder"):
        held_out.split(showing((0, "a"), (1, "ab"), (2, "bc"), (3, "c")))


@pytest.mark.parametrize("count, expected", [(2, 1), (10, 1), (19, 1), (20, 2), (192, 19)])
def test_of_scenes_without_photographs_the_last_tenth_is_held_out(count, expected):
    training, validation = held_out.split(showing(*((number, "") for number in range(count))))
    assert numbers_of(validation) == list(range(count - expected, count))
    assert len(training) == count - expected


def test_a_photograph_in_two_datasets_is_found_whatever_their_seeds():
    trained, validated = showing((0, "p"), (1, "q")), showing((7, ""), (8, "q"))
    with pytest.raises(DatasetError, match=r"^8/image.exr: shows the same as 1/image.exr \(picture: q\)"):
        held_out.require_disjoint(trained, validated)
    held_out.require_disjoint(trained, showing((7, ""), (8, "r")))


def test_a_users_photographs_and_a_copied_picture_are_not_validated_on(recipe, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    write_png(photos / "wall.png", np.random.default_rng(0).uniform(0, 1, (64, 64, 3)).astype(np.float32))
    folders = []
    for seed in (1, 2):
        out = tmp_path / f"seed-{seed}"
        options = ["--scenes", "2", "--seed", str(seed), "--backgrounds", str(photos), "--workers", "1"]
        assert gen.main(["--recipe", str(recipe), "--out", str(out), *options]) == 0
        folders.append(out)
    capsys.readouterr()
    assert run(tmp_path / "run", folders[0]) == 2
    assert "all 2 scenes share photographs" in capsys.readouterr().err
    assert run(tmp_path / "run", folders[0], "--validation", str(folders[1])) == 2
    assert "which is trained on" in capsys.readouterr().err
    # Two plain folders with the same pictures under other names.
    plain(tmp_path / "one", disparity=True)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for file in (tmp_path / "two" / "image").iterdir():
        (tmp_path / "two" / "image" / file.name).rename(file.with_name("9" + file.name))
    for name in ("truth", "disparity"):
        for file in (tmp_path / "two" / name).iterdir():
            file.rename(file.with_name("9" + file.name))
    lenses = json.loads((tmp_path / "two" / "settings.json").read_text())
    (tmp_path / "two" / "settings.json").write_text(json.dumps({"9" + stem: lens for stem, lens in lenses.items()}))
    assert run(tmp_path / "run", tmp_path / "one", "--validation", str(tmp_path / "two")) == 2
    assert "two/image/90.exr: shows the same as" in capsys.readouterr().err


def test_scenes_on_the_fly_are_drawn_from_generators_that_no_dataset_has(recipe, monkeypatch):
    drawn = []

    def recorded(recipe, *, rng):
        drawn.append(rng.bit_generator.seed_seq)
        return sample_scene(recipe, rng=rng)

    monkeypatch.setattr("training.on_the_fly.sample_scene", recorded)
    batches(on_the_fly(recipe, seed=7), 7)
    assert len(drawn) >= 2
    states = {tuple(sequence.generate_state(4)) for sequence in drawn}
    of_datasets = {tuple(np.random.SeedSequence([7, i]).generate_state(4)) for i in range(100)}
    assert not states & of_datasets
    assert all(sequence.spawn_key[0] == 2 and len(sequence.spawn_key) == 3 for sequence in drawn)


# What weights say of their training


def test_weights_say_what_they_were_trained_and_validated_on(finished, data):
    with safe_open(finished / "arnet.safetensors", "pt") as file:
        assert list(file.metadata()) == ["training"]  # several entries would come in any order
    record = read_record(finished / "arnet.safetensors")
    assert record is not None
    assert (record["network"], record["step"]) == ("arnet", 20) or record["step"] == 10
    digest = held_out.digest(data, open_cases(data))
    assert record["data"] == [{"role": "training", "sha256": digest, "recipe": "tiny", "seed": 7}]
    assert record["trained_on"] == {"scene of seed 7": [[0, 2]]}
    assert record["validated_on"] == {"scene of seed 7": [[3, 3]]}
    assert seen_by(record) == {scene_origin(7, number) for number in range(4)}
    said = json.loads((finished / "run.json").read_text())["record"]
    assert said == {key: value for key, value in record.items() if key not in ("network", "step")}


def test_weights_take_over_what_those_that_they_begin_with_saw(finished, data, recipe, tmp_path):
    other = generated(recipe, tmp_path / "other", scenes=2, seed=8)
    begin = ["--init", str(finished / "arnet.safetensors"), "--steps", "2"]
    assert run(tmp_path / "on", other, *begin) == 0
    record = read_record(tmp_path / "on" / "arnet.safetensors")
    assert record is not None
    assert record["trained_on"] == {"scene of seed 7": [[0, 2]], "scene of seed 8": [[0, 0]]}
    assert record["validated_on"] == {"scene of seed 7": [[3, 3]], "scene of seed 8": [[1, 1]]}
    # Behind an ARNet whose file has no record, nobody knows.
    save_file(ARNet().state_dict(), tmp_path / "arnet.safetensors")
    behind = ["--behind", str(tmp_path / "arnet.safetensors"), "--steps", "2"]
    assert run(tmp_path / "behind", other, *behind, model="iunet") == 0
    record = read_record(tmp_path / "behind" / "iunet.safetensors")
    assert record is not None and record["trained_on"] is None and seen_by(record) is None


def test_weights_ship_as_half_floats_with_their_record(finished, tmp_path, capsys):
    assert ship.main([str(finished / "arnet.safetensors"), "--out", str(tmp_path / "new")]) == 0
    trained, shipping = finished / "arnet.safetensors", tmp_path / "new" / "arnet.safetensors"
    assert read_record(shipping) == read_record(trained)
    assert shipping.stat().st_size < 0.52 * trained.stat().st_size
    # They are float32 again in the network, where a half float has rounded them by 2^-11 at most.
    networks = [loaded(ARNet(), path) for path in (trained, shipping)]
    for before, after in zip(*(network.parameters() for network in networks), strict=True):
        assert after.dtype == torch.float32
        torch.testing.assert_close(after, before, rtol=2.0**-11, atol=1e-7)


def test_half_floats_do_not_move_what_is_measured(data, finished, tmp_path):
    assert ship.main([str(finished / "arnet.safetensors"), "--out", str(tmp_path)]) == 0
    crops = PictureCrops(
        open_cases(data), CropSettings(None, augmentation=0.0, turned=False), seed=0, planes=fusion_planes
    )
    batch, numbers = next(iter(DataLoader(crops))), []
    for folder in (finished, tmp_path):
        training = ArnetTraining(ARNET.presets["smoke"], 1)
        training.start_from(folder / "arnet.safetensors")
        with torch.no_grad():
            numbers.append(training.measurements(batch)[0])
    for name, value in numbers[0].items():
        # Tables have two digits.
        assert numbers[1][name] == pytest.approx(value, abs=0.005), name


def test_biases_and_statistics_are_not_halved():
    halves = in_half_floats(FusionNet().state_dict())
    assert {value.dtype for name, value in halves.items() if value.ndim > 1} == {torch.float16}
    assert {value.dtype for name, value in halves.items() if value.ndim == 1} == {torch.float32}
    assert halves["down.0.1.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize(
    "network, message",
    [
        ({"w": torch.full((2, 2), 1e5)}, "w holds values that half floats do not"),
        ({"w": torch.zeros(3000, 2001)}, "takes 12.0 MB as half floats; weights that ship take 12 MB at most"),
        (None, "there are no such weights"),
    ],
)
def test_weights_that_cannot_ship_are_named(network, message, tmp_path, capsys):
    file = tmp_path / "net.safetensors"
    if network is not None:
        save_file(network, file)
    assert ship.main([str(file), "--out", str(tmp_path / "new")]) == 2
    told = capsys.readouterr().err
    assert str(file) in told and message in told and not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["arnet", "iunet"])
def test_the_weights_that_ship_say_what_their_card_says(name):
    record = read_record(shipped("bokehme", name))
    assert record is not None and record["network"] == name
    (folder,) = record["data"]
    card = shipped("bokehme", name).with_name("README.md").read_text()
    command = re.search(r"gen.py --recipe (\S+) --scenes (\d+) --seed (\d+)", card)
    assert command is not None
    assert (folder["recipe"], folder["seed"]) == (command[1], int(command[3]))
    assert folder["sha256"][:12] in card
    held = re.search(r"The last (\d+) scenes\s+are held out", card)
    assert held is not None
    count, kept = int(command[2]), int(held[1])
    kind = f"scene of seed {command[3]}"
    assert record["trained_on"] == {kind: [[0, count - kept - 1]]}
    assert record["validated_on"] == {kind: [[count - kept, count - 1]]}


def test_one_scene_cannot_be_split(data):
    with pytest.raises(DatasetError, match="two at least"):
        held_out.split([case for case in open_cases(data) if case.scene == "000000"])


# Learning


def test_arnet_learns_one_batch_by_heart(data):
    """160 steps on two crops bring Eq. 10 below half of what it is for the scatter in both places."""
    torch.manual_seed(0)
    settings = CropSettings(24, 11)
    pictures = PictureCrops(open_cases(data), settings, seed=0, planes=fusion_planes, blur_parameter_max=8.0)
    batch = next(iter(DataLoader(pictures, batch_size=2)))
    training = ArnetTraining(replace(ARNET.presets["cpu"], learning_rate=1e-3, ema_decay=None, elsewhere=1.0), 160)
    configured = training.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    for _ in range(160):
        optimizer.zero_grad()
        loss = training.objective(batch)["loss"]
        loss.backward()
        clip_grad_norm_(training.network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    classical = classical_picture(batch)
    scatter = fusion_loss(classical, classical, batch["truth"])
    assert float(loss.detach()) < 0.5 * float(scatter)


@pytest.mark.parametrize("model", ["iunet", "deepfocus", "error-map"])
def test_every_model_trains_and_saves_what_it_trained(model, data, finished, tmp_path):
    assert run(tmp_path, data, "--steps", "10", "--arnet", str(finished / "arnet.safetensors"), model=model) == 0
    (line,) = [line for line in metrics(tmp_path) if line["step"] == 10]
    assert all(np.isfinite(value) for value in line.values())
    assert load_file(tmp_path / f"{model}.safetensors")
    if model == "error-map":
        assert {"val/bce", "val/precision", "val/recall"} <= line.keys()


def test_bokehme_is_arnet_and_then_iunet_behind_it(finished, data, tmp_path, capsys):
    assert run(tmp_path / "both", data, model="bokehme") == 0
    behind = ["--arnet", str(finished / "arnet.safetensors")]
    assert run(tmp_path / "alone", data, *behind, model="iunet") == 0
    for name, alone in (("arnet", finished), ("iunet", tmp_path / "alone")):
        file = f"{name}.safetensors"
        assert (tmp_path / "both" / name / file).read_bytes() == (alone / file).read_bytes()
    capsys.readouterr()
    assert run(tmp_path / "both", data, *behind, model="bokehme") == 2
    assert "train arnet first, then iunet" in capsys.readouterr().err


def test_highlights_are_added_in_linear_light_with_finite_slopes():
    picture = torch.tensor([-0.5, 0.0, 0.5, 0.5, 1.0]).reshape(1, 1, 1, 5).requires_grad_()
    batch = {"gamma": torch.tensor([2.0]), "highlights": torch.tensor([1e-9, 0.01, 0.0, 0.39, 5.0]).reshape(1, 1, 1, 5)}
    shown = with_highlights(picture, batch["highlights"], batch["gamma"])
    # sqrt(0.5^2 + 0.39) = 0.8; white stays white; black is 1e-3 where light is added.
    torch.testing.assert_close(shown.flatten(), torch.tensor([1e-3, 0.1, 0.5, 0.8, 1.0]), atol=5e-5, rtol=0.0)
    shown.sum().backward()
    assert torch.isfinite(picture.grad).all()


class Seeing(torch.nn.Module):
    """An ARNet that records what it is given."""

    def forward(self, image, defocus, gamma):
        self.image, self.defocus = image, defocus
        return image, torch.zeros_like(image[:, :1])


def test_an_arnet_at_half_size_is_told_half_the_blur():
    """A disk of radius S covers S / W of the picture's width, at half size as at full: S / 2 of W / 2."""
    arnet = Seeing()
    training = IunetTraining(IUNET.presets["smoke"], 10, arnet)
    image, plane = torch.rand(1, 3, 32, 32), torch.full((1, 1, 32, 32), 14.0)
    planes = {"truth": image, "classical": image, "highlights": torch.zeros_like(image), "error_map": 0.0 * plane}
    gamma = torch.tensor([2.2])
    training.objective({"image": image, "defocus_px": plane, "dilated_px": plane, "gamma": gamma, **planes})
    assert arnet.image.shape[-2:] == (16, 16)
    told_px = arnet.defocus * DEFOCUS_UNIT_PX
    torch.testing.assert_close(told_px / 16.0, torch.full_like(told_px, 14.0 / 32.0), atol=1e-6, rtol=0.0)


def test_an_iunet_that_begins_below_black_learns():
    training = IunetTraining(IUNET.presets["smoke"], 10, ARNet())
    # Every channel read: where IUNet begins, some are not yet.
    training.network.load_state_dict(IUNet().state_dict())
    torch.nn.init.constant_(training.network.conv1.conv.bias, -1.0)
    plane = torch.rand(1, 1, 16, 16)
    batch = {"image": torch.rand(1, 3, 16, 16), "truth": torch.rand(1, 3, 16, 16), "gamma": torch.tensor([2.2])}
    batch |= {
        "classical": batch["image"],
        "highlights": torch.zeros(1, 3, 16, 16),
        "defocus_px": plane,
        "dilated_px": plane,
        "error_map": plane,
    }
    training.objective(batch)["loss"].backward()
    assert all(parameter.grad.abs().max() > 0.0 for parameter in training.network.parameters())


def test_an_iunet_begins_with_the_sharp_image_in_focus_and_the_coarse_one_elsewhere():
    torch.manual_seed(3)
    iunet = IUNet()
    start_sharp(iunet)
    coarse = torch.rand(1, 3, 12, 12)
    image = torch.nn.functional.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    sharp = (image + 0.2 * (torch.rand_like(image) - 0.5)).clamp(0.0, 1.0)
    gamma = torch.rand(1)
    inside = (..., slice(2, -2), slice(2, -2))

    def begins(defocus_px: float) -> torch.Tensor:
        plane = torch.full((1, 1, 24, 24), defocus_px / DEFOCUS_UNIT_PX)
        with torch.no_grad():
            return iunet(sharp, plane, coarse, gamma)[inside]

    # Half of a + 1 - exp(-a) is a but for a^2 / 4; beside the gate's own rounding, these allow twice that.
    torch.testing.assert_close(begins(0.0), sharp[inside], atol=0.5 * 0.1**2, rtol=0.0)
    for far in (-10.0, -3.0, 3.0, 10.0):
        torch.testing.assert_close(begins(far), image[inside], atol=0.002, rtol=0.0)
    half = begins(0.76) - image[inside]
    torch.testing.assert_close(half, 0.5 * (sharp - image)[inside], atol=0.005, rtol=0.0)


@pytest.mark.parametrize(
    "model", [name for name, stages in MODELS.items() if len(stages) == 1 and name not in CLASSIFIERS]
)
def test_mixed_precision_trains_float32_weights(model, data, finished, tmp_path):
    """Few bits inside the network, none missing in what is kept of it."""
    weights = behind(MODELS[model][0], tmp_path)
    if "arnet" in weights:
        weights["arnet"] = finished / "arnet.safetensors"
    options = [
        "--steps",
        "2",
        "--precision",
        "bf16-mixed",
        *(["--behind", *map(str, weights.values())] if weights else []),
    ]
    assert run(tmp_path / "out", data, *options, model=model) == 0
    kept = load_file(tmp_path / "out" / f"{model}.safetensors")
    assert all(
        w.dtype == torch.float32 and torch.isfinite(w).all()
        for name, w in kept.items()
        # Batch norm counts in whole numbers.
        if not name.endswith("num_batches_tracked")
    )


def test_training_goes_on_from_given_weights(data, tmp_path):
    torch.manual_seed(5)
    network = ARNet()
    save_file(network.state_dict(), tmp_path / "begin.safetensors")
    torch.manual_seed(6)
    training = ArnetTraining(ARNET.presets["cpu"], 10)
    training.start_from(tmp_path / "begin.safetensors")
    for part in (training.network, training.validated):
        assert all(torch.equal(value, network.state_dict()[name]) for name, value in part.state_dict().items())
    assert all(parameter.requires_grad for parameter in training.network.parameters())


def test_precision_and_recall_of_masks():
    predicted = torch.tensor([1, 1, 1, 0, 0, 0], dtype=torch.bool)
    actual = torch.tensor([1, 0, 0, 1, 1, 1], dtype=torch.bool)
    assert precision_and_recall(predicted, actual) == (1 / 3, 1 / 4)
    nothing = torch.zeros(6, dtype=torch.bool)
    assert np.isnan(precision_and_recall(nothing, actual)[0]) and np.isnan(precision_and_recall(predicted, nothing)[1])


# Presets


D2F_PARTS = ("defocus", "fusion")

STAGES = {model.name: model for stages in MODELS.values() for model in stages}
# Classifiers are trained to be attacked, as no paper does.
PRINTED = {name: stage for name, stage in STAGES.items() if name not in CLASSIFIERS}


def test_the_paper_is_trained_as_it_says():
    """BokehMe 4.1: Adam at 1e-4, 50 epochs, batches of 16. DeepFocus's release: 200 epochs, crops of 128 px.

    CoCNet: Adam at 2e-4, batches of 2, 1024 px. AMPN: Adam at 2e-4, batches of 8, 500 epochs.
    """
    said = {
        name: (preset.learning_rate, preset.batch, preset.epochs, preset.steps, preset.crop_px)
        for name, preset in ((name, stage.presets["paper"]) for name, stage in PRINTED.items())
    }
    assert said == {
        "arnet": (1e-4, 16, 50, None, 128),
        "iunet": (1e-4, 16, 50, None, 256),
        "error-map": (1e-4, 16, 50, None, 128),
        "deepfocus": (1e-4, 16, 200, None, 128),
        **{f"deeplens-{part}": (1e-4, 16, 50, None, 256) for part in ("blur", "upsampling")},
        **dict.fromkeys((*COCNET, *DMSHN), (2e-4, 2, 60, None, 1024)),
        **{f"{name}-defocus": (1e-4, 4, 60, None, 1024) for name in ("d2f", "d2f-small")},
        **{f"{name}-fusion": (1e-4, 2, 20, None, 1024) for name in ("d2f", "d2f-small")},
        **dict.fromkeys(AMPN_ROWS, (2e-4, 8, 500, None, 1024)),
        # MPIB prints nothing of its training.
        **dict.fromkeys(MPIB_NETWORKS, (1e-4, 8, 50, None, 256)),
        # RevealNet has no paper.
        "reveal": (1e-4, 16, 50, None, 256),
        # IFAN's release: 600,000 steps of 8 crops.
        **dict.fromkeys(IFAN, (1e-4, 8, None, 600_000, 256)),
        # Dr.Bokeh's released experiment of depth from defocus.
        "defocus-depth": (2e-4, 22, 50, None, 256),
    }
    for name, stage in PRINTED.items():
        preset = stage.presets["paper"]
        norm = 0.5 if name in IFAN else None
        assert (preset.schedule, preset.gradient_norm_max, preset.ema_decay) == ("constant", norm, None)
        # Three of four disparities are imperfect (methods, 6.4), but beside pairs.
        augmentation = 0.0 if preset.blur_parameter_max == BLUR_PARAMETER_MAX else 0.75
        assert preset.augmentation == augmentation and getattr(preset, "elsewhere", 1.0) == 1.0


@pytest.mark.parametrize("preset", ["smoke", "cpu", "paper"])
def test_networks_learn_the_blur_that_they_are_used_at(preset):
    """At inference ARNet sees 10 px at most, and IUNet steps from half a picture's blur to all of it, 20 px."""
    for name, largest in (("arnet", 10.0), ("error-map", 10.0), ("deepfocus", 10.0), ("iunet", 20.0)):
        trained = STAGES[name].presets[preset]
        # The papers leave a fifth to spare: K = 12 and K = 24.
        assert trained.blur_parameter_max == pytest.approx(1.2 * largest), name
        # What blurs into the middle of a crop is in the crop.
        assert trained.crop_px > trained.blur_parameter_max
        assert 0.0 < trained.augmentation < 1.0


def test_disparities_are_corrupted_as_often_as_asked_and_as_they_are_measured():
    """Training draws from the 15 maps of the benchmark alike: none is left out, and none is worse."""
    drawn = Counter(random_corruption(rng=np.random.default_rng(i)) for i in range(6000))
    assert drawn.keys() == set(every_corruption())
    # 400 of each are expected, with a deviation of 19: four of them.
    assert all(abs(n - 400) < 80 for n in drawn.values()), drawn


@pytest.mark.parametrize("augmentation", [0.0, 0.25, 0.75, 1.0])
def test_a_preset_says_how_many_crops_have_an_imperfect_disparity(data, augmentation):
    def corrupted(crop):
        return {"is": np.full((*crop.image.shape[:2], 1), crop.corruption is not None, np.float32)}

    crops = PictureCrops(open_cases(data), CropSettings(24, 0, augmentation), seed=0, planes=corrupted)
    part = np.mean([float(crops[n]["is"].mean()) for n in range(400)])
    # Four deviations of a share among 400.
    assert part == pytest.approx(augmentation, abs=4.0 * np.sqrt(augmentation * (1.0 - augmentation) / 400))


# Models


def behind(model: Model, folder: Path) -> dict[str, Path]:
    """The weights that a model stands behind: those that ship, or random ones."""
    weights = dict(model.behind)
    for name, path in model.behind.items():
        if not path.is_file():
            weights[name] = folder / path.name
            networks = D2F_NETWORKS | DEEPLENS_NETWORKS | MPIB_NETWORKS
            save_file(networks[name]().state_dict(), weights[name])
    return weights


@pytest.mark.parametrize("name", STAGES)
def test_samples_hold_what_their_model_declares_and_a_step_trains_it(name, data, tmp_path):
    """The contract of a model. Its measurements find what they need in a validation sample, and give its criterion."""
    model, preset = STAGES[name], STAGES[name].presets["smoke"]
    samples = {"training": model.samples, "validation": model.validation_samples or model.samples}
    whole = CropSettings(None, augmentation=0.0, turned=False)
    batches = {}
    for part, settings in (("training", CropSettings(preset.crop_px, 15)), ("validation", whole)):
        cases = [replace(case, label=OBJECTS[0]) if name in CLASSIFIERS else case for case in open_cases(data)]
        crops = PictureCrops(cases, settings, seed=0, planes=samples[part].planes)
        assert crops[0].keys() == samples[part].keys, part
        batches[part] = next(iter(DataLoader(crops, batch_size=2 if part == "training" else 1)))
    training = model.build(preset, 20, behind(model, tmp_path))
    before = [parameter.detach().clone() for parameter in training.network.parameters()]
    optimizer = training.configure_optimizers()["optimizer"]
    loss = training.objective(batches["training"])["loss"]
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    assert any(not torch.equal(a, b) for a, b in zip(before, training.network.parameters(), strict=True))
    # As Lightning validates.
    training.eval()
    with torch.no_grad():
        numbers, pictures = training.measurements(batches["validation"])
    assert np.isfinite(numbers[training.criterion]) and all(picture.shape[0] == 1 for picture in pictures)


@pytest.mark.parametrize(
    "name, unread",
    [
        ("arnet", {"dilated_px"}),
        ("deepfocus", {"classical", "highlights", "dilated_px", "error_map"}),
        ("error-map", {"truth", "classical", "highlights", "dilated_px"}),
    ],
)
def test_a_model_does_not_pay_for_the_planes_of_others(name, unread):
    assert STAGES[name].samples.keys.isdisjoint(unread)


def plain(folder: Path, *, disparity: bool, count: int = 3) -> Path:
    """A plain folder of pictures that are not blurred."""
    rng = np.random.default_rng(0)
    for name in ("image", "truth", *(("disparity",) if disparity else ())):
        (folder / name).mkdir(parents=True)
    for i in range(count):
        picture = rng.uniform(0, 1, (48, 40, 3)).astype(np.float32)
        write_exr_rgb(folder / "image" / f"{i}.exr", picture)
        write_png(folder / "truth" / f"{i}.png", picture)
        if disparity:
            np.save(folder / "disparity" / f"{i}.npy", rng.uniform(0, 1, (48, 40)).astype(np.float32))
    if disparity:
        lenses = {str(i): {"blur_parameter": 8.0, "focus_disparity": 0.25} for i in range(count)}
        (folder / "settings.json").write_text(json.dumps(lenses))
    return folder


def test_deepfocus_trains_on_a_plain_folder(tmp_path):
    folder = plain(tmp_path / "plain", disparity=True)
    assert run(tmp_path / "out", folder, "--steps", "2", model="deepfocus") == 0
    said = json.loads((tmp_path / "out" / "run.json").read_text())
    assert said["data"] == {"training": [held_out.digest(folder, open_cases(folder))]}
    # Another lens is other data, though every file of pictures is as before.
    lenses = (folder / "settings.json").read_text()
    (folder / "settings.json").write_text(lenses.replace("0.25", "0.5"))
    assert said["data"] != {"training": [held_out.digest(folder, open_cases(folder))]}


@pytest.mark.parametrize("peak", [0.8, 30.0])
def test_deepfocus_is_trained_on_crops_as_it_sees_them_in_their_whole_pictures(peak):
    """The peak of the picture and the range of its disparity lie outside of most crops."""
    rng = np.random.default_rng(0)
    image, disparity = 0.6 * rng.random((40, 48, 3), np.float32), rng.uniform(0.3, 0.6, (40, 48)).astype(np.float32)
    image[0, 0], disparity[0, 0], disparity[39, 47] = peak, 0.1, 0.9
    case = MemoryCase(
        name="light", scene="light", blur_parameter=8.0, focus_disparity=0.4, planes=(image, image, disparity)
    )
    network, seen = DeepFocus(), []
    network.register_forward_pre_hook(lambda module, planes: seen.append(planes))
    refocus({"deepfocus": network}, image, disparity, case.lens(), gamma=2.2, arch="cpu")
    training = DeepfocusTraining(DEEPFOCUS.presets["smoke"], 1)
    training.network.register_forward_pre_hook(lambda module, planes: seen.append(planes))
    crops = CropSettings(crop_px=16, augmentation=0.0, turned=False)
    samples = [sample_of(case, crops, deepfocus_planes, rng=np.random.default_rng(seed)) for seed in range(4)]
    training.objective(default_collate(samples))
    whole, cropped = seen
    for i, rng in enumerate(map(np.random.default_rng, range(4))):
        y, x = rng.integers(40 - 16 + 1), rng.integers(48 - 16 + 1)
        for in_whole, in_crop in zip(whole, cropped, strict=True):
            expected = in_whole[0, :, y : y + 16, x : x + 16]
            torch.testing.assert_close(in_crop[i], expected, atol=1e-6, rtol=1e-6)


def test_deepfocus_learns_and_renders_gamma_22_whatever_the_gamma():
    """It is told no gamma: the same light at another one is the same sample, and the same picture."""
    rng = np.random.default_rng(0)
    linear, disparity = rng.random((32, 32, 3), np.float32), rng.random((32, 32), np.float32)
    linear[3, 3] = 20.0
    network = DeepFocus().eval()
    samples, pictures = [], []
    for gamma in (2.2, 1.0, 4.0):
        image = display_from_linear(linear, gamma)
        case = MemoryCase(
            name="x",
            scene="x",
            blur_parameter=8.0,
            focus_disparity=0.4,
            gamma=gamma,
            planes=(image, image, disparity),
        )
        samples.append(sample_of(case, CropSettings(16), deepfocus_planes, rng=np.random.default_rng(1)))
        shown = refocus({"deepfocus": network}, image, disparity, case.lens(), gamma=gamma, arch="cpu")
        pictures.append(linear_from_display(shown, gamma))
    for sample, picture in zip(samples[1:], pictures[1:], strict=True):
        for name in STAGES["deepfocus"].samples.keys - {"name", "gamma"}:
            torch.testing.assert_close(sample[name], samples[0][name], atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(picture, pictures[0], rtol=1e-3, atol=1e-4)


def test_a_network_from_picture_to_picture_trains_on_pairs_of_pictures(tmp_path, capsys, monkeypatch):
    """Both stages, of a row of the paper's tables, with an encoder that a user has; no weights ship yet."""
    nowhere = tmp_path / "d2f-small-defocus.safetensors"
    for name in ("d2f-small", "d2f-small-fusion"):
        stages = (replace(stage, behind=dict.fromkeys(stage.behind, nowhere)) for stage in MODELS[name])
        monkeypatch.setitem(MODELS, name, tuple(stages))
    pairs, trunk = plain(tmp_path / "pairs", disparity=False), tmp_path / "mobilenet_v2.pth"
    torch.save(MobileNetV2().state_dict(), trunk)
    options = ("--steps", "2", "--ablation", "grey-radiance", "--trunk", str(trunk))
    assert run(tmp_path / "out", pairs, *options, "--dry-run", model="d2f-small") == 0
    assert "d2f-small-fusion: stands behind d2f-small-defocus, which is not trained yet" in capsys.readouterr().out
    assert run(tmp_path / "out", pairs, *options, model="d2f-small") == 0
    first, second = (
        json.loads((tmp_path / "out" / f"d2f-small-{part}" / "run.json").read_text()) for part in D2F_PARTS
    )
    assert first["preset"]["radiance"] == second["preset"]["radiance"] == "grey"
    assert first["behind"] == {"mobilenet_v2": sha256_of(trunk)} and second["behind"].keys() == {"d2f-small-defocus"}
    # The loss has features of VGG16, or the run says why not.
    assert "VGG" in first["notes"][0] and "VGG" in second["notes"][0]
    assert run(tmp_path / "alone", pairs, "--steps", "2", model="d2f-small-fusion") == 2
    assert "d2f-small-defocus.safetensors: there are no such weights" in capsys.readouterr().err


def test_the_average_of_weights_has_its_own_statistics(monkeypatch):
    """A bias before batch norm changes nothing and wanders. Its average lags behind it, and so must the mean."""
    preset = replace(DMSHN["dmshn"].presets["smoke"], ema_decay=0.99)
    training = PairTraining(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4)), preset, 1000)
    monkeypatch.setattr(pl.LightningModule, "optimizer_step", lambda *args, **kwargs: None)
    monkeypatch.setattr(PairTraining, "global_step", 1000)
    picture = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for _ in range(400):
            training.network[0].bias += 0.005
            training.network(picture)
            training.optimizer_step()
        behind = training.network[0].bias.mean() - training.validated[0].bias.mean()
        assert 0.4 < behind < 0.6
        # A batch's own statistics know no bias; the running ones follow it by ten steps.
        expected = training.network.train()(picture)
        found = training.validated.eval()(picture)
    assert (found.mean() - expected.mean()).abs() < 0.3


def test_a_network_that_is_given_a_disparity_and_no_lens_trains_on_pairs_without_a_lens(tmp_path, capsys):
    pairs = plain(tmp_path / "pairs", disparity=True)
    (pairs / "settings.json").write_text(json.dumps({str(i): {"focus_disparity": 0.25} for i in range(3)}))
    assert run(tmp_path / "out", pairs, "--steps", "2", model="cocnet-b3-less-depth") == 0
    assert run(tmp_path / "refused", pairs, model="ampn-no-g1") == 2
    assert "has no blur parameter or no focus disparity, which ampn-no-g1 is trained with" in capsys.readouterr().err


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_pairs_are_refused_where_a_disparity_is_needed(tmp_path, data, capsys, options):
    pairs = plain(tmp_path / "pairs", disparity=False)
    assert run(tmp_path / "out", pairs, *options, model="deepfocus") == 2
    assert f"error: {pairs}: has no disparity, which deepfocus is trained with" in capsys.readouterr().err
    assert run(tmp_path / "out", data, "--validation", str(pairs), *options, model="deepfocus") == 2
    assert f"error: {pairs}: has no disparity" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# Classifiers turn all that they are given.
PAIRED = sorted(name for name, stage in PRINTED.items() if stage.samples.margin_px is not None)


@pytest.mark.parametrize("name", PAIRED)
def test_pictures_alone_are_cut_as_small_as_their_crops(name, data):
    """The samples are those of whole pictures, whose planes take a hundred times as long on large photographs."""
    model, windows = STAGES[name], []

    def recorded(crop):
        windows.append(crop.image.shape[:2])
        return model.samples.planes(crop)

    margin = model.samples.margin_px
    assert margin is not None
    samples = [
        PictureCrops(open_cases(data), CropSettings(24, pixels, 1.0), seed=2, planes=recorded)
        for pixels in (margin, 1000)
    ]
    for n in range(30):
        cut, whole = (crops[n] for crops in samples)
        assert all(torch.equal(cut[key], whole[key]) for key in model.samples.keys - {"name"})
    assert max(max(window) for window in windows[::2]) <= 24 + 2 * margin
    if model.information == "picture":
        # A crop of IFAN's 256 px, made smaller by 0.7, shows 55 px more on each side.
        assert margin == (55 if name in IFAN else 0)
    # And so the run cuts them.
    loaders = Loaders(data_on_disk([data], None, model), model, model.presets["smoke"], seed=2, workers=0)
    assert loaders._cropped.margin_px == margin


class GainBatch(Batch):
    image: PictureBatch
    truth: PictureBatch


class Gain(torch.nn.Module):
    """A picture times a number."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, image):
        return self.gain * image


class GainTraining(Training[GainBatch, GainBatch]):
    criterion = "psnr"

    def objective(self, batch):
        return {"loss": picture_l1(self.network(batch["image"]), batch["truth"])}

    def measurements(self, batch):
        picture = self.validated(batch["image"])
        return {"psnr": shown_psnr(picture, batch["truth"])}, [picture]


GAIN = Model(
    name="gain",
    presets={"smoke": Preset.smoke()},
    build=lambda preset, steps, weights: GainTraining(Gain(), preset, steps),
    samples=Samples(GainBatch, picture_planes),
    information="picture",
)


def test_a_model_of_pictures_alone_trains_on_pairs(tmp_path, monkeypatch, capsys):
    """All that a new model needs is its declaration and its line."""
    monkeypatch.setitem(MODELS, "gain", (GAIN,))
    pairs = plain(tmp_path / "pairs", disparity=False)
    assert run(tmp_path / "out", pairs, model="gain") == 0
    assert float(load_file(tmp_path / "out" / "gain.safetensors")["gain"]) > 0.5
    assert [line["step"] for line in metrics(tmp_path / "out")] == [10, 20]
    assert run(tmp_path / "other", pairs, "--preset", "paper", model="gain") == 2
    assert "--preset is paper; gain has smoke" in capsys.readouterr().err


class Payload:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    ("name", "content", "culprit"),
    [
        ("last.ckpt", b"PK not whole", "last.ckpt: is not a whole checkpoint"),
        ("last.ckpt", b"", "last.ckpt: is not a whole checkpoint"),
        ("last.ckpt", Payload, "last.ckpt: is not a whole checkpoint;"),
        ("last.ckpt", [1], "last.ckpt: is not a whole checkpoint;"),
        ("last.ckpt", {"global_step": 3}, "last.ckpt: is not a whole checkpoint;"),
        ("last.ckpt", {"global_step": 3, "state_dict": {}}, "last.ckpt: is not a whole checkpoint of this run;"),
        ("run.json", b"{half", "run.json: is not JSON that can be used"),
        ("run.json", b"[1]", "run.json: is not a mapping"),
    ],
)
def test_a_broken_file_of_a_run_is_named(finished, data, tmp_path, capsys, name, content, culprit):
    out = shutil.copytree(finished, tmp_path / "run")
    if isinstance(content, bytes):
        (out / name).write_bytes(content)
    else:
        torch.save(content() if content is Payload else content, out / name)
    assert run(out, data) == 2
    captured = capsys.readouterr()
    assert culprit in captured.err and captured.err.count("\n") == 1
    # What torch says of a file that would run code is how to let it.
    assert "weights_only" not in captured.err and "executed" not in captured.out


def test_a_checkpoint_of_another_network_is_named(finished, data, tmp_path, capsys):
    out = shutil.copytree(finished, tmp_path / "run")
    held = torch.load(out / "last.ckpt", weights_only=True)
    name, weights = next(iter(held["state_dict"].items()))
    held["state_dict"][name] = torch.zeros((*weights.shape, 2))
    torch.save(held, out / "last.ckpt")
    assert run(out, data) == 2
    assert "last.ckpt: is not a whole checkpoint of this run;" in capsys.readouterr().err


@pytest.mark.parametrize("file_bytes", [0, 2_000, 20_000])
def test_a_full_disk_names_the_run_and_a_later_run_goes_on(data, tmp_path, capsys, full_disk, file_bytes):
    out = tmp_path / "run"
    with full_disk(file_bytes):
        assert run(out, data, "--steps", "3") == 2
    message = capsys.readouterr().err
    assert f"train.py: error: {out}" in message and "Traceback" not in message
    assert not [path.name for path in out.glob(".*")]
    assert run(out, data, "--steps", "3") == 0


def test_lines_of_metrics_that_are_none_are_dropped(finished, data, tmp_path):
    out = shutil.copytree(finished, tmp_path / "run")
    before = (out / "metrics.jsonl").read_bytes()
    none = b'\0\0\0\n[1]\n{"step": 1, "val/psnr": "high"}\n{"step": true}\n' + b"[" * 100_000 + b"\n"
    (out / "metrics.jsonl").write_bytes(none + before + b'{"st')
    (out / "last.ckpt").unlink()
    assert run(out, data) == 0
    assert (out / "metrics.jsonl").read_bytes() == before


# Dry run


def test_a_dry_run_says_what_would_be_trained_and_writes_nothing(data, tmp_path, capsys):
    assert run(tmp_path, data, "--dry-run", model="bokehme") == 0
    assert list(tmp_path.iterdir()) == []
    arnet, iunet = capsys.readouterr().out.split("\niunet: ")
    assert arnet.startswith("arnet: 923,664 parameters, preset smoke\n")
    assert iunet.startswith("240,076 parameters, preset smoke, behind arnet\n")
    # ARNet takes pictures of K = 8, and none of K = 20.
    assert "3 scenes, 3 pictures\n" in arnet and "1 scene, 1 picture, every 10 steps" in arnet
    assert "3 scenes, 6 pictures\n" in iunet and "1 scene, 2 pictures, every 10 steps" in iunet
    assert "20 of 2 samples each" in arnet
    assert "truth 3 x 32 x 32" in arnet and "dilated_px" not in arnet and "dilated_px 1 x 32 x 32" in iunet
    assert f"{tmp_path / 'iunet'}: iunet.safetensors, last.ckpt" in iunet


def test_a_dry_run_of_a_run_that_is_there_leaves_it_alone(finished, data, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert run(finished, data, "--dry-run") == 0
    assert "goes on from its checkpoint" in capsys.readouterr().out
    assert run(finished, data, "--dry-run", "--seed", "3") == 2
    assert "holds a run with another seed (0, not 3)" in capsys.readouterr().err
    assert run(finished, data, "--steps", "30") == 2
    assert "holds a run with another preset steps (20, not 30)" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "options, culprit",
    [
        (["--steps", "0"], "--steps is 0"),
        (["--init", "nowhere.safetensors"], "nowhere.safetensors: there are no such weights"),
        (["--precision", "7"], "--precision 7"),
        (["--preset", "cpu"], "48 x 48 px, smaller than a crop of 96 px"),
    ],
)
def test_a_dry_run_fails_where_the_run_would(data, tmp_path, capsys, options, culprit):
    assert run(tmp_path / "out", data, "--dry-run", *options) == 2
    assert culprit in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_networks_without_a_lens_learn_that_of_one_camera(tmp_path, capsys):
    assert run(tmp_path / "out", "on-the-fly", "--dry-run", model="d2f-small") == 0
    assert "scenes of the recipe ebb-like, traced on cpu" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cocnet-b3-depth", "ampn-no-g1"])
def test_what_is_given_beside_a_pair_is_the_truth(name):
    for stage in MODELS[name]:
        assert {preset.augmentation for preset in stage.presets.values()} == {0.0}


def test_a_dry_run_on_the_fly_traces_a_sample(recipe, tmp_path, capsys):
    assert run(tmp_path / "out", "on-the-fly", "--recipe", str(recipe), "--dry-run") == 0
    told = capsys.readouterr().out
    assert "scenes of the recipe tiny, traced on cpu" in told and "validates on  nothing\n" in told
    assert "classical 3 x 32 x 32" in told and not (tmp_path / "out").exists()


# On the fly


def on_the_fly(recipe: Path, *, seed: int = 3, stream: Stream | None = None) -> OnTheFly:
    settings = CropSettings(24, 11)
    return OnTheFly(load_recipe(str(recipe)), settings, seed=seed, planes=plain_planes, stream=stream)


def batches(dataset: OnTheFly, count: int, *, batch: int = 3, workers: int = 0) -> list[torch.Tensor]:
    context = "spawn" if workers else None
    loader = DataLoader(dataset, batch_size=batch, num_workers=workers, multiprocessing_context=context)
    return [sample["truth"] for sample, _ in zip(loader, range(count), strict=False)]


def test_scenes_on_the_fly_are_those_of_their_seed_and_go_on_where_they_stopped(recipe):
    whole = batches(on_the_fly(recipe), 8)
    again = batches(on_the_fly(recipe), 3)
    assert all(torch.equal(a, b) for a, b in zip(again, whole, strict=False))
    # 5 steps of 3 samples end where all but one scene of the first have given two.
    rest = batches(on_the_fly(recipe, stream=Stream(batch=3, first_step=5)), 3)
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[5:], strict=True))
    assert not torch.equal(whole[0], batches(on_the_fly(recipe, seed=4), 1)[0])
    assert not torch.equal(whole[0], batches(on_the_fly(recipe, stream=Stream(rank=1, world=2, batch=3)), 1)[0])


def test_samples_on_the_fly_that_follow_one_another_are_of_different_scenes(recipe, monkeypatch):
    drawn = []
    monkeypatch.setattr("training.on_the_fly.sample_scene", lambda *a, **k: drawn.append(0) or sample_scene(*a, **k))
    stream = iter(on_the_fly(recipe))
    for count in (1, 2, 3, 4):
        next(stream)
        assert len(drawn) == count


@pytest.mark.slow
def test_workers_on_the_fly_go_on_with_the_stream_whose_turn_it_is(recipe):
    whole = batches(on_the_fly(recipe), 4, workers=2)
    rest = batches(on_the_fly(recipe, stream=Stream(batch=3, first_step=1)), 3, workers=2)
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[1:], strict=True))
    assert not torch.equal(whole[0], whole[1])


def test_training_on_the_fly_needs_no_disk(recipe, tmp_path, capsys):
    assert run(tmp_path, "on-the-fly", "--recipe", str(recipe), "--steps", "2") == 0
    said = json.loads((tmp_path / "run.json").read_text())
    assert said["recipe"]["name"] == "tiny" and said["on_the_fly"] == {"workers": 0, "arch": "cpu"}
    assert load_file(tmp_path / "arnet.safetensors")
    record = read_record(tmp_path / "arnet.safetensors")
    assert record is not None and seen_by(record) == frozenset()
    assert record["data"] == [{"role": "training", "recipe": "tiny", "seed": 0, "traced": "on the fly"}]
    # Other workers would trace other scenes.
    assert run(tmp_path, "on-the-fly", "--recipe", str(recipe), "--steps", "2", "--workers", "1") == 2
    assert "holds a run with another on_the_fly" in capsys.readouterr().err


@pytest.mark.parametrize("least, most", [(0.0, 6.0), (24.0, 30.0), (9.0, 19.0)])
def test_a_recipe_without_the_blur_that_a_model_learns_is_refused(recipe, least, most):
    with pytest.raises(RecipeError, match=f"a K of 8, 20 px; this model trains on {least:g} to {most:g} px"):
        OnTheFly(load_recipe(str(recipe)), CropSettings(24), seed=0, blur_parameter_min=least, blur_parameter_max=most)


@pytest.mark.parametrize("model, blur", [("arnet", 12.0), ("iunet", 24.0)])
def test_the_paper_trains_each_network_on_the_pictures_of_one_blur(model, blur):
    """Its 30000 pictures are half of K = 12, half of K = 24."""
    (trained,) = MODELS[model]
    preset = trained.presets["paper"]
    assert [k for k in (12.0, 24.0) if preset.blur_parameter_min <= k <= preset.blur_parameter_max] == [blur]
