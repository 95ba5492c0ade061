"""Tables of a benchmark in the layouts of the papers, as Markdown, LaTeX and CSV; from the rows alone.

A mean is over the images that the renderer could render, and has a 95 % interval over scenes (`evaluation.intervals`).
A standard deviation is that of the population. A PSNR of a picture that equals its truth is infinite and left out of
the mean. Renderers are compared with those that are given the same information, and with no others. Where the noise of
the truths is known, a last line says what it would leave to a perfect method.
"""

import csv
import io
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evaluation.intervals import Estimate, Scenes, ranking
from evaluation.results import Row
from runtime.command import counted

_LABELS = {
    "rmse": "RMSE",
    "rmse_s": "RMSE-s",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "ssim_uniform7": "SSIM 7x7",
    "zncc": "ZNCC",
    "lpips": "LPIPS",
    "seconds": "Time (s)",
    "blur_parameter": "K",
    "parameters": "Parameters",
    "gmac": "GMAC",
}
_DIGITS = {"psnr": 2, "seconds": 3, "blur_parameter": 1, "parameters": 0, "gmac": 1}
# What a method costs: a median, without an interval or a best.
_COSTS = ("seconds", "parameters", "gmac")
_MORE_IS_BETTER = {"psnr": True, "ssim": True, "ssim_uniform7": True, "zncc": True, "blur_parameter": None}

_FLOOR = "noise of the truth"

# What the renderers of a class are given, in words. The order is that of the tables.
GIVEN = {
    "picture": "given the picture alone",
    "disparity": "given picture and disparity",
    "layers": "given the true layers as well",
    "truth": "given the scene: traced like the truth, with other lens points",
}


@dataclass(frozen=True)
class Column:
    """A column under a heading that neighbours may share; `more` is better, less is, or (None) neither."""

    group: str
    name: str
    digits: int
    more: bool | None = None
    signed: bool = False


@dataclass(frozen=True)
class Cell:
    """A number, None where there is nothing to average.

    std         standard deviation, where the layout has one
    low, high   ends of the 95 % interval of a mean, where there are at least two scenes
    is_best     the best of its class and column, or not significantly worse than the best; of a difference: significant
    """

    value: float | None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    is_best: bool = False

    def text(self, column: Column, plus_minus: str) -> str:
        """The numbers as printed; "-" for none."""
        if self.value is None:
            return "-"
        form = f"{'+' if column.signed else ''},.{column.digits}f"
        text = f"{self.value:{form}}"
        if self.std is not None:
            text += f" {plus_minus} {self.std:.{column.digits}f}"
        if self.low is not None:
            text += f" [{self.low:{form}}, {self.high:{form}}]"
        return text


