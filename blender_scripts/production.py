"""Render the pictures of one scene and write its folder: pinhole image, depth, bokeh stack, depth layers.

A picture that is rendered by itself is the mean of two renders with half the samples and different seeds. No sample is
wasted, and half the difference of the two estimates the error of the mean. Pictures of a light field come from `views`.
Finished pictures are kept beside the dataset, so that a stopped run loses at most the picture that it is rendering.
"""

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blender_scripts.camera import Camera, blender_lens
from blender_scripts.extent import disparity_extent
from blender_scripts.job import MadeBy, RenderJob
from blender_scripts.lens_points import VIEWS_MAX
from blender_scripts.passes import Passes, read_passes
from blender_scripts.process import BlenderCrash, BlenderProcess
from blender_scripts.refusal import Refusal
from blender_scripts.slices import FirstHits, closed, slice_distances
from blender_scripts.views import Views, view_grid
from bokehdata import images
from bokehdata.format import BokehSetting, bokeh_file, disparity_of, image_file
from bokehdata.index import IndexEntry
from bokehdata.kinds.camera import CameraScene, DepthLayer, write_camera_scene
from bokehdata.kinds.light_field import View, ViewGrid, view_depth_file, view_file, write_light_field_scene
from bokehdata.preview import ContactSheet, encode_jpeg
from bokehdata.writer import SceneWriter
from runtime.files import unfinished, write_whole
from scenes.arrays import HalfRgba, Picture, Plane, Rgba
from scenes.billboard import overscan_px
from scenes.color import HALF_MAX, display_rmse
from scenes.lens import distance_from_disparity, signed_defocus_px
from scenes.stack import Stack

# A picture with a time limit is first rendered with this many samples, to measure their time.
_PILOT_SAMPLES = 4

# The render that gives a light field its depth has this many, to find scenes without light.
_DEPTH_SAMPLES = 16

# Enough for depth, which is that through the centre of a pixel.
_ONE_SAMPLE = {"samples": 1, "seed": 0, "adaptive_threshold": None, "denoise": False}

# A focus distance may miss what the camera sees by this factor before there is a warning.
_NEAR_ENOUGH = 1.02

# Two depths of one surface, in pictures of different numbers of samples, differ by less than this factor.
_SAME_DEPTH = 1.001

# Records everything that the kept pictures of a scene depend on.
_IDENTITY = "identity.json"


def stack_of(disparity: Plane, job: RenderJob, is_surface: NDArray[np.bool_] | None = None) -> Stack:
    """The bokeh stack for a scene: d_f by the job's rule, K so that r_max is the largest blur radius at all of them.

    disparity    of the pinhole picture, 1/m; `disparity_extent` ignores the most extreme pixels
    is_surface   what is a surface to focus on; None for all but the background
    raises       Refusal where only the background is seen, or where everything is at one distance
    """
    low, high = disparity_extent(disparity)
    if high <= 0.0:
        raise Refusal("the camera sees almost nothing but the background; name another camera or frame")
    far, near = job.focus.ends(disparity, disparity > 0.0 if is_surface is None else is_surface)
    reach = max(high - far, near - low)
    if reach <= 0.0:
        raise Refusal("everything the camera sees is at the focus")
    return Stack(
        blur_parameters=tuple(radius / reach for radius in job.blur_radii_px),
        focus_disparities=job.focus.disparities(far, near, job.focus_count),
        aperture=job.aperture,
        pixel=job.sampling.pixel,
    )


@dataclass(frozen=True)
class SceneTask:
    """A scene to be rendered: the request to load it, and its description in `scene.yaml`."""

    scene_index: int
    request: dict[str, Any]
    description: dict[str, Any]

    @property
    def name(self) -> str:
        """For people."""
        return self.description["name"]


@dataclass(frozen=True)
class Outcome:
    """What became of a scene: its entry, or why there is none, and the warnings that nobody has heard."""

    task: SceneTask
    entry: IndexEntry | None
    error: Refusal | BlenderCrash | None
    warnings: list[str]


def check(executable: Path | None, device: str) -> dict[str, Any]:
    """Version of Blender (`blender`) and name of the device it takes (`device`), where this is called.

    raises   Refusal if Blender or the device is not there
    """
    with BlenderProcess(executable) as blender:
        return blender.ask({"do": "check", "device": device})


