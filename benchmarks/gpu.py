"""Everything that needs a GPU, in one command of at most eight minutes: right, and how fast beside the CPU.

    python benchmarks/gpu.py --json gpu.json --markdown docs/gpu.md

Each part runs in a process of its own, since Taichi has one backend a process, and a part that fails leaves a row that
says why. `--rehearsal` runs all of it small, on Vulkan's software driver and the CPU.
"""

import io
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from timing import best_of, cores
from torch.utils.data import DataLoader

from bokehdata.opening import open_cases
from bokehdata.torch_data import CropSettings, PictureCrops
from raytrace import gen
from raytrace.tracer import Tracer
from renderers import RENDERERS
from renderers.neural.tensors import device_of
from runtime import backend
from runtime.backend import Backend
from runtime.command import counted
from runtime.files import write_whole
from scenes.billboard import Scene
from scenes.lens import ThinLens
from training.data import margin_for
from training.models import MODELS
from training.presets import Preset

ROOT = Path(__file__).parents[1]

# Stands where a unit would, for a part that could not be measured.
FAILED = "failed"

# Rendering methods with kernels of their own for a GPU, one scattering and one of layers.
_RENDERERS = ("scatter", "drbokeh-single")
_RADIUS_PX = 50.0

# RMSE of display values that the tracer is timed to.
_TARGETS = (0.01, 0.003, 0.001)


@dataclass(frozen=True)
class Options:
    """Measure all that has to do with a GPU, into one JSON and one table.

    Example: python benchmarks/gpu.py --json gpu.json --markdown docs/gpu.md
    """

    json: Path = Path("gpu.json")
    """File for the rows."""
    markdown: Path | None = None
    """File for the table."""
    minutes: float = 8.0
    """Time for all parts together; what has not ended by then is stopped."""
    parts: tuple[str, ...] = ()
    """Parts to run, by name. Default: all."""
    rehearsal: bool = False
    """Small sizes, on Vulkan's software driver where there is no GPU, else on the CPU."""


@dataclass(frozen=True)
class Size:
    """How large the parts are.

    tracer_px       sides of the tracer's frames
    height, width   of the picture that is refocused
    cycles          width of a Cycles view, and samples
    seconds         of each timing of training
    tests           which tests run
    """

    tracer_px: tuple[int, ...] = (512, 1024)
    height: int = 1080
    width: int = 1920
    cycles: tuple[int, int] = (960, 4)
    seconds: float = 15.0
    tests: tuple[str, ...] = ("tests",)


FULL = Size()
REHEARSAL = Size((64,), 90, 160, (64, 1), 0.5, ("tests/test_gpu.py", "-k", "traces and facing"))


@dataclass(frozen=True)
class Row:
    """One figure. `value` is None where the part failed, and `note` says why."""

    part: str
    what: str
    value: float | None
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Place:
    """Where a part runs, and how large it is.

    arch     backend of Taichi
    device   of torch
    """

    arch: Backend
    size: Size
    rehearsal: bool

    @property
    def device(self) -> str:
        return device_of(self.arch)


def device(place: Place) -> list[Row]:
    """What the machine is."""
    rows = [
        Row("device", "Taichi", None, "", place.arch),
        Row("device", "torch", None, "", f"{torch.__version__} on {place.device}"),
        Row("device", "CPU cores", cores(), ""),
        Row("device", "system", None, "", platform.platform()),
    ]
    if place.device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        rows.append(Row("device", properties.name, properties.total_memory / 2**30, "GiB"))
    return rows


