"""The view from a terrace: a rail and flowers close by, a valley with houses and thousands of trees, rock far away."""

import math

import bpy
import numpy as np

from blender_scripts.procedural import figures, light, materials, plants
from blender_scripts.procedural.buildings import gabled_house
from blender_scripts.procedural.geometry import box, copies, lathe, link, mesh, placements, rounded, terrain, tubes
from blender_scripts.procedural.nodes import Nodes


def build(rng: np.random.Generator) -> None:
    light.sky(
        sun_elevation_deg=rng.uniform(30, 40),
        sun_azimuth_deg=rng.uniform(110, 150),
        exposure=1.9,
        clouds=rng.uniform(0.15, 0.35),
        haze=1.5,
        rng=rng,
    )
    light.camera((0.0, 0.0, 1.6), (rng.uniform(-1.0, 1.0), 20.0, 0.4), focal_length_mm=36.0)
    phase = rng.uniform(0, 2 * math.pi, 12)

    def height(x, y):
        """The valley's floor 60 m below, rising into mountains on both sides and at its end."""
        bend = 60 * np.sin(y / 260 + phase[0])
        across = np.abs(x - bend) / 400
        end = np.clip((y - 900) / 1800, 0, 1)
        rise = np.clip(across - 0.3, 0, None) ** 1.25 * np.clip(y / 300, 0.2, 1.4) + 1.5 * end
        rough = sum(
            np.abs(np.sin(x / (190 / f) + phase[i] + np.sin(y / (170 / f) + phase[i + 3]))) * 0.5 / f
            for i, f in enumerate((1, 2.3, 5.1, 9.7))
        )
        return -60 + 260 * rise * (0.65 + 0.55 * rough) + 1.2 * np.sin(x / 17 + phase[8]) * np.sin(y / 21 + phase[9])

    link("valley", terrain("valley", (-1500, 1500), (20, 3400), height, steps=330), _slopes())
    _woods(rng, height)
    _village(rng, height)
    _terrace(rng)
    figures.cat((rng.uniform(0.15, 0.4), 2.1, 1.065), 0.36, rng)


def _slopes():
    """Meadow where it is flat, rock where it is steep, snow up high."""
    material = bpy.data.materials.new("slopes")
    material.use_nodes = True
    material.node_tree.nodes.clear()
    nodes = Nodes(material.node_tree)
    steep = nodes("SeparateXYZ", {0: nodes("NewGeometry").outputs["Normal"]}).outputs[2]
    up = nodes("SeparateXYZ", {0: nodes.position()}).outputs[2]
    fine, fields = nodes.noise(0.05, detail=12.0), nodes.noise(0.012, detail=2.0)
    meadow = nodes.ramp(
        fields, [(0.35, (0.05, 0.09, 0.02, 1)), (0.5, (0.14, 0.17, 0.05, 1)), (0.62, (0.09, 0.13, 0.03, 1))]
    )
    rock = nodes.ramp(fine, [(0.35, (0.1, 0.095, 0.09, 1)), (0.65, (0.36, 0.34, 0.31, 1))])
    is_rock = nodes(
        "MapRange", {0: nodes.math("ADD", steep, nodes.math("MULTIPLY", fine, 0.25)), 1: 0.98, 2: 0.84}
    ).outputs[0]
    snow_line = nodes.math("ADD", up, nodes.math("MULTIPLY", fine, 160.0))
    is_snow = nodes("MapRange", {0: snow_line, 1: 330.0, 2: 370.0}).outputs[0]
    colour = nodes.mix(is_snow, nodes.mix(is_rock, meadow, rock), (0.8, 0.82, 0.86, 1))
    # Haze: distant slopes have the colour of the sky.
    distance = nodes("CameraData").outputs["View Z Depth"]
    haze = nodes.math("SUBTRACT", 1.0, nodes.math("EXPONENT", nodes.math("DIVIDE", distance, -3000.0)))
    surface = nodes("BsdfPrincipled", {"Base Color": colour, "Roughness": 0.95, "Normal": nodes.bump(fine, 6.0)})
    air = nodes("Emission", {"Color": (0.42, 0.55, 0.75, 1), "Strength": 0.75})
    both = nodes("MixShader", {0: haze, 1: surface.outputs[0], 2: air.outputs[0]})
    nodes("OutputMaterial", {"Surface": both.outputs[0]})
    material.cycles.emission_sampling = "NONE"
    return material


