"""Make a dataset of data that others made."""

import platform
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import tyro

from bokehdata.format import DatasetError
from bokehdata.importing import found_in, import_scenes
from runtime import command
from runtime.command import counted, counted_are
from runtime.copies import local_folder
from runtime.options import PlaceOption
from runtime.progress import Progress


@dataclass(frozen=True)
class Options:
    """Make a dataset of folders of BLB, of pairs in any layout that the benchmark takes, or of plain folders.

    Each scene keeps what its source has, and says what is missing and where it came from. The same command resumes.
    Example: bokehforge import BLB --out datasets/blb
    """

    dir: tyro.conf.Positional[PlaceOption]
    """Folder or URL to import."""
    out: PlaceOption
    """Folder or URL of the dataset."""
    limit: int | None = None
    """Import at most this many scenes or pairs, the first ones, 1 to 1,000,000."""


def main(argv: list[str] | None = None, prog: str = "bokehforge import") -> int:
    """Run the command; returns its exit code."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(
        partial(_import, options),
        prog,
        refusals=(DatasetError,),
        interrupted="stopped; finished scenes are safe, the same command goes on from here",
        path=options.out,
    )


def _import(options: Options) -> int:
    command.require_counts(("--limit", options.limit, 1, command.COUNT_MAX))
    found = found_in(local_folder(options.dir), command.skipped)
    found = found._replace(scenes=found.scenes[: options.limit])
    libraries = ("numpy", "opencv-python-headless", "OpenEXR")
    software = {"python": platform.python_version(), **{name: version(name) for name in libraries}}
    with Progress(len(found.scenes), "scene") as progress:
        report = import_scenes(found, options.out, software=software, on_scene=progress.add)
    for what, count in report.missing.items():
        print(f"missing: {what}, in {counted(count, 'scene')}")
    print(f"{counted_are(len(found.scenes), 'scene')} in {options.out}: {report.made} written now")
    return command.DONE


if __name__ == "__main__":
    raise SystemExit(main())
