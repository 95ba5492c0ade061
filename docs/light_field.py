"""Picture of one bokeh picture from a light field and by Cycles' own lens, and ten times their difference around grey.

    python docs/light_field.py docs/light_field.jpg

The direct picture, whose pixels are boxes, is filtered by a tent as that of the light field is. The script prints the
differences of the means of blocks of 32 x 32 pixels, in linear light, and the CPU time of the direct picture. A number
behind the path is that of the views, and of the samples of the direct picture.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from blender_scripts.camera import Camera, blender_lens
from blender_scripts.job import RenderJob, Sampling
from blender_scripts.passes import read_passes
from blender_scripts.process import BlenderProcess
from blender_scripts.views import Views
from bokehdata.format import disparity_of
from bokehdata.preview import display_tile, encode_jpeg
from scenes.aperture import Disk
from scenes.arrays import Picture
from scenes.lens import ThinLens
from scenes.stack import Stack

_WIDTH, _HEIGHT, _RADIUS_PX = 480, 270, 16.0
_TILE_PX, _GAP_PX = 420, 6
_BLOCK_PX = 32


def main(out: str, views: str = "1024") -> None:
    with BlenderProcess() as blender, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scene = {"do": "load", "kind": "procedural", "scene": "still_life", "seed": 0, "device": "auto"}
        loaded = blender.ask({**scene, "width": _WIDTH, "height": _HEIGHT})
        camera = Camera(loaded["focal_length_m"], loaded["sensor_width_m"], _WIDTH)

        def direct(lens: ThinLens, samples: int) -> tuple[Picture, np.ndarray, float]:
            exr = folder / "render.exr"
            settings = {"adaptive_threshold": None, "denoise": False, "slice": None, "overscan": 1, "seed": 1}
            request = {"do": "render", "exr": str(exr), "lens": blender_lens(lens, camera), "samples": samples}
            seconds = blender.ask({**request, **settings})["processor_s"]
            passes = read_passes(exr)
            return _tent(passes.rgba_premul[..., :3]), passes.depth[1:-1, 1:-1], seconds

        disparity = disparity_of(direct(ThinLens(0.0, 0.0), 1)[1])
        focus = float(np.quantile(disparity, 0.02)), float(np.quantile(disparity, 0.98))
        stack = Stack((_RADIUS_PX / (focus[1] - focus[0]),), focus, pixel="box+tent")
        sampling = Sampling(int(views), stack="light-field")
        job = RenderJob(folder, _WIDTH, _HEIGHT, (_RADIUS_PX,), len(focus), Disk(), sampling, "auto", 0, 0)
        light_field = Views(job, stack, camera, 0, folder / "views.npz")
        light_field.render(blender)
        ours, noise, _ = light_field.bokeh(0, 1)
        theirs, _, seconds = direct(stack.lens(0, 1), int(views))

    apart = np.abs(_block_means(ours) - _block_means(theirs))
    print(
        f"{apart.size} block means: at most {apart.max():.1e} apart, on average {apart.mean():.1e}; display noise of "
        f"the light field {noise:.4f}; the direct picture took {seconds:.0f} s of CPU time"
    )
    size = (_TILE_PX, round(_TILE_PX * _HEIGHT / _WIDTH))
    difference = np.clip(0.5 + 10.0 * (ours - theirs), 0.0, 1.0) ** 2.2
    tiles = [display_tile(picture, size) for picture in (ours, theirs, difference)]
    gap = np.full((size[1], _GAP_PX, 3), 255, np.uint8)
    row = [part for tile in tiles for part in (tile, gap)][:-1]
    Path(out).write_bytes(encode_jpeg(np.concatenate(row, axis=1), quality=85))


def _tent(image: Picture) -> Picture:
    """A filter with the second moment of a tent of two pixels, 1/6 along each axis. It takes a pixel off every side."""
    down = (image[:-2] + 10.0 * image[1:-1] + image[2:]) / 12.0
    return (down[:, :-2] + 10.0 * down[:, 1:-1] + down[:, 2:]) / 12.0


def _block_means(image: Picture) -> np.ndarray:
    height, width = image.shape[0] // _BLOCK_PX * _BLOCK_PX, image.shape[1] // _BLOCK_PX * _BLOCK_PX
    blocks = image[:height, :width].reshape(height // _BLOCK_PX, _BLOCK_PX, width // _BLOCK_PX, _BLOCK_PX, 3)
    return blocks.mean(axis=(1, 3), dtype=np.float64)


if __name__ == "__main__":
    main(*sys.argv[1:])
