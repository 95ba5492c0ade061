"""Grass, leaves, trees, flowers. Each kind is one mesh per place, so that thousands of plants are cheap."""

import math
from collections.abc import Callable, Sequence

import bpy
import numpy as np
from mathutils import Vector
from numpy.typing import NDArray

from blender_scripts.procedural import materials
from blender_scripts.procedural.geometry import copies, link, mesh, placements, sphere, tubes

# A leaf of length 1 along +x: two halves folded along the midrib.
_LEAF_OUTLINE = [(0.0, 0.0), (0.18, 0.12), (0.42, 0.2), (0.7, 0.15), (0.9, 0.06), (1.0, 0.0)]


def leaf_shape(width: float = 1.0) -> tuple[NDArray, NDArray]:
    """(vertices, faces) of a pointed leaf of length 1; `width` scales its breadth of 0.4."""
    rib = np.array([(x, 0.0, 0.12 * math.sin(math.pi * x)) for x, _ in _LEAF_OUTLINE])
    side = np.array([(x, width * y, 0.12 * math.sin(math.pi * x) + 0.25 * width * y) for x, y in _LEAF_OUTLINE])
    vertices = np.concatenate([rib, side, side * (1.0, -1.0, 1.0)])
    n, i = len(rib), np.arange(len(rib) - 1)
    left = np.stack([i, i + 1, i + 1 + n, i + n], axis=1)
    right = np.stack([i, i + 2 * n, i + 1 + 2 * n, i + 1], axis=1)
    return vertices, np.concatenate([left, right])


def leaves(
    name: str,
    points: NDArray,
    length_m: float,
    material: bpy.types.Material,
    *,
    width: float = 1.0,
    rng: np.random.Generator,
) -> bpy.types.Object:
    """A leaf in every direction at each of (n, 3) points, sizes within a third of `length_m`."""
    n = len(points)
    turns = np.stack([rng.uniform(-0.8, 0.8, n), rng.uniform(-0.5, 1.1, n), rng.uniform(0, 2 * math.pi, n)], axis=1)
    sizes = length_m * rng.uniform(0.67, 1.33, n)
    return link(name, copies(name, *leaf_shape(width), placements(points, turns, sizes)), material)


def grass(
    name: str,
    x: tuple[float, float],
    y: tuple[float, float],
    count: int,
    height_m: float,
    material: bpy.types.Material,
    *,
    ground: Callable = lambda x, y: 0.0 * x,
    width_m: float = 0.006,
    bend: float = 0.8,
    rng: np.random.Generator,
) -> bpy.types.Object:
    """Blades over a rectangle, bent sideways by up to `bend` of their height.

    Nearer rows (small y) are denser, because they appear larger.
    """
    px = rng.uniform(*x, count)
    py = y[0] + (y[1] - y[0]) * rng.uniform(0, 1, count) ** 2
    height = height_m * rng.lognormal(0.0, 0.3, count)
    azimuth, bent = rng.uniform(0, 2 * math.pi, count), rng.uniform(0.1 * bend, bend, count)
    t = np.linspace(0.0, 1.0, 4)
    lean = np.stack([np.cos(azimuth), np.sin(azimuth)], axis=1)
    out = bent[:, None] * t**2 * height[:, None]
    centre = np.concatenate(
        [
            np.stack([px, py], axis=1)[:, None] + out[..., None] * lean[:, None],
            (ground(px, py)[:, None] + height[:, None] * (t - 0.25 * bent[:, None] * t**2))[..., None],
        ],
        axis=2,
    )
    # Far blades are wider. Otherwise they would be thinner than a pixel and only add noise.
    half = width_m * (1.0 + 0.06 * (py - y[0]))[:, None] / 2 * (1.0 - 0.85 * t)
    across = np.stack([-lean[:, 1], lean[:, 0], np.zeros(count)], axis=1)[:, None] * half[..., None]
    vertices = np.stack([centre - across, centre + across], axis=2).reshape(-1, 3)
    i = 2 * np.arange(3)
    blade = np.stack([i, i + 1, i + 3, i + 2], axis=1)
    faces = (blade[None] + 8 * np.arange(count)[:, None, None]).reshape(-1, 4)
    return link(name, mesh(name, vertices, faces), material)


def branch(
    start: NDArray,
    direction: NDArray,
    length_m: float,
    *,
    wander: float,
    rise: float,
    points: int = 8,
    rng: np.random.Generator,
) -> NDArray:
    """(points, 3) path of a winding branch that bends upwards by `rise`, or downwards if it is negative."""
    steps = [np.asarray(start, float)]
    heading = np.asarray(direction, float) / np.linalg.norm(direction)
    for _ in range(points - 1):
        heading = heading + rng.normal(0.0, wander, 3) + (0.0, 0.0, rise / points)
        heading /= np.linalg.norm(heading)
        steps.append(steps[-1] + heading * length_m / (points - 1))
    return np.array(steps)


