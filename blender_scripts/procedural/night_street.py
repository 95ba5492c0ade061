"""A street at night after rain: lamps, shop windows, cars and strings of bulbs, reflected in wet asphalt."""

import math

import numpy as np

from blender_scripts.procedural import figures, light, materials, shops
from blender_scripts.procedural.geometry import box, lathe, link, sphere, text, tubes

_ROAD = 7.0  # between the kerbs
_PAVEMENT = 2.6


def build(rng: np.random.Generator) -> None:
    light.dark_sky((0.004, 0.006, 0.014), (0.02, 0.018, 0.03))
    light.camera((rng.uniform(-3.9, -3.3), 0.0, 1.45), (rng.uniform(-0.6, 0.4), 20.0, 1.9), focal_length_mm=42.0)
    asphalt = materials.ground("asphalt", (0.012, 0.012, 0.013), (0.05, 0.05, 0.052), scale=2.2, bump_m=0.006, wet=0.62)
    slab = materials.tiles(
        "slabs",
        (0.1, 0.095, 0.09),
        (0.07, 0.068, 0.066),
        width_m=0.5,
        height_m=0.5,
        offset=0.5,
        grout=(0.02, 0.02, 0.02),
        roughness=0.35,
    )
    kerb = materials.plain("kerb", (0.16, 0.155, 0.15), roughness=0.6, grain=5.0)
    box("road", (_ROAD, 140.0, 0.2), asphalt, at=(0, 60, -0.2), bevel_m=0.0)
    for side in (-1, 1):
        box("pavement", (_PAVEMENT, 140.0, 0.3), slab, at=(side * (_ROAD + _PAVEMENT) / 2, 60, -0.16), bevel_m=0.0)
        box("kerb", (0.14, 140.0, 0.3), kerb, at=(side * _ROAD / 2, 60, -0.15), bevel_m=0.02)
        _houses(rng, side)
        _lamps(side)
    paint = materials.plain("road paint", (0.5, 0.5, 0.47), roughness=0.5, variation=0.4, grain=12.0)
    for y in np.arange(3.0, 90.0, 4.0):
        box("dash", (0.12, 1.8, 0.004), paint, at=(0, y, 0.001), bevel_m=0.0)
    _strings(rng)
    _bollards()
    figures.walker((-2.95 + rng.uniform(-0.15, 0.15), 2.3, 0.0), 1.62, rng, umbrella=True)
    for y, x, leaving in (
        (9.5, 1.9, True),
        (17.0, -1.6, False),
        (26.0, 1.8, True),
        (38.0, -1.7, False),
        (55.0, 1.8, True),
    ):
        car(rng, (x + rng.uniform(-0.2, 0.2), y + rng.uniform(-1.5, 1.5)), leaving=leaving)
    for y in (6.5, 13.5, 21.0):
        car(rng, (_ROAD / 2 - 0.95, y + rng.uniform(-0.4, 0.4)), leaving=True, parked=True)


def _houses(rng: np.random.Generator, side: int) -> None:
    """A row of facades with lit windows above open bars, tea rooms and shops."""
    y = -6.0
    pane = shops.pane()
    while y < 110.0:
        width, floors = rng.uniform(7.0, 12.0), int(rng.integers(3, 6))
        wall = tuple(rng.uniform(0.05, 0.16) * np.array([1.0, rng.uniform(0.75, 0.95), rng.uniform(0.6, 0.9)]))
        facade = materials.windows_at_night(
            f"facade {side} {y:.0f}",
            wall,
            lit_share=rng.uniform(0.25, 0.5),
            width_m=rng.uniform(1.5, 2.1),
            height_m=3.1,
            strength=rng.uniform(0.5, 1.1),
        )
        x = side * (_ROAD / 2 + _PAVEMENT)
        # The facade material is in the object's xz plane, so the object is rotated to face the street.
        box(
            "house",
            (width, 8.0, 3.4 + 3.1 * floors),
            facade,
            at=(x + side * 4.0, y + width / 2, 3.1),
            turn_deg=(0, 0, 90.0 * side),
            bevel_m=0.05,
        )
        glow = np.array([1.0, rng.uniform(0.68, 0.95), rng.uniform(0.4, 0.85)])
        front = shops.Front((x, y + width / 2, 0.12), side, width)
        _room(rng, front, tuple(glow), pane, is_near=y < 40.0)
        neon = materials.light(
            "neon",
            tuple(np.roll((1.0, rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.9)), rng.integers(3))),
            6.0,
            sampled=False,
        )
        body = ["HOTEL", "CAFE", "BOOKS", "BAR", "PIZZA", "CINEMA", "TEA", "JAZZ"][int(rng.integers(8))]
        text(
            "neon",
            body,
            0.6,
            neon,
            at=(x - side * 0.06, y + width / 2, 2.86),
            turn_deg=(90, 0, -90.0 * side),
            depth_m=0.04,
        )
        y += width + 0.05


