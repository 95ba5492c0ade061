"""A cluttered desk by a window: books, mug, pencils, fruit, dice, a plush bear with fur; soft shadows."""

import math

import numpy as np

from blender_scripts.procedural import figures, light, materials, plants
from blender_scripts.procedural.geometry import box, lathe, link, mesh, rounded, sphere, text, tubes

_TITLES = [
    "OPTICS",
    "Light and Lenses",
    "ATLAS",
    "GARDENS",
    "The Camera",
    "COLOUR",
    "Birds",
    "ON SHADOWS",
    "Maps",
    "DEPTH",
    "Rivers",
]


def build(rng: np.random.Generator) -> None:
    light.studio("courtyard", strength=0.35, turn_deg=rng.uniform(0, 360), seen=(0.5, 0.5, 0.48))
    light.area((1.3, 1.6), at=(-1.9, 0.6, 1.9), towards=(0.0, 0.5, 0.8), colour=(1.0, 0.97, 0.92), watts=75.0)
    light.camera((rng.uniform(-0.12, 0.12), -0.72, 1.13), (0.02, 0.5, 0.81), focal_length_mm=37.0)
    desk = materials.wood("desk", (0.5, 0.3, 0.16), (0.26, 0.13, 0.06), roughness=0.4)
    for k in range(12):
        box("plank", (2.4, 0.16, 0.04), desk, at=(0, -0.5 + 0.162 * k, 0.71), bevel_m=0.003)
    box("desk frame", (2.3, 1.85, 0.03), desk, at=(0, 0.38, 0.675), bevel_m=0)
    wall = materials.plain("wall", (0.45, 0.52, 0.5), roughness=0.9, grain=2.0, bump_m=0.002, bump_scale=40.0)
    box("wall", (6.0, 0.1, 3.0), wall, at=(0, 1.5, 0), bevel_m=0.0)
    _pictures(rng)
    _books(rng)
    _mug((-0.28 + rng.uniform(-0.03, 0.03), 0.06), rng)
    _pencils((0.3 + rng.uniform(-0.03, 0.03), 0.08), rng)
    _papers(rng)
    _fruit(rng)
    _dice(rng)
    figures.bear((rng.uniform(-0.02, 0.06), 0.36, 0.75), 0.3, rng)
    _plant(rng)
    _lamp(rng)
    _twig(rng)


def _books(rng: np.random.Generator) -> None:
    """A lying stack, and a row that leans."""
    page = materials.plain("pages", (0.8, 0.75, 0.62), roughness=0.9, variation=0.2, grain=300.0)
    letters = materials.plain("gold letters", (0.75, 0.58, 0.25), roughness=0.35, metallic=0.9)

    def cover(i: int):
        colour = np.clip(rng.uniform(0.03, 0.5, 3) * (1.0, rng.uniform(0.3, 1.0), rng.uniform(0.2, 1.0)), 0.02, 1)
        return materials.fabric(f"cover {i}", tuple(rng.permutation(colour)), sheen=0.1)

    def book(i: int, size, at, turn) -> None:
        """Width along x, depth along y (the spine faces -y), thickness along z."""
        cloth = cover(i)
        w, d, t = size
        around = math.radians(turn[2])
        for dz in (0.0, t - 0.003):
            box("cover", (w, d, 0.003), cloth, at=(at[0], at[1], at[2] + dz), turn_deg=turn, bevel_m=0.001)
        box(
            "pages",
            (w - 0.01, d - 0.012, t - 0.006),
            page,
            at=(at[0], at[1], at[2] + 0.003),
            turn_deg=turn,
            bevel_m=0.0,
        )
        front = np.array([math.sin(around), -math.cos(around)]) * d / 2
        box("spine", (w, 0.004, t), cloth, at=(at[0] + front[0], at[1] + front[1], at[2]), turn_deg=turn, bevel_m=0.002)
        text(
            "title",
            _TITLES[i % len(_TITLES)],
            0.55 * t,
            letters,
            at=(at[0] + 1.03 * front[0], at[1] + 1.03 * front[1], at[2] + t / 2),
            turn_deg=(90, 0, turn[2]),
            depth_m=0.0005,
        )

    z = 0.75
    for i in range(4):
        t = rng.uniform(0.022, 0.045)
        book(i, (rng.uniform(0.2, 0.25), rng.uniform(0.15, 0.18), t), (-0.42, 0.42, z), (0, 0, rng.uniform(-14, 14)))
        z += t + 0.001
    z = 0.75
    for i in range(4, 7):
        t = rng.uniform(0.02, 0.035)
        book(i, (rng.uniform(0.2, 0.24), rng.uniform(0.14, 0.17), t), (0.5, 0.36, z), (0, 0, rng.uniform(-20, 10)))
        z += t + 0.001
    x = 0.2
    for i in range(7, 15):
        t, height = rng.uniform(0.018, 0.045), rng.uniform(0.18, 0.26)
        cloth = cover(i)
        box(
            "standing book",
            (t, 0.16, height),
            cloth,
            at=(x + t / 2, 0.86, 0.75),
            turn_deg=(0, rng.uniform(-1, 1), 0),
            bevel_m=0.003,
        )
        text(
            "title",
            _TITLES[i % len(_TITLES)],
            0.5 * t,
            letters,
            at=(x + t / 2, 0.777, 0.75 + height / 2),
            turn_deg=(90, 90, 0),
            depth_m=0.0005,
        )
        x += t + 0.002


