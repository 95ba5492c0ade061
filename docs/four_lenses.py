"""Picture for README.md: one scene at night through a thin lens and three real ones. Takes a minute.

python docs/four_lenses.py docs/four_lenses.jpg 1
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from tiling import joined

from bokehdata.preview import display_tile, encode_jpeg
from raytrace.tracer import Tracer
from runtime import backend
from scenes.billboard import Billboard, Scene
from scenes.lens import ThinLens
from scenes.mounted_lens import MountedLens, widest_f_number
from scenes.prescription import LensPrescription, biconvex, load_prescription
from scenes.recipe import load_recipe
from scenes.sampling import sample_scene
from scenes.thick_lens import ThickLens

# The blur of the lamps is a radius; rays are less than two pixels apart in it.
_TILE_PX, _BLUR_PX, _RAYS = 400, 28.0, 1600

# Lamps of the background, their colours, and the light of the brightest.
_LAMPS, _BRIGHTNESS = 150, 700.0
_COLOURS = ((1.0, 0.5, 0.15), (1.0, 0.8, 0.5), (0.3, 0.6, 1.0), (1.0, 0.15, 0.1), (0.4, 0.9, 0.5))

# Width of the sensor in focal lengths: wide enough for what the lens does in corners.
REAL_LENSES = (
    (biconvex(100.0, 10.0, 1.5), 0.4),
    (load_prescription("petzval-kodak"), 0.33),
    (load_prescription("biotar"), 0.52),
)


def main(out: str, seed: str) -> None:
    scene = _scene(np.random.default_rng(int(seed)))
    # The subject is in focus, the lamps are at infinity.
    focus = scene.layers[0].disparity
    thin = ThinLens(_BLUR_PX / focus, focus)
    tracer = Tracer(backend.start("auto"))
    lenses = (thin, *(_camera(*lens, thin, scene) for lens in REAL_LENSES))
    pictures = [tracer.render(scene, lens, samples=_RAYS).linear[0] for lens in lenses]
    row = joined([display_tile(picture, (_TILE_PX, _TILE_PX)) for picture in pictures], axis=1)
    Path(out).write_bytes(encode_jpeg(row, quality=82))


def _scene(rng: np.random.Generator) -> Scene:
    """The foreground of a scene of the recipe `night`, in front of scattered lamps."""
    # Larger blur parameters leave room for rays that stray.
    recipe = replace(load_recipe("night"), blur_parameters=(90.0,), foregrounds=(1, 1))
    scene, _ = sample_scene(recipe, rng=rng)
    height, width = scene.extended_shape
    rgba = np.ones((height, width, 4), np.float16)
    rgba[..., :3] = np.float16([0.004, 0.006, 0.012])
    for _ in range(_LAMPS):
        y, x = rng.integers(0, height - 1), rng.integers(0, width - 1)
        rgba[y : y + 2, x : x + 2, :3] = (
            _BRIGHTNESS * rng.random() ** 2 * np.array(_COLOURS[rng.integers(len(_COLOURS))])
        )
    return replace(scene, layers=(scene.layers[0], Billboard(rgba, 0.0)))


def _camera(prescription: LensPrescription, width_focal_lengths: float, thin: ThinLens, scene: Scene) -> ThickLens:
    """The open lens with the paraxial blur and the focus of the thin one."""
    sensor_width_m = width_focal_lengths * prescription.focal_length / 1000.0
    mounted = MountedLens(prescription, widest_f_number(prescription), sensor_width_m)
    unit = mounted.inv_m_per_unit(thin.blur_parameter, scene.width)
    return mounted.in_camera(thin, unit, scene.width, scene.height)


if __name__ == "__main__":
    main(*sys.argv[1:])
