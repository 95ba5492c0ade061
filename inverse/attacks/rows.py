"""The rows of attacks on disk, one line each: a kill at any moment loses at most the line in flight."""

import json
from collections.abc import Iterator
from pathlib import Path

from bokehdata.format import DatasetError
from inverse.attacks.measuring import Row

ROWS_FILE = "rows.jsonl"


class Rows:
    """Rows by their keys, in the order in which they were made.

    raises   DatasetError for a file that is not one of rows
    """

    def __init__(self, folder: Path):
        self.path = folder / ROWS_FILE
        self._rows: dict[str, Row] = {}
        whole = self._read() if self.path.is_file() else 0
        folder.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("r+b" if whole else "wb", buffering=0)
        # A torn last line is dropped.
        self._file.truncate(whole)
        self._file.seek(whole)

    def __enter__(self) -> "Rows":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def __getitem__(self, key: str) -> Row:
        return self._rows[key]

    def append(self, key: str, row: Row) -> None:
        """Add a row; OSError where the disk is full."""
        self._rows[key] = row
        data = json.dumps({"key": key, **row}, allow_nan=False).encode() + b"\n"
        while data:
            data = data[self._file.write(data) :]

    def _read(self) -> int:
        """Take over the rows of an earlier run; returns how many bytes of its file are whole lines."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].splitlines():
            try:
                row = json.loads(line)
                self._rows[row.pop("key")] = row
            except (ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
                raise DatasetError(f"{self.path}: is not a file of rows; choose another --out") from error
        return whole
