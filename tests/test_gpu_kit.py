"""The kit for whoever has a GPU runs here without one, small."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def run(folder: Path, *options: str) -> tuple[int, list[dict], str]:
    files = ["--json", str(folder / "gpu.json"), "--markdown", str(folder / "gpu.md")]
    done = subprocess.run([sys.executable, COMMAND, *files, *options], capture_output=True, text=True)
    json_file = folder / "gpu.json"
    return done.returncode, json.loads(json_file.read_text()) if json_file.exists() else [], done.stderr


@pytest.mark.slow
def test_the_rehearsal_measures_every_part(tmp_path):
    code, rows, errors = run(tmp_path, "--rehearsal")
    assert code == 0, (rows, errors)
    assert {row["part"] for row in rows} == {"device", "tests", "tracer", "renderers", "training", "cycles"}
    figures = [row for row in rows if row["part"] != "device"]
    assert all(row["value"] > 0.0 and row["unit"] in ("s", "ms", "samples/s", "views/s") for row in figures)
    named = [row["what"].split(",")[0] for row in rows if row["part"] == "training"]
    assert {"arnet", "iunet", "reveal"} < set(named)
    moved = [row["what"].endswith("moved") for row in rows if row["part"] == "cycles"]
    assert moved == [False, True]
    apart = [float(row["note"].split("RMSE ")[1]) for row in rows if row["part"] == "renderers"]
    assert len(apart) == 2 and max(apart) < 1e-5
    page = (tmp_path / "gpu.md").read_text()
    assert "no figure here is one of a GPU" in page and page.count("\n| ") == len(rows) + 1


def test_a_part_that_takes_too_long_is_stopped_and_named(tmp_path):
    code, rows, _ = run(tmp_path, "--rehearsal", "--parts", "device", "--minutes", "0.0")
    assert code == 1 and [(row["part"], row["value"], row["unit"]) for row in rows] == [("device", None, "failed")]


def test_an_unknown_part_is_named(tmp_path):
    code, rows, errors = run(tmp_path, "--parts", "ray")
    assert code == 2 and not rows and "--parts ray: there are device, tests, tracer" in errors