def _mug(at, rng: np.random.Generator) -> None:
    tone = tuple(rng.permutation([0.7, 0.35, 0.2]))
    glaze = materials.plain("mug", tone, roughness=0.15, coat=0.7, variation=0.1)
    body = rounded([(0.0, 0.0), (0.036, 0.0), (0.041, 0.01), (0.041, 0.09), (0.0415, 0.096)], steps=2)
    inner = [(r - 0.004, z) for r, z in reversed(body) if z > 0.006]
    link("mug", lathe("mug", [*body, *inner, (0.0, 0.006)]), glaze, at=(*at, 0.75))
    angle = np.linspace(-1.9, 1.9, 17)
    grip = np.stack([0.039 + 0.026 * np.cos(angle), 0 * angle, 0.05 + 0.03 * np.sin(angle)], axis=1)
    link(
        "grip", tubes("grip", [grip], [0.0055], sides=10), glaze, at=(*at, 0.75), turn_deg=(0, 0, rng.uniform(-60, 20))
    )
    coffee = materials.plain("coffee", (0.035, 0.015, 0.006), roughness=0.06, variation=0.0)
    link("coffee", lathe("coffee", [(0.0, 0.076), (0.0372, 0.076)]), coffee, at=(*at, 0.75))


def _pencils(at, rng: np.random.Generator) -> None:
    tin = materials.plain("tin", (0.55, 0.57, 0.58), roughness=0.3, metallic=1.0, variation=0.1)
    cup = lathe("cup", [(0.0, 0.0), (0.04, 0.0), (0.04, 0.1), (0.0385, 0.1), (0.0385, 0.003), (0.0, 0.003)])
    link("cup", cup, tin, at=(*at, 0.75))
    wood = materials.plain("pencil wood", (0.75, 0.52, 0.3), roughness=0.7)
    colours = [
        (0.75, 0.5, 0.03),
        (0.6, 0.05, 0.04),
        (0.04, 0.15, 0.45),
        (0.05, 0.3, 0.1),
        (0.02, 0.02, 0.02),
        (0.6, 0.25, 0.02),
    ]
    for colour in colours * 2:
        around, lean = rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 0.3)
        foot = np.array([*at, 0.755]) - 0.018 * np.array([math.cos(around), math.sin(around), 0])
        along = np.array([lean * math.cos(around), lean * math.sin(around), 1.0])
        along /= np.linalg.norm(along)
        length = rng.uniform(0.13, 0.18)
        paint = materials.plain("pencil", colour, roughness=0.3, coat=0.5, variation=0.05)
        link("pencil", tubes("pencil", [np.array([foot, foot + along * length])], [0.0036], sides=6), paint)
        tip = np.array([foot + along * length, foot + along * (length + 0.012)])
        link("tip", tubes("tip", [tip], [np.array([0.0036, 0.0006])], sides=6), wood)


def _papers(rng: np.random.Generator) -> None:
    white = materials.plain("paper", (0.85, 0.84, 0.8), roughness=0.9, variation=0.05, grain=30.0)
    ink = materials.plain("ink", (0.02, 0.02, 0.06), roughness=0.8)
    turn = rng.uniform(-25, -5)
    for k in range(3):
        box(
            "sheet",
            (0.21, 0.297, 0.0006),
            white,
            at=(-0.06, -0.16, 0.75 + 0.0007 * k),
            turn_deg=(0, 0, turn + 5 * k),
            bevel_m=0.0,
        )
    lines = "\n".join("".join(rng.choice(list("aeinorstlm  "), 26)) for _ in range(13))
    text("writing", lines, 0.011, ink, at=(-0.06, -0.15, 0.753), turn_deg=(0, 0, turn + 10))


