"""Skies, haze, dappled shade, glare, and the ground plane seen by a camera at eye height."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.arrays import Picture
from scenes.procedural.noise import Field, fractal, noise_at, smoothstep
from scenes.procedural.palette import from_hex, linear, mixed, ramp

# Display colours: zenith, middle, horizon, sunlight, shade.
_DAYS = {
    "noon": "3f6fa8 7fa5cc cfdde6 fff6e6 8298b4",
    "haze": "9db2c2 bccad2 dfe2df fff8ee 95a0aa",
    "golden": "5f86a8 c9b296 f4cf94 ffdda6 7d7896",
    "dusk": "39406e 9a6f8c eeab86 ffbf94 5f5f8a",
    "overcast": "a9b1b8 bfc5c8 d9dad6 f2f1ee a0a5aa",
    "storm": "4a5662 76828a b3b5ac f2ead6 66707c",
    "alpine": "2d62a8 6d9fd0 c3d9e8 fff9f0 7a94ba",
}


@dataclass(frozen=True, eq=False)
class Day:
    """A time of day: display colours of the sky from the zenith down, of sunlight, and of shade."""

    name: str
    sky: tuple[NDArray, NDArray, NDArray]
    sun: NDArray
    shade: NDArray

    @classmethod
    def draw(cls, *, rng: np.random.Generator, among: tuple[str, ...] = tuple(_DAYS)) -> "Day":
        name = among[rng.integers(len(among))]
        zenith, middle, horizon, sun, shade = (from_hex(c) for c in _DAYS[name].split())
        return cls(name, (zenith, middle, horizon), sun, shade)


def sky(height: int, width: int, horizon: float, day: Day, *, rng: np.random.Generator) -> Picture:
    """The sky with its clouds down to row `horizon`. Rows below have the colour of the horizon."""
    y = (np.arange(height, dtype=np.float32) + 0.5) / max(horizon, 1.0)
    glow = fractal(height, width, rng=rng, slope=3.5, cells=1.5) * np.float32(0.03)
    picture = ramp(np.clip(y, 0.0, 1.0)[:, None] ** np.float32(0.8) + glow, list(day.sky))
    y = y[y < 1.1]
    above = picture[: len(y)]
    sun_x = rng.uniform(-0.2, 1.2) * width
    x = np.arange(width, dtype=np.float32)[None, :]
    near_sun = np.exp(-(((x - sun_x) / (0.5 * width)) ** 2) - ((y[:, None] - 0.85) / 0.6) ** 2)
    above += (near_sun * np.float32(0.35))[..., None] * (linear(day.sun) - above)
    if rng.random() < 0.85:
        _add_clouds(above, y, day, rng=rng)
    return picture


def _add_clouds(picture: Picture, y: Field, day: Day, *, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    # Clouds lie on a plane overhead: they shrink and flatten towards the horizon.
    away = 1.0 / np.maximum(1.12 - np.minimum(y, 1.0), 0.02)[:, None]
    x = (np.arange(width, dtype=np.float32)[None, :] / np.float32(width) - 0.5) * np.float32(2.2)
    u, v = (x * away * 0.8).astype(np.float32), np.broadcast_to(away * 1.5, (height, width)).astype(np.float32)
    footprint = away * np.float32(2.2 / width)
    state = rng.bit_generator.state
    density = noise_at(u, v, footprint, rng=rng, octaves=8, gain=0.62)
    rng.bit_generator.state = state
    toward_light = noise_at(u + np.float32(0.07), v - np.float32(0.10), footprint, rng=rng, octaves=5, gain=0.62)
    cover = rng.uniform(-0.5, 0.7)
    matte = smoothstep(cover, cover + rng.uniform(0.5, 1.3), density) * smoothstep(1.02, 0.80, y)[:, None]
    light = np.clip(0.74 - 0.28 * (toward_light - 0.25), 0.0, 1.0)
    white = mixed(day.sun, np.ones(3), 0.3)
    colour = ramp(light, [mixed(day.shade, day.sky[1], 0.35), mixed(day.shade, white, 0.6), white]) * np.float32(0.93)
    picture += (matte * np.float32(rng.uniform(0.6, 0.95)))[..., None] * (colour - picture)


def ground_plane(
    height: int, width: int, horizon: float, *, eye: float = 1.6, focal: float = 1.0, centre: float = 0.5
) -> tuple[Field, Field, Field, int]:
    """Ground coordinates u, v and pixel footprint in metres of the rows below the horizon, and the first such row.

    eye      height of the camera, metres
    focal    focal length in frame widths
    centre   column of the vanishing point in frame widths
    """
    first = min(max(int(np.ceil(horizon)), 0), height - 1)
    y = np.arange(first, height, dtype=np.float32) + np.float32(0.5)
    z = np.float32(eye * focal * width) / np.maximum(y - np.float32(horizon), np.float32(0.35))
    x = np.arange(width, dtype=np.float32) + np.float32(0.5 - centre * width)
    u = z[:, None] * x[None, :] / np.float32(focal * width)
    v = np.broadcast_to(z[:, None], u.shape).astype(np.float32)
    # A footprint is longer along the view than across it. The geometric mean balances detail against aliasing.
    across = z / np.float32(focal * width)
    along = z * z / np.float32(eye * focal * width)
    footprint = np.broadcast_to(np.sqrt(across * along)[:, None], u.shape).astype(np.float32)
    return u, v, footprint, first


def dapple(picture: Picture, *, rng: np.random.Generator, strength: float = 0.5) -> None:
    """Add sun and shade in place: the shadow of leaves or of a house across the street."""
    height, width = picture.shape[:2]
    if rng.random() < 0.55:
        field = fractal(height, width, rng=rng, slope=3.0, cells=rng.uniform(4.0, 9.0))
        shade = smoothstep(-0.5, 0.8, field)
    else:
        a = rng.uniform(0.0, 2.0 * np.pi)
        x = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]
        y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
        shade = smoothstep(
            -0.02, 0.03, x * np.float32(np.cos(a)) + y * np.float32(np.sin(a)) - np.float32(rng.uniform(-0.2, 0.5))
        )
    tint = np.array([1.0, 0.92, 0.80], np.float32) * np.float32(strength)
    picture *= 1.0 - shade[..., None] * tint


def hazed(picture: Picture, amount: Field | float, colour: NDArray) -> Picture:
    """The picture seen through haze: mixed with a display colour."""
    share = np.asarray(amount, np.float32)
    return picture + (linear(colour) - picture) * (share[..., None] if share.ndim else share)


def bloom(picture: Picture, *, strength: float = 0.03) -> None:
    """Add veiling glare in place: a little of the light above white spreads around."""
    height, width = picture.shape[:2]
    bright = np.minimum(np.maximum(picture - 1.0, 0.0), 30.0)
    small = cv2.resize(bright, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    for sigma in (0.004, 0.014):
        wide = cv2.GaussianBlur(small, (0, 0), max(0.6, sigma * max(small.shape)), borderType=cv2.BORDER_REPLICATE)
        picture += cv2.resize(wide, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(strength / 2)
