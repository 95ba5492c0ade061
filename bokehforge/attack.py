"""Attack classifiers through the depth map of a renderer, and say what it takes."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import tyro

from bokehdata.cases import Case
from bokehdata.format import DatasetError
from bokehdata.images import write_png
from bokehdata.labelled import open_labelled
from bokehforge.attack_page import largest_change, page, write_strip
from bokehforge.attack_tables import tables
from bokehforge.estimated import IMAGENET_MEAN, IMAGENET_STD, estimated_disparity
from evaluation.lpips import Lpips, LpipsUnavailable
from inverse.attacks.classifiers import Attacked, classifier
from inverse.attacks.measuring import (
    BOKEH,
    SHARP,
    Bench,
    Made,
    Subject,
    label_of,
    lens_of_blur,
    sharp_picture,
    use_threads,
)
from inverse.attacks.networks import SMALL
from inverse.attacks.pgd import METHODS, Attack, Method
from inverse.attacks.through import THROUGH, Through, through
from renderers.base import RendererError
from runtime import command
from runtime.command import OptionError, counted
from runtime.files import replacing, sha256_of, write_whole
from runtime.journal import Journal
from runtime.progress import Progress
from scenes.arrays import Plane

ROWS_FILE, TABLES_FILE, PAGE_FILE, PICTURES_FOLDER = "rows.jsonl", "tables.md", "attack.html", "pictures"

# Longer side of what a model of depth is given.
_DEPTH_SIDE_PX = 518


# Folders of pairs: of the sharp pictures, and of what they become.
_PAIR = ("image", "truth")


@dataclass(frozen=True)
class Options:
    """Attack classifiers through the depth map of a renderer (AdvBokeh): gda, sm-gda and bg-gda.

    Writes tables.md, the layouts of the paper's Tables II and III; attack.html, a page of pictures; and rows.jsonl. The
    same command resumes; more renderers and methods into the same --out are added.
    Example: bokehforge attack --data datasets/objects --limit 50 --out results/attack
    """

    data: Path
    """Folder of scenes of the recipe objects, of the NIPS 2017 development set, or of pictures with labels.csv."""
    out: Path
    """Folder of the results."""
    renderer: tuple[str, ...] = ("cocnet-b3-less-depth",)
    """What is attacked through: a CoCNet with depth, drbokeh or scatter; spaces or commas between several."""
    classifier: tuple[str, ...] = tuple(SMALL)
    """What is attacked: ours by name, torchvision's as NAME=FILE.pth, others as module:callable."""
    method: tuple[str, ...] = METHODS
    """Forms of the attack."""
    weights: Path | None = None
    """Checkpoint of a CoCNet with depth, instead of that which ships."""
    render_side: int | None = None
    """Longer side at which a CoCNet renders, 32 to 4096 pixels: they are resized to it and back. Default: as is."""
    eps: float | None = None
    """Largest change of a depth in [0, 1], 0 to 1. Default: the paper's through a CoCNet, larger through the others."""
    steps: int = 50
    """Of gradient ascent, 0 to 10,000."""
    step_size: float | None = None
    """Change of a depth in [0, 1] in one step, 0 to 1. Default: 2.5 eps / steps."""
    window: int | None = None
    """Side of the mean of sm-gda, odd, 1 to 9999 pixels. Default: 15 at 299 px, in proportion."""
    bg_threshold: float | None = None
    """For bg-gda, depths in [0, 1] above this are background. Default: Otsu's threshold."""
    limit: int | None = None
    """Attack at most the first so many pictures, 1 to 1,000,000. Default: all."""
    depth_model: Path | None = None
    """ONNX model of monocular depth, for pictures without a disparity; as in bokehforge render."""
    random_start: bool = False
    """Begin at a random change, instead of at none."""
    seed: int = 0
    """Of random starts, 0 to 2^63."""
    unlabelled: bool = False
    """The right label of a picture is what the first classifier says of it, sharp: for data without labels."""
    pairs: Path | None = None
    """Folder for pairs too, image/ sharp and truth/ attacked, to learn deblurring from (docs/deblurring.md)."""
    pictures: int = 12
    """Show at most the first so many pictures on the page, 0 to 1,000,000."""
    threads: int | None = None
    """CPU threads, 1 to 1024. Default: one per core."""
    dry_run: bool = False
    """Say what would be attacked, and write nothing."""


