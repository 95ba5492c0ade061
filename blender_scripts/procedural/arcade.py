"""A long arcade: floor, wall and ceiling extend smoothly from the lens to far away, with evenly spaced columns."""

import math

import numpy as np

from blender_scripts.procedural import figures, light, materials, plants
from blender_scripts.procedural.geometry import box, lathe, link, mesh, rounded, sphere, tubes

_BAY = 2.6
_BAYS = 11
_WIDTH = 3.2
_HEIGHT = 3.6


def build(rng: np.random.Generator) -> None:
    light.sky(
        sun_elevation_deg=rng.uniform(28, 40), sun_azimuth_deg=rng.uniform(62, 80), exposure=1.9, clouds=0.2, rng=rng
    )
    light.camera((rng.uniform(-0.5, 0.1), 0.0, 1.5), (0.25, 12.0, 1.42), focal_length_mm=32.0)
    warm = rng.uniform(0.9, 1.0)
    plaster = materials.plain(
        "plaster", (0.72, 0.62 * warm, 0.46 * warm), roughness=0.9, variation=0.25, grain=1.6, bump_m=0.004
    )
    stone = materials.plain(
        "stone", (0.62, 0.58, 0.5), roughness=0.7, variation=0.3, grain=7.0, bump_m=0.006, bump_scale=60.0
    )
    floor = materials.tiles(
        "floor",
        (0.5, 0.36, 0.26),
        (0.3, 0.2, 0.15),
        width_m=0.4,
        height_m=0.4,
        offset=0.0,
        grout=(0.22, 0.2, 0.18),
        roughness=0.32,
        bump_m=0.003,
    )
    length = _BAY * _BAYS
    box("floor", (_WIDTH + 1.2, length + 6.0, 0.2), floor, at=(0.3, length / 2 - 2.0, -0.2), bevel_m=0.0)
    box("inner wall", (0.4, length + 6.0, _HEIGHT), plaster, at=(-_WIDTH / 2 - 0.2, length / 2 - 2.0, 0.0), bevel_m=0.0)
    box("end wall", (_WIDTH + 2.0, 0.4, _HEIGHT), plaster, at=(0.0, length + 1.0, 0.0), bevel_m=0.0)
    box("ceiling", (_WIDTH + 1.4, length + 6.0, 0.3), plaster, at=(0.2, length / 2 - 2.0, _HEIGHT), bevel_m=0.0)
    beam = materials.wood("beam", (0.22, 0.13, 0.07), (0.09, 0.05, 0.03), axis=0)
    for y in np.arange(0.3, length, _BAY / 2):
        box("beam", (_WIDTH + 0.6, 0.16, 0.22), beam, at=(0.1, y, _HEIGHT - 0.21), bevel_m=0.015)

    column = lathe(
        "column",
        rounded(
            [
                (0.0, 0.0),
                (0.26, 0.0),
                (0.26, 0.1),
                (0.2, 0.14),
                (0.19, 0.2),
                (0.165, 2.1),
                (0.19, 2.2),
                (0.26, 2.26),
                (0.26, 2.36),
                (0.0, 2.36),
            ],
            steps=2,
        ),
    )
    arch = _arch_mesh(0.42)
    for i in range(-1, _BAYS + 1):
        y = i * _BAY + 0.9
        link("column", column, stone, at=(_WIDTH / 2, y, 0.0))
        box("plinth", (0.6, 0.6, 0.12), stone, at=(_WIDTH / 2, y, 0.0), bevel_m=0.015)
        link("arch", arch, plaster, at=(_WIDTH / 2, y, 2.36))
    _doors(rng, plaster, stone)
    _outside(rng, length)
    _lanterns()
    figures.walker((0.42 + rng.uniform(-0.1, 0.1), 2.3, 0.0), 1.72, rng, umbrella=False)
    terracotta = materials.plain("terracotta", (0.5, 0.2, 0.1), roughness=0.8, variation=0.3)
    green = materials.leaf("laurel", (0.02, 0.07, 0.012), (0.08, 0.2, 0.03))
    pot = lathe(
        "pot",
        rounded(
            [(0.0, 0.0), (0.16, 0.0), (0.24, 0.4), (0.27, 0.4), (0.27, 0.46), (0.22, 0.46), (0.2, 0.4), (0.0, 0.4)],
            steps=2,
        ),
    )
    for y in (3.2, 8.6, 13.8):
        link("pot", pot, terracotta, at=(-_WIDTH / 2 + 0.36, y, 0.0))
        plants.bush(
            "laurel", (-_WIDTH / 2 + 0.36, y, 0.42), (0.3, 0.3, 0.75), green, leaf_m=0.08, leaf_count=900, rng=rng
        )


