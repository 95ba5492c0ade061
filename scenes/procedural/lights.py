"""Strings of small lamps far brighter than white, which become visible disks when blurred."""

import math

import numpy as np
from numpy.typing import NDArray

from scenes.arrays import Rgba
from scenes.procedural.palette import from_hex, lighter
from scenes.procedural.sketch import Sketch, overlap

# Linear colours of lamps with luminance about 1.
LAMPS = {
    "tungsten": (1.35, 0.92, 0.42),
    "amber": (1.60, 0.80, 0.16),
    "white": (1.02, 1.00, 0.98),
    "cool": (0.85, 1.02, 1.25),
    "red": (2.6, 0.32, 0.20),
    "green": (0.35, 1.30, 0.45),
    "blue": (0.45, 0.80, 3.4),
    "pink": (2.1, 0.55, 1.4),
}

SETS = (
    ("tungsten",),
    ("amber", "tungsten"),
    ("tungsten", "white"),
    ("cool", "white"),
    ("red", "green", "blue", "amber", "pink"),
    ("amber", "red", "pink"),
)


def lamp_colour(name: str, *, rng: np.random.Generator) -> NDArray:
    """Linear colour of one lamp with luminance about 1, randomly varied."""
    return (np.array(LAMPS[name]) * rng.uniform(0.9, 1.1, 3)).astype(np.float32)


def light_string(side: int, *, rng: np.random.Generator) -> Rgba:
    """One to five cables that sag between hooks or hang as a curtain. Lamps have linear values of 5 to 200."""
    width = side
    hanging = rng.random() < 0.35
    height = round(side * (rng.uniform(0.7, 1.0) if hanging else rng.uniform(0.35, 0.8)))
    sheet = Sketch(height, width, supersample=2)
    cable = from_hex(rng.choice(["1c1a18", "24301f", "2b2723", "8f8a80"]))
    lines = _curtain(height, width, rng=rng) if hanging else _garlands(height, width, rng=rng)
    for line in lines:
        sheet.stroke(line, cable, side * 0.0035)
    spacing = side * rng.uniform(0.035, 0.075)
    globes = rng.random() < 0.5 and not hanging
    radius = max(0.9, side * (rng.uniform(0.008, 0.013) if globes else rng.uniform(0.0035, 0.006)))
    names = SETS[rng.integers(len(SETS))]
    level = 10.0 ** rng.uniform(math.log10(12.0), math.log10(120.0))
    lamps = []
    for line in lines:
        for at in _evenly(line, spacing):
            drop = radius * (2.4 if globes else 1.3)
            socket = np.stack([at, at + [0.0, drop * 0.55]])
            sheet.stroke(socket, lighter(cable, 0.05), radius * 0.9)
            value = float(np.clip(level * rng.lognormal(0.0, 0.35), 5.0, 200.0))
            colour = lamp_colour(str(rng.choice(names)), rng=rng) * np.float32(value)
            lamps.append((at + [rng.normal(0.0, 0.2) * radius, drop], np.clip(colour, 0.0, 400.0)))
    rgba = sheet.rgba()
    for at, colour in lamps:
        if globes:
            _globe(rgba, at, radius, colour)
        else:
            glow(rgba, at, radius, colour)
    return rgba


def glow(rgba: Rgba, at: NDArray, radius: float, colour: NDArray) -> None:
    """Lay an anti-aliased disk of light on a straight-alpha picture in place."""
    window, distance = _around(rgba, at, radius + 1.0)
    matte = np.clip(radius + 0.5 - distance, 0.0, 1.0)[..., None]
    # The lamp is far brighter than the texel, so the colour of the texel is replaced in proportion to coverage.
    share = matte / np.maximum(np.maximum(window[..., 3:], matte), np.float32(1e-6))
    window[..., :3] += (colour - window[..., :3]) * share
    window[..., 3:] = np.maximum(window[..., 3:], matte)


def _globe(rgba: Rgba, at: NDArray, radius: float, colour: NDArray) -> None:
    """A frosted glass globe around a bright filament."""
    window, distance = _around(rgba, at, radius * 1.9 + 1.0)
    shell = np.clip(radius * 1.8 + 0.5 - distance, 0.0, 1.0) * np.float32(0.62)
    fall = np.clip(distance / (radius * 1.8), 0.0, 1.0)[..., None]
    light = colour / np.float32(max(float(colour.max()), 1.0)) * (1.6 - 1.1 * fall)
    share = (shell / np.maximum(np.maximum(window[..., 3], shell), 1e-6))[..., None]
    window[..., :3] += (light - window[..., :3]) * share
    window[..., 3] = np.maximum(window[..., 3], shell)
    glow(rgba, at, max(0.8, radius * 0.6), colour)


def _around(rgba: Rgba, at: NDArray, reach: float) -> tuple[Rgba, NDArray]:
    left, top = int(math.floor(at[0] - reach)), int(math.floor(at[1] - reach))
    n = math.ceil(2 * reach) + 2
    x = np.arange(left, left + n, dtype=np.float32) + 0.5 - np.float32(at[0])
    y = np.arange(top, top + n, dtype=np.float32) + 0.5 - np.float32(at[1])
    return overlap(rgba, np.hypot(x[None, :], y[:, None]), left, top)


def _garlands(height: int, width: int, *, rng: np.random.Generator) -> list[NDArray]:
    lines = []
    count = int(rng.integers(1, 6))
    for k in range(count):
        t = np.linspace(0.0, 1.0, 200)
        y0, y1 = rng.uniform(0.03, 0.35, 2) + 0.45 * k / count
        sag = rng.uniform(0.10, 0.30) * (1.0 - max(y0, y1)) + 0.05
        spans = int(rng.choice([1, 1, 2, 3]))
        local = (t * spans) % 1.0
        y = y0 + (y1 - y0) * t + sag * 4.0 * local * (1.0 - local)
        lines.append(np.stack([t * (width - 2.0) + 1.0, np.minimum(y, 0.90) * height], axis=-1))
    return lines


def _curtain(height: int, width: int, *, rng: np.random.Generator) -> list[NDArray]:
    count = int(rng.integers(6, 15))
    rail = np.array([[1.0, 3.0], [width - 1.0, 3.0]])
    lines = [rail]
    for k in range(count):
        t = np.linspace(0.0, 1.0, 60)
        x = (k + 0.5 + rng.normal(0, 0.15)) / count + 0.008 * np.sin(t * rng.uniform(3, 9) + k)
        lines.append(np.stack([x * width, 3.0 + t * (height * rng.uniform(0.55, 0.92))], axis=-1))
    return lines


def _evenly(line: NDArray, spacing: float) -> NDArray:
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.arange(spacing * 0.5, length[-1], spacing)
    return np.stack([np.interp(at, length, line[:, i]) for i in range(2)], axis=-1)
