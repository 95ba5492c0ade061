"""Time to reach an error: the tracer and other people's renderers on one scene, in one run.

The scene is `five_billboards`. Every error is measured in display space against a converged image of the same pixel
rule. Times are wall-clock times after a warm-up, the best of several runs. They exclude building the scene and
preparing its textures, and include copying the finished image to NumPy, for every renderer.
"""

import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from five_billboards import benchmark_lens, benchmark_scene
from timing import best_of, cores

from raytrace.tracer import Tracer
from runtime import backend
from scenes.arrays import Picture
from scenes.billboard import Scene
from scenes.color import display_rmse, premultiplied
from scenes.lens import ThinLens
from scenes.stack import Pixel

# The pixel rule of each peer. Path tracers average over the pixel's area.
_PEER_PIXEL: dict[str, Pixel] = {"mpib": "point", "mitsuba": "box", "mitsuba-alpha": "box", "cycles": "box"}
_PEER_MODULE = {"mitsuba": "mitsuba", "mitsuba-alpha": "mitsuba", "cycles": "bpy"}
_PEER_SCRIPT = {
    "mitsuba": ("peer_mitsuba.py", "path"),
    "mitsuba-alpha": ("peer_mitsuba.py", "alpha"),
    "cycles": ("peer_cycles.py",),
}

# Samples of the reference image. Its error is a hundredth of the lattice's at a blur radius of 15 px.
_REFERENCE_SAMPLES = 32768

# Rows of the lattice begin with this. It has one error, at which it is compared.
_LATTICE = "mpib-51"

# Fields of a measurement that are times.
Clock = Literal["seconds", "cpu_seconds"]

_BLOCK = 32
_SIZE_MIN, _SIZE_MAX = 64, 4096


@dataclass(frozen=True)
class Options:
    """Measure the time of the tracer and other renderers to reach a given error on the benchmark scene."""

    sizes: tuple[int, ...] = (512, 1024)
    """Frame sizes (square), pixels."""
    pixels: tuple[Pixel, ...] = ("point", "box")
    """Pixel rules: rays go through the pixel's centre, or are averaged over its area."""
    peers: str = "mpib,mitsuba,mitsuba-alpha,cycles"
    """Renderers to compare with, separated by commas; absent ones are skipped."""
    targets: tuple[float, ...] = (0.01, 0.003, 0.001)
    """Errors to reach: RMSE of display values in [0, 1]."""
    budget: float = 60.0
    """Time limit for Cycles and for each integrator of Mitsuba at each size, seconds; longer times are extrapolated."""
    arch: backend.Arch = "auto"
    """Backend of the tracer, and of the lattice in Taichi."""
    json: Path | None = None
    """File for the measurements and the ratios."""


@dataclass(frozen=True)
class Measurement:
    """One measured image. Seconds are wall-clock, CPU seconds are divided by the cores (see `timing.best_of`)."""

    renderer: str
    pixel: Pixel
    size: int
    samples: int
    rmse: float
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Ratio:
    """How many times as long as ours a peer takes to the same RMSE, by wall clock and by CPU time."""

    renderer: str
    pixel: Pixel
    size: int
    rmse: float
    times_as_long: float
    times_as_long_in_cpu: float
    extrapolated: bool


class BadOption(ValueError):
    """An option out of range; the message names it."""


