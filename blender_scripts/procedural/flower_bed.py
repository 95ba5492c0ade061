"""A garden seen from among its flowers: daisies close to the lens, a path, a watering can, a greenhouse behind."""

import math

import numpy as np

from blender_scripts.procedural import light, materials, plants
from blender_scripts.procedural.geometry import box, lathe, link, rounded, sphere, terrain, tubes, waves


def build(rng: np.random.Generator) -> None:
    light.sky(
        sun_elevation_deg=rng.uniform(22, 35),
        sun_azimuth_deg=rng.uniform(110, 150),
        exposure=1.35,
        clouds=0.35,
        rng=rng,
    )
    light.camera((0.0, 0.0, 0.5), (rng.uniform(-0.1, 0.1), 4.0, 0.56), focal_length_mm=34.0)
    height = waves(0.03, 1.5, rng=rng)
    soil = materials.ground("soil", (0.03, 0.02, 0.012), (0.1, 0.07, 0.045), scale=6.0)
    lawn = materials.leaf("lawn", (0.05, 0.13, 0.02), (0.18, 0.3, 0.06))
    link("ground", terrain("ground", (-20, 20), (-1, 40), height, steps=120), soil)
    plants.grass("lawn", (-3.0, -0.32), (0.6, 6.5), 15000, 0.1, lawn, ground=height, width_m=0.005, rng=rng)
    plants.grass("lawn", (0.42, 4.0), (0.6, 9.0), 17000, 0.1, lawn, ground=height, width_m=0.005, rng=rng)
    _path(rng, height)

    stem = materials.leaf("stem", (0.04, 0.13, 0.02), (0.12, 0.26, 0.05))
    white = materials.leaf("white petal", (0.75, 0.75, 0.7), (0.92, 0.92, 0.9))
    yellow = materials.plain("heart", (0.75, 0.42, 0.02), roughness=0.7, bump_m=0.002, bump_scale=600.0)
    violet = materials.leaf("violet petal", (0.2, 0.08, 0.45), (0.45, 0.25, 0.7))
    red = materials.leaf("red petal", (0.6, 0.03, 0.03), (0.85, 0.12, 0.05))

    def sow(count, x, y, tall, petal, size, petals) -> None:
        for _ in range(count):
            px, py = rng.uniform(*x), rng.uniform(*y)
            plants.flower(
                "flower",
                (px, py, float(height(px, py))),
                rng.uniform(*tall),
                petal,
                yellow,
                stem,
                petals=petals,
                petal_m=size,
                facing=(rng.normal(0, 0.4), -0.8, 0.8),
                rng=rng,
            )

    sow(6, (-0.3, -0.09), (0.3, 0.55), (0.38, 0.5), white, 0.026, 17)
    sow(5, (0.1, 0.34), (0.32, 0.62), (0.36, 0.49), white, 0.026, 17)
    sow(3, (-0.1, -0.03), (0.2, 0.27), (0.5, 0.56), red, 0.03, 9)
    sow(26, (-1.1, -0.35), (0.8, 2.0), (0.25, 0.5), violet, 0.03, 13)
    sow(26, (0.45, 1.4), (0.9, 2.4), (0.25, 0.5), red, 0.032, 9)
    sow(30, (-2.2, -0.6), (2.2, 4.5), (0.3, 0.6), white, 0.032, 15)
    sow(24, (0.8, 2.8), (2.8, 5.0), (0.3, 0.6), violet, 0.034, 13)
    _can(rng, height)
    _greenhouse(rng)
    hedge = materials.leaf("hedge", (0.02, 0.06, 0.012), (0.1, 0.18, 0.035))
    for x in np.arange(-14.0, 14.0, 1.1):
        r = rng.uniform(0.8, 1.2)
        plants.bush(
            "hedge",
            (x, 13.5 + rng.uniform(-0.4, 0.4), 0.0),
            (r, r, 1.6 * r),
            hedge,
            leaf_m=0.11,
            leaf_count=2200,
            rng=rng,
        )
    for x, y, tall in ((-6.0, 18.0, 8.0), (5.5, 20.0, 9.0), (0.5, 26.0, 10.0)):
        plants.tree(
            "tree", (x + rng.uniform(-1, 1), y, 0), tall, plants.bark(), hedge, leaf_m=0.18, leaf_count=7000, rng=rng
        )


def _path(rng: np.random.Generator, height) -> None:
    stone = materials.plain(
        "stepping stone", (0.4, 0.38, 0.34), roughness=0.85, variation=0.35, grain=14.0, bump_m=0.005
    )
    for y in np.arange(0.7, 9.5, 0.48):
        slab = lathe(
            "slab",
            rounded([(0, 0.0), (0.19, 0.0), (0.19, 0.045), (0, 0.05)], steps=2),
            segments=int(rng.integers(7, 11)),
        )
        x = 0.06 + 0.05 * math.sin(2 * y) + rng.uniform(-0.02, 0.02)
        link(
            "stepping stone",
            slab,
            stone,
            at=(x, y, float(height(x, y)) - 0.012),
            turn_deg=(0, 0, rng.uniform(0, 360)),
            scale=(1.15, 1.0, 1.0),
        )


