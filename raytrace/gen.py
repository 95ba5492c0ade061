"""Trace ground truth for lens blur: scenes of RGBA billboards and their bokeh stacks.

    python raytrace/gen.py --scenes 100

writes 100 scenes to datasets/default. The same command resumes an interrupted run. A larger --scenes adds scenes.
"""

if __name__ == "__main__":
    from runtime.command import start

    raise SystemExit(start("raytrace.gen", None, "gen.py"))

import platform
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import arg

from bokehdata.format import DatasetError
from bokehdata.stored_writer import StoredWriter, dataset_writer
from bokehdata.writer import DatasetWriter, estimated_bytes, require_space, size_text
from raytrace.production import ProductionError, TracingJob, produce, worker_bytes
from runtime import backend, command
from runtime.caches import workshop
from runtime.clusters import EngineName, cluster
from runtime.command import OptionError, counted, counted_are
from runtime.copies import local_folder
from runtime.engines import Cluster, EngineError, Here, Processes, Share
from runtime.options import PlaceOption
from runtime.progress import Progress
from runtime.storage import Place, Url
from runtime.workers import available_cores, memory_bytes
from scenes.assets import AssetError, CutoutFolder, PhotographFolder
from scenes.billboard import SceneError
from scenes.recipe import Recipe, RecipeError, load_recipe
from scenes.sampling import overscan_of

# A layer with its overscan; `bokehdata.images` reads no more.
_LAYER_PX_MAX = 400_000_000

# They share it and its memory: so many draw and encode scenes about as fast as it traces them.
_WORKERS_PER_GPU = 4


@dataclass(frozen=True)
class Options:
    """Trace ground truth for lens blur: all-in-focus image, depth, layers and bokeh stacks of billboard scenes.

    Example: python raytrace/gen.py --scenes 100 --backgrounds photos --foregrounds cutouts
    """

    scenes: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the recipe's, 100 for most)")] = None
    """Number of scenes, 1 to 1,000,000."""
    size: Annotated[int | None, arg(metavar="PX", help_behavior_hint="(default: the recipe's, 512)")] = None
    """Longer side of the frame, 16 to 16384 pixels; blur does not scale with it, but where the recipe has a camera."""
    seed: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the recipe's, 0 for most)")] = None
    """Seed of all random choices, 0 to 2^63; scene i depends only on the seed, the recipe and i."""
    out: Annotated[PlaceOption | None, arg(metavar="DIR|URL", help_behavior_hint="(default: datasets/RECIPE)")] = None
    """Folder of the dataset, or where it is in a store: s3://bucket/folder."""
    recipe: Annotated[str, arg(metavar="NAME|FILE.yaml")] = "default"
    """Kind of scenes: a name in scenes/recipes (default, night, mpib, ...), or a YAML file with the same keys."""
    backgrounds: Annotated[PlaceOption | None, arg(metavar="DIR", help_behavior_hint="(default: procedural)")] = None
    """Folder or URL of photographs to use instead of procedural ones."""
    foregrounds: Annotated[PlaceOption | None, arg(metavar="DIR", help_behavior_hint="(default: procedural)")] = None
    """Folder or URL of cut-outs with alpha (RGBA, fg/ + alpha/, or original/ + mask/) instead of procedural ones."""
    noise: Annotated[float | None, arg(metavar="RMSE", help_behavior_hint="(default: the recipe's, 0.002)")] = None
    """Largest display RMSE of an image against the converged image, between 0 and 1."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: a core each, four on a GPU)")] = None
    """Number of processes that make scenes, 1 to 1024; the default is lower if memory is short."""
    engine: EngineName = "processes"
    """What runs them: processes of this machine, or Ray on many machines that all see --out (docs/scaling.md)."""
    address: Annotated[str | None, arg(metavar="auto|HOST:PORT", help_behavior_hint="(default: starts one)")] = None
    """Ray cluster to use; auto finds that of this machine."""
    arch: backend.Arch = "auto"
    """Backend that traces rays; auto tries CUDA, then Metal, then the CPU."""
    format: Literal["exr", "png"] = "exr"
    """Images as linear half-float EXR or as 16-bit display-referred PNG; layers and depth are always EXR."""
    strict: bool = False
    """Stop at the first unusable picture of --backgrounds or --foregrounds instead of skipping it."""
    recheck: bool = False
    """Of a dataset in a store, read every finished scene again, as is always done in a folder."""
    dry_run: bool = False
    """Print what would be made, and make nothing."""


def main(argv: list[str] | None = None, prog: str = "gen.py") -> int:
    """Run the command. Returns its exit code: 0, 2 for unusable input, 130 when interrupted."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(
        partial(_generate, options),
        prog,
        refusals=(RecipeError, AssetError, SceneError, DatasetError, backend.BackendError, EngineError),
        failures=(ProductionError,),
        interrupted="stopped; finished scenes are safe, the same command goes on from here",
    )


