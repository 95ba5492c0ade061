"""Scores of deblurrers on disk, a file for each, and the table of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bokehdata.cases import Case
from bokehdata.format import DatasetError
from bokehdata.preview import evenly
from evaluation.intervals import Scenes, Values
from evaluation.lpips import Lpips
from inverse.deblurring.methods import Deblurrer
from inverse.deblurring.pairs import Blurred
from inverse.deblurring.scoring import METRICS, scores
from runtime.backend import Backend
from runtime.documents import DocumentError, is_number, read_json
from runtime.files import write_whole
from runtime.progress import Progress

# By picture: its scores, its scene and the sha256 of its data.
Rows = dict[str, dict[str, Any]]

# The row that others are compared with.
BASE = "identity"


def scored(cases: list[Case], limit: int | None = None) -> list[Case]:
    """The pictures of the part called `test`, where there is one, and of them as many as are asked for."""
    cases = [case for case in cases if case.name.startswith("test/")] or cases
    return cases if limit is None else [cases[i] for i in evenly(len(cases), limit)]


def measured(
    folder: Path, methods: Sequence[Deblurrer], cases: Sequence[Case], lpips: Lpips | None, arch: Backend
) -> tuple[dict[str, Rows], int]:
    """The rows of every method, and how many of them were measured now.

    Each method has FOLDER/NAME.json, which is written again after every picture: what is there of the same data and
    weights is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Rows] = {}
    digests = {case.name: case.digest() for case in cases}
    before = {method.name: _kept(folder, method, digests, lpips is not None) for method in methods}
    total, there = len(methods) * len(cases), sum(map(len, before.values()))
    with Progress(total, "picture", done=there) as progress:
        for method in methods:
            rows = before[method.name]
            missing = [case for case in cases if case.name not in rows]
            deblur = method.ready(arch) if missing else None
            for case in missing:
                assert deblur is not None
                pair = Blurred.of(case)
                of_picture = scores(deblur(pair.blurred), pair.sharp, lpips)
                rows[case.name] = {"scene": case.scene, "data_sha256": digests[case.name], **of_picture}
                document = {"method": method.method, "weights": method.digest(), "pictures": rows}
                write_whole(_file(folder, method), json.dumps(document, indent=1, allow_nan=False) + "\n")
                progress.add()
            found[method.name] = {case.name: rows[case.name] for case in cases}
    return found, total - there


def _file(folder: Path, method: Deblurrer) -> Path:
    return folder / f"{method.name}.json"


def _kept(folder: Path, method: Deblurrer, digests: Mapping[str, str], with_lpips: bool) -> Rows:
    """The rows of an earlier run that still hold; DatasetError for a file of something else."""
    path = _file(folder, method)
    if not path.is_file():
        return {}
    try:
        document = read_json(path)
        if (document["method"], document["weights"]) != (method.method, method.digest()):
            return {}
        return {
            name: row
            for name, row in document["pictures"].items()
            if row["data_sha256"] == digests.get(name)
            and is_number(row["ssim"])
            and (is_number(row["lpips"]) or not with_lpips)
        }
    except (DocumentError, LookupError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: is not a file of scores; choose another --out") from error


def values(rows: Rows, metric: str) -> Values:
    """A metric by picture, where it has one."""
    return {name: row[metric] for name, row in rows.items() if row[metric] is not None}


def table(found: Mapping[str, Rows]) -> str:
    """Markdown: the means over pictures of every method with 95 % intervals over scenes, and its gain over identity."""
    scenes = Scenes({name: row["scene"] for rows in found.values() for name, row in rows.items()})
    lines = ["| | PSNR, dB | SSIM | LPIPS | PSNR over identity, dB |", "|---|---:|---:|---:|---:|"]
    for method, rows in found.items():
        means = [_mean(scenes, values(rows, metric), 2 if metric == "psnr" else 4) for metric in METRICS]
        gain = None
        if method != BASE and BASE in found:
            gain = scenes.difference(values(rows, "psnr"), values(found[BASE], "psnr"))
        lines.append(f"| {method} | {' | '.join(means)} | {'' if gain is None else gain.text(2, sign='+')} |")
    return "\n".join(lines) + "\n"


def _mean(scenes: Scenes, of_method: Values, digits: int) -> str:
    return scenes.mean(of_method).text(digits) if of_method else "-"
