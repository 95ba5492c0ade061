"""Light fields: scenes in three dimensions together with views from a square grid of lens points.

The folder is that of a camera scene, with its exact bokeh stack, and has the views besides:

    views/VV_UU.exr          (H + 2 overscan, W + 2 overscan, 3) half, linear light, row VV and column UU of the grid
    views/VV_UU_depth.exr    (H + 2 overscan, W + 2 overscan) float, planar depth in metres, 65504 for the background

A view is the pinhole picture from a lens point (u, v), u right and v down. The unit is the radius of the stack's
largest aperture, whose blur parameter is K. The camera was moved in its plane, and its sensor shifted so that disparity
d_0 stays in place. What has disparity d is then K (d_0 - d) (u, v) pixels away from its place in the middle
view, and

    picture focused on d_f = mean over the aperture of the views moved by K (d_f - d_0) (u, v) pixels

(Isaksen et al. 2000, "Dynamically reparameterized light fields").
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bokehdata import images
from bokehdata.checks import checked_picture, checked_plane, require_depth, require_noise
from bokehdata.folder import Check
from bokehdata.format import DEPTH_FILE, SCENE_FILE, BokehSetting, DatasetError, bokeh_file, disparity_of
from bokehdata.index import IndexEntry
from bokehdata.kinds.camera import CameraFolder, CameraScene, write_camera_scene
from bokehdata.writer import SceneWriter
from runtime.documents import is_number
from scenes.aperture import cat_eye_of
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA, display_rmse
from scenes.lens import ThinLens, signed_defocus_px
from scenes.stack import Stack

KIND = "light-field"

# Views on a side of the grid.
GRID_MAX = 99

# The share of a cell of the grid that an aperture covers is taken at this many points a side.
_CELL_POINTS = 8

# Refocused pictures are compared in means over blocks of this many pixels a side. They hardly depend on the pixel
# filter, which is a box for views and box+tent for the stack: of white noise they differ by 0.0009 display RMSE.
_BLOCK = 8
_FILTER_DISPLAY = 5e-4

# A view's depth agrees with that of the pinhole picture where they differ by less than this parallax, in pixels at the
# rim of the lens. It must agree in such a share of the pixels; the rest is hidden from the middle, or at a silhouette.
_PARALLAX_PX = 0.5
_LEAST_AGREEMENT = 0.5
_LEAST_AGREEMENT_OF_MIDDLE = 0.99


def grid_positions(side: int) -> tuple[float, ...]:
    """u of the columns and v of the rows: the middles of equal parts of [-1, 1]. Of an odd number one is 0."""
    return tuple((2 * i + 1 - side) / side for i in range(side))


def view_file(row: int, column: int) -> str:
    """Path of a view relative to the scene folder."""
    return f"views/{row:02d}_{column:02d}.exr"


def view_depth_file(row: int, column: int) -> str:
    """Path of a view's depth relative to the scene folder."""
    return f"views/{row:02d}_{column:02d}_depth.exr"


