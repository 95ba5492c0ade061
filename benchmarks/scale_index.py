"""`scale.py index`: what the index of a dataset in an object store costs.

Seconds to open, to resume and to fill a dataset of so many scenes in an object store, and the calls that it
takes. The store is made up: it answers each call after a latency, lists a thousand names a call, and makes the lines
of scenes when they are read. Opening is what a reader does, resuming what `gen` does before its first scene, when a
run was killed with half of the last range made; "a line" is the first scene that is read, and "ms a scene" what the
index costs the process that hands scenes out. "All names" is what listing every object would take at that latency,
by its calls, and "folder" what reading the index.jsonl of a folder takes.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import fsspec
import tyro
from fsspec import AbstractFileSystem

from bokehdata.documents import yaml_text
from bokehdata.format import INDEX_FILE, SCHEMA_VERSION
from bokehdata.index import FileRecord, IndexEntry, read_index
from bokehdata.stored import RANGE_SCENES, Shard, StoredIndex
from bokehdata.stored_writer import dataset_writer
from runtime.command import BAD_INPUT, DONE
from runtime.storage import Url

# As S3 lists them.
_NAMES_A_CALL = 1000

_HEADER = {"recipe": "simulated", "seed": 0}


@dataclass(frozen=True)
class Index:
    """Seconds that the index of a dataset takes, by scenes.

    Example: python benchmarks/scale.py index --scenes 1000,1000000
    """

    scenes: str = "1000,10000,100000,1000000"
    """Scenes of the datasets, separated by commas; multiples of 1000."""
    files: int = 21
    """Files of a scene; default scenes have 21."""
    latency: float = 0.03
    """Seconds that the store takes to answer a call; 0.03 is usual for S3 from its own region."""
    folder_max: int = 100_000
    """Also read the index.jsonl of a folder, up to so many scenes."""
    json: Path | None = None
    """File for the rows."""


def main(argv: list[str]) -> int:
    return _index(tyro.cli(Index, args=argv, prog="scale.py index"))


class SimulatedStore(AbstractFileSystem):
    """The index of a dataset of `scenes` scenes, and of half a range more, line by line. What is written is dropped."""

    protocol = "simulated"
    cachable = False
    scenes, files, latency = 0, 0, 0.0
    calls = 0

    @classmethod
    def begin(cls) -> None:
        cls.calls = 0

    def _answer(self, calls: int = 1) -> None:
        SimulatedStore.calls += calls
        time.sleep(calls * self.latency)

    def ls(self, path: str, detail: bool = False, **options: Any) -> list[str]:
        shards = [Shard(first, first + RANGE_SCENES - 1) for first in range(0, self.scenes, RANGE_SCENES)]
        shards += [Shard(i, i) for i in range(self.scenes, self.scenes + RANGE_SCENES // 2)]
        self._answer(-(-len(shards) // _NAMES_A_CALL))
        return [f"{path}/{shard.name}" for shard in shards]

    def cat_file(self, path: str, *arguments: Any, **options: Any) -> bytes:
        self._answer()
        name = path.rpartition("/")[2]
        if name == "dataset.yaml":
            return yaml_text({"schema": SCHEMA_VERSION, **_HEADER}).encode()
        first, last = (int(number) for number in name.removesuffix(".jsonl").split("-"))
        return "".join(_entry(i, self.files).to_line() for i in range(first, last + 1)).encode()

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        self._answer()
        return {"name": path, "type": "file"}

    def pipe_file(self, path: str, value: bytes, *arguments: Any, **options: Any) -> None:
        self._answer()

    def rm(self, path: list[str], *arguments: Any, **options: Any) -> None:
        self._answer(-(-len(path) // _NAMES_A_CALL))


def _index(options: Index) -> int:
    fsspec.register_implementation("simulated", SimulatedStore, clobber=True)
    counts = [int(text) for text in options.scenes.split(",")]
    if any(count < RANGE_SCENES or count % RANGE_SCENES for count in counts):
        print(f"error: --scenes is {options.scenes}; each must be a multiple of {RANGE_SCENES}", file=sys.stderr)
        return BAD_INPUT
    rows = []
    print("| scenes | opens, s | calls | resumes, s | calls | a line, s | ms a scene | all names, s | folder, s |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    for scenes in counts:
        SimulatedStore.scenes, SimulatedStore.files, SimulatedStore.latency = scenes, options.files, options.latency
        row = {"scenes": scenes, **_measured(scenes, options)}
        rows.append(row)
        folder = row["folder_s"]
        print(
            f"| {scenes} | {row['open_s']:.2f} | {row['open_calls']} | {row['resume_s']:.2f} | {row['resume_calls']} | "
            f"{row['line_s']:.2f} | {row['fill_ms']:.2f} | {row['names_s']:.0f} | "
            f"{'' if folder is None else f'{folder:.1f}'} |",
            flush=True,
        )
    if options.json is not None:
        options.json.write_text(json.dumps({"latency_s": options.latency, "files": options.files, "rows": rows}))
    return DONE


def _measured(scenes: int, options: Index) -> dict[str, Any]:
    """One row; `names_s` is what a listing of every object would take, by its calls."""
    url = Url("simulated://bucket/dataset")
    open_s, index = _timed(lambda: StoredIndex(url))
    open_calls = SimulatedStore.calls
    line_s, _ = _timed(lambda: index.entry(scenes // 2))

    def resumed() -> Any:
        writer = dataset_writer(url, _HEADER)
        finished = writer.finished(range(scenes + RANGE_SCENES))
        assert len(finished) == scenes + RANGE_SCENES // 2
        return writer

    resume_s, writer = _timed(resumed)
    resume_calls = SimulatedStore.calls
    entries = [_entry(i, options.files) for i in range(scenes + RANGE_SCENES // 2, scenes + RANGE_SCENES)]

    def filled() -> None:
        # What the process does that hands the scenes out: workers write the lines one by one.
        for entry in entries:
            writer.add(entry)

    fill_s, _ = _timed(filled)
    return {
        "open_s": open_s,
        "open_calls": open_calls,
        "line_s": line_s,
        "resume_s": resume_s,
        "resume_calls": resume_calls,
        "fill_ms": 1000.0 * fill_s / len(entries),
        "names_s": scenes * options.files / _NAMES_A_CALL * options.latency,
        "folder_s": _folder_s(scenes, options.files) if scenes <= options.folder_max else None,
    }


def _folder_s(scenes: int, files: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        with (Path(folder) / INDEX_FILE).open("w") as index:
            index.writelines(_entry(i, files).to_line() for i in range(scenes))
        return _timed(lambda: read_index(Path(folder)))[0]


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    SimulatedStore.begin()
    begin = time.perf_counter()
    with redirect_stderr(StringIO()):
        result = call()
    return time.perf_counter() - begin, result


def _entry(scene_index: int, files: int) -> IndexEntry:
    records = {f"bokeh_{i:02d}_00.exr": FileRecord(f"{scene_index * files + i:064x}", 400_000) for i in range(files)}
    return IndexEntry(f"{scene_index:06d}", records, files, 0.002)