def tests(place: Place) -> list[Row]:
    """The tests that compare a GPU with the CPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-n", "0", "-p", "no:cacheprovider", "-rs"]
    begin = time.perf_counter()
    done = subprocess.run([*command, *place.size.tests], cwd=ROOT, capture_output=True, text=True)
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()])[-1].strip("= ")
    if done.returncode:
        failed = "; ".join(line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR")))
        raise RuntimeError(f"pytest -m gpu ended with code {done.returncode}: {failed or last}")
    if " passed" not in last:
        raise RuntimeError(f"pytest -m gpu ran no test: {last}")
    return [Row("tests", "pytest -m gpu", time.perf_counter() - begin, "s", last)]


def tracer(place: Place) -> list[Row]:
    """Time to an error beside MPIB's lattice on the same device, and the CPU's picture of the same points."""
    from five_billboards import benchmark_lens, benchmark_scene
    from tracer import Measurement, seconds_to

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        sizes = [str(px) for px in place.size.tracer_px]
        options = ["--sizes", *sizes, "--pixels", "point", "--peers", "mpib", "--arch", place.arch, "--json", str(file)]
        done = subprocess.run(
            [sys.executable, ROOT / "benchmarks" / "tracer.py", *options], capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"benchmarks/tracer.py: {done.stderr.strip().splitlines()[-1]}")
        measured = [Measurement(**row) for row in json.loads(file.read_text())["rows"]]
    for px in place.size.tracer_px:
        ours = [row for row in measured if row.renderer == "bokehforge" and row.size == px]
        for target in _TARGETS:
            rows.append(Row("tracer", f"{px} px to RMSE {target:g}", 1e3 * seconds_to(ours, target)[0], "ms"))
        for row in measured:
            if row.renderer == "mpib-51-taichi" and row.size == px:
                own = 1e3 * seconds_to(ours, row.rmse)[0]
                beside = f"RMSE {row.rmse:.2g}; the tracer takes {own:.3g} ms to it"
                rows.append(Row("tracer", f"MPIB's lattice, {px} px", 1e3 * row.seconds, "ms", beside))
    for px in place.size.tracer_px:
        scene, lens = benchmark_scene(px), benchmark_lens(px)
        rows.append(_step_to_noise(place, scene, lens))
    return rows


def _step_to_noise(place: Place, scene: Scene, lens: ThinLens) -> Row:
    """A render that finds its number of samples, as `gen` asks for it."""
    engine = Tracer(backend.start(place.arch))
    _, seconds, _ = best_of(lambda: engine.render(scene, lens, noise=0.003, pixel="box").linear[0], runs_min=3)
    return Row("tracer", f"to noise 0.003, {scene.width} px, box pixels", 1e3 * seconds, "ms")


def renderers(place: Place) -> list[Row]:
    """Refocusing a picture on the device and on the CPU: both times, and how far apart the pictures are."""
    rng = np.random.default_rng(0)
    height, width = place.size.height, place.size.width
    image = rng.random((height, width, 3), np.float32)
    steps = np.floor(rng.random((9, 16)) * 5.0).astype(np.float32) / 4.0
    disparity = np.ascontiguousarray(np.kron(steps, np.ones((height // 9, width // 16), np.float32))[:height, :width])
    image = image[: disparity.shape[0], : disparity.shape[1]]
    lens = ThinLens(_RADIUS_PX * height / 1080.0, 0.5)
    rows = []
    for name in _RENDERERS:
        pictures, seconds = [], []
        # CPU first: numba needs no Taichi, which can be started once.
        for arch in ("cpu", place.arch):
            renderer = RENDERERS[name].on(arch)
            renderer(image, disparity, lens)  # compiles
            picture, wall, _ = best_of(partial(renderer, image, disparity, lens), runs_min=2)
            pictures.append(picture)
            seconds.append(wall)
        apart = float(np.sqrt(np.mean(np.square(pictures[0] - pictures[1], dtype=np.float64))))
        what = f"{name}, {width} x {height}, radius up to {0.5 * lens.blur_parameter:.0f} px"
        rows.append(Row("renderers", what, 1e3 * seconds[1], "ms", f"CPU {1e3 * seconds[0]:.0f} ms, RMSE {apart:.1e}"))
    return rows


def cycles(place: Place) -> list[Row]:
    """Views per second: of several samples from one place, and of one sample each from the points of a lens."""
    from blender_scripts.lens_points import VIEWS_MAX
    from blender_scripts.process import BlenderProcess

    width, samples = place.size.cycles
    height = width * 9 // 16
    asked = "cpu" if place.rehearsal else "auto"
    with BlenderProcess() as blender, tempfile.TemporaryDirectory() as folder:
        scene = {"do": "load", "kind": "procedural", "scene": "still_life", "seed": 0, "device": asked}
        loaded = blender.ask({**scene, "width": width, "height": height})
        settings = {"adaptive_threshold": None, "denoise": False, "slice": None, "overscan": 0, "lens": None}
        request = {"do": "render", "exr": str(Path(folder) / "view.exr"), "seed": 0, **settings}

        def views_a_second(kind: Callable[[int], dict[str, Any]]) -> float:
            # The first two build the scene and place the camera.
            return 1.0 / min([blender.ask({**request, **kind(k)})["wall_s"] for k in range(5)][2:])

        def from_one_place(k: int) -> dict[str, Any]:
            return {"samples": samples}

        def from_the_lens(k: int) -> dict[str, Any]:
            view = {"camera_m": (0.001 * k, 0.0), "shift_px": (0.0, 0.1 * k), "sample": k}
            return {"samples": VIEWS_MAX, "view": view}

        rows = []
        for kind, name in ((from_one_place, counted(samples, "sample")), (from_the_lens, "1 sample, moved")):
            what = f"views of still_life, {width} x {height}, {name}"
            rows.append(Row("cycles", what, views_a_second(kind), "views/s", f"on {loaded['device']}"))
    return rows


def training(place: Place) -> list[Row]:
    """Steps of every network of BokehMe and of RevealNet, and what loaders give them: samples a second."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "small.yaml"
        recipe.write_text(
            "size_px: 256\nforegrounds: [2, 3]\nblur_parameters: [12]\nfocus: layers\nfocus_count: 2\nnoise: 0.01\n"
        )
        data = Path(folder) / "data"
        arguments = ["--recipe", str(recipe), "--scenes", "2", "--seed", "1", "--workers", "1", "--arch", "cpu"]
        with redirect_stdout(io.StringIO()):
            code = gen.main([*arguments, "--out", str(data)])
        if code:
            raise RuntimeError(f"gen.py ended with code {code} and made no data to train on")
        for model in (*MODELS["bokehme"], *MODELS["reveal"]):
            preset = model.presets["smoke" if place.rehearsal else "paper"]
            crops = PictureCrops(open_cases(data), _cropped(preset), seed=0, planes=model.samples.planes)
            batch = next(iter(DataLoader(crops, preset.batch)))
            for precision in (torch.float32, torch.bfloat16):
                taken = _samples_per_second(place, model, preset, batch, precision)
                what = f"{model.name}, batches of {preset.batch} x {preset.crop_px} px, {str(precision).split('.')[1]}"
                rows.append(Row("training", what, taken, "samples/s"))
            for workers in (1,) if place.rehearsal else (1, max(cores() - 1, 2)):
                loader = DataLoader(
                    crops, None, sampler=range(1 << 30), num_workers=workers, multiprocessing_context="spawn"
                )
                given = _rate(loader, place.size.seconds)
                rows.append(Row("training", f"loader of {model.name}, {workers} processes", given, "samples/s"))
    return rows