@dataclass(frozen=True)
class ViewGrid:
    """The square grid of lens points that a scene was seen from.

    positions        u of the columns and v of the rows, relative to the lens radius: `grid_positions` of an odd number
    blur_parameter   K of the lens, pixels per 1/m
    lens_radius_m    metres
    disparity        d_0 in 1/m, which is at the same place in all views
    overscan         pixels that views extend beyond the frame on every side
    samples          per pixel of a view
    """

    positions: tuple[float, ...]
    blur_parameter: float
    lens_radius_m: float
    disparity: float
    overscan: int
    samples: int

    @property
    def side(self) -> int:
        """Number of rows, and of columns."""
        return len(self.positions)

    def point(self, row: int, column: int) -> NDArray[np.float64]:
        """The lens point (u, v) of a view: (2,)."""
        return np.array([self.positions[column], self.positions[row]])

    def shift_px(self, row: int, column: int, focus_disparity: float) -> NDArray[np.float64]:
        """How far a view is moved (right, down) for a focus, in pixels: K (d_f - d_0) (u, v)."""
        return signed_defocus_px(focus_disparity, self.blur_parameter, self.disparity) * self.point(row, column)

    def weights(self, lens: ThinLens) -> NDArray[np.float64]:
        """Share of every view's cell of the grid that an aperture covers: (side, side) in [0, 1].

        ValueError for a lens that is larger than the grid's, lets no light through, or has a second stop: a view has
        one weight all over the frame.
        """
        if cat_eye_of(lens.aperture):
            raise ValueError("the aperture has a cat_eye; views have one weight all over the frame")
        if lens.blur_parameter > self.blur_parameter * (1.0 + 1e-9):
            raise ValueError(
                f"blur parameter {lens.blur_parameter:g} is above the {self.blur_parameter:g} of the views"
            )
        if lens.is_pinhole:
            raise ValueError("a pinhole has no aperture; take the middle view")
        fine = np.array(grid_positions(self.side * _CELL_POINTS)) * self.blur_parameter / lens.blur_parameter
        points = np.stack(np.meshgrid(fine, fine), axis=-1).reshape(-1, 2)
        passes = lens.aperture.transmission_at(points).reshape(self.side, _CELL_POINTS, self.side, _CELL_POINTS)
        return passes.mean(axis=(1, 3))


@dataclass(frozen=True, eq=False)
class View:
    """What is seen from one lens point.

    linear       (H + 2 overscan, W + 2 overscan, 3) linear light, box pixels
    depth        (H + 2 overscan, W + 2 overscan) float32 planar depth in metres through the pixel centres, 65504 for
                 the background
    noise_rmse   estimated display RMSE against the converged view
    """

    linear: Picture
    depth: Plane
    noise_rmse: float


def write_light_field_scene(
    writer: SceneWriter, scene: CameraScene, grid: ViewGrid, views: Iterable[View], stack: Stack, *, seed: int
) -> None:
    """Write the views, and all that `write_camera_scene` writes.

    views   row by row; written as they come
    seed    of the dataset
    """
    noise_rmse = np.zeros((grid.side, grid.side))
    for (row, column), view in zip(np.ndindex(noise_rmse.shape), views, strict=True):
        writer.write_view(view_file(row, column), view.linear, view_depth_file(row, column), view.depth)
        noise_rmse[row, column] = view.noise_rmse
    described = {
        "positions": list(grid.positions),
        "blur_parameter": grid.blur_parameter,
        "lens_radius_m": grid.lens_radius_m,
        "disparity": grid.disparity,
        "overscan": grid.overscan,
        "pixel": "box",
        "samples": grid.samples,
        "noise_rmse": noise_rmse.tolist(),
    }
    write_camera_scene(writer, scene, stack, seed=seed, kind=KIND, more={"views": described})