def _woods(rng: np.random.Generator, height) -> None:
    """Spruces as cones of three tiers, in patches."""
    dark = materials.leaf("spruce", (0.012, 0.04, 0.015), (0.05, 0.1, 0.03))
    angle = np.linspace(0, 2 * math.pi, 8)[:-1]
    vertices, faces = [], []
    for radius, low, high in ((0.2, 0.12, 0.55), (0.155, 0.38, 0.78), (0.1, 0.62, 1.0)):
        base = len(vertices)
        vertices += [
            (radius * math.cos(a) * (1 + 0.25 * (k % 2)), radius * math.sin(a) * (1 + 0.25 * (k % 2)), low)
            for k, a in enumerate(angle)
        ]
        vertices.append((0, 0, high))
        faces += [(base + k, base + (k + 1) % 7, base + 7) for k in range(7)]
    n = 26000
    y = 60 + 1300 * rng.uniform(0, 1, n) ** 1.6
    x = rng.uniform(-0.62, 0.62, n) * (y + 60)
    patch = np.sin(x / 37 + 1) + np.sin(y / 53 + 2) + np.sin((x + y) / 71) + 0.8 * np.sin(x / 11) * np.sin(y / 13)
    z = height(x, y)
    keep = (patch - np.abs(z - 10) / 60 + 0.6 > rng.uniform(0.1, 1.3, n)) & (z < 190)
    x, y, z = x[keep], y[keep], z[keep]
    turns = np.stack([0 * x, 0 * x, rng.uniform(0, 6.3, len(x))], axis=1)
    where = placements(np.stack([x, y, z - 0.5], axis=1), turns, rng.uniform(7, 15, len(x)))
    link("spruces", copies("spruces", np.array(vertices), np.array(faces), where), dark)


def _village(rng: np.random.Generator, height) -> None:
    """White houses with red roofs around a church."""
    white = materials.plain("white wall", (0.78, 0.74, 0.66), roughness=0.9, variation=0.1)
    roof = materials.plain("roof", (0.36, 0.12, 0.07), roughness=0.85, variation=0.35, grain=0.4)
    pane = materials.plain("pane", (0.03, 0.035, 0.05), roughness=0.1)
    cx, cy = rng.uniform(-25, 25), rng.uniform(230, 270)
    spots = [(0.0, 0.0, 1.6)] + [(*rng.normal(0, (38, 50)), 1.0) for _ in range(46)]
    for dx, dy, size in spots:
        x, y = cx + dx, cy + dy
        z = float(height(np.float64(x), np.float64(y))) - 0.5
        w, d, eaves = (
            8 * size * rng.uniform(0.8, 1.2),
            11 * size * rng.uniform(0.8, 1.2),
            5 * size * rng.uniform(0.8, 1.3),
        )
        turn = rng.choice([8.0, 98.0]) + rng.uniform(-9, 9)
        on_front = gabled_house(
            "house", (w, d), eaves, eaves + 0.45 * w, white, roof, at=(x, y, z), turn_deg=turn, overhang_m=0.6
        )
        for u in (-0.25, 0.25):
            for v in (0.25, 0.65):
                on_front("pane", (1.0, 0.1, 1.3), pane, u * w, v * eaves)
    z = float(height(np.float64(cx - 8), np.float64(cy)))
    box("tower", (6, 6, 24), white, at=(cx - 9, cy - 6, z - 1), bevel_m=0)
    spire = [(-3.4, -3.4, 0), (3.4, -3.4, 0), (3.4, 3.4, 0), (-3.4, 3.4, 0), (0, 0, 15)]
    link("spire", mesh("spire", spire, [(0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)]), roof, at=(cx - 9, cy - 6, z + 23))


