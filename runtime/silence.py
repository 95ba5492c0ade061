"""What libraries in C write to the terminal is not shown while files are read: our line says it once, with the file."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from typing import TextIO


class Shared(AbstractContextManager[None]):
    """A context of the whole process that any number of threads may be in: the first enters it, the last leaves it."""

    def __init__(self, make: Callable[[], AbstractContextManager[None]]):
        self._make, self._lock, self._depth = make, threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if self._depth == 0:
                self._context = self._make()
                self._context.__enter__()
            self._depth += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._context.__exit__(None, None, None)


@contextmanager
def _silenced() -> Iterator[None]:
    shown = {}
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        with suppress(OSError):  # a process may have been started without them
            kept = _beside(name, descriptor)
            os.dup2(descriptor, kept.fileno(), inheritable=False)
            # What Python writes there is shown; a test or a notebook has streams of its own.
            with suppress(OSError, ValueError, AttributeError):
                if stream.fileno() == descriptor:
                    stream.flush()
                    setattr(sys, name, kept)
            shown[descriptor] = name, stream, kept
            os.dup2(_nowhere(), descriptor)
    try:
        yield
    finally:
        for descriptor, (name, stream, kept) in shown.items():
            kept.flush()
            os.dup2(kept.fileno(), descriptor)
            setattr(sys, name, stream)


# File descriptors 1 and 2 lead nowhere in this context; `sys.stdout` and `sys.stderr` write where they did before.
quiet_libraries = Shared(_silenced)


@cache
def _beside(name: str, descriptor: int) -> TextIO:
    """A stream to where a descriptor leads. It is never closed: what was begun in the silence may go on after it."""
    stream = getattr(sys, f"__{name}__")
    return open(os.dup(descriptor), "w", encoding=stream.encoding, errors=stream.errors, buffering=1, closefd=False)


@cache
def _nowhere() -> int:
    return os.open(os.devnull, os.O_WRONLY)
