"""How many lens points an image needs: sets grow, tile by tile, until the noise that was asked for holds.

Every step traces a set of twice the points anew. An evenly spaced set loses more from being split into two averaged
halves than the second half costs, so sets are never averaged. Its square error falls about like N^-p, and the errors
of two sizes are nearly independent, so an image of N points differs from one of N / 2 by e_N sqrt(1 + 2^p): each step
tells the noise of its own result.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from raytrace.transport import Transport, by_tile, copy_tiles
from raytrace.visibility import TILE_HEIGHT, TILE_WIDTH, tile_grid
from scenes.stack import Pixel

# Blocks of BLOCK x BLOCK pixels stay within four times the noise that is asked for over the image; the estimate of a
# single block is less certain than that of the image, so it is held to three.
BLOCK = 16
_BLOCK_LIMIT = 3.0

# The exponent p, measured between 32 and 2048 points on scenes of two to five layers: the offsets inside a box pixel
# make two more dimensions, in which a small set of points is hardly more even than chance.
_DECAY = {"point": 2.0, "box": 1.0}

# The first two sets leave at most this many pixels between neighbouring points on the sensor: half a block, so that no
# block can miss a light that a larger set would find there.
_PILOT_SPACING_PX = 8.0
_PILOT_MIN = 16

# No set is larger, whatever the noise: its points are a pixel apart at a blur radius of 72 px, and float32 sums of many
# more would drift by as much as the noise that they take away.
SAMPLES_MAX = 16384


@dataclass(frozen=True, eq=False)
class Converged:
    """padded: (3 G, H', W') linear light; noise_rmse: estimate per gamma, display space; samples: of the worst tile."""

    padded: NDArray[np.float32]
    noise_rmse: tuple[float, ...]
    samples: int


def trace_to_noise(transport: Transport, blocks: "BlockErrors", noise: float) -> Converged:
    """Trace until the display RMSE is estimated below `noise` over the image and below four times it in every block."""
    exact = transport.exact_tiles
    every_tile = np.arange(len(exact), dtype=np.int32)
    pending = every_tile[~exact]
    spread = transport.tile_blur_px.max() / _PILOT_SPACING_PX
    tile_samples = np.where(exact, 1, max(_PILOT_MIN, math.ceil(math.pi * spread**2 / 2.0)))

    image, trial = blocks.empty_frame(), blocks.empty_frame()
    for n in np.unique(tile_samples):
        transport.trace(every_tile[tile_samples == n], int(n), image)
    while len(pending):
        for n in np.unique(tile_samples[pending]):
            tiles = pending[tile_samples[pending] == n]
            transport.trace(tiles, 2 * int(n), trial)
            blocks.measure(image, trial, tiles)
            copy_tiles(trial, image, tiles)
            tile_samples[tiles] = 2 * n
        above = blocks.tiles_above(noise)
        pending = above[2 * tile_samples[above] <= SAMPLES_MAX]
    return Converged(image, blocks.image_rmse(), int(tile_samples.max()))


class BlockErrors:
    """Estimated square display error of an image, summed by gamma over blocks of BLOCK x BLOCK pixels."""

    def __init__(self, width: int, height: int, gammas: tuple[float, ...], pixel: Pixel):
        self._width, self._height = width, height
        self._gammas = gammas
        self._fall = 2.0 ** _DECAY[pixel]  # of the square error when the set doubles
        self._rows, self._columns = tile_grid(width, height)
        blocks_per_tile = TILE_WIDTH // BLOCK
        self._square = np.zeros((self._rows * self._columns, len(gammas), blocks_per_tile))
        # Tiles may hang over the frame: only values inside it count.
        inside_y = np.clip(height - np.arange(self._rows) * TILE_HEIGHT, 0, TILE_HEIGHT)
        inside_x = np.clip(width - np.arange(self._columns * blocks_per_tile) * BLOCK, 0, BLOCK)
        self._values = 3.0 * np.outer(inside_y, inside_x).reshape(-1, 1, blocks_per_tile)

    def empty_frame(self) -> NDArray[np.float32]:
        return np.zeros((3 * len(self._gammas), self._rows * TILE_HEIGHT, self._columns * TILE_WIDTH), np.float32)

    def measure(self, smaller: NDArray[np.float32], larger: NDArray[np.float32], tiles: NDArray[np.int32]) -> None:
        """Estimate the errors of `larger` in some tiles, given the frame traced with half as many points."""
        # A few tiles at a time keep the copies small beside the frame.
        for part in np.array_split(tiles, math.ceil(len(tiles) / 256)):
            row, column = np.divmod(part, self._columns)
            inside_y = row[:, None] * TILE_HEIGHT + np.arange(TILE_HEIGHT) < self._height
            inside_x = column[:, None] * TILE_WIDTH + np.arange(TILE_WIDTH) < self._width
            inside = inside_y[:, None, :, None] & inside_x[:, None, None, :]
            for g, gamma in enumerate(self._gammas):
                rgb = slice(3 * g, 3 * g + 3)
                # Index arrays apart from each other come first: (tiles, 3, TILE_HEIGHT, TILE_WIDTH).
                shown = [_displayed(by_tile(frame)[rgb, row, :, column], gamma) for frame in (smaller, larger)]
                square = np.square((shown[1] - shown[0]) * inside).reshape(len(part), 3 * TILE_HEIGHT, -1, BLOCK)
                self._square[part, g] = square.sum(axis=(1, 3), dtype=np.float64) / (1.0 + self._fall)

    def image_rmse(self) -> tuple[float, ...]:
        """Estimated display RMSE over the frame, for each gamma."""
        return tuple(float(e) for e in np.sqrt(self._square.sum(axis=(0, 2)) / self._values.sum()))

    def tiles_above(self, noise: float) -> NDArray[np.int32]:
        """Tiles to refine: those with a block above its limit, and the worst ones until the image is within its own."""
        above = (self._square > np.square(_BLOCK_LIMIT * noise) * self._values).any(axis=(1, 2))
        allowed = np.square(noise) * self._values.sum()
        by_tile_square = self._square.sum(axis=2)
        total = by_tile_square.sum(axis=0)
        for g in np.flatnonzero(total > allowed):
            worst_first = np.argsort(-by_tile_square[:, g], kind="stable")
            refined = np.cumsum(by_tile_square[worst_first, g])
            # As many as win the excess back in this step; or, where no number does, those that matter in the end.
            enough = (1.0 - 1.0 / self._fall) * refined >= total[g] - allowed
            enough |= total[g] - refined <= 0.5 * allowed
            above[worst_first[: np.argmax(enough) + 1]] = True
        return np.flatnonzero(above).astype(np.int32)


def _displayed(linear: NDArray[np.float32], gamma: float) -> NDArray[np.float32]:
    shown = np.clip(linear, 0.0, 1.0)
    return np.asarray(cv2.pow(shown.reshape(len(shown), -1), 1.0 / gamma), np.float32).reshape(shown.shape)