def outcome(
    job: RenderJob,
    executable: Path | None,
    task: SceneTask,
    *,
    on_picture: Callable[[], None] = lambda: None,
    on_view: Callable[[], None] = lambda: None,
    on_warning: Callable[[SceneTask, str], None] | None = None,
) -> Outcome:
    """`produce_scene` by a Blender of its own; without `on_warning`, the outcome has the warnings."""
    warnings: list[str] = []
    entry = error = None
    try:
        with BlenderProcess(executable) as blender:
            entry = produce_scene(
                job,
                blender,
                task.scene_index,
                task.request,
                task.description,
                on_picture=on_picture,
                on_view=on_view,
                on_warning=warnings.append if on_warning is None else partial(on_warning, task),
            )
    except (Refusal, BlenderCrash) as failure:
        error = failure
    return Outcome(task, entry, error, warnings)


def produce_scene(
    job: RenderJob,
    blender: BlenderProcess,
    scene_index: int,
    request: Mapping[str, Any],
    source: Mapping[str, Any],
    *,
    on_picture: Callable[[], None] = lambda: None,
    on_view: Callable[[], None] = lambda: None,
    on_warning: Callable[[str], None] = lambda text: None,
) -> IndexEntry:
    """Load a scene, render the pictures that are missing, and write its folder.

    The pictures are kept until `forget_pictures` is called, after the entry is in the index.

    request    scene that `worker` loads
    source     origin of the scene as plain values for scene.yaml
    raises     Refusal if the scene cannot be rendered, BlenderCrash if Blender dies
    """
    size = {"width": job.width, "height": job.height, "device": job.device}
    loaded = blender.ask({"do": "load", **request, **size})
    for warning in loaded["warnings"]:
        on_warning(warning)
    camera = Camera(loaded["focal_length_m"], loaded["sensor_width_m"], job.width)
    made_by = MadeBy(loaded["blender"], loaded["device"])
    kept = KeptPictures(_kept_folder(job.root, scene_index), _identity(job, source, made_by))
    render = _SceneRendering(job, blender, scene_index, kept, on_picture)

    if job.sampling.stack == "direct":
        render.picture(image_file("exr"), lens=None, keep_depth=True)
        has_light = bool(kept.picture(image_file("exr")).linear.any())
    else:
        has_light = render.depth()
    if not has_light:
        raise Refusal("the picture is black: no light reaches the camera")
    depth = kept.depth()
    disparity, is_surface = disparity_of(depth), depth < HALF_MAX
    if loaded["skies"] and job.focus.spans == "surfaces":
        is_surface &= render.is_in_front_of(loaded["skies"], depth)
        on_warning(f"focuses on nothing that is taken for a sky: {', '.join(loaded['skies'])}")
    stack = stack_of(disparity, job, is_surface)
    if job.focus.distances_m and (beyond := _beyond(disparity, stack)):
        on_warning(beyond)
    if job.sampling.stack == "direct":
        for blur_index, focus_index, lens in stack.lenses():
            render.picture(_bokeh_name(stack, blur_index, focus_index), lens=blender_lens(lens, camera))
    else:
        render.light_field(stack, camera, on_view, on_warning)
    grid = view_grid(job, stack, camera) if job.keep_views else None
    if grid is not None:
        render.views(grid, on_view)
    overscan = overscan_px(max(job.blur_radii_px)) if job.layers else 0
    scene = CameraScene(
        depth=depth,
        focal_length_m=camera.focal_length_m,
        sensor_width_m=camera.sensor_width_m,
        source={**source, **asdict(made_by), **job.sampling.describe(), **job.focus.describe()},
        layers=render.layers(slice_distances(depth, job.layers), overscan) if job.layers else (),
        overscan=overscan,
    )

    with SceneWriter(job.root, scene_index) as writer:
        if grid is None:
            write_camera_scene(writer, scene, stack, seed=job.seed)
        else:
            views = (kept.view(row, column) for row, column in np.ndindex(grid.side, grid.side))
            write_light_field_scene(writer, scene, grid, views, stack, seed=job.seed)
        title = f"scene {scene_index:06d} · {source['name']}"
        layers = len(scene.layers)
        sheet = ContactSheet(
            title, width=job.width, height=job.height, num_layers=layers, stack=stack, disparity_unit="1/m"
        )
        sheet.add_disparity(scene.disparity())
        for i, layer in enumerate(scene.layers):
            inside = slice(overscan, overscan + job.height), slice(overscan, overscan + job.width)
            sheet.add_layer(i, layer.rgba[inside].astype(np.float32), float(layer.disparity[inside].max()))
        picture = kept.picture(image_file("exr"))
        writer.write_image(picture.linear, noise_rmse=picture.noise_rmse, samples=picture.samples)
        sheet.add_image(picture.linear)
        for blur_index, focus_index, _ in stack.lenses():
            setting = BokehSetting(blur_index, focus_index, stack.gammas[0])
            picture = kept.picture(_bokeh_name(stack, blur_index, focus_index))
            writer.write_bokeh(setting, picture.linear, noise_rmse=picture.noise_rmse, samples=picture.samples)
            sheet.add_bokeh(blur_index, focus_index, picture.linear)
        writer.write_preview(encode_jpeg(sheet.picture()))
    return writer.entry


