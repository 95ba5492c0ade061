"""Glasses, a bottle and a carafe on a bar, in front of a mirror and strings of lights."""

import math

import numpy as np

from blender_scripts.procedural import light, materials, plants
from blender_scripts.procedural.geometry import box, lathe, link, rounded, sphere, tubes


def build(rng: np.random.Generator) -> None:
    light.studio("interior", strength=0.35, turn_deg=rng.uniform(0, 360), seen=(0.01, 0.008, 0.006))
    light.camera((rng.uniform(-0.2, 0.0), -1.25, 1.27), (0.0, 0.4, 1.12), focal_length_mm=48.0)
    light.area((1.2, 0.8), at=(-1.6, -0.4, 2.3), towards=(0, 0.2, 1.0), colour=(1.0, 0.93, 0.85), watts=28.0)
    light.area((0.5, 1.2), at=(1.7, 0.7, 1.8), towards=(0, 0.2, 1.05), colour=(0.75, 0.85, 1.0), watts=14.0)
    top = materials.wood("counter", (0.3, 0.15, 0.07), (0.1, 0.045, 0.02), roughness=0.38, scale=1.4)
    box("counter", (3.4, 0.95, 0.05), top, at=(0, 0.1, 0.95), bevel_m=0.008)
    _back(rng)

    clear, green = materials.glass("clear glass"), materials.glass("green glass", (0.32, 0.62, 0.28))
    water = materials.glass("water", (0.96, 0.985, 1.0), ior=1.33)
    red = materials.glass("red wine", (0.42, 0.015, 0.03), ior=1.34)
    amber = materials.glass("whisky", (0.85, 0.42, 0.08), ior=1.35)
    places = [(-0.3, -0.02), (-0.14, 0.3), (0.06, -0.12), (0.26, 0.05), (0.42, 0.34), (-0.44, 0.36)]
    order = rng.permutation(len(places))
    jitter = rng.uniform(-0.03, 0.03, (len(places), 2))
    spots = [np.array(places[i]) + jitter[i] for i in order]
    _wine_glass(spots[0], clear, red)
    _wine_glass(spots[1], clear, None)
    _tumbler(spots[2], clear, amber)
    _tumbler(spots[3], clear, water)
    _bottle(spots[4], green)
    _carafe(spots[5], clear, water)
    _wine_glass(np.array([-0.33 + rng.uniform(-0.03, 0.03), -0.48]), clear, None)
    _lemons(rng)
    _candle((0.78, -0.02))
    _olives(rng)


