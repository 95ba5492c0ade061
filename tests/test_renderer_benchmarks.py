"""The benchmark commands of the renderers: their output, not their speed."""

import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def run(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_blur_cost_writes_a_row_for_every_renderer_and_radius(tmp_path):
    done = run("blur_cost.py", "--renderers", "scatter", "--radii", "2,3", "--json", "rows.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [(row["renderer"], row["radius"]) for row in rows] == [
        ("scatter-plain", 2.0),
        ("scatter", 2.0),
        ("scatter-plain", 3.0),
        ("scatter", 3.0),
    ]
    assert all(row["seconds"] > 0.0 for row in rows)
    assert all(row["rmse_to_plain"] < 1e-3 for row in rows)
    for plain, fast in (rows[:2], rows[2:]):
        assert plain["times_faster"] == plain["times_faster_in_cpu"] == 1.0
        assert fast["times_faster"] == pytest.approx(plain["seconds"] / fast["seconds"])
        assert fast["times_faster_in_cpu"] == pytest.approx(plain["cpu_seconds"] / fast["cpu_seconds"])


def test_processor_time_is_that_of_the_process_and_its_children(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from timing import cpu_seconds

    work = "import time\nwhile time.process_time() < 0.5: pass"
    begin, own_begin = cpu_seconds(), time.process_time()
    subprocess.run([sys.executable, "-c", work], check=True)
    assert cpu_seconds() - begin > 0.5 > time.process_time() - own_begin


def test_blur_cost_names_what_it_cannot_time(tmp_path):
    for arguments in (["--renderers", "scatter,sctter"], ["--radii", "5,-1"], ["--radii", "5,ten"]):
        done = run("blur_cost.py", *arguments, cwd=tmp_path)
        assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
        assert arguments[1].split(",")[1] in done.stderr


def test_the_error_maps_are_drawn_for_four_focus_planes(tmp_path):
    done = run("error_map.py", "maps.png", "--height", "48", "--blur-parameter", "20", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    picture = cv2.imread(str(tmp_path / "maps.png"))
    assert picture.shape == (4 * 48, 5 * 64, 3)
    # Focus on either plane: the improved map exceeds the measured error everywhere but for the noise of the truth.
    for line in done.stdout.splitlines()[2:4]:
        assert float(line.split("|")[-2]) < 0.01