def main(argv: list[str] | None = None) -> int:
    options = tyro.cli(Options, args=argv, description=__doc__)
    try:
        peers = _checked_peers(options)
        engine = backend.start(options.arch)
    except (BadOption, backend.BackendError) as error:
        print(f"tracer.py: {error}", file=sys.stderr)
        return 2
    print(f"{_cpu_model()}, {cores()} cores, load {os.getloadavg()[0]:.1f}; the tracer runs on {engine}")
    tracer = Tracer(engine)
    rows = []
    print(f"{'renderer':18}{'pixel':7}{'size':>5}{'samples':>9}{'rmse':>10}{'seconds':>10}{'cpu s/core':>12}")
    for size in options.sizes:
        for row in _run_size(size, options, peers, tracer):
            _print_row(row)
            rows.append(row)
    ratios = []
    for size in options.sizes:
        for pixel in options.pixels:
            compared = [row for row in rows if (row.size, row.pixel) == (size, pixel)]
            of_these = ratios_to_ours(compared, options.targets)
            _print_times(compared, of_these, options.targets)
            ratios += of_these
    if options.json:
        document = {"rows": [asdict(row) for row in rows], "ratios": [asdict(ratio) for ratio in ratios]}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _checked_peers(options: Options) -> list[str]:
    for size in options.sizes:
        if not _SIZE_MIN <= size <= _SIZE_MAX:
            raise BadOption(f"--sizes {size}: sizes go from {_SIZE_MIN} to {_SIZE_MAX} px")
    for target in options.targets:
        if not 0.0 < target < 1.0:
            raise BadOption(f"--targets {target}: errors lie between 0 and 1")
    if not options.budget > 0.0:
        raise BadOption(f"--budget {options.budget}: the time must be above 0 s")
    if options.json and not options.json.absolute().parent.is_dir():
        raise BadOption(f"--json {options.json}: there is no folder {options.json.parent}")
    peers = [name for name in options.peers.split(",") if name]
    for name in peers:
        if name not in _PEER_PIXEL:
            raise BadOption(f"--peers {name}: there are {', '.join(_PEER_PIXEL)}")
    return peers


def _run_size(size: int, options: Options, peers: list[str], tracer: Tracer) -> Iterator[Measurement]:
    scene, lens = benchmark_scene(size), benchmark_lens(size)
    for pixel in options.pixels:
        reference = tracer.render(scene, lens, samples=_REFERENCE_SAMPLES, pixel=pixel).linear[0]
        lowest = min(options.targets)
        for peer in peers:
            if _PEER_PIXEL[peer] != pixel:
                continue
            if peer == "mpib":
                for row in _time_lattice(scene, lens, reference):
                    lowest = min(lowest, row.rmse)
                    yield row
            else:
                yield from _time_process(peer, scene, lens, reference, options.budget)
        yield from _time_ours(tracer, scene, lens, pixel, reference, lowest)
        yield from _time_ours_by_noise(tracer, scene, lens, pixel, reference, options.targets)
    for peer in peers:
        if _PEER_PIXEL[peer] not in options.pixels:
            print(f"{size}: {peer} skipped: it has {_PEER_PIXEL[peer]} pixels only")


def _time_ours(
    tracer: Tracer, scene: Scene, lens: ThinLens, pixel: Pixel, reference: Picture, lowest: float
) -> Iterator[Measurement]:
    """One measurement for each half octave of samples, until the error is at most `lowest`."""
    rmse, octave = np.inf, 3.0
    while rmse > lowest and 2.0**octave <= _REFERENCE_SAMPLES / 4:
        samples = round(2.0**octave)
        image, *seconds = best_of(
            lambda n=samples: tracer.render(scene, lens, samples=n, pixel=pixel).linear[0], runs_min=3
        )
        rmse = display_rmse(image, reference)
        yield Measurement("bokehforge", pixel, scene.width, samples, rmse, *seconds)
        octave += 0.5


def _time_ours_by_noise(
    tracer: Tracer, scene: Scene, lens: ThinLens, pixel: Pixel, reference: Picture, targets: Iterable[float]
) -> Iterator[Measurement]:
    """Measurements of renders that find the number of samples themselves."""
    for target in targets:
        samples = tracer.render(scene, lens, noise=target, pixel=pixel).samples
        image, *seconds = best_of(
            lambda e=target: tracer.render(scene, lens, noise=e, pixel=pixel).linear[0], runs_min=3
        )
        yield Measurement("bokehforge-noise", pixel, scene.width, samples, display_rmse(image, reference), *seconds)


