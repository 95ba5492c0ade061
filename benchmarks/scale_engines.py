"""`scale.py engines`: scenes per second by engine, and what a task costs the process that hands them out."""

import argparse
import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from timing import cores

from bokehdata.writer import DatasetWriter
from raytrace.production import SceneMaker, TracingJob
from runtime.clusters import cluster
from runtime.engines import Engine, Here, Processes, Share
from scenes.recipe import load_recipe

# Scenes that each worker makes before the clock starts: they start it and compile its kernels.
_WARM = 2


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("scale.py engines", description=__doc__)
    parser.add_argument("--recipe", default="default", help="kind of scenes (default)")
    parser.add_argument("--size", type=int, help="longer side of the frame, pixels (that of the recipe)")
    parser.add_argument("--scenes", type=int, default=24, help="timed scenes of each row (24)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="processes, and workers of Ray (1 2)")
    parser.add_argument("--tasks", type=int, default=5000, help="tasks without work, for the cost of one (5000)")
    parser.add_argument("--address", help="Ray cluster to use; one is started where none is given")
    parser.add_argument("--no-ray", action="store_true", help="processes alone")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args(argv)

    rows = []
    for count in options.workers:
        rows.append(measured("processes", Here() if count == 1 else Processes(count), count, options))
        print_row(rows[-1])
    if not options.no_ray:
        for count in options.workers:
            with ExitStack() as stack:
                ray = stack.enter_context(cluster("ray", options.address, count))
                assert ray is not None
                rows.append(measured("ray", ray, count, options))
            print_row(rows[-1])
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def measured(name: str, engine: Engine, workers: int, options: argparse.Namespace) -> dict:
    """A row: scenes per second, and the driver's time and processor time for a task."""
    # A process of its own even for one worker: a call of a function costs nothing.
    alone = Processes(1) if isinstance(engine, Here) else engine
    wall_ms, cpu_ms = task_cost_ms(alone, options.tasks)
    return {
        "engine": name,
        "workers": workers,
        "scenes_per_s": scenes_per_s(engine, workers, options),
        "task_ms": wall_ms,
        "task_cpu_ms": cpu_ms,
    }


def scenes_per_s(engine: Engine, workers: int, options: argparse.Namespace) -> float:
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


def task_cost_ms(engine: Engine, tasks: int) -> tuple[float, float]:
    """Wall-clock and processor time of this process for a task that does nothing, milliseconds."""
    made = engine.results(nothing, range(100 + tasks), share=Share())
    for _ in range(100):
        next(made)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in made:
        pass
    return 1e3 * (time.perf_counter() - wall) / tasks, 1e3 * (time.process_time() - cpu) / tasks


def nothing(item: int) -> int:
    return item


def print_row(row: dict) -> None:
    print(
        f"{row['engine']:10} {row['workers']:3} workers  {row['scenes_per_s']:7.2f} scenes/s   "
        f"a task {row['task_ms']:.3f} ms, {row['task_cpu_ms']:.3f} ms of processor time",
        flush=True,
    )
