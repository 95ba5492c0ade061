"""Reading our datasets, and folders in the layout of BLB, scene by scene.

for scene in Dataset("datasets/default"):
    image = scene.image()                             # (H, W, 3) linear
    for setting in scene.bokeh_settings():
        bokeh = scene.bokeh(*setting)
        lens = scene.lens(setting.blur_index, setting.focus_index)
        defocus = lens.defocus_px(scene.disparity())
"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from bokehdata import images
from bokehdata.format import (
    DATASET_FILE,
    DEPTH_FILE,
    DISPARITY_FILE,
    INDEX_FILE,
    INFO_FILE,
    SCENE_FILE,
    SCHEMA_VERSION,
    BokehSetting,
    DatasetError,
    ImageFormat,
    bokeh_file,
    bokeh_setting,
    image_file,
    stack_from_info,
    stack_from_scene_document,
)
from bokehdata.index import read_index
from bokehdata.kinds.camera import DepthLayer, disparity_of, layered_depth_image
from scenes.billboard import Billboard, Scene
from scenes.color import REFERENCE_GAMMA
from scenes.layered import LayeredScene, SceneError
from scenes.lens import ThinLens
from scenes.stack import Stack


class SceneFolder:
    """One scene on disk. Every method reads its file anew; DatasetError names a file that is missing or broken."""

    def __init__(self, path: Path | str):
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"SceneFolder({str(self.path)!r})"

    @property
    def name(self) -> str:
        """Name of the folder: "000012", or BLB's "277"."""
        return self.path.absolute().name

    @cached_property
    def info(self) -> dict[str, Any]:
        """`info.json`: resolution_x, resolution_y, blur_parameters, focus_distances, ..."""
        path = self.path / INFO_FILE
        try:
            return _mapping(path, json.loads(_text(path)))
        except ValueError as error:
            raise DatasetError(f"{path}: is not JSON ({error})") from error

    @cached_property
    def scene_document(self) -> dict[str, Any]:
        """`scene.yaml`; DatasetError where there is none, as in BLB, or its schema is newer than this code."""
        path = self.path / SCENE_FILE
        document = read_yaml(path)
        _require_schema(path, document)
        return document

    @property
    def has_document(self) -> bool:
        """Whether there is a `scene.yaml`: ours have one, BLB's do not."""
        return (self.path / SCENE_FILE).is_file()

    @property
    def has_billboards(self) -> bool:
        """Whether the scene is made of billboards and can be traced again: not so BLB's, and what Blender rendered."""
        return self.has_document and "camera" not in self.scene_document

    @property
    def origin(self) -> tuple:
        """What makes a scene: (seed, number) of ours, the folder of others.

        Scenes of equal seed and number share their random choices even if their recipes differ, and count as the same.
        """
        if self.has_billboards:
            return self.scene_document["seed"], self.scene_document["scene"]
        return (self.path.resolve(),)

    @cached_property
    def image_format(self) -> ImageFormat:
        """How the pictures are stored: "exr" unless there is an image.png."""
        return "png" if (self.path / image_file("png")).is_file() else "exr"

    def image(self) -> NDArray[np.float32]:
        """All-in-focus picture: (H, W, 3) float32 linear light at gamma 2.2, >= 0, highlights above 1 (not in PNG)."""
        return images.read_linear(self.path / image_file(self.image_format))

    def depth(self) -> NDArray[np.float32]:
        """Planar depth: (H, W) float32, > 0, in the inverse unit of the disparity; 65504 is the sky."""
        return images.read_exr_plane(self.path / DEPTH_FILE)

    def disparity(self) -> NDArray[np.float32]:
        """Disparity 1 / depth: (H, W) float32, >= 0, larger is nearer, never rescaled; in BLB the sky is 0."""
        if self.has_document:
            return images.read_exr_plane(self.path / DISPARITY_FILE)
        return disparity_of(self.depth())

    def bokeh(self, blur_index: int, focus_index: int, gamma: float = REFERENCE_GAMMA) -> NDArray[np.float32]:
        """A traced picture as stored: (H, W, 3) float32, display ** 2.2 whatever its gamma.

        So ** (1 / 2.2) shows it; its linear light at `gamma` is the stored value ** (gamma / 2.2).
        """
        setting = BokehSetting(blur_index, focus_index, gamma)
        return images.read_linear(self.path / bokeh_file(setting, self.image_format))

    def bokeh_settings(self) -> list[BokehSetting]:
        """(blur index, focus index, gamma) of every bokeh picture in the folder, sorted."""
        names = (path.name for path in self.path.glob(f"bokeh_*.{self.image_format}"))
        return sorted(setting for name in names if (setting := bokeh_setting(name)))

    def stack(self) -> Stack:
        """The lens settings; BLB's are read from info.json as a round aperture with box pixels."""
        path = self.path / (SCENE_FILE if self.has_document else INFO_FILE)
        try:
            return stack_from_scene_document(self.scene_document) if self.has_document else stack_from_info(self.info)
        except ValueError as error:
            raise DatasetError(f"{path}: does not describe a bokeh stack: {error}") from error

    def lens(self, blur_index: int, focus_index: int) -> ThinLens:
        """The lens of a picture: K and d_f of the two indices; in BLB d_f = 1 / focus_distances, 65504 as infinity."""
        return self.stack().lens(blur_index, focus_index)

    def scene(self) -> Scene:
        """The layers as traced, bit for bit."""
        document = self.scene_document
        try:
            layers = tuple(
                Billboard(
                    rgba=images.read_exr(self.path / layer["file"]),
                    disparity=layer["disparity"],
                    slope=tuple(layer["slope"]),
                    asset=layer["asset"],
                )
                for layer in document["layers"]
            )
            return Scene(layers, document["width"], document["height"], document["overscan"])
        except SceneError as error:
            raise DatasetError(f"{self.path}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{self.path / SCENE_FILE}: does not describe a scene ({error!r})") from error

    def layers(self) -> LayeredScene | None:
        """The true layers as renderers take them: billboards, or of a scene in space its depth layers with a disparity
        of their own at every texel. None where there are none."""
        if self.has_billboards:
            return self.scene()
        depth_layers = self.depth_layers()
        if not depth_layers:
            return None
        try:
            height, width = (self.scene_document[key] for key in ("height", "width"))
            return layered_depth_image(depth_layers, width, height, self.scene_document["overscan"])
        except SceneError as error:
            raise DatasetError(f"{self.path}: {error}") from error
        except (KeyError, TypeError) as error:
            raise DatasetError(f"{self.path / SCENE_FILE}: does not describe a scene ({error!r})") from error

    def picture_files(self, setting: BokehSetting) -> list[Path]:
        """What a picture, its disparity and its layers are read from."""
        described = (SCENE_FILE, DISPARITY_FILE) if self.has_document else (INFO_FILE, DEPTH_FILE)
        names = (image_file(self.image_format), bokeh_file(setting, self.image_format), *described)
        return [self.path / name for name in names] + self.layer_files()

    def layer_files(self) -> list[Path]:
        """The files of the layers, sorted."""
        return sorted(self.path.glob("layers/*.exr"))

    def depth_layers(self) -> tuple[DepthLayer, ...]:
        """The layers of a scene in space, near to far, with their true hidden content; () where it has none."""
        if self.has_billboards or not self.has_document:
            return ()
        try:
            return tuple(
                DepthLayer(
                    rgba=images.read_exr(self.path / layer["file"]),
                    disparity=images.read_exr_plane(self.path / layer["disparity_file"]),
                    near_m=float(layer["near_m"]),
                    far_m=float(layer["far_m"]),
                )
                for layer in self.scene_document["layers"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{self.path / SCENE_FILE}: does not describe layers ({error!r})") from error


class Dataset(Sequence[SceneFolder]):
    """The finished scenes of a dataset, in order: ours, a folder of BLB scenes, or the folder of a single scene.

    DatasetError if the folder is missing, holds no scene, or was written by a newer schema.
    """

    def __init__(self, root: Path | str):
        self.root = Path(root)
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder")
        self._scenes = [SceneFolder(path) for path in self._folders()]
        if not self._scenes and not self.is_indexed:
            raise DatasetError(f"{self.root}: holds neither {DATASET_FILE} nor folders with {INFO_FILE}")

    def _folders(self) -> list[Path]:
        if self.is_indexed:
            _require_schema(self.root / DATASET_FILE, self.header)
            if not (self.root / INDEX_FILE).is_file():
                raise DatasetError(f"{self.root / INDEX_FILE}: no such file; run the generator again to restore it")
            return [self.root / folder for folder in read_index(self.root)[0]]
        if (self.root / INFO_FILE).is_file():
            return [self.root]
        folders = [path for path in self.root.iterdir() if (path / INFO_FILE).is_file()]
        # BLB's folders are numbers without leading zeros.
        return sorted(folders, key=lambda path: (len(path.name), path.name))

    @property
    def is_indexed(self) -> bool:
        """Whether it has our header and index; BLB has not."""
        return (self.root / DATASET_FILE).is_file()

    @cached_property
    def header(self) -> dict[str, Any]:
        """`dataset.yaml`: recipe, seed, lens model, units, versions, licence notes; DatasetError where absent."""
        return read_yaml(self.root / DATASET_FILE)

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, index):
        return self._scenes[index]


def _require_schema(path: Path, document: dict[str, Any]) -> None:
    schema = document.get("schema")
    if schema != SCHEMA_VERSION:
        raise DatasetError(
            f"{path}: has schema {schema!r}, this version reads {SCHEMA_VERSION}; use a matching version"
        )


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds; DatasetError where it cannot be read or holds none."""
    try:
        document = yaml.safe_load(_text(path))
    # ValueError: a date with a month 13.
    except (yaml.YAMLError, ValueError) as error:
        raise DatasetError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    return _mapping(path, document)


def _mapping(path: Path, document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise DatasetError(f"{path}: is not a mapping")
    return document


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not text ({error})") from error