def _can(rng: np.random.Generator, height) -> None:
    """A zinc watering can beside the path."""
    zinc = materials.plain("zinc", (0.5, 0.52, 0.53), roughness=0.35, metallic=1.0, variation=0.3, grain=25.0)
    x, y = rng.uniform(0.34, 0.46), rng.uniform(2.3, 2.7)
    z = float(height(x, y))
    body = rounded([(0.0, 0.0), (0.12, 0.0), (0.12, 0.02), (0.105, 0.24), (0.1, 0.26)], steps=2)
    link("can", lathe("can", body), zinc, at=(x, y, z)).modifiers.new("thick", "SOLIDIFY").thickness = 0.002
    turn = rng.uniform(150, 210)
    spout = np.array([(0.1, 0, 0.06), (0.2, 0, 0.14), (0.3, 0, 0.27), (0.33, 0, 0.31)])
    angle = np.linspace(-1.7, 1.5, 15)
    grip = np.stack([-0.09 - 0.08 * np.cos(angle), 0 * angle, 0.15 + 0.09 * np.sin(angle)], axis=1)
    bow = np.stack(
        [0.1 * np.cos(np.linspace(0, math.pi, 15)), 0 * angle, 0.25 + 0.11 * np.sin(np.linspace(0, math.pi, 15))],
        axis=1,
    )
    parts = tubes("spout", [spout, grip, bow], [np.array([0.022, 0.017, 0.013, 0.013]), 0.007, 0.006], sides=14)
    link("spout", parts, zinc, at=(x, y, z), turn_deg=(0, 0, turn))
    rose = link("rose", lathe("rose", [(0.012, 0.0), (0.045, 0.04), (0.0, 0.046)]), zinc)
    radians = math.radians(turn)
    rose.location = (x + 0.325 * math.cos(radians), y + 0.325 * math.sin(radians), z + 0.3)
    rose.rotation_euler = (0, math.radians(50), radians)


def _greenhouse(rng: np.random.Generator) -> None:
    """Panes between white bars on a low brick wall, plants inside."""
    white = materials.plain("white bars", (0.8, 0.8, 0.77), roughness=0.5, variation=0.06)
    brick = materials.tiles(
        "bricks",
        (0.4, 0.16, 0.1),
        (0.3, 0.11, 0.07),
        width_m=0.215,
        height_m=0.075,
        offset=0.5,
        grout=(0.45, 0.42, 0.38),
        plane="xz",
    )
    pane = materials.glass("pane", (0.97, 1.0, 0.98))
    x0, x1, y, depth, low, eaves, top = -1.9, 2.2, 8.6, 2.6, 0.6, 1.9, 2.8
    middle = (x0 + x1) / 2
    box("low wall", (x1 - x0, 0.2, low), brick, at=(middle, y, 0), bevel_m=0.005)
    for yy in (y, y + depth):
        box("sill", (x1 - x0 + 0.1, 0.26, 0.05), white, at=(middle, yy, low))
        box("eaves", (x1 - x0 + 0.1, 0.08, 0.08), white, at=(middle, yy, eaves))
        for x in np.linspace(x0, x1, 9):
            box("bar", (0.045, 0.045, eaves - low), white, at=(x, yy, low))
    box("transom", (x1 - x0, 0.035, 0.035), white, at=(middle, y, 1.3))
    box("ridge", (x1 - x0 + 0.1, 0.08, 0.08), white, at=(middle, y + depth / 2, top))
    rafters = []
    for x in np.linspace(x0, x1, 9):
        rafters += [
            np.array([(x, y, eaves + 0.05), (x, y + depth / 2, top + 0.05)]),
            np.array([(x, y + depth, eaves + 0.05), (x, y + depth / 2, top + 0.05)]),
        ]
    link("rafters", tubes("rafters", rafters, [0.022] * len(rafters), sides=6), white)
    box("front panes", (x1 - x0, 0.006, eaves - low), pane, at=(middle, y, low), bevel_m=0)
    green = materials.leaf("tomato", (0.03, 0.1, 0.02), (0.12, 0.26, 0.05))
    fruit = materials.plain("tomato fruit", (0.7, 0.05, 0.02), roughness=0.2, coat=0.5)
    ball = sphere("fruit", 0.035, squash=0.914)
    for x in np.arange(x0 + 0.3, x1 - 0.2, 0.5):
        plants.bush("tomato", (x, y + 1.0, 0.1), (0.3, 0.3, 1.5), green, leaf_m=0.1, leaf_count=500, rng=rng)
        for _ in range(5):
            link("fruit", ball, fruit, at=(x + rng.uniform(-0.22, 0.22), y + 0.72, rng.uniform(0.6, 1.4)))