@dataclass(frozen=True)
class Line:
    """What a table says of one renderer."""

    name: str
    information: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """One table.

    key      its file name
    note     what the numbers are, in a sentence or two
    lines    by class of information, then in the order of the benchmark
    floor    what the noise of the truths alone comes to, None where the table has no such number
    """

    key: str
    title: str
    note: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    floor: Line | None = None

    def _classes(self) -> Iterator[tuple[str, list[Line]]]:
        """Lines by what their renderers are given; one without a name where no class is known."""
        for information in dict.fromkeys(line.information for line in self.lines):
            yield GIVEN.get(information, ""), [line for line in self.lines if line.information == information]

    def _texts(self, line: Line, plus_minus: str, bold: Callable[[str], str]) -> list[str]:
        texts = []
        for cell, column in zip(line.cells, self.columns, strict=True):
            text = cell.text(column, plus_minus)
            texts.append(bold(text) if cell.is_best else text)
        return texts

    def markdown(self) -> str:
        """A GitHub table under a heading."""
        names = [f"{c.group} {c.name}".strip() for c in self.columns]
        lines = [f"### {self.title}", "", self.note, "", f"| renderer | {' | '.join(names)} |"]
        lines.append("|---|" + "---:|" * len(names))
        for given, members in self._classes():
            if given:
                lines.append(f"| *{given}* |" + " |" * len(names))
            for line in members:
                lines.append(f"| {line.name} | {' | '.join(self._texts(line, '±', lambda t: f'**{t}**'))} |")
        if self.floor is not None:
            lines.append(f"| *{self.floor.name}* | {' | '.join(self._texts(self.floor, '±', str))} |")
        return "\n".join(lines) + "\n"

    def latex(self) -> str:
        """A `table` with booktabs rules; neighbouring columns of one group share a heading."""
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{_tex(self.title)}. {_tex(self.note)}}}"]
        lines += [rf"\begin{{tabular}}{{l{'r' * len(self.columns)}}}", r"\toprule"]
        groups = self._groups()
        if any(group for group, _, _ in groups):
            heads = [rf"\multicolumn{{{end - begin}}}{{c}}{{{_tex(group)}}}" for group, begin, end in groups]
            rules = [rf"\cmidrule(lr){{{begin + 2}-{end + 1}}}" for _, begin, end in groups]
            lines += [" & " + " & ".join(heads) + r" \\", " ".join(rules)]
        lines += ["Method & " + " & ".join(_tex(c.name) for c in self.columns) + r" \\", r"\midrule"]
        for given, members in self._classes():
            if given:
                lines.append(rf"\multicolumn{{{1 + len(self.columns)}}}{{l}}{{\emph{{{_tex(given)}}}}} \\")
            for line in members:
                texts = self._texts(line, r"$\pm$", lambda text: rf"\textbf{{{text}}}")
                lines.append(f"{_tex(line.name)} & {' & '.join(texts)} " + r"\\")
        if self.floor is not None:
            texts = self._texts(self.floor, r"$\pm$", str)
            lines += [r"\midrule", rf"\emph{{{_tex(self.floor.name)}}} & {' & '.join(texts)} " + r"\\"]
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """One line per renderer at full precision; standard deviation and interval have columns of their own."""
        every = [*self.lines, *([] if self.floor is None else [self.floor])]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        header = ["renderer", "given"]
        parts = ("", "std", "low", "high")
        cells_of = list(zip(*(line.cells for line in every), strict=True))
        kept = [[part for part in parts if not part or any(_part(c, part) is not None for c in of)] for of in cells_of]
        for column, names in zip(self.columns, kept, strict=True):
            header += [f"{column.group} {column.name} {part}".strip() for part in names]
        writer.writerow(header)
        for line in every:
            row: list[Any] = [line.name, line.information]
            for cell, names in zip(line.cells, kept, strict=True):
                row += [_part(cell, part) for part in names]
            writer.writerow(row)
        return out.getvalue()

    def _groups(self) -> list[tuple[str, int, int]]:
        """(heading, first column, one past the last) of neighbours that share a heading."""
        groups: list[tuple[str, int, int]] = []
        for i, column in enumerate(self.columns):
            if groups and groups[-1][0] == column.group:
                groups[-1] = (column.group, groups[-1][1], i + 1)
            else:
                groups.append((column.group, i, i + 1))
        return groups


def tables(document: Mapping[str, Any]) -> list[Table]:
    """Every table that a benchmark has numbers for, the one of its protocol first."""
    everything = _Measured.of(document)
    clean = everything.where(lambda row: row["corruption"] is None)
    region = clean.headline
    metrics = ["rmse", "rmse_s", "ssim", "psnr", "zncc", *(["lpips"] if document["lpips"]["available"] else [])]
    searched = any("searched" in row for row in clean.rows)
    at_true = [
        {**row, **row["at_true_blur_parameter"]} for row in clean.rows if row.get("at_true_blur_parameter") is not None
    ]

    found: dict[str, list[Table]] = {"mean-std": [], "levels": [], "corruptions": [], "best": [], "pairs": []}
    which = " at the best blur parameter of each picture and method" if searched else ""
    for part in dict.fromkeys((region, "all")):
        suffix = "" if part == region else f"-{part}"
        title = f"Mean ± standard deviation{which}, {in_words(part)}"
        found["mean-std"].append(_mean_std(f"mean-std{suffix}", title, clean, metrics, part))
        if at_true:
            title = f"Mean ± standard deviation at the true blur parameter, {in_words(part)}"
            true = replace(clean, rows=tuple(at_true))
            found["mean-std"].append(_mean_std(f"mean-std-true{suffix}", title, true, metrics, part))
    if any(row["level"] is not None for row in clean.rows):
        found["levels"].append(_levels(clean))
    if any(row["corruption"] is not None for row in everything.rows):
        found["corruptions"].append(_corruptions(everything))
    if document["protocol"]["table"] == "best":
        found["best"].append(_best(clean))
    if document["protocol"]["table"] == "pairs":
        found["pairs"].append(_pairs(clean, document["protocol"]["scale"], document["lpips"]["available"]))
    first = document["protocol"]["table"]
    ordered = [*found.pop(first), *_differences(clean), *(table for group in found.values() for table in group)]
    return [*ordered, *_regions(clean, ["psnr", "ssim", *(["lpips"] if "lpips" in metrics else [])])]


