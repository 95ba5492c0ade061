"""Textures and lens of one image, laid out for a kernel that traces any tiles with any set of lens points."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Literal

import numpy as np
import taichi as ti
from numpy.typing import NDArray

from raytrace import kernels, kernels_cpu
from raytrace.real_lens import RealLens, vectors
from raytrace.visibility import TILE_HEIGHT, TILE_WIDTH, TileVisibility, tile_grid
from scenes.aperture import Disk, aperture_points, cat_eye_of
from scenes.arrays import single
from scenes.billboard import Scene, largest_blur_radius_px
from scenes.color import REFERENCE_GAMMA, premultiplied
from scenes.lens import ThinLens, slanted_defocus_px
from scenes.stack import Pixel
from scenes.thick_lens import ThickLens

# Additive recurrence with the plastic number. It gives offsets inside the pixel that are even for any count (Roberts
# 2018).
_PLASTIC = np.array([0.7548776662466927, 0.5698402909980532])

# Lookups of a pixel in one call of a kernel. Mesa's software driver of Vulkan ends a loop after 65535 rounds without a
# word, and a driver with a display attached ends a call of seconds.
_LOOP_MAX = 60_000

# Where textures are, and for which kernel: "planes" and "texels" are for numba, "device" is for Taichi.
TextureKind = Literal["planes", "texels", "device"]


class Textures:
    """Premultiplied layers of a scene, padded so that whole tiles can be traced without a bounds test.

    scene    scene with the layers
    gammas   powers of linear = display ** gamma that share one set of planes
    kind     "planes": `planes` (L, 3 G + 1, texels) float32, alpha last;
             "texels": `texels` (L texels, 4) float32 of a single gamma;
             "device": `on_device`, the same as vectors of Taichi
    """

    def __init__(self, scene: Scene, gammas: Sequence[float], kind: TextureKind):
        self.scene = scene
        self.gammas = tuple(gammas)
        self.kind: TextureKind = kind
        rows, columns = tile_grid(scene.width, scene.height)
        self.row = columns * TILE_WIDTH + 2 * scene.overscan
        num_rows = rows * TILE_HEIGHT + 2 * scene.overscan
        self.plane = num_rows * self.row
        if kind == "planes":
            self.planes = np.zeros((len(scene.layers), 3 * len(gammas) + 1, self.plane), np.float32)
            self._fill_planes(self.planes.reshape(*self.planes.shape[:2], num_rows, self.row))
        elif kind == "texels":
            self.texels = self._filled_texels(num_rows)
        else:
            self.on_device = vectors(self._filled_texels(num_rows))

    def _fill_planes(self, planes: NDArray[np.float32]) -> None:
        for layer, of_layer in zip(self.scene.layers, planes, strict=True):
            height, width = layer.rgba.shape[:2]
            for g, gamma in enumerate(self.gammas):
                rgba_premul = premultiplied(_at_gamma(layer.rgba, gamma))
                of_layer[3 * g : 3 * g + 3, :height, :width] = rgba_premul[..., :3].transpose(2, 0, 1)
            of_layer[-1, :height, :width] = single(layer.rgba[..., 3])

    def _filled_texels(self, num_rows: int) -> NDArray[np.float32]:
        (gamma,) = self.gammas
        texels = np.zeros((len(self.scene.layers), num_rows, self.row, 4), np.float32)
        for layer, of_layer in zip(self.scene.layers, texels, strict=True):
            height, width = layer.rgba.shape[:2]
            of_layer[:height, :width] = premultiplied(_at_gamma(layer.rgba, gamma))
        return texels.reshape(-1, 4)

    @cached_property
    def visibility(self) -> TileVisibility:
        return TileVisibility(self.scene)


class Transport:
    """Light transport of one scene through one lens. `trace` fills tiles of a padded frame.

    tile_layers    (tiles, 1 + L) int32, the layers that each tile can see (`visibility`)
    tile_blur_px   (tiles,) largest blur radius among these layers
    turn           of the lens points (`scenes.aperture.aperture_points`)
    """

    def __init__(self, textures: Textures, lens: ThinLens | ThickLens, pixel: Pixel, turn: float = 0.0):
        self._textures = textures
        self._scene = textures.scene
        self._lens = lens
        self._pixel = pixel
        self._turn = turn
        self._real_lens = RealLens(lens, self._scene) if isinstance(lens, ThickLens) else None
        reach_px = np.array(
            [
                largest_blur_radius_px(self._scene.disparity_interval(i), layer.slope, lens)
                for i, layer in enumerate(self._scene.layers)
            ]
        )
        self.tile_layers = textures.visibility.tile_layers(reach_px + (0.5 if pixel == "box" else 0.0))
        listed = np.arange(len(reach_px)) < self.tile_layers[:, :1]
        self.tile_blur_px = np.where(listed, reach_px[self.tile_layers[:, 1:]], 0.0).max(axis=1)

    @property
    def exact_tiles(self) -> NDArray[np.bool_]:
        """Tiles for which one sample is exact: all rays of a pixel meet a layer at the same point."""
        return (self.tile_blur_px == 0.0) & (self._pixel == "point")

    def trace(self, tiles: NDArray[np.int32], num_samples: int, out: NDArray[np.float32] | ti.VectorNdarray) -> None:
        """Trace the given tiles with one set of lens points into `out`.

        out   padded frame (3 G, H', W') float32, linear light; or one of RGBA vectors (H' W'), which stays where Taichi
              runs, for textures that are there
        """
        if not len(tiles):
            return
        # A real lens has its iris inside: its rays aim at the whole pupil.
        opening = self._lens.aperture if self._real_lens is None else Disk()
        points = aperture_points(opening, num_samples, turn=self._turn)
        jitter = np.zeros_like(points)
        if self._pixel == "box":
            # Sets of N and 2 N points have no offsets in common, so their errors are independent (`convergence`).
            jitter += (np.arange(num_samples, 2 * num_samples)[:, None] + 0.5) * _PLASTIC % 1.0 - 0.5
        _, columns = tile_grid(self._scene.width, self._scene.height)
        frame = (self.tile_layers, tiles, columns, self._scene.overscan)
        if self._textures.kind == "planes":
            assert isinstance(out, np.ndarray)
            textures = (self._textures.planes, self._textures.row)
            if is_shift(self._scene, self._lens):
                kernels_cpu.shift(*textures, *self._shift_tables(points, jitter), *frame, out)
            else:
                rays = np.concatenate([points, jitter], axis=1).astype(np.float32)
                kernels_cpu.gather(*textures, rays, self._defocus_table(points), self._stop(points), *frame, out)
            return
        layout = (*frame, self._textures.row, self._textures.plane)
        if self._textures.kind == "texels":
            assert self._real_lens is not None and isinstance(out, np.ndarray)
            rays = np.concatenate([points, jitter], axis=1)
            self._real_lens.trace(self._textures.texels, self._planes(), rays, layout, out)
            return
        traced = vector_frame(out[0].size) if isinstance(out, np.ndarray) else out
        for kernel, rounds in self._kernels(points, jitter, layout, traced.shape[0]):
            for first, last in _calls(num_samples, rounds):
                kernel(first, last, traced)
        if isinstance(out, np.ndarray):
            copy_tiles(rgb_planes(traced, out.shape[2]), out, tiles)

    def _kernels(
        self, points: NDArray, jitter: NDArray, layout: tuple, pixels: int
    ) -> Iterator[tuple[Callable[[int, int, ti.VectorNdarray], None], int]]:
        """Kernels of Taichi to call one after the other, each for all lens points, and the rounds of a lens point."""
        texels, num_layers = self._textures.on_device, len(self._scene.layers)
        if is_shift(self._scene, self._lens):
            offsets, weights = self._shift_tables(points, jitter)
            yield partial(kernels.shift, texels, offsets, vectors(weights), *layout), num_layers
            return
        rays, planes = vectors(np.concatenate([points, jitter], axis=1)), vectors(self._planes())
        if self._real_lens is not None:
            for kernel in self._real_lens.kernels(texels, planes, rays, layout, pixels):
                yield kernel, num_layers + self._real_lens.num_surfaces
        else:
            focus = (self._lens.blur_parameter, self._lens.focus_disparity)
            stop = (float(n) for n in self._stop(points))
            yield partial(kernels.gather, texels, planes, rays, *layout, *focus, *stop), num_layers

    def _shift_tables(self, points: NDArray, jitter: NDArray) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Texel offsets (L, N) and weights of columns and rows (L, N, 4) of every layer and lens point."""
        disparity = np.array([layer.disparity for layer in self._scene.layers])
        defocus_px = self._lens.defocus_px(disparity)
        shift = defocus_px[:, None, None] * points + jitter
        whole = np.floor(shift)
        fx, fy = np.moveaxis(shift - whole, -1, 0)
        offsets = whole[..., 1] * self._textures.row + whole[..., 0]
        weights = np.stack([1.0 - fx, fx, 1.0 - fy, fy], axis=-1)
        return offsets.astype(np.int32), weights.astype(np.float32)

    def _defocus_table(self, points: NDArray) -> NDArray[np.float32]:
        """(L, N, 3) where rays meet planes: signed defocus at the centre of pixel (0, 0), its slopes in x and y."""
        assert isinstance(self._lens, ThinLens)
        planes = self._planes()[:, None, :3]
        along = planes[..., 1] * points[:, 0] + planes[..., 2] * points[:, 1]
        # A slope is a disparity beyond a focus of 0.
        at_focus = np.array([self._lens.focus_disparity, 0.0, 0.0])
        return slanted_defocus_px(planes, along[..., None], self._lens.blur_parameter, at_focus).astype(np.float32)

    def _stop(self, points: NDArray) -> NDArray[np.float32]:
        """How far a pixel moves the second stop, in radii (0 stops no ray), and the middle of the frame in x and y."""
        width, height = self._scene.width, self._scene.height
        # The one ray of a pixel that is in focus stands for all.
        cat_eye = cat_eye_of(self._lens.aperture) if len(points) > 1 else 0.0
        return np.array(
            [cat_eye / (math.hypot(width, height) / 2.0), (width - 1) / 2.0, (height - 1) / 2.0], np.float32
        )

    def _planes(self) -> NDArray[np.float64]:
        """(L, 4): disparity at the centre of pixel (0, 0), slope in x, slope in y, 0."""
        slopes = np.array([layer.slope for layer in self._scene.layers])
        to_first_pixel = 0.5 - np.array([self._scene.width, self._scene.height]) / 2.0
        disparity = np.array([layer.disparity for layer in self._scene.layers]) + slopes @ to_first_pixel
        return np.column_stack([disparity, slopes, np.zeros(len(slopes))])


