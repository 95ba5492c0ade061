"""Datasets in object stores: scenes that are read through copies, and an index of many small objects.

Below its URL a dataset has the files that it has in a folder, but for the index, which a store cannot append to:

    index/000012-000012.jsonl     the line of scene 12, beside its neighbours, until all of its range are finished
    index/000000-000999.jsonl     the lines of a range of scenes, all of them, from the first to the last in its name

A listing of `index/` thus tells which scenes are finished: a thousand names for a million scenes. No line is read
before its scene is. The ranges are [0, 999], [1000, 1999], ...; `cat index/*.jsonl` is the `index.jsonl` of a folder.
A scene exists once its `info.json` does, which is written last, and no line is written before.
"""

import re
import tempfile
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, overload

from bokehdata.format import INFO_FILE, DatasetError, scene_folder_name
from bokehdata.index import IndexEntry
from runtime.copies import Wanted, copied, download
from runtime.storage import Place, Url, publish

INDEX_FOLDER = "index"

# A finished range of so many scenes has one object in the index.
RANGE_SCENES = 1000

_SHARD_NAME = re.compile(r"(\d{6,})-(\d{6,})\.jsonl")

# Objects of the index, and documents of scenes, that are on their way at a time.
_AT_A_TIME = 16

# Objects of the index whose lines a reader keeps; one has about 3 MB.
_KEPT_SHARDS = 4


class Shard(NamedTuple):
    """An object of the index: that of the scenes from `first` to `last`."""

    first: int
    last: int

    @property
    def name(self) -> str:
        return f"{scene_folder_name(self.first)}-{scene_folder_name(self.last)}.jsonl"

    @property
    def scenes(self) -> range:
        return range(self.first, self.last + 1)


@dataclass(frozen=True)
class StoredScene:
    """A finished scene in a store.

    root    of the dataset
    entry   its line in the index

    The methods raise OSError where the store cannot be read, and where it has other bytes than the index says.
    """

    root: Url
    entry: IndexEntry

    @property
    def name(self) -> str:
        return self.entry.folder

    @property
    def url(self) -> Url:
        return self.root / self.name

    def __str__(self) -> str:
        return str(self.url)

    def folder(self) -> Path:
        """A copy of the scene on this machine, checked against the index. It is there for a minute or more."""
        return copied(self.url, {name: Wanted(of.bytes, of.sha256) for name, of in self.entry.files.items()})


def folder_of(where: Path | StoredScene) -> Place:
    """Where the documents of a scene are read; they are small, and no copy is kept of them."""
    return where if isinstance(where, Path) else where.url


class StoredIndex:
    """The finished scenes of a dataset in a store, in order: their numbers. One listing is all that opening it reads.

    Two objects that name the same scene have the same line for it: a run that was killed may leave both.
    """

    def __init__(self, root: Url):
        self._root = root
        self.shards = _listed(root)
        self._runs = list(_disjoint(self.shards))
        self._ends = list(accumulate(len(run.scenes) for run, _ in self._runs))
        self._kept: dict[Shard, dict[int, IndexEntry]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, number: int) -> int:
        index = range(len(self))[number]
        run = bisect_right(self._ends, index)
        return self._runs[run][0].last + 1 - (self._ends[run] - index)

    def __iter__(self) -> Iterator[int]:
        for run, _ in self._runs:
            yield from run.scenes

    def entry(self, scene_index: int) -> IndexEntry:
        """The line of a finished scene; DatasetError where its object cannot be used."""
        run = bisect_right(self._runs, scene_index, key=lambda run: run[0].first) - 1
        shard = self._runs[run][1]
        with self._lock:
            if shard not in self._kept:
                while len(self._kept) >= _KEPT_SHARDS:
                    del self._kept[next(iter(self._kept))]
                self._kept[shard] = self._read(shard)
            return self._kept[shard][scene_index]

    def entries(self) -> Iterator[IndexEntry]:
        """Every line, in order; objects are read a few at a time."""
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            for begin in range(0, len(self._runs), _AT_A_TIME):
                runs = self._runs[begin : begin + _AT_A_TIME]
                for (run, _), found in zip(runs, pool.map(self._read, (shard for _, shard in runs)), strict=True):
                    yield from (found[scene_index] for scene_index in run.scenes)

    def _read(self, shard: Shard) -> dict[int, IndexEntry]:
        try:
            return read_shard(self._root, shard)
        except FileNotFoundError:
            # A run that goes on has put it into a larger one.
            larger = [s for s in _listed(self._root) if s.first <= shard.first and shard.last <= s.last and s != shard]
            if not larger:
                raise
            return read_shard(self._root, larger[0])


class StoredScenes(Sequence[StoredScene]):
    """The finished scenes of a dataset in a store. The line of one is read when it is asked for."""

    def __init__(self, root: Url):
        self.finished = StoredIndex(root)
        self._root = root

    def __len__(self) -> int:
        return len(self.finished)

    @overload
    def __getitem__(self, index: int) -> StoredScene: ...
    @overload
    def __getitem__(self, index: slice) -> list[StoredScene]: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        return StoredScene(self._root, self.finished.entry(self.finished[index]))


def read_shard(root: Url, shard: Shard) -> dict[int, IndexEntry]:
    """The lines of an object of the index by scene; DatasetError where it has not one for each."""
    url = root / INDEX_FOLDER / shard.name
    try:
        lines = url.read().decode("utf-8").splitlines()
        entries = {entry.scene_index: entry for entry in map(IndexEntry.from_line, lines)}
        if entries.keys() != set(shard.scenes):
            raise ValueError("not a line for each scene")
    except ValueError as error:
        raise DatasetError(f"{url}: is no part of an index ({error}); remove it and run the generator again") from error
    return entries


def write_shard(root: Url, entries: Sequence[IndexEntry]) -> Shard:
    """Write the object of neighbouring scenes, in order."""
    shard = Shard(entries[0].scene_index, entries[-1].scene_index)
    (root / INDEX_FOLDER / shard.name).write("".join(entry.to_line() for entry in entries).encode())
    return shard


def publish_scene(folder: Path, root: Url, entry: IndexEntry) -> None:
    """Send a finished scene to where its dataset lies: all of it, or as if nothing had been sent. Then its line.

    Any process may do it, and do it again: the bytes are the same.
    """
    publish(folder, root / entry.folder, last=INFO_FILE)
    write_shard(root, [entry])


@contextmanager
def as_it_is(root: Url, folder: str) -> Iterator[Path]:
    """A folder, for this block, with every object of a scene as it is now."""
    with tempfile.TemporaryDirectory(prefix="bokehforge-") as aside:
        copy = Path(aside, folder)
        if found := (root / folder).tree():
            download(root / folder, found, copy)
        yield copy


def _listed(root: Url) -> list[Shard]:
    """The objects of the index by their first scene, of equals the largest first."""
    found = [_SHARD_NAME.fullmatch(name) for name in (root / INDEX_FOLDER).names()]
    shards = [Shard(int(match[1]), int(match[2])) for match in found if match]
    return sorted((shard for shard in shards if shard.scenes), key=lambda shard: (shard.first, -shard.last))


def _disjoint(shards: Iterable[Shard]) -> Iterator[tuple[Shard, Shard]]:
    """(scenes that no shard before has, the shard that has them), in order."""
    next_scene = 0
    for shard in shards:
        if shard.last >= next_scene:
            yield Shard(max(shard.first, next_scene), shard.last), shard
            next_scene = shard.last + 1
