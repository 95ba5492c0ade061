"""Layers that were found in a photograph: colour, alpha and disparity at every texel, also of what nearer ones hide.

There is no truth, and no bokeh stack. The folder holds all that is needed to see the photograph through any lens:

    scene.yaml                   frame, how the layers were made, the sha256 of every other file
    image.exr                    the photograph, linear at the reference gamma, half, RGB
    disparity.exr                its disparity as it was given, float
    layers/LL.exr                half RGBA, straight alpha, linear at the reference gamma, 00 the nearest
    layers/LL_disparity.exr      float
    profile.icc                  colour profile of the photograph, where it has one
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bokehdata import images
from bokehdata.checks import checked_picture, checked_plane, require_stored
from bokehdata.documents import read_yaml, require_schema, yaml_text
from bokehdata.folder import Check, SceneFolder
from bokehdata.format import (
    DISPARITY_FILE,
    SCENE_FILE,
    SCHEMA_VERSION,
    DatasetError,
    image_file,
    is_browser_name,
    layer_disparity_file,
    layer_file,
    writing,
)
from bokehdata.index import IndexEntry
from bokehdata.origins import Origins, picture_origin
from runtime.documents import is_number, shown
from runtime.files import sha256_of, sync, unfinished
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA
from scenes.layered_depth import DepthImage, LayeredDepthImage
from scenes.stack import Stack

KIND = "layers"
PROFILE_FILE = "profile.icc"

# More are not ours, and would take long to read.
_LAYERS_MAX = 64
_PROFILE_BYTES_MAX = 16 * 2**20


@dataclass(frozen=True, eq=False)
class RevealedPhotograph:
    """A photograph with the layers that were found in it.

    linear            (H, W, 3) linear light at the reference gamma, in [0, 65504]
    disparity         (H, W) float32, as it was given, in [0, 65504] after `disparity_shift`
    layers            near to far
    analysis          name of the layering
    reach_px          largest blur radius that the layers were made for; infinite where any
    disparity_unit    "1/m", or "relative"
    disparity_shift   what was added to the map, so that it is nowhere below 0
    sources           plain values that tell what it was made from: sha256 of the picture, of the map, ...
    icc               colour profile of the picture, b"" for none
    """

    linear: Picture
    disparity: Plane
    layers: LayeredDepthImage
    analysis: str
    reach_px: float = float("inf")
    disparity_unit: str = "relative"
    disparity_shift: float = 0.0
    sources: Mapping[str, Any] = field(default_factory=dict)
    icc: bytes = b""


def is_layers(path: Path) -> bool:
    """Whether a folder is one of layers; DatasetError for a `scene.yaml` that cannot be read."""
    return (path / SCENE_FILE).is_file() and read_yaml(path / SCENE_FILE).get("kind") == KIND


def write_layers(path: Path, photograph: RevealedPhotograph) -> None:
    """Write the folder; it appears under its name when it is complete. DatasetError where `path` is there already."""
    if path.exists() or path.is_symlink():
        raise DatasetError(f"{path}: is there already; remove it, or name another")
    aside = unfinished(path)
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with writing(path):
            (aside / layer_file(0)).parent.mkdir(parents=True)
            _write_files(aside, photograph)
            files = sorted(file for file in aside.rglob("*") if file.is_file())
            document = _document(photograph, {_name(file, aside): sha256_of(file) for file in files})
            (aside / SCENE_FILE).write_text(yaml_text(document), "utf-8")
            for file in (*files, aside / SCENE_FILE, aside / "layers", aside):
                sync(file)
            aside.rename(path)
            sync(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_files(folder: Path, photograph: RevealedPhotograph) -> None:
    images.write_exr_rgb(folder / image_file("exr"), photograph.linear)
    images.write_exr_plane(folder / DISPARITY_FILE, photograph.disparity)
    for i, layer in enumerate(photograph.layers.layers):
        if layer.repeats is not None:
            raise ValueError(f"layer {i} repeats a nearer one; layers are stored as they are found, for no lens")
        images.write_exr_rgba(folder / layer_file(i), layer.rgba)
        images.write_exr_plane(folder / layer_disparity_file(i), layer.disparity)
    if photograph.icc:
        (folder / PROFILE_FILE).write_bytes(photograph.icc)


def _document(photograph: RevealedPhotograph, files: Mapping[str, str]) -> dict[str, Any]:
    """The content of `scene.yaml`."""
    layers = photograph.layers
    return {
        "schema": SCHEMA_VERSION,
        "kind": KIND,
        "width": layers.width,
        "height": layers.height,
        "overscan": layers.overscan,
        "reference_gamma": REFERENCE_GAMMA,
        "disparity_unit": photograph.disparity_unit,
        "disparity_shift": float(photograph.disparity_shift),
        "analysis": photograph.analysis,
        "reach_px": None if np.isinf(photograph.reach_px) else float(photograph.reach_px),
        "sources": dict(photograph.sources),
        "layers": [
            {"file": layer_file(i), "disparity_file": layer_disparity_file(i)} for i in range(len(layers.layers))
        ],
        "files": dict(files),
    }


class LayersFolder(SceneFolder):
    """The folder of a photograph's layers."""

    kind = KIND

    @classmethod
    def at(cls, path: Path) -> "LayersFolder":
        """The folder at a path; DatasetError where it holds no layers, or those of another schema."""
        if not is_layers(path):
            raise DatasetError(f"{path}: is a folder without layers of a photograph; `bokehforge layers` writes them")
        document = read_yaml(path / SCENE_FILE)
        require_schema(path / SCENE_FILE, document)
        return cls(path, document)

    @cached_property
    def origins(self) -> Origins:
        """The photograph, by the content of its file."""
        with self.interpreting():
            return frozenset({picture_origin(self.scene_document["sources"]["picture_sha256"])})

    def stack(self) -> Stack:
        raise DatasetError(f"{self.path}: holds layers of a photograph; they have no truth to measure or to train on")

    def layers(self) -> LayeredDepthImage:
        with self.interpreting():
            document = self.scene_document
            width, height, overscan = (self._count(key) for key in ("width", "height", "overscan"))
            if not 1 <= len(document["layers"]) <= _LAYERS_MAX:
                raise ValueError(f"{len(document['layers'])} layers; 1 to {_LAYERS_MAX} are read")
            shape = height + 2 * overscan, width + 2 * overscan
            layers = tuple(self._layer(names, shape) for names in document["layers"])
            return LayeredDepthImage(layers, width, height, overscan)

    def _layer(self, names: Mapping[str, Any], shape: tuple[int, int]) -> DepthImage:
        path, disparity_path = self._file(names["file"]), self._file(names["disparity_file"])
        rgba, disparity = images.read_exr(path), images.read_exr_plane(disparity_path)
        for file, plane in ((path, rgba), (disparity_path, disparity)):
            # Before the next one is read: a document that asks for many large files is refused at the first.
            if plane.shape[:2] != shape:
                raise DatasetError(f"{file}: is {plane.shape[:2]}, by {SCENE_FILE} it must be {shape}")
        return DepthImage(rgba, disparity)

    @property
    def disparity_shift(self) -> float:
        """What was added to the map that was given: disparities here are larger than its own by this much."""
        shift = self.scene_document.get("disparity_shift", 0.0)
        if not is_number(shift):
            raise DatasetError(f"{self.path / SCENE_FILE}: disparity_shift is {shown(shift)}; it must be a number")
        return float(shift)

    @property
    def reach_px(self) -> float:
        """Largest blur radius that the layers were made for; infinite where any."""
        reach = self.scene_document.get("reach_px")
        if reach is not None and not (is_number(reach) and reach > 0.0):
            raise DatasetError(f"{self.path / SCENE_FILE}: reach_px is {shown(reach)}; it must be above 0, or null")
        return float("inf") if reach is None else float(reach)

    @property
    def is_metric(self) -> bool:
        """Whether disparities are in 1/m."""
        return self.scene_document.get("disparity_unit") == "1/m"

    def icc(self) -> bytes:
        """The colour profile of the photograph, b"" for none."""
        path = self.path / PROFILE_FILE
        if not path.is_file():
            return b""
        if path.stat().st_size > _PROFILE_BYTES_MAX:
            raise DatasetError(f"{path}: is larger than {_PROFILE_BYTES_MAX // 2**20} MiB")
        return path.read_bytes()

    def checks(self, entry: IndexEntry | None) -> list[Check]:
        return [self._require_files, self._require_pictures, self._require_layers]

    def _file(self, name: Any) -> Path:
        if not isinstance(name, str) or name.startswith("/") or ".." in name.split("/") or "\0" in name:
            raise ValueError(f"the file {shown(name)} is none of the folder")
        return self.path / name

    def _count(self, key: str) -> int:
        value = self.scene_document[key]
        if type(value) is not int or value < 0:
            raise ValueError(f"{key} is {shown(value)}; it must be a whole number of at least 0")
        return value

    def _require_files(self) -> None:
        """The files are those that were written, and no other."""
        with self.interpreting():
            wanted = {str(self._file(name)): sha256 for name, sha256 in self.scene_document["files"].items()}
        for name, sha256 in wanted.items():
            try:
                found = sha256_of(Path(name))
            except (OSError, ValueError) as error:  # the latter for names that no file can have
                raise DatasetError(f"{name}: {getattr(error, 'strerror', error)}") from error
            if found != sha256:
                raise DatasetError(f"{name}: has the sha256 {found[:12]}, by {SCENE_FILE} it must be {shown(sha256)}")
        for folder, _, names in os.walk(self.path):
            for path in (Path(folder) / name for name in sorted(names)):
                if str(path) not in wanted and path != self.path / SCENE_FILE and not is_browser_name(path.name):
                    raise DatasetError(f"{path}: is not listed in {SCENE_FILE}")

    def _require_pictures(self) -> None:
        with self.interpreting():
            shape = self._count("height"), self._count("width")
        checked_picture(self.path / image_file("exr"), shape)
        checked_plane(self.path / DISPARITY_FILE, shape)
        _ = self.origins, self.reach_px, self.disparity_shift

    def _require_layers(self) -> None:
        layers = self.layers()
        for i, names in enumerate(self.scene_document["layers"]):
            require_stored(self._file(names["file"]), layers.layers[i].rgba, (*layers.extended_shape, 4), np.float16)
            checked_plane(self._file(names["disparity_file"]), layers.extended_shape)


def shifted(layers: LayeredDepthImage, by: float) -> LayeredDepthImage:
    """Layers whose disparities are all larger by so much."""
    if by == 0.0:
        return layers
    moved = tuple(DepthImage(layer.rgba, layer.disparity + np.float32(by)) for layer in layers.layers)
    return LayeredDepthImage(moved, layers.width, layers.height, layers.overscan)


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()
