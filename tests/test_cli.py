"""`bokehforge COMMAND`: help, exit codes, and a user's first session."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import pytest

import bokehforge.verify
from bokehforge import cli
from runtime.command import not_installed

ROOT = Path(__file__).parents[1]


def bokehforge_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bokehforge", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_the_program_lists_its_commands_and_an_example(arguments, capsys):
    assert cli.main(arguments) == 0
    told = capsys.readouterr().out
    for name, (_, line) in cli.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", told, re.MULTILINE)
    assert "Example: bokehforge gen" in told


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_of_a_command_has_a_purpose_every_default_and_an_example(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as exit_code:
        cli.main([name, "--help"])
    assert exit_code.value.code == 0
    told = capsys.readouterr().out
    usage, purpose = [line for line in told.splitlines() if line.strip()][:2]
    assert usage.startswith(f"usage: bokehforge {name} ") and purpose.endswith(".")
    assert re.search(r"Example: (bokehforge|python \w+/\w+\.py)", told)
    # With and without a frame of box characters, as the terminal allows; what is said of an option is indented more.
    options = re.findall(r"^[│ ] (--[\w-]+|[A-Z]+)\b", told, re.MULTILINE)
    assert options and len(re.findall(r"\((?:default: |required\))", told)) == len(options)


def test_an_unknown_command_is_named_and_those_that_there_are(capsys):
    assert cli.main(["blur"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bokehforge: error: no command 'blur'; there are gen, ")


def test_the_version_is_that_of_the_distribution(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("bokehforge")


def test_a_command_is_imported_when_it_is_asked_for(tmp_path):
    heavy = "{'taichi', 'numba', 'torch', 'numpy', 'cv2'}"
    code = f"import sys; from bokehforge.cli import main; main([]); print('loaded', sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.stdout.endswith("loaded []\n"), result.stderr


def test_gen_speaks_under_the_name_it_was_called_by(capsys):
    assert cli.main(["gen", "--scenes", "0"]) == 2
    assert capsys.readouterr().err.startswith("bokehforge gen: error: --scenes is 0")


@pytest.mark.parametrize("command", ["verify", "view"])
@pytest.mark.parametrize("folder", ["nowhere", "empty", "file.txt"])
def test_what_is_not_a_dataset_is_named(command, folder, tmp_path, monkeypatch, capfd):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("not a dataset")
    monkeypatch.chdir(tmp_path)
    # Taichi runs already, with what other tests have made.
    monkeypatch.setattr(bokehforge.verify.backend, "start", lambda arch: "cpu")
    assert cli.main([command, folder]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"bokehforge {command}: error: {folder}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file.txt"]


def test_a_first_session(tmp_path):
    (tmp_path / "tiny.yaml").write_text(
        "size_px: 48\nforegrounds: [1, 1]\nblur_parameters: [3]\nfocus_count: 2\nnoise: 0.02\n"
    )
    gen = bokehforge_in(tmp_path, "gen", "--recipe", "tiny.yaml", "--scenes", "2", "--workers", "1")
    assert gen.returncode == 0, gen.stderr

    view = bokehforge_in(tmp_path, "view", "datasets/tiny")
    assert view.returncode == 0, view.stderr
    assert "2 scenes" in view.stdout and "<html" in (tmp_path / "datasets" / "tiny.html").read_text("utf-8")[:1000]

    verify = bokehforge_in(tmp_path, "verify", "datasets/tiny")
    assert verify.returncode == 0, verify.stdout + verify.stderr
    assert re.search(r"datasets/tiny: 2 scenes, no problems, .*bokeh_\d\d_\d\d\.exr.* traced again", verify.stdout)

    damaged = tmp_path / "datasets" / "tiny" / "000001" / "depth.exr"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    verify = bokehforge_in(tmp_path, "verify", "datasets/tiny")
    assert verify.returncode == 1
    assert "000001" in verify.stdout and "depth.exr" in verify.stdout and "1 problem," in verify.stdout


@pytest.mark.parametrize(
    "words",
    [
        "-m bokehforge train --model arnet --data x --out run",
        f"{ROOT / 'training' / 'train.py'} --model arnet --data x --out run",
        "-m bokehforge render a.png --disparity map.png --focus 3,3 --blur 5 --renderer bokehme --out out.png",
        "-m bokehforge benchmark --data pairs --renderers bokehme --out run",
    ],
)
def test_a_command_without_its_extra_says_what_to_install(words, tmp_path):
    """The core comes without torch; a part that needs it is named, with the extra that brings it."""
    for name in ("torch", "lightning"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('no module', name='{name}')\n")
    ramp = np.add.outer(np.arange(16, dtype=np.uint8), np.arange(16, dtype=np.uint8))
    for folder in ("image", "truth", "disparity"):
        (tmp_path / "pairs" / folder).mkdir(parents=True)
        cv2.imwrite(
            str(tmp_path / "pairs" / folder / "a.png"), ramp if folder == "disparity" else np.dstack(3 * [ramp])
        )
    shutil.copy(tmp_path / "pairs" / "image" / "a.png", tmp_path / "a.png")
    shutil.copy(tmp_path / "pairs" / "disparity" / "a.png", tmp_path / "map.png")
    (tmp_path / "pairs" / "settings.json").write_text('{"a": {"blur_parameter": 3.0, "focus_disparity": 0.5}}')
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    words = [sys.executable, *words.split()]
    ran = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 2 and "Traceback" not in ran.stderr, ran.stderr
    assert ran.stderr.splitlines()[-1].endswith("is not installed; pip install -c constraints.txt -e '.[train]'")
    assert not (tmp_path / "out.png").exists()


def test_a_module_of_no_extra_is_a_fault_of_ours():
    assert not_installed(ModuleNotFoundError("No module named 'scenes.nothing'", name="scenes.nothing")) is None
