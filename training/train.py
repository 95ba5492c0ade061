"""Train networks on ground truth.

    python training/train.py --model bokehme --data datasets/bokehme-small --out runs/bokehme --preset cpu

The same command again goes on from the last checkpoint.
"""

if __name__ == "__main__":
    from runtime.command import start

    raise SystemExit(start("training.train", None, "train.py"))

import json
import logging
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import lightning.pytorch as pl
import torch
import tyro
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from tyro.conf import arg

from bokehdata.cases import Case
from bokehdata.format import DatasetError
from renderers.base import RendererError
from runtime import command
from runtime.backend import Arch, BackendError
from runtime.command import OptionError
from runtime.documents import DocumentError, read_json
from runtime.files import sha256_of, write_whole
from runtime.options import PlaceOption
from scenes.layered import SceneError
from scenes.recipe import RecipeError, load_recipe
from training.callbacks import Checkpoints, MetricsFile, ProgressBar, StopSignal, full_disk_said_once
from training.data import Loaders, TrainingData, data_on_disk, data_on_the_fly
from training.model import Model
from training.models import MODELS
from training.module import Training, TrainingStopped
from training.presets import Preset, PresetName

ON_THE_FLY = "on-the-fly"
CHECKPOINT_FILE = "last.ckpt"
METRICS_FILE = "metrics.jsonl"
RUN_FILE = "run.json"

# What Lightning needs to go on.
_OF_A_CHECKPOINT = {"global_step", "epoch", "state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers"}

# Steps between lines of metrics.jsonl, and of points of TensorBoard's curves; a short run has some twenty.
_LINE_EVERY, _LINES_MIN = 50, 20


@dataclass(frozen=True)
class Options:
    """Train networks on ground truth: BokehMe's, DeepFocus, DeepLens, MPIB, RevealNet, CoCNet, D2F, AMPN, DMSHN, IFAN.

    Writes checkpoints, weights (safetensors), metrics.jsonl, TensorBoard logs, and run.json with everything that the
    result depends on. The same command goes on where the last one stopped.
    Example: python training/train.py --model bokehme --data datasets/bokehme-small --out runs/bokehme --preset cpu
    """

    model: Annotated[str, arg(metavar="|".join(MODELS))]
    """What to train. iunet is behind a trained arnet; bokehme is both in turn, in folders of their names in --out; so
    are the two stages of deeplens, d2f and d2f-small."""
    data: tuple[str, ...]
    """Folders or URLs of pictures and their truth, or on-the-fly to trace scenes while training."""
    out: Path
    """Folder of the run."""
    limit: int | None = None
    """Use at most the first so many scenes, or pairs, of each folder of --data, 1 to 1,000,000. Default: all."""
    preset: PresetName = "cpu"
    """Settings: those of the paper, small ones for two CPU cores, or a few steps to see that everything works."""
    validation: PlaceOption | None = None
    """Folder or URL of pictures to validate on. Default: the last tenth of the scenes, then not trained on."""
    steps: int | None = None
    """Optimiser steps, 1 to 10^9. Default: the preset's."""
    seed: int = 0
    """Of initial weights and of every random choice, 0 to 2^32 - 1."""
    init: Path | None = None
    """Weights to begin with, instead of random ones."""
    behind: Annotated[tuple[Path, ...], arg(aliases=["--arnet"], help_behavior_hint="(default: those that ship)")] = ()
    """Weights of the networks that the model stands behind: an ARNet for iunet, stage 1 for a stage 2."""
    trunk: Path | None = None
    """torchvision's file of weights for the encoder: mobilenet_v2 for ampn and d2f-small, resnext50_32x4d for d2f,
    resnet18 for mpib. Default: random ones."""
    ablation: str | None = None
    """A row of an ablation that changes the preset, such as l1-ssim-grad of d2f; asked for any, it names all."""
    recipe: Annotated[str | None, arg(help_behavior_hint="(default: bokehme-train; ebb-like without a lens)")] = None
    """Kind of scenes traced on the fly."""
    arch: Arch = "cpu"
    """Where scenes are traced on the fly; anything but cpu traces in the training process."""
    workers: int = 1
    """Processes that make samples, 0 to 1024, for each process that trains; 0 makes them in the process that trains."""
    accelerator: str = "auto"
    """Lightning's: auto, cpu, gpu, ..."""
    devices: int = 1
    """Devices of each node, 1 to 1024."""
    nodes: int = 1
    """Nodes, 1 to 1024; each runs the same command, as Lightning's DDP expects."""
    precision: str = "32-true"
    """Lightning's: 32-true, bf16-mixed, ..."""
    threads: int | None = None
    """CPU threads that train, 1 to 1024. Default: one per core."""
    dry_run: bool = False
    """Say what would be trained, and write nothing."""


