"""How the field measures renderers, as named protocols: which pictures, which disparity, which blur parameter.

Where the blur parameter of a method is searched, the error is that of the region the protocol names, and the search is
a grid, refined by golden section around its best point.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bokehdata.cases import Case
from bokehdata.corruptions import Corruption, every_corruption
from evaluation.scales import SCALES, Scale

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0

TableLayout = Literal["levels", "mean-std", "corruptions", "best", "pairs"]


@dataclass(frozen=True)
class Search:
    """Blur parameters to try for each picture and renderer, the one of smallest RMSE to be kept.

    unit   what the numbers below multiply: "true" the true K; "span" the K that blurs one picture's whole range of
           disparities, largest minus smallest, by a radius of 1 px (K of disparities rescaled to [0, 1])
    grid   ascending
    step   of the lattice on which the best grid point is refined between its neighbours
    """

    unit: Literal["true", "span"]
    grid: tuple[float, ...]
    step: float


@dataclass(frozen=True)
class BenchmarkProtocol:
    """A protocol.

    region        the one whose numbers are the headline, and whose error a search minimises
    level         only pictures of this blur level, the middle one where the data has fewer; None for all
    corruptions   what is done to the disparity, each in turn beside leaving it as it is
    search        None for the true blur parameter
    table         the layout of the paper
    numbers       first number of EBB!'s held-out pairs, and one past the last. Of data whose pictures have no such
                  number, as many scenes at the end. None for all pictures
    scale         at which pictures are given and compared; None for the picture as it is
    """

    name: str
    source: str
    region: str = "border_cropped"
    level: int | None = None
    corruptions: tuple[Corruption, ...] = ()
    search: Search | None = None
    table: TableLayout = "levels"
    numbers: tuple[int, int] | None = None
    scale: Scale | None = None

    @property
    def refocuses(self) -> bool:
        """Whether a lens must be known: a protocol on a scale is for pairs, and for methods that learn from them."""
        return self.scale is None

    def describe(self) -> dict[str, Any]:
        """As plain values, for results.json."""
        plain = asdict(self)
        # Results are older than these keys, and a run that resumes compares descriptions.
        return {key: value for key, value in plain.items() if key not in ("numbers", "scale") or value is not None}


# EBB! has 4694 pairs. Val294 is published; of Val470 its size is, and these numbers make it hold Val294.
_EBB_PAIRS = 4694

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        BenchmarkProtocol("blb", "BokehMe (Peng et al. 2022), Table 1: every blur level at its true blur parameter"),
        BenchmarkProtocol(
            "blb-corrupted",
            "BokehMe, Fig. 11: level 3 with the disparity blurred, dilated and eroded",
            level=3,
            corruptions=every_corruption(),
            table="corruptions",
        ),
        BenchmarkProtocol(
            "drbokeh",
            "Dr.Bokeh (Sheng et al. 2023), Table 1: the best blur parameter of each method, and the true one",
            search=Search("true", grid=(0.25, 0.5, 0.75, 1.0, 1.25, 1.5), step=0.01),
            table="mean-std",
        ),
        BenchmarkProtocol(
            "best-k",
            "BokehMe, Table 2 (EBB400): the blur parameter is unknown, and searched in whole pixels from 1 to 100 by a "
            "grid and a golden section",
            search=Search("span", grid=(1, 2, 4, 7, 11, 16, 23, 31, 41, 53, 67, 83, 100), step=1.0),
            table="best",
        ),
        *(
            BenchmarkProtocol(
                f"val{count}",
                f"{source}: pairs {_EBB_PAIRS - count} to {_EBB_PAIRS - 1} of EBB!, or the last {count} scenes",
                region="all",
                table="pairs",
                numbers=(_EBB_PAIRS - count, _EBB_PAIRS),
                scale=SCALES["ebb-dmshn"],
            )
            for count, source in (
                (294, "DMSHN (Dutta et al. 2021), Table 1"),
                (470, "D2F (Luo et al. 2023), whose numbers are not published"),
            )
        ),
    )
}


@dataclass(frozen=True)
class Task:
    """What one row measures: a case, the corruption of its disparity, and the scale that both are brought to."""

    case: Case
    corruption: Corruption | None = None
    scale: Scale | None = None

    @property
    def name(self) -> str:
        """ "000012/bokeh_00_03", with "+dilate3" behind it where the disparity is corrupted."""
        return self.case.name if self.corruption is None else f"{self.case.name}+{self.corruption}"


def tasks(protocol: BenchmarkProtocol, cases: Sequence[Case], limit: int | None = None) -> list[Task]:
    """The rows of a protocol in order; `limit` keeps at most this many pictures, drawn from a fixed seed.

    The draw is balanced over scenes, blur levels, focuses and gammas (`_balanced`). A smaller limit keeps a part of
    what a larger one keeps.

    ValueError where the data has no disparity, or not the blur parameter that the protocol needs, or no held-out pair.
    """
    if protocol.numbers is not None:
        cases = _held_out(cases, protocol.numbers)
    levels = sorted({case.level for case in cases if case.level is not None})
    if protocol.level is not None and levels:
        level = protocol.level if protocol.level in levels else levels[len(levels) // 2]
        cases = [case for case in cases if case.level == level]
    if limit is not None and limit < len(cases):
        cases = [cases[i] for i in sorted(_balanced(cases)[:limit])]
    if protocol.refocuses:
        cases = [case.focused() for case in cases]
        _require_lenses(protocol, cases)
    return [Task(case, corruption, protocol.scale) for case in cases for corruption in (None, *protocol.corruptions)]


def _held_out(cases: Sequence[Case], numbers: tuple[int, int]) -> list[Case]:
    first, end = numbers
    if any(case.number is not None for case in cases):
        kept = [case for case in cases if case.number is not None and first <= case.number < end]
        if not kept:
            raise ValueError(f"none of its pairs has a number from {first} to {end - 1}, which the protocol is of")
        return kept
    last = set(list(dict.fromkeys(case.scene for case in cases))[first - end :])
    return [case for case in cases if case.scene in last]


def _require_lenses(protocol: BenchmarkProtocol, cases: Sequence[Case]) -> None:
    for case in cases:
        if case.focus_disparity is None:
            raise ValueError(f"{case.name} has no disparity to focus on; val294 and val470 need none")
    if protocol.search is None or protocol.search.unit == "true":
        for case in cases:
            if case.blur_parameter is None:
                raise ValueError(
                    f"the blur parameter of {case.name} is not known; give it, or take the protocol best-k"
                )


def _balanced(cases: Sequence[Case]) -> list[int]:
    """Numbers of the cases in an order of which every beginning is balanced over scenes, levels and focuses.

    All kinds of pictures come once in each pass, and the scenes take turns. A kind is a level and a focus, and where
    several pictures agree in both, such as those of several gammas, the place in the data. Where all scenes have the
    same stack, counts are equal up to one or two: the first 500 of 50 scenes x 5 levels x 10 focuses are 10 of each
    scene, 100 of each level and 50 of each focus. Where scenes lack pictures, those that there are keep this order.
    """
    rng = np.random.default_rng(0)
    seen: Counter[tuple] = Counter()
    keys: list[tuple] = []
    for case in cases:
        alike = (case.scene, case.level, case.focus_index)
        keys.append((*alike, seen[alike]))
        seen[alike] += 1
    digits, sizes = [], []
    for values in zip(*keys, strict=True):
        distinct = list(dict.fromkeys(values))
        number = dict(zip(distinct, rng.permutation(len(distinct)).tolist(), strict=True))
        digits.append([number[value] for value in values])
        sizes.append(len(distinct))
    scenes, *kind_sizes = sizes
    kinds = _interleaved(kind_sizes)
    passes, turns = np.divmod(np.arange(scenes * len(kinds)), len(kinds))
    # Scenes come in turn, one turn back in every round, so that a scene does not keep to one level. From pass to pass
    # each kind goes on to a scene that has not had it.
    period = math.lcm(scenes, len(kinds)) // len(kinds)
    scene = (turns - turns // scenes + passes * len(kinds) + passes // period) % scenes
    order = scene * len(kinds) + kinds[turns]
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return np.argsort(rank[np.ravel_multi_index(digits, sizes)]).tolist()


def _interleaved(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Every combination of digits below `sizes` once, as its number in row-major order.

    All digits count up at once. With two of sizes A and B, combination n is (n, n + n // lcm(A, B)) modulo the sizes:
    after lcm(A, B) steps the same combinations would come again, so the second digit moves on by one.
    """
    order = np.zeros(1, np.int64)
    for size in reversed(sizes):
        n, inner = np.arange(size * len(order)), len(order)
        order = n % size * inner + order[(n + n // math.lcm(size, inner)) % inner]
    return order


def best_on_lattice(
    error: Callable[[float], float], grid: Sequence[float], step: float
) -> tuple[float, dict[float, float]]:
    """The x of smallest error and every (x, error) evaluated: all of the grid, then a golden section around its best.

    error   a function of one variable; may be infinite. Where it has several minima, the one next to the best grid
            point is found
    step    the golden section evaluates multiples of it only, and all of them in its last interval
    """
    errors = {x: error(x) for x in grid}
    best = min(errors, key=errors.__getitem__)
    i = list(grid).index(best)
    low, high = (round(x / step) for x in (grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)]))

    def at(n: int) -> float:
        x = round(n * step, 12)
        if x not in errors:
            errors[x] = error(x)
        return errors[x]

    while high - low > 3:
        inner = round((high - low) * _GOLDEN)
        if at(high - inner) <= at(low + inner):
            high = low + inner
        else:
            low = high - inner
    for n in range(low, high + 1):
        at(n)
    return min(errors, key=errors.__getitem__), errors
