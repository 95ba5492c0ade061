"""Writing a dataset so that a kill at any moment costs at most the scene in flight.

A scene is written into a folder with a leading dot and renamed when it is whole. Then its line enters the index. One
process holds the `DatasetWriter` and with it the index and the lock. Any number of worker processes write scenes with
`SceneWriter`, which needs neither, and hand back the `IndexEntry`:

    with DatasetWriter(out, header) as dataset:
        for scene_index in wanted - dataset.finished(wanted):
            with SceneWriter(out, scene_index) as writer:      # perhaps in another process
                write_billboards(writer, scene, stack, seed=0, noise=0.002)
                writer.write_image(linear)
                for setting in stored_settings(stack):
                    writer.write_bokeh(setting, linear, noise_rmse=..., samples=...)
                writer.write_preview(jpeg)
            dataset.add(writer.entry)

`bokehdata.kinds` has a function such as `write_billboards` for every kind of scene that we make. No file holds a time,
a host or a path: equal scenes give equal bytes.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from bokehdata import images
from bokehdata.documents import json_text, read_json, read_yaml, yaml_text
from bokehdata.format import (
    DATASET_FILE,
    DEPTH_FILE,
    DISPARITY_FILE,
    INDEX_FILE,
    INFO_FILE,
    PREVIEW_FILE,
    SCENE_FILE,
    SCHEMA_VERSION,
    BokehSetting,
    CameraSettings,
    DatasetError,
    ImageFormat,
    bokeh_file,
    image_file,
    info_document,
    is_browser_name,
    is_leftover_name,
    is_scene_folder_name,
    layer_file,
    scene_folder_name,
    stack_from_scene_document,
    stored_from_linear,
    stored_settings,
    writing,
)
from bokehdata.index import IndexEntry, IndexFile, record_of, unlisted_files, wrong_files
from bokehdata.stored import publish_scene
from runtime.caches import workshop
from runtime.files import sync, unfinished, write_whole
from runtime.storage import Place, Url
from scenes.arrays import Plane
from scenes.stack import Stack

# The one key of the header that may change between the runs that fill a dataset.
SOFTWARE_KEY = "software"

# Bytes per pixel after compression, the upper ends of what default scenes and photographs take: sharp half RGB under
# ZIP (of 6 bytes), 16-bit PNG (of 6), half RGBA layers (of 8; foregrounds are smooth where alpha is 0), slanted planes.
_PICTURE_BYTES_PER_PIXEL = {"exr": 4.5, "png": 5.6}
_BACKGROUND_BYTES_PER_PIXEL = 4.5
_FOREGROUND_BYTES_PER_PIXEL = 2.2
_PLANE_BYTES_PER_PIXEL = 2.0
_OTHER_BYTES = 200_000

# Files of a scene that wait for the disk at a time.
_SYNCED_AT_ONCE = 8


class DatasetWriter:
    """The one process that adds scenes to a dataset.

    root     folder of the dataset; made where it does not exist
    header   plain values for dataset.yaml: recipe, seed, lens model, pixel and border rule, units, licence notes, and
             under `software` the versions of libraries, the only values that may differ when a dataset is continued.
             Leave out the number of scenes: it may grow

    DatasetError if the folder holds something else or scenes of another header, or if another process writes to it.
    Every method raises it where the disk is full. Opening removes what a killed run left half-written. The lock is held
    until this process and all children that it has forked have ended: start workers by spawning.
    """

    def __init__(self, root: Path, header: Mapping[str, Any]):
        self._root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(f"{root}: cannot be made a folder ({error.strerror}); choose another --out") from error
        self._lock = _lock_folder(root)
        try:
            _settle_header(root, header)
            _remove_leftovers(root)
            self._index = IndexFile(root)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    @property
    def noise_rmse_max(self) -> float:
        """Largest estimated noise of any picture, display RMSE; 0 where there is none."""
        return self._index.noise_rmse_max

    def indexed(self, wanted: Iterable[int]) -> set[int]:
        """Those of the wanted scenes that are in the index."""
        return {scene_index for scene_index in wanted if scene_index in self._index}

    def finished(self, wanted: Iterable[int], *, on_scene: Callable[[], None] = lambda: None) -> set[int]:
        """Those of the wanted scenes whose every file has the size and checksum of the index, and which lack no file.

        The other wanted scenes are taken out of the index. Reads every file of the wanted scenes that are in the index,
        and no other file. `on_scene` is called after each scene.
        """
        indexed = self.indexed(wanted)
        for scene_index in sorted(indexed):
            entry = self._index[scene_index]
            folder = self._root / entry.folder
            if wrong_files(folder, entry) or not is_as_written(folder, entry):
                del self._index[scene_index]
            on_scene()
        return self.indexed(indexed)

    def strangers(self, wanted: Iterable[int]) -> list[str]:
        """Names in the dataset that a scene has, and none of the index or of the wanted ones: renamed, or copied."""
        known = set(map(scene_folder_name, (*self._index, *wanted)))
        return sorted(name for name in _names(self._root) if is_scene_folder_name(name) and name not in known)

    def add(self, entry: IndexEntry) -> None:
        """Count a scene as finished. Its line in the index is on disk when this returns."""
        self._index.add(entry)

    def close(self) -> None:
        """Sort the index by scene, remove what stopped workers left half-written, and release the lock."""
        try:
            self._index.close()
            _remove_leftovers(self._root)
        finally:
            os.close(self._lock)


class SceneWriter:
    """One scene on its way into a dataset. It needs no lock, so that worker processes may use it.

    A context manager. Leaving it normally checks that every picture of the stack is there and gives the scene its final
    name, or sends it to its store; an unfinished folder of that name is replaced. An exception removes what was
    written. Pictures are written as they come and not kept. DatasetError names a file that cannot be written.

    scene_index   number of the scene
    entry         what `DatasetWriter.add` wants, once the block is left
    """

    entry: IndexEntry

    def __init__(self, root: Place, scene_index: int, *, image_format: ImageFormat = "exr"):
        self._root = root
        self.scene_index = scene_index
        self._image_format: ImageFormat = image_format
        # What a store gets is made on the disk for temporary files.
        made_in = workshop() if isinstance(root, Url) else root
        self._folder = unfinished(made_in / scene_folder_name(scene_index))
        self._pictures: set[str] = set()
        self._info: Mapping[str, Any] | None = None
        self._noise_rmse: dict[str, float] = {}
        self._samples: dict[str, int] = {}

    def __enter__(self) -> "SceneWriter":
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / layer_file(0)).parent.mkdir(parents=True)
        return self

    def __exit__(self, exception_type, *exception) -> None:
        try:
            if exception_type is None:
                self._finish()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def write_documents(self, scene_document: Mapping[str, Any], settings: CameraSettings) -> None:
        """`scene.yaml` now, and `info.json` when the noise of every picture is known."""
        self._settings, self._stack = settings, settings.stack
        _write(self._folder / SCENE_FILE, yaml_text(scene_document).encode())

    def write_given_documents(self, scene_document: Mapping[str, Any], info: Mapping[str, Any], stack: Stack) -> None:
        """`scene.yaml`, and `info.json` as it is given, of a scene that others made."""
        self._info, self._stack = info, stack
        _write(self._folder / SCENE_FILE, yaml_text(scene_document).encode())

    def write_layer(self, name: str, rgba: NDArray[np.float16]) -> None:
        """A layer: (h, w, 4) float16, straight alpha, linear light in [0, 65504]."""
        images.write_exr_rgba(self._folder / name, rgba)

    def write_view(self, name: str, linear: NDArray, depth_name: str, depth: Plane) -> None:
        """A view of a light field: (h, w, 3) linear light and (h, w) float32 depth, both in [0, 65504]."""
        (self._folder / name).parent.mkdir(exist_ok=True)
        images.write_exr_rgb(self._folder / name, linear)
        images.write_exr_plane(self._folder / depth_name, depth)

    def write_plane(self, name: str, plane: Plane) -> None:
        """Depth or disparity: (h, w) float32 in [0, 65504]."""
        images.write_exr_plane(self._folder / name, plane)

    def write_image(self, linear: NDArray, *, noise_rmse: float | None = None, samples: int | None = None) -> None:
        """The all-in-focus picture: (H, W, 3) linear light at the reference gamma, in [0, 65504].

        noise_rmse, samples   as of `write_bokeh`, if the picture was rendered and is not exact
        """
        name = image_file(self._image_format)
        images.write_linear(self._folder / name, linear)
        if noise_rmse is not None and samples is not None:
            self._pictures.add(name)
            self._noise_rmse[name] = noise_rmse
            self._samples[name] = samples

    def write_bokeh(self, setting: BokehSetting, linear: NDArray, *, noise_rmse: float, samples: int) -> None:
        """One refocused picture.

        linear       (H, W, 3) linear light at the gamma of the setting, >= 0, at most 65504 as stored
        noise_rmse   estimate of its display RMSE against the converged picture
        samples      lens samples per pixel
        """
        self.write_stored_bokeh(setting, stored_from_linear(linear, setting.gamma))
        name = bokeh_file(setting, self._image_format)
        self._noise_rmse[name] = noise_rmse
        self._samples[name] = samples

    def write_stored_bokeh(self, setting: BokehSetting, stored: NDArray) -> None:
        """A refocused picture that others made, as files hold it (`stored_from_linear`); nobody knows its noise."""
        name = bokeh_file(setting, self._image_format)
        images.write_linear(self._folder / name, stored)
        self._pictures.add(name)

    def write_preview(self, jpeg: bytes) -> None:
        """The contact sheet for people, an encoded JPEG."""
        _write(self._folder / PREVIEW_FILE, jpeg)

    def _finish(self) -> None:
        info = self._info or info_document(self._settings, self._noise_rmse, self._samples)
        _write(self._folder / INFO_FILE, json_text(info).encode())
        self._require_whole()

        paths = sorted(self._folder.rglob("*"))
        if not isinstance(self._root, Url):
            # Together: a disk writes its journal once for many files that wait for it.
            with ThreadPoolExecutor(_SYNCED_AT_ONCE) as pool:
                list(pool.map(_sync, (*paths, self._folder)))
        files = [path for path in paths if path.is_file()]
        self.entry = IndexEntry(
            folder=scene_folder_name(self.scene_index),
            files={path.relative_to(self._folder).as_posix(): record_of(path) for path in files},
            images=len(self._pictures),
            noise_rmse_max=max(self._noise_rmse.values(), default=None if self._pictures else 0.0),
        )
        if isinstance(self._root, Url):
            publish_scene(self._folder, self._root, self.entry)
            return
        final = self._root / self.entry.folder
        if final.is_symlink() or final.is_file():
            final.unlink()
        shutil.rmtree(final, ignore_errors=True)
        self._folder.rename(final)
        _sync(self._root)

    def _require_whole(self) -> None:
        image = image_file(self._image_format)
        pictures = {bokeh_file(setting, self._image_format) for setting in stored_settings(self._stack)}
        missing = pictures - self._pictures
        if not (self._folder / image).is_file():
            missing.add(image)
        if missing:
            raise ValueError(f"scene {self.scene_index} was closed without {', '.join(sorted(missing))}")
        if unasked := self._pictures - pictures - {image}:
            raise ValueError(f"scene {self.scene_index}: {', '.join(sorted(unasked))} is not in its stack")


def estimated_bytes(
    width: int, height: int, overscan: int, layers: int, num_images: int, image_format: ImageFormat = "exr"
) -> int:
    """Size of a scene on disk, rather too large: by at most a half for photographic content.

    layers       number of files of layers
    num_images   number of refocused pictures; the all-in-focus picture and the planes are counted on top
    """
    frame = width * height
    extended = (width + 2 * overscan) * (height + 2 * overscan)
    pictures = (num_images + 1) * frame * _PICTURE_BYTES_PER_PIXEL[image_format]
    planes = 2 * frame * _PLANE_BYTES_PER_PIXEL
    billboards = extended * (_BACKGROUND_BYTES_PER_PIXEL + (layers - 1) * _FOREGROUND_BYTES_PER_PIXEL)
    return round(pictures + planes + billboards) + _OTHER_BYTES


def estimated_views_bytes(width: int, height: int, overscan: int, views: int) -> int:
    """Size of the views of a light field on disk with their depth, rather too large."""
    extended = (width + 2 * overscan) * (height + 2 * overscan)
    return round(views * extended * (_PICTURE_BYTES_PER_PIXEL["exr"] + _PLANE_BYTES_PER_PIXEL))


def require_space(root: Path, needed_bytes: int) -> None:
    """DatasetError if the disk has fewer free bytes than `needed_bytes`. The folder `root` need not exist yet."""
    existing = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise DatasetError(
            f"{root}: the run needs about {size_text(needed_bytes)} and the disk has {size_text(free)} free; "
            "make fewer or smaller scenes, or choose another --out"
        )


def size_text(num_bytes: int) -> str:
    """A size for people: "1.2 GB", or "340.0 MB" below one gigabyte."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def _lock_folder(root: Path) -> int:
    # Only here: a system without this module can still read datasets.
    import fcntl

    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DatasetError(f"{root}: another run is writing to it; wait for it or choose another --out") from error
    return descriptor


