"""What is trained and how one step of it goes: a LightningModule for each model, and the callbacks of every run.

Nothing in a step is random: its samples are those of its number, so that a run that was stopped goes on to the same
weights as one that was not.
"""

import copy
import json
import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import Sampler

from evaluation.metrics import psnr
from renderers.neural.bokehme.inference import DEFOCUS_UNIT_PX, fused, normalized_gamma, upsampled
from renderers.neural.bokehme.network import ARNet, DeepFocus, ErrorMapNet, IUNet, resized
from renderers.neural.deepfocus.inference import deepfocus_inputs
from renderers.neural.renderer import loaded
from runtime.progress import Progress
from training.losses import (
    arnet_loss,
    deepfocus_loss,
    error_map_bce,
    error_map_entropy,
    iunet_loss,
    where_it_counts,
)
from training.presets import Model, Preset
from training.sharp_start import start_sharp

Batch = dict[str, Any]

# Where a network is asked to do better than the scatter: pixels whose error map exceeds this are "near edges".
NEAR_EDGE = 0.1

# A classical picture counts as wrong where its mean absolute error over the channels exceeds this.
WRONG_DISPLAY = 4.0 / 255.0


class TrainingStopped(RuntimeError):
    """A step whose loss or gradient is not finite; the message names the step and its batch."""


