"""How many lens points an image needs: sets grow, tile by tile, until the requested noise is reached.

Every step traces a new set of twice as many points. Sets are never averaged, because the mean of two evenly spaced sets
is worse than one set of twice the size. The square error of a set of N points falls about like N^-p. The errors of sets
of two sizes are nearly independent, so images of N and of N / 2 points differ by e_N sqrt(1 + 2^p). This difference
gives the noise e_N after each step.
"""

import math
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
import taichi as ti
from numpy.typing import NDArray

from raytrace import kernels
from raytrace.transport import Transport, by_tile, copy_tiles, rgb_planes, vector_frame
from raytrace.visibility import TILE_HEIGHT, TILE_WIDTH, tile_grid
from scenes.stack import Pixel

# The noise of every block of BLOCK x BLOCK pixels stays within four times the noise requested for the image. The
# estimate of one block is less certain than that of the image, so the limit on the estimate is three.
BLOCK = 16
_BLOCK_LIMIT = 3.0

# The exponent p, measured between 32 and 2048 points on scenes of two to five layers. The offsets inside a box pixel
# add two dimensions, in which a small set of points is hardly more even than a random set.
_DECAY = {"point": 2.0, "box": 1.0}

# Largest distance between neighbouring points of the first two sets on the sensor. It is half a block, so that no block
# misses a light that a larger set would find.
_PILOT_SPACING_PX = 8.0
_PILOT_MIN = 16

# The largest set. Its points are a pixel apart at a blur radius of 72 px. Float32 sums of many more points would have
# rounding errors as large as the noise that they remove.
SAMPLES_MAX = 16384

Frame = TypeVar("Frame")


@dataclass(frozen=True, eq=False)
class Converged:
    """One traced frame.

    padded       (3 G, H', W') float32 linear light, for G gammas
    noise_rmse   (G) estimated display RMSE
    samples      number of lens points of the tile that has most
    """

    padded: NDArray[np.float32]
    noise_rmse: tuple[float, ...]
    samples: int


def trace_to_noise(transport: Transport, blocks: "BlockErrors[Any]", noise: float) -> Converged:
    """Trace until the estimated display RMSE is below `noise` over the image and below its triple in every block."""
    exact = transport.exact_tiles
    every_tile = np.arange(len(exact), dtype=np.int32)
    pending = every_tile[~exact]
    radius_in_spacings = transport.tile_blur_px.max() / _PILOT_SPACING_PX
    tile_samples = np.where(exact, 1, max(_PILOT_MIN, math.ceil(math.pi * radius_in_spacings**2 / 2.0)))

    image, trial = blocks.empty_frame(), blocks.empty_frame()
    for n in np.unique(tile_samples):
        transport.trace(every_tile[tile_samples == n], int(n), image)
    while len(pending):
        for n in np.unique(tile_samples[pending]):
            tiles = pending[tile_samples[pending] == n]
            transport.trace(tiles, 2 * int(n), trial)
            blocks.measure(image, trial, tiles)
            blocks.copy(trial, image, tiles)
            tile_samples[tiles] = 2 * n
        above = blocks.tiles_above(noise)
        pending = above[2 * tile_samples[above] <= SAMPLES_MAX]
    return Converged(blocks.planes(image), blocks.image_rmse(), int(tile_samples.max()))


