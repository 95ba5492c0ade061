"""`index.jsonl`: which scenes of a dataset are finished, and the checksum of every file in them."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from bokehdata.format import INDEX_FILE, is_browser_name, is_scene_folder_name
from runtime.documents import is_number, shown
from runtime.files import sha256_of


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
    for number, line in enumerate((root / INDEX_FILE).read_text("utf-8", errors="replace").splitlines(), start=1):
        try:
            entry = IndexEntry.from_line(line)
        except ValueError as error:
            torn[number] = str(error)
        else:
            entries[entry.folder] = entry
    return {entry.folder: entry for entry in sorted(entries.values(), key=lambda e: e.scene_index)}, torn


def record_of(path: Path) -> FileRecord:
    """Checksum and size of a file as it is now."""
    return FileRecord(sha256_of(path), path.stat().st_size)


def wrong_files(
    root: Path, entries: Iterable[IndexEntry], *, on_scene: Callable[[], None] = lambda: None
) -> dict[str, dict[str, str]]:
    """Files that are not what the index says: {folder: {file: what is wrong with it}}, only folders with such files.

    Reads every byte, on several threads (hashing releases the interpreter lock). `on_scene` is called after each scene.
    """
    wrong = {}
    with ThreadPoolExecutor() as pool:
        for entry in entries:
            folder = root / entry.folder
            complaints = pool.map(_complaint, (folder / name for name in entry.files), entry.files.values())
            if found := {name: what for name, what in zip(entry.files, complaints, strict=True) if what}:
                wrong[entry.folder] = found
            on_scene()
    return wrong


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
