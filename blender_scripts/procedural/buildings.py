"""Houses with gables."""

import math
from collections.abc import Callable

import bpy
import numpy as np

from blender_scripts.procedural.geometry import Vector3, box, link, mesh

# (name, (width, depth, height), material, metres right of the middle, metres up) -> a box on the front of a house.
OnFront = Callable[[str, Vector3, bpy.types.Material, float, float], None]


def gabled_house(
    name: str,
    size: tuple[float, float],
    eaves_m: float,
    ridge_m: float,
    wall: bpy.types.Material,
    roof: bpy.types.Material,
    *,
    at: Vector3,
    turn_deg: float,
    overhang_m: float = 0.4,
) -> OnFront:
    """A house of (width, depth) whose front gable has its middle at `at`. Returns a function that adds boxes to it."""
    x, y, z = at
    width, depth = size
    half = width / 2
    gable = [(-half, 0, 0), (half, 0, 0), (half, 0, eaves_m), (0, 0, ridge_m), (-half, 0, eaves_m)]
    walls = gable + [(u, depth, v) for u, _, v in gable]
    faces = [(0, 1, 2, 3, 4), (9, 8, 7, 6, 5), (1, 6, 7, 2), (5, 0, 4, 9)]
    link(name, mesh(name, walls, faces), wall, at=at, turn_deg=(0, 0, turn_deg))

    low = eaves_m - overhang_m * (ridge_m - eaves_m) / half
    for side in (-1, 1):
        edge = side * (half + overhang_m)
        corners = [
            (edge, -overhang_m, low),
            (0, -overhang_m, ridge_m),
            (0, depth + overhang_m, ridge_m),
            (edge, depth + overhang_m, low),
        ]
        above = (x, y, z + 0.05)
        slope = link("roof", mesh("roof", corners, [(0, 1, 2, 3)]), roof, at=above, turn_deg=(0, 0, turn_deg))
        slope.modifiers.new("thick", "SOLIDIFY").thickness = 0.1

    turn = math.radians(turn_deg)
    right = np.array([math.cos(turn), math.sin(turn), 0.0])

    def on_front(part: str, part_size: Vector3, material: bpy.types.Material, u: float, v: float) -> None:
        box(part, part_size, material, at=np.array(at) + right * u + (0, 0, v), turn_deg=(0, 0, turn_deg), bevel_m=0.01)

    return on_front
