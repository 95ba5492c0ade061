"""Object stores: what lies at a URL of fsspec (s3://, gs://, memory://), written whole and read with patience.

A plain path never comes here, and fsspec is imported at the first call that needs it. Calls that fail for a moment are
tried again; what fails for good is an OSError that names the URL. No message has a password, a token or a key in it.
"""

import errno
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Result = TypeVar("Result")

# A call is made so many times; the wait before the next one doubles from the first, 15 s in all.
_TRIES = 6
_FIRST_WAIT_S = 0.5

# A wait of at least this long is said.
_SAID_WAIT_S = 2.0

# Objects of a scene that are on their way at a time.
_AT_A_TIME = 8

# What trying again does not change. The names are those of classes in libraries that are not imported here.
_FINAL = (ImportError, LookupError, ValueError, TypeError, AttributeError, NotImplementedError, PermissionError)
_FINAL += (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
_FINAL_NAMES = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError"}

# A store that does not answer at all is given up in seconds; s3fs itself would wait for minutes.
_OPTIONS = {
    "s3": {"config_kwargs": {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 1}}},
}

# A folder by another name.
_FILE = re.compile(r"(?:file|local)://(?=/)")
_URL = re.compile(r"([A-Za-z][\w+.-]*)://")
_USER = re.compile(r"(?<=://)[^/@\s]*@")
_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]*@")
_SECRET_QUERY = re.compile(
    r"([?&;][^=&;\s]*(?:secret|token|key|sig|credential|password)[^=&;\s]*=)[^&;\s'\"]+", re.IGNORECASE
)
_SECRET_VARIABLE = re.compile(r"SECRET|TOKEN|PASSWORD|ACCESS_KEY", re.IGNORECASE)


class StorageError(OSError):
    """A store that cannot be used; as of every OSError, `filename` is the URL and `strerror` says why."""


class Stored(NamedTuple):
    """An object: its size, and what changes whenever its bytes do, as far as the store tells it."""

    bytes: int
    tag: str


@dataclass(frozen=True)
class Url:
    """Where an object or a folder of objects is in a store. Small and picklable; a path as far as it goes.

    text     s3://bucket/folder; `str` gives it without a user's name
    raises   StorageError for a URL with a password or a key: they belong into the environment, or into the files of
             the store's own tools
    """

    text: str

    def __post_init__(self):
        object.__setattr__(self, "text", self.text if self.text.endswith("://") else self.text.rstrip("/"))
        if has_secret(self.text):
            raise StorageError(errno.EINVAL, NO_SECRETS, str(self))

    def __str__(self) -> str:
        return masked(self.text)

    def __truediv__(self, name: str) -> "Url":
        return Url(f"{self.text}{'' if self.text.endswith('/') else '/'}{name}")

    @property
    def name(self) -> str:
        """The last part: "folder" of s3://bucket/folder."""
        return self.text.rpartition("/")[2]

    @property
    def is_of_one_process(self) -> bool:
        """Whether no other process sees what is there."""
        return self.text.startswith("memory:")

    def resolve(self) -> "Url":
        """Itself, as it is nowhere else."""
        return self

    def is_file(self) -> bool:
        """Whether there is an object."""
        try:
            # Not `isfile`, which says no where the store does not answer.
            return self._call("looked for", lambda store, path: store.info(path))["type"] == "file"
        except FileNotFoundError:
            return False

    def read(self) -> bytes:
        """The bytes of an object; FileNotFoundError where there is none."""
        return self._call("read", lambda store, path: store.cat_file(path))

    def write(self, content: bytes) -> None:
        """Give an object new content at once: readers see the old one or the new one."""
        self._call("written", lambda store, path: store.pipe_file(path, content))

    def remove(self) -> None:
        """Remove an object, if it is there."""
        remove([self])

    def names(self) -> list[str]:
        """Names of the objects and folders right below it, sorted; none where there is nothing."""

        def listed(store: Any, path: str) -> list[str]:
            found = {name.rstrip("/") for name in store.ls(path, detail=False)}
            # Of an object itself, and of the empty one that marks a folder, a store may list just that.
            return sorted(name.rpartition("/")[2] for name in found - {path.rstrip("/")})

        try:
            return self._call("listed", listed)
        except FileNotFoundError:
            return []

    def tree(self) -> dict[str, Stored]:
        """Every object below it by its name relative to it, sorted; none where there is nothing."""

        def listed(store: Any, path: str) -> dict[str, Stored]:
            found = store.find(path, detail=True)
            inside = f"{path.rstrip('/')}/"
            return {
                name.removeprefix(inside): Stored(told.get("size") or 0, _tag(told))
                for name, told in sorted(found.items())
                if name.startswith(inside) and not name.endswith("/")
            }

        try:
            return self._call("listed", listed)
        except FileNotFoundError:
            return {}

    def _call(self, what: str, call: Callable[[Any, str], Result]) -> Result:
        """What a call to the store gives, in the end. `what` is done to the object, for messages."""
        store = self._store()
        path = store._strip_protocol(self.text)
        wait_s = _FIRST_WAIT_S
        for tries_left in reversed(range(_TRIES)):
            try:
                return call(store, path)
            except FileNotFoundError as error:
                raise FileNotFoundError(errno.ENOENT, _absence(error), str(self)) from None
            except Exception as error:
                is_final = isinstance(error, _FINAL) or type(error).__name__ in _FINAL_NAMES
                if is_final or not tries_left:
                    tried = "" if is_final else f" after {_TRIES} tries"
                    reason = f"cannot be {what}{tried} ({_reason(error, type(error).__name__)})"
                    raise StorageError(getattr(error, "errno", None) or errno.EIO, reason, str(self)) from None
                if wait_s >= _SAID_WAIT_S:
                    reason = _reason(error, type(error).__name__)
                    print(f"{self}: {reason}; trying again in {wait_s:.0f} s", file=sys.stderr, flush=True)
            # Many workers must not come back at the same moment.
            time.sleep(wait_s * random.uniform(0.75, 1.25))
            wait_s *= 2.0
        raise AssertionError

    def _store(self) -> Any:
        protocol, _, rest = self.text.partition("://")
        try:
            return _filesystem(f"{protocol}://{rest.partition('/')[0]}", os.getpid())
        except ImportError as error:
            missing = (error.name or "").partition(".")[0] or {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}.get(
                protocol, "a package of fsspec's"
            )
            advice = f"needs {missing}, which is not installed; pip install -c constraints.txt -e '.[cloud]'"
            raise StorageError(errno.ENOENT, advice, str(self)) from error
        except ValueError as error:
            raise StorageError(errno.EINVAL, _reason(error, "no store of fsspec"), str(self)) from error


