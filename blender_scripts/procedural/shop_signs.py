"""A shopping street by day: signs, boards, posters and shop fronts with lettering at every distance."""

import math

import numpy as np

from blender_scripts.procedural import light, materials, plants, shops
from blender_scripts.procedural.geometry import box, lathe, link, mesh, rounded, sphere, text, tubes

_HALF = 2.6  # half the width of the street
_SILL = 0.5  # height of the shop windows' floor, metres
# Names of shops, and the wares in their windows.
_SHOPS = {
    "BAKERY": "bread",
    "Books & Maps": "books",
    "TEA ROOM": "tea",
    "POTTERY": "vases",
    "FLOWERS": "flowers",
    "Cheese": "cheese",
    "HATS": "hats",
    "CAMERA": "cameras",
    "Records": "records",
    "TAILOR": "clothes",
    "DRESSES": "clothes",
    "Clocks": "clocks",
    "TOYS": "toys",
    "Wine": "wine",
}
_PAINTS = [
    (0.05, 0.16, 0.12),
    (0.35, 0.05, 0.04),
    (0.05, 0.09, 0.22),
    (0.45, 0.3, 0.08),
    (0.28, 0.32, 0.3),
    (0.1, 0.1, 0.1),
    (0.45, 0.2, 0.16),
]


def build(rng: np.random.Generator) -> None:
    light.sky(
        sun_elevation_deg=rng.uniform(42, 55), sun_azimuth_deg=rng.uniform(150, 165), exposure=2.0, clouds=0.35, rng=rng
    )
    light.camera((rng.uniform(-0.15, 0.25), 0.0, 1.58), (0.05, 10.0, 1.85), focal_length_mm=36.0)
    cobbles = materials.tiles(
        "cobbles",
        (0.3, 0.27, 0.24),
        (0.19, 0.18, 0.17),
        width_m=0.14,
        height_m=0.11,
        offset=0.5,
        grout=(0.09, 0.08, 0.07),
        grout_m=0.012,
        roughness=0.6,
        bump_m=0.012,
    )
    box("street", (2 * _HALF, 90, 0.2), cobbles, at=(0, 40, -0.2), bevel_m=0)
    names = list(rng.permutation(list(_SHOPS)))
    pane = shops.pane()
    for side in (-1, 1):
        y = -3.0
        while y < 60:
            width = rng.uniform(3.6, 5.2)
            _shop(rng, side, y, width, str(names.pop() if names else rng.choice(list(_SHOPS))), pane)
            y += width
    box(
        "end house",
        (14, 1, 11),
        materials.plain("end plaster", (0.62, 0.5, 0.3), roughness=0.9),
        at=(0, 66, 0),
        bevel_m=0,
    )
    _fingerpost(rng)
    _board(rng)
    _bunting(rng)
    _tubs(rng)


