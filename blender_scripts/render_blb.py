"""Render ground truth for lens blur with Blender Cycles: BLB-style scenes, in the same format as traced scenes.

    python blender_scripts/render_blb.py --scenes 10

renders ten built-in scenes to datasets/blender. The same command resumes an interrupted run at the next picture. An
installed Blender can start it too; the command then runs in the Python that has bokehforge (`leave_blender`):

    blender -b -P blender_scripts/render_blb.py -- --scenes 10
"""

import platform
import runpy
import sys
import time
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

if __name__ == "__main__" and "bpy" in sys.modules:  # only Blender itself loads it before the script
    runpy.run_path(str(Path(__file__).with_name("leave_blender.py")), run_name="__main__")

import numpy as np
import tyro

from blender_scripts.cost import cost_text
from blender_scripts.extent import IGNORED_SHARE
from blender_scripts.process import BlenderCrash, BlenderProcess
from blender_scripts.production import MadeBy, RenderJob, Sampling, forget_pictures, kept_pictures, produce_scene
from blender_scripts.refusal import Refusal
from blender_scripts.scene_names import SCENE_NAMES
from bokehdata.format import DatasetError
from bokehdata.writer import DatasetWriter, estimated_bytes, require_space, size_text
from runtime import command
from runtime.command import OptionError
from runtime.files import sha256_of
from runtime.progress import Progress
from scenes.aperture import Disk, Polygon
from scenes.billboard import overscan_px

# BLB's largest blur radii are 10, 20, 30, 40 and 50 px.
_BLUR_RADIUS_STEP_PX = 10.0


@dataclass(frozen=True)
class Options:
    """Render BLB-style ground truth with Blender Cycles: all-in-focus image, depth and bokeh stacks of 3D scenes.

    Example: python blender_scripts/render_blb.py --scenes 10 --width 480 --height 270 --samples 256
    """

    scenes: int = 10
    """Number of built-in scenes; after the first ten, the same ten scenes are repeated as other variants."""
    out: Path = Path("datasets/blender")
    """Folder of the dataset."""
    width: int = 1920
    """Width of the pictures, pixels."""
    height: int = 1080
    """Height of the pictures, pixels."""
    blur_levels: int = 5
    """Number of blur parameters per scene; the largest blur radius is 10 px for the first, 20 px for the second, ..."""
    focus_count: int = 10
    """Number of focus distances per scene, evenly spaced in disparity from the farthest to the nearest surface."""
    samples: int = 1024
    """Samples per pixel of each picture, half from each of two seeds; an upper limit with a threshold or time limit."""
    noise_threshold: float | None = None
    """Threshold of Cycles' adaptive sampling: faster, but slightly biased. Default: equal samples everywhere."""
    time_limit: float = 0.0
    """Seconds that a picture may take, 0 for no limit; with a limit, pictures depend on the machine."""
    denoise: bool = False
    """Denoise with OpenImageDenoise. The result is not ground truth; scene.yaml says so."""
    device: Literal["auto", "cpu", "cuda", "optix", "hip", "metal"] = "auto"
    """Device for Cycles; auto takes the first GPU that is found, else the CPU."""
    seed: int = 0
    """Seed of all random choices; scene i depends only on the seed and i."""
    blades: int = 0
    """Number of straight blades of the aperture, 3 to 16; 0 for a round aperture."""
    layers: int = 0
    """Number of depth layers written for each scene, including surfaces that nearer layers hide; 0 to 32."""
    blend: tuple[Path, ...] = ()
    """Render these .blend files instead of the built-in scenes; each is one scene."""
    camera: str | None = None
    """Name of the camera in the .blend files. Default: the active one, else the first, else a new one that sees all."""
    frame: int | None = None
    """Frame of the .blend files. Default: the frame at which each was saved."""
    blender: Path | None = None
    """Path of an installed Blender, 5.0 or newer. Default: the bpy module of bokehforge[blender]."""
    dry_run: bool = False
    """Print what would be rendered, and render nothing."""


@dataclass(frozen=True)
class _Source:
    """The request to load a scene, and its description in `scene.yaml`. `description["name"]` is for people."""

    request: dict[str, Any]
    description: dict[str, Any]


