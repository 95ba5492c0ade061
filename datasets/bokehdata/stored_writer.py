"""Adding scenes to a dataset in an object store: what `bokehdata.writer.DatasetWriter` does in a folder."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import yaml

from bokehdata.documents import read_yaml, yaml_text
from bokehdata.format import DATASET_FILE, SCHEMA_VERSION, DatasetError, is_browser_name
from bokehdata.index import IndexEntry, wrong_files
from bokehdata.stored import INDEX_FOLDER, RANGE_SCENES, Shard, StoredIndex, as_it_is, read_shard, write_shard
from bokehdata.writer import DatasetWriter, is_as_written, require_same_header
from runtime.storage import Place, Url, remove

# Objects that are on their way at a time.
_AT_A_TIME = 8


def dataset_writer(root: Place, header: Mapping[str, Any], *, recheck: bool = False) -> "DatasetWriter | StoredWriter":
    """The writer of a dataset, wherever it lies. A folder is always checked; `recheck` is for stores."""
    return StoredWriter(root, header, recheck=recheck) if isinstance(root, Url) else DatasetWriter(root, header)


class StoredWriter:
    """The one process that adds scenes to a dataset in a store. Its methods are those of `DatasetWriter`.

    recheck   `finished` reads every finished scene again, as it does in a folder; else it believes the index

    A store has no locks. Two runs of one dataset at a time do work twice, and end with the same bytes. A scene is safe
    once `SceneWriter` has sent it; this process gathers the lines of the index. OSError where the store fails.
    """

    def __init__(self, root: Url, header: Mapping[str, Any], *, recheck: bool = False):
        self._root, self._recheck = root, recheck
        index = StoredIndex(root)
        _settle_header(root, header, len(index) > 0)
        # By the number of their range.
        self._shards: dict[int, set[Shard]] = {}
        self._entries: dict[int, dict[int, IndexEntry]] = {}
        for shard in index.shards:
            self._shards.setdefault(_range_of(shard.first), set()).add(shard)
        self._whole = {n for n, shards in self._shards.items() if _range(n) in shards}
        self._load(self._shards.keys() - self._whole)
        self.noise_rmse_max = max(
            (entry.noise_rmse_max or 0.0 for entries in self._entries.values() for entry in entries.values()),
            default=0.0,
        )

    def __enter__(self) -> "StoredWriter":
        return self

    def __exit__(self, exception_type: type[BaseException] | None, *exception: object) -> None:
        # Where the store fails, it would fail again: the lines are there one by one.
        if not (exception_type and issubclass(exception_type, OSError)):
            self.close()

    def indexed(self, wanted: Iterable[int]) -> set[int]:
        """Those of the wanted scenes that are in the index."""
        return {i for i in wanted if _range_of(i) in self._whole or i in self._entries.get(_range_of(i), {})}

    def finished(self, wanted: Iterable[int], *, on_scene: Callable[[], None] = lambda: None) -> set[int]:
        """Those of the wanted scenes that are in the index; where they are checked, those that are also as it says."""
        indexed = self.indexed(wanted)
        if not self._recheck:
            return indexed
        damaged: dict[int, set[int]] = {}
        for number in sorted({_range_of(i) for i in indexed}):
            self._load({number} & self._whole)
            for scene_index in sorted(self._entries[number].keys() & indexed):
                if not self._is_whole(self._entries[number][scene_index]):
                    damaged.setdefault(number, set()).add(scene_index)
                on_scene()
            if number not in damaged:
                self._let_go(number)
        for number, scenes in damaged.items():
            self._whole.discard(number)
            for scene_index in scenes:
                del self._entries[number][scene_index]
            self._gather(number)
        return self.indexed(indexed)

    def strangers(self, wanted: Iterable[int]) -> list[str]:
        """None: nobody lists a whole store to find them; `bokehforge verify` does."""
        return []

    def add(self, entry: IndexEntry) -> None:
        """Count a scene as finished. The last one of its range puts the range into one object."""
        number = _range_of(entry.scene_index)
        self._entries.setdefault(number, {})[entry.scene_index] = entry
        self._shards.setdefault(number, set()).add(Shard(entry.scene_index, entry.scene_index))
        self.noise_rmse_max = max(self.noise_rmse_max, entry.noise_rmse_max or 0.0)
        if len(self._entries[number]) == RANGE_SCENES:
            self._gather(number)

    def close(self) -> None:
        """Gather the lines of ranges that are not finished."""
        for number in sorted(self._entries):
            self._gather(number)

    def _load(self, numbers: Iterable[int]) -> None:
        """Read the lines of some ranges."""
        wanted = [(number, shard) for number in numbers for shard in sorted(self._shards[number])]
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            read = pool.map(lambda shard: _lines(self._root, shard), (shard for _, shard in wanted))
            for (number, _), found in zip(wanted, read, strict=True):
                self._entries.setdefault(number, {}).update(found)

    def _gather(self, number: int) -> None:
        """Write the lines of a range as few objects: one for neighbours. Then those go whose lines are in them."""
        entries, before = self._entries[number], self._shards.get(number, set())
        after = {Shard(run[0].scene_index, run[-1].scene_index): run for run in _runs(entries)}
        for shard, run in after.items():
            if shard not in before:
                write_shard(self._root, run)
        remove(self._root / INDEX_FOLDER / shard.name for shard in sorted(before - after.keys()))
        self._shards[number] = set(after)
        if len(entries) == RANGE_SCENES:
            self._whole.add(number)
            self._let_go(number)

    def _let_go(self, number: int) -> None:
        """Forget the lines of a range that is whole; there may be thousands of them."""
        if number in self._whole:
            self._entries.pop(number, None)

    def _is_whole(self, entry: IndexEntry) -> bool:
        with as_it_is(self._root, entry.folder) as folder:
            return not wrong_files(folder, entry) and is_as_written(folder, entry)


def _range_of(scene_index: int) -> int:
    return scene_index // RANGE_SCENES


def _range(number: int) -> Shard:
    return Shard(number * RANGE_SCENES, (number + 1) * RANGE_SCENES - 1)


def _runs(entries: Mapping[int, IndexEntry]) -> Iterator[list[IndexEntry]]:
    """The entries of neighbouring scenes together, in order."""
    run: list[IndexEntry] = []
    for scene_index in sorted(entries):
        if run and run[-1].scene_index != scene_index - 1:
            yield run
            run = []
        run.append(entries[scene_index])
    if run:
        yield run


def _lines(root: Url, shard: Shard) -> dict[int, IndexEntry]:
    try:
        return read_shard(root, shard)
    except FileNotFoundError:
        # A listing may lag behind, and name what has gone into a larger one.
        return {}


def _settle_header(root: Url, header: Mapping[str, Any], has_scenes: bool) -> None:
    """As `bokehdata.writer` does in a folder: write dataset.yaml, or check that it is the one of this run."""
    text, url = yaml_text({"schema": SCHEMA_VERSION, **header}), root / DATASET_FILE
    if url.is_file():
        try:
            found = read_yaml(url)
        except DatasetError as error:
            raise DatasetError(f"{error}; choose another --out") from error
        if "schema" not in found or has_scenes:
            require_same_header(root, found, yaml.safe_load(text))
            return
    elif strangers := [name for name in root.names() if not is_browser_name(name)]:
        raise DatasetError(f"{root}: holds {strangers[0]} and is not a dataset; choose an empty or new --out")
    url.write(text.encode())
