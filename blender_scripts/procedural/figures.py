"""Animals and people: soft bodies of ellipsoids with fur, and people in coats, seen from behind."""

import math
from collections.abc import Sequence

import bpy
import numpy as np
from numpy.typing import NDArray

from blender_scripts.procedural import materials
from blender_scripts.procedural.geometry import Vector3, lathe, link, mesh, rounded, sphere, tubes

# (centre, semi-axes) of an ellipsoid, as shares of the figure's height.
_Part = tuple[Vector3, Vector3]


def bear(at: Vector3, height_m: float, rng: np.random.Generator) -> None:
    """A sitting plush bear that faces -y, covered in short fur."""
    parts: list[_Part] = [
        ((0, 0, 0.32), (0.25, 0.22, 0.3)),
        ((0, -0.04, 0.74), (0.22, 0.2, 0.2)),
        ((-0.16, -0.02, 0.92), (0.075, 0.04, 0.075)),
        ((0.16, -0.02, 0.92), (0.075, 0.04, 0.075)),
        ((0, -0.22, 0.69), (0.095, 0.07, 0.075)),
        ((-0.27, -0.08, 0.42), (0.085, 0.1, 0.19)),
        ((0.27, -0.08, 0.42), (0.085, 0.1, 0.19)),
        ((-0.17, -0.25, 0.1), (0.1, 0.2, 0.1)),
        ((0.17, -0.25, 0.1), (0.1, 0.2, 0.1)),
    ]
    s, melanin = height_m, rng.uniform(0.25, 0.6)
    fur = materials.hair("fur", melanin, 0.6)
    skin = materials.plain("plush", (0.5 - 0.6 * melanin, 0.34 - 0.42 * melanin, 0.2 - 0.26 * melanin), roughness=1.0)
    _furry(at, s, parts, skin, fur, hairs=5200, length=0.05, rng=rng)
    black = materials.plain("button", (0.01, 0.01, 0.012), roughness=0.12, coat=1.0, variation=0.0)
    for x, y, z, r in ((-0.085, -0.255, 0.8, 0.028), (0.085, -0.255, 0.8, 0.028), (0, -0.31, 0.715, 0.034)):
        _ball("button", black, np.array(at) + s * np.array([x, y, z]), s * r)
    ribbon = materials.fabric("ribbon", tuple(rng.permutation([0.5, 0.03, 0.05])))
    angle = np.linspace(0, 2 * math.pi, 33)
    collar = np.array(at) + s * np.stack([0.17 * np.cos(angle), 0.16 * np.sin(angle) - 0.02, 0 * angle + 0.575], axis=1)
    link("ribbon", tubes("ribbon", [collar], [0.028 * s], sides=8), ribbon)


def cat(at: Vector3, height_m: float, rng: np.random.Generator) -> None:
    """A sitting cat that looks along +x, with its tail hanging down towards -y."""
    s = height_m
    parts: list[_Part] = [
        ((-0.1, 0, 0.25), (0.22, 0.17, 0.25)),
        ((0.02, 0, 0.47), (0.15, 0.14, 0.22)),
        ((0.1, 0, 0.76), (0.15, 0.14, 0.125)),
        ((0.23, 0, 0.71), (0.06, 0.07, 0.05)),
        ((0.07, -0.085, 0.89), (0.025, 0.05, 0.075)),
        ((0.07, 0.085, 0.89), (0.025, 0.05, 0.075)),
        ((-0.02, -0.15, 0.12), (0.17, 0.075, 0.12)),
        ((-0.02, 0.15, 0.12), (0.17, 0.075, 0.12)),
        ((0.14, -0.06, 0.22), (0.05, 0.05, 0.22)),
        ((0.14, 0.06, 0.22), (0.05, 0.05, 0.22)),
    ]
    t = np.linspace(0.0, 1.0, 14)
    tail = np.stack([-0.3 + 0.1 * np.sin(4 * t), -0.1 - 0.16 * t, 0.06 - 0.55 * t**1.5], axis=1)
    parts += [(point, (0.045, 0.045, 0.055)) for point in tail]
    melanin = rng.uniform(0.2, 0.9)
    shade = 1.0 - 0.95 * melanin
    skin = materials.plain("coat", (0.5 * shade, 0.34 * shade, 0.2 * shade), roughness=1.0)
    _furry(at, s, parts, skin, materials.hair("cat hair", melanin, 0.5), hairs=9000, length=0.06, rng=rng)
    eye = materials.plain("eye", (0.45, 0.4, 0.05), roughness=0.05, coat=1.0, variation=0.1)
    nose = materials.plain("nose", (0.3, 0.1, 0.09), roughness=0.4)
    for side in (-1, 1):
        _ball("eye", eye, np.array(at) + s * np.array([0.235, 0.06 * side, 0.78]), 0.025 * s)
    _ball("nose", nose, np.array(at) + s * np.array([0.29, 0.0, 0.725]), 0.017 * s)
    whiskers = [
        np.array(at)
        + s * np.array([(0.27, 0.03 * k, 0.705), (0.3, 0.12 * k, 0.7 + up), (0.28, 0.24 * k, 0.68 + 2 * up)])
        for k in (-1, 1)
        for up in (-0.02, 0.0, 0.02)
    ]
    white = materials.plain("whisker", (0.8, 0.8, 0.78), variation=0.0)
    link("whiskers", tubes("whiskers", whiskers, [0.0036 * s] * len(whiskers), sides=4), white)