def twigs_of(
    path: NDArray,
    count: int,
    length_m: float,
    *,
    spread: float = 0.9,
    start: float = 0.25,
    rise: float = 0.3,
    rng: np.random.Generator,
) -> list[NDArray]:
    """Side branches along a branch, shorter towards its end."""
    result = []
    for t in np.linspace(start, 0.97, count) + rng.uniform(-0.03, 0.03, count):
        i = min(t, 0.999) * (len(path) - 1)
        k = int(i)
        base = path[k] + (path[k + 1] - path[k]) * (i - k)
        along = (path[k + 1] - path[k]) / np.linalg.norm(path[k + 1] - path[k])
        heading = along + spread * rng.normal(0.0, 1.0, 3)
        result.append(
            branch(
                base, heading, length_m * (1.25 - t) * rng.uniform(0.7, 1.2), wander=0.16, rise=rise, points=6, rng=rng
            )
        )
    return result


def tapered(path: NDArray, radius_m: float) -> NDArray:
    return radius_m * np.linspace(1.0, 0.25, len(path))


def tree(
    name: str,
    at: Sequence[float],
    height_m: float,
    bark: bpy.types.Material,
    foliage: bpy.types.Material,
    *,
    leaf_m: float = 0.12,
    leaf_count: int = 6000,
    rng: np.random.Generator,
) -> None:
    """A broad-leaved tree: trunk, boughs, twigs, and leaves around the twigs."""
    trunk = branch(np.array(at), np.array([0.0, 0.0, 1.0]), 0.75 * height_m, wander=0.05, rise=0.3, rng=rng)
    paths, radii = [trunk], [tapered(trunk, 0.028 * height_m)]
    tips = []
    for bough in twigs_of(trunk, 13, 0.5 * height_m, spread=0.75, start=0.3, rng=rng):
        paths.append(bough)
        radii.append(tapered(bough, 0.009 * height_m))
        for twig in twigs_of(bough, 7, 0.2 * height_m, rng=rng):
            paths.append(twig)
            radii.append(tapered(twig, 0.0025 * height_m))
            tips.append(twig)
    link(f"{name} wood", tubes(f"{name} wood", paths, radii, sides=7), bark)
    along = np.concatenate([np.concatenate([twig[1:], (twig[1:] + twig[:-1]) / 2]) for twig in tips])
    points = along[rng.integers(0, len(along), leaf_count)] + rng.normal(0.0, 0.022 * height_m, (leaf_count, 3))
    leaves(f"{name} leaves", points, leaf_m, foliage, rng=rng)


def bush(
    name: str,
    at: Sequence[float],
    size: Sequence[float],
    material: bpy.types.Material,
    *,
    leaf_m: float = 0.05,
    leaf_count: int = 3000,
    rng: np.random.Generator,
) -> None:
    """Leaves in a lumpy half ellipsoid of the given half axes, most of them near its surface."""
    heading = rng.normal(0.0, 1.0, (leaf_count, 3))
    heading[:, 2] = np.abs(heading[:, 2])
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    lump = (
        1.0 + 0.12 * np.sin(heading @ rng.normal(0.0, 5.0, 3) + 1.0) + 0.1 * np.sin(heading @ rng.normal(0.0, 9.0, 3))
    )
    radius = lump * rng.uniform(0.45, 1.0, leaf_count) ** 0.4
    core = materials.plain("bush core", (0.01, 0.02, 0.006), roughness=1.0)
    link(f"{name} core", sphere(f"{name} core", 1.0), core, at=at, scale=0.72 * np.array(size))
    leaves(name, np.array(at) + heading * radius[:, None] * size, leaf_m, material, rng=rng)


def flower(
    name: str,
    at: Sequence[float],
    height_m: float,
    petal: bpy.types.Material,
    heart: bpy.types.Material,
    stem: bpy.types.Material,
    *,
    petals: int = 14,
    petal_m: float = 0.04,
    facing: Sequence[float] = (0.0, -0.5, 1.0),
    rng: np.random.Generator,
) -> None:
    """A daisy: a bent stem, a few leaves, and a heart with a ring of petals in the direction `facing`."""
    path = branch(np.array(at), rng.normal(0.0, 0.12, 3) + (0.0, 0.0, 1.0), height_m, wander=0.05, rise=0.0, rng=rng)
    link(f"{name} stem", tubes(f"{name} stem", [path], [0.0025], sides=6), stem)
    leaves(f"{name} leaves", path[2:5] + rng.normal(0, 0.004, (3, 3)), 0.3 * height_m, stem, width=0.5, rng=rng)
    tilt = Vector(np.asarray(facing) + rng.normal(0.0, 0.25, 3)).to_track_quat("Z", "Y").to_matrix().to_4x4()
    tilt.translation = Vector(path[-1])
    around = np.linspace(0.0, 2.0 * math.pi, petals, endpoint=False) + rng.uniform(-0.1, 0.1, petals)
    turns = np.stack([np.zeros(petals), rng.uniform(-0.35, 0.1, petals), around], axis=1)
    ring = placements(
        0.2 * petal_m * np.stack([np.cos(around), np.sin(around), 0 * around], axis=1),
        turns,
        petal_m * rng.uniform(0.85, 1.1, petals),
    )
    link(f"{name} petals", copies(f"{name} petals", *leaf_shape(0.9), ring), petal).matrix_world = tilt
    heart_obj = link(f"{name} heart", sphere(f"{name} heart", 0.3 * petal_m), heart)
    heart_obj.matrix_world = tilt
    heart_obj.scale = (1.0, 1.0, 0.5)


def bark(name: str = "bark") -> bpy.types.Material:
    return materials.plain(
        name, (0.11, 0.075, 0.05), roughness=0.9, variation=0.5, grain=18.0, bump_m=0.02, bump_scale=30.0
    )
