"""Picture at the top of the README: scenes all in focus, their disparity, and three focus settings of one blur.

python docs/hero.py docs/hero.jpg datasets/default/000005 datasets/default/000015
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tiling import joined

from bokehdata.folder import SceneFolder
from bokehdata.kinds import open_scene
from bokehdata.preview import disparity_levels, disparity_palette, display_tile, encode_jpeg
from scenes.color import linear_from_display

_TILE_PX = 300


def main(out: str, *scene_folders: str) -> None:
    rows = [joined(_tiles(open_scene(folder)), axis=1) for folder in scene_folders]
    Path(out).write_bytes(encode_jpeg(joined(rows, axis=0), quality=82))


def _tiles(folder: SceneFolder) -> list[NDArray[np.uint8]]:
    disparity = folder.disparity()
    colours = disparity_palette()[disparity_levels(disparity, float(disparity.min()), float(disparity.max()))]
    blur = len(folder.stack().blur_parameters) - 1
    last = len(folder.stack().focus_disparities) - 1
    pictures = [folder.image(), linear_from_display(colours / 255.0)]
    pictures += [folder.bokeh(blur, focus) for focus in (0, last // 2, last)]
    return [display_tile(picture, (_TILE_PX, _TILE_PX)) for picture in pictures]


if __name__ == "__main__":
    main(*sys.argv[1:])
