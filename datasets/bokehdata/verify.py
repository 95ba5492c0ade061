"""Proof that a dataset is whole: every checksum, shape, range and invariant, and one picture traced again.

Content is looked at only where the bytes are what the index says, so that one damaged file gives one problem.
"""

import math
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from numpy.typing import NDArray

from bokehdata.folder import SceneFolder
from bokehdata.format import (
    INDEX_FILE,
    BokehSetting,
    DatasetError,
    bokeh_file,
    is_leftover_name,
    is_scene_folder_name,
    reading,
    stored_settings,
)
from bokehdata.index import IndexEntry, read_index, unlisted_files, wrong_files
from bokehdata.kinds import open_scene
from bokehdata.kinds.billboards import BillboardFolder
from bokehdata.kinds.imported import ImportedFolder
from bokehdata.kinds.layers import is_layers
from bokehdata.reader import Dataset
from bokehdata.stored import StoredScene, as_it_is
from runtime.storage import Place
from scenes.billboard import Scene
from scenes.color import REFERENCE_GAMMA, display_from_linear, display_rmse
from scenes.stack import Stack

# (scene, stack, setting, noise asked for as display RMSE) -> (H, W, 3) linear light at the gamma of the setting.
Retrace = Callable[[Scene, Stack, BokehSetting, float], NDArray]

# Largest display error of rounding to half floats. The darkest value has it: (2^-25) ** (1 / 2.2).
_HALF_ROUNDING_DISPLAY = 4e-4


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file or folder; `path` is relative to the dataset."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


@dataclass(frozen=True)
class Report:
    """What `verify` found.

    problems    empty for a dataset that is whole
    notes       what is good to know and no problem
    unchecked   what could not be checked, and why
    scenes      number of scenes looked at
    retraced    the picture traced again, relative to the dataset; None if there was none
    """

    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    unchecked: tuple[str, ...]
    scenes: int
    retraced: str | None


def verify(root: Place | str, *, retrace: Retrace | None = None, on_scene: Callable[[], None] = lambda: None) -> Report:
    """Check every scene of a dataset, ours or BLB's; DatasetError where there is none. Of one in a store, every byte is
    read from there.

    retrace    traces a picture anew. It is given the noisiest picture of the billboard scenes without problems. The
               display RMSE between the two must stay below twice the root of the sum of the squares of their noise, or
               below the rounding of half floats: each estimate is within a factor of 2 of the true error, and the
               errors are independent
    on_scene   called after each scene
    """
    dataset = Dataset(root)
    problems: list[Problem] = []
    entries: Mapping[str, IndexEntry] = {}
    if dataset.is_indexed:
        if isinstance(dataset.root, Path):
            entries, torn_lines = read_index(dataset.root)
            problems += [Problem(INDEX_FILE, f"line {n} is not an entry: {what}") for n, what in torn_lines.items()]
        problems += _stray_folders(dataset.root, dataset.names)
    if not dataset.paths and not problems:
        raise DatasetError(f"{dataset.root}: holds no finished scene; run the generator again to finish some")

    whole: list[SceneFolder] = []
    for number, where in enumerate(dataset.paths):
        with _as_it_is(where) as path:
            entry = where.entry if isinstance(where, StoredScene) else entries.get(path.absolute().name)
            opened = partial(dataset.__getitem__, number) if path is where else partial(open_scene, path)
            found = _damage(path, entry) or _defects(opened, path, entry)
        problems += found
        if not found:
            whole.append(dataset[number])
        on_scene()

    has_checksums = dataset.is_indexed or (isinstance(dataset.root, Path) and is_layers(dataset.root))
    unchecked = [] if has_checksums else ["checksums: there is no index"]
    traced = [folder for folder in whole if isinstance(folder, BillboardFolder)]
    if len(traced) < len(whole):
        unchecked.append("overscan, all-in-focus picture and disparity against layers: scenes that are not billboards")
    retraced = None
    if retrace is None or not traced:
        unchecked.append(f"tracing again: {'no tracer' if retrace is None else 'no scene that can be traced'}")
    else:
        retraced, problem = _retrace_noisiest(traced, retrace)
        problems += problem
    notes = (*_noise_notes(traced), *_missing_notes(whole))
    return Report(tuple(problems), notes, tuple(unchecked), len(dataset), retraced)