def rankings(document: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for every class of information: its renderers by PSNR, and which neighbours differ significantly."""
    clean = _Measured.of(document).where(lambda row: row["corruption"] is None)
    for information, names in clean.classes():
        values = {name: found for name in names if (found := clean.values(name, "psnr", clean.headline))}
        if len(values) > 1:
            line = ranking(values, clean.scenes, more_is_better=True)
            given = f", {GIVEN[information]}" if information in GIVEN else ""
            yield (
                f"By PSNR, {in_words(clean.headline)}{given}: {line} "
                "(> where the 95 % interval of the difference over scenes excludes 0, else =)."
            )


def weights_used(document: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for every renderer that was trained: its checkpoints and the first digits of their sha256."""
    for renderer in document["renderers"]:
        if files := renderer.get("weights"):
            named = ", ".join(f"{name} ({sha256[:12]})" for name, sha256 in files.items())
            yield f"{renderer['name']} renders with the weights {named}."
            if seen := renderer.get("seen_in_training"):
                yield f"{renderer['name']} was trained or validated on what {seen} of its {renderer['rows']} rows show."


def headline(document: Mapping[str, Any]) -> str:
    """The region whose numbers stand for a protocol: "all" where the blur parameter is unknown, and so are regions."""
    region = document["protocol"]["region"]
    return region if any(region in row["regions"] for row in document["rows"] if "error" not in row) else "all"


def in_words(region: str) -> str:
    return "whole frame" if region == "all" else region.replace("_", " ")


def _part(cell: Cell, name: str) -> float | None:
    """A number of a cell by the name of its column in CSV."""
    return {"": cell.value, "std": cell.std, "low": cell.low, "high": cell.high}[name]


@dataclass(frozen=True)
class _Measured:
    """The rows of a benchmark that a table is of.

    information   of every renderer, in the order of the results; "" where it is not known
    headline      the region whose numbers stand for all
    """

    rows: tuple[Row, ...]
    information: Mapping[str, str]
    headline: str
    scenes: Scenes

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "_Measured":
        rows = tuple(row for row in document["rows"] if "error" not in row)
        information = {renderer["name"]: renderer.get("information", "") for renderer in document["renderers"]}
        return cls(rows, information, headline(document), Scenes({row["image"]: row["scene"] for row in rows}))

    def where(self, chosen: Callable[[Row], bool]) -> "_Measured":
        return replace(self, rows=tuple(row for row in self.rows if chosen(row)))

    def classes(self) -> Iterator[tuple[str, list[str]]]:
        """(information, names of its renderers) in the order of GIVEN."""
        for information in ("", *GIVEN):
            if names := [name for name, given in self.information.items() if given == information]:
                yield information, names

    def values(self, name: str, metric: str, region: str) -> dict[str, float]:
        """The numbers of a renderer by image."""
        return {
            row["image"]: number
            for row in self.rows
            if row["renderer"] == name and (number := value(row, metric, region)) is not None
        }

    def count(self) -> str:
        """How many images of how many scenes the numbers are of."""
        images, scenes = ({row[key] for row in self.rows} for key in ("image", "scene"))
        return f"{counted(len(images), 'image')} of {counted(len(scenes), 'scene')}"

    def table(self, key: str, title: str, note: str, measures: Sequence["_Measure"]) -> Table:
        """A table with a cell of every measure for every renderer."""
        lines = []
        for information, names in self.classes():
            columns = [measure.cells(self, names) for measure in measures]
            for name in names:
                lines.append(Line(name, information, tuple(column[name] for column in columns)))
        note = (
            f"{note} {self.count()}; in brackets 95 % intervals over scenes. "
            "Bold: the best of its class, and what is not significantly worse."
        )
        floor = Line(_FLOOR, "", tuple(measure.floor(self) for measure in measures))
        is_known = any(cell.value is not None for cell in floor.cells)
        columns = tuple(measure.column for measure in measures)
        return Table(key, title, note, columns, tuple(lines), floor if is_known else None)


@dataclass(frozen=True)
class _Measure:
    """What a column is of: a metric in a region, of the rows that `chosen` takes; with a standard deviation or not."""

    column: Column
    metric: str
    region: str = "all"
    chosen: Callable[[Row], bool] = lambda row: True
    std: bool = False

    def cells(self, measured: _Measured, names: Sequence[str]) -> dict[str, Cell]:
        """The cells of the renderers of one class."""
        part = measured.where(self.chosen)
        values = {name: part.values(name, self.metric, self.region) for name in names}
        cells = {name: self._cell(of, part.scenes) for name, of in values.items()}
        known = {name: cell.value for name, cell in cells.items() if cell.value is not None and cell.low is not None}
        if self.column.more is None or len(known) < 2:
            return cells
        best = (max if self.column.more else min)(known, key=lambda name: known[name])
        for name in known:
            difference = part.scenes.difference(values[name], values[best])
            if name == best or (difference is not None and not difference.is_significant):
                cells[name] = replace(cells[name], is_best=True)
        return cells

    def floor(self, measured: _Measured) -> Cell:
        """What the noise of the truths comes to in this measure; it is known of whole pictures."""
        score = {"rmse": float, "psnr": lambda rmse: -20.0 * math.log10(rmse)}.get(self.metric)
        if score is None or self.region not in ("all", measured.headline):
            return Cell(None)
        rows = measured.where(self.chosen).rows
        noise = {row["image"]: score(row["noise_rmse"]) for row in rows if row["noise_rmse"]}
        return self._cell(noise, measured.scenes)

    def _cell(self, values: Mapping[str, float], scenes: Scenes) -> Cell:
        if not values:
            return Cell(None)
        if self.metric in _COSTS:
            return Cell(statistics.median(values.values()))
        std = statistics.pstdev(values.values()) if self.std else None
        return _of_estimate(scenes.mean(values), std)


def _of_estimate(estimate: Estimate, std: float | None = None, *, is_best: bool = False) -> Cell:
    low, high = (None if math.isnan(end) else end for end in (estimate.low, estimate.high))
    return Cell(estimate.mean, std, low, high, is_best)


def _of_difference(difference: Estimate | None) -> Cell:
    return Cell(None) if difference is None else _of_estimate(difference, is_best=difference.is_significant)


def _mean_std(key: str, title: str, measured: _Measured, metrics: Sequence[str], region: str) -> Table:
    """The layout of Dr.Bokeh's Table 1."""
    measures = [_Measure(_column("", metric, digits=4), metric, region, std=True) for metric in metrics]
    return measured.table(key, title, "Higher is better for SSIM, PSNR and ZNCC.", measures)


def _levels(measured: _Measured) -> Table:
    """The layout of BokehMe's Table 1."""
    measures = []
    for level in sorted({row["level"] for row in measured.rows if row["level"] is not None}):
        of_level = _at_level(level)
        measures += [
            _Measure(_column(f"Level {level}", "psnr"), "psnr", measured.headline, of_level),
            _Measure(_column(f"Level {level}", "ssim"), "ssim", measured.headline, of_level),
            _Measure(_column(f"Level {level}", "seconds"), "seconds", "all", of_level),
        ]
    region = in_words(measured.headline)
    note = f"Mean over the images of a level, {region}; median time per image."
    return measured.table("levels", "Blur levels", note, measures)


def _at_level(level: int) -> Callable[[Row], bool]:
    return lambda row: row["level"] == level


def _corruptions(measured: _Measured) -> Table:
    """BokehMe's Fig. 11 in numbers."""
    kinds = list(dict.fromkeys(row["corruption"] for row in measured.rows))
    measures = [
        _Measure(_column(kind or "as it is", "psnr"), "psnr", measured.headline, _with_corruption(kind))
        for kind in kinds
    ]
    region = in_words(measured.headline)
    note = f"Mean PSNR in dB, {region}; the number behind blur, dilate and erode is the level."
    return measured.table("corruptions", "Imperfect disparity", note, measures)


def _with_corruption(kind: str | None) -> Callable[[Row], bool]:
    return lambda row: row["corruption"] == kind


def _best(measured: _Measured) -> Table:
    """The layout of BokehMe's Table 2."""
    shown = (("psnr", measured.headline), ("ssim", measured.headline), ("blur_parameter", "all"))
    measures = [_Measure(_column("", metric), metric, region) for metric, region in shown]
    note = f"Mean over the pictures at the best blur parameter of each, {in_words(measured.headline)}."
    return measured.table("best", "Best blur parameter", note, measures)


def _pairs(measured: _Measured, scale: Mapping[str, Any], lpips: bool) -> Table:
    """The layout of the Val294 tables."""
    metrics = ["psnr", scale["ssim"], *(["lpips"] if lpips else []), *_COSTS]
    note = (
        f"Scale {scale['name']}: {scale['rule']}. Mean over the pictures, whole frame; median time per image. GMAC are "
        "the multiplications of convolutions and matrix products for a picture."
    )
    return measured.table("pairs", "Pairs", note, [_Measure(_column("", metric), metric) for metric in metrics])


def _differences(measured: _Measured) -> Iterator[Table]:
    """Every pairwise difference in PSNR, class by class."""
    for information, names in measured.classes():
        values = {name: found for name in names if (found := measured.values(name, "psnr", measured.headline))}
        if len(values) < 2:
            continue
        lines = []
        for name, of_line in values.items():
            cells = []
            for other, of_column in values.items():
                cells.append(_of_difference(None if other == name else measured.scenes.difference(of_line, of_column)))
            lines.append(Line(name, information, tuple(cells)))
        columns = tuple(Column("", f"- {name}", 2, signed=True) for name in values)
        key = f"differences-{information}" if information else "differences"
        note = (
            f"PSNR of the line minus that of the column in dB, {in_words(measured.headline)}, {measured.count()}; in "
            "brackets 95 % intervals over scenes. Bold: the interval excludes 0."
        )
        yield Table(key, "Differences in PSNR", note, columns, tuple(lines))


def against(document: Mapping[str, Any], reference: str) -> Table:
    """How far the renderers that are given the same are from one of them, at every blur level and near boundaries.

    raises   KeyError where the benchmark has no renderer of that name
    """
    measured = _Measured.of(document).where(lambda row: row["corruption"] is None)
    information = measured.information[reference]
    others = [name for name, given in measured.information.items() if given == information and name != reference]
    levels = sorted({row["level"] for row in measured.rows if row["level"] is not None})
    parts: list[tuple[str, _Measured, str]] = [("all", measured, measured.headline)]
    if len(levels) > 1:
        parts += [(f"Level {level}", measured.where(_at_level(level)), measured.headline) for level in levels]
    if any("boundaries" in row["regions"] for row in measured.rows):
        parts.append(("near boundaries", measured, "boundaries"))
    metrics = ["psnr", *(["lpips"] if document["lpips"]["available"] else [])]
    columns = [replace(_column(group, metric), more=None, signed=True) for group, _, _ in parts for metric in metrics]
    lines = []
    for name in others:
        differences = [
            part.scenes.difference(part.values(name, metric, region), part.values(reference, metric, region))
            for _, part, region in parts
            for metric in metrics
        ]
        lines.append(Line(name, information, tuple(map(_of_difference, differences))))
    note = (
        f"Each minus {reference}, {in_words(measured.headline)} unless said, {measured.count()}; in brackets 95 % "
        "intervals over scenes. Bold: the interval excludes 0."
    )
    return Table(f"against-{reference}", f"Differences from {reference}", note, tuple(columns), tuple(lines))


def _regions(measured: _Measured, shown: Sequence[str]) -> list[Table]:
    """Some metrics where renderers differ."""
    regions = list(dict.fromkeys(region for row in measured.rows for region in row["regions"]))
    if not regions:
        return []
    measures = [
        _Measure(_column(region.replace("_", " "), metric), metric, region) for region in regions for metric in shown
    ]
    return [measured.table("regions", "Regions", "Mean over the images that have such a region.", measures)]


def _column(group: str, metric: str, digits: int | None = None) -> Column:
    digits = _DIGITS.get(metric, 4) if digits is None else digits
    return Column(group, _LABELS[metric], digits, None if metric in _COSTS else _MORE_IS_BETTER.get(metric, False))


def value(row: Row, metric: str, region: str) -> float | None:
    """A number of a row: of the whole frame at its top level, of a region below."""
    return row.get(metric) if region == "all" else row["regions"].get(region, {}).get(metric)


def _tex(text: str) -> str:
    for character, escaped in (("\\", r"\textbackslash{}"), ("_", r"\_"), ("%", r"\%"), ("&", r"\&"), ("#", r"\#")):
        text = text.replace(character, escaped)
    return text.replace("±", r"$\pm$")