class Training(pl.LightningModule):
    """One step, one validation and the optimiser of a model; the subclasses say what is computed.

    network     what is trained
    validated   what is validated and saved: the mean of its weights over steps, or itself
    steps       of the whole run, for the schedule
    """

    # The validation number that tells the best weights, and whether it is to grow.
    criterion: str
    larger_is_better: bool = True

    def __init__(self, network: nn.Module, preset: Preset, steps: int):
        super().__init__()
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing in torch's stubs
        self.network = network
        # A copy of the network where weights are averaged, else the network itself.
        self.validated = network if preset.averaging is None else copy.deepcopy(network).requires_grad_(False)
        self.preset, self.steps = preset, steps
        self._names: list[str] = []

    def start_from(self, weights: Path) -> None:
        """Begin with the weights of a checkpoint; RendererError where they do not fit."""
        for network in {self.network, self.validated}:
            loaded(network, weights).train()
        self.network.requires_grad_(True)

    def objective(self, batch: Batch) -> dict[str, Tensor]:
        """{"loss": what is minimised, ...} of `network`, scalars that are logged."""
        raise NotImplementedError

    def measurements(self, batch: Batch) -> tuple[dict[str, float], list[Tensor]]:
        """Numbers of `validated` on one whole picture (batch of 1); (1, C, H, W) pictures to look at."""
        raise NotImplementedError

    def optimizer_step(self, *args, **kwargs) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.preset.averaging is None:
            return
        # Early on the mean is over few steps, or random weights would stay in it for long.
        kept = min(self.preset.averaging, (1 + self.global_step) / (10 + self.global_step))
        with torch.no_grad():
            for mean, value in zip(self.validated.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, 1.0 - kept)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self._names = batch["name"]
        terms = self.objective(batch)
        self._require_finite(terms["loss"].detach(), "loss")
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()})
        return terms["loss"]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        norm = clip_grad_norm_(self.network.parameters(), self.preset.gradient_norm_max or math.inf)
        self._require_finite(norm, "gradient")

    def _require_finite(self, value: Tensor, what: str) -> None:
        if not torch.isfinite(value):
            names = "; ".join(self._names)
            raise TrainingStopped(f"the {what} is {float(value)} at step {self.global_step}, batch: {names}")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        numbers, pictures = self.measurements(batch)
        # Some pictures have no pixel of a kind: their nan is not part of the mean.
        for name, value in numbers.items():
            if math.isfinite(value):
                self.log(f"val/{name}", value, batch_size=1, sync_dist=True)
        if batch_idx < 4 and isinstance(self.logger, TensorBoardLogger):
            strip = torch.cat([p.expand(-1, 3, -1, -1)[0].clamp(0.0, 1.0).float() for p in pictures], dim=-1)
            self.logger.experiment.add_image(f"{type(self).__name__}/{batch_idx}", strip, self.global_step)

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.Adam(self.network.parameters(), lr=self.preset.rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._relative_rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _relative_rate(self, step: int) -> float:
        if self.preset.schedule == "constant":
            return 1.0
        warm = max(self.steps // 20, 1)
        if step < warm:
            return (step + 1) / warm
        return 0.5 + 0.5 * math.cos(math.pi * min((step - warm) / max(self.steps - warm, 1), 1.0))


class ArnetTraining(Training):
    """ARNet by Eq. 10, at full size: its defocus reaches 1.2. The preset says how much its own picture counts where."""

    criterion = "fused_psnr"

    def __init__(self, preset: Preset, steps: int):
        super().__init__(ARNet(), preset, steps)

    def _render(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Fused picture, ARNet's own, and the logit of its error map."""
        rendered, logit = network(_below_white(batch), batch["defocus_px"] / DEFOCUS_UNIT_PX, _gamma(batch))
        together = fused(batch["classical"], rendered, torch.sigmoid(logit))
        return with_highlights(together, batch), with_highlights(rendered, batch), logit

    def objective(self, batch: Batch) -> dict[str, Tensor]:
        together, rendered, logit = self._render(self.network, batch)
        truth, error_map = batch["truth"], batch["error_map"]
        bce = error_map_bce(logit, error_map)
        judged = where_it_counts(rendered, truth, error_map, self.preset.elsewhere)
        return {
            "loss": arnet_loss(together, judged, truth, logit, error_map),
            "excess_bce": bce - error_map_entropy(error_map),
        }

    def measurements(self, batch: Batch) -> tuple[dict[str, float], list[Tensor]]:
        together, rendered, logit = self._render(self.validated, batch)
        pictures = {"classical": _classical(batch), "rendered": rendered, "fused": together}
        shown = [batch["image"], *pictures.values(), batch["truth"], torch.sigmoid(logit), batch["error_map"]]
        return _picture_numbers(batch, pictures), shown


class IunetTraining(Training):
    """IUNet by Eq. 11, behind a frozen ARNet at half size; one step of upsampling, masked as at inference."""

    criterion = "fused_psnr"

    def __init__(self, preset: Preset, steps: int, arnet: nn.Module):
        network = IUNet()
        start_sharp(network)
        super().__init__(network, preset, steps)
        # In a list it is no part of this module: not trained, not saved in checkpoints.
        self._frozen = [arnet]

    def on_fit_start(self) -> None:
        self._frozen[0].to(self.device)

    def _render(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Fused picture and the networks' own."""
        image, gamma = _below_white(batch), _gamma(batch)
        defocus, dilated = batch["defocus_px"] / DEFOCUS_UNIT_PX, batch["dilated_px"] / DEFOCUS_UNIT_PX
        half = (image.shape[-2] // 2, image.shape[-1] // 2)
        with torch.no_grad():
            coarse, logit = self._frozen[0](resized(image, half), resized(defocus, half) / 2.0, gamma)
            error = resized(torch.sigmoid(logit), image.shape[-2:])
        rendered = upsampled(network, image, defocus, dilated, coarse.clamp(min=0.0), gamma)
        together = fused(batch["classical"], rendered, error)
        return with_highlights(together, batch), with_highlights(rendered, batch)

    def objective(self, batch: Batch) -> dict[str, Tensor]:
        together, rendered = self._render(self.network, batch)
        judged = where_it_counts(rendered, batch["truth"], batch["error_map"], self.preset.elsewhere)
        return {"loss": iunet_loss(together, judged, batch["truth"])}

    def measurements(self, batch: Batch) -> tuple[dict[str, float], list[Tensor]]:
        together, rendered = self._render(self.validated, batch)
        pictures = {"classical": _classical(batch), "rendered": rendered, "fused": together}
        return _picture_numbers(batch, pictures), [batch["image"], *pictures.values(), batch["truth"]]


class DeepfocusTraining(Training):
    """DeepFocus by its own loss; the defocus it sees is unsigned."""

    criterion = "rendered_psnr"

    def __init__(self, preset: Preset, steps: int):
        super().__init__(DeepFocus(), preset, steps)

    def _render(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Picture and its unit, the maximum of the sharp image."""
        # Signed defocus is disparity but for scale and offset, which the network does not see.
        peak = batch["image"].amax((1, 2, 3), keepdim=True)
        return network(*deepfocus_inputs(batch["image"], batch["defocus_px"], batch["defocus_px"])), peak

    def objective(self, batch: Batch) -> dict[str, Tensor]:
        picture, peak = self._render(self.network, batch)
        return {"loss": deepfocus_loss(picture * peak, batch["truth"])}

    def measurements(self, batch: Batch) -> tuple[dict[str, float], list[Tensor]]:
        picture, peak = self._render(self.validated, batch)
        pictures = {"classical": _classical(batch), "rendered": picture * peak}
        return _picture_numbers(batch, pictures), [batch["image"], *pictures.values(), batch["truth"]]


class ErrorMapTraining(Training):
    """The error map by itself; precision and recall are measured against where the scatter really is wrong."""

    criterion = "excess_bce"
    larger_is_better = False

    def __init__(self, preset: Preset, steps: int):
        super().__init__(ErrorMapNet(), preset, steps)

    def _logit(self, network: nn.Module, batch: Batch) -> Tensor:
        return network(_below_white(batch), batch["defocus_px"] / DEFOCUS_UNIT_PX, _gamma(batch))

    def objective(self, batch: Batch) -> dict[str, Tensor]:
        bce = error_map_bce(self._logit(self.network, batch), batch["error_map"])
        return {"loss": bce, "excess_bce": bce - error_map_entropy(batch["error_map"])}

    def measurements(self, batch: Batch) -> tuple[dict[str, float], list[Tensor]]:
        logit = self._logit(self.validated, batch)
        bce = error_map_bce(logit, batch["error_map"])
        measured = (_classical(batch) - batch["truth"]).abs().mean(1, keepdim=True)
        precision, recall = precision_and_recall(logit > 0.0, measured > WRONG_DISPLAY)
        numbers = {
            "bce": float(bce),
            "excess_bce": float(bce - error_map_entropy(batch["error_map"])),
            "precision": precision,
            "recall": recall,
        }
        return numbers, [batch["image"], torch.sigmoid(logit), batch["error_map"], measured]


def precision_and_recall(predicted: Tensor, actual: Tensor) -> tuple[float, float]:
    """Part of what is predicted that is so, and part of what is so that is predicted; nan where there is none."""
    both, first, second = (float(mask.sum()) for mask in (predicted & actual, predicted, actual))
    return both / first if first else math.nan, both / second if second else math.nan


def with_highlights(picture: Tensor, batch: Batch) -> Tensor:
    """A picture of what is below white, as it is shown: with the light above added, and clipped where there is any."""
    gamma = batch["gamma"].reshape(-1, 1, 1, 1)
    # The slope of a root is infinite at black.
    lit = (picture.clamp(min=1e-3) ** gamma + batch["excess"]) ** (1.0 / gamma)
    return torch.where(batch["excess"] > 0.0, lit.clamp(max=1.0), picture)


def _classical(batch: Batch) -> Tensor:
    return with_highlights(batch["classical"], batch)


def _below_white(batch: Batch) -> Tensor:
    return batch["image"].clamp(max=1.0)


def _gamma(batch: Batch) -> Tensor:
    return normalized_gamma(batch["gamma"])


def _picture_numbers(batch: Batch, pictures: dict[str, Tensor]) -> dict[str, float]:
    """PSNR of each picture, clipped as it is shown, over all pixels and over those near edges."""
    truth = _hwc(batch["truth"])
    near = _hwc(batch["error_map"])[..., 0] > NEAR_EDGE
    numbers = {}
    for name, picture in pictures.items():
        shown = np.clip(_hwc(picture), 0.0, 1.0)
        numbers[f"{name}_psnr"] = psnr(shown, truth, data_range=1.0)
        numbers[f"{name}_psnr_near_edges"] = psnr(shown[near], truth[near], data_range=1.0) if near.any() else math.nan
    return numbers


def _hwc(tensor: Tensor) -> np.ndarray:
    return tensor[0].permute(1, 2, 0).float().cpu().numpy()


class StepBatches(Sampler[list[int]]):
    """Sample numbers of the steps from `first` on, for one of `world` processes: those of a step are the same ever."""

    def __init__(self, first: int, steps: int, batch: int, *, rank: int = 0, world: int = 1):
        self._numbers = range(first * world + rank, steps * world, world)
        self._batch = batch

    def __iter__(self) -> Iterator[list[int]]:
        for number in self._numbers:
            yield list(range(number * self._batch, (number + 1) * self._batch))


class Checkpoints(Callback):
    """Writes `last.ckpt` to go on from, and the weights of the best validation (or the latest) as safetensors.

    Files appear whole: written aside, then renamed. The run also ends here when `stop_asked` says so, with a checkpoint
    of the step just finished.

    every            steps between checkpoints
    validate_every   steps between validations, None without any
    """

    def __init__(self, out: Path, model: Model, every: int, validate_every: int | None, stop_asked: Callable[[], bool]):
        self._out, self._model, self._every, self._stop_asked = out, model, every, stop_asked
        self._validate_every = validate_every
        self._best: float | None = None
        self._save_after_validation = False

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._best = state_dict["best"]

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        # All processes stop at the same step, whichever of them got the signal.
        stop = trainer.strategy.reduce_boolean_decision(self._stop_asked(), all=False)
        validates = self._validate_every is not None and trainer.global_step % self._validate_every == 0
        if stop or trainer.global_step % self._every == 0:
            # A validation that is due belongs to the step: a run that goes on from here does not come back to it.
            self._save_after_validation = validates
            if not validates:
                self._save(trainer, pl_module)
        if stop:
            trainer.should_stop = True
            if not validates:
                # Lightning would validate at every stop, which an uninterrupted run does not.
                trainer.limit_val_batches = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Training)
        value = float(trainer.callback_metrics[f"val/{pl_module.criterion}"])
        score = value if pl_module.larger_is_better else -value
        if self._best is None or score > self._best:
            self._best = score
            self._save_weights(trainer, pl_module)
        if self._save_after_validation:
            self._save_after_validation = False
            self._save(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer, pl_module)

    def _save(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        aside = self._out / ".last.ckpt"
        trainer.save_checkpoint(aside)
        if trainer.is_global_zero:
            os.replace(aside, self._out / "last.ckpt")
        if self._best is None:
            self._save_weights(trainer, pl_module)

    def _save_weights(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, Training)
        state = {name: value.detach().cpu().contiguous() for name, value in pl_module.validated.state_dict().items()}
        aside = self._out / f".{self._model}.safetensors"
        # One entry: safetensors writes several in any order, and equal weights should be equal bytes.
        save_file(state, aside, metadata={"training": f"{self._model}, step {trainer.global_step}"})
        os.replace(aside, self._out / f"{self._model}.safetensors")


class MetricsFile(Callback):
    """`metrics.jsonl`: a line of training numbers now and then, and one for every validation. Nothing about time."""

    def __init__(self, path: Path, every: int):
        self._path, self._every = path, every

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Drop the lines that a stopped run wrote after its last checkpoint: they will be written again."""
        if trainer.is_global_zero:
            kept = [line for line in self._lines() if json.loads(line)["step"] <= trainer.global_step]
            self._path.write_text("".join(kept), "utf-8")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if trainer.global_step % self._every == 0:
            self._write(trainer, "train/")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and not self._has_validation(trainer.global_step):
            self._write(trainer, "val/")

    def _has_validation(self, step: int) -> bool:
        """Whether its line is there: a finished run that is asked for again validates again, and says nothing new."""
        numbers = map(json.loads, self._lines())
        return any(line["step"] == step and any(name.startswith("val/") for name in line) for line in numbers)

    def _lines(self) -> list[str]:
        """The whole lines of the file; a killed run may leave half of one behind them."""
        lines = self._path.read_text("utf-8").splitlines(keepends=True) if self._path.is_file() else []
        return [line for line in lines if line.endswith("\n")]

    def _write(self, trainer: pl.Trainer, prefix: str) -> None:
        if trainer.is_global_zero:
            numbers = {name: float(v) for name, v in trainer.callback_metrics.items() if name.startswith(prefix)}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": trainer.global_step, **numbers}) + "\n")


class ProgressBar(Callback):
    """Steps done and time left, as the other commands show them."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._progress = Progress(trainer.max_steps - trainer.global_step, "step") if trainer.is_global_zero else None

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if self._progress is not None:
            self._progress.add(1)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._progress is not None:
            self._progress.__exit__()


class StopSignal:
    """Ctrl-C or SIGTERM asks for a stop after the step at hand; asked twice, the process is interrupted at once.

    A context manager; calling it tells whether a stop was asked for.
    """

    def __init__(self):
        self._asked = False
        self._handlers: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self._asked

    def __enter__(self) -> "StopSignal":
        self._handlers = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
