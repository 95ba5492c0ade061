"""A view up through blossoming branches: twigs, leaves and petals in front of the sky, a roof and wires behind."""

import math

import numpy as np

from blender_scripts.procedural import light, materials, plants
from blender_scripts.procedural.buildings import gabled_house
from blender_scripts.procedural.geometry import box, copies, link, placements, sphere, terrain, tubes


def build(rng: np.random.Generator) -> None:
    light.sky(
        sun_elevation_deg=rng.uniform(30, 45),
        sun_azimuth_deg=rng.uniform(-150, -100),
        exposure=1.5,
        clouds=rng.uniform(0.2, 0.45),
        rng=rng,
    )
    light.camera((0.0, 0.0, 1.5), (rng.uniform(-0.4, 0.4), 10.0, 4.3), focal_length_mm=45.0)
    bark = materials.plain(
        "bark", (0.1, 0.065, 0.05), roughness=0.85, variation=0.5, grain=60.0, bump_m=0.003, bump_scale=150.0
    )
    young = materials.leaf("young leaf", (0.12, 0.22, 0.03), (0.28, 0.38, 0.07))
    warmth = rng.uniform(0.55, 0.85)
    petal = materials.leaf("petal", (0.85, 0.6 * warmth, 0.62 * warmth), (0.95, 0.85, 0.85))
    heart = materials.plain("stamens", (0.7, 0.5, 0.12), roughness=0.6)

    # Branches that come in from the sides at very different distances.
    starts = [
        (-0.75, 0.9, 1.55, 1.0, 0.9),
        (0.85, 1.3, 2.1, -1.0, 1.0),
        (-1.3, 2.4, 2.05, 1.0, 1.6),
        (1.9, 3.6, 2.3, -1.0, 2.2),
        (0.15, 2.0, 3.0, 0.2, 0.9),
    ]
    paths, radii, twigs = [], [], []
    for x, y, z, side, length in starts:
        main = plants.branch(
            np.array([x, y, z]) + rng.normal(0, 0.06, 3),
            np.array([side, rng.uniform(-0.1, 0.5), rng.uniform(0.1, 0.5)]),
            length,
            wander=0.09,
            rise=0.25,
            points=12,
            rng=rng,
        )
        paths.append(main)
        radii.append(plants.tapered(main, 0.006 + 0.006 * length))
        for side_branch in plants.twigs_of(main, 8, 0.42 * length, spread=0.5, start=0.12, rise=0.5, rng=rng):
            paths.append(side_branch)
            radii.append(plants.tapered(side_branch, 0.0035 + 0.0015 * length))
            twigs.append(side_branch)
            for twig in plants.twigs_of(side_branch, 4, 0.18 * length, spread=0.5, rise=0.4, rng=rng):
                paths.append(twig)
                radii.append(plants.tapered(twig, 0.002))
                twigs.append(twig)
    link("branches", tubes("branches", paths, radii, sides=8), bark)
    along = np.concatenate([np.concatenate([t[1:], (t[1:] + t[:-1]) / 2]) for t in twigs])
    plants.leaves(
        "young leaves",
        along[rng.integers(0, len(along), 700)] + rng.normal(0, 0.006, (700, 3)),
        0.035,
        young,
        width=0.9,
        rng=rng,
    )
    _blossoms(along[rng.permutation(len(along))[:900]], petal, heart, rng)
    _beyond(rng)


def _blossoms(points, petal, heart, rng: np.random.Generator) -> None:
    """Blossoms of five round petals in small clusters."""
    outline = np.array(
        [(0.12, 0.0), (0.4, 0.3), (0.75, 0.4), (1.0, 0.22), (0.92, 0.0), (1.0, -0.22), (0.75, -0.4), (0.4, -0.3)]
    )
    cupped = np.concatenate([outline, 0.35 * outline[:, :1] ** 2 + 0.25 * outline[:, 1:] ** 2], axis=1)
    five = []
    for k in range(5):
        a = 2 * math.pi * k / 5
        five.append(cupped @ np.array([[math.cos(a), math.sin(a), 0], [-math.sin(a), math.cos(a), 0], [0, 0, 1]]))
    vertices = np.concatenate(five)
    faces = np.arange(40).reshape(5, 8)
    n = len(points)
    centres = points + rng.normal(0, 0.012, points.shape)
    turns = np.stack([rng.uniform(-1.2, 1.2, n), rng.uniform(-1.2, 1.2, n), rng.uniform(0, 6.3, n)], axis=1)
    where = placements(centres, turns, rng.uniform(0.014, 0.021, n))
    link("blossoms", copies("blossoms", vertices, faces, where), petal)
    star = np.array(
        [(0.22 * math.cos(a), 0.22 * math.sin(a), 0.12) for a in np.linspace(0, 2 * math.pi, 9)[:-1]] + [(0, 0, 0.3)]
    )
    spikes = np.array([(k, (k + 1) % 8, 8) for k in range(8)])
    link("stamens", copies("stamens", star, spikes, where), heart)