def _room(rng: np.random.Generator, front: shops.Front, glow, pane, *, is_near: bool) -> None:
    """The room behind one front. Far rooms have only walls and lamps."""
    width, high, deep = front.width, 3.0, 3.2
    paint = tuple(rng.permutation([0.12, 0.05, 0.03]))
    frame = materials.plain("shop frame", paint, roughness=0.35, coat=0.3)
    walls = materials.plain("shop wall", (0.4, 0.34, 0.27), roughness=0.9)
    floor = materials.wood("shop floor", (0.2, 0.11, 0.06), (0.1, 0.05, 0.03), axis=1)
    back = materials.lit_wall("lit wall", glow, rng.uniform(0.7, 1.4))
    box("shop floor", (deep, width, 0.06), floor, at=front.inside(deep / 2, 0, -0.05), bevel_m=0.0)
    box("lit wall", (0.1, width, high), back, at=front.inside(deep, 0, 0), bevel_m=0.0)
    for k in (-1, 1):
        box("party wall", (deep, 0.3, high), walls, at=front.inside(deep / 2, k * (width / 2 - 0.15), 0), bevel_m=0.0)
    # The front: a low wall, posts, a rail under the top lights, and the board with the name.
    posts = np.linspace(-1, 1, int(rng.integers(4, 7))) * (width / 2 - 0.2)
    low = rng.choice([0.2, 0.45, 0.65])
    box("front wall", (0.25, width, low), frame, at=front.inside(0.1, 0, -0.1), bevel_m=0.01)
    for along in posts:
        box("post", (0.2, 0.12, high), frame, at=front.inside(0.1, along, 0), bevel_m=0.015)
    box("rail", (0.16, width, 0.07), frame, at=front.inside(0.1, 0, 2.05), bevel_m=0.01)
    box("board", (0.3, width, 0.55), frame, at=front.inside(0.1, 0, high - 0.55), bevel_m=0.02)
    box("pane", (0.01, width - 0.2, high - low), pane, at=front.inside(0.1, 0, low), bevel_m=0.0)

    shops.pendants(rng, front, high, deep_m=rng.uniform(0.9, 1.5))
    light.bulb(at=front.inside(1.2, 0, 2.6), colour=glow, watts=80.0, radius_m=0.15)
    if not is_near:
        return
    kind = rng.choice(["bar", "tea room", "tailor", "wares"])
    if kind == "bar":
        shops.bar(rng, front)
    elif kind == "tea room":
        shops.tea_room(rng, front)
    elif kind == "tailor":
        shops.dummies(rng, front)
    else:
        shops.steps(rng, front, str(rng.choice(["hats", "vases", "books", "records", "flowers"])), (0.1, 0.02, 0.03))


def _lamps(side: int) -> None:
    iron = materials.plain("lamp iron", (0.02, 0.022, 0.024), roughness=0.45, metallic=0.8)
    glow = materials.light("lamp", (1.0, 0.7, 0.36), 60.0, sampled=False)
    globe = sphere("lamp globe", 0.13)
    x = side * (_ROAD / 2 + 0.45)
    for y in np.arange(7.0 + 4.0 * (side > 0), 95.0, 11.0):
        t = np.linspace(0, 1, 9)
        arm = np.stack([x - side * 0.8 * t**2, 0 * t + y, 4.1 + 0.5 * np.sin(math.pi * t * 0.6)], axis=1)
        pole = np.array([(x, y, 0.0), (x, y, 2.0), (x, y, 4.1)])
        link("lamp post", tubes("lamp post", [pole, arm], [0.055, 0.03], sides=10), iron)
        box("lamp base", (0.2, 0.2, 0.6), iron, at=(x, y, 0.1), bevel_m=0.03)
        at = (x - side * 0.8, y, float(arm[-1, 2]) - 0.14)
        link("lamp globe", globe, glow, at=at)
        light.bulb(at=at, colour=(1.0, 0.7, 0.36), watts=260.0, radius_m=0.13)


