"""Render ground truth for lens blur with Blender Cycles: BLB-style scenes, in the same format as traced scenes.

    python blender_scripts/render_blb.py --scenes 10

renders ten built-in scenes to datasets/blender. The same command resumes an interrupted run at the next picture. An
installed Blender can start it too; the command then runs in the Python that has bokehforge (`leave_blender`):

    blender -b -P blender_scripts/render_blb.py -- --scenes 10
"""

import math
import platform
import runpy
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

if __name__ == "__main__" and "bpy" in sys.modules:  # only Blender itself loads it before the script
    runpy.run_path(str(Path(__file__).with_name("leave_blender.py")), run_name="__main__")

import numpy as np
import tyro

from blender_scripts.cost import cost_text, light_field_cost_text, share_in_time
from blender_scripts.focus import FocusRule
from blender_scripts.job import MadeBy, RenderJob, Sampling, StackMethod
from blender_scripts.lens_points import VIEWS_MAX
from blender_scripts.light_field import sums_bytes
from blender_scripts.listing import contents_text
from blender_scripts.process import BlenderCrash, BlenderProcess
from blender_scripts.production import SceneTask, check, forget_pictures, kept_pictures, outcome
from blender_scripts.refusal import Refusal
from blender_scripts.scene_names import SCENE_NAMES
from blender_scripts.views import overscan_px as views_overscan_px
from blender_scripts.views import sharp_views
from bokehdata.format import DatasetError
from bokehdata.kinds.light_field import GRID_MAX
from bokehdata.writer import DatasetWriter, estimated_bytes, estimated_views_bytes, require_space, size_text
from runtime import command
from runtime.clusters import EngineName, cluster
from runtime.command import OptionError, counted, counted_are
from runtime.engines import Cluster, EngineError, Here, Share
from runtime.files import sha256_of
from runtime.progress import Progress
from runtime.workers import WorkerDied
from scenes.aperture import Disk, Polygon
from scenes.billboard import overscan_px
from scenes.color import HALF_MAX

# Options that --preset sets. Other options are those of a run without a preset.
_PRESETS: dict[str, dict[str, Any]] = {
    # The size of BLB: 510 pictures with radii of 10 to 50 px.
    "blb": {"width": 1920, "height": 1080, "radius_step": 10.0, "noise": 0.004},
    # A quarter of the width, with the radii that fit it. 3000 views take two cores about 40 minutes.
    "blb-mini": {"width": 480, "height": 270, "radius_step": 5.0, "noise": 0.004, "time_limit": 2400.0},
}

_DIRECT_SAMPLES = 1024

_PIXEL_RULE = {
    "direct": "box: mean over the area",
    "light-field": "box+tent: mean over the area, then by a tent two pixels wide; layers: box",
}
_NOISE_RULE = {
    "direct": "each image is the mean of two renders with half the samples; noise_rmse is half their display RMSE",
    "light-field": "each image is the mean of two halves of the views; noise_rmse is half their display RMSE",
}

_VIEWS_RULE = (
    "from a square grid of lens points over the largest aperture; the camera moves in its plane, and its sensor is "
    "shifted so that the middle focus disparity stays in place; box pixels, depth through their centres"
)