def main(argv: list[str] | None = None, prog: str = "bokehforge attack") -> int:
    """Run the command; returns its exit code: 0, 2 for bad input, 130 or 143 by a signal."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(
        partial(_attack, options),
        prog,
        refusals=(DatasetError, RendererError),
        interrupted="stopped; the rows so far are safe, the same command goes on from here",
        path=options.out,
    )


def _attack(options: Options) -> int:
    command.require_counts(
        ("--steps", options.steps, 0, 10_000),
        ("--limit", options.limit, 1, command.COUNT_MAX),
        ("--seed", options.seed, 0, command.SEED_MAX),
        ("--pictures", options.pictures, 0, command.COUNT_MAX),
        ("--threads", options.threads, 1, command.PROCESSES_MAX),
        ("--render-side", options.render_side, 32, 4096),
        ("--eps", options.eps, 0.0, 1.0),
        ("--step-size", options.step_size, 0.0, 1.0),
        ("--window", options.window, 1, 9999),
        ("--bg-threshold", options.bg_threshold, 0.0, 1.0),
    )
    if options.window is not None and options.window % 2 == 0:
        raise OptionError(f"--window is {options.window}; it must be odd")
    if options.step_size == 0.0:
        raise OptionError("--step-size is 0.0; it must be above 0")
    use_threads(options.threads or os.cpu_count() or 1)
    asked = _split(options.method)
    if wrong := [word for word in asked if word not in METHODS]:
        raise OptionError(f"--method is {wrong[0]!r}; there are {', '.join(METHODS)}")
    methods: list[Method] = [method for method in METHODS if method in asked]
    renderers = [through(name, options.weights, options.render_side) for name in _split(options.renderer)]
    classifiers = [_classifier(name) for name in _split(options.classifier)]
    if not (methods and renderers and classifiers):
        raise OptionError(
            f"--method, --renderer and --classifier name one thing at least; there are {', '.join(THROUGH)}"
        )
    cases = open_labelled(options.data, required=not options.unlabelled)[: options.limit]
    if options.unlabelled:
        cases = [replace(case, label=label_of(case, classifiers[0])) for case in cases]
    count = len(renderers) * (2 + len(classifiers) * len(methods))
    print(f"{counted(len(cases), 'picture')}, {counted(count, 'row')} of each")
    for judge in classifiers:
        # A label that a classifier does not know shows before the first row.
        for case in cases:
            judge.index(case.label or "")
    try:
        lpips = Lpips()
    except LpipsUnavailable as reason:
        lpips = None
        print(f"LPIPS: {reason}")
    work = _Work(options, Bench(classifiers, lpips, options.seed), renderers, methods, cases)
    work.require_possible()
    if options.dry_run:
        print("nothing is attacked (--dry-run)")
        return command.DONE
    if options.pairs is not None:
        for part in _PAIR:
            (options.pairs / part).mkdir(parents=True, exist_ok=True)
    with Journal(options.out / ROWS_FILE, {"schema": 2}) as rows:
        work.run(rows)
        work.write(rows)
    return command.DONE


def _split(words: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(word for item in words for word in item.split(",") if word))


def _classifier(word: str) -> Attacked:
    name, _, file = word.partition("=")
    return classifier(name, Path(file) if file else None)


@dataclass(frozen=True)
class _Task:
    """One row that is wanted: through a renderer, plain or an attack against a classifier."""

    key: str
    renderer: Through
    kind: Literal["sharp", "bokeh"] = BOKEH
    attack: Attack | None = None
    against: Attacked | None = None


@dataclass(frozen=True)
class _Work:
    """The rows that a command asks for, and what is made of them."""

    options: Options
    bench: Bench
    renderers: Sequence[Through]
    methods: Sequence[Method]
    cases: Sequence[Case]

    def require_possible(self) -> None:
        """RendererError or DatasetError for what would stop the first rows: weights, a lens or a disparity missing."""
        for renderer in self.renderers:
            self._digest(renderer.weights)
            if not renderer.is_physical:
                continue
            for case in self.cases:
                if lens_of_blur(case) is None:
                    raise RendererError(
                        f"{case.name}: {renderer.name} needs the lens, which is not known; render through a network"
                    )
        for case in self.cases[:1]:
            Subject.of(case, self._estimated(case))

    def run(self, rows: Journal) -> None:
        """Make the rows that are not there."""
        wanted = {
            case.name: [task for task in self._tasks(case) if not self._is_there(rows, case, task)]
            for case in self.cases
        }
        with Progress(sum(map(len, wanted.values())), "row") as progress:
            for case in self.cases:
                if not wanted[case.name]:
                    continue
                subject = Subject.of(case, self._estimated(case))
                for task in wanted[case.name]:
                    made = self._made(subject, task)
                    if self._is_shown(case):
                        write_strip(self._strip(task), made)
                    if pair := self._pair(case, task):
                        # The attacked one last: a pair is there when both are.
                        for path, picture in zip(pair, (sharp_picture(case), made.picture), strict=True):
                            with replacing(path) as aside:
                                write_png(aside, picture)
                    rows.append(task.key, {**made.row, "largest_change": largest_change(made)})
                    progress.add()

    def write(self, made: Journal) -> None:
        """The tables and the page of all that was asked for."""
        tasks = [task for case in self.cases for task in self._tasks(case)]
        rows = [{"key": task.key, **made[task.key]} for task in tasks]
        text = tables(rows)
        write_whole(self.options.out / TABLES_FILE, text)
        strips = {task.key: path for task in tasks if (path := self._strip(task)).is_file()}
        title = self.options.data.resolve().name
        write_whole(self.options.out / PAGE_FILE, page(title, text, rows, strips))
        print(text)
        print(f"open it in a browser: {self.options.out / PAGE_FILE}")

    def _tasks(self, case: Case) -> Iterator[_Task]:
        for renderer in self.renderers:
            for kind in (SHARP, BOKEH):
                yield _Task(self._key(case, renderer, kind), renderer, kind)
            for against in self.bench.classifiers:
                for method in self.methods:
                    eps = renderer.eps(method) if self.options.eps is None else self.options.eps
                    attack = Attack(
                        method,
                        eps,
                        self.options.steps,
                        self.options.step_size,
                        self.options.window,
                        self.options.bg_threshold,
                        self.options.random_start,
                    )
                    key = self._key(case, renderer, against.name, asdict(attack), self.options.seed)
                    yield _Task(key, renderer, attack=attack, against=against)

    def _key(self, case: Case, renderer: Through, *what: object) -> str:
        """Equal keys mean equal rows."""
        data = self._digests[case.name]
        made = [
            data,
            case.label,
            renderer.name,
            self._digest(renderer.weights),
            *([] if renderer.side_px is None else [renderer.side_px]),
            self._judges,
            self._digest(self.options.depth_model),
            what,
        ]
        return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:24]

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {case.name: case.digest() for case in self.cases}

    @cached_property
    def _judges(self) -> list[list[str | None]]:
        return [[c.name, self._digest(c.file)] for c in self.bench.classifiers]

    @cached_property
    def _of_files(self) -> dict[Path, str]:
        return {}

    def _digest(self, path: Path | None) -> str | None:
        """sha256 of a file; RendererError where it cannot be read."""
        if path is not None and path not in self._of_files:
            try:
                self._of_files[path] = sha256_of(path)
            except OSError as error:
                raise RendererError(
                    f"{path}: there are no such weights ({error.strerror}); give a file, or train them as in "
                    "docs/attack.md"
                ) from error
        return None if path is None else self._of_files[path]

    def _is_there(self, rows: Journal, case: Case, task: _Task) -> bool:
        files = [*([self._strip(task)] if self._is_shown(case) else []), *self._pair(case, task)]
        if task.key not in rows or not all(path.is_file() for path in files):
            return False
        # Rows from before LPIPS was installed lack it.
        return self.bench.lpips is None or rows[task.key]["to_sharp"]["lpips"] is not None

    def _pair(self, case: Case, task: _Task) -> list[Path]:
        """The files of the sharp and the attacked picture; none where no pair is asked for."""
        if self.options.pairs is None or task.attack is None or task.against is None:
            return []
        parts = (case.name, task.renderer.name, task.attack.method, task.against.name)
        name = re.sub(r"[^\w.-]+", "-", "-".join(parts)) + ".png"
        return [self.options.pairs / part / name for part in _PAIR]

    def _is_shown(self, case: Case) -> bool:
        return any(case is shown for shown in self.cases[: self.options.pictures])

    def _strip(self, task: _Task) -> Path:
        return self.options.out / PICTURES_FOLDER / f"{task.key}.png"

    def _made(self, subject: Subject, task: _Task) -> Made:
        if task.attack is None or task.against is None:
            return self.bench.plain(subject, task.renderer, task.kind)
        return self.bench.attacked(subject, task.renderer, task.against, task.attack)

    def _estimated(self, case: Case) -> Plane | None:
        """The disparity that a model finds, where there is one."""
        if self.options.depth_model is None:
            return None
        return estimated_disparity(
            self.options.depth_model, sharp_picture(case), mean=IMAGENET_MEAN, std=IMAGENET_STD, side_px=_DEPTH_SIDE_PX
        )


if __name__ == "__main__":
    raise SystemExit(main())
