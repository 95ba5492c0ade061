"""Train BokehMe's networks, DeepFocus or the error map on our datasets.

    python training/train.py --model bokehme --data datasets/bokehme-small --out runs/bokehme --preset cpu

The same command again goes on from the last checkpoint.
"""

import hashlib
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
import tyro
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import TensorBoardLogger

from bokehdata.format import DatasetError
from renderers.base import RendererError
from renderers.neural.bokehme.network import ARNet
from renderers.neural.renderer import WEIGHTS, loaded
from runtime.backend import Arch, BackendError
from scenes.recipe import RecipeError, load_recipe
from training.data import Source, TrainingData, source_on_disk, source_on_the_fly
from training.loop import (
    ArnetTraining,
    Checkpoints,
    DeepfocusTraining,
    ErrorMapTraining,
    IunetTraining,
    MetricsFile,
    ProgressBar,
    StopSignal,
    Training,
    TrainingStopped,
)
from training.presets import PRESETS, Model, Name, Preset

ON_THE_FLY = "on-the-fly"
RUN_FILE = "run.json"

# Steps between lines of metrics.jsonl.
_LINE_EVERY = 50


class OptionError(ValueError):
    """An option whose value cannot be used; the message names it."""


@dataclass(frozen=True)
class Options:
    """Train BokehMe's networks, DeepFocus or the error map.

    Writes checkpoints, weights (safetensors), metrics.jsonl, TensorBoard logs, and run.json with everything that the
    result depends on. The same command goes on where the last one stopped.
    Example: python training/train.py --model bokehme --data datasets/bokehme-small --out runs/bokehme --preset cpu
    """

    model: Model | Literal["bokehme"]
    """Network to train. iunet needs a trained arnet; bokehme is both in turn, in folders of their names in --out."""
    data: tuple[str, ...]
    """Folders of datasets, or on-the-fly to trace scenes while training."""
    out: Path
    """Folder of the run."""
    preset: Name = "cpu"
    """Settings: those of the paper, small ones for two CPU cores, or a few steps to see that everything works."""
    validation: Path | None = None
    """Dataset to validate on. Default: the last tenth of the scenes, which are then not trained on."""
    steps: int | None = None
    """Optimiser steps. Default: the preset's."""
    seed: int = 0
    """Of initial weights and of every random choice."""
    init: Path | None = None
    """Weights to begin with, instead of random ones."""
    arnet: Path = WEIGHTS / "arnet.safetensors"
    """Weights of the ARNet in front of an iunet."""
    recipe: str = "bokehme-train"
    """Kind of scenes traced on the fly."""
    arch: Arch = "cpu"
    """Where scenes are traced on the fly; anything but cpu traces in the training process."""
    workers: int = 1
    """Processes that make samples, for each process that trains; 0 for none of their own."""
    accelerator: str = "auto"
    """Lightning's: auto, cpu, gpu, ..."""
    devices: int = 1
    """Devices of each node."""
    nodes: int = 1
    """Nodes; each runs the same command, as Lightning's DDP expects."""
    precision: str = "32-true"
    """Lightning's: 32-true, bf16-mixed, ..."""
    threads: int | None = None
    """CPU threads that train. Default: one per core."""


def main(argv: list[str] | None = None, prog: str = "train.py") -> int:
    """Run the command; returns its exit code: 0, 1 if it diverged, 2 for bad input, 130 when interrupted."""
    options = tyro.cli(Options, args=argv, prog=prog)
    part = options
    try:
        for part, model in _parts(options):
            if code := _train(part, model, prog):
                return code
        return 0
    except (OptionError, DatasetError, RecipeError, RendererError, BackendError) as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{prog}: error: {error.filename or part.out}: {error.strerror}", file=sys.stderr)
        return 2
    except TrainingStopped as error:
        checkpoint = part.out / "last.ckpt"
        before = f"{checkpoint} is the checkpoint before it" if checkpoint.is_file() else "there is no checkpoint yet"
        print(f"{prog}: stopped: {error}; {before}", file=sys.stderr)
        return 1


def _parts(options: Options) -> Iterator[tuple[Options, Model]]:
    """The runs that are asked for, in order; OptionError for what only one run can have."""
    _require_sane(options)
    if options.model != "bokehme":
        yield options, options.model
        return
    for name, value, usual in (
        ("--init", options.init, None),
        ("--arnet", options.arnet, Options.arnet),
        ("--devices", options.devices, 1),
        ("--nodes", options.nodes, 1),
    ):
        if value != usual:
            raise OptionError(f"{name} is {value}, and --model is bokehme; train arnet first, then iunet")
    arnet = options.out / "arnet"
    yield replace(options, out=arnet), "arnet"
    yield replace(options, out=options.out / "iunet", arnet=arnet / "arnet.safetensors"), "iunet"


def _train(options: Options, model: Model, prog: str) -> int:
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    preset = PRESETS[model][options.preset]
    source = _source(options)
    data = TrainingData(source, preset, seed=options.seed, workers=options.workers)
    steps = options.steps or preset.steps or _steps_of_epochs(options, preset, data)
    pl.seed_everything(options.seed, verbose=False)
    training = _training(options, model, preset, steps)
    if options.init is not None:
        training.start_from(options.init)
    options.out.mkdir(parents=True, exist_ok=True)
    _write_run(options, model, preset, steps, source, training)

    checkpoint = options.out / "last.ckpt"
    with StopSignal() as stop_asked, warnings.catch_warnings():
        trainer = _trainer(options, model, preset, data, steps, stop_asked)
        trainer.fit(training, data, ckpt_path=checkpoint if checkpoint.is_file() else None)
        if stop_asked():
            if trainer.is_global_zero:
                done = f"stopped after step {trainer.global_step} of {steps}; the same command goes on from here"
                print(f"{prog}: {done}", file=sys.stderr)
            return 130
        if data.validates and steps % preset.validate_every:
            trainer.validate(training, data, verbose=False)
    if trainer.is_global_zero:
        _report(options.out / f"{model}.safetensors", steps, trainer)
    return 0