def _beyond(disparity: Plane, stack: Stack) -> str | None:
    """A warning where focus distances are nearer than everything, or farther."""
    low, high = disparity_extent(disparity)
    outside = [d for d in stack.focus_disparities if not low / _NEAR_ENOUGH <= d <= high * _NEAR_ENOUGH]
    if not outside:
        return None
    named = ", ".join(f"{distance_from_disparity(d):.4g}" for d in outside)
    near, far = (distance_from_disparity(d) for d in (high, low))
    return f"nothing is sharp at a focus of {named} m: what the camera sees is {near:.4g} to {far:.4g} m away"


def _bokeh_name(stack: Stack, blur_index: int, focus_index: int) -> str:
    return bokeh_file(BokehSetting(blur_index, focus_index, stack.gammas[0]), "exr")


def _kept_folder(root: Path, scene_index: int) -> Path:
    return root / f".rendered-{scene_index:06d}"


def _identity(job: RenderJob, source: Mapping[str, Any], made_by: MadeBy) -> dict[str, Any]:
    """Everything that a picture of a scene depends on."""
    return {**job.describe(), "source": dict(source), **asdict(made_by)}


def kept_pictures(job: RenderJob, scene_index: int, source: Mapping[str, Any], made_by: MadeBy) -> int:
    """Number of pictures of an unfinished scene that need not be rendered again."""
    folder = _kept_folder(job.root, scene_index)
    is_current = _holds(folder, _identity(job, source, made_by))
    return len(list(folder.glob("*.exr.json"))) if is_current else 0


def forget_pictures(root: Path, scene_index: int) -> None:
    """Remove the kept pictures of a finished scene."""
    shutil.rmtree(_kept_folder(root, scene_index), ignore_errors=True)


def _text(identity: Mapping[str, Any]) -> str:
    return json.dumps(identity, sort_keys=True)


def _holds(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether the pictures in a folder belong to an identity."""
    told = folder / _IDENTITY
    return told.is_file() and told.read_text("utf-8") == _text(identity)


@dataclass(frozen=True, eq=False)
class KeptPicture:
    """One kept picture.

    linear       linear light, as stored
    noise_rmse   estimated display RMSE against the converged picture
    samples      per pixel
    """

    linear: Picture
    noise_rmse: float
    samples: int


class KeptPictures:
    """Rendered pictures of an unfinished scene, in a folder that remains when a run is stopped.

    identity   plain values; pictures of another identity are removed
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]):
        self._folder = folder
        if not _holds(folder, identity):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / _IDENTITY).write_text(_text(identity), "utf-8")

    def __contains__(self, name: str) -> bool:
        return (self._folder / f"{name}.json").is_file()

    def path(self, name: str) -> Path:
        return self._folder / name

    def render_path(self) -> Path:
        """What Blender writes to: a file of this process. The Blender of a killed one may still end its render."""
        return unfinished(self.path("render.exr"))

    def add(self, name: str, linear: NDArray, noise_rmse: float, samples: int) -> None:
        """Keep a picture. It counts as kept once its numbers are written."""
        images.write_exr_rgb(self.path(name), linear)
        self._tell(name, {"noise_rmse": noise_rmse, "samples": samples})

    def picture(self, name: str) -> KeptPicture:
        told = json.loads((self._folder / f"{name}.json").read_text("utf-8"))
        return KeptPicture(images.read_exr_rgb(self.path(name)), told["noise_rmse"], told["samples"])

    def add_layer(self, name: str, layer: DepthLayer) -> None:
        images.write_exr_rgba(self.path(name), layer.rgba)
        images.write_exr_plane(self.path(f"disparity_{name}"), layer.disparity)
        self._tell(name, {"near_m": layer.near_m, "far_m": layer.far_m})

    def layer(self, name: str) -> DepthLayer:
        told = json.loads((self._folder / f"{name}.json").read_text("utf-8"))
        rgba = images.read_exr(self.path(name))
        return DepthLayer(rgba=rgba, disparity=images.read_exr_plane(self.path(f"disparity_{name}")), **told)

    def add_depth(self, depth: Plane) -> None:
        images.write_exr_plane(self.path("depth.exr"), depth)
        self._tell("depth", {})

    def depth(self) -> Plane:
        return images.read_exr_plane(self.path("depth.exr"))

    def add_view(self, row: int, column: int, view: View, samples: int) -> None:
        name = view_file(row, column)
        self.path(name).parent.mkdir(exist_ok=True)
        images.write_exr_plane(self.path(view_depth_file(row, column)), view.depth)
        self.add(name, view.linear, view.noise_rmse, samples)

    def view(self, row: int, column: int) -> View:
        picture = self.picture(view_file(row, column))
        return View(picture.linear, images.read_exr_plane(self.path(view_depth_file(row, column))), picture.noise_rmse)

    def _tell(self, name: str, values: Mapping[str, Any]) -> None:
        write_whole(self._folder / f"{name}.json", json.dumps(values))


