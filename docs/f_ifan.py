"""F-IFAN beside its control: a table in Markdown for docs/deblurring.md.

python docs/f_ifan.py --data datasets/dpdd-like --pairs adversarial --validation datasets/dpdd-like-val \
    --test datasets/dpdd-like-test --out runs/f-ifan

IFAN is fine-tuned on the original pairs alone (control), and on these and the adversarial ones (F-IFAN), by as many
steps, once for each seed. All are measured on the test pictures. The same command resumes.
"""

import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import tyro

from bokehdata.format import DatasetError
from bokehdata.opening import open_cases
from bokehforge.deblur_scores import Rows, measured, scored, values
from evaluation.intervals import Scenes
from evaluation.lpips import Lpips, LpipsUnavailable
from inverse.deblurring.inference import NETWORKS, shipped
from inverse.deblurring.methods import Deblurrer
from inverse.deblurring.scoring import METRICS
from renderers.base import RendererError
from runtime import command
from runtime.command import OptionError, require_counts
from runtime.files import write_whole
from training import train
from training.presets import PresetName

CONTROL, ADVERSARIAL, BEFORE = "control", "f-ifan", "ifan"

# Table IV of Huang et al. (2021): one run each, on DPDD.
PAPER = {"paper: IFAN": (25.36620, 0.78885, 0.21739), "paper: F-IFAN": (25.38111, 0.78887, 0.21836)}

# A folder is named at most this often, for the mix.
_TIMES_MAX = 8


@dataclass(frozen=True)
class Options:
    """Fine-tune IFAN with adversarial pairs and without, and compare the two.

    Example: python docs/f_ifan.py --data pairs --pairs adversarial --validation val --test test --out runs/f-ifan
    """

    data: Path
    """Original pairs."""
    pairs: Path
    """Adversarial pairs of the same sharp pictures: image/ and truth/, or train_c/target and train_c/source."""
    validation: Path
    """Pairs that choose the step of every run."""
    test: Path
    """Pairs to measure on; of DPDD its part test."""
    out: Path
    """Folder of the runs, the scores and the table."""
    mix: float = 0.5
    """Share of adversarial pairs, 0.01 to 0.99."""
    model: str = "ifan-small"
    """Network: ifan-small or ifan."""
    weights: Path | None = None
    """What is fine-tuned, named after the network. Default: the weights that ship."""
    preset: PresetName = "cpu"
    """Settings of `bokehforge train`."""
    steps: int = 300
    """Of each run, 1 to 1,000,000; 20000 for the paper's network."""
    seeds: int = 3
    """Runs of each kind, 1 to 100."""
    threads: int = 2
    """CPU threads that train, 1 to 1024."""


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, that of a run that failed, 2 for bad input, 130 when interrupted."""
    options = tyro.cli(Options, args=argv)
    return command.exit_code(
        lambda: _run_all(options), "f_ifan.py", refusals=(DatasetError, RendererError), path=options.out
    )


def _run_all(options: Options) -> int:
    require_counts(("--mix", options.mix, 0.01, 0.99), ("--steps", options.steps, 1, 1_000_000))
    require_counts(("--seeds", options.seeds, 1, 100), ("--threads", options.threads, 1, command.PROCESSES_MAX))
    if options.model not in NETWORKS:
        raise OptionError(f"--model is {options.model!r}; there are {', '.join(NETWORKS)}")
    start = options.weights or shipped(options.model)
    methods = [Deblurrer(BEFORE, options.model, start)]
    # Weights that are not there show before the first run.
    methods[0].digest()
    cases = scored(open_cases(options.test, on_misfit=command.skipped))
    kinds = {CONTROL: [options.data], ADVERSARIAL: _mixed(options)}
    for seed, (kind, folders) in product(range(options.seeds), kinds.items()):
        print(f"{kind}, seed {seed}: {' '.join(map(str, folders))}", flush=True)
        if code := train.main(_words(options, folders, start, seed, _run(options, kind, seed))):
            return code
    for seed, kind in product(range(options.seeds), kinds):
        weights = _run(options, kind, seed) / f"{options.model}.safetensors"
        methods.append(Deblurrer(f"{kind}-{seed}", options.model, weights))
    try:
        lpips = Lpips()
    except LpipsUnavailable as error:
        lpips = None
        print(f"LPIPS: {error}", file=sys.stderr)
    rows, _ = measured(options.out / "scores", methods, cases, lpips, "cpu")
    text = table(rows, options.seeds)
    write_whole(options.out / "table.md", text)
    print(text)
    return command.DONE


def _mixed(options: Options) -> list[Path]:
    """The two folders, each as often as makes the share of adversarial pairs what it is to be."""
    original, adversarial = (
        len(open_cases(folder, on_misfit=command.skipped)) for folder in (options.data, options.pairs)
    )
    a, b = times(original, adversarial, options.mix)
    share = b * adversarial / (a * original + b * adversarial)
    print(f"{options.pairs}: {share:.0%} of the pairs of {ADVERSARIAL}")
    return [options.data] * a + [options.pairs] * b


def times(original: int, adversarial: int, mix: float) -> tuple[int, int]:
    """How often each of two sets is named, so that the second one's share is next to `mix`: small numbers first."""

    def miss(pair: tuple[int, int]) -> tuple[float, int]:
        share = pair[1] * adversarial / (pair[0] * original + pair[1] * adversarial)
        return round(abs(share - mix), 3), sum(pair)

    counts = range(1, _TIMES_MAX + 1)
    return min(product(counts, counts), key=miss)


