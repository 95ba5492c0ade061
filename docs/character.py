"""Picture for docs/real-lenses.md: lights at night, seen through apertures of several characters. Takes a minute.

python docs/character.py docs/character.jpg 13
"""

import sys
from pathlib import Path

import numpy as np
from tiling import joined

from bokehdata.preview import display_tile, encode_jpeg
from raytrace.tracer import Tracer
from runtime import backend
from scenes.aperture import Aperture, Character, Disk
from scenes.lens import ThinLens
from scenes.recipe import load_recipe
from scenes.sampling import sample_scene

_TILE_PX, _BLUR_PARAMETER, _NOISE = 300, 34.0, 0.004

APERTURES: tuple[Aperture, ...] = (
    Disk(),
    Character(Disk(), spherical=1.0),
    Character(Disk(), spherical=-1.0),
    Character(Disk(), rings=4.0, ring_contrast=0.9),
    Character(Disk(), spherical=0.5, cat_eye=1.0),
)


def main(out: str, seed: str) -> None:
    scene, _ = sample_scene(load_recipe("night"), rng=np.random.default_rng(int(seed)))
    tracer = Tracer(backend.start("auto"))
    # In focus is the nearest layer: the lights are behind it.
    lenses = (ThinLens(_BLUR_PARAMETER, scene.layers[0].disparity, aperture) for aperture in APERTURES)
    pictures = [tracer.render(scene, lens, noise=_NOISE).linear[0] for lens in lenses]
    row = joined([display_tile(picture, (_TILE_PX, _TILE_PX)) for picture in pictures], axis=1)
    Path(out).write_bytes(encode_jpeg(row, quality=82))


if __name__ == "__main__":
    main(*sys.argv[1:])