def _strings(rng: np.random.Generator) -> None:
    """Bulbs on wires across the street."""
    wire = materials.plain("string wire", (0.01, 0.01, 0.01), roughness=0.6)
    bulb = sphere("string bulb", 0.032)
    tones = [
        materials.light(f"string {i}", tone, 45.0, sampled=False)
        for i, tone in enumerate([(1.0, 0.8, 0.5), (1.0, 0.35, 0.2), (0.5, 0.75, 1.0), (0.6, 1.0, 0.5)])
    ]
    half = _ROAD / 2 + _PAVEMENT
    for y in np.arange(5.0, 70.0, 5.5):
        t = np.linspace(-1, 1, 25)
        height = rng.uniform(4.6, 5.4)
        path = np.stack([half * t, y + rng.uniform(-1, 1) * t, height - rng.uniform(0.5, 0.9) * (1 - t**2)], axis=1)
        link("string", tubes("string", [path], [0.006], sides=4), wire)
        for k, point in enumerate(path[1:-1]):
            tone = tones[0] if rng.uniform() < 0.7 else tones[k % 4]
            link("bulb", bulb.copy(), tone, at=point - (0, 0, 0.05))
        for point in path[4::8]:  # each for the light of eight bulbs
            light.bulb(at=point - (0, 0, 0.05), colour=(1.0, 0.75, 0.5), watts=15.0, radius_m=0.1)


def _bollards() -> None:
    iron = materials.plain("bollard", (0.03, 0.035, 0.035), roughness=0.35, metallic=0.6)
    brass = materials.plain("brass", (0.6, 0.42, 0.16), roughness=0.3, metallic=1.0)
    body = lathe(
        "bollard",
        [
            (0.0, 0.0),
            (0.1, 0.0),
            (0.1, 0.08),
            (0.065, 0.14),
            (0.055, 0.72),
            (0.085, 0.74),
            (0.085, 0.8),
            (0.06, 0.84),
            (0.075, 0.9),
            (0.06, 0.96),
            (0.0, 0.985),
        ],
    )
    ring = lathe("ring", [(0.07, 0.66), (0.075, 0.68), (0.07, 0.7)])
    for y in (2.0, 4.4, 6.8, 9.2, 11.6):
        link("bollard", body, iron, at=(-_ROAD / 2 - 0.25, y, 0.14))
        link("ring", ring, brass, at=(-_ROAD / 2 - 0.25, y, 0.14))


def car(rng: np.random.Generator, at: tuple[float, float], *, leaving: bool, parked: bool = False) -> None:
    """A saloon car. A leaving car shows its tail lights."""
    colour = [(0.3, 0.02, 0.02), (0.02, 0.05, 0.16), (0.25, 0.25, 0.26), (0.02, 0.02, 0.022), (0.3, 0.28, 0.22)][
        int(rng.integers(5))
    ]
    paint = materials.plain("car paint", colour, roughness=0.25, metallic=0.4, coat=1.0, variation=0.05)
    pane = materials.plain("car glass", (0.01, 0.012, 0.015), roughness=0.05, coat=1.0, variation=0.0)
    rubber = materials.plain("tyre", (0.012, 0.012, 0.012), roughness=0.85)
    turn = 0.0 if leaving else 180.0
    sign = 1.0 if leaving else -1.0
    x, y = at

    def part(name, size, material, dx, dy, z, bevel):
        box(name, size, material, at=(x + sign * dx, y + sign * dy, z), turn_deg=(0, 0, turn), bevel_m=bevel)

    part("car body", (1.78, 4.3, 0.56), paint, 0, 0, 0.3, 0.16)
    part("car cabin", (1.5, 2.3, 0.54), pane, 0, -0.3, 0.84, 0.22)
    part("car roof", (1.34, 1.7, 0.1), paint, 0, -0.35, 1.31, 0.045)
    part("bumper", (1.7, 0.12, 0.16), rubber, 0, -2.14, 0.34, 0.04)
    plate = materials.light("plate", (1.0, 1.0, 0.9), 0.25, sampled=False)
    part("plate", (0.5, 0.02, 0.11), plate, 0, -2.16, 0.62, 0.0)
    tyre = lathe("tyre", [(0.2, -0.1), (0.31, -0.1), (0.33, -0.06), (0.33, 0.06), (0.31, 0.1), (0.2, 0.1)])
    for dx in (-0.82, 0.82):
        for dy in (-1.35, 1.35):
            link("tyre", tyre, rubber, at=(x + dx, y + dy, 0.33), turn_deg=(0, 90, 0))
    tail = materials.light("tail light", (1.0, 0.03, 0.015), 1.2 if parked else 14.0, sampled=False)
    head = materials.light("head light", (1.0, 0.94, 0.82), 0.4 if parked else 90.0, sampled=False)
    for dx in (-0.66, 0.66):
        part("tail light", (0.26, 0.05, 0.1), tail, dx, -2.14, 0.66, 0.01)
        part("head light", (0.2, 0.05, 0.1), head, dx, 2.14, 0.62, 0.01)
    if not leaving:
        light.bulb(at=(x, y - 2.5, 0.6), colour=(1.0, 0.94, 0.82), watts=30.0, radius_m=0.1)
