"""Names of the built-in scenes, in the order in which they are rendered. This module does not need Blender."""

SCENE_NAMES = (
    "still_life",
    "night_street",
    "meadow_fence",
    "glassware",
    "arcade",
    "blossom",
    "living_room",
    "shop_signs",
    "valley_view",
    "flower_bed",
)