def _shop(rng: np.random.Generator, side: int, y: float, width: float, name: str, pane) -> None:
    """One house: shop front with fascia and lettering, two floors of sash windows above, a hanging sign."""
    if rng.uniform() < 0.5:
        a = np.array([0.38, 0.17, 0.11]) * rng.uniform(0.7, 1.15)
        wall = materials.tiles(
            f"brick {side} {y:.0f}",
            tuple(a),
            tuple(0.75 * a),
            width_m=0.215,
            height_m=0.075,
            offset=0.5,
            grout=(0.42, 0.39, 0.35),
            plane="yz",
        )
    else:
        tone = [(0.68, 0.6, 0.44), (0.6, 0.45, 0.36), (0.62, 0.64, 0.58), (0.7, 0.66, 0.6)][int(rng.integers(4))]
        wall = materials.plain(f"stucco {side} {y:.0f}", tone, roughness=0.9, variation=0.15, grain=1.4, bump_m=0.003)
    paint = materials.plain(
        "shop paint", _PAINTS[int(rng.integers(len(_PAINTS)))], roughness=0.3, coat=0.3, variation=0.1
    )
    white = materials.plain("sash paint", (0.78, 0.77, 0.73), roughness=0.45, variation=0.05)
    dark = materials.plain("dark pane", (0.03, 0.035, 0.04), roughness=0.03, coat=1.0, variation=0.2)
    gold = materials.plain("letters", (0.8, 0.62, 0.25) if rng.uniform() < 0.6 else (0.85, 0.84, 0.8), roughness=0.35)
    middle, x = y + width / 2, side * _HALF
    inward = -side
    tall = rng.uniform(7.5, 9.5)
    box("house", (5.0, width - 0.02, tall - 2.4), wall, at=(x + side * 2.5, middle, 2.4), bevel_m=0.02)
    box("cornice", (0.4, width, 0.22), white, at=(x, middle, tall - 0.3), bevel_m=0.05)
    # Shop front: stall riser, panes between pilasters, fascia.
    _display(rng, shops.Front((x, middle, _SILL), side, width - 0.5), name, paint, pane)
    for k in np.linspace(-1, 1, 4):
        box("pilaster", (0.2, 0.14, 2.45), paint, at=(x, middle + k * (width / 2 - 0.2), 0), bevel_m=0.015)
    box("fascia", (0.22, width - 0.12, 0.5), paint, at=(x, middle, 2.38), bevel_m=0.02)
    box("fascia top", (0.34, width - 0.05, 0.08), paint, at=(x, middle, 2.88), bevel_m=0.02)
    text(
        "fascia letters",
        name,
        0.34,
        gold,
        at=(x + inward * 0.12, middle, 2.63),
        turn_deg=(90, 0, 90.0 * inward),
        depth_m=0.02,
    )
    for z in (3.5, 5.7):
        for k in (-0.25, 0.25):
            wy = middle + k * width
            box("window", (0.06, 0.9, 1.5), dark, at=(x, wy, z), bevel_m=0)
            for dy, dz, sy, sz in (
                (-0.47, 0, 0.07, 1.5),
                (0.47, 0, 0.07, 1.5),
                (0, 0.0, 0.9, 0.05),
                (0, 0.72, 0.9, 0.05),
                (0, 1.45, 1.0, 0.07),
                (0, 0, 0.035, 1.5),
            ):
                box("sash", (0.1, sy, sz), white, at=(x, wy + dy, z + dz), bevel_m=0.004)
            box("sill", (0.26, 1.1, 0.07), white, at=(x, wy, z - 0.07))
    # Hanging sign on an iron arm, perpendicular to the front so that it can be read from along the street.
    iron = materials.plain("iron", (0.02, 0.02, 0.022), roughness=0.5, metallic=0.6)
    sy, sz = y + 0.25, rng.uniform(3.05, 3.35)
    arm = np.array([(x, sy, sz + 0.5), (x + inward * 0.5, sy, sz + 0.5), (x + inward * 1.0, sy, sz + 0.5)])
    curl = np.stack(
        [
            x + inward * (0.05 + 0.5 * np.linspace(0, 1, 12)),
            sy + np.zeros(12),
            sz + 0.9 - 0.4 * np.linspace(0, 1, 12) ** 2,
        ],
        axis=1,
    )
    link("arm", tubes("arm", [arm, curl], [0.014, 0.009], sides=8), iron)
    box("hanging sign", (0.8, 0.04, 0.46), paint, at=(x + inward * 0.55, sy, sz), bevel_m=0.015)
    text(
        "sign letters",
        name.split(" ")[0],
        0.62 / max(4, len(name.split(" ")[0])) * 1.5,
        gold,
        at=(x + inward * 0.55, sy - 0.024, sz + 0.23),
        depth_m=0.006,
    )


def _display(rng: np.random.Generator, front: shops.Front, name: str, paint, pane) -> None:
    """The shop window: a shallow lit box with the wares of the shop."""
    width, deep = front.width + 0.5, 1.1
    level, green, blue = rng.uniform(0.25, 0.6), rng.uniform(0.75, 1), rng.uniform(0.5, 0.9)
    inner = materials.plain("window back", (level, level * green, level * blue), roughness=0.9)
    box("riser", (deep, width - 0.1, _SILL), paint, at=front.inside(deep / 2 - 0.06, 0, -_SILL), bevel_m=0.01)
    box("window back", (0.1, width, 2.4), inner, at=front.inside(deep, 0, -_SILL), bevel_m=0)
    for k in (-1, 1):
        box("window side", (deep, 0.3, 2.4), inner, at=front.inside(deep / 2 + 0.05, k * width / 2, -_SILL), bevel_m=0)
    box("pane", (0.01, width - 0.3, 2.4 - _SILL), pane, at=front.inside(0.0, 0, 0), bevel_m=0)
    lamp = materials.light("window lamp", (1.0, 0.85, 0.65), 18.0)
    box("window lamp", (0.05, front.width - 0.4, 0.02), lamp, at=front.inside(0.15, 0, 2.36 - _SILL), bevel_m=0)
    if _SHOPS[name] == "clothes":
        shops.dummies(rng, front)
    else:
        shops.steps(rng, front, _SHOPS[name], tuple(rng.permutation([0.3, 0.12, 0.08])))


