"""RealBokeh (Seizinger et al. 2025): pictures at f/22 and truths at f/2 to f/20, in `train`, `validation` and `test`.

metadata/7.json      id, source_image, target_images, target_avs (f-numbers), and more: `metadata` of its pairs
in/7.JPG             the source_image
gt/7/7_f2.0.JPG      one of the target_images; paths are relative to the part
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bokehdata.cases import Case
from bokehdata.documents import read_json
from bokehdata.format import DatasetError
from bokehdata.pairs.pair import OnMisfit, PhotoPair, fits, in_order, parts
from runtime.documents import is_number

_INPUT_F_NUMBER = 22.0


def is_realbokeh(root: Path) -> bool:
    """Whether a folder is laid out so."""
    return bool(parts(root, _is_part))


def realbokeh_pairs(root: Path, on_misfit: OnMisfit) -> list[Case]:
    """The pairs by part, scene and place in its metadata."""
    return [pair for prefix, part in parts(root, _is_part) for pair in _pairs(part, prefix, on_misfit)]


def _is_part(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in ("in", "gt", "metadata"))


def _pairs(part: Path, prefix: str, on_misfit: OnMisfit) -> Iterator[Case]:
    for path in in_order((part / "metadata").glob("*.json")):
        try:
            metadata = read_json(path)
            source, targets = _listed(metadata)
        except DatasetError as error:
            on_misfit(path, str(error).removeprefix(f"{path}: "))
            continue
        except ValueError as error:
            on_misfit(path, str(error))
            continue
        for target, f_number in targets:
            if fits(part / source, part / target, on_misfit):
                yield PhotoPair(
                    name=f"{prefix}{Path(target).stem}",
                    scene=f"{prefix}{path.stem}",
                    image_file=part / source,
                    truth_file=part / target,
                    f_numbers=(_INPUT_F_NUMBER, f_number),
                    metadata=metadata,
                )


def _listed(metadata: dict[str, Any]) -> tuple[str, list[tuple[str, float]]]:
    """(input, [(truth, its f-number), ...]); ValueError where the metadata do not say."""
    source, targets, f_numbers = (metadata.get(key) for key in ("source_image", "target_images", "target_avs"))
    if not isinstance(source, str):
        raise ValueError(f"source_image is {source!r}; it must be a path")
    if not (isinstance(targets, list) and all(isinstance(target, str) for target in targets)):
        raise ValueError(f"target_images is {targets!r}; it must list paths")
    if not (isinstance(f_numbers, list) and len(f_numbers) == len(targets) and all(is_number(f) for f in f_numbers)):
        raise ValueError(f"target_avs is {f_numbers!r}; it must list an f-number of each of {len(targets)} images")
    return source, list(zip(targets, map(float, f_numbers), strict=True))
