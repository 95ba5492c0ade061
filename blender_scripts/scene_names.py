"""Names of the built-in scenes, in the order in which they are rendered. Read without Blender, too."""

SCENE_NAMES = (
    "meadow_fence",
    "night_street",
    "still_life",
    "blossom",
    "living_room",
    "glassware",
    "arcade",
    "shop_signs",
    "valley_view",
    "flower_bed",
)
