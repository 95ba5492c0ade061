"""Scenes to train on and scenes to validate on, and the proof that none is both."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from bokehdata.cases import Case
from bokehdata.format import DATASET_FILE, DatasetError
from bokehdata.index import read_index


def split(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """(training, validation): the pictures of the last tenth of the scenes, one scene at least, are held out.

    DatasetError where there are fewer than two scenes.
    """
    origins = list(dict.fromkeys(case.origin for case in cases))
    if len(origins) < 2:
        raise DatasetError(f"there are {len(origins)} scenes; training needs two at least, one of them to validate on")
    held_out = set(origins[-max(1, len(origins) // 10) :])
    return [case for case in cases if case.origin not in held_out], [case for case in cases if case.origin in held_out]


def require_disjoint(training: Sequence[Case], validation: Sequence[Case]) -> None:
    """DatasetError where a scene of one is in the other, as `Case.origin` tells scenes apart."""
    trained = {case.origin: case for case in training}
    for case in validation:
        if (other := trained.get(case.origin)) is not None:
            scene, same = case.files()[0], other.files()[0]
            raise DatasetError(f"{scene}: is the scene of {same}, which is trained on; validate on another seed")


def digest(folder: Path, cases: Sequence[Case]) -> str:
    """sha256 of a dataset's content: of its index, which has the checksum of every file; else of the cases in it."""
    if (folder / DATASET_FILE).is_file():
        parts = [entry.to_line() for entry in read_index(folder)[0].values()]
    else:
        parts = [case.digest() for case in cases]
    return hashlib.sha256("".join(parts).encode()).hexdigest()