class LightFieldFolder(CameraFolder):
    """The folder of a camera scene with views."""

    kind = KIND

    @cached_property
    def grid(self) -> ViewGrid:
        """The lens points of the views. DatasetError where `scene.yaml` does not describe them."""
        with self.interpreting():
            views = self.scene_document["views"]
            positions = tuple(views["positions"])
            if len(positions) % 2 == 0 or not np.allclose(positions, grid_positions(len(positions)), atol=1e-9):
                raise ValueError(f"positions are {positions}; take the middles of an odd number of parts of [-1, 1]")
            numbers = {key: _number(views, key) for key in ("blur_parameter", "lens_radius_m", "disparity")}
            return ViewGrid(positions, **numbers, overscan=_count(views, "overscan"), samples=_count(views, "samples"))

    @property
    def noise_rmse(self) -> NDArray[np.float64]:
        """Estimated display RMSE of every view against the converged one: (side, side)."""
        with self.interpreting():
            noise_rmse = np.array(self.scene_document["views"]["noise_rmse"], np.float64)
            if noise_rmse.shape != (self.grid.side, self.grid.side) or not (noise_rmse >= 0.0).all():
                raise ValueError(f"noise_rmse of the views is not {self.grid.side} rows of {self.grid.side} numbers")
            return noise_rmse

    def view(self, row: int, column: int) -> Picture:
        """The view of a row and column: (H + 2 overscan, W + 2 overscan, 3) float32 linear light."""
        return images.read_linear(self.path / view_file(row, column))

    def view_depth(self, row: int, column: int) -> Plane:
        """Planar depth in a view, through the pixel centres: (H + 2 overscan, W + 2 overscan) float32, metres."""
        return images.read_exr_plane(self.path / view_depth_file(row, column))

    def framed_view(self, row: int, column: int) -> Picture:
        """A view without its overscan: (H, W, 3) float32 linear light."""
        return _moved(self.view(row, column), np.zeros(2), self.grid.overscan)

    def refocused(self, lens: ThinLens) -> Picture:
        """The picture of a lens as the mean of the views in its aperture: (H, W, 3) float32 linear light.

        lens      its blur parameter lies in (0, that of the grid], its focus disparity between the stack's; in 1/m
        raises    ValueError for another lens
        """
        even, odd = (self._summed(lens, parity) for parity in (0, 1))
        return (even[0] + odd[0]) / (even[1] + odd[1])

    def _summed(self, lens: ThinLens, parity: int) -> tuple[Picture, np.float32]:
        """Sum of the moved and weighted views of every second place of the grid, and of their weights."""
        grid, weights = self.grid, self.grid.weights(lens)
        frame = self.info["resolution_y"], self.info["resolution_x"], 3
        total, weight = np.zeros(frame, np.float32), np.float32(0.0)
        for row, column in np.argwhere(weights > 0.0):
            if (row + column) % 2 == parity:
                share = np.float32(weights[row, column])
                moved = _moved(self.view(row, column), grid.shift_px(row, column, lens.focus_disparity), grid.overscan)
                total += share * moved
                weight += share
        return total, weight

    def checks(self, entry: IndexEntry | None) -> list[Check]:
        stack, side = self.stack(), self.grid.side
        focuses = sorted({0, len(stack.focus_disparities) - 1})
        return [
            *super().checks(entry),
            lambda: _require_grid_of_the_lens(self, stack),
            lambda: self.noise_rmse,
            *(partial(_require_view, self, row, column) for row in range(side) for column in range(side)),
            lambda: _require_only_the_grid(self),
            *(partial(_require_stack_of_views, self, stack, focus) for focus in focuses),
        ]


def _moved(view: Picture, shift_px: NDArray[np.float64], overscan: int) -> Picture:
    """The frame of a view whose content is moved (right, down), by bilinear interpolation."""
    source = overscan - shift_px[::-1]
    first = np.floor(source).astype(int)
    if first.min() < 0 or (source > 2 * overscan).any():
        raise ValueError(f"a shift of {np.abs(shift_px).max():.2f} px leaves the views' overscan of {overscan} px")
    height, width = (length - 2 * overscan for length in view.shape[:2])
    y, x = first
    wy, wx = (source - first).astype(np.float32)
    moved = np.zeros((height, width, view.shape[2]), np.float32)
    for row, vertical in ((y, 1.0 - wy), (y + 1, wy)):
        for column, horizontal in ((x, 1.0 - wx), (x + 1, wx)):
            if weight := vertical * horizontal:
                moved += weight * view[row : row + height, column : column + width]
    return moved


def _number(document: Mapping[str, Any], key: str) -> float:
    value = document[key]
    if not (is_number(value) and value >= 0.0):
        raise ValueError(f"{key} of the views is {value!r}; it must be a number of at least 0")
    return value


def _count(document: Mapping[str, Any], key: str) -> int:
    value = document[key]
    if not (isinstance(value, int) and value >= 1):
        raise ValueError(f"{key} of the views is {value!r}; it must be a whole number above 0")
    return value