def _run(options: Options, kind: str, seed: int) -> Path:
    return options.out / f"{kind}-{seed}"


def _words(options: Options, folders: list[Path], start: Path, seed: int, out: Path) -> list[str]:
    """The command line of a run."""
    return [
        *("--model", options.model, "--data", *map(str, folders), "--validation", str(options.validation)),
        *("--init", str(start), "--ablation", "fine-tuning", "--preset", options.preset, "--seed", str(seed)),
        *("--steps", str(options.steps), "--threads", str(options.threads), "--out", str(out)),
    ]


def table(rows: Mapping[str, Rows], seeds: int) -> str:
    """Means over pictures; of several seeds mean and standard deviation, and F-IFAN minus control seed by seed."""
    means = {name: {metric: _mean(found, metric) for metric in METRICS} for name, found in rows.items()}
    lines = ["| | PSNR, dB | SSIM | LPIPS |", "|---|---:|---:|---:|"]
    lines.append(_line("IFAN, before", [[means[BEFORE][metric]] for metric in METRICS]))
    for kind, title in ((CONTROL, "control"), (ADVERSARIAL, "F-IFAN")):
        lines.append(_line(title, [[means[f"{kind}-{s}"][metric] for s in range(seeds)] for metric in METRICS]))
    gains = [
        [_minus(means[f"{ADVERSARIAL}-{s}"][metric], means[f"{CONTROL}-{s}"][metric]) for s in range(seeds)]
        for metric in METRICS
    ]
    lines.append(_line("F-IFAN minus control", gains, sign="+"))
    for title, numbers in PAPER.items():
        lines.append(_line(title, [[number] for number in numbers]))
    before, after = PAPER.values()
    lines.append(_line("paper: the difference", [[b - a] for a, b in zip(before, after, strict=True)], sign="+"))
    return "\n".join(lines) + "\n\n" + _over_scenes(rows, seeds)


def _mean(rows: Rows, metric: str) -> float | None:
    found = values(rows, metric)
    return statistics.fmean(found.values()) if found else None


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _line(title: str, columns: list[list[float | None]], sign: str = "") -> str:
    cells = []
    for numbers in columns:
        known = [number for number in numbers if number is not None]
        cell = f"{statistics.fmean(known):{sign}.5f}" if known else "-"
        cells.append(f"{cell} ± {statistics.stdev(known):.5f}" if len(known) > 1 else cell)
    return f"| {title} | {' | '.join(cells)} |"


def _over_scenes(rows: Mapping[str, Rows], seeds: int) -> str:
    """F-IFAN minus control in PSNR, every picture's mean over the seeds, with its interval over scenes."""
    scenes = Scenes({name: row["scene"] for name, row in rows[BEFORE].items()})
    by_kind = {
        kind: {
            picture: statistics.fmean(psnr)
            for picture in rows[BEFORE]
            if len(psnr := [v[picture] for v in _of(rows, kind, seeds) if picture in v]) == seeds
        }
        for kind in (CONTROL, ADVERSARIAL)
    }
    gain = scenes.difference(by_kind[ADVERSARIAL], by_kind[CONTROL])
    if gain is None:
        return ""
    return f"F-IFAN minus control over the scenes, seeds averaged: {gain.text(4, sign='+')} dB, 95 % interval.\n"


def _of(rows: Mapping[str, Rows], kind: str, seeds: int) -> list[Mapping[str, float]]:
    return [values(rows[f"{kind}-{seed}"], "psnr") for seed in range(seeds)]


if __name__ == "__main__":
    raise SystemExit(main())