@dataclass(frozen=True)
class Options:
    """Render BLB-style ground truth with Blender Cycles: all-in-focus image, depth and bokeh stacks of 3D scenes.

    Example: python blender_scripts/render_blb.py --scenes 10 --width 480 --height 270 --samples 256
    """

    preset: Literal["blb-mini", "blb"] | None = None
    """Ten scenes as a benchmark, with a display noise of 0.004: blb of 1920 x 1080 pixels, blb-mini of 480 x 270 with
    radii of 5 to 25 px and at most 40 minutes a scene. Other options still count."""
    scenes: int = 10
    """Number of built-in scenes; after the first ten, the same ten scenes are repeated as other variants."""
    first_scene: int = 0
    """Index of the first scene that is rendered, of those of --scenes or --blend. Scenes do not depend on each other:
    a set can be made in parts."""
    out: Path = Path("datasets/blender")
    """Folder of the dataset."""
    width: int = 1920
    """Width of the pictures, pixels."""
    height: int = 1080
    """Height of the pictures, pixels."""
    blur_levels: int = 5
    """Number of blur parameters per scene; the largest blur radius of each is one step more than before."""
    radius_step: float = 10.0
    """Step of the largest blur radius, pixels. BLB's, at a width of 1920."""
    focus_count: int = 10
    """Number of focus distances per scene, evenly spaced in disparity from far to near. Of built-in scenes the far end
    is the farthest of all pixels, as in BLB; of .blend files it is the farthest surface: the background does not count,
    nor do boxes and domes that stand for a sky."""
    focus_range: tuple[float, float] | None = None
    """The ends of the focus distances: nearest and farthest, metres; inf for infinity."""
    focus_distances: tuple[float, ...] = ()
    """The focus distances themselves, metres."""
    blb_focus: bool = False
    """Choose the focus distances of .blend files as BLB does: an empty background counts, at infinity."""
    stack: StackMethod = "light-field"
    """How the pictures of a scene are made: all from the same pinhole views, or one by one with Cycles' own lens."""
    samples: int | None = None
    """Number of views of a light field. Default: as many as make a bright point a filled disk. With --stack direct,
    samples per pixel of each picture, half from each of two seeds, 1024 by default. An upper limit with a threshold or
    a time limit."""
    noise: float | None = None
    """Display RMSE below which a light field is finished: of every picture, and its triple of every block of 16 x 16
    pixels. Excludes --samples."""
    noise_threshold: float | None = None
    """Threshold of Cycles' adaptive sampling with --stack direct: faster, but slightly biased. Default: equal samples
    everywhere."""
    time_limit: float = 0.0
    """Seconds that the views of a scene may take, with --stack direct those of a picture; 0 for no limit. With a limit,
    pictures depend on the machine."""
    denoise: bool = False
    """Denoise every view or picture with OpenImageDenoise. The result is not ground truth; scene.yaml says so."""
    device: Literal["auto", "cpu", "cuda", "optix", "hip", "metal"] = "auto"
    """Device for Cycles; auto takes the first GPU that is found, else the CPU."""
    seed: int = 0
    """Seed of all random choices; scene i depends only on the seed and i."""
    blades: int = 0
    """Number of straight blades of the aperture, 3 to 16; 0 for a round aperture."""
    layers: int = 0
    """Number of depth layers written for each scene, including surfaces that nearer layers hide; 0 to 32."""
    keep_views: int = 0
    """Write the light field too: N x N views over the largest aperture with their depth, N odd, 3 to 99; 0 for none."""
    view_samples: int = 16
    """Samples per pixel of each of these views, half from each of two seeds."""
    blend: tuple[Path, ...] = ()
    """Render these .blend files instead of the built-in scenes; each is one scene."""
    camera: str | None = None
    """Name of the camera in the .blend files. Default: the active one, else the first, else a new one that
    sees the subject."""
    camera_at: tuple[float, float, float] | None = None
    """Place a camera there in the .blend files, metres; x, y, z as in Blender. It has the lens of the file's camera, or
    35 mm."""
    look_at: tuple[float, float, float] | None = None
    """What the camera at --camera-at looks at, metres."""
    frame: int | None = None
    """Frame of the .blend files. Default: the frame at which each was saved."""
    list: bool = False
    """Print the cameras and frames of the .blend files, and render nothing."""
    blender: Path | None = None
    """Path of an installed Blender, 5.0 or newer. Default: the bpy module of bokehforge[blender]."""
    engine: EngineName = "processes"
    """What renders: one Blender on this machine, or Ray, a scene at a time on each of many machines that all see --out
    (docs/scaling.md)."""
    address: str | None = None
    """Ray cluster to use, HOST:PORT; auto finds that of this machine. Default: one is started on this machine."""
    dry_run: bool = False
    """Print what would be rendered, and render nothing."""