def _time_lattice(scene: Scene, lens: ThinLens, reference: Picture) -> Iterator[Measurement]:
    from mpib_lattice import MpibLattice  # Taichi prints to standard output unless raytrace was imported first

    lattice = MpibLattice(scene, lens)
    for compiler, render in (("taichi", lattice.in_taichi), ("numba", lattice.in_numba)):
        name = f"{_LATTICE}-{compiler}"
        render()  # compiles
        image, *seconds = best_of(render, runs_min=2)
        _print_agreement(name, image, reference)
        yield Measurement(name, "point", scene.width, lattice.num_samples, display_rmse(image, reference), *seconds)


def _time_process(
    peer: str, scene: Scene, lens: ThinLens, reference: Picture, budget_s: float
) -> Iterator[Measurement]:
    """Measurements of a renderer in a process of its own."""
    if importlib.util.find_spec(_PEER_MODULE[peer]) is None:
        print(f"{scene.width}: {peer} skipped: the package {_PEER_MODULE[peer]} is not installed")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save_for_peers(scene, lens, folder)
        script, *arguments = _PEER_SCRIPT[peer]
        words = [sys.executable, Path(__file__).with_name(script), folder, str(budget_s), *arguments]
        process = subprocess.run(words, capture_output=True, text=True)
        if process.returncode:
            last_line = (process.stderr.strip().splitlines() or ["no message"])[-1]
            print(f"{scene.width}: {peer} ended with code {process.returncode}: {last_line}")
        if not (folder / "peer.json").exists():
            print(f"{scene.width}: {peer} skipped: it made no image")
            return
        timed = json.loads((folder / "peer.json").read_text())
        images = [np.load(folder / f"{row['samples']}.npy") for row in timed["rows"]]
        for row, image in zip(timed["rows"], images, strict=True):
            yield Measurement(timed["name"], "box", scene.width, rmse=display_rmse(image, reference), **row)
        _print_agreement(timed["version"], images[-1], reference)


def save_for_peers(scene: Scene, lens: ThinLens, folder: Path) -> None:
    """Write `scene.npz`: the texels of the tracer, (L, H', W', 4) float32 premultiplied, and the scene's numbers."""
    np.savez(
        folder / "scene.npz",
        rgba_premul=np.stack([premultiplied(layer.rgba) for layer in scene.layers]),
        disparities=[layer.disparity for layer in scene.layers],
        size=scene.width,
        overscan=scene.overscan,
        blur_parameter=lens.blur_parameter,
        focus_disparity=lens.focus_disparity,
    )


def seconds_to(rows: list[Measurement], rmse: float, clock: Clock = "seconds") -> tuple[float, bool]:
    """Seconds to reach an error, and whether they are extrapolated. Measurements are interpolated linearly in log-log
    space."""
    by_error = sorted(rows, key=lambda row: row.rmse)
    error, seconds = np.log([(row.rmse, getattr(row, clock)) for row in by_error]).T
    wanted = np.log(rmse)
    if error[0] <= wanted <= error[-1]:
        return float(np.exp(np.interp(wanted, error, seconds))), False
    nearest = slice(0, 3) if wanted < error[0] else slice(-3, None)
    # A single image gives no slope. Independent samples have -2.
    slope = np.polyfit(error[nearest], seconds[nearest], 1)[0] if len(rows) > 1 else -2.0
    end = 0 if wanted < error[0] else -1
    return float(np.exp(seconds[end] + slope * (wanted - error[end]))), True


def ratios_to_ours(rows: list[Measurement], targets: Iterable[float]) -> list[Ratio]:
    """Of one size and pixel rule: each peer at every target, the lattice at its own error."""
    by_renderer = _by_renderer(rows)
    ours = by_renderer.pop("bokehforge")
    del by_renderer["bokehforge-noise"]
    return [
        _ratio(peer, ours, rmse)
        for name, peer in by_renderer.items()
        for rmse in ([peer[0].rmse] if name.startswith(_LATTICE) else targets)
    ]


