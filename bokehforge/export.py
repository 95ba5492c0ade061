"""Write data in the layout that others' code reads."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import tyro

from bokehdata.format import DatasetError
from bokehdata.opening import open_cases
from bokehdata.pairs.export import Flaws, export_pairs
from runtime import command
from runtime.command import counted
from runtime.progress import Progress


@dataclass(frozen=True)
class Options:
    """Write data as pairs in the layout of EBB!: Training/original/0.jpg and Training/bokeh/0.jpg, and so on.

    The pairs of ebb-like are perfect; --misalignment and --colour-drift give them the flaws of EBB!. The same command
    resumes.
    Example: bokehforge export datasets/ebb-like --to pairs --out pairs/ebb-like
    """

    dir: tyro.conf.Positional[Path]
    """Folder of any data that the benchmark takes."""
    to: Literal["pairs"]
    """Layout to write."""
    out: Path
    """Folder of the pairs."""
    part: str = "Training"
    """Folder in --out; PyNET's code calls its two train and test."""
    format: Literal["jpg", "png"] = "jpg"
    """Pictures as JPEG of high quality, or as 8-bit PNG."""
    limit: int | None = None
    """Write at most this many pairs, the first ones, 1 to 1,000,000."""
    misalignment: float = 0.0
    """Largest shift of a truth against its input, and of its corners by a turn, 0 to 50 pixels."""
    colour_drift: float = 0.0
    """Largest relative change of each colour channel of a truth, 0 to 1."""
    seed: int = 0
    """Seed of the flaws, 0 to 2^63."""


def main(argv: list[str] | None = None, prog: str = "bokehforge export") -> int:
    """Run the command; returns its exit code."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(
        partial(_export, options),
        prog,
        refusals=(DatasetError,),
        interrupted="stopped; the pairs so far are safe, the same command goes on from here",
        path=options.out,
    )


def _export(options: Options) -> int:
    command.require_counts(
        ("--limit", options.limit, 1, command.COUNT_MAX), ("--seed", options.seed, 0, command.SEED_MAX)
    )
    command.require_within(
        ("--misalignment", options.misalignment, 0, 50), ("--colour-drift", options.colour_drift, 0, 1)
    )
    cases = open_cases(options.dir, on_misfit=command.skipped)[: options.limit]
    with Progress(len(cases), "pair") as progress:
        made = export_pairs(
            cases,
            options.out,
            part=options.part,
            suffix=options.format,
            flaws=Flaws(options.misalignment, options.colour_drift),
            seed=options.seed,
            on_pair=progress.add,
        )
    print(
        f"{counted(len(cases), 'pair')} {'is' if len(cases) == 1 else 'are'} in {options.out / options.part}: "
        f"{made} written now"
    )
    return command.DONE


if __name__ == "__main__":
    raise SystemExit(main())
