"""A living room with two windows: sofa, table, shelves, plant and lamp, a garden in the sun outside."""

import math

import numpy as np

from blender_scripts.procedural import light, materials, plants
from blender_scripts.procedural.geometry import bevel, box, lathe, link, rounded, smoothed, sphere, terrain, tubes

_X, _Y, _Z = 2.7, 5.6, 2.7  # half width, depth, height


def build(rng: np.random.Generator) -> None:
    light.sky(
        sun_elevation_deg=rng.uniform(32, 44), sun_azimuth_deg=rng.uniform(-65, -40), exposure=3.6, clouds=0.3, rng=rng
    )
    light.camera((rng.uniform(1.0, 1.5), -0.3, 1.25), (-0.5, 4.2, 0.98), focal_length_mm=27.0)
    # A third window behind the camera.
    light.area((2.4, 1.6), at=(0.6, -2.0, 1.7), towards=(-0.4, 4.0, 0.8), colour=(0.86, 0.92, 1.0), watts=190.0)
    _shell(rng)
    _window(-0.95)
    _window(1.25)
    _sofa(rng)
    _table(rng)
    _shelves(rng)
    _plant(rng)
    _lamp()
    _near_chair(rng)
    _pictures(rng)
    _garden(rng)


def _shell(rng: np.random.Generator) -> None:
    wall = materials.plain(
        "wall",
        (0.78, 0.74 * rng.uniform(0.92, 1.0), 0.64),
        roughness=0.9,
        grain=1.2,
        variation=0.08,
        bump_m=0.0015,
        bump_scale=60.0,
    )
    white = materials.plain("white paint", (0.8, 0.79, 0.76), roughness=0.5, variation=0.04)
    plank = materials.wood("floorboards", (0.42, 0.25, 0.13), (0.22, 0.11, 0.05), roughness=0.3, axis=1)
    # A floor below hides the sky that would be visible through the gaps between boards.
    below = materials.plain("subfloor", (0.02, 0.015, 0.01), roughness=0.9)
    box("subfloor", (2 * _X, _Y + 3.5, 0.05), below, at=(0, _Y / 2 - 1.0, -0.08), bevel_m=0)
    for k, x in enumerate(np.arange(-_X, _X, 0.14)):
        y = -1.5 - (k * 0.37) % 1.6
        while y < _Y:
            box("board", (0.137, 1.597, 0.02), plank, at=(x + 0.07, y + 0.8, -0.02), bevel_m=0.0015)
            y += 1.6
    box("left wall", (0.2, _Y + 3.0, _Z), wall, at=(-_X - 0.1, _Y / 2 - 1.0, 0), bevel_m=0)
    box("right wall", (0.2, _Y + 3.0, _Z), wall, at=(_X + 0.1, _Y / 2 - 1.0, 0), bevel_m=0)
    box("rear wall", (2 * _X, 0.2, _Z), wall, at=(0, -2.2, 0), bevel_m=0)
    box("ceiling", (2 * _X + 0.4, _Y + 3.0, 0.2), white, at=(0, _Y / 2 - 1.0, _Z), bevel_m=0)
    for x0, x1 in ((-_X, -1.65), (-0.25, 0.55), (1.95, _X)):
        box("window wall", (x1 - x0, 0.3, _Z), wall, at=((x0 + x1) / 2, _Y + 0.15, 0), bevel_m=0)
    for x in (-0.95, 1.25):
        box("below", (1.4, 0.3, 0.75), wall, at=(x, _Y + 0.15, 0), bevel_m=0)
        box("above", (1.4, 0.3, 0.4), wall, at=(x, _Y + 0.15, 2.3), bevel_m=0)
    for x in (-_X + 0.01, _X - 0.01):
        box("skirting", (0.03, _Y + 2.0, 0.11), white, at=(x, _Y / 2 - 1.0, 0))
    box("skirting", (2 * _X, 0.03, 0.11), white, at=(0, _Y - 0.01, 0))
    rug = materials.fabric("rug", (0.4, 0.07, 0.05), second=(0.55, 0.45, 0.3), stripes_per_m=4.5)
    box("rug", (2.3, 1.7, 0.015), rug, at=(-0.4, 3.1, 0), turn_deg=(0, 0, rng.uniform(-6, 6)), bevel_m=0.006)


