"""Ground that a camera looks down on: a texture drawn from above and seen in perspective, without a horizon."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from scenes.arrays import Picture
from scenes.procedural import heaps
from scenes.procedural.noise import fractal, smoothstep
from scenes.procedural.palette import from_hex, lighter, mixed, ramp

# Largest side of a texture, texels; it goes on mirrored.
_TEXTURE_SIDE_MAX = 1024
# Octaves that a texture is reduced by for what is far away.
_LEVELS = 5


@dataclass(frozen=True)
class GroundView:
    """A camera above level ground.

    focal_length_px   distance from lens to sensor
    height_m          of the camera above the ground
    tilt_rad          of its axis below the horizontal

    The disparity of the ground is linear in the picture: (sin t + cos t y / f) / h in 1/m at y pixels below the centre.
    """

    focal_length_px: float
    height_m: float
    tilt_rad: float

    @property
    def disparity(self) -> float:
        """At the centre of the frame, 1/m."""
        return math.sin(self.tilt_rad) / self.height_m

    @property
    def slope(self) -> float:
        """Change of disparity per pixel downwards, 1/m."""
        return math.cos(self.tilt_rad) / (self.height_m * self.focal_length_px)


def gravel(side: int, *, rng: np.random.Generator) -> Picture:
    """Sand and gravel from above, in linear light."""
    fine, coarse = (fractal(side, side, rng=rng, slope=slope, cells=cells) for slope, cells in ((1.2, 300), (2.4, 8)))
    sand = mixed(from_hex("8a7a62"), from_hex("6d6a66"), rng.uniform(0.0, 1.0))
    return ramp(0.5 + 0.16 * fine + 0.08 * coarse, [lighter(sand, -0.25), sand, lighter(sand, 0.2)])


def lawn(side: int, *, rng: np.random.Generator) -> Picture:
    """Short grass with worn patches from above, in linear light."""
    blades = fractal(side, side, rng=rng, slope=1.3, cells=260)
    patches = fractal(side, side, rng=rng, slope=2.6, cells=6)
    green = mixed(from_hex("4f6b2c"), from_hex("7a8a45"), rng.uniform(0.0, 1.0))
    grass = ramp(0.5 + 0.18 * blades + 0.06 * patches, [lighter(green, -0.22), green, lighter(green, 0.18)])
    earth = ramp(0.5 + 0.14 * blades, [from_hex("4b3d2c"), from_hex("6f5b41"), from_hex("8d7856")])
    return grass + smoothstep(0.7, 1.4, patches)[..., None] * (earth - grass)


# Every kind of ground: its function and its share.
GROUNDS: dict[str, tuple[Callable[..., Picture], float]] = {
    "gravel": (gravel, 1.0),
    "lawn": (lawn, 1.0),
    "pebbles": (lambda side, *, rng: heaps.pebbles(side, side, rng=rng), 0.8),
    "fallen-leaves": (lambda side, *, rng: heaps.fallen_leaves(side, side, rng=rng), 1.0),
}


def draw_ground(height: int, width: int, view: GroundView, *, rng: np.random.Generator) -> tuple[Picture, str]:
    """(picture in linear light (height, width, 3), its kind) of ground as the camera sees it.

    height, width   pixels; the axis of the camera is in the middle. The horizon must be above, else ValueError
    """
    shares = np.array([share for _, share in GROUNDS.values()])
    kind = tuple(GROUNDS)[rng.choice(len(shares), p=shares / shares.sum())]
    side = min(_TEXTURE_SIDE_MAX, max(height, width))
    return seen(GROUNDS[kind][0](side, rng=rng), height, width, view), kind


def seen(texture: Picture, height: int, width: int, view: GroundView) -> Picture:
    """A square texture on the ground, mirrored without end, as the camera sees it; sharp in the nearest row."""
    y = (np.arange(height) + 0.5 - height / 2.0)[:, None]
    x = (np.arange(width) + 0.5 - width / 2.0)[None, :]
    disparity = view.disparity + view.slope * y
    if disparity[0, 0] <= 0.0:
        raise ValueError(f"the horizon of {view} is in a picture of {height} rows")
    depth = 1.0 / disparity
    texel_m = depth[-1, 0] / view.focal_length_px
    across = x * depth / (view.focal_length_px * texel_m)
    along = depth * (math.cos(view.tilt_rad) - y / view.focal_length_px * math.sin(view.tilt_rad)) / texel_m
    # A pixel covers more texels along the view than across it; the geometric mean balances detail against aliasing.
    footprint = np.sqrt(depth / depth[-1] * np.abs(np.gradient(along[:, 0]))[:, None])
    level = np.clip(np.log2(np.maximum(footprint, 1.0)), 0.0, _LEVELS - 1.001)
    picture = np.zeros((height, width, 3), np.float32)
    for k in range(_LEVELS):
        weight = np.maximum(0.0, 1.0 - np.abs(level - k)).astype(np.float32)
        if not weight.any():
            continue
        scale = 0.5**k
        side = max(1, round(texture.shape[0] * scale))
        reduced = cv2.resize(texture, (side, side), interpolation=cv2.INTER_AREA)
        at_x, at_y = (
            _mirrored(np.broadcast_to(values * scale - 0.5, (height, width)), side) for values in (across, along)
        )
        picture += weight[..., None] * cv2.remap(
            reduced, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
    return picture


def _mirrored(coordinate: np.ndarray, side: int) -> np.ndarray:
    """Texel coordinates folded into a texture that goes on mirrored."""
    period = max(2 * (side - 1), 1)
    folded = np.mod(coordinate, period)
    return np.minimum(folded, period - folded).astype(np.float32)
