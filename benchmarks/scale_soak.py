"""`scale.py soak`: memory and open files of the main job over many small scenes.

Runs `raytrace/gen.py` and reads its processes, those that hand out scenes and those that make them, at every hundredth
of the scenes. "MB" are resident; "files" are open files and sockets. Growth is the slope of a line through the second
half, in which kernels are compiled and caches are full.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import tyro

from runtime.command import BAD_INPUT, DONE, FAILED
from runtime.progress import Progress

_ROOT = Path(__file__).parents[1]
_POLL_S = 0.25


@dataclass(frozen=True)
class Soak:
    """Memory and open files of the main job, by scenes made.

    Example: python benchmarks/scale.py soak --scenes 1000
    """

    scenes: int = 10_000
    """Scenes to make, at least 100."""
    size: int = 32
    """Longer side of the frame, pixels."""
    recipe: str = "objects"
    """Recipe to make; objects is quick."""
    workers: int = 2
    """Processes that make scenes."""
    out: Path | None = None
    """Folder of the dataset; a temporary one, removed at the end, by default."""
    json: Path | None = None
    """File for the rows."""


@dataclass(frozen=True)
class Row:
    """The job when so many scenes were made; `workers_mb` and `workers_files` are sums over the workers."""

    scenes: int
    seconds: float
    driver_mb: float
    workers_mb: float
    driver_files: int
    workers_files: int


def main(argv: list[str]) -> int:
    options = tyro.cli(Soak, args=argv, prog="scale.py soak")
    if options.scenes < 100 or options.workers < 1:
        print("scale.py soak: --scenes must be at least 100, --workers at least 1", file=sys.stderr)
        return BAD_INPUT
    with tempfile.TemporaryDirectory() as folder:
        out = (options.out or Path(folder, "soak")).absolute()
        log = Path(folder, "log")
        with log.open("wb") as stream:
            job = subprocess.Popen(_command(options, out), stdout=stream, stderr=stream, cwd=_ROOT)
            try:
                rows = list(_watched(job, out / "index.jsonl", options.scenes))
            finally:
                job.terminate()
                job.wait()
        if job.returncode != DONE or len(rows) < 2:
            print(f"scale.py soak: the job ended with {job.returncode}:\n{log.read_text()[-2000:]}", file=sys.stderr)
            return FAILED
    _print(rows)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return DONE


def _command(options: Soak, out: Path) -> list[str]:
    command = [sys.executable, "raytrace/gen.py", "--recipe", options.recipe, "--out", str(out)]
    return [*command, f"--scenes={options.scenes}", f"--size={options.size}", f"--workers={options.workers}"]


def _watched(job: subprocess.Popen[bytes], index: Path, scenes: int) -> Iterator[Row]:
    """A row for each hundredth of the scenes, until the job ends."""
    begin, driver, last = time.monotonic(), psutil.Process(job.pid), 0
    with Progress(scenes, "scene") as progress:
        while job.poll() is None:
            made = index.read_bytes().count(b"\n") if index.exists() else 0
            if made >= last + scenes // 100:
                progress.add(made - last)
                last = made
                with suppress(psutil.NoSuchProcess):
                    yield _row(driver, made, time.monotonic() - begin)
            time.sleep(_POLL_S)


def _row(driver: psutil.Process, made: int, seconds: float) -> Row:
    workers = driver.children(recursive=True)
    return Row(
        scenes=made,
        seconds=seconds,
        driver_mb=_megabytes(driver),
        workers_mb=sum(map(_megabytes, workers)),
        driver_files=driver.num_fds(),
        workers_files=sum(worker.num_fds() for worker in workers),
    )


def _megabytes(process: psutil.Process) -> float:
    return process.memory_info().rss / 1e6


def _print(rows: list[Row]) -> None:
    print("| scenes | s | driver, MB | workers, MB | driver, files | workers, files |")
    print("|---:|---:|---:|---:|---:|---:|")
    for row in rows[:: max(1, len(rows) // 10)]:
        print(
            f"| {row.scenes} | {row.seconds:.0f} | {row.driver_mb:.0f} | {row.workers_mb:.0f} | {row.driver_files} | "
            f"{row.workers_files} |"
        )
    half = rows[len(rows) // 2 :]
    if len(half) > 1:
        made = [row.scenes / 1000 for row in half]
        for what in ("driver_mb", "workers_mb", "driver_files", "workers_files"):
            growth = np.polyfit(made, [getattr(row, what) for row in half], 1)[0]
            process, _, unit = what.partition("_")
            print(f"{process}: {growth:+.2f} {unit.replace('mb', 'MB')} per 1000 scenes in the second half")
