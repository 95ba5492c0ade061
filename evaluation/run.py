"""One run of a benchmark: which rows are wanted, which exist, and the document made of them."""

import hashlib
import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bokehdata.origins import Origins
from evaluation.external import RendererSpec
from evaluation.measuring import Asked, Bench, Made, RowMaker, case_fields
from evaluation.protocols import Task
from evaluation.regions import REGIONS
from evaluation.rendering import BORDER_RULE, MEMORY_RULE, TIME_RULE, Border
from evaluation.results import SCHEMA, machine, software
from evaluation.scoring import METRICS, SPACE
from renderers.base import Cost
from runtime.backend import Backend
from runtime.engines import Engine, Share
from runtime.journal import Journal, Row
from runtime.progress import Progress

# A renderer whose first pictures all fail in the same way is not asked for more.
_SAME_FAILURES_MAX = 5


@dataclass(frozen=True)
class Run:
    """Every wanted task with every renderer.

    log        rows of this and of earlier runs into the same folder
    digests    of the data, by the name of a task
    pictured   names of the tasks whose pictures are kept
    arch       where renderers that use Taichi run
    border     how pictures go on beyond the frame
    errors     file that a renderer's tracebacks are added to
    fresh      measure rows again that are there
    """

    log: Journal
    bench: Bench
    specs: Sequence[RendererSpec]
    wanted: Sequence[Task]
    digests: Mapping[str, str]
    pictured: set[str]
    arch: Backend
    border: Border
    errors: Path
    fresh: bool = False

    @property
    def rows_there(self) -> int:
        """Rows that need not be made again."""
        return len(self.specs) * len(self.wanted) - sum(map(len, self._missing().values()))

    def measure(self, engine: Engine, maker: RowMaker, share: Share) -> None:
        """Make the missing rows, renderer by renderer; failures are rows too, and go to stderr."""
        missing = self._missing()
        given_up: set[str] = set()
        outcomes: dict[str, list[str | None]] = {spec.name: [] for spec in self.specs}

        def wanted() -> Iterator[Asked]:
            for spec in self.specs:
                for task in missing[spec.name]:
                    if spec.name not in given_up:
                        yield Asked(spec, task, task.name in self.pictured)

        def on_loss(asked: Asked) -> None:
            self._tell(f"{asked.spec.name} on {asked.task.name}: its worker died; it is measured again", None)

        with (
            Progress(sum(map(len, missing.values())), "row") as progress,
            closing(engine.results(maker, wanted(), share=share, on_loss=on_loss)) as all_made,
        ):
            for made in all_made:
                name = made.asked.spec.name
                self._add(made, outcomes[name])
                progress.add()
                failed = outcomes[name]
                if len(failed) == _SAME_FAILURES_MAX < len(missing[name]) and len(set(failed)) == 1 and failed[0]:
                    given_up.add(name)
                    left = len(missing[name]) - len(failed)
                    self._tell(f"{name} fails in the same way every time; {left} rows of it are left out", None)

    def _missing(self) -> dict[str, list[Task]]:
        return {spec.name: [task for task in self.wanted if not self._is_there(spec, task)] for spec in self.specs}

    def _add(self, made: Made, outcomes: list[str | None]) -> None:
        """A row enters the log; `outcomes` are the errors of the renderer's rows so far, None for none."""
        spec, task = made.asked.spec, made.asked.task
        row = dict(made.row)
        details = row.pop("details", None)
        described = {
            "renderer": spec.name,
            "target": spec.target,
            "information": made.information,
            "data_sha256": self.digests[task.name],
        }
        weights, cost = self._facts(spec)
        if weights:
            described |= {"weights": weights, "seen_in_training": self._is_seen(spec, task)}
        if cost is not None and "error" not in row:
            described |= {"parameters": cost.parameters, "gmac": _gmac(cost, task, row)}
        self.log.append(self._key(spec, task), {**described, **case_fields(task), **row})
        outcomes.append(row.get("error"))
        if "error" in row:
            is_first = len(outcomes) - outcomes.count(None) == 1
            self._tell(f"{spec.name} failed on {task.name}: {row['error']}", details if is_first else None)

    def _facts(self, spec: RendererSpec) -> tuple[dict[str, str], Cost | None]:
        """Weights and cost of a renderer, once it could be loaded."""
        if spec.name not in self._known:
            self._known[spec.name] = spec.weights(), spec.cost()
        return self._known[spec.name]

    @cached_property
    def _known(self) -> dict[str, tuple[dict[str, str], Cost | None]]:
        return {}

    def _tell(self, failure: str, details: str | None) -> None:
        """A line on stderr, and with its traceback in the file of errors."""
        where = ""
        if details is not None:
            with self.errors.open("a") as file:
                file.write(f"{failure}\n{details}\n")
            where = f" (traceback in {self.errors})"
        print(failure + where, file=sys.stderr)

    def _is_there(self, spec: RendererSpec, task: Task) -> bool:
        """Whether the row exists with all that is wanted now; a row that failed is tried again."""
        if self.fresh:
            return False
        row = self.log.get(self._key(spec, task))
        if row is None or "error" in row:
            return False
        has_lpips = row["lpips"] is not None or self.bench.lpips is None
        return has_lpips and (task.name not in self.pictured or self.bench.has_picture(task, spec.name))

    def warnings(self) -> Iterator[str]:
        """A sentence for each renderer that was trained on what it is measured on, or may have been."""
        for spec in self.specs:
            if not (weights := spec.weights()):
                continue
            files = ", ".join(weights)
            if self._seen[spec.name] is None:
                yield f"{spec.name} may have been trained on these pictures: the record of {files} does not say"
            elif seen := sum(self._is_seen(spec, task) is True for task in self.wanted):
                rows = f"{seen} of the {len(self.wanted)} rows"
                yield f"{spec.name} was trained or validated on what {rows} show ({files})"

    def _is_seen(self, spec: RendererSpec, task: Task) -> bool | None:
        """Whether the weights were trained or validated on what the picture shows; None where they do not say."""
        seen = self._seen[spec.name]
        return None if seen is None else not seen.isdisjoint(task.case.origins)

    @cached_property
    def _seen(self) -> dict[str, Origins | None]:
        return {spec.name: spec.seen() for spec in self.specs}

    def _key(self, spec: RendererSpec, task: Task) -> str:
        """Equal keys mean equal numbers, except for times."""
        made = [
            self._spec_digests[spec.name],
            task.name,
            self.digests[task.name],
            self.bench.repeats,
            self.arch,
            self.border,
        ]
        return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:24]

    @cached_property
    def _spec_digests(self) -> dict[str, str]:
        return {spec.name: spec.digest() for spec in self.specs}

    def _rows(self) -> list[Row]:
        """The rows of all renderers measured on these tasks, in this run or before, by renderer, then by task."""
        chosen = {}
        for row in self.log.rows():
            if self.digests.get(row["image"]) == row["data_sha256"]:
                chosen[row["renderer"], row["image"]] = row
        names = list(dict.fromkeys(renderer for renderer, _ in chosen))
        for spec in self.specs:
            for task in self.wanted:
                # Not a row of another renderer that had the same name.
                chosen[spec.name, task.name] = self.log.get(self._key(spec, task))
        return [row for name in names for task in self.wanted if (row := chosen.get((name, task.name)))]

    def document(self, data: str, lpips_state: Mapping[str, Any]) -> dict[str, Any]:
        """The content of results.json as far as the rows go; `data` is the name of their folder."""
        rows = self._rows()
        names = list(dict.fromkeys(row["renderer"] for row in rows))
        everything = hashlib.sha256("".join(self.digests[task.name] for task in self.wanted).encode()).hexdigest()
        return {
            "schema": SCHEMA,
            "complete": not any(self.log.get(self._key(s, task)) is None for s in self.specs for task in self.wanted),
            "data": {"name": data, "images": len(self.wanted), "sha256": everything},
            "protocol": self.bench.protocol.describe(),
            "metrics": METRICS,
            "regions": REGIONS,
            "rules": {
                "space": SPACE,
                "seconds": TIME_RULE,
                "memory": MEMORY_RULE,
                "border": f"{self.border}: {BORDER_RULE}",
                "repeats": self.bench.repeats,
            },
            "software": software(),
            "machine": {**machine(), "taichi": self.arch},
            "lpips": dict(lpips_state),
            "renderers": [_summary(name, [row for row in rows if row["renderer"] == name]) for name in names],
            "pictures": [task.name for task in self.wanted if task.name in self.pictured],
            "rows": rows,
        }


def _gmac(cost: Cost, task: Task, row: Row) -> float | None:
    """Multiplications for the picture that the method is given, 10^9."""
    given_px = None if task.scale is None else task.scale.given_px
    width, height = given_px or (row["width"], row["height"])
    return None if cost.macs_per_pixel is None else cost.macs_per_pixel * width * height / 1e9


def _summary(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    good = [row for row in rows if "error" not in row]
    return {
        "name": name,
        "target": rows[-1]["target"],
        "information": rows[-1]["information"],
        "weights": rows[-1].get("weights", {}),
        "seen_in_training": _seen_rows(rows),
        "rows": len(rows),
        "failed": len(rows) - len(good),
        "seconds_median": statistics.median(row["seconds"] for row in good) if good else None,
        "peak_memory_bytes": max((row["peak_memory_bytes"] for row in good), default=None),
        "start_memory_bytes": max((row["start_memory_bytes"] for row in good), default=None),
    }


def _seen_rows(rows: Sequence[Row]) -> int | None:
    """How many rows show what the renderer was trained on; None where its weights do not say."""
    seen = [row.get("seen_in_training") for row in rows if "weights" in row]
    return None if None in seen else seen.count(True)