def _back(rng: np.random.Generator) -> None:
    """The wall behind the bar: a mirror in a gilded frame, shelves of bottles, strings of small bulbs."""
    wall = materials.tiles(
        "wall",
        (0.05, 0.09, 0.085),
        (0.035, 0.07, 0.07),
        width_m=0.15,
        height_m=0.075,
        offset=0.5,
        grout=(0.12, 0.12, 0.11),
        grout_m=0.003,
        roughness=0.12,
        bump_m=0.0015,
        plane="xz",
    )
    box("wall", (6.0, 0.1, 3.2), wall, at=(0, 1.75, 0), bevel_m=0.0)
    mirror = materials.plain("mirror", (0.92, 0.93, 0.93), roughness=0.015, metallic=1.0, variation=0.0)
    gilt = materials.plain(
        "gilt", (0.72, 0.5, 0.2), roughness=0.35, metallic=1.0, variation=0.35, grain=30.0, bump_m=0.004
    )
    width, height, x, z = 0.95, 0.75, -0.45, 1.2
    box("mirror", (width, 0.01, height), mirror, at=(x, 1.66, z), turn_deg=(-3, 0, 0), bevel_m=0.0)
    for dx, dz, sx, sz in (
        (0, -0.05, width + 0.12, 0.06),
        (0, height - 0.01, width + 0.12, 0.06),
        (-width / 2 - 0.03, -0.05, 0.06, height + 0.1),
        (width / 2 + 0.03, -0.05, 0.06, height + 0.1),
    ):
        box("mirror frame", (sx, 0.05, sz), gilt, at=(x + dx, 1.645, z + dz), turn_deg=(-3, 0, 0), bevel_m=0.015)
    shelf = materials.wood("shelf", (0.24, 0.12, 0.06), (0.08, 0.04, 0.02))
    tones = [
        (0.5, 0.2, 0.03),
        (0.06, 0.25, 0.1),
        (0.35, 0.02, 0.03),
        (0.85, 0.8, 0.7),
        (0.1, 0.15, 0.35),
        (0.7, 0.45, 0.1),
    ]
    label = materials.plain("label", (0.75, 0.7, 0.58), roughness=0.8, variation=0.2, grain=60.0)
    spirits = [materials.plain(f"spirit {i}", tone, roughness=0.08, coat=1.0) for i, tone in enumerate(tones)]
    body = lathe(
        "spirit",
        rounded([(0, 0), (0.038, 0), (0.038, 0.19), (0.015, 0.23), (0.014, 0.3), (0, 0.3)], steps=2),
        segments=20,
    )
    band = lathe("label", [(0.0385, 0.05), (0.0385, 0.13)], segments=20)
    for level in (1.12, 1.52, 1.92):
        box("shelf", (1.4, 0.2, 0.025), shelf, at=(0.92, 1.58, level))
        for sx in np.arange(0.3, 1.6, 0.105):
            size = rng.uniform(0.85, 1.15)
            where = (sx + rng.uniform(-0.01, 0.01), 1.58, level + 0.025)
            link("spirit", body.copy(), spirits[int(rng.integers(len(spirits)))], at=where, scale=size)
            link("label", band, label, at=where, scale=size)
    bulb = sphere("bulb", 0.009)
    glow = materials.light("bulb", (1.0, 0.66, 0.3), 130.0, sampled=False)
    wire = materials.plain("wire", (0.02, 0.02, 0.02))
    for k in range(5):
        t = np.linspace(0, 1, 20)
        path = np.stack(
            [-1.5 + 3.2 * t, 1.45 + 0 * t, 1.42 + 0.24 * k - (0.1 + 0.03 * k) * np.sin(math.pi * 2 * t + k) ** 2],
            axis=1,
        )
        link("wire", tubes("wire", [path], [0.002], sides=4), wire)
        for point in path[1:-1]:
            link("bulb", bulb, glow, at=point + (rng.uniform(-0.02, 0.02), 0, -0.012))
        for point in path[3::6]:  # each for the light of six bulbs
            light.bulb(at=point - (0.0, 0.0, 0.012), colour=(1.0, 0.66, 0.3), watts=2.5)
    # The mirror reflects the far side of the room, with a window and lamps.
    room = materials.plain("room", (0.3, 0.2, 0.14), roughness=0.9, grain=1.5)
    box("far wall", (9.0, 0.1, 3.2), room, at=(0, -4.5, 0), bevel_m=0.0)
    evening = materials.light("evening window", (0.35, 0.5, 0.9), 0.8)
    for x in (-2.4, -1.1):
        box("evening window", (1.0, 0.05, 1.4), evening, at=(x, -4.43, 1.0), bevel_m=0.0)
    shade = materials.light("lampshade", (1.0, 0.6, 0.28), 3.0)
    for x, y in ((0.9, -3.6), (2.0, -3.9), (-0.2, -4.1)):
        link("lampshade", lathe("lampshade", [(0.08, 0.2), (0.16, 0.0)]), shade, at=(x, y, 1.75))
    for x in (-0.9, 0.0, 0.9):
        light.bulb(at=(x, 1.3, 1.6), colour=(1.0, 0.66, 0.3), watts=3.0)


def _vessel(name, outer, wall, material, at, *, base) -> None:
    """A glass of revolution with walls of constant thickness. Its outline goes up outside and back down inside."""
    inner = [(max(r - wall, 0.0), z) for r, z in reversed(outer) if z > base]
    profile = [*outer, *inner, (0.0, base)]
    link(name, lathe(name, profile, segments=64), material, at=(*at, 1.0))


def _filled(name, radius_at, low, high, material, at) -> None:
    """Liquid that ends just inside the wall of the glass."""
    z = np.linspace(low, high, 14)
    profile = [(0.0, low), *[(radius_at(v), v) for v in z], (0.0, high)]
    link(name, lathe(name, profile, segments=64), material, at=(*at, 1.0))


def _wine_glass(at, glass, wine) -> None:
    z = np.linspace(0.095, 0.215, 16)

    def bowl(v):
        return 0.041 * math.sin(math.pi * min(1.0, 0.06 + 0.71 * (v - 0.095) / 0.12)) ** 0.62

    foot = rounded(
        [(0.0, 0.0), (0.036, 0.0), (0.036, 0.003), (0.006, 0.009), (0.0042, 0.03), (0.0042, 0.085), (0.008, 0.094)],
        steps=2,
    )
    _vessel("wine glass", [*foot, *[(bowl(v), v) for v in z]], 0.0013, glass, at, base=0.0965)
    if wine is not None:
        _filled("wine", lambda v: bowl(v) - 0.0016, 0.0985, 0.148, wine, at)


def _tumbler(at, glass, drink) -> None:
    outer = [(0.0, 0.0), (0.034, 0.0), (0.036, 0.003), (0.04, 0.095)]
    _vessel("tumbler", outer, 0.0022, glass, at, base=0.012)
    _filled("drink", lambda v: 0.0365 + 0.042 * (v - 0.003) - 0.0027, 0.0125, 0.05, drink, at)