def main(argv: list[str] | None = None, prog: str = "render_blb.py") -> int:
    """Run the command. Returns its exit code: 0, 1 if a scene failed, 2 for unusable input or if there is no scene in
    the end, 130 when interrupted."""
    options = tyro.cli(Options, args=argv, prog=prog)
    if options.preset is not None:
        preset = {**_PRESETS[options.preset], "preset": options.preset}
        if options.samples is not None or options.stack == "direct":
            # The preset's end of a light field is not that of so many views, or of pictures one by one.
            preset = {key: value for key, value in preset.items() if key not in ("noise", "time_limit")}
        options = tyro.cli(Options, args=argv, prog=prog, default=replace(Options(), **preset))
    return command.exit_code(
        partial(_render, options, prog),
        prog,
        refusals=(Refusal, BlenderCrash, DatasetError, EngineError),
        failures=(WorkerDied,),
        interrupted="stopped; finished pictures are safe, the same command goes on from here",
        path=options.out,
    )


def _render(options: Options, prog: str) -> int:
    _require_sensible(options)
    if options.list:
        return _list(options, prog)
    with cluster(options.engine, options.address, None) as ray:
        return _make(options, prog, ray)


def _make(options: Options, prog: str, ray: Cluster | None) -> int:
    job = _job(options)
    tasks = _tasks(options)
    asked = range(options.first_scene, len(tasks))
    bokeh = len(job.blur_radii_px) * job.focus_count
    overscan = overscan_px(max(job.blur_radii_px)) if job.layers else 0
    # A layer of a 3D scene has two files, its colour and its disparities.
    scene_bytes = estimated_bytes(job.width, job.height, overscan, 2 * job.layers, bokeh, "exr")
    view_overscan = views_overscan_px(max(job.blur_radii_px))
    view_bytes = estimated_views_bytes(job.width, job.height, view_overscan, job.keep_views**2)
    scene_bytes += view_bytes
    is_direct = job.sampling.stack == "direct"
    each = counted(job.sampling.samples or 0, "sample") if is_direct else counted(job.expected_views(), "view")
    if job.sampling.noise is not None:
        each = f"noise {job.sampling.noise:g}"
    print(
        f"{counted(len(asked), 'scene')} of {counted(bokeh, 'image')}, {job.width} x {job.height} px, {each}, "
        f"about {size_text(len(asked) * scene_bytes)}, into {job.root}"
    )
    if job.keep_views:
        print(f"{job.keep_views} x {job.keep_views} views with depth take about {size_text(view_bytes)} of a scene")
    sums = 0 if is_direct else sums_bytes(1 + bokeh, job.width, job.height)
    if sums:
        print(f"a light field takes {size_text(sums)} of memory, and up to {size_text(2 * sums)} of disk for a while")
    if options.dry_run:
        scenes = len(asked)
        cost = cost_text(job, scenes * job.pictures, "cpu") if is_direct else light_field_cost_text(job, scenes, "cpu")
        print(f"without a GPU, {cost}")
        return command.DONE

    engine, share = Here(), Share()
    if ray is not None:
        is_on_gpu = options.device != "cpu" and (options.device != "auto" or ray.backend("auto") != "cpu")
        engine, share = ray, ray.machine(gpu=is_on_gpu)
    (found,) = engine.results(partial(check, options.blender), [options.device], share=share)
    print(f"Blender {found['blender']} on {found['device']}")
    software = {"bokehforge": version("bokehforge"), "blender": found["blender"]}
    begin = time.monotonic()
    failed = []

    def warn(task: SceneTask, text: str) -> None:
        print(f"{prog}: {task.name}: {text}", file=sys.stderr)

    def lost(task: SceneTask) -> None:
        warn(task, "its worker died; it goes on elsewhere")

    with DatasetWriter(job.root, _header(options, job, tasks, software)) as dataset:
        finished = dataset.finished(asked)
        missing = [i for i in asked if i not in finished]
        for i in finished:  # an earlier run may have been killed before it removed them
            forget_pictures(job.root, i)
        if finished:
            print(f"{len(asked) - len(missing)} of {counted(len(asked), 'scene')} finished already")
        # The sums and the views of the scene that is rendered are there besides.
        require_space(job.root, len(missing) * scene_bytes + (2 * sums + view_bytes if missing else 0))
        made_by = MadeBy(found["blender"], found["device"])
        unit = "image" if is_direct else "view"
        if ray is not None:
            steps, unit, cost = len(missing), "scene", f"a scene at a time on each machine: {ray}"
        elif is_direct:
            steps = sum(job.pictures - kept_pictures(job, i, tasks[i].description, made_by) for i in missing)
            cost = cost_text(job, steps, found["device"])
        else:
            steps = len(missing) * _views(job)
            cost = light_field_cost_text(job, len(missing), found["device"])
        if steps:
            print(cost, flush=True)
        with Progress(steps, unit) as progress:
            views = _AnnouncedViews(progress, _views(job))
            work = partial(outcome, job, options.blender)
            if ray is None:
                work = partial(
                    work,
                    on_picture=progress.add if is_direct else lambda: None,
                    on_view=views.add,
                    on_warning=warn,
                )
            with closing(engine.results(work, [tasks[i] for i in missing], share=share, on_loss=lost)) as outcomes:
                for made in outcomes:
                    task = made.task
                    for text in made.warnings:
                        warn(task, text)
                    if made.entry is not None:
                        dataset.add(made.entry)
                    else:
                        failed.append(task.name)
                        print(f"{prog}: scene {task.scene_index} ({task.name}): {made.error}", file=sys.stderr)
                    if not isinstance(made.error, BlenderCrash):
                        forget_pictures(job.root, task.scene_index)
                    if ray is not None:
                        progress.add()
                    elif not is_direct:
                        views.end(is_made=made.entry is not None)
        noise = dataset.noise_rmse_max
    there = len(asked) - len(failed)
    if failed:
        print(f"{prog}: {len(failed)} failed: {', '.join(failed)}", file=sys.stderr)
    if not there:
        print(f"{prog}: error: {job.root}: no scene was made", file=sys.stderr)
        return command.BAD_INPUT
    made = len(missing) - len(failed)
    print(
        f"{counted_are(there, 'scene')} in {job.root}: "
        f"{made} made in {time.monotonic() - begin:.0f} s, largest noise {noise:.4f}\n"
        f"look at them:  bokehforge view {job.root}\n"
        f"check them:    bokehforge verify {job.root}"
    )
    return command.FAILED if failed else command.DONE