def _generate(options: Options) -> int:
    recipe = _recipe(options)
    photographs = cutouts = None
    if options.backgrounds is not None:
        photographs = PhotographFolder(
            local_folder(options.backgrounds), strict=options.strict, expand_highlights=recipe.expand_highlights
        )
    if options.foregrounds is not None:
        cutouts = CutoutFolder(local_folder(options.foregrounds), strict=options.strict)
    folders = [folder for folder in (photographs, cutouts) if folder is not None]
    for folder in folders:
        _report_skipped(folder.folder, folder.skipped, len(folder))

    with cluster(options.engine, options.address, options.workers) as ray:
        return _make(options, recipe, photographs, cutouts, ray)


def _make(
    options: Options,
    recipe: Recipe,
    photographs: PhotographFolder | None,
    cutouts: CutoutFolder | None,
    ray: Cluster | None,
) -> int:
    begin = time.monotonic()
    arch = backend.start(options.arch) if ray is None else ray.backend(options.arch)
    out = options.out or Path("datasets") / recipe.name
    overscan = overscan_of(recipe)
    extended_px = (recipe.width + 2 * overscan) * (recipe.height + 2 * overscan)
    if extended_px > _LAYER_PX_MAX:
        raise OptionError(
            f"--recipe {recipe.name} with layers of {recipe.width + 2 * overscan} x {recipe.height + 2 * overscan} px "
            f"at this size; at most {_LAYER_PX_MAX / 1e6:.0f} megapixels are made"
        )
    workers = options.workers or _default_workers(recipe, extended_px, arch)
    if isinstance(out, Url) and out.is_of_one_process:
        workers = 1
    images = recipe.images_per_scene
    layers = sum(recipe.foregrounds) / 2 + 1
    scene_bytes = estimated_bytes(recipe.width, recipe.height, overscan, round(layers), images, options.format)
    print(
        f"{counted(recipe.scenes, 'scene')} of {counted(images, 'image')}, {recipe.width} x {recipe.height} px, "
        f"about {size_text(recipe.scenes * scene_bytes)}, into {out}\n"
        f"tracing on {arch}, {ray or (f'{workers} process' if workers == 1 else f'{workers} processes')}",
        flush=True,
    )
    if options.dry_run:
        return command.DONE

    seconds: Counter[str] = Counter()
    header = _header(options, recipe, arch, photographs, cutouts)
    with dataset_writer(out, header, recheck=options.recheck) as dataset:
        finished = _finished(dataset, recipe)
        missing = [i for i in range(recipe.scenes) if i not in finished]
        workers = min(workers, max(1, len(missing)))
        if isinstance(out, Url):  # each worker has a scene on disk, until it is sent
            require_space(workshop(), workers * scene_bytes)
        else:
            require_space(out, len(missing) * scene_bytes)
        share = Share(1, 1 / _WORKERS_PER_GPU if arch == "cuda" else 0, worker_bytes(recipe, extended_px))
        engine = ray or (Here() if workers == 1 else Processes(workers))
        job = TracingJob(
            root=out,
            recipe=recipe,
            seed=recipe.seed,
            photographs=photographs,
            cutouts=cutouts,
            image_format=options.format,
            backend=arch,
            threads=1 if ray else max(1, available_cores() // workers),
        )
        with (
            Progress(len(missing), "scene", extra="images") as progress,
            closing(produce(job, missing, engine, share)) as production,
        ):
            for produced in production:
                dataset.add(produced.entry)
                seconds.update(produced.seconds)
                progress.add(1, produced.entry.images)
        noise = dataset.noise_rmse_max
        for name in dataset.strangers(range(recipe.scenes)):
            command.skipped(out / name, "is no scene of this dataset; remove or rename it")
    _report(out, len(missing), recipe.scenes, time.monotonic() - begin, seconds, noise)
    if noise > recipe.noise:
        print(f"the largest set of lens points was not enough for a noise of {recipe.noise:.2g} everywhere")
    return command.DONE


def _recipe(options: Options) -> Recipe:
    """The recipe, with values of the command line in place of its own."""
    command.require_counts(
        ("--scenes", options.scenes, 1, command.COUNT_MAX),
        ("--size", options.size, 16, command.SIDE_MAX_PX),
        ("--seed", options.seed, 0, command.SEED_MAX),
        ("--workers", options.workers, 1, command.PROCESSES_MAX),
    )
    if options.noise is not None and not 0.0 < options.noise < 1.0:
        raise OptionError(f"--noise is {options.noise}; it must lie between 0 and 1, in display values")
    changes = {"scenes": options.scenes, "seed": options.seed, "noise": options.noise}
    recipe = load_recipe(options.recipe)
    recipe = recipe if options.size is None else recipe.at_size(options.size)
    return replace(recipe, **{key: v for key, v in changes.items() if v is not None})


def _report_skipped(folder: Path, skipped: list[tuple[str, str]], usable: int) -> None:
    for name, reason in skipped:
        command.skipped(folder / name, reason)
    note = f", {len(skipped)} skipped" if skipped else ""
    print(f"{folder}: {counted(usable, 'usable picture')}{note}")


def _default_workers(recipe: Recipe, extended_px: int, arch: str) -> int:
    fitting = memory_bytes() * 2 // 3 // worker_bytes(recipe, extended_px)
    return max(1, min(available_cores() if arch == "cpu" else _WORKERS_PER_GPU, fitting))


def _header(options: Options, recipe: Recipe, arch: str, photographs, cutouts) -> dict:
    """How the dataset is made, for dataset.yaml: nothing about when, where or by how many."""
    return {
        "generator": "raytrace/gen.py",
        "version": version("bokehforge"),
        "backend": arch,
        "seed": recipe.seed,
        # Scenes may be added later. No scene depends on their number.
        "recipe": {key: value for key, value in recipe.describe().items() if key not in ("scenes", "seed")},
        "backgrounds": _origin(photographs),
        "foregrounds": _origin(cutouts),
        "image_format": options.format,
        "lens_model": ("thin lens" if recipe.lens is None else "real lenses (scene.yaml); of rays near the axis")
        + ", signed defocus = blur_parameter * (disparity - focus_disparity) in pixels",
        "disparity_unit": "normalised" if recipe.camera is None else "1/m",
        "pixel_rule": f"{recipe.pixel}: " + ("through the centre" if recipe.pixel == "point" else "mean over the area"),
        "border_rule": "every layer extends beyond the frame by the largest blur radius + 2 px; nothing is clamped",
        "colour": "linear = display ** gamma; layers and files without a suffix at gamma 2.2",
        "licence": _licence(photographs, cutouts),
        "software": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "taichi", "numba", "opencv-python-headless", "OpenEXR")},
        },
    }


