"""Tables of README.md and docs/results.md from the rows beside them, docs/results/*.jsonl.gz, as Markdown.

    python docs/tables.py                  every table
    python docs/tables.py blender readme   some

PSNR in dB, border cropped unless a column says otherwise; in brackets 95 % intervals over scenes. Columns that the rows
do not hold, such as the figures of papers, follow by hand at the end of a line. A test holds the pages to these lines.
"""

import gzip
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from blender_scripts.scene_names import SCENE_NAMES
from evaluation.intervals import Scenes, ranking
from evaluation.tables import GIVEN, value

_ROWS = Path(__file__).parent / "results"

_CROPPED, _BOUNDARIES, _WHOLE = "border_cropped", "boundaries", "all"
_DIGITS = {"psnr": 2, "seconds": 1}
_WORDS = {
    "truth": "the scene",
    "layers": "true layers too",
    "disparity": "picture, disparity",
    "picture": "picture",
}
assert _WORDS.keys() == GIVEN.keys()


class Rows:
    """The rows of a file. A renderer has one for every picture, and with every corruption one more."""

    def __init__(self, name: str):
        with gzip.open(_ROWS / f"{name}.jsonl.gz", "rt") as lines:
            _, *rows = map(json.loads, lines)
        self._of: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            self._of[row["renderer"]].append(row)
        self.scenes = Scenes({row["image"]: row["scene"] for row in rows})

    @property
    def renderers(self) -> list[str]:
        """From the highest mean PSNR to the lowest."""
        return sorted(self._of, key=lambda name: -statistics.fmean(self.values(name, "psnr").values()))

    def information(self, renderer: str) -> str:
        return self._of[renderer][0]["information"]

    def values(
        self,
        renderer: str,
        metric: str,
        region: str = _CROPPED,
        level: int | None = None,
        scene: str | None = None,
        corruption: str | None = None,
        *,
        at_true_k: bool = False,
    ) -> dict[str, float]:
        """By picture."""
        found = {}
        for row in self._of[renderer]:
            if row["corruption"] == corruption and level in (None, row["level"]) and scene in (None, row["scene"]):
                number = value(row["at_true_blur_parameter"] if at_true_k else row, metric, region)
                if number is not None:
                    found[row["image"]] = number
        return found

    def noise(self, **which: Any) -> dict[str, float]:
        """PSNR that the noise of the truth leaves to a perfect method, by picture; `which` as of `values`."""
        renderer, rows = next(iter(self._of.items()))
        chosen = self.values(renderer, "psnr", **which)
        return {row["image"]: -20.0 * math.log10(row["noise_rmse"]) for row in rows if row["image"] in chosen}


@dataclass(frozen=True)
class Column:
    """What a table says of a renderer.

    noise   what it says of the noise of the truth
    """

    title: str
    text: Callable[[Rows, str], str]
    noise: Callable[[Rows], str] = lambda rows: ""


@dataclass(frozen=True)
class Table:
    """A table of a page.

    rows        name of the file
    first       titles of the first columns: what a renderer is given, where there are two, and its name
    labels      of renderers, in place of their names; only these are there, and in this order
    has_noise   whether the last line is of the noise of the truth
    is_ordered  whether the page has the order of methods
    """

    page: str
    rows: str
    first: Sequence[str]
    columns: Sequence[Column]
    labels: Mapping[str, str] = field(default_factory=dict)
    has_noise: bool = False
    is_ordered: bool = True

    def lines(self) -> Iterator[str]:
        """Without those of the head."""
        rows = _read(self.rows)
        for renderer in self.labels or rows.renderers:
            label = self.labels.get(renderer, f"`{renderer}`")
            first = [_WORDS[rows.information(renderer)], label] if len(self.first) == 2 else [label]
            yield _line(*first, *(column.text(rows, renderer) for column in self.columns))
        if self.has_noise:
            yield _line("", "*noise of the truth*", *(column.noise(rows) for column in self.columns))

    def order(self) -> str:
        """What is given picture and disparity, by PSNR: > where the difference of neighbours is significant, else =."""
        rows = _read(self.rows)
        given = [name for name in rows.renderers if rows.information(name) == "disparity"]
        values = {f"`{name}`": rows.values(name, "psnr") for name in given}
        return ranking(values, rows.scenes, more_is_better=True)

    def head(self) -> Iterator[str]:
        yield _line(*self.first, *(column.title for column in self.columns))
        yield "|" + "---|" * len(self.first) + "---:|" * len(self.columns)


