"""Which layers a tile of the frame can see through the whole lens.

Empty layers are skipped. An opaque layer ends the list. The test is conservative: a listed layer may be empty, but a
layer that is not listed cannot be seen. It therefore changes the time of an image, not its pixels.
"""

import math

import numpy as np
from numpy.typing import NDArray

from scenes.arrays import single
from scenes.billboard import Scene

# Wide tiles suit the vector units of a CPU (`kernels_cpu`). Low tiles have short layer lists.
TILE_HEIGHT = 16
TILE_WIDTH = 64

# Alpha is summarised in square cells of this many texels.
_CELL = 4


def tile_grid(width: int, height: int) -> tuple[int, int]:
    """(rows, columns) of tiles that cover a frame."""
    return -(-height // TILE_HEIGHT), -(-width // TILE_WIDTH)


class TileVisibility:
    """Summary of the layers' alpha that gives the layer list of every tile for any lens."""

    def __init__(self, scene: Scene):
        self._grid = tile_grid(scene.width, scene.height)
        self._overscan = scene.overscan
        self._texels = scene.layers[0].rgba.shape[:2]
        alphas = [single(layer.rgba[..., 3]) for layer in scene.layers]
        self._covered = [_cell_counts(alpha > 0.0, np.any) for alpha in alphas]
        self._opaque = [_cell_counts(alpha >= 1.0, np.all) for alpha in alphas]

    def tile_layers(self, reach_px: NDArray[np.float64]) -> NDArray[np.int32]:
        """Layer lists for rays that meet layer l at most `reach_px[l]` pixels from their pixel.

        returns   (tiles, 1 + L) int32: number of layers, then their indices near to far
        """
        rows, columns = self._grid
        lists = np.zeros((rows * columns, 1 + len(reach_px)), np.int32)
        tile = np.arange(rows * columns)
        unblocked = np.ones(rows * columns, bool)
        for layer, reach in enumerate(reach_px):
            window = self._cell_windows(math.ceil(reach))
            visible = unblocked & (_window_sum(self._covered[layer], window) > 0)
            lists[visible, 0] += 1
            lists[tile[visible], lists[visible, 0]] = layer
            y0, y1, x0, x1 = window
            unblocked &= _window_sum(self._opaque[layer], window) < ((y1 - y0) * (x1 - x0)).ravel()
        return lists

    def _cell_windows(self, reach: int) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Half-open ranges (y0, y1, x0, x1) of the cells that the rays of each tile can touch, rows x columns."""
        ranges = []
        for axis, size in ((0, TILE_HEIGHT), (1, TILE_WIDTH)):
            first = np.arange(self._grid[axis]) * size + self._overscan
            # A lookup reads one more texel. Ranges of tiles beyond the frame end at the border of the layer.
            low = np.maximum(first - reach, 0) // _CELL
            high = np.minimum(first + size + reach, self._texels[axis] - 1) // _CELL + 1
            ranges += [low, high]
        y0, y1, x0, x1 = ranges
        return y0[:, None], y1[:, None], x0[None, :], x1[None, :]


def _cell_counts(flags: NDArray[np.bool_], reduce) -> NDArray[np.int32]:
    """Integral image of the cells whose texels satisfy `reduce`. Cells at the right and lower edges may be smaller."""
    height, width = flags.shape
    padded = np.pad(flags, ((0, -height % _CELL), (0, -width % _CELL)), mode="edge")
    cells = padded.reshape(padded.shape[0] // _CELL, _CELL, padded.shape[1] // _CELL, _CELL)
    sums = np.zeros((cells.shape[0] + 1, cells.shape[2] + 1), np.int32)
    np.cumsum(np.cumsum(reduce(cells, axis=(1, 3)), axis=0), axis=1, out=sums[1:, 1:])
    return sums


def _window_sum(sums: NDArray[np.int32], window) -> NDArray[np.int32]:
    y0, y1, x0, x1 = window
    return (sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]).ravel()
