"""Write data in the layout that others' code reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import tyro

from bokehdata.blb_export import export_blb, left_behind
from bokehdata.cases import Case
from bokehdata.format import DatasetError
from bokehdata.opening import open_cases
from bokehdata.pairs.export import Flaws, export_pairs
from bokehdata.reader import Dataset
from bokehdata.shards.card import write_card
from bokehdata.shards.parquet import PARQUET
from bokehdata.shards.webdataset import WEBDATASET
from bokehdata.shards.writing import export_shards
from runtime import command
from runtime.command import counted, counted_are
from runtime.options import PlaceOption
from runtime.progress import Progress


@dataclass(frozen=True)
class Options:
    """Write data for other code: pairs as EBB! lays them out, WebDataset, Parquet for Hugging Face, or BLB's folders.

    Pictures of webdataset, parquet and blb are the files of the dataset, to the bit. Pairs of ebb-like are perfect;
    --misalignment and --colour-drift give them the flaws of EBB!. The same command resumes.
    Example: bokehforge export datasets/ebb-like --to pairs --out pairs/ebb-like
    """

    dir: tyro.conf.Positional[PlaceOption]
    """Folder or URL of any data that the benchmark takes; of a dataset, for blb."""
    to: Literal["pairs", "webdataset", "parquet", "blb"]
    """Layout to write."""
    out: Path
    """Folder to write to."""
    limit: int | None = None
    """Write at most this many pictures, or scenes for blb, the first ones, 1 to 1,000,000."""
    shard_size: int = 500
    """Webdataset, parquet: a file holds at most this much, and one picture at least, 1 to 100,000 MB."""
    part: str = "Training"
    """Pairs: folder in --out; PyNET's code calls its two train and test."""
    format: Literal["jpg", "png"] = "jpg"
    """Pairs: pictures as JPEG of high quality, or as 8-bit PNG."""
    misalignment: float = 0.0
    """Pairs: largest shift of a truth against its input, and of its corners by a turn, 0 to 50 pixels."""
    colour_drift: float = 0.0
    """Pairs: largest relative change of each colour channel of a truth, 0 to 1."""
    seed: int = 0
    """Pairs: seed of the flaws, 0 to 2^63."""


# What belongs to one layout. Given for another one, it would be lost silently.
_OF_PAIRS = ("part", "format", "misalignment", "colour_drift", "seed")
_OF_SHARDS = ("shard_size",)

_MEGABYTE = 1_000_000


def main(argv: list[str] | None = None, prog: str = "bokehforge export") -> int:
    """Run the command; returns its exit code."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(
        partial(_export, options),
        prog,
        refusals=(DatasetError,),
        interrupted="stopped; what is written so far is safe, the same command goes on from here",
        path=options.out,
    )


def _export(options: Options) -> int:
    command.require_counts(
        ("--limit", options.limit, 1, command.COUNT_MAX),
        ("--seed", options.seed, 0, command.SEED_MAX),
        ("--shard-size", options.shard_size, 1, 100_000),
    )
    command.require_within(
        ("--misalignment", options.misalignment, 0, 50), ("--colour-drift", options.colour_drift, 0, 1)
    )
    _require_its_options(options)
    if options.to == "blb":
        return _export_blb(options)
    cases = open_cases(options.dir, on_misfit=command.skipped)[: options.limit]
    return _export_pairs(options, cases) if options.to == "pairs" else _export_shards(options, cases)


def _require_its_options(options: Options) -> None:
    """OptionError for an option of another layout."""
    strange = () if options.to == "pairs" else _OF_PAIRS
    if options.to not in ("webdataset", "parquet"):
        strange += _OF_SHARDS
    for name in strange:
        if getattr(options, name) != getattr(Options, name):
            raise command.OptionError(f"--{name.replace('_', '-')} does nothing for --to {options.to}; leave it out")


def _export_pairs(options: Options, cases: Sequence[Case]) -> int:
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
    print(f"{counted_are(len(cases), 'pair')} in {options.out / options.part}: {made} written now")
    return command.DONE


def _export_shards(options: Options, cases: Sequence[Case]) -> int:
    layout = PARQUET if options.to == "parquet" else WEBDATASET
    with Progress(len(cases), "picture") as progress:
        made = export_shards(
            cases, options.out, layout, shard_bytes=options.shard_size * _MEGABYTE, on_case=progress.add
        )
    if layout is PARQUET:
        write_card(options.out, options.dir, cases)
    print(f"{counted_are(len(cases), 'picture')} in {options.out}: {counted(made, 'file')} written now")
    return command.DONE


def _export_blb(options: Options) -> int:
    scenes = Dataset(options.dir)[: options.limit]
    if not scenes:
        raise DatasetError(f"{options.dir}: holds no finished scene; run the generator again to finish some")
    with Progress(len(scenes), "scene") as progress:
        made = export_blb(scenes, options.out, on_scene=progress.add)
    for lost in left_behind(scenes):
        print(f"left behind: {lost}")
    print(f"{counted_are(len(scenes), 'scene')} in {options.out}: {made} written now")
    return command.DONE


if __name__ == "__main__":
    raise SystemExit(main())
