"""Tables of a benchmark in the layouts of the papers, as Markdown, LaTeX and CSV; from the rows alone.

A mean is over the images that the renderer could render; a standard deviation is that of the population. A PSNR of a
picture that equals its truth is infinite and left out of the mean.
"""

import csv
import io
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.results import Row

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
}
_DIGITS = {"psnr": 2, "seconds": 3, "blur_parameter": 1}
_MORE_IS_BETTER = {"psnr": True, "ssim": True, "ssim_uniform7": True, "zncc": True, "blur_parameter": None}


@dataclass(frozen=True)
class Column:
    """A column under a heading that neighbours may share; `more` is better, less is, or (None) neither."""

    group: str
    name: str
    digits: int
    more: bool | None


@dataclass(frozen=True)
class Cell:
    """A number, with a standard deviation where the layout has one; None where there is nothing to average."""

    value: float | None
    std: float | None = None

    def text(self, digits: int, plus_minus: str) -> str:
        """The number as printed; "-" for none."""
        if self.value is None:
            return "-"
        number = f"{self.value:.{digits}f}"
        return number if self.std is None else f"{number} {plus_minus} {self.std:.{digits}f}"


@dataclass(frozen=True)
class Table:
    """One table.

    key      its file name
    note     what the numbers are, in a sentence or two
    lines    (renderer, a cell for each column)
    """

    key: str
    title: str
    note: str
    columns: tuple[Column, ...]
    lines: tuple[tuple[str, tuple[Cell, ...]], ...]

    def best(self) -> list[set[str]]:
        """Of each column, the printed numbers that are best."""
        best = []
        for i, column in enumerate(self.columns):
            values = [number for _, cells in self.lines if (number := cells[i].value) is not None]
            if column.more is None or not values:
                best.append(set())
            else:
                best.append({f"{max(values) if column.more else min(values):.{column.digits}f}"})
        return best

    def _cells(self, plus_minus: str, bold: Callable[[str], str]) -> Iterator[tuple[str, list[str]]]:
        best = self.best()
        for name, cells in self.lines:
            texts = []
            for cell, column, numbers in zip(cells, self.columns, best, strict=True):
                text = cell.text(column.digits, plus_minus)
                texts.append(bold(text) if text.split(" ")[0] in numbers else text)
            yield name, texts

    def markdown(self) -> str:
        """A GitHub table under a heading."""
        names = [f"{c.group} {c.name}".strip() for c in self.columns]
        lines = [f"### {self.title}", "", self.note, "", f"| renderer | {' | '.join(names)} |"]
        lines.append("|---|" + "---:|" * len(names))
        for name, texts in self._cells("±", lambda text: f"**{text}**"):
            lines.append(f"| {name} | {' | '.join(texts)} |")
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
        for name, texts in self._cells(r"$\pm$", lambda text: rf"\textbf{{{text}}}"):
            lines.append(f"{_tex(name)} & {' & '.join(texts)} " + r"\\")
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """One line per renderer at full precision; a standard deviation has a column of its own."""
        has_std = [any(cells[i].std is not None for _, cells in self.lines) for i in range(len(self.columns))]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        header = ["renderer"]
        for column, std in zip(self.columns, has_std, strict=True):
            name = f"{column.group} {column.name}".strip()
            header += [name, f"{name} std"] if std else [name]
        writer.writerow(header)
        for name, cells in self.lines:
            line: list[Any] = [name]
            for cell, std in zip(cells, has_std, strict=True):
                line += [cell.value, cell.std] if std else [cell.value]
            writer.writerow(line)
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
    rows = [row for row in document["rows"] if "error" not in row]
    names = [renderer["name"] for renderer in document["renderers"]]
    clean = [row for row in rows if row["corruption"] is None]
    region = document["protocol"]["region"]
    metrics = ["rmse", "rmse_s", "ssim", "psnr", "zncc", *(["lpips"] if document["lpips"]["available"] else [])]
    searched = any("searched" in row for row in rows)
    at_true = [
        {**row, **row["at_true_blur_parameter"]} for row in clean if row.get("at_true_blur_parameter") is not None
    ]

    found: dict[str, list[Table]] = {"mean-std": [], "levels": [], "corruptions": [], "best": []}
    which = " at the best blur parameter of each picture and method" if searched else ""
    for part in dict.fromkeys((region, "all")):
        suffix = "" if part == region else f"-{part}"
        title = f"Mean ± standard deviation{which}, {_part(part)}"
        found["mean-std"].append(_mean_std(f"mean-std{suffix}", title, names, clean, metrics, part))
        if at_true:
            title = f"Mean ± standard deviation at the true blur parameter, {_part(part)}"
            found["mean-std"].append(_mean_std(f"mean-std-true{suffix}", title, names, at_true, metrics, part))
    if any(row["level"] is not None for row in clean):
        found["levels"].append(_levels(names, clean))
    if any(row["corruption"] is not None for row in rows):
        found["corruptions"].append(_corruptions(names, rows))
    if document["protocol"]["table"] == "best":
        found["best"].append(_best(names, clean))
    first = document["protocol"]["table"]
    ordered = [*found.pop(first), *(table for group in found.values() for table in group)]
    return [*ordered, *_regions(names, clean, ["psnr", "ssim", *(["lpips"] if "lpips" in metrics else [])])]


