"""What pictures show, by content: the identities that two datasets share if they show the same thing.

Folders and file names do not matter, so a copy of a scene in another place has the origins of the first. A scene has
several where it is made of several pictures.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bokehdata.format import DatasetError
from runtime.documents import shown
from runtime.files import sha256_of


class Origin(NamedTuple):
    """One thing that pictures show.

    kind    "scene of seed 7" for billboards of ours, "picture", "blend", "Blender scene attic", ...
    value   its number, or the sha256 of its file in hexadecimal digits
    """

    kind: str
    value: int | str

    def __str__(self) -> str:
        return f"{self.kind}: {self.value if isinstance(self.value, int) else self.value[:12]}"


Origins = frozenset[Origin]


def scene_origin(seed: int, scene: int) -> Origin:
    """A scene of ours. Recipes that differ share the random choices of equal seeds and numbers."""
    return Origin(f"scene of seed {seed}", scene)


def picture_origin(sha256: str) -> Origin:
    """A picture file: a photograph or a cut-out of the user's own, an all-in-focus picture."""
    return Origin("picture", sha256)


def origin_of_file(path: Path) -> Origin:
    """The origin of a picture file; DatasetError where it cannot be read."""
    try:
        return picture_origin(sha256_of(path))
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from error


def listed(origins: Iterable[Origin]) -> dict[str, list]:
    """Origins as plain values, short and sorted: the values by kind, a run of numbers as [first, last]."""
    document: dict[str, list] = {}
    for kind, value in sorted(origins, key=lambda origin: (origin.kind, str(type(origin.value)), origin.value)):
        values = document.setdefault(kind, [])
        if isinstance(value, str):
            values.append(value)
        elif values and isinstance(values[-1], list) and values[-1][1] == value - 1:
            values[-1][1] = value
        else:
            values.append([value, value])
    return document


def as_pairs(origins: Origins) -> list[list]:
    """Origins as plain values: [kind, value] of each, sorted. What strangers may write has no runs of numbers."""
    return sorted(map(list, origins), key=str)


def from_pairs(key: str, pairs: Any) -> Origins:
    """The origins that `as_pairs` wrote, at least one; ValueError for what a document holds else under a key."""
    try:
        origins = frozenset(Origin(kind, value) for kind, value in pairs)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key} is {shown(pairs)}; it must list [kind, value]") from error
    if not origins or not all(isinstance(o.kind, str) and isinstance(o.value, str | int) for o in origins):
        raise ValueError(f"{key} is {shown(pairs)}; it must list [kind, value]")
    return origins


def from_list(document: Mapping[str, Sequence[Any]]) -> Origins:
    """The origins that `listed` wrote; ValueError for a document of another shape."""
    origins: set[Origin] = set()
    try:
        for kind, values in document.items():
            for value in values:
                if isinstance(value, str):
                    origins.add(Origin(kind, value))
                else:
                    first, last = value
                    origins.update(Origin(kind, number) for number in range(first, last + 1))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"does not list origins ({error})") from error
    return frozenset(origins)
