"""What every training does: a step, a validation, the optimizer and its schedule. No model is in here.

Nothing in a step is random. The samples of a step depend on its number, so a run that was stopped goes on to the same
weights as one that was not.
"""

import copy
import math
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar

import lightning.pytorch as pl
import torch
from jaxtyping import Float32
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from renderers.neural.checkpoints import loaded
from training.presets import Preset

PictureBatch = Float32[Tensor, "batch 3 height width"]
PlaneBatch = Float32[Tensor, "batch 1 height width"]

# Validation pictures that TensorBoard shows.
_PICTURES_SHOWN = 4


class TrainingStopped(RuntimeError):
    """A step whose loss or gradient is not finite; the message names the step and its pictures."""


class Batch(TypedDict):
    """What every batch holds. A model derives a class with its planes, PictureBatch or PlaneBatch.

    name    of each picture
    gamma   of its display values
    """

    name: list[str]
    gamma: Float32[Tensor, " batch"]


TrainingBatch = TypeVar("TrainingBatch", bound=Batch)
ValidationBatch = TypeVar("ValidationBatch", bound=Batch)


class Training(pl.LightningModule, Generic[TrainingBatch, ValidationBatch]):
    """How a network is trained. A model derives a class that says what is minimised and what is measured.

    network     what is trained
    validated   what is validated and saved: the moving average of its weights, or the network itself
    steps       of the whole run, for the schedule
    """

    # The measurement that tells the best weights, and which way it is better.
    criterion: str
    larger_is_better: bool = True

    # What the run says of itself: where it differs from what was asked for or printed.
    notes: tuple[str, ...] = ()

    def __init__(self, network: nn.Module, preset: Preset, steps: int):
        super().__init__()
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing in torch's stubs
        self.network = network
        self.validated = network if preset.ema_decay is None else copy.deepcopy(network).requires_grad_(False)
        self.preset, self.steps = preset, steps
        self._at_hand: Batch | None = None

    def start_from(self, weights: Path) -> None:
        """Begin with the weights of a checkpoint; RendererError where they do not fit."""
        for network in {self.network, self.validated}:
            loaded(network, weights).train()
        self.network.requires_grad_(True)

    def objective(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """{"loss": what is minimised, ...} of `network`: scalars, each logged by its name."""
        raise NotImplementedError

    def measurements(self, batch: ValidationBatch) -> tuple[dict[str, float], list[Tensor]]:
        """Numbers of `validated` on one whole picture (batch of 1); (1, 1 or 3, H, W) pictures to look at."""
        raise NotImplementedError

    def optimizer_step(self, *args, **kwargs) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.preset.ema_decay is None:
            return
        # Early on the average is over few steps: random weights would stay in it for long.
        decay = min(self.preset.ema_decay, (1 + self.global_step) / (10 + self.global_step))
        with torch.no_grad():
            for average, value in zip(self.validated.parameters(), self.network.parameters(), strict=True):
                average.lerp_(value, 1.0 - decay)
            # Means of batch norm follow the biases before them, which Adam moves at will: both are averaged alike.
            for average, value in zip(self.validated.buffers(), self.network.buffers(), strict=True):
                average.lerp_(value, 1.0 - decay) if value.is_floating_point() else average.copy_(value)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        self._at_hand = batch
        terms = self.objective(batch)
        self._require_finite(terms["loss"].detach(), "loss")
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()})
        return terms["loss"]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        norm = clip_grad_norm_(self.network.parameters(), self.preset.gradient_norm_max or math.inf)
        self._require_finite(norm, "gradient")

    def _require_finite(self, value: Tensor, what: str) -> None:
        if not torch.isfinite(value):
            assert self._at_hand is not None
            gammas = self._at_hand["gamma"].tolist()
            pictures = zip(self._at_hand["name"], gammas, strict=True)
            named = "; ".join(f"{name} at gamma {gamma:g}" for name, gamma in pictures)
            raise TrainingStopped(f"the {what} is {float(value)} at step {self.global_step}, batch: {named}")

    def validation_step(self, batch: ValidationBatch, batch_idx: int) -> None:
        numbers, pictures = self.measurements(batch)
        # A number is nan where a picture has no pixel of a kind: it is left out of the mean.
        for name, value in numbers.items():
            if math.isfinite(value):
                self.log(f"val/{name}", value, batch_size=1, sync_dist=True)
        if batch_idx < _PICTURES_SHOWN and isinstance(self.logger, TensorBoardLogger):
            strip = torch.cat([p.expand(-1, 3, -1, -1)[0].clamp(0.0, 1.0).float() for p in pictures], dim=-1)
            self.logger.experiment.add_image(f"{type(self).__name__}/{batch_idx}", strip, self.global_step)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.preset.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._relative_rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _relative_rate(self, step: int) -> float:
        """Learning rate of a step as a part of the largest."""
        if self.preset.schedule == "constant":
            return 1.0
        warm = max(self.steps // 20, 1)
        if step < warm:
            return (step + 1) / warm
        return 0.5 + 0.5 * math.cos(math.pi * min((step - warm) / max(self.steps - warm, 1), 1.0))
