"""Depth from defocus against true depth: Dr.Bokeh's tables on scenes whose depth is known, which the paper's was not.

    python benchmarks/depth_from_defocus.py --data datasets/bokehme-small datasets/mpib --scenes 24

A window of one picture of each scene: that whose disparity varies most. The picture is that with the largest blur up
to --radius, focused on the nearest thing in the window, else on the farthest, so that all lies on one side of the
focus. Every row of the tables is fitted to it, and scored inside a border of the largest radius, where light from
beyond the window does not reach. Every method is told the lens, and the smallest and the largest disparity that is in
the window. Rows are stored as they come; the same command goes on where the last one stopped.
"""

import hashlib
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numba
import numpy as np
import torch
import tyro

from bokehdata.cases import Case, known_disparity
from bokehdata.format import DatasetError
from bokehdata.opening import open_cases
from bokehdata.preview import encode_jpeg
from evaluation.intervals import Estimate, Scenes
from inverse.depth_from_defocus.fit import Fit, FitSettings, fit
from inverse.depth_from_defocus.losses import LOSSES, Loss
from inverse.depth_from_defocus.network import WEIGHTS, estimated, rendered_by
from inverse.depth_from_defocus.problem import Pair, ProblemError
from inverse.depth_from_defocus.scores import scores
from inverse.depth_from_defocus.sheet import sheet
from runtime import command
from runtime.command import OptionError, require_counts
from runtime.engines import Processes
from runtime.files import sha256_of, write_whole
from runtime.journal import Journal, Row
from runtime.progress import Progress
from scenes.arrays import Plane
from scenes.color import REFERENCE_GAMMA
from scenes.lens import ThinLens

ROWS_FILE, TABLES_FILE, PICTURES_FOLDER = "rows.jsonl", "tables.md", "pictures"

# Method and loss of every row.
ROWS: dict[str, tuple[str, str]] = {
    "true disparity": ("truth", ""),
    "constant": ("constant", ""),
    "stack alone": ("stack", ""),
    "aperture supervision": ("aperture", "L1+G+H-SSIM"),
    "Gaussian PSF": ("gaussian", "L1+G+H-SSIM"),
    "Dr.Bokeh": ("drbokeh", "L1+G+H-SSIM"),
    "network": ("network", ""),
    "without occlusion": ("drbokeh-no-occlusion", "L1+G+SSIM"),
    "L1+G+SSIM": ("drbokeh", "L1+G+SSIM"),
    "L1+G": ("drbokeh", "L1+G"),
}
# The rows of each table, and what the paper gives for them: RMSE, SSIM and PSNR of the picture on light fields.
TABLES: dict[str, dict[str, tuple[float, float, float] | None]] = {
    "Methods": {
        "true disparity": None,
        "constant": None,
        "stack alone": None,
        "aperture supervision": (0.0133, 0.9774, 37.8396),
        "Gaussian PSF": (0.0132, 0.9767, 37.8391),
        "Dr.Bokeh": (0.0123, 0.9807, 38.4422),
        "network": None,
    },
    "Occlusion": {"without occlusion": (0.0139, 0.9729, 37.4016), "L1+G+SSIM": (0.0136, 0.9740, 37.5888)},
    "Loss": {
        "L1+G": (0.0146, 0.9673, 36.9398),
        "L1+G+SSIM": (0.0136, 0.9740, 37.5888),
        "Dr.Bokeh": (0.0123, 0.9770, 38.4487),
    },
}
# Blur radii in a window differ by so much at least.
_DEPTH_MIN_PX = 4.0

SCORES = ("abs_rel", "depth_rmse", "delta", "rmse", "ssim", "psnr")


@dataclass(frozen=True)
class Options:
    """Fit depth to blurred pictures, and score it against the truth: Dr.Bokeh's tables of depth from defocus.

    Example: python benchmarks/depth_from_defocus.py --data datasets/bokehme-small --out results/depth
    """

    data: tuple[Path, ...]
    """Datasets with disparity, of any kind: billboards, slanted planes, Blender scenes, light fields."""
    out: Path = Path("results/depth-from-defocus")
    """Folder for rows.jsonl, tables.md and pictures/."""
    scenes: int = 24
    """Scenes of each dataset, at most, 1 to 1,000,000."""
    size: int = 128
    """Side of the window that is fitted, pixels, 48 to 4096."""
    radius: float = 12.0
    """The largest blur radius of a picture, pixels, 4 to 64."""
    steps: int = 60
    """Steps of each descent, 1 to 10,000."""
    workers: int = 2
    """Processes, 1 to 1024."""
    pictures: int = 4
    """Scenes of each dataset whose results are drawn, 0 to 1,000,000."""