def _window(x: float) -> None:
    white = materials.plain("window paint", (0.82, 0.81, 0.78), roughness=0.4, variation=0.04)
    for dx in (-0.68, 0.0, 0.68):
        box("upright", (0.06, 0.06, 1.55), white, at=(x + dx, _Y + 0.14, 0.75))
    for z in (0.75, 1.75, 2.25):
        box("bar", (1.4, 0.055, 0.05), white, at=(x, _Y + 0.14, z))
    box("sill", (1.55, 0.3, 0.04), white, at=(x, _Y + 0.0, 0.71))
    cloth = materials.fabric("curtain", (0.72, 0.68, 0.6), sheen=0.1)
    rod = materials.plain("rod", (0.3, 0.2, 0.1), roughness=0.3, metallic=0.8)
    link(
        "rod",
        tubes(
            "rod",
            [np.array([(x - 1.0, _Y - 0.12, 2.42), (x, _Y - 0.12, 2.42), (x + 1.0, _Y - 0.12, 2.42)])],
            [0.015],
            sides=10,
        ),
        rod,
    )
    for side in (-1, 1):
        u = np.linspace(0.0, 1.0, 50)

        def fold(a, v, side=side):
            return 0.04 * np.sin(a * 40 + 2 * np.sin(3 * v)) * (0.4 + v)

        data = terrain("curtain", (0.0, 1.0), (0.0, 1.0), lambda a, v: fold(a, v), steps=len(u))
        # A height field over the unit square, placed vertically: u across, v down.
        obj = link(
            "curtain", data, cloth, at=(x + side * (0.95 if side < 0 else 0.55), _Y - 0.13, 2.4), turn_deg=(-90, 0, 0)
        )
        obj.scale = (0.4, 2.3, 1.0)


def _cushion(size, at, turn, cloth) -> None:
    obj = box("cushion", size, cloth, at=at, turn_deg=turn, bevel_m=0.0)
    bevel(obj, 0.3 * min(size), segments=3)
    smoothed(obj, 1)


def _sofa(rng: np.random.Generator) -> None:
    colour = [(0.08, 0.17, 0.2), (0.2, 0.22, 0.13), (0.3, 0.12, 0.08)][int(rng.integers(3))]
    cloth = materials.fabric("sofa", colour)
    x = -_X + 0.55
    box("sofa base", (0.85, 2.1, 0.25), cloth, at=(x, 3.1, 0.12), bevel_m=0.04)
    for y in (2.6, 3.6):
        _cushion((0.75, 0.98, 0.18), (x + 0.06, y, 0.36), (0, 0, 0), cloth)
        _cushion((0.2, 0.95, 0.5), (x - 0.28, y, 0.45), (0, -12, 0), cloth)
    for y in (2.02, 4.18):
        _cushion((0.85, 0.2, 0.55), (x, y, 0.12), (0, 0, 0), cloth)
    for k, tone in enumerate([(0.75, 0.5, 0.08), (0.7, 0.66, 0.58), (0.45, 0.1, 0.06)]):
        pillow = materials.fabric(
            f"pillow {k}", tone, second=(0.75, 0.72, 0.65) if k == 2 else None, stripes_per_m=18.0
        )
        _cushion(
            (0.16, 0.42, 0.4), (x - 0.06, 2.3 + 0.62 * k, 0.53), (rng.uniform(-8, 8), -18, rng.uniform(-15, 15)), pillow
        )