def _fingerpost(rng: np.random.Generator) -> None:
    """A signpost close by, with arms in several directions."""
    green = materials.plain("post paint", (0.02, 0.07, 0.05), roughness=0.35, coat=0.4, variation=0.1)
    cream = materials.plain("cream", (0.8, 0.76, 0.62), roughness=0.5, variation=0.06)
    x, y = rng.uniform(-0.95, -0.8), rng.uniform(2.1, 2.4)
    link("post", tubes("post", [np.array([(x, y, 0), (x, y, 1.3), (x, y, 2.75)])], [0.035], sides=16), green)
    for k, (body, z) in enumerate([("Market Square", 2.02), ("Old Harbour", 1.8), ("Museum  ¼", 1.58)]):
        turn = [8.0, -22.0, 24.0][k] + rng.uniform(-6, 6)
        w, h = 0.78, 0.16
        outline = [(0, -h / 2), (w, -h / 2), (w + 0.09, 0), (w, h / 2), (0, h / 2)]
        vertices = [(u, -0.012, v) for u, v in outline] + [(u, 0.012, v) for u, v in outline]
        faces = [(0, 1, 2, 3, 4), (9, 8, 7, 6, 5)] + [(i, (i + 1) % 5 + 0, (i + 1) % 5 + 5, i + 5) for i in range(5)]
        link("finger", mesh("finger", vertices, faces), cream, at=(x, y, z), turn_deg=(0, 0, turn))
        radians = math.radians(turn)
        at = (
            x + 0.43 * math.cos(radians) + 0.014 * math.sin(radians),
            y + 0.43 * math.sin(radians) - 0.014 * math.cos(radians),
            z,
        )
        text("finger text", body, 0.105, green, at=at, turn_deg=(90, 0, turn), depth_m=0.002)
    knob = sphere("knob", 0.05)
    link("knob", knob, green, at=(x, y, 2.78))


def _board(rng: np.random.Generator) -> None:
    """A café's chalk board on the ground."""
    slate = materials.plain("slate", (0.025, 0.028, 0.028), roughness=0.8, variation=0.6, grain=5.0)
    frame = materials.wood("board frame", (0.4, 0.22, 0.1), (0.2, 0.1, 0.04), axis=2)
    chalk = materials.plain("chalk", (0.82, 0.8, 0.75), roughness=0.95, variation=0.2, grain=60.0)
    pink = materials.plain("pink chalk", (0.8, 0.35, 0.4), roughness=0.95, variation=0.2, grain=60.0)
    x, y, turn = rng.uniform(0.75, 0.95), rng.uniform(2.7, 3.1), rng.uniform(-18, -6)
    board = box("board", (0.62, 0.03, 1.0), slate, at=(x, y, 0.08), turn_deg=(-9, 0, turn), bevel_m=0.004)
    for dx, dz, w, h in (
        (-0.32, -0.08, 0.05, 1.12),
        (0.32, -0.08, 0.05, 1.12),
        (0, 0.99, 0.69, 0.05),
        (0, -0.04, 0.69, 0.05),
    ):
        box("frame", (w, 0.045, h), frame, at=(dx, 0, dz), bevel_m=0.006).parent = board
    lines = [
        ("Today", 0.17, pink),
        ("onion soup", 0.1, chalk),
        ("fish pie  9", 0.1, chalk),
        ("plum cake  4", 0.1, chalk),
        ("coffee  2", 0.1, chalk),
    ]
    for k, (body, size, colour) in enumerate(lines):
        text("chalk text", body, size, colour, at=(0, -0.018, 0.84 - 0.17 * k), depth_m=0.0005).parent = board


def _bunting(rng: np.random.Generator) -> None:
    string = materials.plain("string", (0.6, 0.58, 0.52), roughness=0.9)
    for y in (5.5, 10.0, 15.5, 22.0, 30.0):
        t = np.linspace(-1, 1, 23)
        z = rng.uniform(4.4, 4.9) - 0.55 * (1 - t**2)
        path = np.stack([_HALF * t, y + 0.5 * t * rng.uniform(-1, 1), z], axis=1)
        link("string", tubes("string", [path], [0.005], sides=4), string)
        for k, point in enumerate(path[1:-1:2]):
            tone = [(0.6, 0.06, 0.05), (0.75, 0.7, 0.6), (0.06, 0.16, 0.4), (0.7, 0.45, 0.06)][k % 4]
            flag = materials.fabric("flag", tone, sheen=0.1)
            swing = rng.uniform(-0.1, 0.1)
            link("flag", mesh("flag", [(-0.11, 0, 0), (0.11, 0, 0), (0, swing, -0.3)], [(0, 1, 2)]), flag, at=point)


def _tubs(rng: np.random.Generator) -> None:
    """Barrels with box trees, and a bench."""
    oak = materials.wood("tub", (0.34, 0.2, 0.1), (0.16, 0.08, 0.04), axis=2)
    green = materials.leaf("box", (0.02, 0.07, 0.012), (0.09, 0.2, 0.03))
    tub = lathe(
        "tub", rounded([(0, 0), (0.22, 0), (0.27, 0.22), (0.25, 0.42), (0.22, 0.42), (0.22, 0.36), (0, 0.36)], steps=2)
    )
    for x, y in ((-2.15, 5.2), (2.15, 6.4), (-2.15, 10.4), (2.15, 13.0), (-2.15, 17.0)):
        link("tub", tub, oak, at=(x, y, 0))
        plants.bush("box", (x, y, 0.4), (0.36, 0.36, 0.6), green, leaf_m=0.05, leaf_count=1500, rng=rng)
