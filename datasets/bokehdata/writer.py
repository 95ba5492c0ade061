"""Writing a dataset so that a kill at any moment costs at most the scene in flight.

A scene is written into a folder with a leading dot and renamed when it is whole; then its line enters the index. One
process holds the `DatasetWriter` and with it the index and the lock; any number of worker processes render scenes with
`SceneWriter`, which needs neither, and hand back the `IndexEntry`:

    with DatasetWriter(out, header) as dataset:
        for scene_index in wanted - dataset.finished(wanted):
            with SceneWriter(out, scene_index) as writer:      # perhaps in another process
                writer.write_scene(scene, stack, seed=0, noise=0.002)
                writer.write_image(linear)
                for setting in bokeh_settings(stack):
                    writer.write_bokeh(setting, linear, noise_rmse=..., samples=...)
                writer.write_preview(jpeg)
            dataset.add(writer.entry)

Nothing that is written holds a time, a host or a path: equal scenes give equal bytes.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from numpy.typing import NDArray

from bokehdata import images
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
    DatasetError,
    ImageFormat,
    billboard_information,
    bokeh_file,
    bokeh_settings,
    image_file,
    info_document,
    is_browser_name,
    is_leftover_name,
    is_scene_folder_name,
    layer_file,
    scene_document,
    scene_folder_name,
    stored_from_linear,
    unfinished_folder_name,
    writing,
)
from bokehdata.index import IndexEntry, read_index, record_of, wrong_files
from bokehdata.kinds.camera import CameraScene, camera_document, camera_information, layer_disparity_file
from bokehdata.reader import read_yaml
from scenes.billboard import Scene
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


class DatasetWriter:
    """The one process that adds scenes to a dataset.

    root     folder of the dataset; made where it does not exist
    header   plain values for dataset.yaml: recipe, seed, lens model, pixel and border rule, units, licence notes, and
             under `software` versions of libraries, which alone may differ when a dataset is continued. Leave out
             the number of scenes: it may grow.

    DatasetError if the folder holds something else or scenes of another header, or another process writes to it; in
    every method where the disk is full. Opening removes what a killed run left half-written. The lock dies with the
    process, and with the children it has forked: start workers by spawning.
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
            (root / INDEX_FILE).touch()
            self._entries, _ = read_index(root)
            # Without torn lines, so that the next line does not continue one.
            self._write_index()
            self._index = (root / INDEX_FILE).open("a", encoding="utf-8")
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    @property
    def noise_rmse_max(self) -> float:
        """Largest estimated noise of any picture, display RMSE; 0 for an empty dataset."""
        return max((entry.noise_rmse_max for entry in self._entries.values()), default=0.0)

    def indexed(self, wanted: Iterable[int]) -> set[int]:
        """Those of the wanted scenes that are in the index."""
        return {scene_index for scene_index in wanted if scene_folder_name(scene_index) in self._entries}

    def finished(self, wanted: Iterable[int], *, on_scene: Callable[[], None] = lambda: None) -> set[int]:
        """Those of the wanted scenes whose every file has the size and checksum of the index; the others leave it.

        Reads every file of the wanted scenes that are in the index, and no other; `on_scene` is called after each.
        """
        indexed = self.indexed(wanted)
        entries = [self._entries[scene_folder_name(scene_index)] for scene_index in sorted(indexed)]
        for folder in wrong_files(self._root, entries, on_scene=on_scene):
            del self._entries[folder]
        return self.indexed(indexed)

    def add(self, entry: IndexEntry) -> None:
        """Count a scene as finished; on disk when this returns."""
        self._entries[entry.folder] = entry
        with writing(self._root / INDEX_FILE):
            self._index.write(entry.to_line())
            self._index.flush()
            os.fsync(self._index.fileno())

    def close(self) -> None:
        """Sort the index by scene, remove what stopped workers left half-written, and give the folder free."""
        try:
            with writing(self._root / INDEX_FILE):
                self._index.close()
            self._write_index()
            _remove_leftovers(self._root)
        finally:
            os.close(self._lock)

    def _write_index(self) -> None:
        entries = sorted(self._entries.values(), key=lambda entry: entry.scene_index)
        _replace_file(self._root / INDEX_FILE, "".join(entry.to_line() for entry in entries))


