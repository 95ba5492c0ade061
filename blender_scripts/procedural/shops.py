"""Rooms behind shop windows: wares on steps, tailor's dummies, a bar, a tea room.

Windows face along x. With `side` +1 rooms extend towards +x, with -1 towards -x. `at` is the middle of the front at
floor level.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from blender_scripts.procedural import materials, plants
from blender_scripts.procedural.geometry import Vector3, box, lathe, link, rounded, sphere, tubes
from blender_scripts.procedural.materials import Colour
from blender_scripts.procedural.nodes import Nodes

# Puts one ware at a place, rotated by degrees about the vertical.
_Ware = Callable[[Vector3, float], bpy.types.Object]


@dataclass(frozen=True)
class Front:
    """A window front in the y direction, `width` wide. `at` is its middle on the floor."""

    at: Vector3
    side: int
    width: float

    def inside(self, deep: float, along: float, up: float) -> tuple[float, float, float]:
        """The point at these distances behind the window, along the street from its middle, and above the floor."""
        x, y, z = self.at
        return x + self.side * deep, y + along, z + up


def pane() -> bpy.types.Material:
    """Window glass without thickness. It shows the room behind it and reflects a little of the street."""
    material = bpy.data.materials.new("pane")
    material.use_nodes = True
    material.node_tree.nodes.clear()
    nodes = Nodes(material.node_tree)
    # The reflection depends on the angle only, and approximates Fresnel's law for two faces. The law itself would be
    # wrong for rays from inside, since nothing is refracted here.
    facing = nodes("LayerWeight", {"Blend": 0.08}).outputs["Facing"]
    both = nodes("MixShader", {0: facing, 1: nodes("BsdfTransparent").outputs[0]})
    nodes.tree.links.new(nodes("BsdfGlossy", {"Roughness": 0.0}).outputs[0], both.inputs[2])
    nodes("OutputMaterial", {"Surface": both.outputs[0]})
    return material


def _turned(
    name: str,
    profile: Sequence[tuple[float, float]],
    tones: Sequence[Colour],
    rng: np.random.Generator,
    *,
    roughness: float = 0.5,
    coat: float = 0.0,
) -> _Ware:
    body = lathe(name, profile, segments=28)
    skins = [materials.plain(name, tone, roughness=roughness, coat=coat) for tone in tones]

    def put(at: Vector3, turn: float):
        # A material belongs to a mesh, so every tone needs a mesh of its own.
        skin = skins[int(rng.integers(len(skins)))]
        return link(name, body.copy(), skin, at=at, turn_deg=(0, 0, turn), scale=rng.uniform(0.85, 1.15))

    return put


def _blocks(
    name: str, low: Vector3, high: Vector3, tones: Sequence[Colour], rng: np.random.Generator, *, lean: float = 0.0
) -> _Ware:
    skins = [materials.plain(name, tone, roughness=0.5, coat=0.2) for tone in tones]

    def put(at: Vector3, turn: float):
        skin = skins[int(rng.integers(len(skins)))]
        return box(name, rng.uniform(low, high), skin, at=at, turn_deg=(0, lean, turn), bevel_m=0.004)

    return put


def _hats(rng: np.random.Generator) -> _Ware:
    tones = [(0.05, 0.05, 0.06), (0.3, 0.18, 0.1), (0.5, 0.42, 0.3), (0.28, 0.04, 0.05), (0.08, 0.12, 0.2)]
    stand = materials.plain("hat stand", (0.3, 0.17, 0.08), roughness=0.4)
    foot = lathe("hat stand", [(0.0, 0.0), (0.06, 0.0), (0.06, 0.015), (0.01, 0.03), (0.01, 0.26), (0.0, 0.26)])
    brim = [(0.17, 0.0), (0.165, -0.008), (0.09, 0.004), (0.088, 0.07), (0.075, 0.105), (0.03, 0.095), (0.0, 0.1)]
    hat = _turned("hat", rounded(brim, steps=1), tones, rng, roughness=0.9)

    def put(at: Vector3, turn: float):
        link("hat stand", foot, stand, at=at)
        return hat((at[0], at[1], at[2] + 0.22), turn)

    return put


def _cameras(rng: np.random.Generator) -> _Ware:
    black = materials.plain("camera", (0.02, 0.02, 0.022), roughness=0.5)
    chrome = materials.plain("chrome", (0.6, 0.6, 0.6), roughness=0.25, metallic=1.0)
    glass = materials.plain("lens", (0.02, 0.015, 0.04), roughness=0.03, coat=1.0)

    def put(at: Vector3, turn: float):
        # The lenses of the cameras face the street.
        body = box("camera", (0.09, 0.18, 0.11), black, at=at, turn_deg=(0, 0, turn), bevel_m=0.012)
        box("camera top", (0.07, 0.17, 0.03), chrome, at=(0, 0, 0.11), bevel_m=0.008).parent = body
        barrel = lathe("barrel", [(0.0, 0.0), (0.045, 0.0), (0.045, 0.07), (0.04, 0.07), (0.035, 0.055)])
        link("barrel", barrel, black, at=(0.045, 0, 0.055), turn_deg=(0, 90, 0)).parent = body
        front = lathe("lens", [(0.036, 0.055), (0.02, 0.06), (0.0, 0.062)])
        link("lens", front, glass, at=(0.045, 0, 0.055), turn_deg=(0, 90, 0)).parent = body
        return body

    return put


def _pot_plants(rng: np.random.Generator) -> _Ware:
    clay = materials.plain("clay", (0.5, 0.22, 0.12), roughness=0.85)
    green = materials.leaf("pot plant", (0.02, 0.1, 0.02), (0.15, 0.35, 0.06))
    flowers = [
        materials.leaf("blossom", (r, g, b), (min(1.0, 1.6 * r), min(1.0, 1.6 * g), min(1.0, 1.6 * b)))
        for r, g, b in ((0.5, 0.04, 0.08), (0.6, 0.4, 0.03), (0.5, 0.12, 0.35), (0.6, 0.55, 0.5))
    ]
    pot = lathe("pot", [(0.0, 0.0), (0.06, 0.0), (0.085, 0.14), (0.075, 0.14), (0.07, 0.12), (0.0, 0.12)])

    def put(at: Vector3, turn: float):
        top = np.array(at) + (0, 0, 0.2)
        flower = flowers[int(rng.integers(len(flowers)))]
        plants.leaves("pot plant", top + rng.normal(0, 0.05, (70, 3)), 0.09, green, rng=rng)
        plants.leaves("blossom", top + rng.normal(0, (0.07, 0.07, 0.03), (60, 3)) + (0, 0, 0.08), 0.05, flower, rng=rng)
        return link("pot", pot, clay, at=at)

    return put


_PAPER = [(0.5, 0.1, 0.06), (0.06, 0.18, 0.3), (0.6, 0.5, 0.25), (0.1, 0.25, 0.15), (0.7, 0.66, 0.58), (0.3, 0.1, 0.25)]
_GLAZES = [(0.1, 0.25, 0.4), (0.65, 0.6, 0.5), (0.35, 0.12, 0.06), (0.15, 0.3, 0.25), (0.55, 0.4, 0.12)]


def _wares(kind: str, rng: np.random.Generator) -> tuple[_Ware, float]:
    """The wares of a shop, and the distance between them."""
    if kind == "bread":
        loaf = rounded([(0.0, 0.0), (0.1, 0.0), (0.12, 0.05), (0.08, 0.11), (0.0, 0.12)], steps=2)
        return _turned("loaf", loaf, [(0.5, 0.27, 0.09), (0.35, 0.16, 0.05), (0.62, 0.42, 0.2)], rng), 0.27
    if kind == "books":
        return _blocks("book", (0.03, 0.14, 0.19), (0.05, 0.19, 0.27), _PAPER, rng, lean=-12.0), 0.22
    if kind == "tea":
        pot = [
            (0.0, 0.0),
            (0.06, 0.0),
            (0.1, 0.06),
            (0.085, 0.13),
            (0.03, 0.155),
            (0.03, 0.165),
            (0.012, 0.19),
            (0, 0.19),
        ]
        return _turned("teapot", rounded(pot, steps=1), _GLAZES, rng, roughness=0.2, coat=0.8), 0.3
    if kind == "cheese":
        wheel = rounded([(0.0, 0.0), (0.16, 0.0), (0.165, 0.05), (0.16, 0.1), (0.0, 0.1)], steps=1)
        return _turned("cheese", wheel, [(0.75, 0.5, 0.12), (0.72, 0.62, 0.4), (0.5, 0.08, 0.04)], rng), 0.37
    if kind == "hats":
        return _hats(rng), 0.42
    if kind == "cameras":
        return _cameras(rng), 0.3
    if kind == "records":
        return _blocks("record", (0.01, 0.31, 0.31), (0.012, 0.31, 0.31), _PAPER, rng, lean=-15.0), 0.36
    if kind == "wine":
        bottle = [(0.0, 0.0), (0.038, 0.0), (0.038, 0.19), (0.015, 0.24), (0.014, 0.31), (0.0, 0.31)]
        glass = [(0.01, 0.04, 0.015), (0.05, 0.012, 0.008), (0.1, 0.09, 0.02)]
        return _turned("bottle", rounded(bottle, steps=2), glass, rng, roughness=0.06, coat=1.0), 0.13
    if kind == "flowers":
        return _pot_plants(rng), 0.3
    if kind == "toys":
        ball = sphere("ball", 0.1)
        skins = [materials.plain("ball", tone, roughness=0.3, coat=0.5) for tone in _PAPER]
        cubes = _blocks("cube", (0.12, 0.12, 0.12), (0.16, 0.16, 0.16), _PAPER, rng)

        def put(at: Vector3, turn: float):
            if rng.uniform() < 0.6:
                return cubes(at, turn + 20.0)
            skin = skins[int(rng.integers(len(skins)))]
            return link("ball", ball.copy(), skin, at=(at[0], at[1], at[2] + 0.1))

        return put, 0.26
    if kind == "clocks":
        rim = [(0.0, 0.0), (0.13, 0.0), (0.13, 0.04), (0.115, 0.045), (0.11, 0.03), (0.0, 0.03)]
        clock = _turned("clock", rim, [(0.7, 0.66, 0.55), (0.5, 0.32, 0.1), (0.3, 0.3, 0.32)], rng, roughness=0.25)

        def put_upright(at: Vector3, turn: float):
            # The face of the clock faces the street.
            made = clock((at[0], at[1], at[2] + 0.14), 0.0)
            made.rotation_euler = (0.0, math.radians(75.0), math.radians(turn))
            return made

        return put_upright, 0.33
    vase = [(0.0, 0.0), (0.05, 0.0), (0.1, 0.1), (0.05, 0.22), (0.04, 0.27), (0.055, 0.29), (0.04, 0.27), (0.0, 0.1)]
    return _turned("vase", rounded(vase, steps=2), _GLAZES, rng, roughness=0.25, coat=0.6), 0.27


def steps(rng: np.random.Generator, front: Front, kind: str, cloth: Colour) -> None:
    """Three steps covered with cloth, and a shop's wares on them: bread, books, tea, cheese, hats, cameras, records,
    wine, flowers, toys, clocks, or vases."""
    put, apart = _wares(kind, rng)
    cover = materials.fabric("display cloth", cloth, sheen=0.1)
    outwards = 180.0 if front.side > 0 else 0.0
    for k in range(3):
        deep, up = 0.22 + 0.26 * k, 0.04 + 0.32 * k
        # A step is a block that fills the space below it.
        box("step", (0.26, front.width, up), cover, at=front.inside(deep, 0.0, 0.0), bevel_m=0.01)
        count = int(front.width / apart)
        for along in (np.arange(count) - (count - 1) / 2) * apart + rng.uniform(-0.03, 0.03, count):
            put(front.inside(deep, along, up), outwards + rng.uniform(-18.0, 18.0))


def dummies(rng: np.random.Generator, front: Front, *, apart_m: float = 0.75) -> None:
    """Tailor's dummies in jackets and dresses."""
    wood = materials.wood("dummy stand", (0.35, 0.2, 0.1), (0.16, 0.08, 0.04), axis=2)
    stand = tubes("dummy stand", [np.array([(0, 0, 0), (0, 0, 0.4), (0, 0, 0.85)])], [0.018], sides=10)
    foot = lathe("dummy foot", [(0.0, 0.0), (0.16, 0.0), (0.15, 0.02), (0.0, 0.04)])
    jacket = [
        (0.0, 0.62),
        (0.19, 0.62),
        (0.16, 0.85),
        (0.155, 0.95),
        (0.2, 1.15),
        (0.21, 1.28),
        (0.14, 1.38),
        (0.06, 1.41),
    ]
    dress = [
        (0.36, 0.15),
        (0.34, 0.2),
        (0.2, 0.7),
        (0.13, 0.92),
        (0.17, 1.12),
        (0.18, 1.26),
        (0.12, 1.36),
        (0.055, 1.4),
    ]
    neck = [(0.05, 1.48), (0.0, 1.5)]
    tones = [(0.04, 0.05, 0.09), (0.35, 0.05, 0.06), (0.3, 0.27, 0.2), (0.06, 0.16, 0.14), (0.5, 0.42, 0.1)]
    count = max(1, int(front.width / apart_m))
    for along in (np.arange(count) - (count - 1) / 2) * apart_m + rng.uniform(-0.08, 0.08, count):
        at = front.inside(0.42, along, 0.0)
        cloth = materials.fabric("clothes", tones[int(rng.integers(len(tones)))])
        body = lathe("dummy", rounded([*(jacket if rng.uniform() < 0.5 else dress), *neck], steps=2), segments=32)
        # Wider along the street than it is deep.
        link("dummy", body, cloth, at=at, scale=(0.68, 1.0, 1.0))
        link("dummy stand", stand, wood, at=at)
        link("dummy foot", foot, wood, at=at)


