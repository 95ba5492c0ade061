"""Counts and sizes that no machine can do are refused at once, and `--help` says what can be done."""

import inspect
import re
import subprocess
import sys
import time
import typing
from importlib import import_module

import pytest

from bokehforge import cli
from scenes.recipe import RecipeError, load_recipe

# What a command needs before it looks at counts; nothing of it exists.
NEEDED = {
    "render": ("nowhere.png", "--disparity", "nowhere.exr", "--blur", "1", "--out", "new.gif"),
    "train": ("--model", "arnet", "--data", "nowhere", "--out", "run"),
    "benchmark": ("--data", "nowhere", "--out", "results", "--renderers", "identity"),
    "report": ("nowhere",),
    "export": ("nowhere", "--to", "pairs", "--out", "pairs"),
    "import": ("nowhere", "--out", "new"),
    "lens": ("tessar",),
    "view": ("nowhere",),
    "studio": ("nowhere.png", "--disparity", "nowhere.exr"),
    "layers": ("nowhere.png", "--disparity", "nowhere.exr", "--out", "new.layers"),
    "depth": ("nowhere.png", "nowhere.png", "--focus", "1", "--blur", "2", "--out", "depth.exr"),
    "deblur": ("nowhere", "--score", "--out", "scores"),
    "attack": ("--data", "nowhere", "--out", "attacked"),
    "gen": (),
    "blender": (),
}


def whole_numbers(command: str) -> list[str]:
    """The options of a command that are whole numbers."""
    types = typing.get_type_hints(import_module(cli.COMMANDS[command][0]).Options)
    return [name for name, of in types.items() if of is int or int in typing.get_args(of)]


COUNTS = [(command, name) for command in NEEDED for name in whole_numbers(command)]


def test_every_command_with_a_count_is_here():
    for command in cli.COMMANDS:
        assert command in NEEDED or not whole_numbers(command)
    assert len(COUNTS) > 25


@pytest.mark.parametrize(("command", "name"), [c for c in COUNTS if c != ("blender", "frame")])
def test_a_count_that_would_never_end_is_refused_before_any_work(command, name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    option, begin = f"--{name.replace('_', '-')}", time.process_time()
    extra = ("--keep-views", "3") if name == "view_samples" else ()
    assert cli.main([command, *NEEDED[command], *extra, option, str(10**30)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(rf"error: {option} is 10{{30}}; it must (be at most|lie between|be) ", line)
    assert time.process_time() - begin < 5.0 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("command", "name"), [c for c in COUNTS if c[0] != "blender"])
def test_the_help_of_a_count_says_its_limits(command, name):
    told = import_module(cli.COMMANDS[command][0])
    # Options that commands share are written in a class below.
    source = "".join(inspect.getsource(part) for part in told.Options.__mro__ if part is not object)
    description = re.search(rf'^    {name}: .*?\n    """(.*?)"""', source, re.MULTILINE | re.DOTALL)
    assert description is not None
    assert re.search(r"\b\d+ (to|and) [\d,]+", " ".join(description[1].split())), description[1]


@pytest.mark.parametrize(
    "key",
    ["scenes: 1000000000000", "size_px: 1000000", "focus_count: 1000000000", "foregrounds: [1, 1000000000]"]
    + ["blur_parameters: [1.0e+12]", "random_blur: [1, 1.0e+300]", f"seed: {10**30}", f"gammas: {[1.0] * 101}"],
)
def test_a_recipe_that_no_machine_can_make_is_refused_by_key(tmp_path, key):
    (tmp_path / "much.yaml").write_text(key + "\n")
    with pytest.raises(RecipeError, match=rf"{key.partition(':')[0]} is .*; (must be at most|lists more than)"):
        load_recipe(str(tmp_path / "much.yaml"))


def test_layers_that_cannot_be_read_again_are_refused(tmp_path, capsys):
    (tmp_path / "wide.yaml").write_text("size_px: 16384\nblur_parameters: [16384]\n")
    assert cli.main(["gen", "--recipe", str(tmp_path / "wide.yaml"), "--dry-run", "--arch", "cpu"]) == 2
    assert "layers of 49156 x 49156 px at this size; at most 400 megapixels are made" in capsys.readouterr().err


def test_a_million_scenes_are_planned_in_seconds(tmp_path):
    command = [sys.executable, "-m", "bokehforge", "gen", "--scenes", "1000000", "--dry-run"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0 and ran.stdout.startswith("1000000 scenes of 10 images")
