"""Scenes and pairs that others made, in our layout: with checksums, and with where they came from.

They have what their source has. `scene.yaml` lists under `missing` what it has not; a lens that nobody knows is null
there, and not a number (NaN) in the stack.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from bokehdata.checks import bokeh_files, checked_picture, checked_plane, require_depth, require_preview
from bokehdata.folder import Check, SceneFolder
from bokehdata.format import (
    DEPTH_FILE,
    DISPARITY_FILE,
    INFO_FILE,
    PREVIEW_FILE,
    SCENE_FILE,
    BokehSetting,
    DatasetError,
    ImageFormat,
    bokeh_file,
    bokeh_settings,
    disparity_of,
    frame_document,
    image_file,
    stack_from_scene_document,
)
from bokehdata.index import IndexEntry
from bokehdata.origins import Origins, as_pairs, from_pairs
from bokehdata.preview import ContactSheet, encode_jpeg
from bokehdata.writer import SceneWriter
from runtime.documents import shown
from scenes.arrays import Picture, Plane
from scenes.color import HALF_MAX
from scenes.stack import Stack

KIND = "imported"


@dataclass(frozen=True, eq=False)
class ImportedScene:
    """A scene as its source has it.

    image        all in focus: (H, W, 3) linear light at gamma 2.2
    stack        its lens settings; NaN for a blur parameter or a focus that is not known
    disparity    (H, W) float32, None where it is not known
    depth        (H, W) float32 planar depth in metres, None where it is not known
    info         plain values for `info.json`
    origins      what it shows, by content
    source       plain values that tell where it came from
    missing      what the source does not have, in words
    """

    image: Picture
    stack: Stack
    disparity: Plane | None
    depth: Plane | None
    info: Mapping[str, Any]
    origins: Origins
    source: Mapping[str, Any]
    missing: Sequence[str]

    @property
    def has_preview(self) -> bool:
        """Whether enough is known for a contact sheet."""
        return self.disparity is not None and is_known(self.stack)


def is_known(stack: Stack) -> bool:
    """Whether every lens of a stack is known."""
    return all(math.isfinite(value) for value in (*stack.blur_parameters, *stack.focus_disparities))


class ImportedPreview:
    """The contact sheet of a scene, picture by picture; nothing where too little is known for one."""

    def __init__(self, scene: ImportedScene, title: str):
        self._sheet = None
        if scene.has_preview and scene.disparity is not None:
            height, width = scene.image.shape[:2]
            unit = str(scene.info["disparity_unit"])
            self._sheet = ContactSheet(
                title, width=width, height=height, num_layers=0, stack=scene.stack, disparity_unit=unit
            )
            self._sheet.add_image(scene.image)
            self._sheet.add_disparity(scene.disparity)

    def add(self, setting: BokehSetting, stored: Picture) -> None:
        if self._sheet is not None:
            self._sheet.add_bokeh(setting.blur_index, setting.focus_index, stored)

    def write(self, writer: SceneWriter) -> None:
        if self._sheet is not None:
            writer.write_preview(encode_jpeg(self._sheet.picture()))


def write_imported(writer: SceneWriter, scene: ImportedScene, image_format: ImageFormat) -> None:
    """Write the all-in-focus picture, the planes that are known, `info.json` and `scene.yaml`.

    What is beyond the range of a half float becomes its largest number, and what is below 0 becomes 0.
    """
    height, width = scene.image.shape[:2]
    planes = {DISPARITY_FILE: scene.disparity, DEPTH_FILE: scene.depth}
    files = [image_file(image_format), *(bokeh_file(s, image_format) for s in bokeh_settings(scene.stack)), INFO_FILE]
    files += [name for name, plane in planes.items() if plane is not None]
    files += [PREVIEW_FILE] if scene.has_preview else []
    frame = frame_document(KIND, width, height, 0, scene.stack, scene_index=writer.scene_index, seed=0)
    # It was drawn from no seed of ours.
    del frame["seed"]
    for key in ("blur_parameters", "focus_disparities"):
        frame[key] = [value if math.isfinite(value) else None for value in frame[key]]
    document = {
        **frame,
        "missing": list(scene.missing),
        "shows": as_pairs(scene.origins),
        "source": dict(scene.source),
        "files": sorted(files),
    }
    writer.write_image(in_range(scene.image))
    for name, plane in planes.items():
        if plane is not None:
            writer.write_plane(name, plane)
    writer.write_given_documents(document, scene.info, scene.stack)


def in_range(linear: Picture) -> Picture:
    """Linear light that files can hold: in [0, 65504]."""
    return np.clip(linear, 0.0, HALF_MAX)


class ImportedFolder(SceneFolder):
    """The folder of a scene that others made."""

    kind = KIND

    @cached_property
    def origins(self) -> Origins:
        with self.interpreting():
            return from_pairs("shows", self.scene_document["shows"])

    @property
    def missing(self) -> list[str]:
        """What the source did not have, in words."""
        missing = self.scene_document.get("missing")
        if not (isinstance(missing, list) and all(isinstance(what, str) for what in missing)):
            raise DatasetError(f"{self.path / SCENE_FILE}: missing is {shown(missing)}; it must list texts")
        return missing

    @property
    def number(self) -> int | None:
        with self.interpreting():
            number = self.scene_document["source"].get("number")
            if number is not None and type(number) is not int:
                raise ValueError(f"number is {shown(number)}; it must be a whole number, or null")
            return number

    @property
    def has_disparity(self) -> bool:
        with self.interpreting():
            return DISPARITY_FILE in self.scene_document["files"]

    def stack(self) -> Stack:
        with self.interpreting():
            listed = {key: list(self.scene_document[key]) for key in ("blur_parameters", "focus_disparities")}
            stand_ins = {key: [0.0 if value is None else value for value in values] for key, values in listed.items()}
            stack = stack_from_scene_document({**self.scene_document, **stand_ins})
            known = {key: tuple(math.nan if v is None else v for v in values) for key, values in listed.items()}
            return replace(stack, **known)

    def checks(self, entry: IndexEntry | None) -> list[Check]:
        stack = self.stack()
        with self.interpreting():
            shape = int(self.scene_document["height"]), int(self.scene_document["width"])
            files = set(self.scene_document["files"])
        pictures = [image_file(self.image_format), *bokeh_files(self, stack)]
        checks: list[Check] = [
            lambda: self._require_files(files, pictures),
            lambda: self._require_info(stack, shape),
            lambda: self._require_planes(files, shape),
            lambda: self._require_entry(entry, len(pictures) - 1),
            lambda: (self.origins, self.missing, self.number),
        ]
        if PREVIEW_FILE in files:
            checks.append(lambda: require_preview(self))
        return checks + [partial(checked_picture, self.path / name, shape) for name in pictures]

    def _require_files(self, files: set[str], pictures: Sequence[str]) -> None:
        """The files are those that were written."""
        for name in (*pictures, INFO_FILE):
            if name not in files:
                raise DatasetError(f"{self.path / SCENE_FILE}: {name} is not in files")
        present = {path.name for path in self.path.iterdir() if path.is_file()}
        for name in sorted(files - present):
            raise DatasetError(f"{self.path / name}: no such file")

    def _require_info(self, stack: Stack, shape: tuple[int, int]) -> None:
        blur = [value if math.isfinite(value) else None for value in stack.blur_parameters]
        wanted = {"resolution_x": shape[1], "resolution_y": shape[0], "blur_parameters": blur}
        for key, value in wanted.items():
            if self.info.get(key) != value:
                raise DatasetError(
                    f"{self.path / INFO_FILE}: {key} is {shown(self.info.get(key))}, by {SCENE_FILE} it must be {value}"
                )

    def _require_planes(self, files: set[str], shape: tuple[int, int]) -> None:
        disparity = checked_plane(self.path / DISPARITY_FILE, shape) if DISPARITY_FILE in files else None
        if DEPTH_FILE in files:
            depth = checked_plane(self.path / DEPTH_FILE, shape)
            require_depth(self.path / DEPTH_FILE, depth)
            if disparity is None or not np.array_equal(disparity, disparity_of(depth)):
                raise DatasetError(f"{self.path / DISPARITY_FILE}: is not 1 / depth, 0 at {HALF_MAX:.0f}")

    def _require_entry(self, entry: IndexEntry | None, pictures: int) -> None:
        if entry is not None and (entry.images, entry.noise_rmse_max) != (pictures, None):
            raise DatasetError(f"{self.path}: image count or noise in the index differ from {SCENE_FILE}")
