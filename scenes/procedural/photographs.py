"""Procedural background photographs: a place is drawn in linear light, then the effects of a camera are added."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.arrays import Picture
from scenes.procedural import after_dark, heaps, outdoors, town

# Every kind of place: its function and its share.
DAY: dict[str, tuple[Callable[..., Picture], float]] = {
    "hills": (outdoors.hills, 1.0),
    "seaside": (outdoors.seaside, 1.0),
    "meadow": (outdoors.meadow, 1.0),
    "woods": (outdoors.woods, 1.0),
    "hedge": (outdoors.hedge, 1.0),
    "facade": (town.facade, 1.2),
    "street": (town.street, 1.2),
    "hoarding": (town.hoarding, 0.7),
    "bookshelf": (town.bookshelf, 1.0),
    "still-life": (town.still_life, 1.2),
    "pebbles": (heaps.pebbles, 0.6),
    "harvest": (heaps.harvest, 0.6),
    "fallen-leaves": (heaps.fallen_leaves, 0.6),
    "collage": (heaps.collage, 0.6),
}
NIGHT: dict[str, tuple[Callable[..., Picture], float]] = {
    "night-street": (after_dark.night_street, 1.0),
    "skyline": (after_dark.skyline, 1.0),
    "garden": (after_dark.garden, 1.0),
}

_SIDE_MIN = 16


@dataclass(frozen=True)
class ProceduralPhotographs:
    """Random backgrounds that look like places.

    night   places at night, with lamps far above white, instead of places by day
    """

    night: bool = False

    def draw(self, height: int, width: int, *, rng: np.random.Generator) -> tuple[Picture, dict]:
        """One photograph, and plain values that tell its origin.

        height, width   pixels, each >= 16, else ValueError
        returns         linear light at the reference gamma: within [0, 1] by day, far above 1 in small lamps at night
        """
        if min(height, width) < _SIDE_MIN:
            raise ValueError(f"a photograph cannot be {height} x {width} px; the smallest side is {_SIDE_MIN} px")
        places = NIGHT if self.night else DAY
        shares = np.array([share for _, share in places.values()])
        style = tuple(places)[rng.choice(len(shares), p=shares / shares.sum())]
        scene = places[style][0](height, width, rng=rng)
        return photographed(scene, rng=rng, highlights=self.night), {"kind": "procedural-photograph", "style": style}


def photographed(scene: Picture, *, rng: np.random.Generator, highlights: bool) -> Picture:
    """The scene with the effects of a camera: slight blur, exposure, sharpening, vignetting, roll-off, and grain.

    highlights   keep the scene's exposure and values above white, instead of metering and rolling off
    """
    height, width = scene.shape[:2]
    scene = cv2.GaussianBlur(
        scene.astype(np.float32, copy=False), (0, 0), rng.uniform(0.35, 0.5), borderType=cv2.BORDER_REPLICATE
    )
    if not highlights:
        scene *= _exposure(scene, rng=rng)
        _sharpen(scene, np.float32(rng.uniform(0.4, 0.7)))
    scene *= _vignette(height, width, np.float32(rng.uniform(0.05, 0.25)))[..., None]
    np.maximum(scene, 0.0, out=scene)
    if not highlights:
        # Bands of rows keep the temporary arrays small.
        for rows in range(0, height, 256):
            _roll_off(scene[rows : rows + 256])
    # The variance of shot noise is proportional to the light. The constant stands for readout noise.
    grain = rng.standard_normal((height, width), np.float32) * np.float32(rng.uniform(0.004, 0.012))
    level = np.sqrt(scene @ np.array([0.2, 0.7, 0.1], np.float32) * np.float32(0.5) + np.float32(0.01))
    scene *= 1.0 + (grain / (level + np.float32(0.05)) * np.float32(0.5))[..., None]
    return np.clip(scene, 0.0, None if highlights else 1.0, out=scene).astype(np.float32, copy=False)


def _roll_off(scene: Picture) -> None:
    """Compress highlights in place: linear up to 0.8, then approaching 1 smoothly instead of clipping."""
    knee = np.float32(0.8)
    room = np.float32(1.0) - knee
    over = np.maximum(scene - knee, 0.0)
    scene -= over * over / (over + room)


def _exposure(scene: Picture, *, rng: np.random.Generator) -> np.float32:
    """Factor that moves the geometric mean of the light towards middle grey, as a camera's meter does, with scatter."""
    level = np.exp(np.log(scene.mean(axis=-1) + np.float32(0.004)).mean(dtype=np.float64))
    return np.float32((0.20 / level) ** 0.75 * rng.uniform(0.85, 1.2))


def _sharpen(scene: Picture, amount: np.float32) -> None:
    """Unsharp mask in place. It scales by a ratio, so that dark sides of edges stay positive."""
    level = scene @ np.array([0.2, 0.7, 0.1], np.float32) + np.float32(0.02)
    ratio = level / cv2.GaussianBlur(level, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE)
    scene *= (np.clip(ratio, 0.4, 2.0) ** amount)[..., None]


def _vignette(height: int, width: int, loss: np.float32) -> NDArray:
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]
    return 1.0 - loss * (x * x + y * y) * np.float32(0.5)
