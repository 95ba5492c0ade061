"""Timing of renderers: one image, and a series of images with growing numbers of samples."""

import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scenes.arrays import Picture


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def best_of(work: Callable[[], Picture], *, runs_min: int, until_s: float = 0.3) -> tuple[Picture, float, float]:
    """Repeat `work` at least `runs_min` times and for at least `until_s` seconds.

    returns   the last image, the smallest wall-clock seconds, and the smallest CPU seconds (`cpu_seconds`) divided by
              the cores. Other work on the machine stretches the wall-clock time. The CPU time is what an idle machine
              would need if all cores were used perfectly
    """
    wall, cpu = [], []
    while True:
        wall_start, cpu_start = time.perf_counter(), cpu_seconds()
        image = work()
        wall.append(time.perf_counter() - wall_start)
        cpu.append((cpu_seconds() - cpu_start) / cores())
        if len(wall) >= runs_min and sum(wall) >= until_s:
            return image, min(wall), min(cpu)


def time_sample_counts(
    render: Callable[[int, int], Picture], name: str, version: str, folder: Path, budget_s: float
) -> None:
    """Render with 4, 8, 16 ... samples a pixel as long as the next image is expected to fit into the budget.

    render    (samples, seed) -> (H, W, 3) linear light
    folder    `peer.json` (name, version, one row per image) and the images as `.npy` are written here after every image
    """
    render(4, 0)  # warm-up: loads textures, builds the acceleration structure
    rows, spent, samples, seconds = [], 0.0, 4, 0.0
    while not rows or spent + 4.0 * seconds <= budget_s:
        start = time.perf_counter()
        # Twice: Mitsuba compiles anew for every number of samples.
        image, seconds, of_cpu = best_of(lambda n=samples: render(n, n), runs_min=2)
        spent += time.perf_counter() - start
        np.save(folder / f"{samples}.npy", image)
        rows.append({"samples": samples, "seconds": seconds, "cpu_seconds": of_cpu})
        (folder / "peer.json").write_text(json.dumps({"name": name, "version": version, "rows": rows}))
        samples *= 2
