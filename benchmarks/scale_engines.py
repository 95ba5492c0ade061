"""`scale.py engines`: scenes per second by engine, and what a task costs the process that hands them out."""

import json
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from timing import cores

from bokehdata.writer import DatasetWriter
from raytrace.production import SceneMaker, TracingJob
from runtime.clusters import cluster
from runtime.command import DONE
from runtime.engines import Engine, Here, Processes, Share
from scenes.recipe import load_recipe

# Scenes that each worker makes before the clock starts: they start it and compile its kernels.
_WARM = 2


@dataclass(frozen=True)
class Engines:
    """Scenes per second by engine.

    Example: python benchmarks/scale.py engines --size 64 --workers 2
    """

    recipe: str = "default"
    """Recipe to make."""
    size: int | None = None
    """Longer side of the frame, pixels; that of the recipe by default."""
    scenes: int = 24
    """Timed scenes of each row."""
    workers: tuple[int, ...] = (1, 2)
    """Processes, and workers of Ray."""
    tasks: int = 5000
    """Tasks without work, for the cost of one."""
    address: str | None = None
    """Ray cluster to use; one is started by default."""
    ray: bool = True
    """Whether Ray is measured too."""
    json: Path | None = None
    """File for the rows."""


@dataclass(frozen=True)
class Row:
    """Scenes per second, and the driver's time and processor time for a task."""

    engine: str
    workers: int
    scenes_per_s: float
    task_ms: float
    task_cpu_ms: float


def main(argv: list[str]) -> int:
    options = tyro.cli(Engines, args=argv, prog="scale.py engines")
    rows = []
    for count in options.workers:
        rows.append(_measured("processes", Here() if count == 1 else Processes(count), count, options))
        _print(rows[-1])
    for count in options.workers if options.ray else ():
        with ExitStack() as stack:
            ray = stack.enter_context(cluster("ray", options.address, count))
            assert ray is not None
            rows.append(_measured("ray", ray, count, options))
        _print(rows[-1])
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return DONE


def _measured(name: str, engine: Engine, workers: int, options: Engines) -> Row:
    # A process of its own even for one worker: a call of a function costs nothing.
    alone = Processes(1) if isinstance(engine, Here) else engine
    wall_ms, cpu_ms = _task_cost_ms(alone, options.tasks)
    return Row(name, workers, _scenes_per_s(engine, workers, options), wall_ms, cpu_ms)


def _scenes_per_s(engine: Engine, workers: int, options: Engines) -> float:
    """From the end of the first scenes to the end of the last, files and index included."""
    recipe = load_recipe(options.recipe)
    recipe = recipe if options.size is None else recipe.at_size(options.size)
    with tempfile.TemporaryDirectory() as folder, DatasetWriter(Path(folder, "data"), {"recipe": recipe.name}) as data:
        job = TracingJob(
            root=Path(folder, "data"),
            recipe=recipe,
            seed=recipe.seed,
            photographs=None,
            cutouts=None,
            image_format="exr",
            backend="cpu",
            threads=max(1, cores() // workers),
        )
        warm = _WARM * workers
        begin = 0.0
        for number, produced in enumerate(engine.results(SceneMaker(job), range(warm + options.scenes)), start=1):
            data.add(produced.entry)
            if number == warm:
                begin = time.perf_counter()
        return options.scenes / (time.perf_counter() - begin)


def _task_cost_ms(engine: Engine, tasks: int) -> tuple[float, float]:
    """Wall-clock and processor time of this process for a task that does nothing, milliseconds."""
    made = engine.results(_nothing, range(100 + tasks), share=Share())
    for _ in range(100):
        next(made)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in made:
        pass
    return 1e3 * (time.perf_counter() - wall) / tasks, 1e3 * (time.process_time() - cpu) / tasks


def _nothing(item: int) -> int:
    return item


def _print(row: Row) -> None:
    print(
        f"{row.engine:10} {row.workers:3} workers  {row.scenes_per_s:7.2f} scenes/s   "
        f"a task {row.task_ms:.3f} ms, {row.task_cpu_ms:.3f} ms of processor time",
        flush=True,
    )
