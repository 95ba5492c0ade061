"""What the denoiser does to light fields: denoised pictures against pictures of the same scenes without it.

    python blender_scripts/render_blb.py --preset blb-mini --scenes 2 --samples 2000 --out datasets/blb-mini
    python blender_scripts/render_blb.py --preset blb-mini --scenes 2 --radius-step 2 --samples 100 --denoise \\
        --out datasets/blb-mini-denoised
    python benchmarks/denoiser.py datasets/blb-mini datasets/blb-mini-denoised

The mean square of the difference of two pictures is that of the bias plus that of the noise of both, since their noise
is independent: denoised views take other samples of Cycles. The noise is known from the two halves of the views, so
that the rest is the bias. All are display RMSE, as roots of means of squares over the pictures of a level. Pictures of
equal blur and focus are compared, whatever their levels are called, and those all in focus. Where views are too few to
fill the disks of lights, the dots are most of the bias; there are none all in focus.
"""

import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray

from bokehdata.cases import Case, StackCase, noise_of
from bokehdata.format import DatasetError, image_file
from bokehdata.opening import open_cases


@dataclass(frozen=True)
class Options:
    """The bias of denoised light fields, by scene and blur level.

    Example: python benchmarks/denoiser.py datasets/blb-mini datasets/blb-mini-denoised
    """

    truth: tyro.conf.Positional[Path]
    """Folder of a dataset of light fields without a denoiser."""
    denoised: tyro.conf.Positional[Path]
    """Folder of a dataset of the same scenes, size and focus, with denoised views and a blur in common."""


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
    """Squares of each picture that both datasets have, by scene and blur level of the truth.

    The level is "all" for all levels, and "in focus" for the all-in-focus picture.

    raises   ValueError if they have no picture in common, or the noise of one is not known
    """
    others = {(case.scene, case.lens()): case for case in open_cases(denoised)}
    table = defaultdict(list)
    for case in open_cases(truth):
        other = others.get((case.scene, case.lens()))
        if other is None:
            continue
        if (case.scene, "in focus") not in table:
            noise = (_noise_in_focus(case), _noise_in_focus(other))
            table[case.scene, "in focus"].append(
                _squares(f"{case.scene}, in focus,", case.image(), other.image(), *noise)
            )
        squares = _squares(case.name, case.truth(), other.truth(), case.noise_rmse, other.noise_rmse)
        for level in (str(case.level), "all"):
            table[case.scene, level].append(squares)
    if not table:
        raise ValueError(f"{truth} and {denoised} have no picture of the same scene and lens")
    return dict(sorted(table.items()))


def _noise_in_focus(case: Case) -> float | None:
    return noise_of(case.folder, image_file(case.folder.image_format)) if isinstance(case, StackCase) else None


def _squares(
    name: str, truth: NDArray, denoised: NDArray, noise_truth: float | None, noise_denoised: float | None
) -> Squares:
    if noise_truth is None or noise_denoised is None:
        raise ValueError(f"the noise of {name} is not known")
    difference = np.square(truth.clip(0.0, 1.0) - denoised.clip(0.0, 1.0)).mean(dtype=np.float64)
    return Squares(float(difference), noise_truth**2, noise_denoised**2)


if __name__ == "__main__":
    sys.exit(main())
