"""Where the time of the main job goes, and the time of the same job at an earlier commit, in one run.

    python benchmarks/gen.py --scenes 100 --before HEAD~1 [--recipe default] [--turns 2] [--json gen.json]

Both run `raytrace/gen.py` in turns, each on with its own dataset, so that other work on the machine slows both alike.
Seconds include the start of Python and its processes; CPU seconds are those of all processes, divided by the cores.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import tyro
from timing import cores, cpu_seconds

_ROOT = Path(__file__).parents[1]
_REPORT = re.compile(r"(\d+) made in .*\((.*)\), largest noise (\S+)")


@dataclass(frozen=True)
class Options:
    """Time the main job, beside that of an earlier commit."""

    scenes: int = 100
    """Scenes to make."""
    before: str = ""
    """Commit to compare with; none by default."""
    recipe: str = "default"
    """Recipe to make."""
    turns: int = 2
    """Times that each of the two goes on with its dataset."""
    json: Path | None = None
    """File for the rows."""


@dataclass(frozen=True)
class Row:
    """A commit's job: seconds for all scenes, shares of its workers' time in the last turn, bytes on disk."""

    tree: str
    scenes: int
    seconds: float
    cpu_seconds: float
    shares: str
    noise: float
    megabytes: float


def main(argv: list[str] | None = None) -> int:
    options = tyro.cli(Options, args=argv, description=__doc__)
    if options.scenes < 1 or options.turns < 1:
        print("gen.py: --scenes and --turns must be at least 1", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        trees = {"this tree": _ROOT}
        if options.before:
            trees[options.before] = Path(folder) / "before"
            if not _unpack(options.before, trees[options.before]):
                return 2
        rows = _timed(trees, Path(folder), options)
    print(f"{cores()} cores, load {os.getloadavg()[0]:.1f}, recipe {options.recipe}")
    print(f"{'':14}{'scenes':>8}{'s':>9}{'CPU s':>9}{'MB':>8}{'noise':>9}")
    for row in rows:
        figures = f"{row.scenes:8}{row.seconds:9.1f}{row.cpu_seconds:9.1f}{row.megabytes:8.0f}{row.noise:9.2g}"
        print(f"{row.tree:14}{figures}   {row.shares}")
    for row in rows[1:]:
        seconds, cpu = row.seconds / rows[0].seconds, row.cpu_seconds / rows[0].cpu_seconds
        print(f"{row.tree} takes {seconds:.2f} times as long, {cpu:.2f} times in CPU time")
    if options.json:
        options.json.write_text(json.dumps({"rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    return 0


def _unpack(commit: str, folder: Path) -> bool:
    archive = subprocess.run(["git", "-C", str(_ROOT), "archive", commit], capture_output=True)
    if archive.returncode:
        print(f"gen.py: --before {commit}: {archive.stderr.decode().strip()}", file=sys.stderr)
        return False
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return True


def _timed(trees: dict[str, Path], folder: Path, options: Options) -> list[Row]:
    outs = {tree: folder / str(i) for i, tree in enumerate(trees)}
    seconds, cpu, reports = dict.fromkeys(trees, 0.0), dict.fromkeys(trees, 0.0), {}
    # A scene each first: compiling the kernels is not the job.
    for scenes in (1, *(1 + -(-options.scenes * turn // options.turns) for turn in range(1, options.turns + 1))):
        for tree, root in trees.items():
            wall_start, cpu_start = time.perf_counter(), cpu_seconds()
            report = _run(root, outs[tree], options.recipe, scenes)
            if scenes > 1:
                seconds[tree] += time.perf_counter() - wall_start
                cpu[tree] += (cpu_seconds() - cpu_start) / cores()
                reports[tree] = report
    return [
        Row(
            tree=tree,
            scenes=options.scenes,
            seconds=seconds[tree],
            cpu_seconds=cpu[tree],
            shares=reports[tree][2],
            noise=float(reports[tree][3]),
            megabytes=sum(path.stat().st_size for path in outs[tree].rglob("*") if path.is_file()) / 1e6,
        )
        for tree in trees
    ]


def _run(root: Path, out: Path, recipe: str, scenes: int) -> re.Match[str]:
    """Make scenes with the code in `root` and nothing else of ours. Returns what the command reports."""
    command = ["raytrace/gen.py", "--recipe", recipe, "--scenes", str(scenes), "--arch", "cpu", "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(root), str(root / "datasets")))}
    done = subprocess.run([sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True)
    report = _REPORT.search(done.stdout)
    if done.returncode or report is None:
        raise RuntimeError(f"gen.py in {root} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return report


if __name__ == "__main__":
    raise SystemExit(main())