def _fruit(rng: np.random.Generator) -> None:
    stem = plants.bark("stalk")
    profile = [
        (0.0, 0.006),
        (0.008, 0.001),
        (0.018, 0.0),
        (0.032, 0.014),
        (0.038, 0.036),
        (0.034, 0.056),
        (0.022, 0.066),
        (0.008, 0.064),
        (0.0, 0.056),
    ]
    apple = lathe("apple", rounded(profile, steps=3))
    for x, y, tone in (
        (0.16, -0.1, (0.5, 0.03, 0.02)),
        (0.245, -0.14, (0.35, 0.45, 0.05)),
        (0.19, -0.02, (0.55, 0.14, 0.03)),
    ):
        skin = materials.plain("apple skin", tone, roughness=0.25, coat=0.4, variation=0.45, grain=35.0)
        where = (x + rng.uniform(-0.012, 0.012), y, 0.749)
        lean = rng.uniform(-12, 12, 2)
        link("apple", apple.copy(), skin, at=where, turn_deg=(*lean, rng.uniform(0, 360)))
        link(
            "stalk",
            tubes("stalk", [np.array([(0, 0, 0.055), (0.002, 0, 0.066), (0.006, 0, 0.076)])], [0.0012]),
            stem,
            at=where,
            turn_deg=(*lean, rng.uniform(0, 360)),
        )


def _dice(rng: np.random.Generator) -> None:
    ivory = materials.plain("ivory", (0.82, 0.78, 0.68), roughness=0.25, variation=0.05)
    pip = materials.plain("pip", (0.03, 0.02, 0.02), roughness=0.5)
    dot = lathe("pip", [(0.0, 0.0002), (0.0016, 0.0)], segments=12)
    pattern = {
        1: [(0, 0)],
        2: [(-1, -1), (1, 1)],
        3: [(-1, -1), (0, 0), (1, 1)],
        4: [(-1, -1), (1, 1), (-1, 1), (1, -1)],
        5: [(-1, -1), (1, 1), (-1, 1), (1, -1), (0, 0)],
        6: [(-1, -1), (1, 1), (-1, 1), (1, -1), (-1, 0), (1, 0)],
    }
    for x, y in ((-0.2, -0.3), (-0.165, -0.35), (-0.13, -0.28), (0.06, -0.36)):
        turn = rng.uniform(0, 90)
        die = box("die", (0.017,) * 3, ivory, at=(x, y, 0.7505), turn_deg=(0, 0, turn), bevel_m=0.002)
        for face, number in (((0, 0, 1), 5), ((0, -1, 0), int(rng.integers(1, 7))), ((1, 0, 0), 2), ((-1, 0, 0), 4)):
            normal = np.array(face, float)
            side = np.array([0, 0, 1.0]) if face[2] == 0 else np.array([1.0, 0, 0])
            for u, v in pattern[number]:
                at = normal * 0.00855 + 0.0045 * (u * side + v * np.cross(normal, side)) + (0, 0, 0.0085)
                tilt = (0, 0, 0) if face[2] else (90, 0, 0) if face[1] else (0, 90 * face[0], 0)
                link("pip", dot, pip, at=at, turn_deg=tilt).parent = die


def _plant(rng: np.random.Generator) -> None:
    clay = materials.plain("clay", (0.5, 0.22, 0.12), roughness=0.85, variation=0.3)
    soil = materials.ground("soil", (0.02, 0.013, 0.008), (0.06, 0.04, 0.025), scale=20.0, bump_m=0.003)
    green = materials.leaf("houseplant", (0.02, 0.1, 0.02), (0.12, 0.3, 0.06))
    at = (-0.66, 0.72)
    profile = rounded([(0.0, 0.0), (0.06, 0.0), (0.08, 0.12), (0.09, 0.12), (0.09, 0.145), (0.078, 0.145)], steps=2)
    link("pot", lathe("pot", profile), clay, at=(*at, 0.75))
    link("soil", lathe("soil", [(0.0, 0.13), (0.082, 0.13)]), soil, at=(*at, 0.75))
    stems = [
        plants.branch(
            np.array([*at, 0.88]),
            rng.normal(0, 0.5, 3) + (0, 0, 1.0),
            rng.uniform(0.16, 0.34),
            wander=0.12,
            rise=-0.5,
            rng=rng,
        )
        for _ in range(26)
    ]
    link("stems", tubes("stems", stems, [0.002] * len(stems), sides=5), green)
    points = np.concatenate([stem[2:] for stem in stems]) + rng.normal(0, 0.008, (26 * 6, 3))
    plants.leaves("houseplant", points, 0.075, green, width=1.2, rng=rng)


