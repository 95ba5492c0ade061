"""Prove a dataset whole."""

from dataclasses import dataclass
from functools import partial

import tyro

from bokehdata.format import DatasetError
from bokehdata.reader import Dataset
from bokehdata.verify import verify
from raytrace.production import retrace
from raytrace.tracer import Tracer
from runtime import backend, command
from runtime.command import counted
from runtime.options import PlaceOption
from runtime.progress import Progress


@dataclass(frozen=True)
class Options:
    """Check every file of a dataset (checksum, shape, range, invariants) and trace its noisiest picture again.

    Reads datasets of bokehforge and folders in the layout of BLB. Exit code 0: whole; 1: problems; 2: not a dataset.
    Example: bokehforge verify datasets/default
    """

    dir: tyro.conf.Positional[PlaceOption]
    """Folder or URL of the dataset."""
    arch: backend.Arch = "auto"
    """Where the picture is traced again."""


def main(argv: list[str] | None = None, prog: str = "bokehforge verify") -> int:
    """Run the command; returns its exit code."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(
        partial(_verify, options), prog, refusals=(DatasetError, backend.BackendError), path=options.dir
    )


def _verify(options: Options) -> int:
    tracer = Tracer(backend.start(options.arch))
    with Progress(len(Dataset(options.dir)), "scene") as progress:
        report = verify(options.dir, retrace=partial(retrace, tracer), on_scene=progress.add)
    for problem in report.problems:
        print(command.printable(problem))
    for note in report.notes:
        print(f"note: {note}")
    for unchecked in report.unchecked:
        print(f"not checked: {unchecked}")
    again = f", {report.retraced} traced again" if report.retraced else ""
    problems = counted(len(report.problems), "problem") if report.problems else "no problems"
    print(f"{options.dir}: {counted(report.scenes, 'scene')}, {problems}{again}")
    return command.FAILED if report.problems else command.DONE


if __name__ == "__main__":
    raise SystemExit(main())