def is_shift(scene: Scene, lens: ThinLens | ThickLens) -> bool:
    """Whether every lens point shifts every layer by the same amount at all pixels (`kernels.shift`)."""
    return not scene.is_slanted and isinstance(lens, ThinLens) and cat_eye_of(lens.aperture) == 0.0


def _calls(num_samples: int, rounds: int) -> Iterator[tuple[int, int]]:
    """The first lens point of each call of a kernel, and the one after its last, of points of so many rounds."""
    at_once = max(_LOOP_MAX // (rounds + 1), 1)
    for first in range(0, num_samples, at_once):
        yield first, min(first + at_once, num_samples)


def copy_tiles(source: NDArray[np.float32], target: NDArray[np.float32], tiles: NDArray[np.int32]) -> None:
    """Copy the given tiles of one padded frame (C, H', W') to another."""
    row, column = np.divmod(tiles, source.shape[2] // TILE_WIDTH)
    by_tile(target)[:, row, :, column] = by_tile(source)[:, row, :, column]


def vector_frame(pixels: int) -> ti.VectorNdarray:
    """A black padded frame of RGBA vectors, in the memory of Taichi's backend."""
    frame = ti.ndarray(kernels.RGBA, pixels)
    assert isinstance(frame, ti.VectorNdarray)
    frame.fill(0.0)
    return frame


def rgb_planes(frame: ti.VectorNdarray, width: int) -> NDArray[np.float32]:
    """A padded frame of RGBA vectors (H' W') as one of planes (3, H', W'), with `width` for W'."""
    rgba = np.asarray(frame.to_numpy(), np.float32).reshape(-1, width, 4)
    return rgba[..., :3].transpose(2, 0, 1)


def by_tile(padded: NDArray[np.float32]) -> NDArray[np.float32]:
    """A padded frame (C, H', W') seen as (C, rows, TILE_HEIGHT, columns, TILE_WIDTH)."""
    channels, height, width = padded.shape
    return padded.reshape(channels, height // TILE_HEIGHT, TILE_HEIGHT, width // TILE_WIDTH, TILE_WIDTH)


def _at_gamma(rgba: NDArray[np.float16], gamma: float) -> NDArray:
    """Straight linear RGBA at the reference gamma, converted to another gamma through display values."""
    if gamma == REFERENCE_GAMMA:
        return rgba
    rgba_at_gamma = single(rgba)
    rgba_at_gamma[..., :3] **= gamma / REFERENCE_GAMMA
    return rgba_at_gamma
