"""Reading our datasets, and folders in the layout of BLB, scene by scene.

for scene in Dataset("datasets/default"):
    image = scene.image()                             # (H, W, 3) linear
    for setting in scene.bokeh_settings():
        bokeh = scene.bokeh(*setting)
        lens = scene.lens(setting.blur_index, setting.focus_index)
        defocus = lens.defocus_px(scene.disparity())
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from bokehdata.documents import read_yaml, require_schema
from bokehdata.folder import SceneFolder
from bokehdata.format import DATASET_FILE, INDEX_FILE, INFO_FILE, DatasetError, reading, scene_folder_name
from bokehdata.index import IndexEntry, read_index
from bokehdata.kinds import open_scene
from bokehdata.kinds.layers import is_layers
from bokehdata.stored import StoredScenes
from runtime.copies import local_folder
from runtime.storage import Place, Url, place

# Scenes of a dataset in a store that are opened at a time, by those who go through all.
_AT_A_TIME = 32


class Dataset(Sequence[SceneFolder]):
    """The finished scenes of a dataset, in order: ours, a folder of BLB scenes, or the folder of a single scene or of
    layers.

    root    folder of the dataset, or its URL; what is not ours is copied from there to this machine first
    paths   folders of its scenes; of ours at a URL, the scenes as they are there

    DatasetError if the folder is missing, holds no scene, or has another schema. A scene is opened when it is first
    asked for; DatasetError then as of `bokehdata.kinds.open_scene`.
    """

    def __init__(self, root: Place | str):
        with reading(root):
            self.root = place(root)
            if isinstance(self.root, Url) and not self.is_indexed:
                self.root = local_folder(self.root)
            if isinstance(self.root, Path) and not self.root.is_dir():
                raise DatasetError(f"{self.root}: no such folder")
            self.paths = self._scenes()
        self._opened: dict[int, SceneFolder] = {}
        if not self.paths and not self.is_indexed:
            raise DatasetError(f"{self.root}: holds neither {DATASET_FILE} nor folders with {INFO_FILE}")

    def _scenes(self) -> Sequence[Path] | StoredScenes:
        if self.is_indexed:
            require_schema(self.root / DATASET_FILE, self.header)
            if isinstance(self.root, Url):
                return StoredScenes(self.root)
            if not (self.root / INDEX_FILE).is_file():
                raise DatasetError(f"{self.root / INDEX_FILE}: no such file; run the generator again to restore it")
            return [self.root / folder for folder in read_index(self.root)[0]]
        assert isinstance(self.root, Path)
        if (self.root / INFO_FILE).is_file() or is_layers(self.root):
            return [self.root]
        folders = [path for path in self.root.iterdir() if (path / INFO_FILE).is_file()]
        # BLB's folders are numbers without leading zeros.
        return sorted(folders, key=lambda path: (len(path.name), path.name))

    @cached_property
    def is_indexed(self) -> bool:
        """Whether there are our header and index; BLB has neither."""
        return (self.root / DATASET_FILE).is_file()

    @cached_property
    def header(self) -> dict[str, Any]:
        """Content of `dataset.yaml`: recipe, seed, lens model, units, versions, licence notes.

        DatasetError where there is no such file.
        """
        return read_yaml(self.root / DATASET_FILE)

    def entries(self) -> Mapping[str, IndexEntry]:
        """The lines of the index by the folder of their scene, in order; none where there is no index."""
        if isinstance(self.paths, StoredScenes):
            with reading(self.root):
                return {entry.folder: entry for entry in self.paths.finished.entries()}
        return read_index(self.root)[0] if self.is_indexed and isinstance(self.root, Path) else {}

    @property
    def names(self) -> set[str]:
        """Names of the folders of its scenes."""
        if isinstance(self.paths, StoredScenes):
            return set(map(scene_folder_name, self.paths.finished))
        return {path.name for path in self.paths}

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[SceneFolder]:
        if not isinstance(self.paths, StoredScenes):
            yield from super().__iter__()
            return
        # The documents of a few scenes are on their way at a time.
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            for begin in range(0, len(self), _AT_A_TIME):
                yield from pool.map(self._with_info, range(len(self))[begin : begin + _AT_A_TIME])

    def _with_info(self, index: int) -> SceneFolder:
        scene = self[index]
        _ = scene.info  # it is kept
        return scene

    @overload
    def __getitem__(self, index: int) -> SceneFolder: ...
    @overload
    def __getitem__(self, index: slice) -> list[SceneFolder]: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        index = range(len(self))[index]
        if index not in self._opened:
            with reading(self.root):
                self._opened[index] = open_scene(self.paths[index])
        return self._opened[index]
