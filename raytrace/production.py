"""From a recipe to scenes on disk: what one worker does for one scene, and the pool of workers.

Scene i is drawn from `np.random.default_rng([seed, i])` and depends on nothing else, so workers may take scenes in any
order and a run may stop and go on anywhere.
"""

import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from bokehdata.format import BokehSetting, ImageFormat
from bokehdata.index import IndexEntry
from bokehdata.kinds.billboards import write_billboards
from bokehdata.preview import ContactSheet, encode_jpeg
from bokehdata.writer import SceneWriter
from raytrace.tracer import TEXTURE_BYTES_MAX, Tracer, texture_bytes
from runtime.backend import Backend, start
from runtime.workers import WorkerDied, results
from scenes.assets import Cutouts, Photographs
from scenes.billboard import Scene
from scenes.lens import ThinLens
from scenes.recipe import Recipe
from scenes.sampling import sample_scene
from scenes.stack import Stack


class ProductionError(RuntimeError):
    """A worker died; what it had finished is on disk."""


@dataclass(frozen=True)
class TracingJob:
    """All that makes the scenes of one dataset, sent to every worker.

    photographs, cutouts   None for the procedural ones
    backend                what `runtime.backend.start` gave
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


def produce_scene(job: TracingJob, tracer: Tracer, scene_index: int) -> Produced:
    """Draw, trace and write one scene."""
    watch = _Stopwatch()
    recipe = job.recipe
    rng = np.random.default_rng([job.seed, scene_index])
    scene, stack = sample_scene(recipe, rng=rng, photographs=job.photographs, cutouts=job.cutouts)
    watch.lap("assets")
    with SceneWriter(job.root, scene_index, image_format=job.image_format) as writer:
        sheet = _sheet(scene, stack, scene_index)
        write_billboards(writer, scene, stack, seed=job.seed, noise=recipe.noise)
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


def produce(job: TracingJob, scene_indices: Iterable[int], workers: int) -> Generator[Produced, None, None]:
    """Finished scenes as they come, from this process or from `workers` of them (`runtime.workers.results`).

    ProductionError names a worker's death.
    """
    if workers == 1:
        tracer = _start(job)
        for scene_index in scene_indices:
            yield produce_scene(job, tracer, scene_index)
        return
    try:
        yield from results(_produce_in_worker, scene_indices, workers, start=_start_worker, arguments=(job,))
    except WorkerDied as error:
        raise ProductionError(
            f"{error}; finished scenes are safe: run the same command again, with fewer --workers if it dies again"
        ) from error


def worker_bytes(recipe: Recipe, side_px: int) -> int:
    """Memory that one worker needs at its peak: half-float layers, their textures in float32, and the frames."""
    layers = recipe.foregrounds[1] + 1
    texels = layers * side_px**2
    textures = min(texture_bytes(texels, len(recipe.gammas)), max(TEXTURE_BYTES_MAX, texture_bytes(texels, 1)))
    return 8 * texels + textures + 100 * side_px**2 + 400 * 2**20


def _start(job: TracingJob) -> Tracer:
    cv2.setNumThreads(job.threads)
    return Tracer(start(job.backend, threads=job.threads))


_worker: tuple[TracingJob, Tracer]


def _start_worker(job: TracingJob) -> None:
    global _worker
    _worker = (job, _start(job))


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
