"""What a run learns from, on disk or traced while training, and its samples as Lightning asks for them."""

import math
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import lightning.pytorch as pl
import numba
from torch.utils.data import DataLoader, Sampler

from bokehdata.cases import Case
from bokehdata.format import DatasetError
from bokehdata.opening import open_cases, readable
from bokehdata.origins import listed
from bokehdata.torch_data import CropSettings, PictureCrops, Sample
from renderers.neural.training_record import origins_of, read_record
from runtime.backend import Arch
from runtime.command import skipped
from runtime.storage import Place, place
from scenes.recipe import Recipe
from training import held_out
from training.model import Model, Samples
from training.on_the_fly import OnTheFly, Stream
from training.presets import Preset


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from.

    training, validation   pictures on disk; without training pictures, scenes of the recipe are traced while training
    folders                what they lie in, as `held_out.described`
    """

    training: list[Case]
    validation: list[Case]
    folders: list[dict[str, Any]]
    recipe: Recipe | None = None
    arch: Arch = "cpu"

    @property
    def digests(self) -> dict[str, list[str]]:
        """sha256 of the folders, by role, in their order."""
        roles = dict.fromkeys(folder["role"] for folder in self.folders)
        return {role: [folder["sha256"] for folder in self.folders if folder["role"] == role] for role in roles}

    def record(self, seed: int, before: Sequence[Path]) -> dict[str, Any]:
        """What weights say of this data (`renderers.neural.training_record`).

        seed     of the run
        before   weights that it begins with or stands behind; what they were trained and validated on is taken over
        """
        trained, validated = (
            frozenset(origin for case in cases for origin in case.origins) for cases in (self.training, self.validation)
        )
        data = list(self.folders)
        if self.recipe is not None:
            data.insert(0, {"role": "training", "recipe": self.recipe.name, "seed": seed, "traced": "on the fly"})
        inherited = [origins_of(read_record(path)) for path in before]
        known = [origins for origins in inherited if origins is not None]
        trained, validated = trained.union(*(t for t, _ in known)), validated.union(*(v for _, v in known))
        return {
            "data": data,
            "trained_on": listed(trained) if len(known) == len(inherited) else None,
            "validated_on": listed(validated),
        }


def data_on_disk(
    folders: Sequence[str | Place], validation: Place | None, model: Model[Any], limit: int | None = None
) -> TrainingData:
    """Pictures of folders of any kind that `bokehdata.opening` opens.

    validation   folder to validate on; None for the last tenth of the scenes
    limit        of each folder but that of validation, the scenes beyond so many are left out; None for all
    raises       DatasetError where a folder cannot be read or lacks what the model is trained with, and where a scene
                 is both trained and validated on
    """
    opened = [_opened(place(folder), model, "training", limit) for folder in folders]
    described = [description for _, description in opened]
    cases = [case for found, _ in opened for case in found]
    if validation is None:
        training, kept = held_out.split(cases)
    else:
        training, (kept, description) = cases, _opened(validation, model, "validation")
        described.append(description)
    held_out.require_disjoint(training, kept)
    return TrainingData(training, kept, described)


def data_on_the_fly(recipe: Recipe, arch: Arch, validation: Place | None, model: Model[Any]) -> TrainingData:
    """Scenes of a recipe, traced while training; DatasetError as for `data_on_disk`.

    They are never those of a validation folder: their pictures are procedural, and no dataset has their generators
    (`training.on_the_fly`).
    """
    if validation is None:
        return TrainingData([], [], [], recipe, arch)
    cases, description = _opened(validation, model, "validation")
    return TrainingData([], cases, [description], recipe, arch)


def _opened(folder: Place, model: Model[Any], role: str, limit: int | None = None) -> tuple[list[Case], dict[str, Any]]:
    """The pictures of a folder, of its first scenes where there is a limit, and what the folder is."""
    folder = readable(folder)
    cases = open_cases(folder, on_misfit=skipped)
    scenes = list(dict.fromkeys(case.scene for case in cases))[:limit]
    cases = [case for case in cases if case.scene in set(scenes)]
    if model.information != "picture":
        # The first picture speaks for its folder: each has a disparity or none has.
        if cases[0].disparity() is None:
            raise DatasetError(f"{folder}: has no disparity, which {model.name} is trained with; add disparity/")
    if model.information == "refocusing":
        for case in cases:
            if case.blur_parameter is None or case.focus_disparity is None:
                raise DatasetError(
                    f"{folder}: {case.name} has no blur parameter or no focus disparity, which {model.name} is trained "
                    "with; add it to settings.json"
                )
    return cases, held_out.described(folder, cases, role)


def margin_for(blur_radius_max_px: float) -> int:
    """Margin of a crop in which its planes are what they are in the whole picture.

    The scatter reaches floor(r) + 1 pixels. An edge that the crop's error map sees lies as far away, and is told from a
    slope by the pixel beyond it.
    """
    return math.ceil(blur_radius_max_px) + 3


class Loaders(pl.LightningDataModule):
    """Training samples from the step on that the trainer stands at, and every validation picture.

    workers   processes that make training samples; 0 makes them in the process that trains
    """

    def __init__(self, data: TrainingData, model: Model[Any], preset: Preset, *, seed: int, workers: int):
        super().__init__()
        self._data, self._model, self._preset = data, model, preset
        self._seed, self._workers = seed, workers
        margin = model.samples.margin_px
        margin = margin_for(preset.blur_parameter_max) if margin is None else margin
        self._cropped = CropSettings(preset.crop_px, margin, preset.augmentation, model.samples.turned)
        if data.recipe is None:
            self._training = self._pictures(data.training, self._cropped, model.samples)
        else:
            self._training = self._on_the_fly(data.recipe, Stream())
        self._validation = None
        if data.validation:
            whole = CropSettings(crop_px=None, augmentation=0.0, turned=False)
            self._validation = self._pictures(data.validation, whole, model.validation_samples or model.samples)

    def _pictures(self, cases: Sequence[Case], settings: CropSettings, samples: Samples) -> PictureCrops:
        return PictureCrops(
            cases,
            settings,
            seed=self._seed,
            planes=samples.planes,
            blur_parameter_min=self._preset.blur_parameter_min,
            blur_parameter_max=self._preset.blur_parameter_max,
        )

    def _on_the_fly(self, recipe: Recipe, stream: Stream) -> OnTheFly:
        return OnTheFly(
            recipe,
            self._cropped,
            seed=self._seed,
            planes=self._model.samples.planes,
            traced=self._model.samples.traced,
            blur_parameter_min=self._preset.blur_parameter_min,
            blur_parameter_max=self._preset.blur_parameter_max,
            arch=self._data.arch,
            stream=stream,
        )

    @property
    def pictures(self) -> int | None:
        """Pictures of an epoch, None on the fly."""
        return len(self._training) if isinstance(self._training, PictureCrops) else None

    @property
    def validation_pictures(self) -> int:
        """Pictures of a validation, 0 for a run without one."""
        return 0 if self._validation is None else min(self._preset.validation_pictures, len(self._validation))

    def first_sample(self) -> Sample:
        """A sample as the first step has them; DatasetError where it cannot be made."""
        return next(iter(self._training))

    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        first, rank, world = self.trainer.global_step, self.trainer.global_rank, self.trainer.world_size
        batch = self._preset.batch
        if self._data.recipe is None:
            steps = StepBatches(first, self.trainer.max_steps, batch, rank=rank, world=world)
            return self._loader(dataset=self._training, batch_sampler=steps)
        on_the_fly = self._on_the_fly(self._data.recipe, Stream(rank, world, batch, first))
        return self._loader(dataset=on_the_fly, batch_size=batch)

    def _loader(self, **arguments) -> DataLoader:
        # Spawned, not forked: Taichi hangs in a fork of a process that has started it.
        return DataLoader(
            **arguments,
            num_workers=self._workers,
            multiprocessing_context="spawn" if self._workers else None,
            worker_init_fn=_start_worker if self._workers else None,
            prefetch_factor=4 if self._workers else None,
        )

    def val_dataloader(self) -> DataLoader | list:
        if self._validation is None:
            return []
        # The first pictures are spread over the scenes: the order within an epoch is random.
        return DataLoader(self._validation, batch_size=1, sampler=range(self.validation_pictures))


class StepBatches(Sampler[list[int]]):
    """The sample numbers of the steps `first` to `steps`, for process `rank` of `world`.

    Deterministic per step: they do not depend on where a run began.
    """

    def __init__(self, first: int, steps: int, batch: int, *, rank: int = 0, world: int = 1):
        self._numbers = range(first * world + rank, steps * world, world)
        self._batch = batch

    def __iter__(self) -> Iterator[list[int]]:
        for number in self._numbers:
            yield list(range(number * self._batch, (number + 1) * self._batch))


def _start_worker(worker: int) -> None:
    # Ctrl-C reaches every process of a terminal, SIGTERM of Slurm every one of a job; the one that trains decides when
    # to stop.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    numba.set_num_threads(1)
    cv2.setNumThreads(1)