def _beyond(rng: np.random.Generator) -> None:
    """A tree's crown and a gable at middle distance, wires, a wooded ridge far away."""
    green = materials.leaf("crown", (0.03, 0.09, 0.015), (0.16, 0.26, 0.05))
    for x, y, tall in ((-3.6, 11.0, 6.8), (6.5, 17.0, 8.5), (-9.5, 22.0, 9.0)):
        plants.tree(
            "tree",
            (x + rng.uniform(-0.5, 0.5), y, -0.5),
            tall,
            plants.bark(),
            green,
            leaf_m=0.14,
            leaf_count=9000,
            rng=rng,
        )
    plaster = materials.plain("plaster", (0.7, 0.6, 0.42), roughness=0.9, variation=0.12)
    tile = materials.tiles(
        "tile",
        (0.35, 0.11, 0.06),
        (0.22, 0.07, 0.04),
        width_m=0.22,
        height_m=0.3,
        offset=0.5,
        grout=(0.06, 0.02, 0.015),
    )
    x, y, turn = 2.2, 20.0, rng.uniform(-35, 35)
    on_front = gabled_house("house", (6.0, 8.0), 4.6, 7.4, plaster, tile, at=(x, y, 0), turn_deg=turn)
    pane = materials.plain("pane", (0.03, 0.04, 0.05), roughness=0.04, coat=1.0)
    shutter = materials.wood("shutter", (0.07, 0.2, 0.14), (0.04, 0.12, 0.09), axis=2)
    white = materials.plain("window paint", (0.8, 0.79, 0.75), roughness=0.5)
    for u, v in ((-1.5, 3.0), (1.5, 3.0), (0.0, 5.0)):
        on_front("pane", (0.9, 0.04, 1.3), pane, u, v)
        on_front("bar", (0.05, 0.08, 1.3), white, u, v)
        on_front("sill", (1.1, 0.3, 0.08), white, u, v)
        for side in (-0.75, 0.75):
            on_front("shutter", (0.5, 0.1, 1.35), shutter, u + side, v)
    brick = materials.tiles(
        "chimney",
        (0.35, 0.13, 0.08),
        (0.28, 0.1, 0.06),
        width_m=0.21,
        height_m=0.07,
        offset=0.5,
        grout=(0.4, 0.38, 0.35),
        plane="xz",
    )
    box("chimney", (0.6, 0.6, 1.6), brick, at=(x + 0.9, y + 2.0, 6.5), turn_deg=(0, 0, turn))
    black = materials.plain("cable", (0.02, 0.02, 0.02), roughness=0.5)
    t = np.linspace(-1, 1, 30)
    wires = [np.stack([14 * t, 13 + 5 * t, 6.1 + 0.35 * k + 0.7 * t**2 + 0.6 * t], axis=1) for k in range(3)]
    link("cables", tubes("cables", wires, [0.012] * 3, sides=5), black)
    ridge = materials.ground("ridge", (0.03, 0.06, 0.02), (0.09, 0.14, 0.05), scale=0.3)
    phase = rng.uniform(0, 6, 3)

    def height(x, y):
        rise = np.clip((y - 40) / 300, 0, 1) ** 1.5
        return (
            rise * (70 + 16 * np.sin(x / 60 + phase[0]) + 9 * np.sin(x / 23 + phase[1]) + 6 * np.sin(y / 31 + phase[2]))
            - 0.5
        )

    link("land", terrain("land", (-320, 320), (-3, 420), height, steps=120), ridge)
    far = materials.leaf("far wood", (0.03, 0.07, 0.02), (0.11, 0.18, 0.05))
    px, py = rng.uniform(-190, 190, 2600), rng.uniform(100, 330, 2600)
    crowns = np.stack([px, py, height(px, py) + 1.5], axis=1)
    ball = sphere("crown", 1.0)
    vertices = np.array([v.co for v in ball.vertices]) * (1.0, 1.0, 1.2)
    quads = np.array([p.vertices for p in ball.polygons if len(p.vertices) == 4])
    upright = np.stack([0 * px, 0 * px, rng.uniform(0, 6.3, len(px))], axis=1)
    lumpy = vertices * (1.0 + 0.12 * np.sin(vertices @ rng.normal(0, 7, (3, 3))).sum(axis=1, keepdims=True))
    link("far wood", copies("far wood", lumpy, quads, placements(crowns, upright, rng.uniform(2.0, 4.2, len(px)))), far)
