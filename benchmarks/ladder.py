"""What the processes of foreign renderers share: timing, and the climb through sample counts within a budget."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def best_of(work: Callable[[], Image], *, runs_min: int, until_s: float = 0.3) -> tuple[Image, float, float]:
    """Repeat `work` at least `runs_min` times and for at least `until_s` seconds.

    returns   its last image, the least wall-clock seconds, and the least process CPU seconds divided by the cores: on a
              busy machine the second is too long by what others took, the third is what an idle one would need at
              perfect use of all cores
    """
    wall, cpu = [], []
    while True:
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        image = work()
        wall.append(time.perf_counter() - wall_start)
        cpu.append((time.process_time() - cpu_start) / cores())
        if len(wall) >= runs_min and sum(wall) >= until_s:
            return image, min(wall), min(cpu)


def climb(render: Callable[[int, int], Image], name: str, version: str, folder: Path, budget_s: float) -> None:
    """Render with 4, 8, 16 ... samples a pixel while the next image is expected to fit into the budget.

    render    (samples, seed) -> (H, W, 3) linear light
    folder    gets `peer.json` (name, version, one rung per image) and the images as `.npy`, after every rung
    """
    render(4, 0)  # warm-up: compiles, loads textures, builds the acceleration structure
    rungs, spent, samples, seconds = [], 0.0, 4, 0.0
    while not rungs or spent + 2.0 * seconds <= budget_s:
        start = time.perf_counter()
        image, seconds, cpu_seconds = best_of(lambda n=samples: render(n, n), runs_min=1)
        spent += time.perf_counter() - start
        np.save(folder / f"{samples}.npy", image)
        rungs.append({"samples": samples, "seconds": seconds, "cpu_seconds": cpu_seconds})
        (folder / "peer.json").write_text(json.dumps({"name": name, "version": version, "rungs": rungs}))
        samples *= 2