def _list(options: Options, prog: str) -> int:
    """Print what is in the .blend files; 2 where none can be opened, 1 where some cannot."""
    failed = 0
    for path in options.blend:
        try:
            with BlenderProcess(options.blender) as blender:
                print(contents_text(str(path), blender.ask({"do": "contents", "path": str(path.absolute())})))
        except (Refusal, BlenderCrash) as error:
            failed += 1
            print(f"{prog}: {error}", file=sys.stderr)
    if failed == len(options.blend):
        return command.BAD_INPUT
    return command.FAILED if failed else command.DONE


def _views(job: RenderJob) -> int:
    """The number of views of a scene, as far as it is known before."""
    stack = job.expected_views() + sharp_views(job.expected_views())
    return math.ceil(stack * share_in_time(job)) + job.keep_views**2


class _AnnouncedViews:
    """Counts the views of scenes, one by one, in the progress: as many as announced, however many come."""

    def __init__(self, progress: Progress, announced: int):
        self._progress, self._announced, self._left = progress, announced, announced

    def add(self) -> None:
        if self._left:
            self._left -= 1
            self._progress.add()

    def end(self, *, is_made: bool) -> None:
        """The scene is made, or will not be; the next one begins."""
        if is_made:
            self._progress.add(self._left)
        self._left = self._announced


def _require_sensible(options: Options) -> None:
    command.require_within(
        ("--scenes", options.scenes, 1, 1_000_000),
        ("--first-scene", options.first_scene, 0, (len(options.blend) or options.scenes) - 1),
        ("--width", options.width, 16, 16384),
        ("--height", options.height, 16, 16384),
        ("--blur-levels", options.blur_levels, 1, 100),
        ("--focus-count", options.focus_count, 1, 100),
        ("--radius-step", options.radius_step, 0.1, 1000),
        ("--seed", options.seed, 0, 2**63),
        ("--layers", options.layers, 0, 32),
        ("--time-limit", options.time_limit, 0, 1e9),
    )
    if options.noise_threshold is not None and not 0.0 < options.noise_threshold < 1.0:
        raise OptionError(f"--noise-threshold is {options.noise_threshold}; it must lie between 0 and 1")
    if options.noise is not None and not 0.0 < options.noise < 1.0:
        raise OptionError(f"--noise is {options.noise}; it must lie between 0 and 1")
    if options.blades != 0 and not 3 <= options.blades <= 16:
        raise OptionError(f"--blades is {options.blades}; it must be 0 for a round aperture, or 3 to 16")
    if options.stack == "direct":
        _require_direct(options)
    else:
        _require_light_field(options)
    for path in options.blend:
        if not path.is_file():
            raise Refusal(f"{path}: no such file")
    _require_view(options)
    _require_focus(options)


