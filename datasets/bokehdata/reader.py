"""Reading our datasets, and folders in the layout of BLB, scene by scene.

for scene in Dataset("datasets/default"):
    image = scene.image()                             # (H, W, 3) linear
    for setting in scene.bokeh_settings():
        bokeh = scene.bokeh(*setting)
        lens = scene.lens(setting.blur_index, setting.focus_index)
        defocus = lens.defocus_px(scene.disparity())
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from bokehdata.documents import read_yaml, require_schema
from bokehdata.folder import SceneFolder
from bokehdata.format import DATASET_FILE, INDEX_FILE, INFO_FILE, DatasetError
from bokehdata.index import read_index
from bokehdata.kinds import open_scene
from bokehdata.kinds.layers import is_layers


class Dataset(Sequence[SceneFolder]):
    """The finished scenes of a dataset, in order: ours, a folder of BLB scenes, or the folder of a single scene or of
    layers.

    root    folder of the dataset
    paths   folders of its scenes

    DatasetError if the folder is missing, holds no scene, or has another schema. A scene is opened when it is first
    asked for; DatasetError then as of `bokehdata.kinds.open_scene`.
    """

    def __init__(self, root: Path | str):
        self.root = Path(root)
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such folder")
        self.paths = self._folders()
        self._opened: dict[Path, SceneFolder] = {}
        if not self.paths and not self.is_indexed:
            raise DatasetError(f"{self.root}: holds neither {DATASET_FILE} nor folders with {INFO_FILE}")

    def _folders(self) -> list[Path]:
        if self.is_indexed:
            require_schema(self.root / DATASET_FILE, self.header)
            if not (self.root / INDEX_FILE).is_file():
                raise DatasetError(f"{self.root / INDEX_FILE}: no such file; run the generator again to restore it")
            return [self.root / folder for folder in read_index(self.root)[0]]
        if (self.root / INFO_FILE).is_file() or is_layers(self.root):
            return [self.root]
        folders = [path for path in self.root.iterdir() if (path / INFO_FILE).is_file()]
        # BLB's folders are numbers without leading zeros.
        return sorted(folders, key=lambda path: (len(path.name), path.name))

    @property
    def is_indexed(self) -> bool:
        """Whether there are our header and index; BLB has neither."""
        return (self.root / DATASET_FILE).is_file()

    @cached_property
    def header(self) -> dict[str, Any]:
        """Content of `dataset.yaml`: recipe, seed, lens model, units, versions, licence notes.

        DatasetError where there is no such file.
        """
        return read_yaml(self.root / DATASET_FILE)

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> SceneFolder: ...
    @overload
    def __getitem__(self, index: slice) -> list[SceneFolder]: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        path = self.paths[index]
        if path not in self._opened:
            self._opened[path] = open_scene(path)
        return self._opened[path]