@dataclass(frozen=True)
class Stage:
    """One network of what is trained.

    out       folder of its run
    weights   files of the networks that it stands behind, by name
    """

    model: Model[Any]
    out: Path
    weights: Mapping[str, Path]


def main(argv: list[str] | None = None, prog: str = "train.py") -> int:
    """Run the command; returns its exit code: 0, 1 if it diverged, 2 for bad input, 130 or 143 by a signal."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(
        partial(_train, options, prog),
        prog,
        refusals=(DatasetError, RecipeError, SceneError, RendererError, BackendError),
        failures=(TrainingStopped,),
        interrupted="stopped; the same command goes on from the last checkpoint",
        path=options.out,
    )


def _train(options: Options, prog: str) -> int:
    _require_sane(options)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    stages = _stages(options)
    for stage in stages:
        if options.dry_run and len(stages) > 1 and not all(path.is_file() for path in stage.weights.values()):
            print(f"{stage.model.name}: stands behind {', '.join(stage.weights)}, which is not trained yet")
            continue
        if code := _train_stage(options, stage, prog):
            return code
    return command.DONE


def _require_sane(options: Options) -> None:
    if options.model not in MODELS:
        raise OptionError(f"--model is {options.model!r}; there are {', '.join(MODELS)}")
    rows = dict.fromkeys(row for model in MODELS[options.model] for row in model.ablations)
    if options.ablation is not None and options.ablation not in rows:
        raise OptionError(f"--ablation is {options.ablation}; {options.model} has {', '.join(rows) or 'none'}")
    command.require_counts(
        ("--limit", options.limit, 1, command.COUNT_MAX),
        ("--steps", options.steps, 1, 10**9),
        # Lightning's limit.
        ("--seed", options.seed, 0, 2**32 - 1),
        ("--workers", options.workers, 0, command.PROCESSES_MAX),
        ("--devices", options.devices, 1, command.PROCESSES_MAX),
        ("--nodes", options.nodes, 1, command.PROCESSES_MAX),
        ("--threads", options.threads, 1, command.PROCESSES_MAX),
    )
    if ON_THE_FLY in options.data and len(options.data) > 1:
        raise OptionError(f"--data is {' '.join(options.data)}; it is either folders or {ON_THE_FLY}")
    if ON_THE_FLY in options.data and options.limit is not None:
        raise OptionError(f"--limit is {options.limit}, and scenes {ON_THE_FLY} have no end; leave it out")
    if ON_THE_FLY in options.data and options.arch != "cpu" and options.workers:
        raise OptionError(f"--arch {options.arch} traces in the training process; add --workers 0")
    if options.precision.startswith("16"):
        raise OptionError(f"--precision {options.precision} overflows now and then, which stops a run; take bf16-mixed")


def _stages(options: Options) -> list[Stage]:
    """What is asked for, in order; OptionError for an option that only a single network can have."""
    models = MODELS[options.model]
    if len(models) == 1:
        (model,) = models
        given = dict(zip(model.behind, options.behind, strict=False))
        return [Stage(model, options.out, {**model.behind, **given, **_trunk(options, model)})]
    names = [model.name for model in models]
    for option, value, usual in (
        ("--init", options.init, None),
        ("--behind", options.behind, ()),
        ("--devices", options.devices, 1),
        ("--nodes", options.nodes, 1),
    ):
        if value != usual:
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            raise OptionError(
                f"{option} is {shown}, and --model is {options.model}; "
                f"train {names[0]} first, then {', then '.join(names[1:])}"
            )
    stages: list[Stage] = []
    for model in models:
        made = {stage.model.name: weights_file(stage) for stage in stages}
        if options.dry_run:
            # What an earlier stage has not made yet is stood in for by the weights that ship.
            made = {name: path for name, path in made.items() if path.is_file()}
        behind = {name: made.get(name, shipped) for name, shipped in model.behind.items()}
        # What stands behind a stage has its trunk already.
        trunk = {} if behind else _trunk(options, model)
        stages.append(Stage(model, options.out / model.name, {**behind, **trunk}))
    return stages


def _trunk(options: Options, model: Model[Any]) -> dict[str, Path]:
    """The file of --trunk, by the name of the encoder; OptionError for a model that has none."""
    if options.trunk is None:
        return {}
    if model.trunk is None:
        raise OptionError(f"--trunk is {options.trunk}, and {model.name} has no encoder of torchvision; leave it out")
    return {model.trunk: options.trunk}


def weights_file(stage: Stage) -> Path:
    """Where the trained weights of a stage are written."""
    return stage.out / f"{stage.model.name}.safetensors"


def _train_stage(options: Options, stage: Stage, prog: str) -> int:
    model, preset = stage.model, _preset(options, stage.model)
    data = _data(options, model)
    loaders = Loaders(data, model, preset, seed=options.seed, workers=options.workers)
    steps = options.steps or preset.steps or _steps_of_epochs(options, preset, loaders)
    pl.seed_everything(options.seed, verbose=False)
    training = model.build(preset, steps, stage.weights)
    if options.init is not None:
        training.start_from(options.init)
    run = _run(options, stage, preset, steps, data, training)
    begun_with = [] if options.init is None else [options.init]
    record = data.record(options.seed, [*begun_with, *stage.weights.values()])
    _require_same_run(stage.out / RUN_FILE, run)

    checkpoint = stage.out / CHECKPOINT_FILE
    if not options.dry_run and _steps_done(checkpoint, training) >= steps and weights_file(stage).is_file():
        _report(stage, steps)
        return command.DONE
    with StopSignal() as stop_asked, warnings.catch_warnings(), full_disk_said_once():
        trainer = _trainer(options, stage, preset, loaders, steps, record, stop_asked)
        if options.dry_run:
            print(_plan(options, stage, preset, steps, data, loaders, run["parameters"]))
            for note in training.notes:
                print(f"  note          {note}")
            return command.DONE
        stage.out.mkdir(parents=True, exist_ok=True)
        _write_run(stage.out / RUN_FILE, {**run, "notes": list(training.notes)}, record)
        if trainer.is_global_zero:
            for note in training.notes:
                print(f"{prog}: {model.name}: {note}", file=sys.stderr)
            assert trainer.logger is not None
            trainer.logger.log_hyperparams(run)
        try:
            trainer.fit(training, loaders, ckpt_path=checkpoint if checkpoint.is_file() else None)
        except TrainingStopped as error:
            before = (
                f"{checkpoint} is the checkpoint before it" if checkpoint.is_file() else "there is no checkpoint yet"
            )
            raise TrainingStopped(f"stopped: {error}; {before}") from error
        if stop_asked():
            if trainer.is_global_zero:
                done = f"stopped after step {trainer.global_step} of {steps}; the same command goes on from here"
                print(f"{prog}: {done}", file=sys.stderr)
            return command.TERMINATED if stop_asked.number == signal.SIGTERM else command.INTERRUPTED
        if loaders.validation_pictures and steps % preset.validate_every:
            trainer.validate(training, loaders, verbose=False)
    if trainer.is_global_zero:
        _report(stage, steps)
    return command.DONE


def _steps_done(checkpoint: Path, training: Training[Any, Any]) -> int:
    """The steps of a run's checkpoint; 0 where there is none, OptionError where it is none of `training`."""
    if not checkpoint.is_file():
        return 0
    try:
        # `mmap` leaves the weights on disk.
        held = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)
        shapes = {name: value.shape for name, value in held["state_dict"].items()}
        is_whole = held.keys() >= _OF_A_CHECKPOINT and type(held["global_step"]) is int
        if is_whole and shapes == {name: value.shape for name, value in training.state_dict().items()}:
            return held["global_step"]
    # torch raises many types for a file that is cut off, or is none of its own. What it says is not repeated: it would
    # have the user switch its safety off.
    except Exception as error:
        raise OptionError(f"{checkpoint}: is not a whole checkpoint; remove it, and the run begins anew") from error
    raise OptionError(f"{checkpoint}: is not a whole checkpoint of this run; remove it, and the run begins anew")