# A folder or a file: on disk, or in a store.
Place = Path | Url

NO_SECRETS = (
    "has a password or a key in it, which lists of processes and logs would show; leave it out, and give it to the "
    "store's own tools (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws, GOOGLE_APPLICATION_CREDENTIALS, ...)"
)


def is_url(text: str) -> bool:
    """Whether a text names something in a store, and no path; file:///folder is a path."""
    return _URL.match(text) is not None and _FILE.match(text) is None


def place(text: str | Path | Url) -> Place:
    """Where a text leads: a URL, or a path on disk. StorageError as of `Url`."""
    if not isinstance(text, str):
        return text
    return Url(text) if is_url(text) else Path(_FILE.sub("", text))


def has_secret(text: str) -> bool:
    """Whether a URL has a password, a token or a key in it."""
    return _URL.match(text) is not None and bool(_PASSWORD.search(text) or _SECRET_QUERY.search(text))


def masked(text: str) -> str:
    """A text without names of users and passwords in URLs, and without what the environment keeps secret."""
    text = _SECRET_QUERY.sub(r"\1***", _USER.sub("***@", text))
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_VARIABLE.search(name):
            text = text.replace(value, "***")
    return text


def write_all(contents: Mapping[Url, Path]) -> None:
    """Give many objects the content of files, several at a time."""
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        # All of them end before an error is raised.
        for written in [pool.submit(_write_file, url, path) for url, path in contents.items()]:
            written.result()


def remove(urls: Iterable[Url]) -> None:
    """Remove objects of one store, those that are there."""
    left = list(urls)
    if not left:
        return
    try:
        left[0]._call("removed", lambda store, _: store.rm([store._strip_protocol(url.text) for url in left]))
    except FileNotFoundError:
        # Another process was quicker with some of them.
        for url in left if len(left) > 1 else ():
            remove([url])


def publish(folder: Path, to: Url, *, last: str) -> None:
    """Copy the files of a folder to a URL, so that readers who look for the file `last` first see all or nothing.

    What was there before is replaced: `last` goes first and comes back when all others are there.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    before = to.tree()
    # Asked for by its name too: a listing may lag behind.
    if last in before or (to / last).is_file():
        (to / last).remove()
    remove(to / name for name in before if name not in files)
    write_all({to / name: path for name, path in files.items() if name != last})
    write_all({to / last: files[last]})


def _write_file(url: Url, path: Path) -> None:
    url.write(path.read_bytes())


@lru_cache(maxsize=16)
def _filesystem(base: str, process: int) -> Any:
    """The store of fsspec; a process that is forked from this one needs another."""
    from fsspec.core import url_to_fs

    # Listings are never remembered: other processes write too.
    options = _OPTIONS.get(base.partition(":")[0], {})
    return url_to_fs(base, use_listings_cache=False, **options)[0]


def _tag(told: Mapping[str, Any]) -> str:
    keys = ("ETag", "etag", "md5Hash", "LastModified", "updated", "mtime", "created")
    return next((str(told[key]) for key in keys if told.get(key) is not None), "")


def _absence(error: Exception) -> str:
    said = _reason(error, "")
    return said if "bucket" in said.lower() else "no such object"


def _reason(error: Exception, otherwise: str) -> str:
    """What an error says, on one line and without secrets."""
    said = getattr(error, "strerror", None) or str(error)
    return masked(" ".join(said.split()))[:300] or otherwise
