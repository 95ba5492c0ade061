"""Data of others into a dataset of ours: folders of BLB, pairs in any layout, plain folders, archives.

What the source has not is left out and named. Colour becomes half float, or 16-bit PNG where the source is of integers.
"""

import hashlib
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bokehdata.blb_export import INFO_KEYS
from bokehdata.cases import Case, Plate, Stored
from bokehdata.folder import SceneFolder
from bokehdata.format import (
    DATASET_FILE,
    DEPTH_FILE,
    DatasetError,
    ImageFormat,
    bokeh_settings,
    disparity_of,
)
from bokehdata.kinds.blb import BlbFolder
from bokehdata.kinds.imported import ImportedFolder, ImportedPreview, ImportedScene, in_range, write_imported
from bokehdata.opening import open_cases
from bokehdata.origins import as_pairs
from bokehdata.pairs import layout_of
from bokehdata.pairs.pair import OnMisfit, PhotoPair, refuse
from bokehdata.plain import is_plain
from bokehdata.reader import Dataset
from bokehdata.shards import archives
from bokehdata.stored_writer import dataset_writer
from bokehdata.writer import SceneWriter
from runtime.files import sha256_of
from runtime.storage import Place
from scenes.arrays import Picture
from scenes.color import HALF_MAX, linear_from_display
from scenes.decode import DecodeError, header_of
from scenes.lens import distance_from_disparity
from scenes.stack import Stack

# What no source tells, and what a pair does not tell either.
_NEVER = ("noise estimate", "layers")
_OF_NO_PAIR = ("depth", "camera")


class Found(NamedTuple):
    """What a folder holds.

    layout   "blb", the name of a set of pairs, "plain", or "archives"
    scenes   of BLB, or pairs
    """

    layout: str
    scenes: Sequence[BlbFolder | Case]


def found_in(root: Path, on_misfit: OnMisfit = refuse) -> Found:
    """What can be imported from a folder; DatasetError where there is nothing, or a dataset of ours already."""
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    if (root / DATASET_FILE).is_file():
        raise DatasetError(f"{root}: is a dataset already; use it as it is")
    layout = layout_of(root)
    name = "plain" if is_plain(root) else layout.name if layout else "archives" if archives(root) else ""
    if name:
        return Found(name, open_cases(root, on_misfit))
    scenes = list(Dataset(root))
    for scene in scenes:
        if not isinstance(scene, BlbFolder):
            raise DatasetError(f"{scene.path}: is a scene of kind {scene.kind}; folders of BLB and pairs are imported")
    return Found("blb", [scene for scene in scenes if isinstance(scene, BlbFolder)])


class Imported(NamedTuple):
    """What was done: scenes written now, and of how many of all the source lacks something, by what it lacks."""

    made: int
    missing: Mapping[str, int]


def import_scenes(
    found: Found, out: Place, *, software: Mapping[str, str], on_scene: Callable[[], None] = lambda: None
) -> Imported:
    """Write the scenes that are not there yet as a dataset.

    software   versions, for `dataset.yaml`
    on_scene   called after each scene
    raises     DatasetError for a folder of something else, and for what cannot be read or written
    """
    header = {
        "generator": "bokehforge import",
        "source": {"layout": found.layout, "first": as_pairs(found.scenes[0].origins)},
        "pixel_rule": "box: mean over the area" if found.layout == "blb" else "that of a camera",
        "border_rule": "that of the source",
        "colour": "linear = display ** gamma; files without a suffix at gamma 2.2",
        "licence": "that of the source, which is not known here",
        "software": dict(software),
    }
    wanted, made = range(len(found.scenes)), 0
    with dataset_writer(out, header) as dataset:
        finished = dataset.finished(wanted)
        for scene_index in wanted:
            if scene_index not in finished:
                image_format = _format(found.scenes[scene_index])
                with SceneWriter(out, scene_index, image_format=image_format) as writer:
                    _write(writer, found.scenes[scene_index], found.layout, image_format)
                dataset.add(writer.entry)
                made += 1
            on_scene()
    folders = (scene for scene in Dataset(out) if isinstance(scene, ImportedFolder))
    return Imported(made, Counter(what for folder in folders for what in folder.missing))


def _write(writer: SceneWriter, source: BlbFolder | Case, layout: str, image_format: ImageFormat) -> None:
    where = source.path if isinstance(source, SceneFolder) else source.name
    scene = _of_blb(source) if isinstance(source, BlbFolder) else _of_case(source, layout)
    try:
        write_imported(writer, scene, image_format)
    except ValueError as error:
        raise DatasetError(f"{where}: {error}") from error
    preview = ImportedPreview(scene, f"scene {writer.scene_index:06d}")
    for setting in bokeh_settings(scene.stack):
        linear = in_range(source.bokeh(*setting) if isinstance(source, BlbFolder) else _linear(source.truth()))
        if linear.shape != scene.image.shape:
            raise DatasetError(f"{where}: its image is {scene.image.shape}, its truth is {linear.shape}")
        writer.write_stored_bokeh(setting, linear)
        preview.add(setting, linear)
    preview.write(writer)


