"""Files that are whole or not there, and their digests."""

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import overload

from runtime.storage import Place, Url


@overload
def opened(path: Path) -> BufferedReader: ...


@overload
def opened(path: Place) -> BufferedReader | BytesIO: ...


def opened(path: Place) -> BufferedReader | BytesIO:
    """A file or an object to read; OSError also for a FIFO, a socket or a device, which would block or never end."""
    if isinstance(path, Url):
        return BytesIO(path.read())
    # A FIFO without a writer does not block, a device such as a tape is not touched.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "is a FIFO, a socket or a device, not a file", str(path))
    return file


def is_utf8(text: str) -> bool:
    """Whether a name can be written to a file; Python keeps other bytes of names as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; leaving the block renames it, so that readers see the old file or the new one.

    An exception leaves `path` as it was and removes what was written.
    """
    aside = unfinished(path)
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """Where this process writes a file or a folder until it is whole: `.STEM.PID.SUFFIX` beside it.

    The suffix stays, since some writers choose a format by it.
    """
    return path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")


def is_unfinished_name(name: str, of: str) -> bool:
    """Whether a killed process may have left `name` of a file or folder called `of`."""
    stem, suffix = os.path.splitext(of)
    return re.fullmatch(rf"\.{re.escape(stem)}\.\d+{re.escape(suffix)}", name) is not None


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes may have left of a file or a folder; its own folder exists."""
    for left in path.parent.iterdir():
        if is_unfinished_name(left.name, of=path.name):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes, *, durable: bool = False) -> None:
    """Give a file new content at once. `durable`: on disk when this returns, so that a power cut loses nothing."""
    with replacing(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)
        if durable:
            sync(aside)
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
