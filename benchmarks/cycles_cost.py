"""Time of a picture from Cycles by scene, size and samples, and an estimate for a whole benchmark set.

    python benchmarks/cycles_cost.py --device auto

Other work on the machine stretches wall-clock time but not CPU time. On the CPU the table therefore gives CPU time
divided by the number of cores, the wall-clock time of an idle machine. On a GPU it gives wall-clock time.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from blender_scripts.camera import Camera, blender_lens
from blender_scripts.passes import read_passes
from blender_scripts.process import BlenderProcess
from blender_scripts.scene_names import SCENE_NAMES
from bokehdata.kinds.camera import disparity_of
from scenes.lens import ThinLens

# A set like BLB: 10 scenes, each with a pinhole picture and 5 x 10 bokeh pictures, at 1080p.
_SET_PICTURES, _SET_PIXELS = 10 * (1 + 5 * 10), 1920 * 1080
_LARGEST_RADIUS_PX = 20.0


@dataclass(frozen=True)
class Options:
    """Time Cycles on the built-in scenes.

    Example: python benchmarks/cycles_cost.py --scenes still_life night_street --samples 16 64
    """

    scenes: tuple[str, ...] = SCENE_NAMES
    """Built-in scenes to time."""
    widths: tuple[int, ...] = (480, 1920)
    """Widths of the pictures, pixels; they are 16 : 9."""
    samples: tuple[int, ...] = (16, 64)
    """Samples per pixel."""
    set_samples: int = 1024
    """Samples per pixel of the set that is estimated."""
    device: str = "auto"
    """auto, cpu, cuda, optix, hip or metal."""


def main(argv: list[str] | None = None) -> int:
    options = tyro.cli(Options, args=argv)
    rows = [row for scene in options.scenes for row in _time(scene, options)]
    device = rows[0][-1]
    cores = os.cpu_count() or 1
    print(f"\n{device}, {cores} cores" if device == "cpu" else f"\n{device}")
    print("| scene | size | samples | s pinhole | s bokeh | ns per sample |")
    print("|---|---|---:|---:|---:|---:|")
    for scene, width, height, samples, pinhole_s, bokeh_s, _ in rows:
        each = 1e9 * bokeh_s / (width * height * samples)
        print(f"| {scene} | {width} x {height} | {samples} | {pinhole_s:.1f} | {bokeh_s:.1f} | {each:.0f} |")
    # Every picture also takes a fixed time, so the pictures with most samples give the time of a sample best.
    most = max(row[1] * row[2] * row[3] for row in rows)
    costs = [row[5] / (row[1] * row[2] * row[3]) for row in rows if row[1] * row[2] * row[3] == most]
    hours = np.mean(costs) * _SET_PICTURES * _SET_PIXELS * options.set_samples / 3600.0
    print(f"\n{_SET_PICTURES} pictures of 1920 x 1080 at {options.set_samples} samples: about {hours:.0f} hours here")
    return 0


def _time(scene: str, options: Options) -> list[tuple]:
    rows = []
    for width in options.widths:
        height = width * 9 // 16
        # Blender keeps what it has built, so each size has a process of its own.
        with BlenderProcess() as blender, tempfile.TemporaryDirectory() as folder:
            exr = Path(folder) / "render.exr"
            load = {"do": "load", "kind": "procedural", "scene": scene, "seed": 0, "device": options.device}
            loaded = blender.ask({**load, "width": width, "height": height})
            settings = {"adaptive_threshold": None, "denoise": False, "slice": None, "overscan": 0}
            request = {"do": "render", "exr": str(exr), "seed": 0, **settings}
            # The first render builds the scene and measures it.
            blender.ask({**request, "samples": 1, "lens": None})
            disparity = disparity_of(read_passes(exr).depth)
            camera = Camera(loaded["focal_length_m"], loaded["sensor_width_m"], width)
            blur_parameter = _LARGEST_RADIUS_PX * width / 1920 / float(disparity.max() - disparity.min())
            lens = blender_lens(ThinLens(blur_parameter, float(np.median(disparity))), camera)
            for samples in options.samples:
                seconds = []
                for each in (None, lens):
                    took = blender.ask({**request, "samples": samples, "lens": each})
                    on_cpu = loaded["device"] == "cpu"
                    seconds.append(took["processor_s"] / (os.cpu_count() or 1) if on_cpu else took["wall_s"])
                rows.append((scene, width, height, samples, *seconds, loaded["device"]))
                print(
                    f"{scene} {width} x {height}, {samples} samples: {seconds[0]:.1f} s, {seconds[1]:.1f} s", flush=True
                )
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