@dataclass(frozen=True)
class Item:
    """One row to make."""

    data: str
    case: Case
    row: str
    size: int
    steps: int
    picture: Path | None

    @cached_property
    def key(self) -> str:
        """Equal keys mean equal rows."""
        method, _ = ROWS[self.row]
        weights = sha256_of(WEIGHTS) if method == "network" else None
        made = [self.data, self.case.name, self.case.digest(), self.row, asdict(self.settings), weights]
        return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:24]

    @property
    def settings(self) -> FitSettings:
        """How a disparity is fitted, where it is. The stack alone is a fit of no step."""
        method, loss = ROWS[self.row]
        if method == "stack":
            return FitSettings(steps=0)
        return FitSettings(method=method, loss=LOSSES[loss] if loss else Loss(), steps=self.steps)


def main(argv: list[str] | None = None) -> int:
    options = tyro.cli(Options, args=argv)
    return command.exit_code(
        lambda: _run(options), "depth_from_defocus.py", refusals=(DatasetError, ProblemError), path=options.out
    )


def _run(options: Options) -> int:
    require_counts(("--scenes", options.scenes, 1, command.COUNT_MAX), ("--size", options.size, 48, 4096))
    require_counts(("--radius", options.radius, _DEPTH_MIN_PX, 64), ("--steps", options.steps, 1, 10_000))
    require_counts(("--workers", options.workers, 1, command.PROCESSES_MAX), ("--pictures", options.pictures, 0, 10**6))
    names = [root.resolve().name for root in options.data]
    if not names:
        raise OptionError("--data names no dataset")
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise OptionError(f"--data has two folders of the name {repeated}, which their rows and tables go by")
    settings = {"size": options.size, "radius": options.radius, "schema": 2}
    items = list(_items(options))
    with Journal(options.out / ROWS_FILE, settings) as rows:
        waiting = [item for item in items if item.key not in rows]
        with Progress(len(items), "row", done=len(items) - len(waiting)) as progress:
            for key, row in Processes(options.workers).results(_row, waiting):
                rows.append(key, row)
                progress.add()
        text = tables([rows[item.key] for item in items])
    write_whole(options.out / TABLES_FILE, text)
    print(text)
    return command.DONE


def _items(options: Options) -> Iterator[Item]:
    """Every row of every scene, scene by scene: a run that is stopped has whole ones."""
    rows = [row for row, (method, _) in ROWS.items() if method != "network" or WEIGHTS.is_file()]
    if len(rows) < len(ROWS):
        print(f"{WEIGHTS.name}: there are no such weights; the network is left out", file=sys.stderr)
    for root in options.data:
        chosen = _chosen(open_cases(root), options)
        if not chosen:
            raise DatasetError(
                f"{root}: has no picture with a disparity, at least {options.size} px a side, focused on the nearest "
                f"or the farthest, and blurred by {_DEPTH_MIN_PX:g} to {options.radius:g} px"
            )
        for i, case in enumerate(chosen):
            for row in rows:
                picture = None
                if i < options.pictures and row in TABLES["Methods"]:
                    name = f"{root.resolve().name}-{case.name}-{row}".replace("/", "-").replace(" ", "-")
                    picture = options.out / PICTURES_FOLDER / f"{name}.jpg"
                yield Item(root.resolve().name, case, row, options.size, options.steps, picture)