def _table(rng: np.random.Generator) -> None:
    oak = materials.wood("oak", (0.5, 0.31, 0.16), (0.3, 0.16, 0.07), roughness=0.3, axis=1)
    box("table top", (0.65, 1.15, 0.035), oak, at=(-0.35, 3.1, 0.4), bevel_m=0.008)
    for dx in (-0.27, 0.27):
        for dy in (-0.5, 0.5):
            box("leg", (0.045, 0.045, 0.4), oak, at=(-0.35 + dx, 3.1 + dy, 0), bevel_m=0.006)
    z = 0.435
    for k in range(3):
        cover = materials.fabric(f"book {k}", tuple(rng.uniform(0.05, 0.5, 3)))
        box("book", (0.2, 0.27, 0.03), cover, at=(-0.42, 2.82, z), turn_deg=(0, 0, rng.uniform(-20, 20)))
        z += 0.031
    glaze = materials.plain("vase", (0.12, 0.25, 0.33), roughness=0.15, coat=0.8)
    vase = lathe("vase", rounded([(0.0, 0.0), (0.05, 0.0), (0.085, 0.1), (0.03, 0.2), (0.045, 0.25)], steps=3))
    link("vase", vase, glaze, at=(-0.3, 3.3, 0.435)).modifiers.new("thick", "SOLIDIFY").thickness = 0.004
    petal, heart = (
        materials.leaf("tulip", (0.6, 0.05, 0.06), (0.85, 0.25, 0.15)),
        materials.plain("heart", (0.7, 0.45, 0.05)),
    )
    stem = materials.leaf("stem", (0.04, 0.15, 0.03), (0.1, 0.25, 0.06))
    for _ in range(9):
        plants.flower(
            "flower",
            (-0.3 + rng.normal(0, 0.01), 3.3 + rng.normal(0, 0.01), 0.6),
            rng.uniform(0.22, 0.34),
            petal,
            heart,
            stem,
            petals=10,
            petal_m=0.045,
            facing=(rng.normal(0, 0.6), rng.normal(-0.3, 0.6), 1.0),
            rng=rng,
        )
    bowl = lathe("bowl", rounded([(0.0, 0.0), (0.05, 0.0), (0.11, 0.04), (0.125, 0.07)], steps=3))
    link("bowl", bowl, glaze, at=(-0.4, 3.52, 0.435)).modifiers.new("thick", "SOLIDIFY").thickness = 0.004
    peel = materials.plain("orange", (0.85, 0.32, 0.02), roughness=0.45, variation=0.1, bump_m=0.0008, bump_scale=700.0)
    ball = sphere("orange", 0.038, squash=0.947)
    for dx, dy, dz in ((-0.045, -0.03, 0.05), (0.045, -0.025, 0.05), (0.0, 0.05, 0.05), (0.0, 0.0, 0.11)):
        link("orange", ball, peel, at=(-0.4 + dx, 3.52 + dy, 0.435 + dz))


def _shelves(rng: np.random.Generator) -> None:
    """Shelves full of books along the right wall."""
    wood = materials.wood("shelf", (0.33, 0.2, 0.1), (0.16, 0.08, 0.04), axis=1)
    x, y0, y1 = _X - 0.16, 2.6, 5.2
    for z in (0.05, 0.42, 0.79, 1.16, 1.53, 1.9):
        box("shelf", (0.28, y1 - y0, 0.025), wood, at=(x, (y0 + y1) / 2, z))
    for y in (y0, (y0 + y1) / 2, y1):
        box("side", (0.28, 0.025, 1.9), wood, at=(x, y, 0.03))
    covers = [
        materials.fabric(
            f"spine {k}", tuple(np.clip(rng.uniform(0.03, 0.45) * rng.uniform(0.3, 1.3, 3), 0.02, 0.8)), sheen=0.1
        )
        for k in range(12)
    ]
    for z in (0.075, 0.445, 0.815, 1.185, 1.555):
        y = y0 + 0.03
        while y < y1 - 0.08:
            if rng.uniform() < 0.06:
                y += rng.uniform(0.08, 0.2)
                continue
            t = rng.uniform(0.015, 0.05)
            box(
                "book",
                (0.2, t, rng.uniform(0.2, 0.3)),
                covers[int(rng.integers(12))],
                at=(x - rng.uniform(0, 0.02), y + t / 2, z),
                turn_deg=(rng.uniform(-1.5, 1.5), 0, 0),
                bevel_m=0.003,
            )
            y += t + 0.002


def _plant(rng: np.random.Generator) -> None:
    pot = materials.plain("pot", (0.7, 0.68, 0.63), roughness=0.5)
    green = materials.leaf("rubber plant", (0.01, 0.06, 0.015), (0.06, 0.18, 0.04))
    at = np.array([0.15, 5.15, 0.0])
    link(
        "pot",
        lathe("pot", rounded([(0, 0), (0.14, 0), (0.18, 0.32), (0.165, 0.32), (0.15, 0.26), (0, 0.26)], steps=2)),
        pot,
        at=at,
    )
    stems = [
        plants.branch(
            at + (0, 0, 0.25), rng.normal(0, 0.25, 3) + (0, 0, 1), rng.uniform(0.8, 1.5), wander=0.07, rise=0.2, rng=rng
        )
        for _ in range(6)
    ]
    link("stems", tubes("stems", stems, [0.008] * 6, sides=6), plants.bark("stem"))
    points = np.concatenate([np.repeat(stem[2:], 5, axis=0) for stem in stems])
    plants.leaves("rubber plant", points + rng.normal(0, 0.04, points.shape), 0.22, green, width=1.1, rng=rng)