def _lamp(rng: np.random.Generator) -> None:
    """A desk lamp with two arms, switched on."""
    metal = materials.plain("lamp", tuple(rng.permutation([0.5, 0.08, 0.05])), roughness=0.35, coat=0.6, variation=0.05)
    foot, knee, head = np.array([0.78, 0.7, 0.75]), np.array([0.92, 0.74, 1.08]), np.array([0.6, 0.66, 1.3])
    link(
        "lamp foot",
        lathe("lamp foot", rounded([(0, 0), (0.09, 0), (0.09, 0.015), (0.015, 0.03), (0, 0.03)], steps=2)),
        metal,
        at=foot,
    )
    link(
        "lamp arms",
        tubes("lamp arms", [np.array([foot, knee]), np.array([knee, head])], [0.008, 0.008], sides=10),
        metal,
    )
    shade = link(
        "shade",
        lathe("shade", rounded([(0.02, 0.08), (0.04, 0.06), (0.085, -0.04)], steps=3)),
        metal,
        at=head,
        turn_deg=(0, 20, 0),
    )
    shade.modifiers.new("thick", "SOLIDIFY").thickness = 0.003
    glow = materials.light("lamp bulb", (1.0, 0.75, 0.45), 22.0)
    ball = sphere("lamp bulb", 0.028)
    link("lamp bulb", ball, glow, at=head - (0, 0, 0.01))


def _pictures(rng: np.random.Generator) -> None:
    frame = materials.wood("frame", (0.16, 0.1, 0.06), (0.06, 0.035, 0.02))
    mount = materials.plain("mount", (0.8, 0.78, 0.72), roughness=0.9, variation=0.03)
    for x, z, w, h in ((-0.35, 1.08, 0.34, 0.26), (0.14, 1.14, 0.22, 0.3)):
        box("frame", (w, 0.025, h), frame, at=(x, 1.435, z), bevel_m=0.004)
        box("mount", (w - 0.04, 0.01, h - 0.04), mount, at=(x, 1.425, z + 0.02), bevel_m=0.0)
        for _ in range(5):
            paint = materials.plain("paint", tuple(rng.uniform(0.03, 0.6, 3)), roughness=0.9, variation=0.4, grain=30.0)
            pw, ph = rng.uniform(0.03, 0.14, 2)
            vertices = [
                (0, 0, 0),
                (pw, 0, rng.uniform(-0.03, 0.03)),
                (pw * 0.9, 0, ph),
                (0.02, 0, ph * rng.uniform(0.6, 1.2)),
            ]
            link(
                "shape",
                mesh("shape", vertices, [(0, 1, 2, 3)]),
                paint,
                at=(
                    x - w / 2 + 0.05 + rng.uniform(0, w - 0.2),
                    1.419 - rng.uniform(0, 0.001),
                    z + 0.05 + rng.uniform(0, h - 0.2),
                ),
            )


def _twig(rng: np.random.Generator) -> None:
    """A leafy twig that hangs into the picture, close to the lens."""
    green = materials.leaf("twig leaf", (0.04, 0.12, 0.03), (0.2, 0.32, 0.1))
    start = np.array([-0.23, rng.uniform(-0.36, -0.3), 1.15])
    stem = plants.branch(start, np.array([0.8, 0.0, -0.3]), 0.26, wander=0.07, rise=-0.25, rng=rng)
    twigs = [stem, *plants.twigs_of(stem, 7, 0.09, rise=-0.2, rng=rng)]
    link("twig", tubes("twig", twigs, [plants.tapered(path, 0.0022) for path in twigs], sides=6), plants.bark("twig"))
    points = np.concatenate([path[2:] for path in twigs])
    plants.leaves("twig leaf", points, 0.028, green, width=0.9, rng=rng)
