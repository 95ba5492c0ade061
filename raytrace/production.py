"""From a recipe to scenes on disk: what one worker does for one scene, and the pool of workers.

Scene i is drawn from `np.random.default_rng([seed, i])` and depends on nothing else, so workers may take scenes in any
order and a run may stop and go on anywhere.
"""

import os
import signal
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path

import cv2
import numpy as np

from bokehdata.format import BokehSetting, ImageFormat
from bokehdata.index import IndexEntry
from bokehdata.preview import ContactSheet, encode_jpeg
from bokehdata.writer import SceneWriter
from raytrace.backend import Backend, start
from raytrace.tracer import TEXTURE_BYTES_MAX, Tracer, texture_bytes
from scenes.assets import Cutouts, Photographs
from scenes.billboard import Scene
from scenes.lens import ThinLens
from scenes.recipe import Recipe
from scenes.sampling import sample_scene
from scenes.stack import Stack


class ProductionError(RuntimeError):
    """A worker died; what it had finished is on disk."""


@dataclass(frozen=True)
class Job:
    """All that makes the scenes of one dataset, sent to every worker.

    photographs, cutouts   None for the procedural ones
    backend                what `raytrace.backend.start` gave
    threads                CPU threads of one worker
    """

    root: Path
    recipe: Recipe
    seed: int
    photographs: Photographs | None
    cutouts: Cutouts | None
    image_format: ImageFormat
    backend: Backend
    threads: int


@dataclass(frozen=True)
class Produced:
    """A finished scene, and the seconds that its parts took."""

    entry: IndexEntry
    seconds: dict[str, float]


@dataclass
class _Stopwatch:
    """Seconds by part: each lap goes to the part that it names."""

    seconds: dict[str, float] = field(default_factory=lambda: {"assets": 0.0, "tracing": 0.0, "files": 0.0})
    _last: float = field(default_factory=time.perf_counter)

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self.seconds[part] += now - self._last
        self._last = now


def produce_scene(job: Job, tracer: Tracer, scene_index: int) -> Produced:
    """Draw, trace and write one scene."""
    watch = _Stopwatch()
    recipe = job.recipe
    rng = np.random.default_rng([job.seed, scene_index])
    scene, stack = sample_scene(recipe, rng=rng, photographs=job.photographs, cutouts=job.cutouts)
    watch.lap("assets")
    with SceneWriter(job.root, scene_index, image_format=job.image_format) as writer:
        sheet = _sheet(scene, stack, scene_index)
        writer.write_scene(scene, stack, seed=job.seed, noise=recipe.noise)
        watch.lap("files")
        # The pinhole image comes from the tracer too, so that K = 0 equals it to the last bit.
        image = tracer.render(scene, ThinLens(0.0, 0.0), noise=recipe.noise).linear[0]
        watch.lap("tracing")
        writer.write_image(image)
        sheet.add_image(image)
        watch.lap("files")
        for blur_index, focus_index, lens in stack.lenses():
            render = tracer.render(scene, lens, gammas=stack.gammas, pixel=stack.pixel, noise=recipe.noise)
            watch.lap("tracing")
            for gamma, linear, noise_rmse in zip(stack.gammas, render.linear, render.noise_rmse, strict=True):
                setting = BokehSetting(blur_index, focus_index, gamma)
                writer.write_bokeh(setting, linear, noise_rmse=noise_rmse, samples=render.samples)
            sheet.add_bokeh(blur_index, focus_index, render.linear[0])
            watch.lap("files")
        writer.write_preview(encode_jpeg(sheet.picture()))
    watch.lap("files")
    return Produced(writer.entry, watch.seconds)


def retrace(tracer: Tracer, scene: Scene, stack: Stack, setting: BokehSetting, noise: float) -> np.ndarray:
    """One picture of a stack traced anew, as `bokehdata.verify` wants it: (H, W, 3) linear light at its gamma."""
    lens = stack.lens(setting.blur_index, setting.focus_index)
    return tracer.render(scene, lens, gammas=[setting.gamma], pixel=stack.pixel, noise=noise).linear[0]


def produce(job: Job, scene_indices: Iterable[int], workers: int) -> Generator[Produced, None, None]:
    """Finished scenes as they come, from this process or from `workers` of them.

    An exception here or in a scene, or closing the generator, ends the workers and drops their scenes in flight;
    ProductionError names a worker's death.
    """
    if workers == 1:
        tracer = _start(job)
        for scene_index in scene_indices:
            yield produce_scene(job, tracer, scene_index)
        return
    # Spawned, not forked: Taichi hangs in a fork of a process that has started it.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker, initargs=(job,))
    waiting = iter(scene_indices)
    running = set()
    try:
        while True:
            # Only as many scenes are handed out as keep the workers busy, so that a stop is quick.
            while len(running) < 2 * workers and (scene_index := next(waiting, None)) is not None:
                with _interrupts_held_back():
                    running.add(pool.submit(_produce_in_worker, scene_index))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise ProductionError(
            "a worker process died (out of memory?); finished scenes are safe: run the same command again, "
            "with fewer --workers if it dies again"
        ) from error
    except BaseException:
        for worker in active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C waits for the end of the block, and never reaches processes that start in it, though it is sent to all."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def worker_bytes(recipe: Recipe, side_px: int) -> int:
    """Memory that one worker needs at its peak: half-float layers, their textures in float32, and the frames."""
    layers = recipe.foregrounds[1] + 1
    texels = layers * side_px**2
    textures = min(texture_bytes(texels, len(recipe.gammas)), max(TEXTURE_BYTES_MAX, texture_bytes(texels, 1)))
    return 8 * texels + textures + 100 * side_px**2 + 400 * 2**20


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or less in a container with a limit."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(machine, int(text)) if text.isdigit() else machine


def _start(job: Job) -> Tracer:
    cv2.setNumThreads(job.threads)
    return Tracer(start(job.backend, threads=job.threads))


_worker: tuple[Job, Tracer]


def _start_worker(job: Job) -> None:
    global _worker
    # A parent that is killed takes its workers along.
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _worker = (job, _start(job))


def _exit_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _produce_in_worker(scene_index: int) -> Produced:
    return produce_scene(*_worker, scene_index)


def _sheet(scene: Scene, stack: Stack, scene_index: int) -> ContactSheet:
    sheet = ContactSheet(
        f"scene {scene_index:06d}", width=scene.width, height=scene.height, num_layers=len(scene.layers), stack=stack
    )
    sheet.add_disparity(scene.composite_disparity())
    for i, layer in enumerate(scene.layers):
        sheet.add_layer(i, scene.frame_rgba(i), layer.disparity)
    return sheet


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