class SceneWriter:
    """One scene on its way into a dataset; needs no lock, so that worker processes may use it.

    A context manager: leaving it normally checks that every picture of the stack is there, and gives the scene its
    final name, in place of an unfinished folder of that name; an exception removes what was written. `entry` is then
    what `DatasetWriter.add` wants. Pictures are written as they come and not kept.
    """

    entry: IndexEntry

    def __init__(self, root: Path, scene_index: int, *, image_format: ImageFormat = "exr"):
        self._root = root
        self._scene_index = scene_index
        self._image_format: ImageFormat = image_format
        self._folder = root / unfinished_folder_name(scene_index)
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

    def write_scene(self, scene: Scene, stack: Stack, *, seed: int, noise: float) -> None:
        """The layers, depth.exr, disparity.exr and scene.yaml.

        seed    of the dataset
        noise   display RMSE asked for
        """
        self._information = billboard_information(scene, stack)
        for i, layer in enumerate(scene.layers):
            images.write_exr_rgba(self._folder / layer_file(i), layer.rgba)
        images.write_exr_plane(self._folder / DISPARITY_FILE, scene.composite_disparity())
        images.write_exr_plane(self._folder / DEPTH_FILE, scene.composite_depth())
        document = scene_document(scene, stack, scene_index=self._scene_index, seed=seed, noise=noise)
        _write(self._folder / SCENE_FILE, _to_yaml(document).encode())

    def write_camera_scene(self, scene: CameraScene, stack: Stack, *, seed: int) -> None:
        """The same of a scene in space: depth.exr, disparity.exr, scene.yaml, and its layers where it has some."""
        self._information = camera_information(
            scene.width, scene.height, scene.focal_length_m, scene.sensor_width_m, stack
        )
        for i, layer in enumerate(scene.layers):
            images.write_exr_rgba(self._folder / layer_file(i), layer.rgba)
            images.write_exr_plane(self._folder / layer_disparity_file(i), layer.disparity)
        images.write_exr_plane(self._folder / DISPARITY_FILE, scene.disparity())
        images.write_exr_plane(self._folder / DEPTH_FILE, scene.depth)
        document = camera_document(scene, stack, scene_index=self._scene_index, seed=seed)
        _write(self._folder / SCENE_FILE, _to_yaml(document).encode())

    def write_image(self, linear: NDArray, *, noise_rmse: float | None = None, samples: int | None = None) -> None:
        """The all-in-focus picture: (H, W, 3) linear light at the reference gamma, in [0, 65504].

        noise_rmse, samples   as of `write_bokeh`, where it was rendered and is not exact
        """
        name = image_file(self._image_format)
        images.write_linear(self._folder / name, linear)
        if noise_rmse is not None and samples is not None:
            self._noise_rmse[name] = noise_rmse
            self._samples[name] = samples

    def write_bokeh(self, setting: BokehSetting, linear: NDArray, *, noise_rmse: float, samples: int) -> None:
        """One traced picture.

        linear       (H, W, 3) linear light at the gamma of the setting, >= 0, at most 65504 as stored
        noise_rmse   estimate of its display RMSE against the converged picture
        samples      lens samples per pixel
        """
        name = bokeh_file(setting, self._image_format)
        images.write_linear(self._folder / name, stored_from_linear(linear, setting.gamma))
        self._noise_rmse[name] = noise_rmse
        self._samples[name] = samples

    def write_preview(self, jpeg: bytes) -> None:
        """The contact sheet for people, an encoded JPEG."""
        _write(self._folder / PREVIEW_FILE, jpeg)

    def _finish(self) -> None:
        info = info_document(self._information, self._noise_rmse, self._samples)
        _write(self._folder / INFO_FILE, json.dumps(info, indent=4, allow_nan=False).encode() + b"\n")
        self._require_whole()

        files = sorted(path for path in self._folder.rglob("*") if path.is_file())
        for path in files:
            _sync(path)
        _sync(self._folder / "layers")
        _sync(self._folder)
        self.entry = IndexEntry(
            folder=scene_folder_name(self._scene_index),
            files={path.relative_to(self._folder).as_posix(): record_of(path) for path in files},
            images=len(self._noise_rmse),
            noise_rmse_max=max(self._noise_rmse.values(), default=0.0),
        )
        final = self._root / self.entry.folder
        shutil.rmtree(final, ignore_errors=True)
        self._folder.rename(final)
        _sync(self._root)

    def _require_whole(self) -> None:
        image = image_file(self._image_format)
        settings = bokeh_settings(self._information.stack)
        pictures = {bokeh_file(setting, self._image_format) for setting in settings}
        missing = pictures - self._noise_rmse.keys()
        if not (self._folder / image).is_file():
            missing.add(image)
        if missing:
            raise ValueError(f"scene {self._scene_index} was closed without {', '.join(sorted(missing))}")
        if unasked := self._noise_rmse.keys() - pictures - {image}:
            raise ValueError(f"scene {self._scene_index}: {', '.join(sorted(unasked))} is not in its stack")


