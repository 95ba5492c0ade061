"""What the commands share: how they start and end, errors of options, exit codes, limits of numbers."""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from types import FrameType

from runtime.files import is_utf8
from runtime.storage import NO_SECRETS, Place, has_secret, masked

# What `main` of a command returns. The last two are 128 and the number of the signal, as shells count.
DONE, FAILED, BAD_INPUT, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

# Limits that several commands have: scenes of a dataset, pictures of a benchmark, ...; sides of a picture, pixels;
# processes, threads and devices; a random generator's seed.
COUNT_MAX, SIDE_MAX_PX, PROCESSES_MAX, SEED_MAX = 1_000_000, 16384, 1024, 2**63


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


class OptionError(ValueError):
    """An option whose value cannot be used; the message names the option, the value and what is allowed."""


def require_counts(*limits: tuple[str, float | None, float, float]) -> None:
    """OptionError for the first of (option, value, smallest, largest) that is outside; None is an option not given."""
    for name, value, least, most in limits:
        if value is not None and not value >= least:
            raise OptionError(f"{name} is {value}; it must be at least {least}")
        if value is not None and not value <= most:
            raise OptionError(f"{name} is {value}; it must be at most {most}")


def require_folder(name: str, path: Path) -> None:
    """OptionError unless the folder that a file is to be written to is there."""
    if not path.parent.is_dir():
        raise OptionError(f"{name} is {path}; there is no folder {path.parent}")


def require_writable(name: str, path: Path, endings: Sequence[str]) -> None:
    """OptionError unless a file of one of these endings can be written there; "" is that of a folder."""
    if path.suffix.lower() not in endings:
        allowed = ", ".join(ending or "nothing, for a folder" for ending in endings)
        raise OptionError(f"{name} is {path}; the file must end in {allowed}")
    require_folder(name, path)
    if not os.access(path.parent, os.W_OK):
        raise OptionError(f"{name} is {path}; the folder {path.parent} cannot be written to")


def require_within(*limits: tuple[str, float, float, float]) -> None:
    """OptionError for the first of (option, value, smallest value, largest value) that is outside."""
    for name, value, least, most in limits:
        if not least <= value <= most:
            raise OptionError(f"{name} is {value}; it must lie between {least} and {most}")


def printable(text: object) -> str:
    """Text for a line: what a name may hold and a terminal must not, such as line breaks, is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 scene", "2 scenes"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def counted_are(number: int, noun: str) -> str:
    """The beginning of a sentence: "1 scene is", "2 scenes are"."""
    return f"{counted(number, noun)} {'is' if number == 1 else 'are'}"


def skipped(path: Place, reason: str) -> None:
    """Say on standard error which of the input is left out, and why."""
    print(printable(f"skipped {path}: {reason}"), file=sys.stderr)


def start(module: str, argv: Sequence[str] | None, prog: str) -> int:
    """Import the module of a command and run its `main`; returns the exit code.

    argv   words of the command line, None for those of this process

    Imports take a second or more, in which nothing is written yet: Ctrl-C ends them at once. BAD_INPUT for words that
    are not UTF-8, since files that are written name others, for URLs with passwords, and for a package that is an extra
    of ours.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for word in sys.argv[1:] if argv is None else argv:
        if not is_utf8(word):
            print(f"{prog}: error: {printable(word)!r} is not UTF-8; rename it", file=sys.stderr)
            return BAD_INPUT
        # Before the parser, which would repeat it.
        if has_secret(word):
            print(f"{prog}: error: {printable(masked(word))}: {NO_SECRETS}", file=sys.stderr)
            return BAD_INPUT
    try:
        with _signals(lambda number: _end_at_once(prog, number)):
            main = import_module(module).main
            from runtime.options import local_paths  # here, so that `--help` of all commands starts without tyro
        with local_paths():
            return main(argv, prog=prog)
    except ModuleNotFoundError as error:
        if (advice := not_installed(error)) is None:
            raise
        print(f"{prog}: error: {advice}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"\n{prog}: stopped", file=sys.stderr)
        return INTERRUPTED


def not_installed(error: ModuleNotFoundError) -> str | None:
    """Which extra of ours brings the module that is missing, in words; None for a module of none."""
    from importlib.metadata import requires

    package = (error.name or "").partition(".")[0]
    for line in requires("bokehforge") or ():
        wanted = re.match(r"([\w.-]+).*extra == ['\"](?!dev)(\w+)", line)
        if wanted and wanted[1].replace("-", "_").lower() == package:
            return f"{package} is not installed; pip install -c constraints.txt -e '.[{wanted[2]}]'"
    return None


def exit_code(
    run: Callable[[], int],
    prog: str,
    *,
    refusals: Iterable[type[Exception]],
    failures: tuple[type[Exception], ...] = (),
    interrupted: str = "stopped",
    path: Place | None = None,
) -> int:
    """What `run` returns; its errors are a line on standard error, without a traceback.

    refusals      exceptions, beside OptionError, that mean input which cannot be used: BAD_INPUT
    failures      exceptions of work that began well: FAILED
    interrupted   what is safe after Ctrl-C, in words
    path          named where an OSError does not say which file it is about

    SIGTERM is as Ctrl-C, but for the exit code. Messages are one line (`printable`).
    """
    from runtime.documents import DocumentError  # here, so that a command starts without YAML

    def say(message: str) -> None:
        print(f"{prog}: {printable(message)}", file=sys.stderr)

    is_terminated = False

    def terminate(number: int) -> None:
        nonlocal is_terminated
        is_terminated = True
        _raise_terminated(number)

    try:
        with _signals(terminate, (signal.SIGTERM,)):
            return run()
    except (OptionError, DocumentError, *refusals) as error:
        say(f"error: {error}")
        return BAD_INPUT
    except failures as error:
        say(str(error))
        return FAILED
    except MemoryError as error:
        say(f"memory ran out {error}".strip())
        return FAILED
    except OSError as error:
        say(f"error: {error.filename or path or 'disk'}: {error.strerror or error}")
        return BAD_INPUT
    except KeyboardInterrupt as error:
        print(file=sys.stderr)
        say(interrupted)
        # Modules in C, such as Ray's, make a plain KeyboardInterrupt of it.
        return TERMINATED if is_terminated or isinstance(error, Terminated) else INTERRUPTED


@contextmanager
def _signals(act: Callable[[int], None], numbers: Sequence[int] = (signal.SIGINT, signal.SIGTERM)) -> Iterator[None]:
    """In this block, these signals call `act`; not in a thread, which gets none, and not where they are ignored."""

    def handle(number: int, frame: FrameType | None) -> None:
        act(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise_terminated(number: int) -> None:
    # A second one must not stop the cleaning up.
    signal.signal(number, signal.SIG_IGN)
    raise Terminated


def _end_at_once(prog: str, number: int) -> None:
    # Not by an exception: modules in C lose it, or turn it into an ImportError.
    os.write(2, f"\n{prog}: stopped\n".encode())
    os._exit(128 + number)
