"""What the denoiser does to light fields: denoised pictures against pictures of the same scenes without it.

    python blender_scripts/render_blb.py --preset blb-mini --scenes 2 --time-limit 480 --out datasets/blb-mini
    python blender_scripts/render_blb.py --preset blb-mini --scenes 2 --samples 48 --denoise --out datasets/blb-denoised
    python benchmarks/denoiser.py datasets/blb-mini datasets/blb-denoised

The mean square of the difference of two pictures is that of the bias plus that of the noise of both, since their noise
is independent: denoised views take other samples of Cycles. The noise is known from the two halves of the views, so
that the rest is the bias. Both sets have the same lens points, and what error comes of these is not in the bias. All
are display RMSE, as roots of means of squares over the pictures of a level.
"""

import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from bokehdata.format import DatasetError
from bokehdata.opening import open_cases


@dataclass(frozen=True)
class Options:
    """The bias of denoised light fields, by scene and blur level.

    Example: python benchmarks/denoiser.py datasets/blb-mini datasets/blb-denoised
    """

    truth: tyro.conf.Positional[Path]
    """Folder of a dataset of light fields without a denoiser."""
    denoised: tyro.conf.Positional[Path]
    """Folder of a dataset of the same scenes, size, blur and focus, with denoised views."""


@dataclass(frozen=True)
class Squares:
    """Mean squares of display values: of the difference, and of the noise of both."""

    difference: float
    noise_truth: float
    noise_denoised: float

    def row(self) -> str:
        bias = max(0.0, self.difference - self.noise_truth - self.noise_denoised)
        shown = (self.difference, self.noise_truth, self.noise_denoised, bias)
        return " | ".join(f"{np.sqrt(value):.4f}" for value in shown)


def main(argv: list[str] | None = None) -> int:
    options = tyro.cli(Options, args=argv)
    try:
        table = compare(options.truth, options.denoised)
    except (DatasetError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("| scene | level | difference | noise of the truth | noise, denoised | bias |")
    print("|---|---:|---:|---:|---:|---:|")
    for (scene, level), squares in table.items():
        mean = Squares(*np.mean([[s.difference, s.noise_truth, s.noise_denoised] for s in squares], axis=0))
        print(f"| {scene} | {level} | {mean.row()} |")
    return 0


def compare(truth: Path, denoised: Path) -> dict[tuple[str, str], list[Squares]]:
    """Squares of each picture that both datasets have, by scene and blur level ("all" for all levels).

    raises   ValueError if they have no picture in common, or one of another lens
    """
    others = {case.name: case for case in open_cases(denoised)}
    table = defaultdict(list)
    for case in open_cases(truth):
        other = others.get(case.name)
        if other is None:
            continue
        if case.lens() != other.lens():
            raise ValueError(f"{case.name} of {denoised} has another lens than that of {truth}")
        if case.noise_rmse is None or other.noise_rmse is None:
            raise ValueError(f"the noise of {case.name} is not known")
        pictures = [one.truth().clip(0.0, 1.0) for one in (case, other)]
        difference = float(np.square(pictures[0] - pictures[1]).mean(dtype=np.float64))
        squares = Squares(difference, case.noise_rmse**2, other.noise_rmse**2)
        for level in (str(case.level), "all"):
            table[case.scene, level].append(squares)
    if not table:
        raise ValueError(f"{truth} and {denoised} have no picture in common")
    return dict(sorted(table.items()))


if __name__ == "__main__":
    sys.exit(main())
