"""The built-in scenes as the README shows them: each all in focus, and focused on the nearest thing.

python docs/blender_scenes.py datasets/blender docs/blender_scenes.jpg
"""

import sys
from pathlib import Path

import numpy as np

from bokehdata.preview import display_tile, encode_jpeg, fitted_size
from bokehdata.reader import Dataset

_TILE_WIDTH_PX = 316
_GAP_PX = 5
_COLUMNS = 2


def main(dataset: str, out: str) -> None:
    pairs = []
    for folder in Dataset(dataset):
        image = folder.image()
        size = fitted_size(image.shape[1], image.shape[0], _TILE_WIDTH_PX, _TILE_WIDTH_PX)
        strongest = folder.bokeh_settings()[-1]
        tiles = [display_tile(picture, size) for picture in (image, folder.bokeh(*strongest))]
        pairs.append(_beside(tiles, axis=1))
    rows = [_beside(pairs[i : i + _COLUMNS], axis=1) for i in range(0, len(pairs), _COLUMNS)]
    Path(out).write_bytes(encode_jpeg(_beside(rows, axis=0), quality=82))


def _beside(pictures: list[np.ndarray], axis: int) -> np.ndarray:
    shape = list(pictures[0].shape)
    shape[axis] = _GAP_PX
    gap = np.full(shape, 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=axis)


if __name__ == "__main__":
    main(*sys.argv[1:])
