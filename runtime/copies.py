"""Copies of what lies in object stores, kept on this machine up to a bound: the ones used longest ago go first.

A copy is named by its content, so that none is ever out of date, and appears when it is whole.
"""

import errno
import hashlib
import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from runtime.caches import ABANDONED_S, copies_folder
from runtime.files import unfinished
from runtime.progress import Progress
from runtime.storage import Place, Url

# How much is kept: gigabytes, and never more than this part of what the disk can give.
LIMIT_VARIABLE = "BOKEHFORGE_CACHE_GB"
_LIMIT_GB = 20.0
_PART_OF_DISK = 0.5

# What was used so recently may be read just now, here or by another process.
_IN_USE_S = 60.0

# Looking through the copies costs time: it is done when this part of the bound has been added.
_UNSEEN_PART = 0.01

_AT_A_TIME = 8


class Wanted(NamedTuple):
    """What an object is to be: its size, its SHA-256 where it is known, and the store's own tag of its content."""

    bytes: int
    sha256: str | None = None
    tag: str = ""


def copied(url: Url, files: Mapping[str, Wanted], *, on_file: Callable[[], None] = lambda: None) -> Path:
    """A folder on this machine, of the name of the URL, that holds these files of it. It is there for a minute or more.

    on_file   called after each file that is read from the store
    raises    OSError for what is not there, is not what it is to be, or has no room
    """
    size = sum(wanted.bytes for wanted in files.values())
    named = "".join(f"{name}\0{files[name]}\0" for name in sorted(files))
    # The same bytes at another URL are the same copy, where checksums tell.
    source = "" if all(wanted.sha256 for wanted in files.values()) else url.text
    key = hashlib.sha256(f"{source}\0{url.name}\0{named}".encode()).hexdigest()[:32]
    whole = copies_folder() / f"{key}-{size}"
    with _locks[key]:
        if not _is_there(whole / url.name, files):
            _make_room(size, url)
            aside = unfinished(whole)
            try:
                _fetch(url, files, aside / url.name, on_file)
                _forget(whole)
                with suppress(OSError):  # another process was quicker
                    aside.rename(whole)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    with suppress(OSError):
        os.utime(whole)
    return whole / url.name


def local_folder(place: Place) -> Path:
    """A folder on disk with all that is at a place: itself, or a copy of the objects below a URL.

    FileNotFoundError where nothing is at the URL.
    """
    if not isinstance(place, Url):
        return place
    found = place.tree()
    if not found:
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(place))
    with Progress(len(found), "file") as progress:
        return copied(place, {name: Wanted(o.bytes, tag=o.tag) for name, o in found.items()}, on_file=progress.add)


def download(url: Url, names: Mapping[str, object], folder: Path) -> None:
    """Read those objects below a URL that are there into a folder, as they are now."""

    def read(name: str) -> None:
        with suppress(FileNotFoundError):
            _write(folder / name, (url / name).read())

    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        list(pool.map(read, names))


_unseen_bytes = 0
_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def _is_there(folder: Path, files: Mapping[str, Wanted]) -> bool:
    try:
        return all((folder / name).stat().st_size == wanted.bytes for name, wanted in files.items())
    except OSError:
        return False


def _fetch(url: Url, files: Mapping[str, Wanted], folder: Path, on_file: Callable[[], None]) -> None:
    def fetch(name: str, wanted: Wanted) -> None:
        content = _as_wanted(url / name, wanted)
        try:
            _write(folder / name, content)
        except OSError as error:
            reason = (
                f"its copy cannot be written to {copies_folder()} ({error.strerror}); fix that, or set XDG_CACHE_HOME"
            )
            raise OSError(error.errno, reason, str(url / name)) from error
        on_file()

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for fetched in [pool.submit(fetch, name, wanted) for name, wanted in files.items()]:
            fetched.result()


def _as_wanted(url: Url, wanted: Wanted) -> bytes:
    content = url.read()
    if _complaint(content, wanted):
        # What comes over a wire may be cut short once.
        content = url.read()
    if complaint := _complaint(content, wanted):
        raise OSError(errno.EIO, f"{complaint}; check the dataset with bokehforge verify", str(url))
    return content


def _complaint(content: bytes, wanted: Wanted) -> str | None:
    if len(content) != wanted.bytes:
        return f"has {len(content)} bytes, not {wanted.bytes}"
    if wanted.sha256 is not None and hashlib.sha256(content).hexdigest() != wanted.sha256:
        return "does not have the checksum in the index"
    return None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _make_room(size: int, url: Url) -> None:
    """Remove what was used longest ago, so that so many bytes fit below the bound; OSError where they never can."""
    global _unseen_bytes
    folder = copies_folder()
    _unseen_bytes += size
    if _unseen_bytes <= _UNSEEN_PART * _limit_bytes(shutil.disk_usage(folder).free):
        return
    _unseen_bytes = 0
    kept = []
    for entry in os.scandir(folder):
        with suppress(OSError):
            used = entry.stat().st_mtime
            if not entry.name.startswith("."):
                kept.append((used, int(entry.name.rpartition("-")[2]), Path(entry.path)))
            elif time.time() - used > ABANDONED_S:
                shutil.rmtree(entry.path, ignore_errors=True)
    held = sum(kept_bytes for _, kept_bytes, _ in kept)
    limit = _limit_bytes(shutil.disk_usage(folder).free + held)
    if size > limit:
        raise OSError(
            errno.ENOSPC,
            f"has {size / 1e9:.1f} GB, and copies may take {limit / 1e9:.1f} GB of {folder}; "
            f"set {LIMIT_VARIABLE}, or copy it to a folder of yours",
            str(url),
        )
    for used, kept_bytes, path in sorted(kept):
        if held + size <= limit or time.time() - used < _IN_USE_S:
            return
        _forget(path)
        held -= kept_bytes


def _forget(whole: Path) -> None:
    """Remove a copy. It has another name before it loses its first file."""
    gone = whole.with_name(f".{whole.name}.{os.getpid()}.gone")
    with suppress(OSError):
        whole.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _limit_bytes(disk_bytes: int) -> float:
    try:
        asked = float(os.environ.get(LIMIT_VARIABLE, _LIMIT_GB))
    except ValueError:
        asked = _LIMIT_GB
    return min(max(asked, 0.0) * 1e9, _PART_OF_DISK * disk_bytes)
