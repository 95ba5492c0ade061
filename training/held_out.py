"""Scenes to train on and scenes to validate on, and the proof that none is both."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bokehdata.cases import Case
from bokehdata.format import DATASET_FILE, DatasetError
from bokehdata.origins import Origin, Origins
from bokehdata.reader import Dataset
from bokehdata.shards.writing import shards_of
from runtime.command import counted
from runtime.storage import Place


def split(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """(training, validation): the pictures of the last tenth of the scenes, one scene at least, are held out.

    Scenes that share a photograph stay together, so that more may be held out, and the largest group is trained on.

    DatasetError where there are fewer than two scenes, or all of them hang together.
    """
    scenes = list(dict.fromkeys(case.origins for case in cases))
    if len(scenes) < 2:
        raise DatasetError(f"{counted(len(scenes), 'scene')}; training needs two at least, one of them to validate on")
    groups = _connected(scenes)
    if len(groups) < 2:
        raise DatasetError(
            f"all {len(scenes)} scenes share photographs or cut-outs with one another; "
            "give --validation a folder that is made of others"
        )
    held_out: set[Origins] = set()
    largest = max(groups, key=len)
    for group in reversed(groups):
        if len(held_out) < max(1, len(scenes) // 10) and group is not largest:
            held_out.update(group)
    training = [case for case in cases if case.origins not in held_out]
    return training, [case for case in cases if case.origins in held_out]


def _connected(scenes: Iterable[Origins]) -> list[list[Origins]]:
    """Groups of scenes, in the order of their first ones. Two scenes that share an origin are in one group."""
    leader: dict[Origin, Origin] = {}

    def led_by(origin: Origin) -> Origin:
        while (above := leader.setdefault(origin, origin)) != origin:
            leader[origin] = leader[above]
            origin = above
        return origin

    scenes = list(scenes)
    for first, *others in scenes:
        for other in others:
            leader[led_by(other)] = led_by(first)
    groups: dict[Origin, list[Origins]] = {}
    for scene in scenes:
        groups.setdefault(led_by(next(iter(scene))), []).append(scene)
    return list(groups.values())


def require_disjoint(training: Sequence[Case], validation: Sequence[Case]) -> None:
    """DatasetError where pictures of both show the same, by `Case.origins`."""
    trained = {origin: case for case in training for origin in case.origins}
    for case in validation:
        if shared := case.origins & trained.keys():
            origin = min(shared, key=str)
            raise DatasetError(
                f"{case.files()[0]}: shows the same as {trained[origin].files()[0]} ({origin}), which is trained on; "
                "validate on another seed, or on other pictures"
            )


def described(folder: Place, cases: Sequence[Case], role: str) -> dict[str, Any]:
    """A dataset in a few plain values: its role, its digest, and its recipe and seed where it is one of ours."""
    header = Dataset(folder).header if (folder / DATASET_FILE).is_file() else {}
    recipe = header.get("recipe")
    made = {"recipe": recipe["name"] if isinstance(recipe, dict) else recipe, "seed": header.get("seed")}
    known = {key: value for key, value in made.items() if value is not None}
    return {"role": role, "sha256": digest(folder, cases), **known}


def digest(folder: Place, cases: Sequence[Case]) -> str:
    """sha256 of a dataset's content: of what lists the checksum of every file; else of the cases in it."""
    if (folder / DATASET_FILE).is_file():
        parts = [entry.to_line() for entry in Dataset(folder).entries().values()]
    elif isinstance(folder, Path) and (shards := shards_of(folder)):
        parts = [shard["sha256"] for shard in shards]
    else:
        parts = [case.digest() for case in cases]
    return hashlib.sha256("".join(parts).encode()).hexdigest()
