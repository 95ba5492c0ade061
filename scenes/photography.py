"""Scenes in front of a real camera: a subject that is near and in focus, and what is behind it.

Every layer but the background faces the camera. The subject is the nearest layer and covers a good part of the frame,
so that a picture alone says what is to stay sharp.
"""

import math

import numpy as np

from scenes.assets import CUTOUT_SIDE_MIN_PX, Cutouts, Photographs
from scenes.billboard import Billboard, Scene, overscan_px
from scenes.camera import Camera
from scenes.layered import SceneError
from scenes.placing import Box, opaque_half, pasted_half, varied_cutout
from scenes.procedural import ProceduralCutouts, ProceduralPhotographs
from scenes.procedural.cutouts import SIZES_M
from scenes.procedural.grounds import GroundView, draw_ground
from scenes.procedural.photographs import photographed
from scenes.recipe import Recipe
from scenes.stack import Stack

# Times that a subject is drawn until the part of the frame that it covers is within bounds.
_DRAWING_TRIES = 30
SUBJECT_SHARE = (0.06, 0.6)

# What one would take a picture of, and what may stand behind it. What is all holes does not show that it is meant.
_SUBJECTS = (
    *("branch", "fern", "flowers", "dandelion", "creature", "portrait", "sign", "letters", "fruit", "stones"),
    "vessel",
)
_COMPANIONS = (*_SUBJECTS, "frame", "grass", "fence", "ironwork")
# Longest side of the user's own cut-outs, of which nobody says what they show.
_SIZE_M = (0.25, 1.2)
# These come into the frame from anywhere; all others stand on what is below it.
_HANGING = ("branch", "feather", "letters")

# Disparities of what is behind the subject, relative to that of the subject: companions keep away from both ends.
_COMPANION = 0.85
_GAP = 0.03
# The same of the ground at the lower edge of the frame.
_GROUND = (0.5, 0.8)


def sample_photograph(
    recipe: Recipe,
    camera: Camera,
    *,
    rng: np.random.Generator,
    photographs: Photographs | None = None,
    cutouts: Cutouts | None = None,
) -> tuple[Scene, Stack]:
    """One scene of a recipe with a camera, its disparities in 1/m, and the stack of its f-numbers.

    rng, photographs, cutouts, raises   as of `scenes.sampling.sample_scene`. The user's own photographs stand upright;
                                        ground is procedural
    """
    overscan = overscan_px(camera.largest_blur_radius_px(recipe.width))
    aperture = recipe.apertures[rng.integers(len(recipe.apertures))]
    num_companions = int(rng.integers(recipe.foregrounds[0], recipe.foregrounds[1] + 1)) - 1
    is_ground = photographs is None and rng.random() < camera.ground
    background_rng, subject_rng, *companion_rngs = rng.spawn(2 + num_companions)

    subject, subject_m = _subject(recipe, camera, cutouts, subject_rng, overscan)
    focus = subject.disparity
    if is_ground:
        # What stands on the ground would meet it, and layers do not meet: the subject stands below the frame.
        companion_rngs = []
        background = _ground(recipe, camera, subject_m, background_rng, overscan)
    else:
        background = _wall(recipe, camera, focus, photographs, background_rng, overscan)
    companions = _companions(recipe, camera, cutouts, (background.disparity, focus), companion_rngs, overscan)
    stack = Stack(
        blur_parameters=tuple(camera.blur_parameter(n, subject_m, recipe.width) for n in camera.f_numbers),
        focus_disparities=(focus,),
        gammas=recipe.gammas,
        aperture=aperture,
        pixel=recipe.pixel,
        input_blur_index=0,
        dual_pixel=recipe.dual_pixel,
    )
    return Scene((subject, *companions, background), recipe.width, recipe.height, overscan), stack


def _subject(
    recipe: Recipe, camera: Camera, cutouts: Cutouts | None, rng: np.random.Generator, overscan: int
) -> tuple[Billboard, float]:
    """The subject and its distance in metres: where it is large in the frame, as far as the recipe allows."""
    longer = max(recipe.width, recipe.height)
    # Drawn once: what is often drawn anew is as frequent as the rest.
    kinds = (str(rng.choice(recipe.subjects)),) if recipe.subjects else _SUBJECTS
    for _ in range(_DRAWING_TRIES):
        thing, size_m = _thing(recipe, cutouts, kinds, rng)
        wanted_px = rng.uniform(*camera.subject_scale) * longer
        distance_m = float(
            np.clip(size_m * camera.focal_length_px(math.inf, recipe.width) / wanted_px, *camera.subject_m)
        )
        distance_m = round(distance_m, 4)
        side_px = max(CUTOUT_SIDE_MIN_PX, round(size_m / distance_m * camera.focal_length_px(distance_m, recipe.width)))
        rgba, asset = varied_cutout(recipe, thing, side_px, rng)
        box = _standing(rgba, asset, recipe, (rng.normal(0.5, 0.1), 0.25), rng)
        layer = pasted_half(rgba, box, recipe, overscan)
        share = float((layer[overscan:-overscan, overscan:-overscan, 3] >= 0.5).mean())
        if SUBJECT_SHARE[0] <= share <= SUBJECT_SHARE[1]:
            asset = {**asset, "x": box.x, "y": box.y, "child": 1, "distance_m": distance_m, "role": "subject"}
            # Nobody says what the user's own cut-outs show.
            label = asset.get("style") if recipe.subjects else None
            return Billboard(layer, 1.0 / distance_m, asset=asset, label=label), distance_m
    raise SceneError(
        f"recipe {recipe.name}: in {_DRAWING_TRIES} drawings no subject covered {SUBJECT_SHARE[0]:.0%} to "
        f"{SUBJECT_SHARE[1]:.0%} of the frame; use other cut-outs, or another subject_m or subject_scale"
    )


