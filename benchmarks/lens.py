"""Rays per second of the tracer by lens and number of surfaces, beside rays through the same surfaces in optiland.

All are measured in one run, in turns, by the processor time of this process: rays per second are those of one core.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from five_billboards import benchmark_lens, benchmark_scene
from timing import cores, cpu_seconds

from raytrace.tracer import Tracer
from runtime import backend
from scenes.billboard import Scene
from scenes.lens import ThinLens
from scenes.mounted_lens import MountedLens, widest_f_number
from scenes.optics import OpticalSystem, trace
from scenes.prescription import LensPrescription, PrescriptionError, load_prescription
from scenes.thick_lens import ThickLens

# Disparity per pixel: too small to be seen, but layers that are slanted are gathered ray by ray.
_SLOPE = 1e-7

# The angle at which rays enter the surfaces of `numpy` and `optiland`.
_TILT = 0.1


@dataclass(frozen=True)
class Options:
    """Measure rays per second of one core through thin and real lenses on the benchmark scene."""

    lenses: tuple[str, ...] = ("drbokeh", "cooke", "tessar", "petzval-kodak", "biotar", "mandler")
    """Prescriptions, by name or file."""
    size: int = 256
    """Frame size (square), pixels."""
    samples: int = 128
    """Rays of each pixel."""
    rays: int = 100_000
    """Rays of numpy and optiland, which trace them through the surfaces alone."""
    rounds: int = 5
    """Turns. The fastest of each counts."""
    json: Path | None = None
    """File for the rows."""


@dataclass(frozen=True)
class Row:
    """One measurement. `times_thin` is processor time per ray over that of `thin`."""

    renderer: str
    lens: str
    surfaces: int
    rays_per_second: float
    times_thin: float


@dataclass(frozen=True)
class _Work:
    renderer: str
    lens: str
    surfaces: int
    rays: int
    run: Callable[[], object]


def main(argv: list[str] | None = None) -> int:
    options = tyro.cli(Options, args=argv, description=__doc__)
    try:
        for name in ("size", "samples", "rays", "rounds"):
            if getattr(options, name) < 1:
                raise ValueError(f"--{name} {getattr(options, name)}: it must be at least 1")
        prescriptions = {name: load_prescription(name) for name in options.lenses}
    except (ValueError, PrescriptionError) as error:
        print(f"lens.py: {error}", file=sys.stderr)
        return 2
    backend.start("cpu")
    works = _works(prescriptions, options)
    seconds = _fastest(works, options.rounds)
    per_ray = [s / work.rays for s, work in zip(seconds, works, strict=True)]
    rows = [Row(w.renderer, w.lens, w.surfaces, 1.0 / p, p / per_ray[0]) for w, p in zip(works, per_ray, strict=True)]
    print(f"{cores()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'renderer':12}{'lens':16}{'surfaces':>8}{'Mrays/s':>10}{'x thin':>8}")
    for row in rows:
        rate = row.rays_per_second / 1e6
        print(f"{row.renderer:12}{row.lens:16}{row.surfaces:8}{rate:10.2f}{row.times_thin:8.2f}")
    if options.json:
        options.json.write_text(json.dumps({"rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    return 0


def _works(prescriptions: dict[str, LensPrescription], options: Options) -> list[_Work]:
    """What is timed: thin lenses first."""
    facing = benchmark_scene(options.size)
    slanted = replace(facing, layers=tuple(replace(layer, slope=(_SLOPE, 0.0)) for layer in facing.layers))
    # Rays of real lenses stray from the paraxial blur: half of it leaves them room.
    thin = replace(benchmark_lens(options.size), blur_parameter=benchmark_lens(options.size).blur_parameter / 2.0)
    tracer, in_taichi = Tracer("cpu"), Tracer("cpu", taichi=True)

    def picture(renderer: str, tracer: Tracer, name: str, scene: Scene, lens: ThinLens | ThickLens) -> _Work:
        surfaces = len(lens.system) if isinstance(lens, ThickLens) else 0
        rays = options.size**2 * options.samples
        return _Work(renderer, name, surfaces, rays, lambda: tracer.render(scene, lens, samples=options.samples))

    works = [picture("thin", tracer, "-", slanted, thin), picture("thin-shift", tracer, "-", facing, thin)]
    for name, prescription in prescriptions.items():
        lens = _camera(prescription, thin, options.size)
        works.append(picture("bokehforge", tracer, name, slanted, lens))
        works.append(picture("taichi", in_taichi, name, slanted, lens))
        works += _surfaces_alone(name, prescription.system(), options.rays)
    return works


def _camera(prescription: LensPrescription, thin: ThinLens, size: int) -> ThickLens:
    """At f/8, or as wide as it opens, with the paraxial blur of a thin lens; the frame is half a focal length wide."""
    sensor_width_m = prescription.focal_length / 2000.0
    mounted = MountedLens(prescription, max(8.0, widest_f_number(prescription)), sensor_width_m)
    return mounted.in_camera(thin, mounted.inv_m_per_unit(thin.blur_parameter, size), size, size)


def _surfaces_alone(name: str, system: OpticalSystem, rays: int) -> list[_Work]:
    """Rays from the scene, without a scene: in float64, by `scenes.optics.trace` and by optiland."""
    rim = system.semi_diameter[0]
    position = np.zeros((rays, 3))
    position[:, :2] = np.random.default_rng(0).uniform(-rim, rim, (rays, 2))
    direction = np.broadcast_to([np.sin(_TILT), 0.0, np.cos(_TILT)], position.shape)
    works = [_Work("numpy", name, len(system), rays, lambda: trace(system, position, direction))]
    if importlib.util.find_spec("optiland") is None:
        print("optiland is not installed (pip install -e '.[peers]'); its rows are left out")
        return works
    from peer_optiland import OptilandTrace

    peer = OptilandTrace(system, system.paraxial.rear_focus)
    return [*works, _Work("optiland", name, len(system), rays, lambda: peer(position, direction))]


def _fastest(works: list[_Work], rounds: int) -> list[float]:
    """Processor seconds of each, the fewest of several turns after one that compiles."""
    for work in works:
        work.run()
    seconds = np.full(len(works), np.inf)
    for _ in range(rounds):
        for i, work in enumerate(works):
            start = cpu_seconds()
            work.run()
            seconds[i] = min(seconds[i], cpu_seconds() - start)
    return seconds.tolist()


if __name__ == "__main__":
    raise SystemExit(main())
