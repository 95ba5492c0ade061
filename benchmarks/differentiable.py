"""Seconds of a picture of Dr.Bokeh and of its gradients, by two ways to write the backward, in one run.

    python benchmarks/differentiable.py --size 512 --radius 20

`rims` is `renderers.differentiable.drbokeh`; `offsets` is one shifted product per offset of the window, in
`drbokeh_by_offsets.py`. Loss: the mean square of N / W, with gradients of colour, alpha and disparity. The disparity is
a smooth surface from the farthest blur before focus to that behind it. Seconds are processor time of all cores: on a
busy machine, OMP_NUM_THREADS=1 keeps torch from counting its waiting.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro
from drbokeh_by_offsets import LayerSums
from timing import cpu_seconds
from torch import Tensor

from renderers.differentiable.drbokeh import layer_sums
from runtime.progress import waiting

Sums = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Options:
    """Time the differentiable form of Dr.Bokeh against one shifted product per offset.

    Example: python benchmarks/differentiable.py --size 256 --radius 20
    """

    size: int = 512
    """Side of the picture, pixels."""
    radius: float = 20.0
    """Largest blur radius, pixels."""
    repeats: int = 3
    """Turns of `rims`, of which the fastest counts; `offsets` has one."""
    json: Path | None = None
    """File for the rows: {form, dtype, cpu_seconds, times_faster, difference}."""


def main(argv: list[str] | None = None) -> int:
    options = tyro.cli(Options, args=argv)
    reach = int(options.radius) + 5

    def rims(rgb: Tensor, alpha: Tensor, relative: Tensor) -> tuple[Tensor, Tensor]:
        return layer_sums(rgb, alpha, relative, 2.0 * options.radius)

    def offsets(rgb: Tensor, alpha: Tensor, relative: Tensor) -> tuple[Tensor, Tensor]:
        return LayerSums.apply(rgb, alpha, relative, 2.0 * options.radius, reach)  # pyright: ignore[reportReturnType]

    _timed(rims, 32, torch.float64)  # compiles
    rows = []
    print("| form | dtype | CPU seconds | times faster | largest difference of gradients, relative |")
    print("|---|---|---:|---:|---:|")
    for dtype in (torch.float64, torch.float32):
        with waiting(f"offsets in {dtype}"):
            slow_s, witness = _timed(offsets, options.size, dtype)
        runs = [_timed(rims, options.size, dtype) for _ in range(options.repeats)]
        fast_s, gradients = min(seconds for seconds, _ in runs), runs[0][1]
        apart = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(gradients, witness, strict=True))
        for form, seconds, difference in (("offsets", slow_s, 0.0), ("rims", fast_s, apart)):
            row = {"form": form, "dtype": str(dtype), "cpu_seconds": seconds, "times_faster": slow_s / seconds}
            rows.append({**row, "difference": difference})
            print(f"| {form} | {dtype} | {seconds:.2f} | {slow_s / seconds:.1f} | {difference:.1e} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def _timed(sums: Sums, size: int, dtype: torch.dtype) -> tuple[float, list[Tensor]]:
    """Processor time of the picture and its gradients, and the gradients of colour, alpha and disparity."""
    torch.manual_seed(0)
    rgb, alpha = torch.rand(1, 3, size, size, dtype=torch.float64), torch.rand(1, 1, size, size, dtype=torch.float64)
    relative = F.interpolate(torch.rand(1, 1, 6, 6, dtype=torch.float64), (size, size), mode="bicubic") - 0.5
    relative = 0.5 * relative / relative.abs().max()
    inputs = [t.to(dtype).requires_grad_() for t in (rgb, alpha, relative)]
    start = cpu_seconds()
    n, w = sums(*inputs)
    gradients = torch.autograd.grad((n / w).square().mean(), inputs)
    return cpu_seconds() - start, list(gradients)


if __name__ == "__main__":
    raise SystemExit(main())