def _ratio(peer: list[Measurement], ours: list[Measurement], rmse: float) -> Ratio:
    clocks: tuple[Clock, Clock] = ("seconds", "cpu_seconds")
    (wall, wall_beyond), (cpu, _) = (seconds_to(peer, rmse, clock) for clock in clocks)
    (own_wall, own_beyond), (own_cpu, _) = (seconds_to(ours, rmse, clock) for clock in clocks)
    row = peer[0]
    return Ratio(row.renderer, row.pixel, row.size, rmse, wall / own_wall, cpu / own_cpu, wall_beyond or own_beyond)


def _by_renderer(rows: list[Measurement]) -> dict[str, list[Measurement]]:
    return {name: [row for row in rows if row.renderer == name] for name in dict.fromkeys(r.renderer for r in rows)}


def _print_agreement(name: str, image: Picture, reference: Picture) -> None:
    """Print the difference of means over 32 x 32 blocks, in which noise is averaged out."""
    side = len(image) // _BLOCK * _BLOCK
    difference = (image - reference)[:side, :side].astype(np.float64)
    blocks = difference.reshape(side // _BLOCK, _BLOCK, side // _BLOCK, _BLOCK, 3).mean(axis=(1, 3))
    by_noise = np.sqrt(np.mean(difference**2)) / _BLOCK
    print(
        f"{len(image)}: {name}: means of {_BLOCK} x {_BLOCK} blocks differ from the reference by "
        f"{np.sqrt(np.mean(blocks**2)):.1e} RMS linear (independent noise alone: {by_noise:.1e}), "
        f"the whole image by {difference.mean():+.1e}"
    )


def _print_row(r: Measurement) -> None:
    print(
        f"{r.renderer:18}{r.pixel:7}{r.size:5}{r.samples:9}{r.rmse:10.5f}{r.seconds:10.4f}{r.cpu_seconds:12.4f}",
        flush=True,
    )


def _print_times(rows: list[Measurement], ratios: list[Ratio], targets: tuple[float, ...]) -> None:
    """Print seconds to each target for one size and pixel rule, and the ratios of peers to ours (* extrapolated)."""
    by_renderer = _by_renderer(rows)
    ours, by_noise = by_renderer.pop("bokehforge"), by_renderer.pop("bokehforge-noise")
    print(f"\n{f'{ours[0].size} {ours[0].pixel}: seconds to RMSE':32}" + "".join(f"{t:>12g} " for t in targets))
    print(_line("bokehforge", [_time(*seconds_to(ours, t)) for t in targets]))
    print(_line("bokehforge-noise", [_time(r.seconds, False) for r in by_noise]))
    for name, peer in by_renderer.items():
        own = [ratio for ratio in ratios if ratio.renderer == name]
        if name.startswith(_LATTICE):
            ((row,), (ratio,)) = peer, own
            seconds = _time(*seconds_to(ours, row.rmse)).strip()
            print(
                f"{name} takes {row.seconds:.3g} s to its RMSE {row.rmse:.5f}, bokehforge {seconds} s: ratio "
                f"{_wall(ratio).strip()}, in CPU time {_cpu(ratio).strip()}"
            )
            continue
        print(_line(name, [_time(*seconds_to(peer, t)) for t in targets]))
        print(_line(f"  {name} / bokehforge", [_wall(r) for r in own]))
        print(_line("  the same in CPU time", [_cpu(r) for r in own]))


def _line(name: str, cells: list[str]) -> str:
    return f"{name:32}" + "".join(f"{cell:>13}" for cell in cells)


def _time(seconds: float, extrapolated: bool) -> str:
    return f"{seconds:.3g}{'*' if extrapolated else ' '}"


def _wall(ratio: Ratio) -> str:
    return f"{ratio.times_as_long:.1f}x{'*' if ratio.extrapolated else ' '}"


def _cpu(ratio: Ratio) -> str:
    return f"{ratio.times_as_long_in_cpu:.1f}x{'*' if ratio.extrapolated else ' '}"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())
