"""Rows of long work as JSON lines: a kill at any moment loses at most the line in flight."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from runtime.documents import DocumentError

Row = dict[str, Any]


class Journal:
    """Rows by key, the newest last. The first line of the file is a header: what all rows have in common.

    path      its folder is made; a torn last line is dropped
    header    plain values
    is_row    whether a value read is a row of this work; by default every object is

    A context manager. raises DocumentError for a file with another header, for one that holds anything else, and where
    the disk takes no more; OSError where the file cannot be opened.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], is_row: Callable[[Row], bool] = lambda row: True):
        self._path, self._is_row = path, is_row
        self._rows: dict[str, Row] = {}
        whole = self._read(header) if path.is_file() else 0
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not buffered: what a full disk refuses would be tried again when the file is closed.
        self._file = path.open("r+b" if whole else "wb", buffering=0)
        try:
            self._file.truncate(whole)
            self._file.seek(whole)
            if not whole:
                self._write(header)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __getitem__(self, key: str) -> Row:
        return self._rows[key]

    def get(self, key: str) -> Row | None:
        return self._rows.get(key)

    def rows(self) -> Iterator[Row]:
        """All rows, the oldest first."""
        yield from self._rows.values()

    def append(self, key: str, row: Row) -> None:
        """Add the row of a key, in place of an earlier one."""
        self._keep(key, row)
        self._write({"key": key, **row})

    def _keep(self, key: str, row: Row) -> None:
        self._rows.pop(key, None)
        self._rows[key] = row

    def _write(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line, allow_nan=False).encode() + b"\n"
        try:
            # Of a disk that is nearly full, a part is taken; the next try says why.
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise DocumentError(
                f"{self._path}: cannot be written ({error.strerror}); fix that and run again"
            ) from error

    def _read(self, header: Mapping[str, Any]) -> int:
        """Take over the rows of an earlier run; returns how many bytes of its file are whole lines."""
        data = self._path.read_bytes()
        whole = data.rfind(b"\n") + 1
        try:
            found, *rows = (json.loads(line) for line in data[:whole].splitlines() or [b"{}"])
            if whole and found != json.loads(json.dumps(header)):
                raise DocumentError(
                    f"{self._path}: holds rows of other {_differing(found, header)}; choose another --out"
                )
            for row in rows:
                key = row.pop("key")
                if not (isinstance(key, str) and self._is_row(row)):
                    raise ValueError("a line is no row")
                self._keep(key, row)
        except DocumentError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise DocumentError(f"{self._path}: is not a file of such rows; choose another --out") from error
        return whole


def _differing(found: Mapping[str, Any], header: Mapping[str, Any]) -> str:
    """The names of what differs: "protocol, border"."""
    return ", ".join(name for name in {**header, **found} if found.get(name) != header.get(name))