def _require_view(options: Options) -> None:
    if not options.blend:
        for name, value in (
            ("--camera", options.camera),
            ("--camera-at", options.camera_at),
            ("--look-at", options.look_at),
            ("--frame", options.frame),
        ):
            if value is not None:
                raise OptionError(f"{name} is {value}; it is for --blend FILE")
        if options.list:
            raise OptionError("--list is for --blend FILE")
    if (options.camera_at is None) != (options.look_at is None):
        raise OptionError("--camera-at and --look-at need one another")
    if options.camera_at is not None:
        if options.camera is not None:
            raise OptionError(f"--camera is {options.camera} and there is --camera-at; give one of them")
        if options.camera_at == options.look_at:
            raise OptionError(f"--camera-at and --look-at are both {options.camera_at}; they must differ")


def _require_focus(options: Options) -> None:
    given = [
        name
        for name, is_given in (
            ("--focus-range", options.focus_range is not None),
            ("--focus-distances", bool(options.focus_distances)),
            ("--blb-focus", options.blb_focus),
        )
        if is_given
    ]
    if len(given) > 1:
        raise OptionError(f"{' and '.join(given)}: give one of them")
    for metres in options.focus_range or options.focus_distances:
        if not metres > 0.0:
            raise OptionError(f"{given[0]} has {metres}; distances must be above 0, in metres")
    if options.focus_range is not None and not options.focus_range[0] < options.focus_range[1]:
        near, far = options.focus_range
        raise OptionError(f"--focus-range is {near:g} {far:g}; the nearest distance comes first")
    if len(options.focus_distances) > 100:
        raise OptionError(f"--focus-distances has {len(options.focus_distances)}; there are 100 at most")
    if len(set(options.focus_distances)) < len(options.focus_distances):
        raise OptionError("--focus-distances has a distance twice")
    if options.focus_distances and options.focus_count not in (Options.focus_count, len(options.focus_distances)):
        raise OptionError(
            f"--focus-count is {options.focus_count} and --focus-distances has {len(options.focus_distances)}; "
            "leave the count out"
        )


def _require_direct(options: Options) -> None:
    if options.keep_views:
        raise OptionError(f"--keep-views is {options.keep_views}; it needs --stack light-field")
    if options.noise is not None:
        raise OptionError(f"--noise is {options.noise}; it needs --stack light-field, or take --noise-threshold")
    if options.samples is not None:
        command.require_within(("--samples", options.samples, 2, 2**24))
        if options.samples % 2:
            raise OptionError(
                f"--samples is {options.samples}; it must be even, because each of two seeds takes half of them"
            )


def _require_light_field(options: Options) -> None:
    if options.noise_threshold is not None:
        raise OptionError(f"--noise-threshold is {options.noise_threshold}; it needs --stack direct, or take --noise")
    if options.keep_views and not (3 <= options.keep_views <= GRID_MAX and options.keep_views % 2):
        raise OptionError(f"--keep-views is {options.keep_views}; it must be 0 for none, or odd and 3 to {GRID_MAX}")
    command.require_within(("--view-samples", options.view_samples, 2, VIEWS_MAX))
    if options.view_samples % 2:
        raise OptionError(f"--view-samples is {options.view_samples}; it must be even, half from each of two seeds")
    if options.samples is not None:
        if options.noise is not None:
            raise OptionError(
                f"--samples is {options.samples} and --noise is {options.noise}; give one of them, "
                "because the noise decides the number of views"
            )
        least = _job(options).lens_points().least_views
        command.require_within(("--samples", options.samples, least, VIEWS_MAX))


