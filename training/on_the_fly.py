"""Training samples without a disk: scenes are drawn and traced while the networks train."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from bokehdata.cases import Case, MemoryCase
from bokehdata.torch_data import CropSettings, Planes, Sample, plain_planes, sample_of
from raytrace.tracer import Tracer
from runtime import backend
from runtime.backend import Arch
from scenes.billboard import Scene
from scenes.color import display_from_linear
from scenes.lens import ThinLens
from scenes.recipe import Recipe, RecipeError
from scenes.sampling import sample_scene
from scenes.stack import Stack

# Drawing a scene costs as much as tracing several pictures of it, so several are traced of each.
PICTURES_PER_SCENE = 8
CROPS_PER_PICTURE = 2
_SAMPLES_PER_SCENE = PICTURES_PER_SCENE * CROPS_PER_PICTURE

# Samples are of so many scenes in turn: crops of one scene are alike, and a batch of them teaches little.
SCENES_AT_A_TIME = 8


@dataclass(frozen=True)
class Stream:
    """Where the samples of one process begin.

    rank, world   of this process among those that train together
    batch         samples per step and process
    first_step    number of the first step that samples are made for
    """

    rank: int = 0
    world: int = 1
    batch: int = 1
    first_step: int = 0


class OnTheFly(IterableDataset[Sample]):
    """Endless random crops of freshly drawn scenes of a recipe, with procedural pictures.

    No dataset has these scenes: the spawn keys of their generators begin with 2, and those of a dataset have none.

    Sample m of worker w depends on (seed, rank, w, number of workers, m) alone. The workers of a DataLoader make the
    steps in turn. A stream that begins at a later step goes on as an uninterrupted one would.

    traced               whether samples have a truth; without it nothing is traced, and the truth is the picture
    arch                 where rays are traced; anything but "cpu" needs a DataLoader without workers of its own
    blur_parameter_min   settings of smaller K are left out
    blur_parameter_max   settings of larger K are left out
    raises               RecipeError where a scene may then have none
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: CropSettings,
        *,
        seed: int,
        planes: Planes = plain_planes,
        blur_parameter_min: float = 0.0,
        blur_parameter_max: float = math.inf,
        traced: bool = True,
        arch: Arch = "cpu",
        stream: Stream | None = None,
    ):
        span = recipe.blur_parameter_span
        blur_parameters = span or recipe.blur_parameters
        kept = [blur_parameter_min <= k <= blur_parameter_max for k in blur_parameters]
        if not (all(kept) if span else any(kept)):
            blurs = (" to " if span else ", ").join(f"{k:g}" for k in blur_parameters)
            trained = f"this model trains on {blur_parameter_min:g} to {blur_parameter_max:g} px"
            raise RecipeError(f"recipe {recipe.name}: blurs with a K of {blurs} px; {trained}")
        self._recipe, self._settings, self._seed, self._planes = recipe, settings, seed, planes
        self._blur_parameters = blur_parameter_min, blur_parameter_max
        self._stream = stream or Stream()
        self._traced = traced
        self._arch: Arch = arch

    def __iter__(self) -> Iterator[Sample]:
        info = get_worker_info()
        num_workers, worker = (1, 0) if info is None else (info.num_workers, info.id)
        tracer = Tracer(backend.start(self._arch, threads=None if info is None else 1)) if self._traced else None
        stream = self._stream
        # The loader asks its worker 0 first, wherever training begins: it goes on with the stream whose turn it is.
        own = (stream.first_step + worker) % num_workers
        first = len(range(own, stream.first_step, num_workers)) * stream.batch
        key = stream.rank * num_workers + own
        group, taken = divmod(first, SCENES_AT_A_TIME * _SAMPLES_PER_SCENE)
        while True:
            # Of the scenes of a group, those whose turn was before have given one sample more.
            given = [len(range(i, taken, SCENES_AT_A_TIME)) for i in range(SCENES_AT_A_TIME)]
            scenes = [
                self._samples(tracer, _generator(self._seed, key, group * SCENES_AT_A_TIME + i), skipped=given[i])
                for i in range(SCENES_AT_A_TIME)
            ]
            for m in range(taken, SCENES_AT_A_TIME * _SAMPLES_PER_SCENE):
                yield next(scenes[m % SCENES_AT_A_TIME])
            group, taken = group + 1, 0

    def _samples(self, tracer: Tracer | None, rng: np.random.Generator, *, skipped: int) -> Iterator[Sample]:
        """Those of one scene, but for the first."""
        scene, stack = sample_scene(self._recipe, rng=rng)
        for p, picture_rng in enumerate(rng.spawn(PICTURES_PER_SCENE)):
            if (p + 1) * CROPS_PER_PICTURE <= skipped:
                continue
            case = self._case(tracer, scene, stack, rng=picture_rng)
            for c, crop_rng in enumerate(picture_rng.spawn(CROPS_PER_PICTURE)):
                if p * CROPS_PER_PICTURE + c >= skipped:
                    yield sample_of(case, self._settings, self._planes, rng=crop_rng)

    def _case(self, tracer: Tracer | None, scene: Scene, stack: Stack, *, rng: np.random.Generator) -> Case:
        """The scene at one of its lens settings and gammas, drawn uniformly."""
        least, most = self._blur_parameters
        lenses = [
            (lens, stack.traced_lens(blur_index, focus_index, scene.width, scene.height))
            for blur_index, focus_index, lens in stack.lenses()
            if least <= lens.blur_parameter <= most and blur_index != stack.input_blur_index
        ]
        lens, traced = lenses[rng.integers(len(lenses))]
        gamma = stack.gammas[rng.integers(len(stack.gammas))]
        noise = self._recipe.noise
        if tracer is None:
            image = truth = scene.composite()
        else:
            through = ThinLens(0.0, 0.0) if stack.input_blur_index is None else stack.lens(stack.input_blur_index, 0)
            image = tracer.render(scene, through, noise=noise).linear[0]
            truth = tracer.render(scene, traced, gammas=[gamma], pixel=stack.pixel, noise=noise).linear[0]
        return MemoryCase(
            name=f"K {lens.blur_parameter:g}, focus {lens.focus_disparity:.3f}",
            scene="traced on the fly",
            blur_parameter=lens.blur_parameter,
            focus_disparity=lens.focus_disparity,
            gamma=gamma,
            aperture=lens.aperture,
            label=next((layer.label for layer in scene.layers if layer.label is not None), None),
            planes=(display_from_linear(image), display_from_linear(truth, gamma), scene.composite_disparity()),
            true_layers=scene,
        )


def _generator(seed: int, *key: int) -> np.random.Generator:
    # A key of its own keeps the scenes apart from those of datasets, which are default_rng([seed, i]).
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2, *key)))
