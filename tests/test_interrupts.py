"""How commands end early: Ctrl-C and SIGTERM at any moment are one line, the right exit code, and no leftovers."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runtime import caches, command
from runtime.command import OptionError, Terminated, exit_code, printable
from runtime.silence import quiet_libraries

REPOSITORY = Path(__file__).parents[1]
SCRIPTS = ["raytrace/gen.py", "training/train.py", "evaluation/benchmark.py", "evaluation/report.py"]


def signalling_module(folder: Path, number: int) -> dict[str, str]:
    """An environment in which a command is sent a signal while it imports tyro, and loses the exception."""
    (folder / "tyro.py").write_text(
        f"import os\ntry:\n    os.kill(os.getpid(), {number})\n    import time\n    time.sleep(60)\n"
        "except BaseException as error:\n    raise ImportError('lost') from error\n"
    )
    path = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{path}"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("script", [*SCRIPTS, "-m bokehforge gen"])
def test_a_signal_during_the_imports_ends_a_command_in_one_line(script, number, tmp_path):
    words = script.split() if script.startswith("-m") else [str(REPOSITORY / script)]
    environment = signalling_module(tmp_path, number)
    ran = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    name = "bokehforge gen" if script.startswith("-m") else Path(script).name
    assert ran.returncode == 128 + number
    assert ran.stderr.split("\n") == ["", f"{name}: stopped", ""] and ran.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_while_scenes_are_made_leaves_nothing_behind(workers, number, tmp_path):
    (tmp_path / "tiny.yaml").write_text("size_px: 64\nblur_parameters: [3]\nfocus_count: 2\nnoise: 0.02\n")
    words = [
        "gen",
        "--recipe",
        "tiny.yaml",
        "--scenes",
        "1000",
        "--workers",
        workers,
        "--arch",
        "cpu",
        "--out",
        "data",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "bokehforge", *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as gen:
        for _ in range(2400):
            if (tmp_path / "data" / "000000").is_dir() or gen.poll() is not None:
                break
            time.sleep(0.05)
        gen.send_signal(number)
        _, errors = gen.communicate(timeout=60)
    assert gen.returncode == 128 + number
    assert errors.splitlines()[-1].startswith("bokehforge gen: stopped; finished scenes are safe")
    assert "Traceback" not in errors
    assert not [path.name for path in (tmp_path / "data").iterdir() if path.name.startswith(".")]


def test_a_sigterm_that_a_library_hands_on_as_ctrl_c_is_a_sigterm(capsys):
    def run() -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        except Terminated:
            raise KeyboardInterrupt from None
        return 0

    assert exit_code(run, "program", refusals=()) == 143


def ends_with(error: BaseException, capsys) -> tuple[int, str]:
    """The exit code of a command that ends so, and what it says."""

    def run() -> int:
        raise error

    code = exit_code(run, "program", refusals=(ValueError,), path=Path("disk"))
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (OptionError("--k is 0"), 2, "program: error: --k is 0\n"),
        (ValueError("a\nb\x1b[31m"), 2, "program: error: a\\nb\\x1b[31m\n"),
        (OSError(28, "No space left on device"), 2, "program: error: disk: No space left on device\n"),
        (OSError(13, "Permission denied", "new\nline"), 2, "program: error: new\\nline: Permission denied\n"),
        (MemoryError(), 1, "program: memory ran out\n"),
        (KeyboardInterrupt(), 130, "\nprogram: stopped\n"),
        (Terminated(), 143, "\nprogram: stopped\n"),
    ],
)
def test_what_ends_a_command_is_one_line_and_an_exit_code(error, code, line, capsys):
    assert ends_with(error, capsys) == (code, line)


def test_sigterm_is_as_ctrl_c_and_its_handler_is_put_back(capsys):
    before = signal.getsignal(signal.SIGTERM)

    def run() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
        return 0

    assert exit_code(run, "program", refusals=(), interrupted="stopped, go on") == command.TERMINATED
    assert capsys.readouterr().err == "\nprogram: stopped, go on\n"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("name", "shown"), [("grün 1.png", "grün 1.png"), ("a\nb\t.png", "a\\nb\\t.png"), ("\udcff.png", "\\udcff.png")]
)
def test_names_in_messages_have_no_control_characters(name, shown):
    assert printable(name) == shown


def test_words_that_are_not_utf_8_are_refused_by_every_command(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "bokehforge", "view", b"\xff.dataset"], cwd=tmp_path, capture_output=True, timeout=60
    )
    assert ran.returncode == 2
    assert ran.stderr == b"bokehforge view: error: '\\\\udcff.dataset' is not UTF-8; rename it\n"


def test_without_a_home_taichi_starts_and_ends_well(tmp_path):
    (tmp_path / "file").touch()
    code = "from runtime import backend; print(backend.start('cpu'))"
    environment = {**os.environ, "HOME": str(tmp_path / "file"), "TMPDIR": str(tmp_path)}
    environment.pop("XDG_CACHE_HOME", None)
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    # Without another folder, Taichi crashes when the process ends.
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "cpu\n", "")


def test_numba_has_a_folder_of_the_users_own_where_nothing_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(caches, "_is_writable", lambda folder: False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "named by the user")
    caches.settle_numba()
    assert os.environ["NUMBA_CACHE_DIR"] == "named by the user"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    caches.settle_numba()
    folder = Path(os.environ["NUMBA_CACHE_DIR"]).parent
    assert folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)  # what others can write to is not run
    caches.settle_numba()
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    caches.settle_numba()
    assert Path(os.environ["NUMBA_CACHE_DIR"]).parent != folder


def test_what_libraries_in_c_write_is_not_shown_and_what_python_writes_is(capfd):
    with quiet_libraries:
        os.write(1, b"noise")
        os.write(2, b"noise")
        print("heard", file=sys.stderr)
        begun_in_the_silence = sys.stderr
        with quiet_libraries:
            os.write(2, b"noise")
        os.write(2, b"noise")
    print("also heard", file=begun_in_the_silence)
    os.write(2, b"loud again\n")
    assert capfd.readouterr() == ("", "heard\nalso heard\nloud again\n")


def test_the_silence_ends_when_the_last_thread_leaves_it(capfd):
    inside, leave = threading.Event(), threading.Event()

    def wait_inside() -> None:
        with quiet_libraries:
            inside.set()
            leave.wait()

    thread = threading.Thread(target=wait_inside)
    thread.start()
    inside.wait()
    with quiet_libraries:
        pass
    os.write(2, b"noise")
    leave.set()
    thread.join()
    os.write(2, b"loud")
    assert capfd.readouterr().err == "loud"
