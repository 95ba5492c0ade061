"""Ten scenes made of numbers: nothing is downloaded, and every seed gives another variant of each."""

from collections.abc import Callable

import bpy
import numpy as np

from blender_scripts.procedural import (
    arcade,
    blossom,
    flower_bed,
    glassware,
    living_room,
    meadow_fence,
    night_street,
    shop_signs,
    still_life,
    valley_view,
)
from blender_scripts.scene_names import SCENE_NAMES

_BUILDERS: dict[str, Callable[[np.random.Generator], None]] = {
    "still_life": still_life.build,
    "night_street": night_street.build,
    "meadow_fence": meadow_fence.build,
    "glassware": glassware.build,
    "arcade": arcade.build,
    "blossom": blossom.build,
    "living_room": living_room.build,
    "shop_signs": shop_signs.build,
    "valley_view": valley_view.build,
    "flower_bed": flower_bed.build,
}
assert tuple(_BUILDERS) == SCENE_NAMES

# Bounces that a picture of the scene needs. Glass wants many of its own; what many diffuse bounces would add is small.
_BOUNCES, _DIFFUSE_BOUNCES, _CLEAR_BOUNCES = 10, 3, 32

# Light that arrives after a bounce is cut at this radiance in every path. It changes the scene a little, the same way
# for every lens, and keeps rare bright paths from outweighing all others; emitters seen directly are never cut.
_INDIRECT_LIGHT_MAX = 20.0


def build(name: str, seed: int) -> None:
    """Replace what is loaded by a built-in scene; equal seeds give equal scenes."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    _BUILDERS[name](np.random.default_rng(seed))
    cycles = bpy.context.scene.cycles
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = _BOUNCES, _DIFFUSE_BOUNCES, 4
    cycles.transmission_bounces, cycles.transparent_max_bounces = _BOUNCES, _CLEAR_BOUNCES
    cycles.sample_clamp_direct, cycles.sample_clamp_indirect = 0.0, _INDIRECT_LIGHT_MAX
    cycles.caustics_reflective = cycles.caustics_refractive = False