def _arch_mesh(thickness: float):
    """The wall above the round arch between two columns, springing at height 0, up to the ceiling."""
    radius, top = _BAY / 2 - 0.19, _HEIGHT - 2.36
    angle = np.linspace(math.pi, 0.0, 25)
    round_ = [(_BAY / 2 + radius * math.cos(a), 0.82 * radius * math.sin(a)) for a in angle]
    upper = [(0.0, top), *[(x, top) for x, _ in round_], (_BAY, top)]
    lower = [(0.0, 0.0), *round_, (_BAY, 0.0)]
    n = len(lower)
    vertices, faces = [], []
    for x in (-thickness / 2, thickness / 2):
        vertices += [(x, u, v) for u, v in lower] + [(x, u, v) for u, v in upper]
    for k in range(n - 1):
        a, b = k, k + 1
        faces += [(a, b, n + b, n + a), (2 * n + b, 2 * n + a, 3 * n + a, 3 * n + b), (b, a, 2 * n + a, 2 * n + b)]
    return mesh("arch", vertices, faces)


def _doors(rng: np.random.Generator, plaster, stone) -> None:
    """Doors in the inner wall, and one at the end."""
    for i, y in enumerate(np.arange(2.2, 26.0, 2 * _BAY)):
        colour = [(0.05, 0.13, 0.12), (0.25, 0.06, 0.04), (0.08, 0.1, 0.2)][int(rng.integers(3))]
        painted = materials.plain(f"door {i}", colour, roughness=0.35, variation=0.3)
        box("frame", (0.12, 1.24, 2.32), stone, at=(-_WIDTH / 2 + 0.02, y, 0.0), bevel_m=0.012)
        box("door", (0.08, 1.0, 2.2), painted, at=(-_WIDTH / 2 + 0.05, y, 0.0), bevel_m=0.008)
        for z in (0.25, 1.2):
            box("panel", (0.05, 0.74, 0.8), painted, at=(-_WIDTH / 2 + 0.09, y, z), bevel_m=0.02)
    end = materials.plain("end door", (0.3, 0.08, 0.05), roughness=0.4, variation=0.3)
    box("end frame", (1.5, 0.12, 2.5), stone, at=(0.1, _BAY * _BAYS + 0.78, 0.0))
    box("end door", (1.2, 0.12, 2.35), end, at=(0.1, _BAY * _BAYS + 0.74, 0.0))


def _outside(rng: np.random.Generator, length: float) -> None:
    lawn = materials.ground("lawn", (0.04, 0.08, 0.015), (0.14, 0.2, 0.05), scale=2.0)
    box("lawn", (60.0, length + 30.0, 0.1), lawn, at=(32.2, length / 2, -0.25), bevel_m=0.0)
    green = materials.leaf("shrub", (0.02, 0.06, 0.01), (0.12, 0.2, 0.04))
    for y in np.arange(2.0, length + 25.0, 3.5):
        r = rng.uniform(2.2, 3.4)
        plants.bush(
            "hedge", (rng.uniform(20.0, 24.0), y, -0.3), (r, r, 1.3 * r), green, leaf_m=0.35, leaf_count=1200, rng=rng
        )
    for _ in range(14):
        x, y, r = rng.uniform(5.0, 16.0), rng.uniform(3.0, length + 6.0), rng.uniform(0.6, 1.6)
        plants.bush("shrub", (x, y, -0.2), (r, r, 1.2 * r), green, leaf_m=0.13, leaf_count=1500, rng=rng)


def _lanterns() -> None:
    iron = materials.plain("iron", (0.02, 0.02, 0.02), roughness=0.4, metallic=1.0)
    glow = materials.light("lantern", (1.0, 0.72, 0.4), 9.0, sampled=False)
    globe = sphere("globe", 0.09)
    for i in range(_BAYS):
        y = (i + 0.5) * _BAY + 0.9
        chain = np.array([(0.0, y, _HEIGHT), (0.0, y, _HEIGHT - 0.3), (0.0, y, _HEIGHT - 0.6)])
        link("chain", tubes("chain", [chain], [0.008]), iron)
        link("globe", globe, glow, at=(0.0, y, _HEIGHT - 0.68))