def _require_grid_of_the_lens(folder: LightFieldFolder, stack: Stack) -> None:
    """The grid covers the largest aperture of the stack."""
    camera, grid = folder.scene_document["camera"], folder.grid
    focal_px = camera["focal_length_m"] / camera["sensor_width_m"] * folder.scene_document["width"]
    largest = max(stack.blur_parameters)
    for key, value in (("blur_parameter", largest), ("lens_radius_m", largest / focal_px)):
        if not np.isclose(getattr(grid, key), value, rtol=1e-9, atol=0.0):
            raise DatasetError(
                f"{folder.path / SCENE_FILE}: {key} of the views is {getattr(grid, key)}, "
                f"by stack and camera it must be {value}"
            )


def _require_view(folder: LightFieldFolder, row: int, column: int) -> None:
    """A view is a picture, and its depth is that of the scene seen from its lens point."""
    grid, document = folder.grid, folder.scene_document
    height, width = (document[key] + 2 * grid.overscan for key in ("height", "width"))
    checked_picture(folder.path / view_file(row, column), (height, width))
    path = folder.path / view_depth_file(row, column)
    depth = checked_plane(path, (height, width))
    require_depth(path, depth)

    disparity, middle = disparity_of(depth), disparity_of(images.read_exr_plane(folder.path / DEPTH_FILE))
    parallax_px = signed_defocus_px(disparity, grid.blur_parameter, grid.disparity)
    u, v = grid.point(row, column)
    y, x = np.indices(depth.shape) - grid.overscan
    x, y = np.rint(x + parallax_px * u).astype(int), np.rint(y + parallax_px * v).astype(int)
    inside = (x >= 0) & (x < middle.shape[1]) & (y >= 0) & (y < middle.shape[0])
    apart_px = grid.blur_parameter * np.abs(middle[y[inside], x[inside]] - disparity[inside])
    agreement = (apart_px < _PARALLAX_PX).mean() if inside.any() else 0.0
    least = _LEAST_AGREEMENT_OF_MIDDLE if row == column == grid.side // 2 else _LEAST_AGREEMENT
    if agreement < least:
        raise DatasetError(
            f"{path}: moved to the middle view it agrees with {DEPTH_FILE} in {100 * agreement:.0f} % of the pixels, "
            f"not in {100 * least:.0f} %"
        )


def _require_only_the_grid(folder: LightFieldFolder) -> None:
    side = range(folder.grid.side)
    known = {name(row, column) for row in side for column in side for name in (view_file, view_depth_file)}
    present = {path.relative_to(folder.path).as_posix() for path in folder.path.glob("views/*.exr")}
    if strangers := present - known:
        raise DatasetError(f"{folder.path / min(strangers)}: is not in the grid of {SCENE_FILE}")


def _require_stack_of_views(folder: LightFieldFolder, stack: Stack, focus: int) -> None:
    """The views make a picture of the largest aperture, within the error of both.

    The error of the mean of all views is taken to be half the difference between two halves of them: noise, and the
    steps from view to view where the grid is coarse. Errors are within a factor of two.
    """
    blur = int(np.argmax(stack.blur_parameters))
    name = bokeh_file(BokehSetting(blur, focus, REFERENCE_GAMMA), folder.image_format)
    require_noise(folder, [name], None)
    with folder.interpreting():
        even, odd = (folder._summed(stack.lens(blur, focus), parity) for parity in (0, 1))
    of_views = (even[0] + odd[0]) / (even[1] + odd[1])
    apart = display_rmse(_block_means(of_views), _block_means(folder.bokeh(blur, focus)))
    error = display_rmse(_block_means(even[0] / even[1]), _block_means(odd[0] / odd[1])) / 2.0
    allowed = 2.0 * math.hypot(error, folder.info["noise_rmse"][name], _FILTER_DISPLAY)
    if apart > allowed:
        raise DatasetError(
            f"{folder.path / name}: the views make another picture; blocks of {_BLOCK} x {_BLOCK} pixels differ by "
            f"{apart:.5f} display RMSE, more than {allowed:.5f}"
        )


def _block_means(linear: Picture) -> Picture:
    """Means over blocks, without the rest at the right and lower border."""
    rows, columns = (length // _BLOCK for length in linear.shape[:2])
    return linear[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK, 3).mean(axis=(1, 3))
