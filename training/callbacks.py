"""What happens beside the steps of every run: checkpoints, metrics, progress, and a stop at a signal."""

import errno
import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from safetensors.torch import save

from renderers.neural.training_record import metadata_of
from runtime.files import remove_unfinished, replacing, write_whole
from runtime.progress import Progress
from training.module import Training

# The loss that is shown is a moving average: a step counts for a twentieth.
_LOSS_MEMORY = 0.95


class Checkpoints(Callback):
    """Writes checkpoints to go on from, and the weights of the best validation; without validation the latest.

    The run ends after a step at which `stop_asked` returns True, with a checkpoint of that step.

    checkpoint       file of the last checkpoint
    weights          file of the weights, NAME.safetensors
    record           of the data, for the file of the weights (`renderers.neural.training_record`)
    every            steps between checkpoints
    validate_every   steps between validations, None without any
    """

    def __init__(
        self,
        checkpoint: Path,
        weights: Path,
        record: Mapping[str, Any],
        every: int,
        validate_every: int | None,
        stop_asked: Callable[[], bool],
    ):
        self._checkpoint, self._weights, self._record = checkpoint, weights, record
        self._every, self._validate_every, self._stop_asked = every, validate_every, stop_asked
        self._best: float | None = None
        self._save_after_validation = False

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._best = state_dict["best"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove the files that a killed run was writing."""
        if trainer.is_global_zero:
            remove_unfinished(self._checkpoint)
            remove_unfinished(self._weights)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        # All processes stop at the same step, whichever of them got the signal.
        stop = trainer.strategy.reduce_boolean_decision(self._stop_asked(), all=False)
        validates = self._validate_every is not None and trainer.global_step % self._validate_every == 0
        if stop or trainer.global_step % self._every == 0:
            # A validation that is due is part of the step: a run that goes on from here does not repeat it.
            self._save_after_validation = validates
            if not validates:
                self._save(trainer, pl_module)
        if stop:
            trainer.should_stop = True
            if not validates:
                # Lightning would validate at every stop; an uninterrupted run does not.
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
        # Every process takes part in collecting the checkpoint; the first one writes it.
        with replacing(self._checkpoint) if trainer.is_global_zero else nullcontext(self._checkpoint) as path:
            try:
                trainer.save_checkpoint(path)
            except RuntimeError as error:  # torch's own for a disk that is full
                if "write" not in str(error):
                    raise
                reason = "cannot be written; is the disk full?"
                raise OSError(errno.EIO, reason, str(self._checkpoint)) from error
        if self._best is None:
            self._save_weights(trainer, pl_module)

    def _save_weights(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, Training)
        state = {name: value.detach().cpu().contiguous() for name, value in pl_module.validated.state_dict().items()}
        record = {"network": self._weights.stem, "step": trainer.global_step, **self._record}
        write_whole(self._weights, save(state, metadata=metadata_of(record)))


class MetricsFile(Callback):
    """Writes metrics.jsonl: a line of training numbers every `every` steps, and a line for every validation.

    No line depends on the time or the machine.
    """

    def __init__(self, path: Path, every: int):
        self._path, self._every = path, every

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Drop the lines that a stopped run wrote after its last checkpoint: they will be written again."""
        if trainer.is_global_zero:
            kept = [json.dumps(line) + "\n" for line in self._lines() if line["step"] <= trainer.global_step]
            write_whole(self._path, "".join(kept))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if trainer.global_step % self._every == 0:
            self._write(trainer, "train/")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and not self._has_validation(trainer.global_step):
            self._write(trainer, "val/")

    @property
    def last_validation(self) -> dict[str, float]:
        """The numbers of the last validation, by name without "val/"; empty where there was none."""
        for line in reversed(self._lines()):
            if numbers := {k.removeprefix("val/"): v for k, v in line.items() if k.startswith("val/")}:
                return numbers
        return {}

    def _has_validation(self, step: int) -> bool:
        """Whether the step has its line."""
        return any(line["step"] == step and any(name.startswith("val/") for name in line) for line in self._lines())

    def _lines(self) -> list[dict[str, Any]]:
        """The file's lines; a killed run may leave half a line at its end, and a full disk some noughts."""
        if not self._path.is_file():
            return []
        lines = []
        for text in self._path.read_text("utf-8", errors="replace").splitlines(keepends=True):
            with suppress(ValueError, RecursionError):
                line = json.loads(text)
                if text.endswith("\n") and isinstance(line, dict) and _are_numbers(line):
                    lines.append(line)
        return lines

    def _write(self, trainer: pl.Trainer, prefix: str) -> None:
        if trainer.is_global_zero:
            numbers = {name: float(v) for name, v in trainer.callback_metrics.items() if name.startswith(prefix)}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": trainer.global_step, **numbers}) + "\n")


def _are_numbers(line: Mapping[str, Any]) -> bool:
    """Whether a line is as MetricsFile writes them; a loss may be NaN."""
    values = [value for name, value in line.items() if name != "step"]
    return type(line.get("step")) is int and all(type(value) in (int, float) for value in values)


class ProgressBar(Callback):
    """Steps of the whole run and time left, as the other commands show them, with the loss and the last validation."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._loss: float | None = None
        self._progress = (
            Progress(trainer.max_steps, "step", done=trainer.global_step) if trainer.is_global_zero else None
        )

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if self._progress is None:
            return
        assert isinstance(pl_module, Training)
        loss = float(trainer.callback_metrics["train/loss"])
        self._loss = loss if self._loss is None else _LOSS_MEMORY * self._loss + (1.0 - _LOSS_MEMORY) * loss
        note = f"loss {self._loss:.4g}"
        if (value := trainer.callback_metrics.get(f"val/{pl_module.criterion}")) is not None:
            note += f", {pl_module.criterion} {float(value):.4g}"
        self._progress.add(1, note=note)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._progress is not None:
            self._progress.__exit__()


@contextmanager
def full_disk_said_once() -> Iterator[None]:
    """TensorBoard writes in a thread: where that fails, the training raises the same error, without its traceback."""
    before = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not issubclass(arguments.exc_type, OSError):
            before(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


class StopSignal(Callback):
    """Ctrl-C or SIGTERM asks for a stop after the step at hand; the second one interrupts the process at once.

    A context manager; calling it tells whether a stop was asked for.

    number   of the first signal, None before
    """

    def __init__(self):
        self.number: int | None = None
        self._handlers: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self.number is not None

    def __enter__(self) -> "StopSignal":
        self._handlers = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning has put a handler of its own before ours, which ends the process with exit code 0.
        signal.signal(signal.SIGTERM, self._ask)

    def __exit__(self, *exception) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