def _chosen(cases: list[Case], options: Options) -> list[Case]:
    """One case of each scene, until there are enough; scenes come in an order that does not depend on their number."""
    by_scene: dict[str, list[Case]] = {}
    for case in cases:
        if case.blur_parameter and case.focus_disparity is not None and case.gamma == REFERENCE_GAMMA:
            by_scene.setdefault(case.scene, []).append(case)
    chosen = []
    for name in sorted(by_scene, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if len(chosen) < options.scenes and (case := _best(by_scene[name], options)) is not None:
            chosen.append(case)
    return chosen


def _best(cases: list[Case], options: Options) -> Case | None:
    disparity = known_disparity(cases[0])
    if min(disparity.shape) < options.size:
        return None
    part = disparity[_window(disparity, options.size)]
    low, high = float(part.min()), float(part.max())
    slack = 0.02 * (high - low)

    def worth(case: Case) -> tuple[bool, float] | None:
        assert case.blur_parameter is not None and case.focus_disparity is not None
        focus = case.focus_disparity
        radius = case.blur_parameter * max(high - focus, focus - low)
        if case.blur_parameter * (high - low) < _DEPTH_MIN_PX or radius > options.radius:
            return None
        return None if low + slack < focus < high - slack else (focus >= high - slack, radius)

    found = [(value, case.name, case) for case in cases if (value := worth(case)) is not None]
    return max(found, key=lambda entry: entry[:2])[2] if found else None


def _window(disparity: Plane, size: int) -> tuple[slice, slice]:
    """Of nine windows that are evenly spread over the picture, that whose disparity varies most."""
    tops, lefts = ([round(i) for i in np.linspace(0, side - size, 3)] for side in disparity.shape)
    windows = [(slice(top, top + size), slice(left, left + size)) for top in tops for left in lefts]
    return max(windows, key=lambda window: float(disparity[window].std()))


def _row(item: Item) -> tuple[str, Row]:
    # Each process is one core's.
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    case, (method, loss) = item.case, ROWS[item.row]
    whole = known_disparity(case)
    window = _window(whole, item.size)
    true = np.ascontiguousarray(whole[window])
    sharp, blurred = (np.ascontiguousarray(picture[window]) for picture in (case.image(), case.truth()))
    lens = ThinLens(case.blur_parameter or 0.0, case.focus_disparity or 0.0)
    low, high = float(true.min()), float(true.max())
    pair = Pair(sharp, blurred, lens, low, max(high, low + 1e-6), case.gamma)
    found = _found(pair, method, item.settings, true)
    border = min(math.ceil(pair.reach_px), item.size // 4)
    inside = (slice(border, -border),) * 2
    inner = replace(pair, sharp=sharp[inside], blurred=blurred[inside])
    numbers = scores(inner, Fit(found.disparity[inside], found.rendered[inside], ()), true[inside])
    if item.picture is not None:
        _draw(item.picture, sheet(pair, found.disparity, found.rendered, true))
    known = {"data": item.data, "scene": case.scene, "image": case.name, "row": item.row, "method": method}
    seen = {"blur_parameter": lens.blur_parameter, "focus_disparity": lens.focus_disparity, "reach_px": pair.reach_px}
    return item.key, {**known, "loss": loss, **seen, **numbers}


def _found(pair: Pair, method: str, settings: FitSettings, true: Plane) -> Fit:
    """By the method of a row. The truth, and the constant that is its mean, are what no method is told."""
    if method == "truth":
        disparity = true
    elif method == "constant":
        disparity = np.full_like(true, true.mean())
    elif method == "network":
        disparity = estimated(pair)
    else:
        return fit(pair, settings)
    return Fit(disparity, rendered_by(pair, disparity), ())


def _draw(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, encode_jpeg(picture))


def tables(rows: list[Row]) -> str:
    """Markdown: for each dataset the three tables, means with 95 % intervals over scenes, the paper's beside them.

    The second column is the difference of the first to that of Dr.Bokeh with all terms, of the occlusion table to that
    with occlusion, paired by scene.
    """
    lines = []
    for data in sorted({row["data"] for row in rows}):
        of_data = [row for row in rows if row["data"] == data]
        scenes = Scenes({row["image"]: row["scene"] for row in of_data})
        for title, wanted in TABLES.items():
            lines += [f"### {data}: {title.lower()}, {len(scenes)} scenes", ""]
            lines += [
                "| | abs rel | more than Dr.Bokeh's | RMSE of disparity | delta < 1.25 | RMSE | SSIM | PSNR | paper |"
            ]
            lines += ["|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
            against = "L1+G+SSIM" if title == "Occlusion" else "Dr.Bokeh"
            for name, paper in wanted.items():
                of_row = [row for row in of_data if row["row"] == name]
                if not of_row:
                    continue
                values = {score: {row["image"]: row[score] for row in of_row} for score in SCORES}
                base = {row["image"]: row["abs_rel"] for row in of_data if row["row"] == against}
                apart = scenes.difference(values["abs_rel"], base) if name != against else None
                cells = [_cell(scenes.mean(values[score])) for score in SCORES]
                published = " / ".join(f"{number:g}" for number in paper) if paper else ""
                cells.insert(1, _cell(apart, sign="+") if apart else "")
                lines.append(f"| {name} | " + " | ".join((*cells, published)) + " |")
            lines.append("")
    return "\n".join(lines)


def _cell(estimate: Estimate, sign: str = "") -> str:
    return estimate.text(2 if abs(estimate.mean) >= 10.0 else 4, sign)


if __name__ == "__main__":
    raise SystemExit(main())
