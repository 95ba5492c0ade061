"""Two plots of a benchmark as hand-made SVG: error against blur, error against time. Both axes of the error are log.

A dashed line is the noise of the truth: differences below it cannot be measured.

The colours are variables with defaults, so that the same picture stands alone and in a page with a dark side.
"""

import html
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.results import Row
from evaluation.tables import headline, in_words, value

WIDTH, HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 150, 34, 50
_LABEL_HEIGHT = 15
# Of a letter at 12 px, about.
_LETTER_WIDTH = 7.0

# Okabe and Ito's colours, which people with any colour vision tell apart, without the yellow, which is hard to see on
# white; and seven more for long lists.
_COLOURS = tuple(
    "#0072b2 #d55e00 #009e73 #cc79a7 #56b4e9 #e69f00 #7f6bc4 "
    "#8c6d4f #5b8c2a #888888 #b03a5b #2a8c8c #c0a000 #4d4d8f".split()
)

# Fewer bins where there are few pictures.
_BINS_MAX = 5


@dataclass(frozen=True)
class Series:
    """Points of one renderer, in ascending x; both coordinates > 0."""

    name: str
    points: tuple[tuple[float, float], ...]


def error_versus_blur(document: Mapping[str, Any], region: str | None = None) -> str:
    """RMSE against the largest blur radius of the picture: means over the blur levels, or over bins of equal count.

    region   None for the one that stands for the protocol
    """
    region = region or headline(document)
    rows = [row for row in _good(document) if row["blur_radius_px"] and value(row, "rmse", region) is not None]
    bin_of, bins = _bins(rows)
    series = []
    for name in _names(document):
        points = []
        for index in range(bins):
            inside = [row for row in rows if row["renderer"] == name and bin_of(row) == index]
            if inside:
                points.append(
                    (
                        statistics.fmean(r["blur_radius_px"] for r in inside),
                        statistics.fmean(value(r, "rmse", region) or 0.0 for r in inside),
                    )
                )
        series.append(_series(name, points))
    title, x_name = "Error against blur", "largest blur radius in the picture, px"
    return _plot(title, x_name, f"RMSE, {in_words(region)}", series, noise_floor(document), log_x=False)


def error_versus_time(document: Mapping[str, Any], region: str | None = None) -> str:
    """Mean RMSE of each renderer against its median time; `region` as above."""
    region = region or headline(document)
    series = []
    for name in _names(document):
        of = [row for row in _good(document) if row["renderer"] == name]
        rows = [row for row in of if value(row, "rmse", region) is not None]
        point = (
            statistics.median(row["seconds"] for row in rows) if rows else 0.0,
            _mean_rmse(rows, region) if rows else 0.0,
        )
        series.append(_series(name, [point]))
    title, x_name = "Error against time", "median time per picture, s"
    return _plot(title, x_name, f"RMSE, {in_words(region)}", series, noise_floor(document), log_x=True)


def _mean_rmse(rows: Sequence[Row], region: str) -> float:
    return statistics.fmean(number for row in rows if (number := value(row, "rmse", region)) is not None)


def noise_floor(document: Mapping[str, Any]) -> float | None:
    """Mean noise of the truths, display RMSE: no method can be measured to be better. None where it is not known."""
    noise = {row["image"]: row["noise_rmse"] for row in _good(document)}
    known = [rmse for rmse in noise.values() if rmse]
    return statistics.fmean(known) if known else None


def colour(index: int) -> str:
    """The colour of the renderer of that index in results.json."""
    return _COLOURS[index % len(_COLOURS)]


def _good(document: Mapping[str, Any]) -> list[Row]:
    return [row for row in document["rows"] if "error" not in row and row["corruption"] is None]


def _names(document: Mapping[str, Any]) -> list[str]:
    return [renderer["name"] for renderer in document["renderers"]]


def _series(name: str, points: Sequence[tuple[float, float]]) -> Series:
    return Series(name, tuple(sorted(point for point in points if min(point) > 0.0)))


