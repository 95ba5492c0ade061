"""A meadow behind a fence: wires and grass in front, trees and a barn behind, hills and sky far away."""

import math

import numpy as np

from blender_scripts.procedural import light, materials, plants
from blender_scripts.procedural.buildings import gabled_house
from blender_scripts.procedural.geometry import box, link, terrain, tubes, waves


def build(rng: np.random.Generator) -> None:
    light.sky(
        sun_elevation_deg=rng.uniform(18, 32),
        sun_azimuth_deg=rng.uniform(-130, -60),
        exposure=1.5,
        clouds=rng.uniform(0.25, 0.5),
        rng=rng,
    )
    light.camera((0.0, 0.0, 1.22), (rng.uniform(-0.6, 0.6), 10.0, 1.2), focal_length_mm=38.0)
    rolling = waves(0.35, 14.0, rng=rng)
    ridge = waves(14.0, 160.0, rng=rng)

    def height(x, y):
        """Meadow near, hills far."""
        far = np.clip((y - 50.0) / 150.0, 0.0, 1.0)
        return rolling(x, y) * np.clip((y - 1.0) / 12.0, 0.0, 1.0) + far**2 * (16.0 + ridge(x, y))

    soil = materials.ground("meadow", (0.035, 0.05, 0.012), (0.12, 0.14, 0.035), scale=1.2)
    link("ground", terrain("ground", (-120.0, 120.0), (-2.0, 320.0), height, steps=160), soil)
    blade = materials.leaf("grass", (0.05, 0.12, 0.015), (0.22, 0.27, 0.05))
    plants.grass("near grass", (-3.5, 3.5), (1.1, 5.0), 9000, 0.3, blade, ground=height, rng=rng)
    plants.grass("far grass", (-16.0, 16.0), (4.0, 30.0), 30000, 0.28, blade, ground=height, width_m=0.012, rng=rng)

    stalk = materials.leaf("stalk", (0.25, 0.2, 0.07), (0.5, 0.42, 0.18))
    for side in (-1, 1):
        reach = sorted((side * 0.12, side * 0.6))
        plants.grass("stalks", (reach[0], reach[1]), (0.5, 1.1), 80, 1.02, stalk, width_m=0.007, bend=0.2, rng=rng)
    _fence(rng, height)
    _barn(rng, height)
    bark = plants.bark()
    for i in range(7):
        green = rng.uniform(0.7, 1.2)
        crown = materials.leaf(f"crown {i}", (0.02 * green, 0.06 * green, 0.008), (0.13, 0.2 * green, 0.03))
        y = rng.uniform(14.0, 60.0)
        side = (-1) ** i * rng.uniform(0.25, 0.55)
        x = y * side
        plants.tree(
            f"tree {i}",
            (x, y, height(x, y) - 0.1),
            rng.uniform(5.0, 9.0),
            bark,
            crown,
            leaf_m=0.2,
            leaf_count=7000,
            rng=rng,
        )
    far_green = materials.leaf("wood", (0.02, 0.05, 0.012), (0.07, 0.12, 0.03))
    for i in range(26):
        y = rng.uniform(70.0, 190.0)
        x = rng.uniform(-0.5, 0.5) * y
        r = rng.uniform(3.0, 6.0)
        plants.bush(
            f"wood {i}", (x, y, height(x, y) - 0.3), (r, r, r * 1.2), far_green, leaf_m=0.7, leaf_count=1200, rng=rng
        )


def _fence(rng: np.random.Generator, height) -> None:
    """Weathered posts with two rails and woven wire. The fence leads away to one side."""
    grey = materials.wood("weathered", (0.34, 0.29, 0.23), (0.12, 0.09, 0.06), roughness=0.85, axis=2)
    rail = materials.wood("rail", (0.36, 0.3, 0.24), (0.14, 0.1, 0.07), roughness=0.85, axis=0)
    wire = materials.plain("wire", (0.38, 0.36, 0.33), roughness=0.4, metallic=0.9, variation=0.4, grain=40.0)
    turn = rng.uniform(8.0, 16.0)
    slope = math.tan(math.radians(turn))

    def at(x):
        """Position of the fence at x."""
        return 2.6 + slope * x

    for x in np.arange(-2.7, 6.0, 1.7):
        z = float(height(x, at(x)))
        box(
            "post",
            (0.11, 0.1, 1.25),
            grey,
            at=(x, at(x), z - 0.1),
            turn_deg=(*rng.uniform(-2.5, 2.5, 2), turn),
            bevel_m=0.012,
        )
        for z_rail in (0.4, 0.97):
            box(
                "rail",
                (1.78, 0.035, 0.1),
                rail,
                at=(x + 0.85, at(x + 0.85) - 0.07, z + z_rail + rng.uniform(-0.02, 0.02)),
                turn_deg=(0, rng.uniform(-1.2, 1.2), turn),
                bevel_m=0.008,
            )
    xs = np.arange(-2.7, 5.9, 0.08)
    paths = []
    for z in np.arange(0.06, 0.96, 0.09):
        sag = 0.012 * np.sin(xs * math.pi / 1.7) ** 2
        paths.append(np.stack([xs, at(xs) - 0.02, z - sag + 0.0 * xs], axis=1))
    for x in np.arange(-2.66, 5.9, 0.1):
        z = np.linspace(0.06, 0.93, 5)
        paths.append(np.stack([x + rng.normal(0, 0.004, 5), at(x) - 0.02 + 0 * z, z], axis=1))
    link("wire", tubes("wire", paths, [0.0024] * len(paths), sides=5), wire)


def _barn(rng: np.random.Generator, height) -> None:
    x, y = rng.uniform(1.5, 4.5), rng.uniform(24.0, 30.0)
    z = float(height(x, y)) - 0.2
    red = materials.wood("red boards", (0.42, 0.09, 0.05), (0.2, 0.035, 0.02), roughness=0.8, axis=2, scale=0.7)
    white = materials.plain("white paint", (0.75, 0.72, 0.66), roughness=0.7)
    roof = materials.tiles(
        "roof",
        (0.2, 0.12, 0.09),
        (0.12, 0.08, 0.07),
        width_m=0.3,
        height_m=0.25,
        offset=0.5,
        grout=(0.04, 0.03, 0.03),
        plane="xy",
        roughness=0.8,
    )
    turn = rng.uniform(-28, 28)
    on_front = gabled_house("barn", (6.0, 9.0), 3.0, 5.2, red, roof, at=(x, y, z), turn_deg=turn)
    on_front("door frame", (2.4, 0.16, 2.5), white, 0.0, 0.0)
    on_front("door", (2.2, 0.2, 2.38), red, 0.0, 0.0)
    on_front("hatch", (0.9, 0.16, 0.9), white, 0.0, 3.3)
