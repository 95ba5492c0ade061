"""Ten procedural scenes. Nothing is downloaded, and every seed gives another variant."""

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

# Bounces of a light path. Glass needs many; the light of many diffuse bounces is small.
_BOUNCES, _DIFFUSE_BOUNCES, _CLEAR_BOUNCES = 10, 3, 32

# Radiance at which the light of a path after a bounce is clipped, so that rare bright paths do not dominate the noise.
# It changes the scene a little, equally for every lens. Emitters seen directly are never clipped.
_INDIRECT_LIGHT_MAX = 20.0


def build(name: str, seed: int) -> None:
    """Replace the loaded scene by a built-in scene. Equal seeds give equal scenes."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    _BUILDERS[name](np.random.default_rng(seed))
    cycles = bpy.context.scene.cycles
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = _BOUNCES, _DIFFUSE_BOUNCES, 4
    cycles.transmission_bounces, cycles.transparent_max_bounces = _BOUNCES, _CLEAR_BOUNCES
    cycles.sample_clamp_direct, cycles.sample_clamp_indirect = 0.0, _INDIRECT_LIGHT_MAX
    cycles.caustics_reflective = cycles.caustics_refractive = False