def pendants(rng: np.random.Generator, front: Front, ceiling_m: float, *, deep_m: float) -> None:
    """A row of round lamps that hang from the ceiling. They are visible, but too weak to need sampling."""
    cord = materials.plain("cord", (0.02, 0.02, 0.02), roughness=0.7)
    glow = materials.light("pendant", (1.0, rng.uniform(0.62, 0.82), rng.uniform(0.3, 0.5)), 18.0, sampled=False)
    bulb = sphere("pendant", rng.uniform(0.06, 0.1))
    drop = ceiling_m - rng.uniform(1.95, 2.15)
    for along in np.arange(-front.width / 2 + 0.5, front.width / 2 - 0.3, 0.95):
        lamp, hook = (np.array(front.inside(deep_m, along, up)) for up in (ceiling_m - drop, ceiling_m))
        link("cord", tubes("cord", [np.stack([lamp, hook])], [0.006], sides=5), cord)
        link("pendant", bulb, glow, at=lamp)


def bar(rng: np.random.Generator, front: Front) -> None:
    """Rows of bottles against a lit wall, a counter, and stools in front of it."""
    top = materials.wood("counter", (0.32, 0.16, 0.07), (0.14, 0.06, 0.03), axis=1)
    dark = materials.plain("counter front", (0.05, 0.035, 0.03), roughness=0.5)
    seat = materials.plain("stool", (0.28, 0.04, 0.03), roughness=0.35, coat=0.3)
    bottles, _ = _wares("wine", rng)
    for up in (1.25, 1.7, 2.15):
        box("shelf", (0.25, front.width - 0.6, 0.03), top, at=front.inside(2.75, 0.0, up - 0.03), bevel_m=0.004)
        for along in np.arange(-front.width / 2 + 0.5, front.width / 2 - 0.4, 0.17):
            if rng.uniform() < 0.85:
                bottles(front.inside(2.75, along + rng.uniform(-0.03, 0.03), up), 0.0)
    box("counter front", (0.5, front.width - 1.2, 1.02), dark, at=front.inside(1.75, 0.0, 0.0), bevel_m=0.01)
    box("counter", (0.65, front.width - 1.0, 0.05), top, at=front.inside(1.72, 0.0, 1.02), bevel_m=0.012)
    stool = lathe(
        "stool", [(0, 0), (0.2, 0), (0.2, 0.02), (0.025, 0.04), (0.025, 0.7), (0.18, 0.72), (0.18, 0.8), (0, 0.8)]
    )
    for along in np.arange(-front.width / 2 + 1.0, front.width / 2 - 0.8, 0.8):
        link("stool", stool, seat, at=front.inside(1.1, along + rng.uniform(-0.08, 0.08), 0.0))