class _SceneRendering:
    """Renders with Blender the pictures of a scene that are not kept yet."""

    def __init__(
        self,
        job: RenderJob,
        blender: BlenderProcess,
        scene_index: int,
        kept: KeptPictures,
        on_picture: Callable[[], None],
    ):
        self._job, self._blender, self._scene_index = job, blender, scene_index
        self._kept, self._on_picture = kept, on_picture

    def picture(self, name: str, *, lens: dict[str, Any] | None, keep_depth: bool = False) -> None:
        if name in self._kept:
            return
        first, second, samples = self._pair(name, lens=lens)
        linear = [_stored(passes.rgba_premul[..., :3]) for passes in (first, second)]
        if keep_depth:
            self._kept.add_depth(first.depth)
        noise_rmse = display_rmse(linear[0], linear[1]) / 2.0
        self._kept.add(name, (linear[0] + linear[1]) / 2.0, noise_rmse, samples)
        self._on_picture()

    def depth(self) -> bool:
        """Keep the depth of the pinhole picture. Returns whether light reaches the camera."""
        if "depth" in self._kept:
            return True
        path = self._kept.render_path()
        view = {"exr": str(path.absolute()), "lens": None, "slice": None, "overscan": 0}
        sampling = {"samples": _DEPTH_SAMPLES, "seed": 0, "adaptive_threshold": None, "denoise": False}
        self._blender.ask({"do": "render", **view, **sampling})
        passes = read_passes(path)
        path.unlink()
        has_light = bool(_stored(passes.rgba_premul[..., :3]).any())
        if has_light:
            self._kept.add_depth(passes.depth)
        return has_light

    def is_in_front_of(self, skies: Sequence[str], depth: Plane) -> NDArray[np.bool_]:
        """Where the camera sees something else than objects that are skies, whose names are given."""
        path = self._kept.render_path()
        request = {"do": "render", "exr": str(path.absolute()), "lens": None, "slice": None, "overscan": 0}
        self._blender.ask({**request, **_ONE_SAMPLE, "hidden": list(skies)})
        without = read_passes(path).depth
        path.unlink()
        return without <= depth * _SAME_DEPTH

    def light_field(
        self, stack: Stack, camera: Camera, on_view: Callable[[], None], on_warning: Callable[[str], None]
    ) -> None:
        """Make the all-in-focus picture and the stack from views."""
        names = {_bokeh_name(stack, k, f): (k, f) for k, f, _ in stack.lenses()}
        if all(name in self._kept for name in (image_file("exr"), *names)):
            return
        views = Views(self._job, stack, camera, self._scene_index, self._kept.path("views.npz"))
        views.render(self._blender, on_view)
        if lacks := views.shortfall():
            on_warning(f"the light field ends with {lacks}")
        for name, (blur_index, focus_index) in names.items():
            self._kept.add(name, *views.bokeh(blur_index, focus_index))
        self._kept.add(image_file("exr"), *views.all_in_focus())
        views.forget()

    def views(self, grid: ViewGrid, on_view: Callable[[], None]) -> None:
        """Render the views that are written."""
        for row, column in np.ndindex(grid.side, grid.side):
            name = view_file(row, column)
            if name not in self._kept:
                point = grid.point(row, column)
                shift_px = signed_defocus_px(grid.disparity, grid.blur_parameter, 0.0) * point
                moved = {"camera_m": (grid.lens_radius_m * point).tolist(), "shift_px": shift_px.tolist()}
                first, second, samples = self._pair(name, overscan=grid.overscan, view=moved, samples=grid.samples)
                linear = [_stored(passes.rgba_premul[..., :3]) for passes in (first, second)]
                noise_rmse = display_rmse(linear[0], linear[1]) / 2.0
                view = View((linear[0] + linear[1]) / 2.0, first.depth, noise_rmse)
                self._kept.add_view(row, column, view, samples)
            on_view()

    def layers(self, distances: list[float], overscan: int) -> tuple[DepthLayer, ...]:
        """The layers between neighbouring distances, near to far. The last layer includes the background."""
        names = [f"layer_{i:02d}.exr" for i in range(len(distances) - 1)]
        for name, near, far in zip(names, distances[:-1], distances[1:], strict=True):
            if name in self._kept:
                continue
            interval = (near, None if far >= HALF_MAX else far)
            first, second, _ = self._pair(name, interval=interval, overscan=overscan)
            rgba_premul = (first.rgba_premul + second.rgba_premul) / 2.0
            layer = DepthLayer(_straight(rgba_premul), disparity_of(first.depth), near, far)
            self._kept.add_layer(name, layer)
            self._on_picture()
        layers = [self._kept.layer(name) for name in names]
        return tuple(closed(layers, [self._first_hits(near, overscan) for near in distances[:-1]]))

    def _first_hits(self, near_m: float, overscan: int) -> FirstHits:
        """The surfaces that are first beyond a planar distance."""
        path = self._kept.render_path()
        request = {"do": "render", "exr": str(path.absolute()), "lens": None, "adaptive_threshold": None}
        request |= {"denoise": False, "slice": (near_m, None), "overscan": overscan, "surfaces": True}
        # The one sample is the same whatever this process has rendered before.
        self._blender.ask({**request, "samples": 1, "sequence": VIEWS_MAX, "seed": 0})
        is_back, thing, piece = np.moveaxis(read_passes(path).rgba_premul[..., :3], -1, 0)
        path.unlink()
        return FirstHits(thing + piece, is_back > 0.5)

    def _pair(
        self,
        name: str,
        *,
        lens: dict[str, Any] | None = None,
        interval: tuple[float, float | None] | None = None,
        overscan: int = 0,
        view: dict[str, Any] | None = None,
        samples: int | None = None,
    ) -> tuple[Passes, Passes, int]:
        """Two renders with half the samples and different seeds, and the number of samples of both together.

        samples   of both together, None for as many as the pictures have
        """
        sampling = self._job.sampling
        threshold = sampling.noise_threshold
        path = self._kept.render_path()
        request = {
            "do": "render",
            "exr": str(path.absolute()),
            "lens": lens,
            # The mean of two pictures with sqrt(2) times the noise has the requested noise.
            "adaptive_threshold": None if threshold is None else threshold * math.sqrt(2.0),
            "denoise": sampling.denoise,
            "slice": interval,
            "overscan": overscan,
        }
        is_direct = sampling.stack == "direct"
        if view is not None:
            request["view"] = view
        if not is_direct:
            # That of the views, which are rendered before, unless the run was stopped between.
            request["sequence"] = VIEWS_MAX
        # Layers beside a light field have as many samples as its all-in-focus picture.
        if samples is None:
            samples = sampling.samples if is_direct else self._kept.picture(image_file("exr")).samples
        assert samples is not None
        samples = math.ceil(samples / 2)
        if sampling.time_limit_s and is_direct:
            # Cycles has a time limit of its own, but does not report how many samples it took.
            # The first render also builds the scene, so it is not timed.
            self._blender.ask({**request, "samples": 1, "seed": 0})
            pilot = self._blender.ask({**request, "samples": _PILOT_SAMPLES, "seed": 0})
            affordable = (sampling.time_limit_s - pilot["wall_s"]) / 2.0 / pilot["wall_s"] * _PILOT_SAMPLES
            samples = min(samples, max(1, int(affordable)))
        seed = [self._job.seed, self._scene_index, *name.encode()]
        passes = []
        for half_seed in np.random.SeedSequence(seed).generate_state(2) >> 1:
            self._blender.ask({**request, "samples": samples, "seed": int(half_seed)})
            passes.append(read_passes(path))
            path.unlink()
        return passes[0], passes[1], 2 * samples


def _stored(linear: Picture) -> Picture:
    """Light clipped to the range of half floats. Filters with negative lobes and broken shaders can leave it."""
    return np.clip(np.nan_to_num(linear, nan=0.0), 0.0, HALF_MAX)


def _straight(rgba_premul: Rgba) -> HalfRgba:
    """Straight alpha as half floats. Colour is 0 under alpha 0."""
    alpha = np.clip(rgba_premul[..., 3:], 0.0, 1.0)
    rgb = np.divide(rgba_premul[..., :3], alpha, out=np.zeros_like(rgba_premul[..., :3]), where=alpha > 0.0)
    return np.concatenate([_stored(rgb), alpha], axis=-1).astype(np.float16)
