"""Produce the scenes of a recipe on disk: the work for one scene, and its way to an engine.

Scene i is drawn from `np.random.default_rng([seed, i])` and depends on nothing else. Workers may therefore take scenes
in any order, on any machine, and twice, and a run may stop and resume at any scene.
"""

import math
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import cv2
import numpy as np

from bokehdata.format import DATASET_FILE, BokehSetting, DatasetError, ImageFormat
from bokehdata.index import IndexEntry
from bokehdata.kinds.billboards import write_billboards
from bokehdata.preview import ContactSheet, encode_jpeg
from bokehdata.writer import SceneWriter
from raytrace.tracer import TEXTURE_BYTES_MAX, Render, Tracer, texture_bytes
from runtime.backend import Backend, start
from runtime.engines import Engine, Share
from runtime.storage import Place
from runtime.workers import WorkerDied
from scenes.assets import Cutouts, Photographs
from scenes.billboard import Scene
from scenes.dual_pixel import SIDES, Side, half_lens, light_of, mean_of_views
from scenes.lens import ThinLens
from scenes.recipe import Recipe
from scenes.sampling import sample_scene
from scenes.stack import Stack


class ProductionError(RuntimeError):
    """Workers died again and again. Finished scenes are on disk."""


@dataclass(frozen=True)
class TracingJob:
    """Everything that a worker needs to make scenes of one dataset.

    photographs, cutouts   None for procedural ones
    backend                as returned by `runtime.backend.start`
    threads                CPU threads of one worker
    """

    root: Place
    recipe: Recipe
    seed: int
    photographs: Photographs | None
    cutouts: Cutouts | None
    image_format: ImageFormat
    backend: Backend
    threads: int


@dataclass(frozen=True)
class Produced:
    """A finished scene, and the seconds spent on assets, tracing and files."""

    entry: IndexEntry
    seconds: dict[str, float]


@dataclass
class _Stopwatch:
    """Seconds spent on each part of the work. `lap` adds the time since the last lap to the named part."""

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
        write_billboards(writer, scene, stack, seed=job.seed, noise=recipe.noise, camera=recipe.camera)
        watch.lap("files")
        # The tracer makes the pinhole image too, so that a bokeh image of K = 0 is equal to it bit for bit.
        image = tracer.render(scene, ThinLens(0.0, 0.0), noise=recipe.noise).linear[0]
        watch.lap("tracing")
        writer.write_image(image)
        sheet.add_image(image)
        watch.lap("files")
        for blur_index, focus_index, _ in stack.lenses():
            for half, render in traced(
                tracer, scene, stack, blur_index, focus_index, stack.gammas, recipe.noise
            ).items():
                watch.lap("tracing")
                for gamma, linear, noise_rmse in zip(stack.gammas, render.linear, render.noise_rmse, strict=True):
                    setting = BokehSetting(blur_index, focus_index, gamma, half)
                    writer.write_bokeh(setting, linear, noise_rmse=noise_rmse, samples=render.samples)
                if not half:
                    sheet.add_bokeh(blur_index, focus_index, render.linear[0])
                watch.lap("files")
        writer.write_preview(encode_jpeg(sheet.picture()))
    watch.lap("files")
    return Produced(writer.entry, watch.seconds)


def traced(
    tracer: Tracer,
    scene: Scene,
    stack: Stack,
    blur_index: int,
    focus_index: int,
    gammas: Sequence[float],
    noise: float,
) -> dict[Side | Literal[""], Render]:
    """The picture of a setting, and its views of dual pixels where the stack has them, by half of the aperture.

    noise   display RMSE of the picture; of each view where there are views, whose mean the picture then is
    """
    if not stack.dual_pixel:
        lens = stack.traced_lens(blur_index, focus_index, scene.width, scene.height)
        return {"": tracer.render(scene, lens, gammas=gammas, pixel=stack.pixel, noise=noise)}
    lens = stack.lens(blur_index, focus_index)
    views: dict[Side, Render] = {
        side: tracer.render(scene, half_lens(lens, side), gammas=gammas, pixel=stack.pixel, noise=noise)
        for side in SIDES
    }
    shares = [(light_of(lens.aperture, side), view.noise_rmse) for side, view in views.items()]
    whole = Render(
        linear=mean_of_views(lens.aperture, {side: view.linear for side, view in views.items()}),
        # Those of the views are independent.
        noise_rmse=tuple(math.hypot(*(share * noise[g] for share, noise in shares)) for g in range(len(gammas))),
        samples=sum(view.samples for view in views.values()),
    )
    return {"": whole, **views}


def retrace(tracer: Tracer, scene: Scene, stack: Stack, setting: BokehSetting, noise: float) -> np.ndarray:
    """Trace one image of a stack again, for `bokehdata.verify`: (H, W, 3) linear light at its gamma."""
    blur_index, focus_index, gamma, half = setting
    if half:
        lens = half_lens(stack.lens(blur_index, focus_index), half)
        return tracer.render(scene, lens, gammas=[gamma], pixel=stack.pixel, noise=noise).linear[0]
    return traced(tracer, scene, stack, blur_index, focus_index, [gamma], noise)[""].linear[0]


@dataclass(frozen=True)
class SceneMaker:
    """Makes the scenes of a job, in the process that it is called in."""

    job: TracingJob

    def __call__(self, scene_index: int) -> Produced:
        return produce_scene(self.job, self._tracer, scene_index)

    @cached_property
    def _tracer(self) -> Tracer:
        root = self.job.root
        # A folder of this name on another machine need not be the same.
        if not (root / DATASET_FILE).is_file():
            raise DatasetError(f"{root}: is not there for every worker; choose an --out that all machines see")
        cv2.setNumThreads(self.job.threads)
        return Tracer(start(self.job.backend, threads=self.job.threads))


def produce(
    job: TracingJob, scene_indices: Iterable[int], engine: Engine, share: Share
) -> Generator[Produced, None, None]:
    """Yield scenes as they are finished by an engine, each of whose workers has a share of its machine.

    A scene whose worker died is made again, and named on standard error. ProductionError where that does not help.
    """

    def on_loss(scene_index: int) -> None:
        print(f"scene {scene_index}: its worker died (out of memory?); it is made again", file=sys.stderr)

    try:
        yield from engine.results(SceneMaker(job), scene_indices, share=share, on_loss=on_loss)
    except WorkerDied as error:
        raise ProductionError(
            f"{error}; finished scenes are safe: run the same command again, with fewer --workers if it dies again"
        ) from error


def worker_bytes(recipe: Recipe, extended_px: int) -> int:
    """Peak memory of one worker in bytes: half-float layers, their float32 textures, and the frames.

    extended_px   texels of one layer
    """
    layers = recipe.foregrounds[1] + 1
    texels = layers * extended_px
    textures = min(texture_bytes(texels, len(recipe.gammas)), max(TEXTURE_BYTES_MAX, texture_bytes(texels, 1)))
    return 8 * texels + textures + 100 * extended_px + 400 * 2**20


def _sheet(scene: Scene, stack: Stack, scene_index: int) -> ContactSheet:
    sheet = ContactSheet(
        f"scene {scene_index:06d}", width=scene.width, height=scene.height, num_layers=len(scene.layers), stack=stack
    )
    sheet.add_disparity(scene.composite_disparity())
    for i, layer in enumerate(scene.layers):
        sheet.add_layer(i, scene.frame_rgba(i), layer.disparity)
    return sheet
