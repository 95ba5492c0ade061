"""How much RVR loses by not dividing by its weight, by how its slices lie, beside the loss published for it.

    python raytrace/gen.py --recipe blb-levels --scenes 4 --size 512 --seed 9 --noise 0.004 --out datasets/rvr-gap
    python benchmarks/rvr_gap.py datasets/rvr-gap --limit 20

Neither Zhang et al. 2019 nor the comparison of BokehMe (Peng et al. 2022) says where the slices of RVR lie and whether
their masks overlap. The comparison gives RVR with and without the division (RVR-dagger) at five blur levels. What is
closest to these five differences is what `renderers.classical.rvr` does.
"""

import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray

from bokehdata.cases import known_disparity
from bokehdata.format import DatasetError
from bokehdata.opening import open_cases
from evaluation import metrics
from evaluation.protocols import PROTOCOLS, Task, tasks
from evaluation.regions import region_masks
from evaluation.rendering import extended, margin_px
from renderers.classical.rvr import sliced
from scenes.color import display_from_linear, linear_from_display

# BokehMe, Table 1: PSNR of RVR-dagger less that of RVR on BLB, levels 1 to 5.
_PUBLISHED_DB = (4.80, 6.55, 7.20, 7.23, 7.21)

# Whether masks overlap by half, and how far slices are apart in pixels of blur radius.
_LAYOUTS = ((False, 0.5), (False, 1.0), (False, 2.0), (True, 1.0))


@dataclass(frozen=True)
class Options:
    """PSNR of RVR-dagger less that of RVR, by blur level, for disjoint and overlapping slices.

    Example: python benchmarks/rvr_gap.py datasets/blb-levels --limit 20
    """

    data: tyro.conf.Positional[Path]
    """Folder of a bokehforge dataset, best of the recipe blb-levels, or of BLB scenes."""
    limit: int | None = None
    """At most this many pictures, as many of each scene, level and focus as can be. Default: all."""


def main(argv: list[str] | None = None) -> int:
    options = tyro.cli(Options, args=argv)
    try:
        wanted = tasks(PROTOCOLS["blb"], open_cases(options.data), options.limit)
    except (DatasetError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    gaps = defaultdict(list)
    for task in wanted:
        for layout, gap in zip(_LAYOUTS, _gaps_db(task), strict=True):
            gaps[layout, task.case.level].append(gap)
    levels = sorted({level for _, level in gaps})
    print("| masks | slices apart, px | " + " | ".join(f"level {level}" for level in levels) + " | mean |")
    print("|---|---:|" + "---:|" * (len(levels) + 1))
    published = [_PUBLISHED_DB[level - 1] for level in levels]
    _print("BokehMe, Table 1", "", published)
    for overlapping, slice_px in _LAYOUTS:
        means = [float(np.mean(gaps[(overlapping, slice_px), level])) for level in levels]
        _print("overlapping" if overlapping else "disjoint", f"{slice_px:g}", means)
    return 0


def _gaps_db(task: Task) -> list[float]:
    """For each layout: the gain of RVR-dagger in PSNR, border cropped, the picture extended as in the benchmark."""
    case, lens = task.case, task.case.lens()
    image, disparity, truth = case.image(), known_disparity(case), case.truth().clip(0.0, 1.0)
    mask = region_masks(image, disparity, lens)["border_cropped"]
    margin = margin_px(disparity, lens, "replicate")
    linear = linear_from_display(extended(image, margin, "replicate"), case.gamma)
    beyond = extended(disparity, margin, "replicate")

    def psnr(blurred: NDArray[np.float32]) -> float:
        shown = display_from_linear(blurred, case.gamma)[margin:-margin, margin:-margin].clip(0.0, 1.0)
        return metrics.psnr(shown[mask], truth[mask], data_range=1.0)

    gaps = []
    for overlapping, slice_px in _LAYOUTS:
        composite = sliced(linear, beyond, lens, overlapping=overlapping, slice_px=slice_px)
        gaps.append(psnr(composite.normalized()) - psnr(composite.accumulated[..., :3]))
    return gaps


def _print(masks: str, slice_px: str, gaps_db: list[float]) -> None:
    cells = [f"{gap:.2f}" for gap in (*gaps_db, float(np.mean(gaps_db)))]
    print(f"| {masks} | {slice_px} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