def weights_used(document: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for every renderer that was trained: its checkpoints and the first digits of their sha256."""
    for renderer in document["renderers"]:
        if files := renderer.get("weights"):
            named = ", ".join(f"{name} ({sha256[:12]})" for name, sha256 in files.items())
            yield f"{renderer['name']} renders with the weights {named}."
            if seen := renderer.get("seen_in_training"):
                yield f"{renderer['name']} was trained or validated on what {seen} of its {renderer['rows']} rows show."


def _part(region: str) -> str:
    return "whole frame" if region == "all" else region.replace("_", " ")


def _mean_std(
    key: str, title: str, names: Sequence[str], rows: Sequence[Row], metrics: Sequence[str], region: str
) -> Table:
    """The layout of Dr.Bokeh's Table 1."""
    note = f"{_count(rows)}; higher is better for SSIM, PSNR and ZNCC."
    lines = [(name, tuple(_cell(_of(rows, name), metric, region, std=True) for metric in metrics)) for name in names]
    return Table(key, title, note, tuple(_column("", metric, digits=4) for metric in metrics), tuple(lines))


def _levels(names: Sequence[str], rows: Sequence[Row]) -> Table:
    """The layout of BokehMe's Table 1."""
    levels = sorted({row["level"] for row in rows if row["level"] is not None})
    shown = ("psnr", "ssim", "seconds")
    columns = [_column(f"Level {level}", metric) for level in levels for metric in shown]
    lines = []
    for name in names:
        cells = []
        for level in levels:
            of_level = [row for row in _of(rows, name) if row["level"] == level]
            cells += [_cell(of_level, "psnr", "all"), _cell(of_level, "ssim", "all"), _median(of_level, "seconds")]
        lines.append((name, tuple(cells)))
    note = f"Whole frame, mean over the images of a level, {_count(rows)}; median time per image."
    return Table("levels", "Blur levels", note, tuple(columns), tuple(lines))


def _corruptions(names: Sequence[str], rows: Sequence[Row]) -> Table:
    """BokehMe's Fig. 11 in numbers."""
    kinds = list(dict.fromkeys(row["corruption"] for row in rows))
    columns = [_column(kind or "as it is", "psnr") for kind in kinds]
    lines = [
        (name, tuple(_cell([r for r in _of(rows, name) if r["corruption"] == kind], "psnr", "all") for kind in kinds))
        for name in names
    ]
    note = "Whole frame, mean PSNR in dB; the number behind blur, dilate and erode is the level."
    return Table("corruptions", "Imperfect disparity", note, tuple(columns), tuple(lines))


def _best(names: Sequence[str], rows: Sequence[Row]) -> Table:
    """The layout of BokehMe's Table 2."""
    shown = ("psnr", "ssim", "blur_parameter")
    lines = [(name, tuple(_cell(_of(rows, name), metric, "all") for metric in shown)) for name in names]
    note = f"Whole frame, mean over the pictures at the best blur parameter of each, {_count(rows)}."
    return Table("best", "Best blur parameter", note, tuple(_column("", metric) for metric in shown), tuple(lines))


def _regions(names: Sequence[str], rows: Sequence[Row], shown: Sequence[str]) -> list[Table]:
    """Some metrics where renderers differ."""
    regions = list(dict.fromkeys(region for row in rows for region in row["regions"]))
    if not regions:
        return []
    columns = [_column(region.replace("_", " "), metric) for region in regions for metric in shown]
    lines = [
        (name, tuple(_cell(_of(rows, name), metric, region) for region in regions for metric in shown))
        for name in names
    ]
    note = f"Mean over the images that have such a region, {_count(rows)}."
    return [Table("regions", "Regions", note, tuple(columns), tuple(lines))]


def _column(group: str, metric: str, digits: int | None = None) -> Column:
    digits = _DIGITS.get(metric, 4) if digits is None else digits
    return Column(group, _LABELS[metric], digits, _MORE_IS_BETTER.get(metric, False))


def _of(rows: Sequence[Row], renderer: str) -> list[Row]:
    return [row for row in rows if row["renderer"] == renderer]


def _count(rows: Sequence[Row]) -> str:
    images = len({row["image"] for row in rows})
    return f"{images} image" + ("" if images == 1 else "s")


def value(row: Row, metric: str, region: str) -> float | None:
    """A number of a row: of the whole frame at its top level, of a region below."""
    return row.get(metric) if region == "all" else row["regions"].get(region, {}).get(metric)


def _values(rows: Sequence[Row], metric: str, region: str) -> list[float]:
    return [number for row in rows if (number := value(row, metric, region)) is not None]


def _cell(rows: Sequence[Row], metric: str, region: str, *, std: bool = False) -> Cell:
    values = _values(rows, metric, region)
    if not values:
        return Cell(None)
    return Cell(statistics.fmean(values), statistics.pstdev(values) if std else None)


def _median(rows: Sequence[Row], metric: str) -> Cell:
    values = _values(rows, metric, "all")
    return Cell(statistics.median(values) if values else None)


def _tex(text: str) -> str:
    for character, escaped in (("\\", r"\textbackslash{}"), ("_", r"\_"), ("%", r"\%"), ("&", r"\&"), ("#", r"\#")):
        text = text.replace(character, escaped)
    return text.replace("±", r"$\pm$")