def walker(at: Vector3, height_m: float, rng: np.random.Generator, *, umbrella: bool) -> None:
    """A person in a coat who walks away along +y: loose hair and an umbrella, or a hat and a bag."""
    s, foot = height_m, np.array(at, float)

    def on(*xyz: float) -> NDArray:
        return foot + s * np.array(xyz)

    cloth = materials.fabric("coat", tuple(rng.permutation([0.28, 0.1, 0.06])))
    trousers = materials.fabric("trousers", (0.03, 0.035, 0.05))
    leather = materials.plain("leather", (0.07, 0.035, 0.02), roughness=0.35, coat=0.3)
    skin = materials.plain("skin", (0.5, 0.3, 0.22), roughness=0.5, variation=0.06)
    outline = [
        (0.0, 0.3),
        (0.135, 0.3),
        (0.115, 0.45),
        (0.095, 0.6),
        (0.105, 0.72),
        (0.11, 0.79),
        (0.07, 0.835),
        (0.0, 0.85),
    ]
    coat = lathe("coat", rounded([(s * r, s * z) for r, z in outline], steps=2))
    link("coat", coat, cloth, at=foot, scale=(1.0, 0.66, 1.0))
    legs, hand = [], on(0.13, 0.12, 0.66) if umbrella else on(0.155, 0.03, 0.47)
    for k in (-1, 1):
        legs.append(np.array([on(0.05 * k, 0.0, 0.42), on(0.05 * k, 0.05 * k, 0.22), on(0.05 * k, 0.1 * k, 0.03)]))
        _ball("shoe", leather, on(0.05 * k, 0.1 * k + 0.03, 0.022), s * np.array([0.027, 0.075, 0.026]))
    link("legs", tubes("legs", legs, [np.array([0.055, 0.045, 0.035]) * s] * 2, sides=12), trousers)
    arms = [
        np.array([on(0.092, 0.0, 0.785), on(0.137, -0.015, 0.66), hand]),
        np.array([on(-0.092, 0.0, 0.785), on(-0.137, -0.02, 0.64), on(-0.13, 0.06, 0.5)]),
    ]
    link("sleeves", tubes("sleeves", arms, [np.array([0.04, 0.034, 0.026]) * s] * 2, sides=14), cloth)
    for arm in arms:
        _ball("shoulder", cloth, arm[0], 0.0405 * s)
        _ball("hand", skin, arm[-1], 0.026 * s)
    _ball("head", skin, on(0, 0.01, 0.925), s * np.array([0.046, 0.057, 0.068]))
    angle = np.linspace(0, 2 * math.pi, 25)
    scarf = np.stack([0.045 * np.cos(angle), 0.05 * np.sin(angle), 0.848 + 0.006 * np.sin(angle)], axis=1)
    wool = materials.fabric("scarf", tuple(rng.permutation([0.55, 0.4, 0.06])), sheen=0.6)
    link("scarf", tubes("scarf", [foot + s * scarf], [0.022 * s], sides=10), wool)
    _head_of_hair(on(0, 0.01, 0.925), s, long=umbrella, rng=rng)
    if umbrella:
        _umbrella(hand, s, rng)
        return
    felt = materials.fabric("hat", (0.06, 0.05, 0.045), sheen=0.5)
    hat = [(0.0, 0.07), (0.04, 0.068), (0.055, 0.0), (0.058, -0.012), (0.1, -0.022), (0.102, -0.016)]
    link("hat", lathe("hat", [(s * r, s * z) for r, z in hat]), felt, at=on(0, 0.01, 0.965))
    bag = lathe("bag", rounded([(0.0, 0.0), (0.085 * s, 0.0), (0.085 * s, 0.14 * s), (0.0, 0.15 * s)], steps=2))
    link("bag", bag, leather, at=hand - (0, 0, 0.23 * s), scale=(0.4, 1.0, 1.0))
    strap = np.stack([0 * angle, 0.05 * np.cos(angle), -0.05 + 0.055 * np.sin(angle)], axis=1)
    link("strap", tubes("strap", [hand + s * strap], [0.006 * s], sides=6), leather)