def _bins(rows: Sequence[Mapping[str, Any]]):
    """(function from a row to its bin, number of bins)."""
    levels = sorted({row["level"] for row in rows if row["level"] is not None})
    if len(levels) > 1:
        return lambda row: levels.index(row["level"]), len(levels)
    radii = sorted({row["image"]: row["blur_radius_px"] for row in rows}.values())
    count = max(1, min(_BINS_MAX, len(radii) // 3))
    edges = [radii[i * len(radii) // count] for i in range(1, count)]
    return lambda row: sum(row["blur_radius_px"] >= edge for edge in edges), count


class _Axis:
    """Numbers to pixels, and where the ticks are."""

    def __init__(self, values: Sequence[float], low_px: float, high_px: float, *, log: bool):
        self._log, self._low_px, self._high_px = log, low_px, high_px
        if log:
            low, high = math.log10(min(values, default=0.1)), math.log10(max(values, default=1.0))
            margin = max(0.08 * (high - low), 0.08)
            self._low, self._high = low - margin, high + margin
            self.ticks = _log_ticks(self._low, self._high)
        else:
            low, high = min(values, default=0.0), max(values, default=1.0)
            margin = 0.06 * (high - low) or 0.1 * high
            # From zero on where that wastes little room.
            self._low, self._high = 0.0 if low < 0.4 * high else low - margin, high + margin
            self.ticks = _linear_ticks(self._low, self._high)

    def __call__(self, value: float) -> float:
        position = (math.log10(value) if self._log else value) - self._low
        return self._low_px + position / (self._high - self._low) * (self._high_px - self._low_px)


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers, at most seven: fewer per power of ten, then fewer powers, the wider the range."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    for digits, step in (
        ((1, 1.5, 2, 2.5, 3, 4, 5, 6, 8), 1),
        ((1, 2, 5), 1),
        ((1, 3), 1),
        ((1,), 1),
        ((1,), 2),
        ((1,), 3),
    ):
        ticks = [digit * 10.0**power for power in powers[::step] for digit in digits]
        ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(ticks) <= 7:
            break
    return ticks


def _linear_ticks(low: float, high: float) -> list[float]:
    """About four to eight multiples of 1, 2 or 5 times a power of ten."""
    span = high - low
    step = 10.0 ** math.floor(math.log10(span))
    step = next(step / divisor for divisor in (1, 2, 5, 10) if span * divisor / step >= 4)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _plot(title: str, x_name: str, y_name: str, series: Sequence[Series], floor: float | None, *, log_x: bool) -> str:
    points = [point for one in series for point in one.points]
    floors = [floor] if floor is not None and points else []
    x = _Axis([p[0] for p in points], _LEFT, WIDTH - _RIGHT, log=log_x)
    y = _Axis([p[1] for p in points] + floors, HEIGHT - _BOTTOM, _TOP, log=True)
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
        "<style>text{font:12px system-ui,'DejaVu Sans',sans-serif;fill:var(--faint,#67666b)}"
        ".t{font-weight:600;font-size:13px;fill:var(--ink,#1d1d20)}.g{stroke:var(--rule,#dcdad3)}</style>",
        f'<text class="t" x="{_LEFT}" y="18">{title}</text>',
    ]
    for tick in x.ticks:
        parts.append(f'<line class="g" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{bottom + 17}" text-anchor="middle">{tick:g}</text>')
    for tick in y.ticks:
        parts.append(f'<line class="g" x1="{_LEFT}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    parts.append(f'<text x="{(_LEFT + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{x_name}</text>')
    middle = (_TOP + bottom) / 2
    parts.append(f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{y_name}</text>')

    for noise in floors:
        at = f'x1="{_LEFT}" x2="{right}" y1="{y(noise):.1f}" y2="{y(noise):.1f}"'
        parts.append(f'<line class="floor" {at} stroke="var(--faint,#67666b)" stroke-dasharray="5 4"/>')
        parts.append(f'<text x="{_LEFT + 6}" y="{y(noise) - 5:.1f}">noise of the truth</text>')
    if not points:
        parts.append(f'<text x="{(_LEFT + right) / 2}" y="{middle}" text-anchor="middle">no numbers</text>')

    for index, one in enumerate(series):
        at = [(x(a), y(b)) for a, b in one.points]
        ink = colour(index)
        if len(at) > 1:
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in at)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{ink}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{ink}"/>' for a, b in at]
    parts += _end_labels(series, x, y) if not log_x else _point_labels(series, x, y)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _end_labels(series: Sequence[Series], x: _Axis, y: _Axis) -> list[str]:
    """Names in one column right of the lines, moved apart downwards, each with a thread to its last point."""
    ends = sorted((y(one.points[-1][1]), x(one.points[-1][0]), i) for i, one in enumerate(series) if one.points)
    left, labels, lowest = WIDTH - _RIGHT + 14, [], float("-inf")
    for at_y, at_x, index in ends:
        lowest = max(at_y, lowest + _LABEL_HEIGHT)
        labels += [_thread(at_x, at_y, left - 3, lowest, index), _label(series[index].name, left, lowest, index)]
    return labels


def _point_labels(series: Sequence[Series], x: _Axis, y: _Axis) -> list[str]:
    """Names beside their points, where they cover neither points nor other names."""
    points = [(x(one.points[0][0]), y(one.points[0][1]), i) for i, one in enumerate(series) if one.points]
    taken = [(a - 5, b - 5, a + 5, b + 5) for a, b, _ in points]
    labels = []
    for at_x, at_y, index in sorted(points, key=lambda point: (point[1], point[0])):
        width = _LETTER_WIDTH * len(series[index].name)
        places = [
            (at_x + side * 9 - (width if side < 0 else 0), at_y + step * _LABEL_HEIGHT * 0.9)
            for step in (0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5, -6, 6)
            for side in (1, -1)
        ]
        boxes = [(a, b - _LABEL_HEIGHT / 2, a + width, b + _LABEL_HEIGHT / 2) for a, b in places]
        free = (i for i, box in enumerate(boxes) if _is_inside(box) and not any(_overlap(box, b) for b in taken))
        chosen = next(free, 0)
        taken.append(boxes[chosen])
        left, middle = places[chosen]
        if abs(middle - at_y) > _LABEL_HEIGHT:
            labels.append(_thread(at_x, at_y, left - 2 if left > at_x else left + width + 2, middle, index))
        labels.append(_label(series[index].name, left, middle, index))
    return labels


def _is_inside(box: tuple[float, float, float, float]) -> bool:
    return box[0] > _LEFT and box[1] > _TOP and box[2] < WIDTH and box[3] < HEIGHT - _BOTTOM


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _thread(x1: float, y1: float, x2: float, y2: float, index: int) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour(index)}" stroke-opacity=".45"/>'


def _label(name: str, left: float, middle: float, index: int) -> str:
    return f'<text x="{left:.1f}" y="{middle + 4:.1f}" style="fill:{colour(index)}">{html.escape(name)}</text>'