def _companions(
    recipe: Recipe,
    camera: Camera,
    cutouts: Cutouts | None,
    between: tuple[float, float],
    rngs: list[np.random.Generator],
    overscan: int,
) -> list[Billboard]:
    """Things between background and subject, near to far, as large as they are at their distance."""
    behind, focus = between
    gap = _GAP * focus
    room = _COMPANION * focus - behind - gap * (len(rngs) + 1)
    if not rngs or room <= 0.0:
        return []
    cuts = np.sort([rng.uniform(0.0, room) for rng in rngs])[::-1]
    companions = []
    for i, (rng, cut) in enumerate(zip(rngs, cuts, strict=True)):
        disparity = float(behind + gap * (len(rngs) - i) + cut)
        thing, size_m = _thing(recipe, cutouts, _COMPANIONS, rng)
        side_px = max(CUTOUT_SIDE_MIN_PX, round(size_m * disparity * camera.focal_length_px(1.0 / focus, recipe.width)))
        rgba, asset = varied_cutout(recipe, thing, side_px, rng)
        box = _standing(rgba, asset, recipe, (rng.uniform(0.05, 0.95), 0.5), rng)
        asset = {**asset, "x": box.x, "y": box.y, "child": 2 + i, "distance_m": round(1.0 / disparity, 4)}
        companions.append(Billboard(pasted_half(rgba, box, recipe, overscan), disparity, asset=asset))
    return companions


def _wall(
    recipe: Recipe,
    camera: Camera,
    focus: float,
    photographs: Photographs | None,
    rng: np.random.Generator,
    overscan: int,
) -> Billboard:
    """A place that faces the camera, some times as far away as the subject."""
    photographs = photographs or ProceduralPhotographs(night=recipe.night)
    ratio = math.exp(rng.uniform(*np.log(camera.background_ratio)))
    rgb, asset = photographs.draw(recipe.height + 2 * overscan, recipe.width + 2 * overscan, rng=rng)
    return Billboard(
        opaque_half(rgb), focus / ratio, asset={**asset, "child": 0, "distance_m": round(ratio / focus, 4)}
    )


def _ground(recipe: Recipe, camera: Camera, subject_m: float, rng: np.random.Generator, overscan: int) -> Billboard:
    """Ground behind the subject that the camera looks down on, at such a height that it does not reach the subject."""
    height, width = recipe.height + 2 * overscan, recipe.width + 2 * overscan
    focal_length_px = camera.focal_length_px(subject_m, recipe.width)
    tilt = math.radians(rng.uniform(*camera.tilt_deg))
    edge = height / 2.0 / focal_length_px
    # The horizon stays above the picture.
    tilt = max(tilt, math.atan(edge) + math.radians(1.5))
    nearest = rng.uniform(*_GROUND) / subject_m
    height_m = (math.sin(tilt) + math.cos(tilt) * edge) / nearest
    view = GroundView(focal_length_px, height_m, tilt)
    rgb, kind = draw_ground(height, width, view, rng=rng)
    rgb = photographed(rgb, rng=rng, highlights=recipe.night)
    asset = {
        "kind": "procedural-ground",
        "style": kind,
        "child": 0,
        "camera_height_m": round(height_m, 4),
        "tilt_deg": round(math.degrees(tilt), 3),
    }
    return Billboard(opaque_half(rgb), view.disparity, (0.0, view.slope), asset)


def _thing(
    recipe: Recipe, cutouts: Cutouts | None, kinds: tuple[str, ...], rng: np.random.Generator
) -> tuple[Cutouts, float]:
    """What draws a thing of one of the kinds, and its longest side in metres."""
    if cutouts is not None:
        return cutouts, math.exp(rng.uniform(*np.log(_SIZE_M)))
    kind = ProceduralCutouts(kinds=kinds).draw_kind(rng=rng)
    size_m = round(rng.uniform(*SIZES_M[kind]), 4)
    return ProceduralCutouts(lights=recipe.lights, kinds=(kind,)), size_m


def _standing(
    rgba: np.ndarray, asset: dict, recipe: Recipe, place: tuple[float, float], rng: np.random.Generator
) -> Box:
    """A place of a thing: the middle of what hangs and the foot of what stands.

    place   middle, in widths of the frame; and how far a foot may be below the frame, in heights of the thing
    """
    height, width = rgba.shape[:2]
    middle, below = place
    x = round(middle * recipe.width - width / 2)
    if asset.get("style") in _HANGING:
        return Box(x, round(rng.uniform(0.3, 0.7) * recipe.height - height / 2), width, height)
    # A head stays in the frame: what is taller than it is cut off below.
    top = max(recipe.height - height + rng.uniform(0.0, below) * height, rng.uniform(0.02, 0.12) * recipe.height)
    return Box(x, round(top), width, height)
