"""One scene on disk: what all kinds of scenes have in common. `bokehdata.kinds` opens a folder as its kind."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from bokehdata import images
from bokehdata.documents import read_json
from bokehdata.format import (
    DEPTH_FILE,
    DISPARITY_FILE,
    INFO_FILE,
    SCENE_FILE,
    BokehSetting,
    DatasetError,
    ImageFormat,
    bokeh_file,
    bokeh_setting,
    image_file,
    reading,
    stack_from_scene_document,
)
from bokehdata.index import IndexEntry
from bokehdata.origins import Origins, origin_of_file
from bokehdata.stored import StoredScene, folder_of
from scenes.arrays import Picture, Plane
from scenes.billboard import Scene
from scenes.color import REFERENCE_GAMMA
from scenes.dual_pixel import Side
from scenes.layered import LayeredScene, SceneError
from scenes.lens import ThinLens
from scenes.stack import Stack
from scenes.thick_lens import ThickLens

# Raises DatasetError, "path: what is wrong with it".
Check = Callable[[], object]


class SceneFolder:
    """The folder of one scene; `bokehdata.kinds.open_scene` gives the class of its kind.

    where            the folder, or the scene in a store; of one that is in a store, `path` is a copy on this machine
    scene_document   content of `scene.yaml`; empty in BLB, which has no such file

    Every method reads its file anew. DatasetError names a file that is missing or broken.
    """

    kind: ClassVar[str]
    # The files that hold the lens and the disparity of every picture.
    _described_in: ClassVar[tuple[str, ...]] = (SCENE_FILE, DISPARITY_FILE)

    def __init__(self, where: Path | StoredScene, scene_document: dict[str, Any]):
        self._where = where
        self.scene_document = scene_document

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._where)!r})"

    @property
    def path(self) -> Path:
        """The folder on this machine. Of a scene in a store, ask for it whenever it is used: copies come and go."""
        if isinstance(self._where, Path):
            return self._where
        with reading(self._where):
            return self._where.folder()

    @property
    def number(self) -> int | None:
        """In the numbering of a public set, where the scene was imported from one; else None."""
        return None

    @property
    def has_disparity(self) -> bool:
        """Whether its disparity is known."""
        return True

    @property
    def name(self) -> str:
        """Name of the folder: "000012", or BLB's "277"."""
        return self._where.absolute().name if isinstance(self._where, Path) else self._where.name

    @cached_property
    def info(self) -> dict[str, Any]:
        """Content of `info.json`: resolution_x, resolution_y, blur_parameters, focus_distances, ..."""
        return read_json(folder_of(self._where) / INFO_FILE)

    @cached_property
    def origins(self) -> Origins:
        """What the scene shows, by content; folders of one scene have the same. Here its all-in-focus picture."""
        return frozenset({origin_of_file(self.path / image_file(self.image_format))})

    @property
    def labels(self) -> tuple[str | None, ...]:
        """What each layer shows, near to far, None where nobody says; () where there are no such layers."""
        return ()

    @cached_property
    def image_format(self) -> ImageFormat:
        """How the pictures are stored: "png" if there is an image.png, else "exr"."""
        if isinstance(self._where, StoredScene):
            return "png" if image_file("png") in self._where.entry.files else "exr"
        return "png" if (self.path / image_file("png")).is_file() else "exr"

    def image(self) -> Picture:
        """All-in-focus picture: (H, W, 3) float32 linear light at gamma 2.2, >= 0, highlights above 1 (not in PNG)."""
        return images.read_linear(self.path / image_file(self.image_format))

    def depth(self) -> Plane:
        """Planar depth: (H, W) float32, > 0, in the inverse unit of the disparity; 65504 is the sky."""
        return images.read_exr_plane(self.path / DEPTH_FILE)

    def disparity(self) -> Plane:
        """Disparity 1 / depth: (H, W) float32, >= 0, larger is nearer, never rescaled."""
        return images.read_exr_plane(self.path / DISPARITY_FILE)

    def bokeh(
        self, blur_index: int, focus_index: int, gamma: float = REFERENCE_GAMMA, half: Side | Literal[""] = ""
    ) -> Picture:
        """A refocused picture as stored: (H, W, 3) float32, display ** 2.2 at every gamma.

        So ** (1 / 2.2) shows it; its linear light at `gamma` is the stored value ** (gamma / 2.2).

        half   "left" or "right" for a view of a dual pixel
        """
        setting = BokehSetting(blur_index, focus_index, gamma, half)
        return images.read_linear(self.path / bokeh_file(setting, self.image_format))

    def bokeh_settings(self) -> list[BokehSetting]:
        """(blur index, focus index, gamma) of every refocused picture in the folder, sorted, without views."""
        return [setting for setting in self.stored_settings() if not setting.half]

    def stored_settings(self) -> list[BokehSetting]:
        """Those and the views of dual pixels, sorted."""
        if isinstance(self._where, StoredScene):
            names = (name for name in self._where.entry.files if name.endswith(f".{self.image_format}"))
        else:
            names = (path.name for path in self.path.glob(f"bokeh_*.{self.image_format}"))
        return sorted(setting for name in names if (setting := bokeh_setting(name)))

    def stack(self) -> Stack:
        """The lens settings that the pictures are made with."""
        try:
            return stack_from_scene_document(self.scene_document)
        except ValueError as error:
            raise DatasetError(f"{self.path / SCENE_FILE}: does not describe a bokeh stack: {error}") from error

    def lens(self, blur_index: int, focus_index: int) -> ThinLens:
        """The lens of a picture, by its two indices."""
        return self.stack().lens(blur_index, focus_index)

    def real_lens(self, setting: BokehSetting) -> ThickLens | None:
        """The real lens of a picture; None for a thin one. DatasetError where it cannot be."""
        stack, frame = self.stack(), self.scene_document
        if not stack.mounts:
            return None
        with self.interpreting():
            lens = stack.traced_lens(setting.blur_index, setting.focus_index, frame["width"], frame["height"])
        assert isinstance(lens, ThickLens)
        return lens

    def layers(self) -> LayeredScene | None:
        """The true layers as renderers take them; None where there are none."""
        return None

    def scene(self) -> Scene:
        """The layers as they were traced, bit for bit; DatasetError for other kinds than billboards."""
        raise DatasetError(f"{self.path}: is a scene of kind {self.kind}; only billboards can be traced again")

    def picture_files(self, setting: BokehSetting) -> list[Path]:
        """What a picture, its disparity, its lens and its layers are read from."""
        pictures = (image_file(self.image_format), bokeh_file(setting, self.image_format))
        return [self.path / name for name in (*pictures, *self._described_in)] + self.layer_files()

    def layer_files(self) -> list[Path]:
        """The files of the layers, sorted."""
        return sorted(self.path.glob("layers/*.exr"))

    def checks(self, entry: IndexEntry | None) -> list[Check]:
        """What `bokehdata.verify` runs on the folder; DatasetError where the documents are too broken to check more.

        entry   its line in the index; None where there is no index
        """
        raise NotImplementedError

    @contextmanager
    def interpreting(self) -> Iterator[None]:
        """Turns errors of what is made from `scene.yaml` into DatasetErrors."""
        try:
            yield
        except SceneError as error:
            raise DatasetError(f"{self.path}: {error}") from error
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise DatasetError(f"{self.path / SCENE_FILE}: does not describe a scene ({error!r})") from error