def _of_blb(folder: BlbFolder) -> ImportedScene:
    stack, depth = folder.stack(), np.minimum(folder.depth(), np.float32(HALF_MAX))
    if not depth.min() > 0.0:
        raise DatasetError(f"{folder.path / DEPTH_FILE}: depth begins at {depth.min()}; it must be above 0")
    files = [path for path in sorted(folder.path.iterdir()) if path.suffix in (".exr", ".png", ".json")]
    image = folder.image()
    told = {key: folder.info[key] for key in INFO_KEYS if key in folder.info}
    told |= {"resolution_x": image.shape[1], "resolution_y": image.shape[0], "focus_distances": _distances(stack)}
    told |= {"blur_parameters": list(stack.blur_parameters)}
    return ImportedScene(
        image=image,
        stack=stack,
        disparity=disparity_of(depth),
        depth=depth,
        info=_info(told, "1/m", stack),
        origins=folder.origins,
        source={"layout": "blb", "name": folder.name, "sha256": {path.name: sha256_of(path) for path in files}},
        missing=_NEVER,
    )


def _of_case(case: Case, layout: str) -> ImportedScene:
    image, disparity = _linear(case.image()), case.disparity()
    if disparity is not None and disparity.shape != image.shape[:2]:
        raise DatasetError(f"{case.name}: its image is {image.shape}, its disparity is {disparity.shape}")
    if disparity is not None and not (disparity.min() >= 0.0 and disparity.max() <= HALF_MAX):
        spans = f"{disparity.min():g} to {disparity.max():g}"
        raise DatasetError(
            f"{case.name}: its disparity spans {spans}, not [0, {HALF_MAX:.0f}]; shift or scale it, and its settings"
        )
    lens = {"blur_parameter": case.blur_parameter, "focus_disparity": case.focus_disparity}
    blur, focus = (math.nan if value is None else float(value) for value in lens.values())
    stack = Stack((blur,), (focus,), (case.gamma,), case.aperture, pixel="box")
    missing = [key.replace("_", " ") for key, value in lens.items() if value is None]
    missing += ["disparity"] if disparity is None else []
    told: dict[str, Any] = {"resolution_x": image.shape[1], "resolution_y": image.shape[0]}
    told |= {"focus_distances": _distances(stack), "blur_parameters": [case.blur_parameter]}
    plates: tuple[Plate, ...] = ("image", "truth", "disparity")
    source: dict[str, Any] = {"layout": layout, "name": case.name, "number": case.number}
    if isinstance(case, PhotoPair):
        # As BLB has it: of the pictures in the stack.
        told["f_stops"] = [case.f_numbers[1]]
        source["f_numbers"] = list(case.f_numbers)
    stored = {plate: case.stored(plate) for plate in plates}
    source["sha256"] = {plate: hashlib.sha256(file.data).hexdigest() for plate, file in stored.items() if file}
    return ImportedScene(
        image=image,
        stack=stack,
        disparity=disparity,
        depth=None,
        info=_info(told, "relative", stack),
        origins=case.origins,
        source=source,
        missing=(*missing, *_NEVER, *_OF_NO_PAIR),
    )


def _info(told: Mapping[str, Any], disparity_unit: str, stack: Stack) -> dict[str, Any]:
    """`info.json`: BLB's keys as far as they are known, then ours."""
    known = {key: told[key] for key in INFO_KEYS if key in told}
    return {**known, "disparity_unit": disparity_unit, "gammas": list(stack.gammas), "noise_rmse": {}, "samples": {}}


def _distances(stack: Stack) -> list[float | None]:
    return [None if math.isnan(d) else distance_from_disparity(d) for d in stack.focus_disparities]


def _linear(display: Picture) -> Picture:
    return linear_from_display(np.maximum(display, np.float32(0.0)))


def _format(source: BlbFolder | Case) -> ImageFormat:
    """PNG for pictures of integers, which then lose nothing; EXR for floating point."""
    if isinstance(source, BlbFolder):
        return source.image_format
    stored = source.stored("image")
    return "png" if stored is not None and not _is_floating(stored) else "exr"


def _is_floating(stored: Stored) -> bool:
    with tempfile.NamedTemporaryFile(suffix=stored.suffix) as aside:
        aside.write(stored.data)
        aside.flush()
        try:
            return header_of(Path(aside.name)).sample_bytes == 4
        except DecodeError as error:
            raise DatasetError(f"its image: {error}") from error
