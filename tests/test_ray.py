"""Ray makes the bytes that one process makes, whatever dies on the way: a worker, a machine, the command itself."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from bokehdata.verify import verify

pytest.importorskip("ray", reason="ray is not installed; pip install -c constraints.txt -e '.[cluster]'")

REPOSITORY = Path(__file__).parents[1]
SCRIPTS = {
    name: str(REPOSITORY / path)
    for name, path in {
        "gen": "raytrace/gen.py",
        "blender": "blender_scripts/render_blb.py",
        "benchmark": "evaluation/benchmark.py",
    }.items()
}
TINY = "size_px: 48\nforegrounds: [1, 2]\nblur_parameters: [3]\nfocus_count: 2\nnoise: 0.02\n"
SCENES = 24

# Two machines of one core, with stores of their own. A line on its input takes the second one's power away.
TWO_MACHINES = """
import sys
from ray.cluster_utils import Cluster
one = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
cluster = Cluster(initialize_head=True, head_node_args={**one, "include_dashboard": False})
second = cluster.add_node(**one)
print("at", cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(second, allow_graceful=False)
    print("gone", flush=True)
cluster.shutdown()
"""


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
    }


def two_machines() -> Iterator[SimpleNamespace]:
    """Where they are, the environment of their drivers, and a way to lose the second."""
    given = environment()
    with subprocess.Popen(
        [sys.executable, "-c", TWO_MACHINES],
        env=given,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def said(word: str) -> str:
            return next(line for line in process.stdout if line.startswith(word)).removeprefix(word).strip()

        def lose_the_second() -> None:
            process.stdin.write("\n")
            process.stdin.flush()
            said("gone")

        yield SimpleNamespace(address=said("at"), environment=given, lose_the_second=lose_the_second)
        process.stdin.close()


@pytest.fixture(scope="module")
def machines() -> Iterator[SimpleNamespace]:
    """For tests that leave both as they are."""
    yield from two_machines()


@pytest.fixture
def mortal_machines() -> Iterator[SimpleNamespace]:
    yield from two_machines()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / "tiny.yaml").write_text(TINY)
    return home


def start(command: str, *words: object, home: Path, on: SimpleNamespace | None = None) -> subprocess.Popen[str]:
    cluster = [] if on is None else ["--engine", "ray", "--address", on.address]
    return subprocess.Popen(
        [sys.executable, SCRIPTS[command], *map(str, words), *cluster],
        cwd=home,
        env=os.environ if on is None else on.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], code: int = 0) -> list[str]:
    """What it said on standard error, without progress."""
    _, errors = process.communicate(timeout=500)
    assert process.returncode == code, errors
    return [line for line in errors.splitlines() if line and not re.fullmatch(r"\d+/\d+ .*left", line)]


def gen(home: Path, out: str, scenes: int, on: SimpleNamespace | None = None) -> subprocess.Popen[str]:
    words = ("--recipe", "tiny.yaml", "--scenes", scenes, "--arch", "cpu", "--out", out)
    return start("gen", *words, *(() if on else ("--workers", 1)), home=home, on=on)


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(home) -> dict[str, bytes]:
    """Scenes by one process, in one run."""
    ended(gen(home, "whole", SCENES))
    return contents(home / "whole")


def finished(root: Path) -> int:
    index = root / "index.jsonl"
    return len(index.read_text().splitlines()) if index.exists() else 0


def until(is_so: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not is_so():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def workers(on: SimpleNamespace) -> list[int]:
    """Process ids of the actors that are at work for the cluster."""
    token = on.environment["RAY_AUTH_TOKEN"].encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::_Actor" in (folder / "cmdline").read_bytes() and token in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_two_machines_make_the_bytes_of_one_process_and_say_nothing(machines, home):
    ended(gen(home, "one", 3))
    assert ended(gen(home, "two", 3, on=machines)) == []
    assert contents(home / "two") == contents(home / "one")


def test_an_engine_that_cannot_be_had_is_one_line(home, tmp_path):
    (tmp_path / "ray.py").write_text("raise ModuleNotFoundError('No module named ray', name='ray')\n")
    without = SimpleNamespace(
        address="auto",
        environment={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
    )
    (line,) = ended(gen(home, "none", 1, on=without), code=2)
    assert line == "gen.py: error: ray is not installed; pip install -c constraints.txt -e '.[cluster]'"
    for address, word in (("127.0.0.1:1", "no Ray cluster answers"), ("here", "must be auto or HOST:PORT")):
        nobody = SimpleNamespace(address=address, environment=dict(os.environ))
        (line,) = ended(gen(home, "none", 1, on=nobody), code=2)
        assert line.startswith("gen.py: error: --address") and word in line
    process = start("gen", "--address", "auto", home=home)
    assert ended(process, code=2) == ["gen.py: error: --address is auto; it needs --engine ray"]
    assert not (home / "none").exists()


@pytest.mark.slow
def test_a_machine_that_is_lost_half_way_loses_nothing(mortal_machines, whole, home):
    process = gen(home, "lost", SCENES, on=mortal_machines)
    until(lambda: finished(home / "lost") >= SCENES // 3, process)
    mortal_machines.lose_the_second()
    assert all("its worker died" in line for line in ended(process))
    assert contents(home / "lost") == whole
    assert not verify(home / "lost").problems


@pytest.mark.slow
def test_a_killed_worker_and_a_killed_command_lose_nothing(machines, whole, home):
    process = gen(home, "killed", SCENES, on=machines)
    until(lambda: finished(home / "killed") >= 2, process)
    os.kill(workers(machines)[0], signal.SIGKILL)
    until(lambda: finished(home / "killed") >= SCENES // 2, process)
    process.kill()
    process.communicate()
    assert finished(home / "killed") < SCENES
    ended(gen(home, "killed", SCENES, on=machines))
    assert contents(home / "killed") == whole


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_a_word_and_leaves_nothing_behind(number, machines, home):
    out = home / f"stopped-{number}"
    process = gen(home, out.name, 500, on=machines)  # more than a busy machine makes before the signal
    until(lambda: finished(out) >= 2, process)
    process.send_signal(number)
    assert ended(process, code=128 + number) == [
        "gen.py: stopped; finished scenes are safe, the same command goes on from here"
    ]
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]
    assert workers(machines) == []


@pytest.mark.slow
def test_a_cluster_that_is_started_for_the_command_ends_with_it(home):
    words = ("--recipe", "tiny.yaml", "--scenes", 3, "--arch", "cpu", "--engine", "ray", "--workers", 2)
    on = SimpleNamespace(environment=environment())
    assert ended(start("gen", *words, "--out", "own", home=home)) == []
    ended(gen(home, "by-one", 3))
    assert contents(home / "own") == contents(home / "by-one")
    assert workers(on) == []


@pytest.mark.slow
def test_rows_of_a_benchmark_are_those_of_one_machine(machines, home):
    ended(gen(home, "data", 2))
    words = ("--data", "data", "--renderers", "scatter", "identity", "--no-lpips", "--out")
    ended(start("benchmark", *words, "here", home=home))
    assert ended(start("benchmark", *words, "there", home=home, on=machines)) == []

    def rows(out: str) -> list[dict]:
        rows = json.loads((home / out / "results.json").read_text())["rows"]
        timed = {"seconds", "peak_memory_bytes", "start_memory_bytes"}
        return [{key: value for key, value in row.items() if key not in timed} for row in rows]

    assert rows("there") == rows("here") and len(rows("here")) == 8
    pictures = {path.name for path in (home / "here" / "pictures").rglob("*")}
    assert {path.name for path in (home / "there" / "pictures").rglob("*")} == pictures


@pytest.mark.slow
def test_blender_scenes_are_those_of_one_machine(machines, home):
    pytest.importorskip("bpy", reason="bpy is not installed")
    words = ("--scenes", 2, "--width", 48, "--height", 32, "--blur-levels", 1, "--radius-step", 2, "--focus-count", 2)
    words = (*words, "--samples", 24, "--device", "cpu", "--out")
    ended(start("blender", *words, "cycles", home=home))
    assert ended(start("blender", *words, "cycles-ray", home=home, on=machines)) == []
    assert contents(home / "cycles-ray") == contents(home / "cycles")
