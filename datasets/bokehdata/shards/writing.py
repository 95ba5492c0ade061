"""Writing cases into archives of bounded size, shard by shard, so that a kill costs at most the shard in flight.

`shards.jsonl` lists the shards that are finished: their names, sizes, checksums, and which cases are in them. The same
command makes only what is missing or damaged, and what it makes in the end does not depend on how often it was stopped.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from bokehdata.cases import Case, Stored
from bokehdata.documents import json_text
from bokehdata.exports import settle
from bokehdata.format import SCHEMA_VERSION, DatasetError, writing
from bokehdata.shards.packed import document_of, files_of
from runtime.documents import read_text
from runtime.files import remove_unfinished, replacing, sha256_of, write_whole

SHARDS_FILE = "shards.jsonl"

# Tar has a header for every file, and pads files to whole blocks. Parquet takes less.
_BLOCK = 512

Shards = list[dict[str, Any]]


class Shard(AbstractContextManager, Protocol):
    """An archive on its way to a file; leaving the block ends it."""

    def add(self, number: int, document: Mapping[str, Any], files: Mapping[str, Stored]) -> None:
        """One more sample: the number of the case, what it says of itself, and its files by what they hold."""
        ...


class Layout(NamedTuple):
    """A kind of archive.

    name      as `--to` has it
    file      path of the shard of a number, relative to the folder
    shard     begins an archive at a path
    files_of  the files of a case as they are stored
    """

    name: str
    file: Callable[[int], str]
    shard: Callable[[Path], Shard]
    files_of: Callable[[Case], Mapping[str, Stored]] = files_of


def export_shards(
    cases: Sequence[Case],
    out: Path,
    layout: Layout,
    *,
    shard_bytes: int,
    on_case: Callable[[int], None] = lambda count: None,
) -> int:
    """Write the shards that are not there yet; returns their number.

    shard_bytes   a shard holds at most so many bytes, but one sample at least
    on_case       called with the number of cases that are done now
    raises        DatasetError for a folder of another export, and for what cannot be read or written
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    header = {
        "schema": SCHEMA_VERSION,
        "to": layout.name,
        "first": cases[0].digest(),
        "shard_bytes": shard_bytes,
    }
    settle(out, header, what="shards")
    found = {shard["file"]: shard for shard in shards_of(out)}
    shards: Shards = []
    made = done = 0
    while done < len(cases):
        name = layout.file(len(shards))
        shard = found.get(name)
        if shard is None or not _is_finished(out, shard, cases, done):
            shard = _write_shard(out / name, name, cases, done, layout, shard_bytes, on_case)
            made += 1
            _list(out, [*shards, shard, *(other for file, other in found.items() if file > name)])
        else:
            on_case(shard["samples"])
        shards.append(shard)
        done += shard["samples"]
    for name in sorted(found.keys() - {shard["file"] for shard in shards}):
        # Of an export that had more cases: readers would take it for a part of this one.
        with writing(out / name):
            (out / name).unlink(missing_ok=True)
    _list(out, shards)
    return made


def shards_of(folder: Path) -> Shards:
    """The shards that `shards.jsonl` of a folder lists, [] where there is no such file; DatasetError for an odd one."""
    path = folder / SHARDS_FILE
    if not path.is_file():
        return []
    try:
        shards = [json.loads(line) for line in read_text(path).splitlines()]
        if not all(isinstance(shard, dict) and _is_record(shard) for shard in shards):
            raise ValueError("a line is no shard")
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: does not list shards; remove it and export again") from error
    return shards


def _list(folder: Path, shards: Shards) -> None:
    with writing(folder / SHARDS_FILE):
        write_whole(folder / SHARDS_FILE, "".join(json.dumps(shard) + "\n" for shard in shards))


def _is_record(shard: Mapping[str, Any]) -> bool:
    file = shard.get("file")
    counts = (shard.get(key) for key in ("first", "samples", "bytes"))
    return (
        isinstance(file, str)
        and re.fullmatch(r"(data/)?[a-z]+-\d{6,9}\.(tar|parquet)", file) is not None
        and all(type(count) is int and count >= 0 for count in counts)
        and shard["samples"] > 0
        and all(isinstance(shard.get(key), str) for key in ("names", "sha256"))
        and isinstance(shard.get("is_full"), bool)
    )


def _is_finished(out: Path, shard: Mapping[str, Any], cases: Sequence[Case], first: int) -> bool:
    """Whether a shard is there with the bytes that were written, and is the one that these cases make."""
    end = first + shard["samples"]
    if shard["first"] != first or end > len(cases) or (end < len(cases) and not shard["is_full"]):
        return False
    path = out / shard["file"]
    if shard["names"] != _names(cases[first:end]) or not path.is_file() or path.stat().st_size != shard["bytes"]:
        return False
    return sha256_of(path) == shard["sha256"]


def _write_shard(
    path: Path,
    name: str,
    cases: Sequence[Case],
    first: int,
    layout: Layout,
    shard_bytes: int,
    on_case: Callable[[int], None],
) -> dict[str, Any]:
    """The next cases as a shard; what `export.yaml` says of it."""
    size, end = 0, first
    with writing(path):
        path.parent.mkdir(exist_ok=True)
        remove_unfinished(path)
    with writing(path), replacing(path) as aside, layout.shard(aside) as shard:
        for number in range(first, len(cases)):
            files, document = layout.files_of(cases[number]), document_of(cases[number])
            parts = (len(json_text(document).encode()), *(len(stored.data) for stored in files.values()))
            size += sum(2 * _BLOCK + part for part in parts)
            if end > first and size > shard_bytes:
                break
            shard.add(number, document, files)
            end = number + 1
            on_case(1)
    return {
        "file": name,
        "first": first,
        "samples": end - first,
        "is_full": end < len(cases),
        "bytes": path.stat().st_size,
        "names": _names(cases[first:end]),
        "sha256": sha256_of(path),
    }


def _names(cases: Iterable[Case]) -> str:
    return hashlib.sha256("\n".join(case.name for case in cases).encode()).hexdigest()