def _lamp() -> None:
    brass = materials.plain("brass", (0.65, 0.45, 0.18), roughness=0.3, metallic=1.0)
    x, y = -_X + 0.4, 4.85
    link("pole", tubes("pole", [np.array([(x, y, 0.0), (x, y, 0.8), (x, y, 1.6)])], [0.012], sides=10), brass)
    link("foot", lathe("foot", rounded([(0, 0), (0.14, 0), (0.14, 0.02), (0, 0.03)], steps=2)), brass, at=(x, y, 0))
    shade = materials.light("lampshade", (1.0, 0.7, 0.42), 1.6)
    link("lampshade", lathe("lampshade", [(0.13, 0.3), (0.22, 0.0)]), shade, at=(x, y, 1.5))


def _near_chair(rng: np.random.Generator) -> None:
    """The back of a chair close to the lens, with turned spindles and a bent rail."""
    wood = materials.wood("chair", (0.12, 0.06, 0.03), (0.05, 0.025, 0.012), roughness=0.3, axis=2)
    x0, y = rng.uniform(0.5, 0.7), 0.75
    paths, radii = [], []
    for k in range(6):
        x = x0 + 0.075 * k
        z = np.linspace(0.45, 0.98, 8)
        paths.append(np.stack([x + 0 * z, y - 0.12 * (z - 0.45), z], axis=1))
        radii.append(0.008 + 0.004 * np.sin(np.linspace(0, math.pi, 8)))
    bow = np.linspace(-0.1, 1.1, 13)
    paths.append(
        np.stack(
            [
                x0 + 0.375 * bow,
                y - 0.06 - 0.05 * np.sin(math.pi * bow),
                0.98 + 0.05 * np.sin(math.pi * np.clip(bow, 0, 1)),
            ],
            axis=1,
        )
    )
    radii.append(np.full(13, 0.022))
    link("chair back", tubes("chair back", paths, radii, sides=10), wood)
    box("chair seat", (0.45, 0.42, 0.03), wood, at=(x0 + 0.19, y + 0.2, 0.43), bevel_m=0.01)


def _pictures(rng: np.random.Generator) -> None:
    frame = materials.wood("picture frame", (0.1, 0.06, 0.03), (0.04, 0.02, 0.01))
    for y, z, w, h in ((2.4, 1.35, 0.5, 0.65), (3.1, 1.45, 0.6, 0.45), (3.85, 1.3, 0.5, 0.7)):
        box("picture frame", (0.03, w, h), frame, at=(-_X + 0.015, y, z))
        paint = materials.ground(
            "painting", tuple(rng.uniform(0.02, 0.3, 3)), tuple(rng.uniform(0.3, 0.8, 3)), scale=1.8, bump_m=0.001
        )
        box("painting", (0.02, w - 0.08, h - 0.08), paint, at=(-_X + 0.024, y, z + 0.04), bevel_m=0)


def _garden(rng: np.random.Generator) -> None:
    lawn = materials.ground("lawn", (0.05, 0.1, 0.02), (0.16, 0.24, 0.06), scale=2.0)
    box("lawn", (60.0, 40.0, 0.1), lawn, at=(0, _Y + 21.0, -0.4), bevel_m=0)
    hedge = materials.leaf("hedge", (0.03, 0.08, 0.015), (0.16, 0.26, 0.05))
    for x in np.arange(-12.0, 12.0, 1.9):
        r = rng.uniform(1.1, 1.5)
        plants.bush(
            "hedge",
            (x, _Y + 12.0 + rng.uniform(-1, 1), -0.4),
            (r, r, 1.3 * r),
            hedge,
            leaf_m=0.16,
            leaf_count=1300,
            rng=rng,
        )
    plants.tree("tree", (-2.6, _Y + 7.5, -0.4), 5.0, plants.bark(), hedge, leaf_m=0.14, leaf_count=5000, rng=rng)
    plants.tree("tree", (3.4, _Y + 10.0, -0.4), 6.0, plants.bark(), hedge, leaf_m=0.15, leaf_count=5000, rng=rng)