def _bottle(at, glass) -> None:
    outer = rounded(
        [
            (0.0, 0.0),
            (0.037, 0.0),
            (0.0375, 0.02),
            (0.0375, 0.19),
            (0.03, 0.225),
            (0.0145, 0.25),
            (0.014, 0.31),
            (0.0155, 0.312),
            (0.0155, 0.325),
        ],
        steps=2,
    )
    _vessel("bottle", outer, 0.003, glass, at, base=0.01)
    paper = materials.plain("bottle label", (0.8, 0.76, 0.65), roughness=0.8, variation=0.12, grain=90.0)
    link("bottle label", lathe("bottle label", [(0.0379, 0.06), (0.0379, 0.15)]), paper, at=(*at, 1.0))


def _carafe(at, glass, water) -> None:
    outer = rounded(
        [(0.0, 0.0), (0.05, 0.0), (0.062, 0.03), (0.056, 0.1), (0.026, 0.16), (0.026, 0.2), (0.036, 0.225)], steps=3
    )
    _vessel("carafe", outer, 0.0024, glass, at, base=0.008)
    radius, height = np.array([r for r, _ in outer]), np.array([z for _, z in outer])
    _filled("water", lambda v: float(np.interp(v, height, radius)) - 0.003, 0.0085, 0.105, water, at)


def _lemons(rng: np.random.Generator) -> None:
    skin = materials.plain(
        "lemon", (0.83, 0.6, 0.06), roughness=0.4, variation=0.15, grain=30.0, bump_m=0.001, bump_scale=500.0
    )
    for x, y in ((0.18, 0.1), (0.255, 0.13), (-0.04, 0.02)):
        body = lathe(
            "lemon",
            [(0.028 * math.sin(a) ** 0.8, -0.036 * math.cos(a)) for a in np.linspace(0, math.pi, 17)],
            segments=32,
        )
        link(
            "lemon",
            body,
            skin,
            at=(x + rng.uniform(-0.015, 0.015), y, 1.028),
            turn_deg=(90, rng.uniform(0, 30), rng.uniform(0, 180)),
        )
    board = materials.wood("board", (0.5, 0.33, 0.18), (0.28, 0.16, 0.08), scale=2.0)
    box("board", (0.32, 0.16, 0.016), board, at=(0.0, -0.32, 1.0), turn_deg=(0, 0, rng.uniform(-12, 12)), bevel_m=0.005)
    mint = materials.leaf("mint", (0.03, 0.12, 0.02), (0.1, 0.3, 0.06))
    points = np.array([0.0, -0.32, 1.025]) + rng.normal(0.0, (0.03, 0.015, 0.006), (26, 3))
    plants.leaves("mint", points, 0.03, mint, width=1.3, rng=rng)


def _candle(at) -> None:
    wax = materials.plain("wax", (0.85, 0.78, 0.65), roughness=0.5)
    flame = materials.light("flame", (1.0, 0.6, 0.2), 60.0, sampled=False)
    link(
        "candle",
        lathe("candle", rounded([(0, 0), (0.03, 0), (0.03, 0.1), (0.02, 0.1), (0.0, 0.096)], steps=2)),
        wax,
        at=(*at, 1.0),
    )
    drop = [
        (0.0055 * math.sin(a) * (1 - 0.35 * math.cos(a)), -0.016 * math.cos(a)) for a in np.linspace(math.pi, 0, 13)
    ]
    link("flame", lathe("flame", drop, segments=16), flame, at=(*at, 1.125))
    light.bulb(at=(*at, 1.13), colour=(1.0, 0.6, 0.2), watts=1.5, radius_m=0.01)


def _olives(rng: np.random.Generator) -> None:
    """A small bowl of olives, close to the lens."""
    dish = rounded([(0.0, 0.0), (0.03, 0.0), (0.055, 0.02), (0.066, 0.04)], steps=3)
    glaze = materials.plain("glaze", (0.7, 0.72, 0.7), roughness=0.12, coat=1.0, variation=0.1)
    at = (0.2 + rng.uniform(-0.03, 0.03), -0.4)
    body = link("dish", lathe("dish", dish), glaze, at=(*at, 1.0))
    body.modifiers.new("thick", "SOLIDIFY").thickness = 0.003
    skin = materials.plain("olive", (0.16, 0.2, 0.04), roughness=0.25, variation=0.3, grain=60.0)
    olive = sphere("olive", 0.0085, squash=1.29)
    for k in range(26):
        angle, radius = rng.uniform(0, 2 * math.pi), 0.045 * math.sqrt(rng.uniform())
        z = 1.018 + 0.012 * (k > 15) + 0.18 * radius
        link(
            "olive",
            olive,
            skin,
            at=(at[0] + radius * math.cos(angle), at[1] + radius * math.sin(angle), z),
            turn_deg=tuple(rng.uniform(0, 180, 3)),
        )