def _settle_header(root: Path, header: Mapping[str, Any]) -> None:
    text = yaml_text({"schema": SCHEMA_VERSION, **header})
    path = root / DATASET_FILE
    if path.exists():
        found = _found_header(path)
        # A header without scenes may be replaced: its run was refused or stopped early. Only ours have a schema.
        if "schema" not in found or _holds_scenes(root):
            require_same_header(root, found, yaml.safe_load(text))
            return
    elif strangers := [name for name in _names(root) if not (is_leftover_name(name) or is_browser_name(name))]:
        raise DatasetError(f"{root}: holds {min(strangers)} and is not a dataset; choose an empty or new --out")
    _replace(path, text)


def _found_header(path: Path) -> dict[str, Any]:
    try:
        return read_yaml(path)
    except DatasetError as error:
        raise DatasetError(f"{error}; choose another --out") from error


def is_as_written(folder: Path, entry: IndexEntry) -> bool:
    """Whether a scene, whose listed files are whole, has all that its documents ask for, and nothing else."""
    if unlisted_files(folder, entry):
        return False
    try:
        document, info = read_yaml(folder / SCENE_FILE), read_json(folder / INFO_FILE)
        if "files" in document:
            return {*document["files"], SCENE_FILE} == entry.files.keys()
        image_format: ImageFormat = "png" if image_file("png") in entry.files else "exr"
        settings = stored_settings(stack_from_scene_document(document))
        needed = {image_file(image_format), DEPTH_FILE, DISPARITY_FILE, PREVIEW_FILE, INFO_FILE, SCENE_FILE}
        needed |= {bokeh_file(setting, image_format) for setting in settings}
        needed |= {layer["file"] for layer in document.get("layers", [])}
        summary = len(info["noise_rmse"]), max(info["noise_rmse"].values(), default=0.0)
    except (DatasetError, LookupError, TypeError, ValueError, AttributeError):
        return False
    return needed <= entry.files.keys() and summary == (entry.images, entry.noise_rmse_max)