class BlockErrors(Generic[Frame]):
    """Estimated square display error of an image, summed over blocks of BLOCK x BLOCK pixels for each gamma.

    Its two kinds differ in where frames are.
    """

    def __init__(self, width: int, height: int, gammas: tuple[float, ...], pixel: Pixel):
        self._width, self._height = width, height
        self._gammas = gammas
        self._fall = 2.0 ** _DECAY[pixel]  # factor by which the square error falls when the set doubles
        self._rows, self._columns = tile_grid(width, height)
        blocks_per_tile = TILE_WIDTH // BLOCK
        self._square = np.zeros((self._rows * self._columns, len(gammas), blocks_per_tile))
        # Tiles may extend beyond the frame. Only values inside it count.
        inside_y = np.clip(height - np.arange(self._rows) * TILE_HEIGHT, 0, TILE_HEIGHT)
        inside_x = np.clip(width - np.arange(self._columns * blocks_per_tile) * BLOCK, 0, BLOCK)
        self._values = 3.0 * np.outer(inside_y, inside_x).reshape(-1, 1, blocks_per_tile)

    def empty_frame(self) -> Frame:
        """A padded frame."""
        raise NotImplementedError

    def copy(self, source: Frame, target: Frame, tiles: NDArray[np.int32]) -> None:
        """Copy some tiles of one frame to another."""
        raise NotImplementedError

    def planes(self, frame: Frame) -> NDArray[np.float32]:
        """A frame as (3 G, H', W') float32."""
        raise NotImplementedError

    def measure(self, smaller: Frame, larger: Frame, tiles: NDArray[np.int32]) -> None:
        """Estimate the errors of `larger` in some tiles from `smaller`, the frame traced with half as many points."""
        raise NotImplementedError

    def image_rmse(self) -> tuple[float, ...]:
        """Estimated display RMSE over the frame, for each gamma."""
        return tuple(float(e) for e in np.sqrt(self._square.sum(axis=(0, 2)) / self._values.sum()))

    def tiles_above(self, noise: float) -> NDArray[np.int32]:
        """Tiles to refine: those with a block above its limit, and the worst ones until the image meets its limit."""
        above = (self._square > np.square(_BLOCK_LIMIT * noise) * self._values).any(axis=(1, 2))
        allowed = np.square(noise) * self._values.sum()
        by_tile_square = self._square.sum(axis=2)
        total = by_tile_square.sum(axis=0)
        for g in np.flatnonzero(total > allowed):
            worst_first = np.argsort(-by_tile_square[:, g], kind="stable")
            refined = np.cumsum(by_tile_square[worst_first, g])
            # Refine as many as remove the excess error in this step. If even all do not, refine those whose error
            # must fall in the end: the others together hold half of what is allowed.
            enough = (1.0 - 1.0 / self._fall) * refined >= total[g] - allowed
            enough |= total[g] - refined <= 0.5 * allowed
            above[worst_first[: np.argmax(enough) + 1]] = True
        return np.flatnonzero(above).astype(np.int32)


class HostBlockErrors(BlockErrors[NDArray[np.float32]]):
    """Frames (3 G, H', W') in our memory."""

    def empty_frame(self) -> NDArray[np.float32]:
        return np.zeros((3 * len(self._gammas), self._rows * TILE_HEIGHT, self._columns * TILE_WIDTH), np.float32)

    def copy(self, source: NDArray[np.float32], target: NDArray[np.float32], tiles: NDArray[np.int32]) -> None:
        copy_tiles(source, target, tiles)

    def planes(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        return frame

    def measure(self, smaller: NDArray[np.float32], larger: NDArray[np.float32], tiles: NDArray[np.int32]) -> None:
        # Few tiles at a time keep the copies small compared with the frame.
        for part in np.array_split(tiles, math.ceil(len(tiles) / 256)):
            row, column = np.divmod(part, self._columns)
            inside_y = row[:, None] * TILE_HEIGHT + np.arange(TILE_HEIGHT) < self._height
            inside_x = column[:, None] * TILE_WIDTH + np.arange(TILE_WIDTH) < self._width
            inside = inside_y[:, None, :, None] & inside_x[:, None, None, :]
            for g, gamma in enumerate(self._gammas):
                rgb = slice(3 * g, 3 * g + 3)
                # NumPy puts separated index arrays first: (tiles, 3, TILE_HEIGHT, TILE_WIDTH).
                shown = [_displayed(by_tile(frame)[rgb, row, :, column], gamma) for frame in (smaller, larger)]
                square = np.square((shown[1] - shown[0]) * inside).reshape(len(part), 3 * TILE_HEIGHT, -1, BLOCK)
                self._square[part, g] = square.sum(axis=(1, 3), dtype=np.float64) / (1.0 + self._fall)


class DeviceBlockErrors(BlockErrors[ti.VectorNdarray]):
    """Frames of RGBA vectors (H' W') of one gamma, in the memory of Taichi's backend until they are finished."""

    def empty_frame(self) -> ti.VectorNdarray:
        return vector_frame(self._rows * TILE_HEIGHT * self._columns * TILE_WIDTH)

    def copy(self, source: ti.VectorNdarray, target: ti.VectorNdarray, tiles: NDArray[np.int32]) -> None:
        kernels.copy_tiles(source, target, tiles, self._columns)

    def planes(self, frame: ti.VectorNdarray) -> NDArray[np.float32]:
        return rgb_planes(frame, self._columns * TILE_WIDTH)

    def measure(self, smaller: ti.VectorNdarray, larger: ti.VectorNdarray, tiles: NDArray[np.int32]) -> None:
        (gamma,) = self._gammas
        square = np.zeros((len(tiles), TILE_WIDTH // BLOCK), np.float32)
        kernels.block_errors(smaller, larger, tiles, self._columns, self._width, self._height, gamma, square)
        self._square[tiles, 0] = square.astype(np.float64) / (1.0 + self._fall)


def _displayed(linear: NDArray[np.float32], gamma: float) -> NDArray[np.float32]:
    shown = np.clip(linear, 0.0, 1.0)
    return np.asarray(cv2.pow(shown.reshape(len(shown), -1), 1.0 / gamma), np.float32).reshape(shown.shape)