def tea_room(rng: np.random.Generator, front: Front) -> None:
    """Small tables, chairs with round backs, cups, pictures on the wall."""
    marble = materials.plain("table top", (0.75, 0.73, 0.7), roughness=0.2, coat=0.4)
    wood = materials.plain("chair", (0.2, 0.09, 0.04), roughness=0.4)
    frame = materials.plain("picture frame", (0.03, 0.025, 0.02), roughness=0.5)
    table = lathe(
        "table", [(0, 0), (0.22, 0), (0.2, 0.03), (0.03, 0.06), (0.03, 0.7), (0.36, 0.72), (0.36, 0.75), (0, 0.75)]
    )
    cups, _ = _wares("tea", rng)
    angle = np.linspace(0.0, math.pi, 15)
    back = np.stack([0 * angle, 0.21 * np.cos(angle), 0.45 + 0.5 * np.sin(angle) ** 0.6], axis=1)
    legs = [np.array([(0.38 * a, 0.18 * b, 0.0), (0.34 * a, 0.18 * b, 0.45)]) for a in (0, 1) for b in (-1, 1)]
    chair = tubes("chair", [back, *legs], [0.018, *[0.016] * 4], sides=8)
    seat = lathe("seat", [(0.0, 0.44), (0.2, 0.44), (0.2, 0.47), (0.0, 0.47)])
    for along in np.arange(-front.width / 2 + 0.9, front.width / 2 - 0.7, 1.5) + rng.uniform(-0.15, 0.15):
        deep = rng.uniform(0.75, 1.1)
        link("table", table, marble, at=front.inside(deep, along, 0.0))
        cups(front.inside(deep, along + rng.uniform(-0.15, 0.15), 0.75), 0.0)
        for towards in (0.0, 180.0):
            away = -0.55 if towards == 0.0 else 0.55
            where = front.inside(deep, along + away, 0.0)
            turn = (0, 0, towards + 90.0 + rng.uniform(-15.0, 15.0))
            link("chair", chair, wood, at=where, turn_deg=turn)
            link("seat", seat, wood, at=where)
        box("picture", (0.04, rng.uniform(0.4, 0.7), 0.5), frame, at=front.inside(2.85, along, 1.35), bevel_m=0.01)
