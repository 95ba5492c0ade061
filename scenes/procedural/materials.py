"""Materials as functions of plane coordinates, so that a wall is the same seen flat or in perspective.

Every material takes u (right) and v (down) in metres and the footprint of a pixel in metres, all (h, w) float32, and
returns (h, w, 3) linear albedo. Detail finer than the footprint fades to its mean instead of aliasing.
"""

import numpy as np
from numpy.typing import NDArray

from scenes.procedural.noise import Field, noise_at, smoothstep
from scenes.procedural.palette import Colour, lighter, linear, mixed, ramp

Albedo = NDArray


def plaster(u: Field, v: Field, footprint: Field, colour: Colour, *, rng: np.random.Generator) -> Albedo:
    """Limewash with stains that run down, and patches of repair."""
    rough = noise_at(u * 1.5, v * 1.5, footprint * 1.5, rng=rng, octaves=8)
    runs = noise_at(u * 2.0, v * 0.12, footprint * 2.0, rng=rng, octaves=5)
    shade = 0.55 + 0.10 * rough + 0.10 * runs
    return ramp(shade, [lighter(colour, -0.16), lighter(colour, -0.02), colour, lighter(colour, 0.06)])


def bricks(u: Field, v: Field, footprint: Field, colour: Colour, *, rng: np.random.Generator) -> Albedo:
    """Bricks of 0.25 m by 0.08 m in running bond, each with a shade of its own."""
    length, height = 0.25, 0.08
    row = np.floor(v / height)
    along = u / length + 0.5 * (row % 2)
    column = np.floor(along)
    burn = _of_cell(column, row, rng=rng)
    joint = 0.012
    to_joint = np.minimum(_from_edge(along) * length, _from_edge(v / height) * height)
    mortar = _edge(joint / 2 - to_joint, footprint)
    grain = noise_at(u * 5.0, v * 5.0, footprint * 5.0, rng=rng, octaves=5)
    soot = noise_at(u * 0.4, v * 0.3, footprint, rng=rng, octaves=4)
    albedo = ramp(
        0.5 + 0.16 * burn + 0.09 * grain + 0.07 * soot,
        [lighter(colour, -0.17), lighter(colour, -0.04), colour, lighter(colour, 0.10)],
    )
    lime = linear(mixed(colour, np.array([0.78, 0.74, 0.68]), 0.7)) * np.float32(0.75)
    return albedo + mortar[..., None] * (lime - albedo)


def planks(
    u: Field, v: Field, footprint: Field, colour: Colour, *, width: float = 0.14, rng: np.random.Generator
) -> Albedo:
    """Boards along v with grain and gaps between them, each with a shade of its own."""
    board = np.floor(u / width)
    tone = _of_cell(board, np.zeros_like(board), rng=rng)
    wave = noise_at(u * 2.0 + tone, v * 0.5, footprint, rng=rng, octaves=4)
    grain = noise_at(u * 22.0 + wave * 0.8 + 7.0 * tone, v * 0.9, footprint * 22.0, rng=rng, octaves=4)
    gap = _edge(0.004 - _from_edge(u / width) * width, footprint)
    shade = 0.5 + 0.10 * tone + 0.12 * grain + 0.09 * wave
    albedo = ramp(shade, [lighter(colour, -0.18), lighter(colour, -0.05), colour, lighter(colour, 0.10)])
    return albedo * (1.0 - np.float32(0.75) * gap[..., None])


def tiles(
    u: Field, v: Field, footprint: Field, colours: list[Colour], *, size: float = 0.3, rng: np.random.Generator
) -> Albedo:
    """Square tiles in a chequer of two colours, with grout."""
    i, j = np.floor(u / size), np.floor(v / size)
    tone = 0.05 * _of_cell(i, j, rng=rng) + 0.07 * noise_at(u * 3.0, v * 3.0, footprint * 3.0, rng=rng, octaves=5)
    first = ramp(0.5 + tone, [lighter(colours[0], -0.1), colours[0], lighter(colours[0], 0.1)])
    second = ramp(0.5 + tone, [lighter(colours[1], -0.1), colours[1], lighter(colours[1], 0.1)])
    # From far away the two colours average out.
    share = 0.5 + ((i + j) % 2 - 0.5) * np.clip(1.6 - footprint / size * 2.0, 0.0, 1.0)
    grout = _edge(0.005 - np.minimum(_from_edge(u / size), _from_edge(v / size)) * size, footprint)
    albedo = first + share[..., None] * (second - first)
    return albedo * (1.0 - np.float32(0.5) * grout[..., None])


def cobbles(u: Field, v: Field, footprint: Field, colour: Colour, *, rng: np.random.Generator) -> Albedo:
    """Rounded setts in rows, with dark joints between them."""
    size = 0.13
    row = np.floor(v / size)
    along = u / size + 0.5 * (row % 2) + 0.3 * _of_cell(row, row, rng=rng)
    tone = _of_cell(np.floor(along), row, rng=rng)
    dome = 16.0 * (along % 1.0) * (1.0 - along % 1.0) * (v / size % 1.0) * (1.0 - v / size % 1.0)
    near = np.clip(1.5 - footprint / size * 2.5, 0.0, 1.0)
    grain = noise_at(u * 4.0, v * 4.0, footprint * 4.0, rng=rng, octaves=6)
    shade = 0.45 + near * (0.11 * tone + 0.45 * (np.sqrt(np.maximum(dome, 0.0)) - 0.75)) + 0.10 * grain
    return ramp(shade, [lighter(colour, -0.25), lighter(colour, -0.08), colour, lighter(colour, 0.10)])


def ground(u: Field, v: Field, footprint: Field, colours: list[Colour], *, rng: np.random.Generator) -> Albedo:
    """Earth, sand, gravel or asphalt: 1/f^2 through the given colours, dark to light."""
    field = noise_at(u * 0.35, v * 0.35, footprint * 0.35, rng=rng, octaves=10)
    return ramp(0.5 + 0.17 * field, colours)


def _of_cell(i: Field, j: Field, *, rng: np.random.Generator) -> Field:
    """A normal random value for every integer cell."""
    table = rng.standard_normal((61, 67), np.float32)
    return table[i.astype(np.int32) % 61, j.astype(np.int32) % 67]


def _from_edge(x: Field) -> Field:
    """Distance to the nearest integer."""
    return np.abs(x - np.round(x))


def _edge(signed: Field, footprint: Field) -> Field:
    """Coverage of a pixel by the half plane signed > 0."""
    return smoothstep(-0.75, 0.75, signed / footprint) * np.clip(1.5 - footprint / 0.05, 0.15, 1.0)