def _preset(options: Options, model: Model[Any]) -> Preset:
    if options.preset not in model.presets:
        raise OptionError(f"--preset is {options.preset}; {model.name} has {', '.join(model.presets)}")
    return replace(model.presets[options.preset], **model.ablations.get(options.ablation or "", {}))


def _data(options: Options, model: Model[Any]) -> TrainingData:
    if options.data == (ON_THE_FLY,):
        # What is told no lens learns that of the recipe's camera.
        recipe = options.recipe or ("bokehme-train" if model.information == "refocusing" else "ebb-like")
        return data_on_the_fly(load_recipe(recipe), options.arch, options.validation, model)
    return data_on_disk(options.data, options.validation, model, options.limit)


def _steps_of_epochs(options: Options, preset: Preset, loaders: Loaders) -> int:
    if loaders.pictures is None:
        raise OptionError(f"--preset {options.preset} counts epochs, and scenes on the fly have none; give --steps")
    assert preset.epochs is not None
    return max(1, preset.epochs * loaders.pictures // (preset.batch * options.devices * options.nodes))


def _trainer(
    options: Options,
    stage: Stage,
    preset: Preset,
    loaders: Loaders,
    steps: int,
    record: Mapping[str, Any],
    stop_asked: StopSignal,
) -> pl.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # Lightning warns of what is meant here: one worker, a loader without an end, checkpoints that are not its own.
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
    validates = loaders.validation_pictures > 0
    line_every = max(1, min(_LINE_EVERY, steps // _LINES_MIN))
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
            limit_val_batches=1.0 if validates else 0,
            num_sanity_val_steps=0,
            log_every_n_steps=line_every,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            logger=TensorBoardLogger(stage.out, name="", version="tensorboard"),
            callbacks=[
                stop_asked,
                MetricsFile(stage.out / METRICS_FILE, line_every),
                Checkpoints(
                    stage.out / CHECKPOINT_FILE,
                    weights_file(stage),
                    record,
                    preset.checkpoint_every,
                    preset.validate_every if validates else None,
                    stop_asked,
                ),
                ProgressBar(),
            ],
        )
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise OptionError(f"--accelerator {options.accelerator} --precision {options.precision}: {error}") from error


def _run(
    options: Options, stage: Stage, preset: Preset, steps: int, data: TrainingData, training: Training[Any, Any]
) -> dict[str, Any]:
    """The content of run.json: everything that the result depends on, but for versions of software."""
    return {
        "model": stage.model.name,
        "parameters": sum(p.numel() for p in training.network.parameters()),
        "preset": {"name": options.preset, **asdict(preset), "steps": steps},
        "seed": options.seed,
        "data": data.digests,
        "limit": options.limit,
        "recipe": None if data.recipe is None else data.recipe.describe(),
        # Which scenes are traced, and to which bytes.
        "on_the_fly": None if data.recipe is None else {"workers": options.workers, "arch": options.arch},
        "init": None if options.init is None else sha256_of(options.init),
        "behind": {name: sha256_of(path) for name, path in stage.weights.items()},
        "devices": options.devices * options.nodes,
        "precision": options.precision,
    }


def _require_same_run(path: Path, run: Mapping[str, Any]) -> None:
    """OptionError where the folder holds another run."""
    if not path.is_file():
        return
    try:
        before = read_json(path)
    except DocumentError as error:
        raise OptionError(f"{error}; give another folder, or remove the file to train anew") from error
    for key, (held, wanted) in _differences(before, json.loads(json.dumps(run))):
        raise OptionError(
            f"--out {path.parent}: holds a run with another {key} ({held}, not {wanted}); give another folder"
        )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """What has another value than before, by name: ("preset learning_rate", (1e-4, 1e-3))."""
    for key, value in now.items():
        held = before.get(key)
        if held == value:
            continue
        if isinstance(held, dict) and isinstance(value, dict):
            yield from ((f"{key} {inner}", values) for inner, values in _differences(held, value))
        yield key, (held, value)


def _write_run(path: Path, run: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Write run.json, unless it is there. It appears whole: the processes of other nodes read it.

    record   of what is trained on, which follows from `run` and is not compared when a run goes on
    """
    if path.is_file():
        return
    software = {name: version(name) for name in ("bokehforge", "torch", "lightning", "numpy", "numba")}
    document = {**run, "record": record, "software": {"git": _git_revision(), **software}}
    write_whole(path, json.dumps(document, indent=2) + "\n")


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


def _plan(
    options: Options, stage: Stage, preset: Preset, steps: int, data: TrainingData, loaders: Loaders, parameters: int
) -> str:
    """What a dry run says."""
    name, samples = stage.model.name, preset.batch * options.devices * options.nodes
    behind = "".join(f", behind {network}" for network in stage.weights)
    if data.recipe is None:
        trained = f"{_scenes(data.training)}, {command.counted(loaders.pictures or 0, 'picture')}"
    else:
        trained = f"scenes of the recipe {data.recipe.name}, traced on {data.arch}"
    validated = "nothing"
    if data.validation:
        pictures = command.counted(loaders.validation_pictures, "picture")
        validated = f"{_scenes(data.validation)}, {pictures}, every {preset.validate_every} steps"
    holds = (
        f"{key} {' x '.join(map(str, value.shape))}" if isinstance(value, Tensor) and value.ndim else key
        for key, value in loaders.first_sample().items()
    )
    files = (weights_file(stage).name, CHECKPOINT_FILE, METRICS_FILE, RUN_FILE, "tensorboard/")
    begin = "goes on from its checkpoint" if (stage.out / CHECKPOINT_FILE).is_file() else "begins"
    return (
        f"{name}: {parameters:,} parameters, preset {options.preset}{behind}\n"
        f"  trains on     {trained}\n"
        f"  validates on  {validated}\n"
        f"  steps         {steps} of {samples} samples each; the run {begin}\n"
        f"  a sample has  {', '.join(holds)}\n"
        f"  writes        {stage.out}: {', '.join(files)}"
    )


def _scenes(cases: Sequence[Case]) -> str:
    return command.counted(len({case.origins for case in cases}), "scene")


def _report(stage: Stage, steps: int) -> None:
    print(f"{steps} steps are done; weights in {weights_file(stage)}")
    if numbers := MetricsFile(stage.out / METRICS_FILE, 1).last_validation:
        print("last validation: " + ", ".join(f"{name} {value:.3f}" for name, value in numbers.items()))