def _require_sane(options: Options) -> None:
    for name, value, least in (
        ("--steps", options.steps, 1),
        ("--seed", options.seed, 0),
        ("--workers", options.workers, 0),
        ("--devices", options.devices, 1),
        ("--nodes", options.nodes, 1),
        ("--threads", options.threads, 1),
    ):
        if value is not None and value < least:
            raise OptionError(f"{name} is {value}; it must be at least {least}")
    if ON_THE_FLY in options.data and len(options.data) > 1:
        raise OptionError(f"--data is {' '.join(options.data)}; it is either folders or {ON_THE_FLY}")
    if ON_THE_FLY in options.data and options.arch != "cpu" and options.workers:
        raise OptionError(f"--arch {options.arch} traces in the training process; add --workers 0")
    if options.precision.startswith("16"):
        raise OptionError(f"--precision {options.precision} overflows now and then, which stops a run; take bf16-mixed")


def _source(options: Options) -> Source:
    if options.data == (ON_THE_FLY,):
        return source_on_the_fly(load_recipe(options.recipe), options.arch, options.validation)
    return source_on_disk(options.data, options.validation)


def _steps_of_epochs(options: Options, preset: Preset, data: TrainingData) -> int:
    if data.pictures is None:
        raise OptionError(f"--preset {options.preset} counts epochs, and scenes on the fly have none; give --steps")
    assert preset.epochs is not None
    return max(1, preset.epochs * data.pictures // (preset.batch * options.devices * options.nodes))


def _training(options: Options, model: Model, preset: Preset, steps: int) -> Training:
    match model:
        case "arnet":
            return ArnetTraining(preset, steps)
        case "iunet":
            return IunetTraining(preset, steps, loaded(ARNet(), options.arnet))
        case "deepfocus":
            return DeepfocusTraining(preset, steps)
        case "error-map":
            return ErrorMapTraining(preset, steps)


def _trainer(
    options: Options, model: Model, preset: Preset, data: TrainingData, steps: int, stop_asked: StopSignal
) -> pl.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # One worker per core is right here, whatever Lightning thinks; an endless loader and its own checkpoints are meant.
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
    try:
        return pl.Trainer(
            accelerator=options.accelerator,
            devices=options.devices,
            num_nodes=options.nodes,
            precision=options.precision,  # type: ignore[arg-type]  # Lightning knows the names
            max_steps=steps,
            max_epochs=-1,
            val_check_interval=preset.validate_every,
            check_val_every_n_epoch=None,
            limit_val_batches=1.0 if data.validates else 0,
            num_sanity_val_steps=0,
            log_every_n_steps=_LINE_EVERY,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            logger=TensorBoardLogger(options.out, name="", version="tensorboard"),
            callbacks=[
                MetricsFile(options.out / "metrics.jsonl", _LINE_EVERY),
                Checkpoints(
                    options.out,
                    model,
                    preset.checkpoint_every,
                    preset.validate_every if data.validates else None,
                    stop_asked,
                ),
                ProgressBar(),
            ],
        )
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise OptionError(f"--accelerator {options.accelerator} --precision {options.precision}: {error}") from error


def _write_run(options: Options, model: Model, preset: Preset, steps: int, source: Source, training: Training) -> None:
    """`run.json`: all that the result depends on. OptionError where the folder holds another run."""
    run: dict[str, Any] = {
        "model": model,
        "parameters": sum(p.numel() for p in training.network.parameters()),
        "preset": {"name": options.preset, **asdict(preset), "steps": steps},
        "seed": options.seed,
        "data": source.digests,
        "recipe": None if source.recipe is None else source.recipe.describe(),
        # Which scenes are traced, and to which bytes.
        "on_the_fly": None if source.recipe is None else {"workers": options.workers, "arch": options.arch},
        "init": _weights_digest(options.init),
        "arnet": _weights_digest(options.arnet) if model == "iunet" else None,
        "devices": options.devices * options.nodes,
        "precision": options.precision,
    }
    path = options.out / RUN_FILE
    if path.is_file():
        before = json.loads(path.read_text("utf-8"))
        for key, value in run.items():
            if before.get(key) != json.loads(json.dumps(value)):
                raise OptionError(
                    f"--out {options.out}: holds a run with another {key} ({before.get(key)}); give another folder"
                )
        return
    run["software"] = {
        "git": _git_revision(),
        **{name: version(name) for name in ("bokehforge", "torch", "lightning", "numpy", "numba")},
    }
    # Whole or not at all: the processes of other nodes read it.
    aside = path.with_name(f".{RUN_FILE}.{os.getpid()}")
    aside.write_text(json.dumps(run, indent=2) + "\n", "utf-8")
    os.replace(aside, path)


def _weights_digest(path: Path | None) -> str | None:
    return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()


def _git_revision() -> str:
    """Commit of this source tree, with "+changes" where files differ from it; "unknown" where it is not a checkout."""
    here = Path(__file__).parent
    try:
        commit, changes = (
            subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()
            for arguments in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if changes else "")


def _report(weights: Path, steps: int, trainer: pl.Trainer) -> None:
    numbers = {k.removeprefix("val/"): float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
    print(f"{steps} steps are done; weights in {weights}")
    if numbers:
        print("last validation: " + ", ".join(f"{name} {value:.3f}" for name, value in numbers.items()))


if __name__ == "__main__":
    raise SystemExit(main())
