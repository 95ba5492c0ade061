"""Picture of the built-in scenes, each all in focus and focused on the nearest surface.

python docs/blender_scenes.py datasets/blender docs/blender_scenes.jpg
"""

import sys
from pathlib import Path

from tiling import joined

from bokehdata.preview import display_tile, encode_jpeg, fitted_size
from bokehdata.reader import Dataset

_TILE_WIDTH_PX = 316
_COLUMNS = 2


def main(dataset: str, out: str) -> None:
    pairs = []
    for folder in Dataset(dataset):
        image = folder.image()
        size = fitted_size(image.shape[1], image.shape[0], _TILE_WIDTH_PX, _TILE_WIDTH_PX)
        settings = folder.bokeh_settings()
        # The blur level in the middle, and its last focus, the nearest.
        shown = max(setting for setting in settings if setting.blur_index <= settings[-1].blur_index // 2)
        tiles = [display_tile(picture, size) for picture in (image, folder.bokeh(*shown))]
        pairs.append(joined(tiles, axis=1))
    rows = [joined(pairs[i : i + _COLUMNS], axis=1) for i in range(0, len(pairs), _COLUMNS)]
    Path(out).write_bytes(encode_jpeg(joined(rows, axis=0), quality=82))


if __name__ == "__main__":
    main(*sys.argv[1:])
