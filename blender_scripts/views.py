"""Render the views of a scene's light field, and make its pictures from them.

The all-in-focus picture is a light field too, of a lens that is a point. Both fields grow together. The sharp one has
half as many views: all of them have the same weight, while the views of the other count for 0.3 to 0.5 of as many.

The sums are written to disk every minute, so that a stopped run loses no more. It ends with the same bytes as a run
that was not stopped, because view k depends on the scene, the seeds and k alone. A .blend file with adaptive
subdivision is an exception: Cycles dices its meshes once, for the first view that it takes.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from blender_scripts.camera import Camera
from blender_scripts.job import RenderJob
from blender_scripts.lens_points import VIEWS_MAX, NestedLensPoints, pinhole_points
from blender_scripts.light_field import LightFieldSums
from blender_scripts.passes import read_passes
from blender_scripts.process import BlenderProcess
from bokehdata.kinds.light_field import ViewGrid, grid_positions
from runtime.files import remove_unfinished, replacing, unfinished
from scenes.arrays import Picture
from scenes.stack import Stack

# Seconds between two checkpoints.
_CHECKPOINT_EVERY_S = 60.0

# The noise is first measured with so many views, or with those that make bright points filled disks if they are more,
# and again whenever there are this many times the views.
_FIRST_CHECK = 64
_GROWTH = 1.125


def sharp_views(views: int) -> int:
    """The number of views of the all-in-focus picture beside so many of the stack."""
    return max(2, math.ceil(views / 2))


def overscan_px(blur_radius_px: float) -> int:
    """Pixels that views extend beyond the frame on every side, for a largest blur radius.

    The content of the nearest and of the farthest focus plane moves by half the blur radius, and by the offset.
    """
    return math.ceil(blur_radius_px / 2.0 + 0.5) + 1


def view_grid(job: RenderJob, stack: Stack, camera: Camera) -> ViewGrid:
    """The grid of the views that are written. It covers the largest aperture of a stack."""
    largest = max(stack.blur_parameters)
    low, high = min(stack.focus_disparities), max(stack.focus_disparities)
    return ViewGrid(
        positions=grid_positions(job.keep_views),
        blur_parameter=largest,
        lens_radius_m=largest / camera.focal_length_px,
        disparity=(low + high) / 2.0,
        overscan=overscan_px(largest * (high - low)),
        samples=job.view_samples,
    )


class Views:
    """The views of one scene.

    stack        of the scene, with its focus disparities in 1/m
    camera       at the place from which depth and all-in-focus picture are seen
    checkpoint   path of the file that sums are kept in
    """

    def __init__(self, job: RenderJob, stack: Stack, camera: Camera, scene_index: int, checkpoint: Path):
        self._sampling, self._checkpoint = job.sampling, checkpoint
        self._sharp = _Field("image", job, pinhole_points(), 0.0, (0.0,), camera, scene_index)
        largest = max(stack.blur_parameters)
        self._bokeh = _Field("bokeh", job, job.lens_points(), largest, stack.focus_disparities, camera, scene_index)
        self._fields = (self._sharp, self._bokeh)
        self._seconds = 0.0
        remove_unfinished(checkpoint)
        if checkpoint.is_file():
            self._resume()

    def render(self, blender: BlenderProcess, on_view: Callable[[], None] = lambda: None) -> None:
        """Render views until there are as many as asked for, the noise is low enough, or the time is up."""
        for _ in range(sum(field.views for field in self._fields)):
            on_view()
        begin = time.monotonic() - self._seconds
        saved = time.monotonic()
        # The Blender of a killed process may end its view later: not in this file.
        exr = unfinished(self._checkpoint.with_name("view.exr"))
        growing = list(self._fields)
        while growing := [field for field in growing if not self._is_finished(field)]:
            for field in growing:
                if len(growing) > 1 and field is self._sharp and 2 * field.views >= self._bokeh.views + 2:
                    continue
                field.add_view(blender, exr, denoise=self._sampling.denoise)
                on_view()
            self._seconds = time.monotonic() - begin
            if time.monotonic() - saved >= _CHECKPOINT_EVERY_S:
                self._save()
                saved = time.monotonic()
        exr.unlink(missing_ok=True)

    def all_in_focus(self) -> tuple[Picture, float, int]:
        """The picture without a lens, its noise, and the number of its views."""
        return self._sharp.picture(0, 0)

    def bokeh(self, blur_index: int, focus_index: int) -> tuple[Picture, float, int]:
        """A picture of the stack, its noise, and the number of views in its aperture."""
        return self._bokeh.picture(blur_index, focus_index)

    def half(self, half: int, blur_index: int, focus_index: int) -> Picture:
        """The picture that one half of the views makes."""
        return self._bokeh.half(half, blur_index, focus_index)

    def shortfall(self) -> str | None:
        """What the pictures lack of the views or of the noise asked for, None where it is nothing.

        Without a number, the views asked for are those that make bright points filled disks.
        """
        wanted, views = self._sampling.samples or self._bokeh.filling_views, self._bokeh.views
        lacks = [f"{views} of {wanted} views"] if views < wanted else []
        limit = self._sampling.noise
        if limit is not None and not all(field.is_quiet(limit) for field in self._fields):
            lacks.append(f"a display noise of up to {max(field.noise for field in self._fields):.2g}, not {limit:g}")
        return " and ".join(lacks) or None

    def forget(self) -> None:
        """Remove the checkpoint."""
        self._checkpoint.unlink(missing_ok=True)

    def _is_finished(self, field: "_Field") -> bool:
        """Whether a field needs no more views."""
        if field.views < field.least_views:
            return False
        if self._sampling.time_limit_s and self._seconds >= self._sampling.time_limit_s:
            return True
        if self._sampling.noise is not None:
            return field.views >= VIEWS_MAX or field.is_below(self._sampling.noise)
        assert self._sampling.samples is not None
        return field.views >= (sharp_views(self._sampling.samples) if field is self._sharp else self._sampling.samples)

    def _save(self) -> None:
        arrays = {f"{field.name}_{key}": value for field in self._fields for key, value in field.state().items()}
        with replacing(self._checkpoint) as aside:
            np.savez(aside, seconds=self._seconds, **arrays)

    def _resume(self) -> None:
        with np.load(self._checkpoint) as saved:
            self._seconds = float(saved["seconds"])
            for field in self._fields:
                field.resume({key: saved[f"{field.name}_{key}"] for key in field.state()})


class _Field:
    """A light field: one lens and one set of lens points.

    blur_parameter      K of the largest aperture, 0 for the pinhole
    focus_disparities   1/m
    """

    def __init__(
        self,
        name: str,
        job: RenderJob,
        points: NestedLensPoints,
        blur_parameter: float,
        focus_disparities: tuple[float, ...],
        camera: Camera,
        scene_index: int,
    ):
        self.name = name
        self.views = 0
        self._points = points
        # What has the middle disparity stays in its place when the camera moves, by a shift of the sensor. The views
        # reach as far beyond the frame as the content of the other focus planes moves.
        low, high = min(focus_disparities), max(focus_disparities)
        self._middle = (low + high) / 2.0
        self._focus_px = blur_parameter * (np.array(focus_disparities) - self._middle)
        self._middle_px = blur_parameter * self._middle
        self._overscan = overscan_px(blur_parameter * (high - low))
        self._lens_radius_m = blur_parameter / camera.focal_length_px
        self.filling_views = points.filling_views(max(job.blur_radii_px))
        self._checked = _checked(max(_FIRST_CHECK, self.filling_views))
        # Denoised views are of other samples, so that their noise is independent of that of a set without a denoiser.
        entropy = [job.seed, scene_index, *name.encode(), *([1] if job.sampling.denoise else [])]
        seeds = np.random.SeedSequence(entropy).generate_state(2) >> 1
        self._seeds = [int(seed) for seed in seeds]
        levels = points.weights.shape[1]
        self._sums = LightFieldSums(levels, len(focus_disparities), job.width, job.height, self._overscan)

    @property
    def least_views(self) -> int:
        """With fewer views some picture or its noise is unknown."""
        return self._points.least_views

    def is_below(self, noise: float) -> bool:
        """Whether the noise of all pictures is below a limit. It is measured now and then; in between it is False."""
        return self.views in self._checked and self.is_quiet(noise)

    def is_quiet(self, noise: float) -> bool:
        """Whether the noise of all pictures is below a limit."""
        return self._sums.is_below(noise)

    @property
    def noise(self) -> float:
        """The largest noise of a picture, display RMSE."""
        return max(noise.picture for noise in self._sums.noises())

    def add_view(self, blender: BlenderProcess, exr: Path, *, denoise: bool) -> None:
        """Render the next view and add it to all pictures."""
        k = self.views
        half, offset_px, point = int(self._points.half[k]), self._points.offset_px[k], self._points.points[k]
        blender.ask(
            {
                "do": "render",
                "exr": str(exr.absolute()),
                "samples": VIEWS_MAX,
                "seed": self._seeds[half],
                "lens": None,
                "adaptive_threshold": None,
                "denoise": denoise,
                "slice": None,
                "overscan": self._overscan,
                "view": {
                    "camera_m": (self._lens_radius_m * point).tolist(),
                    "shift_px": (self._middle_px * point + offset_px).tolist(),
                    # Every half takes the samples of one sequence of Cycles, which is better spread than independent
                    # samples: in a sharp picture the noise falls as if all were taken in one render.
                    "sample": int(np.count_nonzero(self._points.half[:k] == half)),
                },
            }
        )
        view = read_passes(exr).rgba_premul[..., :3]
        shift_px = self._focus_px[:, None] * point - offset_px
        self._sums.add(half, view, shift_px, self._points.weights[k])
        self.views += 1

    def picture(self, level: int, focus: int) -> tuple[Picture, float, int]:
        """A picture, its noise, and the number of its views."""
        noise = self._sums.noise(level, focus).picture
        return self._sums.picture(level, focus), noise, int(self._sums.counts[level])

    def half(self, half: int, level: int, focus: int) -> Picture:
        """The picture of one half of the views."""
        return self._sums.half(half, level, focus)

    def state(self) -> dict[str, np.ndarray]:
        """All that changes from view to view."""
        return {
            "views": np.array(self.views),
            "sums": self._sums.sums,
            "weights": self._sums.weights,
            "counts": self._sums.counts,
        }

    def resume(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a state."""
        self.views = int(state["views"])
        self._sums.sums, self._sums.weights, self._sums.counts = state["sums"], state["weights"], state["counts"]


def _checked(first: int) -> frozenset[int]:
    """The numbers of views at which the noise is measured."""
    checked = [first]
    while checked[-1] < VIEWS_MAX:
        checked.append(math.ceil(checked[-1] * _GROWTH))
    return frozenset(checked)
