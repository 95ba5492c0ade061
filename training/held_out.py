"""Scenes to train on and scenes to validate on, and the proof that none is both."""

import hashlib
from collections.abc import Sequence

from bokehdata.format import INDEX_FILE, DatasetError
from bokehdata.index import read_index
from bokehdata.reader import Dataset, SceneFolder


def split(scenes: Sequence[SceneFolder]) -> tuple[list[SceneFolder], list[SceneFolder]]:
    """(training, validation): the last tenth of the scenes, one at least, is held out.

    DatasetError where there are fewer than two.
    """
    if len(scenes) < 2:
        raise DatasetError(f"there are {len(scenes)} scenes; training needs two at least, one of them to validate on")
    held_out = max(1, len(scenes) // 10)
    return list(scenes[:-held_out]), list(scenes[-held_out:])


def require_disjoint(training: Sequence[SceneFolder], validation: Sequence[SceneFolder]) -> None:
    """DatasetError where a scene of one is in the other: the same draw of the same seed, or the same folder.

    Scenes of equal seed and number share their random choices even if their recipes differ, and count as the same.
    """
    trained = {origin(scene): scene for scene in training}
    for scene in validation:
        if (other := trained.get(origin(scene))) is not None:
            raise DatasetError(
                f"{scene.path}: is the scene {other.path}, which is trained on; validate on another seed"
            )


def origin(scene: SceneFolder) -> tuple:
    """What makes a scene: (seed, number) of ours, the folder of others."""
    if scene.has_billboards:
        return scene.scene_document["seed"], scene.scene_document["scene"]
    return (scene.path.resolve(),)


def digest(dataset: Dataset) -> str:
    """sha256 of a dataset's content: of its index, which has the checksum of every file; else of all its files."""
    if dataset.is_indexed:
        entries = read_index(dataset.root)[0].values()
        return hashlib.sha256("".join(entry.to_line() for entry in entries).encode()).hexdigest()
    content = hashlib.sha256()
    for scene in dataset:
        for path in sorted(path for path in scene.path.iterdir() if path.is_file()):
            content.update(f"{scene.name}/{path.name}\n".encode())
            with path.open("rb") as file:
                content.update(hashlib.file_digest(file, "sha256").digest())
    if not len(dataset):
        raise DatasetError(f"{dataset.root / INDEX_FILE}: names no finished scene")
    return content.hexdigest()