@contextmanager
def _as_it_is(where: Path | StoredScene) -> Iterator[Path]:
    """The folder of a scene as it is now: of one in a store, what is there, and no copy of before."""
    if isinstance(where, Path):
        yield where
        return
    with reading(where), as_it_is(where.root, where.name) as path:
        yield path


def _stray_folders(root: Place, indexed: Container[str]) -> list[Problem]:
    problems = []
    names = sorted(path.name for path in root.iterdir()) if isinstance(root, Path) else root.names()
    for name in names:
        if is_leftover_name(name):
            problems.append(Problem(name, "left over from a run that was killed; run it again to clean up"))
        elif is_scene_folder_name(name) and name not in indexed:
            problems.append(Problem(name, "is not in the index; run the generator again to finish it"))
    return problems


def _damage(path: Path, entry: IndexEntry | None) -> list[Problem]:
    """Files that are not what the index says; none where there is no index."""
    if entry is None:
        return []
    if not path.is_dir():
        return [Problem(entry.folder, "is in the index and missing")]
    damaged = wrong_files(path, entry)
    damaged |= dict.fromkeys(unlisted_files(path, entry), "is not in the index")
    return [Problem(f"{entry.folder}/{name}", what) for name, what in damaged.items()]


def _defects(open_folder: Callable[[], SceneFolder], path: Path, entry: IndexEntry | None) -> list[Problem]:
    """What is wrong with the content of a scene."""
    try:
        checks = open_folder().checks(entry)
    except DatasetError as error:
        return [_problem(path, error)]
    problems = []
    for check in checks:
        try:
            check()
        except DatasetError as error:
            problems.append(_problem(path, error))
    return problems


def _problem(folder: Path, error: DatasetError) -> Problem:
    """The problem of an error "path: what is wrong" in a scene's folder."""
    path, _, what = f"{folder.absolute().name}{str(error).removeprefix(str(folder))}".partition(": ")
    return Problem(path, what)


def _noise_notes(folders: list[BillboardFolder]) -> tuple[str, ...]:
    above = Counter(
        folder.scene_document["noise"]
        for folder in folders
        for noise in folder.info["noise_rmse"].values()
        if noise > folder.scene_document["noise"]
    )
    return tuple(
        f"{count} {'picture has' if count == 1 else 'pictures have'} more noise than the {asked:g} asked for "
        "(the tracer's largest set of lens points)"
        for asked, count in above.items()
    )


def _missing_notes(folders: list[SceneFolder]) -> tuple[str, ...]:
    missing = Counter(what for folder in folders if isinstance(folder, ImportedFolder) for what in folder.missing)
    return tuple(
        f"{count} {'scene has' if count == 1 else 'scenes have'} no {what}: not in what was imported"
        for what, count in missing.items()
    )


def _retrace_noisiest(folders: list[BillboardFolder], retrace: Retrace) -> tuple[str, list[Problem]]:
    folder, setting, noise = max(
        (
            (folder, setting, folder.info["noise_rmse"][bokeh_file(setting, folder.image_format)])
            for folder in folders
            for setting in stored_settings(folder.stack())
        ),
        key=lambda candidate: candidate[2],
    )
    asked = folder.scene_document["noise"]
    traced = retrace(folder.scene(), folder.stack(), setting, asked)
    rmse = display_rmse(
        folder.bokeh(*setting), display_from_linear(traced, setting.gamma) ** REFERENCE_GAMMA, REFERENCE_GAMMA
    )
    # A tracer that stopped at its largest set of lens points stops there again.
    allowed = max(2.0 * math.hypot(noise, max(noise, asked)), _HALF_ROUNDING_DISPLAY)
    path = f"{folder.name}/{bokeh_file(setting, folder.image_format)}"
    if rmse > allowed:
        return path, [Problem(path, f"traced again it differs by {rmse:.5f} display RMSE, more than {allowed:.5f}")]
    return path, []