def estimated_bytes(
    width: int, height: int, overscan: int, layers: int, num_images: int, image_format: ImageFormat = "exr"
) -> int:
    """Size of a scene on disk, on the safe side: at most half above the truth for photographic content.

    num_images   number of traced pictures; the all-in-focus picture and the planes come on top
    """
    frame = width * height
    extended = (width + 2 * overscan) * (height + 2 * overscan)
    pictures = (num_images + 1) * frame * _PICTURE_BYTES_PER_PIXEL[image_format]
    planes = 2 * frame * _PLANE_BYTES_PER_PIXEL
    billboards = extended * (_BACKGROUND_BYTES_PER_PIXEL + (layers - 1) * _FOREGROUND_BYTES_PER_PIXEL)
    return round(pictures + planes + billboards) + _OTHER_BYTES


def require_space(root: Path, needed_bytes: int) -> None:
    """DatasetError if the disk under `root`, which need not exist yet, has less free than `needed_bytes`."""
    existing = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise DatasetError(
            f"{root}: the run needs about {size_text(needed_bytes)} and the disk has {size_text(free)} free; "
            "make fewer or smaller scenes, or choose another --out"
        )


def size_text(num_bytes: int) -> str:
    """A size for people: "1.2 GB", below that "340.0 MB"."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def _lock_folder(root: Path) -> int:
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DatasetError(f"{root}: another run is writing to it; wait for it or choose another --out") from error
    return descriptor


def _settle_header(root: Path, header: Mapping[str, Any]) -> None:
    text = _to_yaml({"schema": SCHEMA_VERSION, **header})
    path = root / DATASET_FILE
    if path.exists():
        found = _found_header(path)
        # A run that was refused or stopped before its first scene binds no other; only our headers have a schema.
        if "schema" not in found or _holds_scenes(root):
            _require_same_header(root, found, yaml.safe_load(text))
            return
    elif strangers := [name for name in _names(root) if not (is_leftover_name(name) or is_browser_name(name))]:
        raise DatasetError(f"{root}: holds {min(strangers)} and is not a dataset; choose an empty or new --out")
    _replace_file(path, text)


def _found_header(path: Path) -> dict[str, Any]:
    try:
        return read_yaml(path)
    except DatasetError as error:
        raise DatasetError(f"{error}; choose another --out") from error


def _holds_scenes(root: Path) -> bool:
    index = root / INDEX_FILE
    return (index.is_file() and index.stat().st_size > 0) or any(is_scene_folder_name(name) for name in _names(root))


def _names(root: Path) -> list[str]:
    return [entry.name for entry in root.iterdir()]


def _require_same_header(root: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
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


def _to_yaml(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def _replace_file(path: Path, text: str) -> None:
    """Give a file new content all at once: a reader, or a run after a kill, sees the old or the new."""
    aside = path.with_name(f".{path.name}")
    _write(aside, text.encode())
    _sync(aside)
    aside.rename(path)
    _sync(path.parent)


def _write(path: Path, content: bytes) -> None:
    with writing(path):
        path.write_bytes(content)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with writing(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