def _holds_scenes(root: Path) -> bool:
    index = root / INDEX_FILE
    return (index.is_file() and index.stat().st_size > 0) or any(is_scene_folder_name(name) for name in _names(root))


def _names(root: Path) -> list[str]:
    return [entry.name for entry in root.iterdir()]


def require_same_header(root: Place, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """DatasetError where the header of a dataset is not that of this run; versions of software may differ."""
    difference = _first_difference(found, wanted, ignore=SOFTWARE_KEY)
    if difference is not None:
        key, old, new = difference
        raise DatasetError(
            f"{root}: holds a dataset with {key} {old!r}, this run has {new!r}; "
            "choose another --out or the same options"
        )


def _first_difference(old, new, *, ignore: str = "", key: str = "") -> tuple[str, Any, Any] | None:
    """(dotted key, old value, new value) of the first leaf that differs between two trees of plain values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in (*new, *(name for name in old if name not in new)):
            if name != ignore and (found := _first_difference(old.get(name), new.get(name), key=f"{key}.{name}")):
                return found
        return None
    return None if old == new else (key.lstrip("."), old, new)


def _remove_leftovers(root: Path) -> None:
    for entry in root.iterdir():
        if is_leftover_name(entry.name):
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def _replace(path: Path, text: str) -> None:
    with writing(path):
        write_whole(path, text, durable=True)


def _write(path: Path, content: bytes) -> None:
    with writing(path):
        path.write_bytes(content)


def _sync(path: Path) -> None:
    with writing(path):
        sync(path)