@cache
def _read(name: str) -> Rows:
    return Rows(name)


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def mean(title: str, metric: str = "psnr", region: str = _CROPPED, *, interval: bool = False, **which: Any) -> Column:
    """The mean over pictures."""
    digits = _DIGITS.get(metric, 4)

    def text(rows: Rows, renderer: str) -> str:
        estimate = rows.scenes.mean(rows.values(renderer, metric, region, **which))
        return estimate.text(digits) if interval else f"{estimate.mean:.{digits}f}"

    def noise(rows: Rows) -> str:
        if metric != "psnr" or region != _CROPPED:
            return ""
        estimate = rows.scenes.mean(rows.noise(**which))
        return estimate.text(digits) if interval else f"{estimate.mean:.{digits}f}"

    return Column(title, text, noise)


def minus(title: str, reference: str, region: str = _CROPPED, *, sign: str = "", **which: Any) -> Column:
    """PSNR, less that of another renderer on the same pictures; nothing of that itself."""

    def text(rows: Rows, renderer: str) -> str:
        if renderer == reference:
            return ""
        of, its = (rows.values(name, "psnr", region, **which) for name in (renderer, reference))
        difference = rows.scenes.difference(of, its)
        return "" if difference is None else difference.text(2, sign)

    return Column(title, text)


def _levels(radii_px: Sequence[int]) -> list[Column]:
    return [mean(f"{radius} px", level=i + 1) for i, radius in enumerate(radii_px)]


_QUALITY = (mean("SSIM", "ssim"), mean("LPIPS", "lpips"))
_EDGES = (mean("near boundaries: PSNR", region=_BOUNDARIES), mean("LPIPS", "lpips", _BOUNDARIES))
_BLUR = _levels((10, 20, 30, 40, 50))

# Columns after PSNR of the protocol of Dr.Bokeh.
_ALIKE = (mean("SSIM", "ssim", interval=True), mean("ZNCC", "zncc"), mean("LPIPS", "lpips", interval=True))
_RMSE = (mean("RMSE", "rmse", interval=True), mean("RMSE at the true K", "rmse", at_true_k=True))

_TOLD = {
    "layers-over": "all layers | `layers-over`",
    "true-all": "all answers | `true-all`",
    "perfect-mattes": "mattes and colours | `perfect-mattes`",
    "true-seen": "answers on what is seen | `true-seen`",
    "reveal": "disparity | `reveal`",
    "reveal0": "disparity | `reveal0`",
    "true-mattes": "answers on mattes | `true-mattes`",
    "hard-edges": "edges | `hard-edges`",
    "bokehme": "disparity | `bokehme`",
}

_TRAINED = {
    "everything": "everything",
    "alpha": "`alpha`: mattes alone",
    "mattes": "`mattes`: and colours in front",
    "unmixing": "`unmixing`: and colours that are seen behind",
    "no-choice": "`no-choice`: all colours, and mattes of the near surface alone",
    "no-hidden-colour": "`no-hidden-colour`",
    "no-projection": "`no-projection`: the last one, with hidden colours",
    "no-edge-hints": "`no-edge-hints`: what the disparity alone gives is not shown",
    "no-corruption": "`no-corruption`: every disparity is exact",
    "no-render-loss": "`no-render-loss`: no pictures through a lens",
    "everything-1000": "everything, 1000 steps",
    "alpha-3000": "`alpha`, 3000 steps: the weights that ship",
}

_CORRUPTIONS = [mean("exact")] + [
    mean(f"{word} {i}" if i == 1 else f"{i}", corruption=f"{kind}{i}")
    for kind, word in (("blur", "blurred"), ("dilate", "dilated"), ("erode", "eroded"))
    for i in range(1, 6)
]


def _light_fields(rows: str, radii_px: Sequence[int]) -> Table:
    columns = (
        *_levels(radii_px),
        mean("PSNR", interval=True),
        minus("minus `scatter`", "scatter", sign="+"),
        *_QUALITY,
        *_EDGES,
    )
    return Table("docs/results.md", rows, ("given", "renderer"), columns, has_noise=True)


