"""Progress of long work: a bar with the time left on a terminal, a line now and then elsewhere."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

# Work that ends sooner than this shows nothing.
_DELAY_S = 2.0

# A log gets a line after at least this long.
_LINE_EVERY_S = 15.0


class Progress:
    """Counts units of work, and beside them another quantity whose rate people ask for.

    total      units in all
    unit       what one is called, singular
    done       units that an earlier run has done
    extra      name of the other quantity, plural ("images"); "" for none

    A context manager; `add` may be called any number of times.
    """

    def __init__(self, total: int, unit: str, *, done: int = 0, extra: str = "", stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self._total, self._unit, self._extra = total, unit, extra
        self._before, self._done, self._extra_done = done, done, 0
        self._begin = self._last_line = time.monotonic()
        self._bar = tqdm(
            total=total,
            initial=done,
            unit=unit,
            file=self._stream,
            delay=_DELAY_S,
            dynamic_ncols=True,
            disable=not self._stream.isatty(),
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception) -> None:
        self._bar.close()

    def add(self, units: int = 1, extra: int = 0, note: str = "") -> None:
        """Count what is done; `note` is shown beside it, such as a loss."""
        self._done += units
        self._extra_done += extra
        now = time.monotonic()
        rate = f"{self._extra_done / max(now - self._begin, 1e-9):.1f} {self._extra}/s" if self._extra else ""
        self._bar.set_postfix_str(", ".join(part for part in (rate, note) if part), refresh=False)
        self._bar.update(units)
        if self._bar.disable and now - self._last_line >= _LINE_EVERY_S:
            self._last_line = now
            left = (self._total - self._done) * (now - self._begin) / (self._done - self._before)
            plural = "" if self._total == 1 else "s"
            parts = [
                f"{self._done}/{self._total} {self._unit}{plural}",
                rate,
                note,
                f"{tqdm.format_interval(left)} left",
            ]
            print(", ".join(part for part in parts if part), file=self._stream, flush=True)


@contextmanager
def waiting(what: str, *, stream: TextIO | None = None) -> Iterator[None]:
    """Say on standard error how long one piece of work has taken so far: "WHAT: 12 s".

    On a terminal from two seconds on, elsewhere a line every 15 seconds.
    """
    out, over = stream or sys.stderr, threading.Event()
    is_terminal = out.isatty()

    def say() -> None:
        begin, line, wait_s = time.monotonic(), "", _DELAY_S if is_terminal else _LINE_EVERY_S
        while not over.wait(wait_s):
            line = f"{what}: {time.monotonic() - begin:.0f} s"
            print(f"\r{line}" if is_terminal else f"{line}\n", end="", file=out, flush=True)
            wait_s = 1.0 if is_terminal else _LINE_EVERY_S
        if is_terminal and line:
            print(f"\r{' ' * len(line)}\r", end="", file=out, flush=True)

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