def _cropped(preset: Preset) -> CropSettings:
    return CropSettings(preset.crop_px, margin_for(preset.blur_parameter_max), preset.augmentation)


def _samples_per_second(place: Place, model, preset: Preset, batch: dict[str, Any], precision: torch.dtype) -> float:
    trained = model.build(preset, 1, model.behind).to(place.device)
    trained.on_fit_start()
    on_device = {key: x.to(place.device) if isinstance(x, torch.Tensor) else x for key, x in batch.items()}
    optimizer = torch.optim.Adam(trained.network.parameters())

    def step() -> np.ndarray:
        optimizer.zero_grad()
        with torch.autocast(place.device, precision, enabled=precision != torch.float32):
            loss = trained.objective(on_device)["loss"]
        loss.backward()
        optimizer.step()
        return loss.detach().cpu().numpy()  # waits for the device

    step()
    _, seconds, _ = best_of(step, runs_min=3, until_s=place.size.seconds)
    return preset.batch / seconds


def _rate(loader: DataLoader, seconds: float) -> float:
    samples = iter(loader)
    for _ in islice(samples, 8):
        pass
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        next(samples)
        count += 1
    return count / (time.perf_counter() - begin)


PARTS: dict[str, Callable[[Place], list[Row]]] = {
    part.__name__: part for part in (device, tests, tracer, renderers, training, cycles)
}


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 1 if a part failed, 2 for bad input."""
    options = tyro.cli(Options, args=argv, description=__doc__)
    if unknown := [name for name in options.parts if name not in PARTS]:
        print(f"gpu.py: --parts {unknown[0]}: there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    arch = _arch(options.rehearsal)
    if arch is None:
        print("gpu.py: this machine has no CUDA and no Metal; --rehearsal runs everything without", file=sys.stderr)
        return 2
    place = Place(arch, REHEARSAL if options.rehearsal else FULL, options.rehearsal)
    rows: list[Row] = []
    end = time.monotonic() + 60.0 * options.minutes
    for name in options.parts or PARTS:
        for row in _run(name, place, end - time.monotonic()):
            print(_line(row), flush=True)
            rows.append(row)
        write_whole(options.json, json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    if options.markdown:
        write_whole(options.markdown, _page(rows, options.rehearsal))
    return int(any(row.unit == FAILED for row in rows))


def _arch(rehearsal: bool) -> Backend | None:
    """The backend to measure: each is tried in a process of its own, since a process has one."""
    candidates: tuple[Backend, ...] = ("vulkan", "cpu") if rehearsal else ("cuda", "metal")
    for arch in candidates:
        process = get_context("spawn").Process(target=backend.start, args=(arch,))
        process.start()
        process.join()
        if process.exitcode == 0:
            return arch
    return None


def _run(name: str, place: Place, seconds: float) -> list[Row]:
    """The rows of a part; one that says so where it failed or took too long."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        process = get_context("spawn").Process(target=_part, args=(name, place, file))
        process.start()
        process.join(max(seconds, 0.0))
        if process.is_alive() and process.pid:
            with suppress(ProcessLookupError):  # it has no group yet
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.join()
            return [Row(name, name, None, FAILED, "it did not end in the time left")]
        if not file.exists():
            return [Row(name, name, None, FAILED, f"its process ended with code {process.exitcode}")]
        return [Row(**row) for row in json.loads(file.read_text())]


def _part(name: str, place: Place, file: Path) -> None:
    """What the process of a part does."""
    os.setsid()  # so that what it starts ends with it
    try:
        rows = PARTS[name](place)
    except Exception as error:  # one part may fail in any way, the others go on
        rows = [Row(name, name, None, FAILED, " ".join(f"{type(error).__name__}: {error}".split())[:500])]
    write_whole(file, json.dumps([asdict(row) for row in rows]))


def _line(row: Row) -> str:
    value = "" if row.value is None else f"{row.value:.4g}"
    return f"| {row.part} | {row.what} | {value} {row.unit} | {row.note} |"


def _page(rows: list[Row], rehearsal: bool) -> str:
    what = "the rehearsal, without a GPU: no figure here is one of a GPU" if rehearsal else "a GPU"
    command = "python benchmarks/gpu.py" + (" --rehearsal" if rehearsal else "") + " --markdown docs/gpu.md"
    head = f"# On a GPU\n\nMade by `{command}`. These are the rows of {what}.\n\n"
    table = "| part | what | figure | beside it |\n|---|---|---:|---|\n" + "\n".join(map(_line, rows))
    return head + table + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