TABLES = {
    "readme": Table(
        "README.md",
        "drbokeh",
        ("given", "renderer"),
        (mean("PSNR", interval=True), mean("RMSE", "rmse"), *_QUALITY),
    ),
    "drbokeh": Table(
        "docs/results.md",
        "drbokeh",
        ("given", "renderer"),
        (*_RMSE, mean("RMSE, whole frame", "rmse", _WHOLE), mean("PSNR", interval=True), *_ALIKE),
    ),
    "drbokeh-real": Table(
        "docs/results.md", "drbokeh-real", ("given", "renderer"), (*_RMSE, mean("PSNR", interval=True), *_ALIKE)
    ),
    "true-k": Table(
        "docs/results.md",
        "drbokeh-real-true-k",
        ("given picture and disparity",),
        (_RMSE[0], mean("PSNR", interval=True), *_ALIKE),
    ),
    "blender": _light_fields("blb-mini", (5, 10, 15, 20, 25)),
    "blender-scenes": Table(
        "docs/results.md",
        "blb-mini",
        ("given", "renderer"),
        (
            *(mean(f"`{name}`", scene=f"{i:06d}") for i, name in enumerate(SCENE_NAMES)),
            minus("minus `bokehme`", "bokehme", sign="+"),
        ),
        labels={name: f"`{name}`" for name in ("reveal", "reveal0", "bokehme", "drbokeh-rgbd", "scatter")},
        has_noise=True,
        is_ordered=False,
    ),
    "blender-denoised": _light_fields("blender-denoised", (2, 4, 6, 8, 10)),
    "blur-levels": Table(
        "docs/results.md",
        "blb-levels",
        ("given", "renderer"),
        (*_BLUR, mean("all levels: PSNR", interval=True), *_QUALITY, *_EDGES, mean("whole frame: PSNR", region=_WHOLE)),
    ),
    "over-bokehme": Table(
        "docs/results.md",
        "blb-levels",
        ("minus `bokehme`",),
        (
            *(minus(f"{10 * level} px", "bokehme", level=level) for level in range(1, 6)),
            minus("all", "bokehme"),
            minus("near boundaries", "bokehme", _BOUNDARIES),
        ),
        labels={name: f"`{name}`, PSNR" for name in ("reveal", "reveal0", "layers-over-rgbd")},
        is_ordered=False,
    ),
    "over-scatter": Table(
        "docs/results.md",
        "blb-levels",
        ("largest radius",),
        (*(minus(f"{10 * level} px", "scatter", level=level) for level in range(1, 6)), minus("all", "scatter")),
        labels={"bokehme": "PSNR, dB"},
        is_ordered=False,
    ),
    "oracles": Table(
        "docs/results.md",
        "reveal-oracles",
        ("told | renderer",),
        (
            *_BLUR,
            mean("PSNR", interval=True),
            minus("minus `reveal0`", "reveal0"),
            mean("near boundaries", region=_BOUNDARIES),
        ),
        labels=_TOLD,
        is_ordered=False,
    ),
    "trained": Table(
        "docs/results.md",
        "reveal-ablation",
        ("trained",),
        (
            minus("minus `reveal0`", "reveal0"),
            minus("near boundaries", "reveal0", _BOUNDARIES),
            minus("minus everything", "everything"),
        ),
        labels=_TRAINED,
        is_ordered=False,
    ),
    "corrupted": Table("docs/results.md", "blb-corrupted", ("",), _CORRUPTIONS, is_ordered=False),
    "controlled": Table(
        "docs/results.md",
        "blb-levels-controlled",
        ("given picture and disparity",),
        (*_BLUR, mean("PSNR", interval=True), *_QUALITY, *_EDGES),
    ),
}


def main(names: Sequence[str]) -> int:
    """Print the tables of these names, or all."""
    if unknown := [name for name in names if name not in TABLES]:
        print(f"error: {unknown[0]} is no table; there are {', '.join(TABLES)}", file=sys.stderr)
        return 2
    for name in names or TABLES:
        print(f"{name}, of {TABLES[name].page}:\n")
        print("\n".join((*TABLES[name].head(), *TABLES[name].lines())), end="\n\n")
        if TABLES[name].is_ordered:
            print(f"By PSNR, given picture and disparity: {TABLES[name].order()}", end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