def _terrace(rng: np.random.Generator) -> None:
    """Stone floor, wrought-iron rail with a wooden hand rail, pots of geraniums."""
    flags = materials.tiles(
        "flagstones",
        (0.34, 0.31, 0.27),
        (0.25, 0.23, 0.2),
        width_m=0.6,
        height_m=0.45,
        offset=0.4,
        grout=(0.1, 0.09, 0.08),
        roughness=0.8,
    )
    iron = materials.plain("wrought iron", (0.02, 0.022, 0.025), roughness=0.5, metallic=0.7)
    oak = materials.wood("hand rail", (0.4, 0.23, 0.12), (0.2, 0.1, 0.05), roughness=0.35)
    stone = materials.plain("stone", (0.45, 0.42, 0.37), roughness=0.85, variation=0.35, grain=9.0, bump_m=0.006)
    y = 2.1
    box("terrace", (12.0, 3.4, 0.3), flags, at=(0, 0.75, -0.3), bevel_m=0.02)
    box("hand rail", (9.0, 0.09, 0.045), oak, at=(0, y, 1.02), bevel_m=0.012)
    box("lower rail", (9.0, 0.03, 0.02), iron, at=(0, y, 0.12), bevel_m=0.004)
    bars, radii = [], []
    for k, x in enumerate(np.arange(-3.6, 3.61, 0.12)):
        z = np.linspace(0.12, 1.02, 15)
        swell = 0.02 * np.sin((z - 0.12) / 0.9 * 2 * math.pi) * (k % 2)
        bars.append(np.stack([x + swell, y + 0 * z, z], axis=1))
        radii.append(np.full(15, 0.0065))
    link("bars", tubes("bars", bars, radii, sides=8), iron)
    for x in (-2.2, 2.35):
        box("pillar", (0.36, 0.36, 1.1), stone, at=(x, y, 0), bevel_m=0.02)
        box("cap", (0.46, 0.46, 0.09), stone, at=(x, y, 1.1), bevel_m=0.02)
    clay = materials.plain("clay", (0.48, 0.19, 0.1), roughness=0.85, variation=0.3)
    green = materials.leaf("geranium leaf", (0.03, 0.1, 0.02), (0.1, 0.24, 0.05))
    petals = materials.leaf("geranium", (0.6, 0.02, 0.04), (0.8, 0.08, 0.12))
    pot = lathe("pot", rounded([(0, 0), (0.09, 0), (0.13, 0.2), (0.145, 0.2), (0.145, 0.24), (0.12, 0.24)], steps=2))
    for x, py, z in ((-2.2, y, 1.19), (2.35, y, 1.19), (-0.5, 0.95, 1.0)):
        link("pot", pot, clay, at=(x, py, z))
        plants.bush("geranium leaves", (x, py, z + 0.2), (0.2, 0.2, 0.2), green, leaf_m=0.06, leaf_count=420, rng=rng)
        heading = rng.normal(0, 1, (13, 3)) * (1, 1, 0.5) + (0, 0, 0.8)
        heads = np.array([x, py, z + 0.22]) + 0.23 * heading / np.linalg.norm(heading, axis=1, keepdims=True)
        plants.leaves(
            "geranium heads",
            np.repeat(heads, 45, axis=0) + rng.normal(0, 0.018, (13 * 45, 3)),
            0.022,
            petals,
            width=1.4,
            rng=rng,
        )
    # The near pot is on a small table at the edge of the picture.
    box("table", (0.5, 0.5, 0.03), oak, at=(-0.54, 0.95, 0.97), bevel_m=0.01)
