"""The benchmark of many scenes, run as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(__file__).parents[1] / "benchmarks" / "scale.py"


def run(*options: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, COMMAND, *options], cwd=cwd, capture_output=True, text=True)


def test_opening_an_index_takes_the_same_calls_for_ten_times_the_scenes(tmp_path):
    done = run(*"index --scenes 1000,10000 --latency 0 --folder-max 1000 --json rows.json".split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    small, large = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert (small["scenes"], large["scenes"]) == (1000, 10_000)
    assert small["open_calls"] == large["open_calls"] == 1
    assert small["resume_calls"] == large["resume_calls"]
    # A folder's index is read only where it was asked for.
    assert small["folder_s"] > 0.0 and large["folder_s"] is None


def test_engines_are_compared_on_scenes_that_they_made(tmp_path):
    options = "engines --size 32 --scenes 2 --workers 1 --tasks 50 --no-ray --json rows.json"
    done = run(*options.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert (row["engine"], row["workers"]) == ("processes", 1)
    assert row["scenes_per_s"] > 0.0 and row["task_ms"] > 0.0 and row["task_cpu_ms"] > 0.0


@pytest.mark.slow
def test_a_soak_reads_the_processes_of_the_job_and_keeps_its_dataset(tmp_path):
    done = run(*"soak --scenes 100 --workers 2 --out made --json rows.json".split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    made = [row["scenes"] for row in rows]
    assert made == sorted(set(made)) and 0 < made[0] and made[-1] <= 100
    # Two workers hold more than the process that hands out scenes; each has its three standard streams at least.
    assert all(row["workers_mb"] > row["driver_mb"] > 20.0 and row["workers_files"] >= 6 for row in rows[:-1])
    assert len((tmp_path / "made" / "index.jsonl").read_text().splitlines()) == 100
    assert "MB per 1000 scenes" in done.stdout


@pytest.mark.parametrize(
    "options, culprit",
    [
        ((), "name a part: engines, index, soak"),
        (("memory",), "name a part: engines, index, soak"),
        (("soak", "--scenes", "10"), "--scenes must be at least 100"),
        (("index", "--scenes", "1500"), "--scenes is 1500"),
    ],
)
def test_bad_options_are_named(options, culprit, tmp_path):
    done = run(*options, cwd=tmp_path)
    assert done.returncode == 2 and culprit in done.stderr and "Traceback" not in done.stderr
