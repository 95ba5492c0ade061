"""Scenes in the layout of BLB, the benchmark of BokehMe, for code that was written for it.

    OUT/12/image.exr, depth.exr, bokeh_KK_FF.exr      as they are in the dataset
    OUT/12/info.json                                  BLB's keys alone

BLB has one gamma, 2.2, and round apertures; layers, disparity, noise and what made a scene stay behind.
"""

import filecmp
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bokehdata.documents import json_text
from bokehdata.exports import settle
from bokehdata.folder import SceneFolder
from bokehdata.format import (
    DEPTH_FILE,
    INFO_FILE,
    SCHEMA_VERSION,
    BokehSetting,
    DatasetError,
    bokeh_file,
    bokeh_setting,
    image_file,
    is_browser_name,
    writing,
)
from bokehdata.images import write_exr_rgb
from bokehdata.origins import as_pairs
from runtime.files import remove_unfinished, unfinished
from scenes.color import REFERENCE_GAMMA

# In BLB's order.
INFO_KEYS = (
    "resolution_x",
    "resolution_y",
    "focal_length",
    "sensor_width",
    "focus_distances",
    "f_stops",
    "blur_parameters",
)


def export_blb(scenes: Sequence[SceneFolder], out: Path, *, on_scene: Callable[[], None] = lambda: None) -> int:
    """Write the scenes that are not there yet; returns their number.

    on_scene   called after each scene
    raises     DatasetError for a folder of another export, and for what cannot be read or written
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    settle(
        out,
        {"schema": SCHEMA_VERSION, "to": "blb", "first": as_pairs(scenes[0].origins)},
        what="scenes",
    )
    made = 0
    for scene in scenes:
        made += _write_scene(scene, out / _name(scene))
        on_scene()
    return made


def left_behind(scenes: Sequence[SceneFolder]) -> list[str]:
    """What BLB's layout has no place for in some scenes, in words."""
    lost = []
    if any(setting.gamma != REFERENCE_GAMMA for scene in scenes for setting in scene.bokeh_settings()):
        lost.append("pictures of other gammas than 2.2")
    if any(not scene.stack().aperture.is_round for scene in scenes):
        lost.append("shapes of apertures")
    if any(scene.layer_files() for scene in scenes):
        lost.append("layers")
    return lost


def _name(scene: SceneFolder) -> str:
    """BLB's numbers have no leading zeros."""
    return str(int(scene.name)) if scene.name.isascii() and scene.name.isdigit() else scene.name


def _write_scene(scene: SceneFolder, folder: Path) -> bool:
    """Write the folder; it appears under its name when it is complete. False where it is there with all its files."""
    settings = [setting for setting in scene.bokeh_settings() if setting.gamma == REFERENCE_GAMMA]
    if not settings:
        raise DatasetError(f"{scene.path}: has no picture of gamma 2.2, the only one of BLB")
    missing = [key for key in INFO_KEYS if key not in scene.info]
    if missing:
        raise DatasetError(f"{scene.path / INFO_FILE}: {missing[0]} is missing; BLB has it")
    files = dict(_sources(scene, settings))
    if folder.exists():
        if _is_whole(folder, files):
            return False
        shutil.rmtree(folder)
    aside = unfinished(folder)
    remove_unfinished(folder)
    try:
        with writing(folder):
            aside.mkdir()
            for name, source in files.items():
                if source is None:
                    setting = bokeh_setting(name)
                    write_exr_rgb(aside / name, scene.bokeh(*setting) if setting else scene.image())
                else:
                    _copy(source, aside / name)
            # Last: it is what a scene is known by.
            (aside / INFO_FILE).write_text(json_text({key: scene.info[key] for key in INFO_KEYS}), "utf-8")
            aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return True


def _sources(scene: SceneFolder, settings: Sequence[BokehSetting]) -> Iterator[tuple[str, Path | None]]:
    """The files of BLB, and what each is a copy of; None for PNG, which is written anew."""
    yield DEPTH_FILE, scene.path / DEPTH_FILE
    is_exr = scene.image_format == "exr"
    for name in (image_file("exr"), *(bokeh_file(setting, "exr") for setting in settings)):
        yield name, scene.path / name if is_exr else None


def _is_whole(folder: Path, files: Mapping[str, Path | None]) -> bool:
    """Whether a folder has these files and no other, and the copies their bytes."""
    present = {path.name for path in folder.iterdir() if not is_browser_name(path.name)}
    if present != {*files, INFO_FILE}:
        return False
    return all(source is None or filecmp.cmp(source, folder / name, shallow=False) for name, source in files.items())


def _copy(source: Path, to: Path) -> None:
    if not source.is_file():
        raise DatasetError(f"{source}: no such file")
    shutil.copyfile(source, to)
