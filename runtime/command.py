"""What the commands share: errors of options, exit codes, limits of numbers."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

# What `main` of a command returns.
DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class OptionError(ValueError):
    """An option whose value cannot be used; the message names the option, the value and what is allowed."""


def require_at_least(*limits: tuple[str, float | None, float]) -> None:
    """OptionError for the first of (option, value, smallest value) that is too small; None is an option not given."""
    for name, value, least in limits:
        if value is not None and not value >= least:
            raise OptionError(f"{name} is {value}; it must be at least {least}")


def require_within(*limits: tuple[str, float, float, float]) -> None:
    """OptionError for the first of (option, value, smallest value, largest value) that is outside."""
    for name, value, least, most in limits:
        if not least <= value <= most:
            raise OptionError(f"{name} is {value}; it must lie between {least} and {most}")


def skipped(path: Path, reason: str) -> None:
    """Say on standard error which of the input is left out, and why."""
    print(f"skipped {path}: {reason}", file=sys.stderr)


def exit_code(
    run: Callable[[], int],
    prog: str,
    *,
    refusals: Iterable[type[Exception]],
    failures: tuple[type[Exception], ...] = (),
    interrupted: str = "stopped",
    path: Path | None = None,
) -> int:
    """What `run` returns; its errors are a line on standard error, without a traceback.

    refusals      exceptions, beside OptionError, that mean input which cannot be used: BAD_INPUT
    failures      exceptions of work that began well: FAILED
    interrupted   what is safe after Ctrl-C, in words
    path          named where an OSError does not say which file it is about
    """
    try:
        return run()
    except (OptionError, *refusals) as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return BAD_INPUT
    except failures as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"{prog}: error: {error.filename or path or 'disk'}: {error.strerror or error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"\n{prog}: {interrupted}", file=sys.stderr)
        return INTERRUPTED
