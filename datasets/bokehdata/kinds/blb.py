"""Scenes of BLB, the benchmark of BokehMe, and of whoever writes in its layout.

They have pictures, `depth.exr` and `info.json`, and neither `scene.yaml` nor checksums. Disparities are in 1/m.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bokehdata.checks import bokeh_files, checked_picture, checked_plane, require_depth
from bokehdata.folder import Check, SceneFolder
from bokehdata.format import (
    DEPTH_FILE,
    INFO_FILE,
    SCENE_FILE,
    DatasetError,
    disparity_of,
    image_file,
    listed_numbers,
)
from bokehdata.index import IndexEntry
from runtime.documents import is_number, shown
from scenes.arrays import Plane
from scenes.lens import disparity_from_distance
from scenes.stack import Stack

KIND = "blb"


def stack_from_info(info: Mapping[str, Any]) -> Stack:
    """The stack of an `info.json`: round aperture, gamma 2.2, and box pixels as Cycles renders them.

    d_f is 1 / focus_distances, 0 for 65504. ValueError names the key whose value does not make a stack.
    """
    distances = listed_numbers(info, "focus_distances", above_zero=True)
    disparities = tuple(disparity_from_distance(z) for z in distances)
    if not all(map(is_number, disparities)):
        raise ValueError(f"focus_distances is {shown(list(distances))}; the nearest is too near")
    return Stack(
        blur_parameters=listed_numbers(info, "blur_parameters"),
        focus_disparities=disparities,
        pixel="box",
    )


class BlbFolder(SceneFolder):
    """The folder of a scene of BLB; its `scene_document` is empty."""

    kind = KIND
    _described_in = (INFO_FILE, DEPTH_FILE)

    def __init__(self, path: Path):
        super().__init__(path, {})

    def disparity(self) -> Plane:
        """Disparity 1 / depth: (H, W) float32, 1/m, larger is nearer; 0 is the sky."""
        return disparity_of(self.depth())

    def stack(self) -> Stack:
        try:
            return stack_from_info(self.info)
        except ValueError as error:
            raise DatasetError(f"{self.path / INFO_FILE}: does not describe a bokeh stack: {error}") from error

    def checks(self, entry: IndexEntry | None) -> list[Check]:
        if entry is not None:
            raise DatasetError(f"{self.path / SCENE_FILE}: no such file; every scene of an index has one")
        stack, info = self.stack(), self.info
        for key in ("resolution_x", "resolution_y"):
            if key not in info:
                raise DatasetError(f"{self.path / INFO_FILE}: {key} is missing")
        f_stops = info.get("f_stops")
        if not isinstance(f_stops, list) or len(f_stops) != len(stack.blur_parameters):
            raise DatasetError(f"{self.path / INFO_FILE}: f_stops is {f_stops!r}, not one number per blur parameter")
        shape = (info["resolution_y"], info["resolution_x"])
        pictures = [image_file(self.image_format), *bokeh_files(self, stack)]
        return [
            lambda: _require_depth(self.path / DEPTH_FILE, shape),
            *(partial(checked_picture, self.path / name, shape, strict=False) for name in pictures),
        ]


def _require_depth(path: Path, shape: tuple[int, int]) -> None:
    require_depth(path, checked_plane(path, shape, strict=False))
