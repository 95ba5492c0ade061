"""The samples of a run as Lightning asks for them: from datasets on disk, or traced while training."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import lightning.pytorch as pl
import numba
from torch.utils.data import DataLoader

from bokehdata.reader import Dataset, SceneFolder
from bokehdata.torch_data import CropSettings, PictureCrops
from runtime.backend import Arch
from scenes.recipe import Recipe
from training import held_out
from training.loop import StepBatches
from training.on_the_fly import OnTheFly, Stream
from training.presets import Preset
from training.samples import bokehme_planes, margin_for


@dataclass(frozen=True)
class Source:
    """What a run learns from.

    training, validation   scenes on disk; without training scenes the recipe is traced on the fly
    digests                sha256 of the datasets, by role and order
    """

    training: list[SceneFolder]
    validation: list[SceneFolder]
    digests: dict[str, list[str]]
    recipe: Recipe | None = None
    arch: Arch = "cpu"


def source_on_disk(folders: Sequence[str | Path], validation: Path | None) -> Source:
    """Scenes of some datasets; DatasetError where one cannot be read or a scene is both trained and validated on."""
    datasets = [Dataset(folder) for folder in folders]
    digests = {"training": [held_out.digest(dataset) for dataset in datasets]}
    scenes = [scene for dataset in datasets for scene in dataset]
    if validation is None:
        training, kept = held_out.split(scenes)
    else:
        training, kept = scenes, list(Dataset(validation))
        digests["validation"] = [held_out.digest(Dataset(validation))]
    held_out.require_disjoint(training, kept)
    return Source(training, kept, digests)


def source_on_the_fly(recipe: Recipe, arch: Arch, validation: Path | None) -> Source:
    """Scenes of a recipe, traced while training; DatasetError where the validation data cannot be read."""
    if validation is None:
        return Source([], [], {}, recipe, arch)
    dataset = Dataset(validation)
    return Source([], list(dataset), {"validation": [held_out.digest(dataset)]}, recipe, arch)


class TrainingData(pl.LightningDataModule):
    """Samples from the step on that the trainer stands at, and every validation picture.

    workers   processes that make training samples
    """

    def __init__(self, source: Source, preset: Preset, *, seed: int, workers: int):
        super().__init__()
        self._source, self._preset, self._seed, self._workers = source, preset, seed, workers
        self._margin_px = margin_for(preset.blur_parameter_max)
        self._crops = None if source.recipe else self._pictures(source.training, preset.crop_px)
        self._validation = self._pictures(source.validation, None) if source.validation else None

    def _pictures(self, scenes: Sequence[SceneFolder], crop_px: int | None) -> PictureCrops:
        whole = CropSettings(crop_px=None, augmentation=0.0, turned=False)
        return PictureCrops(
            scenes,
            whole if crop_px is None else self._cropped(crop_px),
            seed=self._seed,
            planes=bokehme_planes,
            blur_parameter_min=self._preset.blur_parameter_min,
            blur_parameter_max=self._preset.blur_parameter_max,
        )

    def _cropped(self, crop_px: int) -> CropSettings:
        return CropSettings(crop_px, self._margin_px, self._preset.augmentation)

    @property
    def pictures(self) -> int | None:
        """Pictures of an epoch, None on the fly."""
        return None if self._crops is None else len(self._crops)

    @property
    def validates(self) -> bool:
        return self._validation is not None

    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        first, rank, world = self.trainer.global_step, self.trainer.global_rank, self.trainer.world_size
        batch = self._preset.batch
        if self._crops is not None:
            return self._loader(
                dataset=self._crops,
                batch_sampler=StepBatches(first, self.trainer.max_steps, batch, rank=rank, world=world),
            )
        assert self._source.recipe is not None
        on_the_fly = OnTheFly(
            self._source.recipe,
            self._cropped(self._preset.crop_px),
            seed=self._seed,
            planes=bokehme_planes,
            blur_parameter_min=self._preset.blur_parameter_min,
            blur_parameter_max=self._preset.blur_parameter_max,
            arch=self._source.arch,
            stream=Stream(rank, world, batch, first),
        )
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
        # Evenly over the scenes: the order within an epoch is random.
        count = min(self._preset.validation_pictures, len(self._validation))
        return DataLoader(self._validation, batch_size=1, sampler=range(count))


def _start_worker(worker: int) -> None:
    # Ctrl-C reaches every process of a terminal; the one that trains decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    numba.set_num_threads(1)
    cv2.setNumThreads(1)