def _umbrella(hand: NDArray, s: float, rng: np.random.Generator) -> None:
    """An open umbrella of eight panels over the hand, leaning a little."""
    ribs, radius, rise = 8, 0.26 * s, 0.09 * s
    angle, r = np.linspace(0, 2 * math.pi, 8 * ribs, endpoint=False), np.linspace(0.0, 1.0, 9)
    sag = 1.0 - 0.08 * r[:, None] ** 2 * np.abs(np.sin(0.5 * ribs * angle))
    ring = radius * r[:, None] * sag
    height = rise * (1.0 - r[:, None] ** 2) - 0.012 * s * r[:, None] ** 2 * np.abs(np.sin(0.5 * ribs * angle))
    vertices = np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=-1).reshape(-1, 3)
    n = len(angle)
    i = np.arange(n)
    band = np.stack([i, (i + 1) % n, (i + 1) % n + n, i + n], axis=1)
    faces = (band[None] + n * np.arange(len(r) - 1)[:, None, None]).reshape(-1, 4)
    tone = tuple(rng.permutation([0.6, 0.08, 0.12]))
    cloth = materials.fabric("umbrella", tone, sheen=0.1)
    top, lean = hand + np.array([-0.12, -0.12, 0.31]) * s, (12.0, -14.0, rng.uniform(0, 45))
    link("umbrella", mesh("umbrella", vertices, faces, smooth=True), cloth, at=top, turn_deg=lean)
    steel = materials.plain("steel", (0.4, 0.4, 0.42), roughness=0.3, metallic=1.0)
    shaft = np.array([hand - (top - hand) * 0.15, hand, 0.5 * (hand + top), top + (top - hand) * 0.45])
    link("shaft", tubes("shaft", [shaft], [0.0045 * s], sides=8), steel)


def _ball(name: str, material: bpy.types.Material, at: Vector3, semi_axes_m: Vector3 | float) -> None:
    link(name, sphere(name, 1.0), material, at=at, scale=semi_axes_m)


def _furry(at, s: float, parts: Sequence[_Part], skin, fur, *, hairs: int, length: float, rng) -> None:
    """Ellipsoids with hairs that stand off and hang a little; `length` is a share of the height s."""
    roots, normals = [], []
    ball = sphere("ball", 1.0)
    areas = np.array([np.prod(axes) ** (2 / 3) for _, axes in parts])
    for (centre, axes), share in zip(parts, areas / areas.sum(), strict=True):
        link("plush", ball, skin, at=np.array(at) + s * np.array(centre), scale=s * np.array(axes))
        heading = rng.normal(0, 1, (int(share * hairs), 3))
        heading /= np.linalg.norm(heading, axis=1, keepdims=True)
        roots.append(np.array(at) + s * (np.array(centre) + heading * axes))
        normal = heading / np.array(axes)
        normals.append(normal / np.linalg.norm(normal, axis=1, keepdims=True))
    root, normal = np.concatenate(roots), np.concatenate(normals)
    t = np.linspace(0, 1, 5)[None, :, None]
    lengths = length * s * rng.uniform(0.6, 1.2, (len(root), 1, 1))
    lean = normal[:, None] + 0.5 * rng.normal(0, 1, (len(root), 1, 3)) * t - np.array([0, 0, 0.6]) * t
    _strands("fur", root[:, None] + lengths * t * lean, np.linspace(0.0028, 0.0008, 5) * s, fur)


def _head_of_hair(centre: NDArray, s: float, *, long: bool, rng: np.random.Generator) -> None:
    """Hair on the upper and the back half of a head; long hair falls over the shoulders."""
    heading = rng.normal(0, 1, (9000, 3))
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    heading = heading[heading[:, 2] - 1.2 * heading[:, 1] > -0.1]
    root = centre + s * heading * (0.046, 0.057, 0.068)
    t = np.linspace(0, 1, 9)[None, :, None]
    down = s * (0.17 if long else 0.045) * rng.uniform(0.7, 1.1, (len(root), 1, 1))
    out = 0.03 * s * heading[:, None] * np.sqrt(t) * (1.0, 1.2, 0.6)
    stray = 0.012 * s * rng.normal(0, 1, (len(root), 1, 3)) * t**2
    fall = root[:, None] + out + stray - down * np.array([0.0, 0.12, 1.0]) * t**1.4
    hair = materials.hair("hair", rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.8))
    _strands("hair", fall, np.linspace(0.0005, 0.0002, 9) * s, hair)


def _strands(name: str, points: NDArray, radius_m: NDArray, material: bpy.types.Material) -> None:
    """Hair curves of (n, k, 3) points with (k,) radii."""
    count, steps = points.shape[:2]
    curves = bpy.data.hair_curves.new(name)
    curves.add_curves([steps] * count)
    curves.attributes["position"].data.foreach_set("vector", points.astype(np.float32).ravel())
    radius = curves.attributes.new("radius", "FLOAT", "POINT")
    radius.data.foreach_set("value", np.tile(radius_m, count).astype(np.float32))
    link(name, curves, material)