def _origin(folder: PhotographFolder | CutoutFolder | None) -> str | dict:
    return "procedural" if folder is None else {"pictures": len(folder), "sha256": folder.digest}


def _licence(photographs, cutouts) -> str:
    if photographs is None and cutouts is None:
        return "procedural content, CC0-1.0"
    return "holds pictures of the user's own, under their own licences"


def _finished(dataset: DatasetWriter | StoredWriter, recipe: Recipe) -> set[int]:
    wanted = range(recipe.scenes)
    with Progress(len(dataset.indexed(wanted)), "finished scene") as progress:
        finished = dataset.finished(wanted, on_scene=progress.add)
    if finished:
        print(f"{len(finished)} of {recipe.scenes} scenes are finished already")
    return finished


def _report(out: Place, made: int, scenes: int, elapsed_s: float, seconds: Counter[str], noise: float) -> None:
    total = sum(seconds.values())
    shares = ", ".join(f"{part} {100.0 * s / total:.0f} %" for part, s in seconds.items()) if total else "nothing to do"
    print(
        f"{counted_are(scenes, 'scene')} in {out}: "
        f"{made} made in {elapsed_s:.0f} s ({shares}), largest noise {noise:.2g}\n"
        f"look at them:  bokehforge view {out}\n"
        f"check them:    bokehforge verify {out}"
    )
