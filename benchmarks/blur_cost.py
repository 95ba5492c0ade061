"""Seconds of each renderer by blur radius at 1920 x 1080, compared with the plain r^2 scatter in the same run.

    python benchmarks/blur_cost.py --renderers scatter,sterefo,drbokeh --radii 5,20,50 --json blur_cost.json

The picture is a tile of 480 x 270 repeated four by four: a sloping ground, in focus far away, with objects on it. The
nearest object has the blur radius of the row. The time of the plain scatter grows with the square of the radius. Above
20 px it therefore renders one of the sixteen tiles, and its time is scaled by area, unless `--full` is given.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro
from timing import best_of

from renderers import RENDERERS
from scenes.arrays import Picture, Plane
from scenes.lens import ThinLens

_PLAIN = "scatter-plain"
_TILE_HEIGHT, _TILE_WIDTH = 270, 480
_TILES = 4
_PLAIN_RADIUS_MAX_PX = 20.0

# The first does no work, the second needs layers instead of a disparity, the third is the plain loop on a GPU.
_NOT_TIMED = ("identity", "oracle-layers", "scatter-taichi")


@dataclass(frozen=True)
class Options:
    """Time the classical renderers against the blur radius.

    Example: python benchmarks/blur_cost.py --renderers scatter --radii 50
    """

    renderers: str = ",".join(name for name in RENDERERS if name not in _NOT_TIMED)
    """Names of renderers to time, separated by commas; the plain scatter is always timed."""
    radii: str = "5,10,20,50,100"
    """Largest blur radii in the picture, pixels, separated by commas."""
    json: Path | None = None
    """File for the rows: {renderer, radius, seconds, rmse_to_plain, cpu_seconds, times_faster, times_faster_in_cpu}."""
    full: bool = False
    """Render the plain scatter at full size at every radius."""


def main(argv: list[str] | None = None) -> int:
    options = tyro.cli(Options, args=argv)
    try:
        names = [name for name in _renderer_names(options.renderers) if name != _PLAIN]
        radii = _radii(options.radii)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    tile, tile_disparity = _tile()
    image, disparity = np.tile(tile, (_TILES, _TILES, 1)), np.tile(tile_disparity, (_TILES, _TILES))
    print("| renderer | radius px | seconds | CPU s / cores | times faster than plain | in CPU time | RMSE to plain |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    rows = []
    for name in (_PLAIN, *names):
        RENDERERS[name](tile, tile_disparity, ThinLens(2.0, 0.0))  # compiles all that a picture with edges needs
    for radius in radii:
        lens = ThinLens(radius, 0.0)
        on_tile = radius > _PLAIN_RADIUS_MAX_PX and not options.full
        compared = (tile, tile_disparity) if on_tile else (image, disparity)
        plain, seconds, cpu_seconds = _timed(_PLAIN, *compared, lens)
        area = _TILES**2 if on_tile else 1
        plain_times = area * seconds, area * cpu_seconds
        rows.append(_row(_PLAIN, radius, plain_times, plain_times, 0.0))
        _print(rows[-1])
        for name in names:
            refocused, *times = _timed(name, image, disparity, lens)
            if on_tile:
                refocused = RENDERERS[name](*compared, lens)
            error = float(np.sqrt(np.mean(np.square(refocused - plain, dtype=np.float64))))
            rows.append(_row(name, radius, times, plain_times, error))
            _print(rows[-1])
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def _renderer_names(names: str) -> list[str]:
    wanted = names.split(",")
    for name in wanted:
        if name not in RENDERERS or name in _NOT_TIMED:
            known = ", ".join(known for known in RENDERERS if known not in _NOT_TIMED)
            raise ValueError(f"renderer {name!r} cannot be timed here; there are {known}")
    return wanted


def _radii(radii: str) -> list[float]:
    values = [float(radius) for radius in radii.split(",")]
    if not all(0.0 < radius <= 500.0 for radius in values):
        raise ValueError(f"radii {radii}: each must lie above 0 px and at most at 500 px")
    return values


def _tile() -> tuple[Picture, Plane]:
    """Display picture and disparity in [0, 1] of one tile, with texture down to single pixels and a few lights."""
    rng = np.random.default_rng(17)
    y, x = np.indices((_TILE_HEIGHT, _TILE_WIDTH), np.float32)
    disparity = 0.8 * np.clip(y / _TILE_HEIGHT - 0.3, 0.0, None) / 0.7
    for depth in (0.2, 0.45, 0.7, 1.0):
        cx, cy, r = rng.uniform(60, 420), rng.uniform(80, 230), rng.uniform(25, 50)
        disparity[np.hypot(x - cx, y - cy) < r] = depth
    image = rng.random((_TILE_HEIGHT, _TILE_WIDTH, 3), np.float32)
    image = 0.5 * image + 0.5 * np.asarray(cv2.GaussianBlur(rng.random(image.shape, np.float32), (0, 0), 6.0))
    image[rng.integers(_TILE_HEIGHT, size=12), rng.integers(_TILE_WIDTH, size=12)] = 4.0
    return image.astype(np.float32), disparity.astype(np.float32)


def _timed(name: str, image: Picture, disparity: Plane, lens: ThinLens) -> tuple[Picture, float, float]:
    """The picture, wall-clock seconds, and CPU seconds divided by the cores, the wall-clock time of an idle machine."""
    return best_of(lambda: RENDERERS[name](image, disparity, lens), runs_min=1)


def _row(name: str, radius: float, times: Sequence[float], plain_times: Sequence[float], rmse_to_plain: float) -> dict:
    (seconds, cpu_seconds), (plain_seconds, plain_cpu_seconds) = times, plain_times
    return {
        "renderer": name,
        "radius": radius,
        "seconds": seconds,
        "rmse_to_plain": rmse_to_plain,
        "cpu_seconds": cpu_seconds,
        "times_faster": plain_seconds / seconds,
        "times_faster_in_cpu": plain_cpu_seconds / cpu_seconds,
    }


def _print(row: dict) -> None:
    print(
        f"| {row['renderer']} | {row['radius']:g} | {row['seconds']:.2f} | {row['cpu_seconds']:.2f} | "
        f"{row['times_faster']:.1f} | {row['times_faster_in_cpu']:.1f} | {row['rmse_to_plain']:.6f} |",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
