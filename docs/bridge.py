"""Picture of one billboard scene by our tracer and by Blender Cycles, and ten times their difference around grey.

    python docs/bridge.py docs/bridge.jpg

It prints the differences of the means of blocks of 32 x 32 pixels, in linear light and in standard errors of Cycles'
noise.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from blender_scripts import billboards
from blender_scripts.camera import blender_lens
from blender_scripts.passes import read_passes
from blender_scripts.process import BlenderProcess
from bokehdata.preview import display_tile, encode_jpeg
from raytrace.tracer import Tracer
from runtime import backend
from scenes.aperture import Polygon
from scenes.lens import ThinLens
from scenes.recipe import load_recipe
from scenes.sampling import sample_scene

_SIDE_PX, _TILE_PX, _GAP_PX = 256, 420, 6
_SEEDS, _SAMPLES = 16, 32
_BLOCK_PX = 32


def main(out: str) -> None:
    recipe = replace(load_recipe("default"), size_px=_SIDE_PX)
    scene, stack = sample_scene(recipe, rng=np.random.default_rng([0, 3]))
    lens = ThinLens(stack.blur_parameters[-1], stack.focus_disparities[len(stack.focus_disparities) // 2], Polygon(6))
    ours = Tracer(backend.start("cpu")).render(scene, lens, pixel="box", samples=8192).linear[0]
    renders = _cycles(scene, lens)
    theirs = np.mean(renders, axis=0)

    means = np.stack([_block_means(render) for render in renders])
    standard_error = means.std(axis=0, ddof=1) / np.sqrt(len(means))
    apart = np.abs(means.mean(axis=0) - _block_means(ours))
    print(
        f"{apart.size} block means: at most {apart.max():.1e} apart, on average {apart.mean():.1e}; "
        f"at most {(apart / standard_error).max():.1f} standard errors, in the root mean square "
        f"{np.sqrt(np.mean((apart / standard_error) ** 2)):.2f}; {np.mean(apart > 1e-4 + 4 * standard_error):.1%} "
        "are beyond 1e-4 + 4 standard errors"
    )
    size = (_TILE_PX, _TILE_PX)
    difference = np.clip(0.5 + 10.0 * (ours - theirs), 0.0, 1.0) ** 2.2
    tiles = [display_tile(picture, size) for picture in (ours, theirs, difference)]
    gap = np.full((_TILE_PX, _GAP_PX, 3), 255, np.uint8)
    row = [part for tile in tiles for part in (tile, gap)][:-1]
    Path(out).write_bytes(encode_jpeg(np.concatenate(row, axis=1), quality=85))


def _cycles(scene, lens: ThinLens) -> list[np.ndarray]:
    """(H, W, 3) linear light, one render for each seed."""
    renders = []
    with BlenderProcess() as blender, tempfile.TemporaryDirectory() as folder:
        npz, exr = Path(folder) / "scene.npz", Path(folder) / "render.exr"
        billboards.export(scene, npz)
        size = {"width": scene.width, "height": scene.height}
        blender.ask({"do": "load", "kind": "billboards", "npz": str(npz), "device": "auto", **size})
        settings = {"adaptive_threshold": None, "denoise": False, "slice": None, "overscan": 0}
        request = {"do": "render", "exr": str(exr), "lens": blender_lens(lens, billboards.nominal_camera(scene))}
        for seed in range(_SEEDS):
            blender.ask({**request, "samples": _SAMPLES, "seed": seed, **settings})
            renders.append(read_passes(exr).rgba_premul[..., :3])
    return renders


def _block_means(image: np.ndarray) -> np.ndarray:
    blocks = image.reshape(image.shape[0] // _BLOCK_PX, _BLOCK_PX, image.shape[1] // _BLOCK_PX, _BLOCK_PX, 3)
    return blocks.mean(axis=(1, 3), dtype=np.float64)


if __name__ == "__main__":
    main(*sys.argv[1:])
