"""`index.jsonl`: which scenes of a dataset are finished, and the checksum of every file in them."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from bokehdata.format import INDEX_FILE, is_browser_name, is_scene_folder_name, writing
from runtime.documents import is_number, shown
from runtime.files import replacing, sha256_of, sync


@dataclass(frozen=True)
class FileRecord:
    """Checksum and size that a file must have."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class IndexEntry:
    """One finished scene.

    folder           name of its folder, "000012"
    files            record of every file by its path relative to the folder, sorted
    images           number of rendered pictures; the all-in-focus picture counts where its noise is known
    noise_rmse_max   largest display RMSE among them; None where it is not known
    """

    folder: str
    files: dict[str, FileRecord]
    images: int
    noise_rmse_max: float | None

    def __post_init__(self):
        if not (isinstance(self.folder, str) and is_scene_folder_name(self.folder)):
            raise ValueError(f"folder is {shown(self.folder)}")
        if not (self.noise_rmse_max is None or is_number(self.noise_rmse_max)):
            raise ValueError(f"noise_rmse_max is {shown(self.noise_rmse_max)}")
        for name, record in self.files.items():
            # Not what leads out of the folder, nor what the system takes for the end of a name.
            if name.startswith("/") or ".." in name.split("/") or "\0" in name:
                raise ValueError(f"the file {shown(name)} is none of a scene")
            if not (isinstance(record.sha256, str) and isinstance(record.bytes, int)):
                raise ValueError(f"the record of {shown(name)} is no checksum and size")

    @property
    def scene_index(self) -> int:
        return int(self.folder)

    def to_line(self) -> str:
        return json.dumps(asdict(self), allow_nan=False) + "\n"

    @classmethod
    def from_line(cls, line: str) -> "IndexEntry":
        """The entry of a line; ValueError where the line is torn or not an entry."""
        try:
            values = json.loads(line)
            files = {name: FileRecord(**record) for name, record in values.pop("files").items()}
            return cls(files=files, **values)
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(str(error)) from error


def read_index(root: Path) -> tuple[dict[str, IndexEntry], dict[int, str]]:
    """(the entries by folder, sorted by scene; what is wrong with each line that is not an entry, by its number).

    A line is torn when a run was killed while writing it: its scene counts as unfinished. If a folder has several
    lines, the last one counts.
    """
    entries, torn = {}, {}
    for number, (_, entry) in enumerate(_lines(root / INDEX_FILE), start=1):
        if isinstance(entry, ValueError):
            torn[number] = str(entry)
        else:
            entries[entry.folder] = entry
    return {entry.folder: entry for entry in sorted(entries.values(), key=lambda e: e.scene_index)}, torn


class IndexFile:
    """`index.jsonl` of a folder, while one process adds scenes to it.

    Of each scene it remembers where its line is and its noise, 0.2 kB, and no checksum: a run of a million scenes
    takes no more memory for those that it has made.
    """

    def __init__(self, root: Path):
        """Opens the index, or makes an empty one. A scene whose folder is gone, or was renamed, is left out."""
        self._path = root / INDEX_FILE
        self._path.touch()
        # Position and noise of the line of each scene.
        self._lines: dict[int, tuple[int, float]] = {}
        for position, entry in _lines(self._path):
            if isinstance(entry, IndexEntry) and (root / entry.folder).is_dir():
                self._lines[entry.scene_index] = position, entry.noise_rmse_max or 0.0
        # Without torn lines, so that the next line does not continue one.
        self._rewrite()
        self._file = self._path.open("ab")

    def __contains__(self, scene_index: int) -> bool:
        return scene_index in self._lines

    def __iter__(self) -> Iterator[int]:
        return iter(self._lines)

    def __getitem__(self, scene_index: int) -> IndexEntry:
        with self._path.open("rb") as file:
            file.seek(self._lines[scene_index][0])
            return IndexEntry.from_line(file.readline().decode())

    def __delitem__(self, scene_index: int) -> None:
        del self._lines[scene_index]

    @property
    def noise_rmse_max(self) -> float:
        """Largest estimated noise of any picture, display RMSE; 0 where there is none."""
        return max((noise for _, noise in self._lines.values()), default=0.0)

    def add(self, entry: IndexEntry) -> None:
        """The line of the scene is on disk when this returns."""
        # First of all: where the disk is full now, closing may find it with room.
        self._lines[entry.scene_index] = self._file.tell(), entry.noise_rmse_max or 0.0
        with writing(self._path):
            self._file.write(entry.to_line().encode())
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Sort the lines by scene."""
        with writing(self._path):
            self._file.close()
        self._rewrite()

    def _rewrite(self) -> None:
        lines = {}
        with writing(self._path):
            with replacing(self._path) as aside:
                with self._path.open("rb") as old, aside.open("wb") as new:
                    for scene_index, (position, noise) in sorted(self._lines.items()):
                        lines[scene_index] = new.tell(), noise
                        old.seek(position)
                        new.write(old.readline().rstrip(b"\r\n") + b"\n")
                sync(aside)
            sync(self._path.parent)
        self._lines = lines


def _lines(path: Path) -> Iterator[tuple[int, IndexEntry | ValueError]]:
    """Position of every line in the file, and its entry or what is wrong with it."""
    position = 0
    with path.open("rb") as file:
        for line in file:
            try:
                yield position, IndexEntry.from_line(line.decode(errors="replace"))
            except ValueError as error:
                yield position, error
            position += len(line)


def record_of(path: Path) -> FileRecord:
    """Checksum and size of a file as it is now."""
    return FileRecord(sha256_of(path), path.stat().st_size)


def wrong_files(folder: Path, entry: IndexEntry) -> dict[str, str]:
    """Files of a scene that are not what the index says: {file: what is wrong with it}.

    Reads every byte, on several threads (hashing releases the interpreter lock).
    """
    with ThreadPoolExecutor() as pool:
        complaints = pool.map(_complaint, (folder / name for name in entry.files), entry.files.values())
        return {name: what for name, what in zip(entry.files, complaints, strict=True) if what}


def unlisted_files(folder: Path, entry: IndexEntry) -> list[str]:
    """Files in the folder of a scene that the index does not have, sorted; not those that file browsers leave."""
    present = {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and not is_browser_name(file.name)
    }
    return sorted(present - entry.files.keys())


def _complaint(path: Path, expected: FileRecord) -> str | None:
    if not path.is_file():
        return "is missing"
    # The size first: it tells a truncated file without reading it.
    if (size := path.stat().st_size) != expected.bytes:
        return f"has {size} bytes, the index says {expected.bytes}"
    if record_of(path) != expected:
        return "does not have the checksum in the index"
    return None