def _job(options: Options) -> RenderJob:
    samples = options.samples
    if samples is None and options.stack == "direct":
        samples = _DIRECT_SAMPLES
    job = RenderJob(
        root=options.out,
        width=options.width,
        height=options.height,
        blur_radii_px=tuple(options.radius_step * (i + 1) for i in range(options.blur_levels)),
        focus_count=len(options.focus_distances) or options.focus_count,
        aperture=Polygon(options.blades) if options.blades else Disk(),
        sampling=Sampling(
            samples, options.noise_threshold, options.time_limit, options.denoise, options.stack, options.noise
        ),
        device=options.device,
        layers=options.layers,
        seed=options.seed,
        keep_views=options.keep_views,
        view_samples=options.view_samples,
        focus=_focus_rule(options),
    )
    if job.sampling.samples is None and job.sampling.noise is None:
        return replace(job, sampling=replace(job.sampling, samples=job.expected_views()))
    return job


def _focus_rule(options: Options) -> FocusRule:
    if options.focus_range is not None:
        return FocusRule("range", _finite(options.focus_range))
    if options.focus_distances:
        return FocusRule("distances", _finite(options.focus_distances))
    return FocusRule("surfaces" if options.blend and not options.blb_focus else "seen")


def _finite(distances_m: Iterable[float]) -> tuple[float, ...]:
    """Distances with 65504 for all that means infinity."""
    return tuple(min(metres, HALF_MAX) for metres in distances_m)


def _tasks(options: Options) -> list[SceneTask]:
    if options.blend:
        return [_blend_task(i, path, options) for i, path in enumerate(options.blend)]
    return [_builtin_task(i, options.seed) for i in range(options.scenes)]


def _builtin_task(scene_index: int, seed: int) -> SceneTask:
    name = SCENE_NAMES[scene_index % len(SCENE_NAMES)]
    variant = int(np.random.SeedSequence([seed, scene_index]).generate_state(1)[0])
    return SceneTask(
        scene_index,
        {"kind": "procedural", "scene": name, "seed": variant},
        {"kind": "procedural", "name": name, "variant": variant},
    )


def _blend_task(scene_index: int, path: Path, options: Options) -> SceneTask:
    view: dict[str, Any] = {"camera": options.camera, "frame": options.frame}
    # Datasets were begun before cameras could be placed.
    if options.camera_at is not None and options.look_at is not None:
        view |= {"at": list(options.camera_at), "look_at": list(options.look_at)}
    return SceneTask(
        scene_index,
        {"kind": "blend", "path": str(path.absolute()), "seen_from": view},
        {"kind": "blend", "name": path.name, "sha256": sha256_of(path), **view},
    )


def _header(options: Options, job: RenderJob, tasks: list[SceneTask], software: dict[str, str]) -> dict[str, Any]:
    """How the dataset is made, for dataset.yaml. It holds no time, place or number of scenes."""
    return {
        "generator": "blender_scripts/render_blb.py",
        **job.describe(),
        # Built-in scenes may be added later. No scene depends on their number.
        "sources": [task.description for task in tasks] if options.blend else "built-in",
        "image_format": "exr",
        "lens_model": "thin lens with the sensor at the focal length (no focus breathing), "
        "signed defocus = blur_parameter * (1 / depth - 1 / focus_distance) in pixels",
        "disparity_unit": "1/m",
        "pixel_rule": _PIXEL_RULE[job.sampling.stack],
        "focus_rule": job.focus.sentence(),
        "border_rule": "the scene goes on beyond the frame",
        "colour": "linear light, no view transform",
        "noise_rule": _NOISE_RULE[job.sampling.stack],
        **({"views_rule": _VIEWS_RULE} if job.keep_views else {}),
        "licence": "holds scenes of the user's own, under their own licences"
        if options.blend
        else "built-in scenes, CC0-1.0; some are lit by Poly Haven's CC0 environments",
        "software": {
            **software,
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "OpenEXR")},
        },
    }


if __name__ == "__main__":
    raise SystemExit(main())