def main(argv: list[str] | None = None, prog: str = "render_blb.py") -> int:
    """Run the command. Returns its exit code: 0, 1 if a scene failed, 2 for unusable input or if every scene was
    refused, 130 when interrupted."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(
        partial(_render, options, prog),
        prog,
        refusals=(Refusal, BlenderCrash, DatasetError),
        interrupted="stopped; finished pictures are safe, the same command goes on from here",
        path=options.out,
    )


def _render(options: Options, prog: str) -> int:
    _require_sensible(options)
    job = _job(options)
    sources = _sources(options)
    bokeh = len(job.blur_radii_px) * job.focus_count
    overscan = overscan_px(max(job.blur_radii_px)) if job.layers else 0
    # A layer of a 3D scene has two files, its colour and its disparities.
    scene_bytes = estimated_bytes(job.width, job.height, overscan, 2 * job.layers, bokeh, "exr")
    print(
        f"{len(sources)} scenes of {bokeh} images, {job.width} x {job.height} px, {job.sampling.samples} samples, "
        f"about {size_text(len(sources) * scene_bytes)}, into {job.root}"
    )
    if options.dry_run:
        print(f"without a GPU, {cost_text(job, len(sources) * job.pictures, 'cpu')}")
        return command.DONE

    with BlenderProcess(options.blender) as blender:
        found = blender.ask({"do": "check", "device": options.device})
    print(f"Blender {found['blender']} on {found['device']}")
    software = {"bokehforge": version("bokehforge"), "blender": found["blender"]}
    begin = time.monotonic()
    failed, refused = [], 0
    with DatasetWriter(job.root, _header(options, job, sources, software)) as dataset:
        finished = dataset.finished(range(len(sources)))
        missing = [i for i in range(len(sources)) if i not in finished]
        for i in finished:  # an earlier run may have been killed before it removed them
            forget_pictures(job.root, i)
        if finished:
            print(f"{len(sources) - len(missing)} of {len(sources)} scenes are finished already")
        require_space(job.root, len(missing) * scene_bytes)
        made_by = MadeBy(found["blender"], found["device"])
        pictures = sum(job.pictures - kept_pictures(job, i, sources[i].description, made_by) for i in missing)
        if pictures:
            print(cost_text(job, pictures, found["device"]), flush=True)
        with Progress(pictures, "image") as progress:
            for i in missing:
                name = sources[i].description["name"]
                try:
                    with BlenderProcess(options.blender) as blender:
                        entry = produce_scene(
                            job,
                            blender,
                            i,
                            sources[i].request,
                            sources[i].description,
                            on_picture=progress.add,
                            on_warning=lambda text, name=name: print(f"{prog}: {name}: {text}", file=sys.stderr),
                        )
                    dataset.add(entry)
                    forget_pictures(job.root, i)
                except (Refusal, BlenderCrash) as error:
                    failed.append(name)
                    print(f"{prog}: scene {i} ({name}): {error}", file=sys.stderr)
                    if isinstance(error, Refusal):
                        refused += 1
                        forget_pictures(job.root, i)
        noise = dataset.noise_rmse_max
    made = len(missing) - len(failed)
    print(
        f"{len(sources) - len(failed)} scenes are in {job.root}: {made} made in {time.monotonic() - begin:.0f} s, "
        f"largest noise {noise:.4f}\n"
        f"look at them:  bokehforge view {job.root}\n"
        f"check them:    bokehforge verify {job.root}"
    )
    if failed:
        print(f"{prog}: {len(failed)} failed: {', '.join(failed)}", file=sys.stderr)
    if refused == len(sources):
        return command.BAD_INPUT
    return command.FAILED if failed else command.DONE


def _require_sensible(options: Options) -> None:
    command.require_within(
        ("--scenes", options.scenes, 1, 1_000_000),
        ("--width", options.width, 16, 16384),
        ("--height", options.height, 16, 16384),
        ("--blur-levels", options.blur_levels, 1, 100),
        ("--focus-count", options.focus_count, 1, 100),
        ("--samples", options.samples, 2, 2**24),
        ("--seed", options.seed, 0, 2**63),
        ("--layers", options.layers, 0, 32),
        ("--time-limit", options.time_limit, 0, 1e9),
    )
    if options.samples % 2:
        raise OptionError(
            f"--samples is {options.samples}; it must be even, because each of two seeds takes half of them"
        )
    if options.noise_threshold is not None and not 0.0 < options.noise_threshold < 1.0:
        raise OptionError(f"--noise-threshold is {options.noise_threshold}; it must lie between 0 and 1")
    if options.blades != 0 and not 3 <= options.blades <= 16:
        raise OptionError(f"--blades is {options.blades}; it must be 0 for a round aperture, or 3 to 16")
    for path in options.blend:
        if not path.is_file():
            raise Refusal(f"{path}: no such file")


def _job(options: Options) -> RenderJob:
    return RenderJob(
        root=options.out,
        width=options.width,
        height=options.height,
        blur_radii_px=tuple(_BLUR_RADIUS_STEP_PX * (i + 1) for i in range(options.blur_levels)),
        focus_count=options.focus_count,
        aperture=Polygon(options.blades) if options.blades else Disk(),
        sampling=Sampling(options.samples, options.noise_threshold, options.time_limit, options.denoise),
        device=options.device,
        layers=options.layers,
        seed=options.seed,
    )


def _sources(options: Options) -> list[_Source]:
    if options.blend:
        return [_blend_source(path, options) for path in options.blend]
    return [_builtin_source(i, options.seed) for i in range(options.scenes)]


def _builtin_source(scene_index: int, seed: int) -> _Source:
    name = SCENE_NAMES[scene_index % len(SCENE_NAMES)]
    variant = int(np.random.SeedSequence([seed, scene_index]).generate_state(1)[0])
    return _Source(
        {"kind": "procedural", "scene": name, "seed": variant},
        {"kind": "procedural", "name": name, "variant": variant},
    )


def _blend_source(path: Path, options: Options) -> _Source:
    chosen = {"camera": options.camera, "frame": options.frame}
    return _Source(
        {"kind": "blend", "path": str(path.absolute()), **chosen},
        {"kind": "blend", "name": path.name, "sha256": sha256_of(path), **chosen},
    )


def _header(options: Options, job: RenderJob, sources: list[_Source], software: dict[str, str]) -> dict[str, Any]:
    """How the dataset is made, for dataset.yaml. It holds no time, place or number of scenes."""
    return {
        "generator": "blender_scripts/render_blb.py",
        **job.describe(),
        # Built-in scenes may be added later. No scene depends on their number.
        "sources": [source.description for source in sources] if options.blend else "built-in",
        "image_format": "exr",
        "lens_model": "thin lens with the sensor at the focal length (no focus breathing), "
        "signed defocus = blur_parameter * (1 / depth - 1 / focus_distance) in pixels",
        "disparity_unit": "1/m",
        "pixel_rule": "box: mean over the area",
        "focus_rule": "evenly spaced in disparity between the farthest and the nearest pixel, "
        f"a share of {IGNORED_SHARE:g} of the pixels beyond each end left out",
        "border_rule": "the scene goes on beyond the frame",
        "colour": "linear light, no view transform",
        "noise_rule": "each image is the mean of two renders with half the samples; "
        "noise_rmse is half their display RMSE",
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
