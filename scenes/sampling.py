"""Draw one scene of a recipe and its bokeh stack. All randomness of a scene is here and in its assets.

Scenes of a recipe with a camera are drawn by `scenes.photography`.
"""

from collections.abc import Sequence

import numpy as np

from scenes.arrays import Rgba
from scenes.assets import CUTOUT_SIDE_MIN_PX, Cutouts, Photographs
from scenes.billboard import Billboard, Scene, overscan_px
from scenes.layered import SceneError
from scenes.lens import ThinLens
from scenes.mounted_lens import MountedLens
from scenes.photography import sample_photograph
from scenes.placing import Box, opaque_half, pasted_half, varied_cutout
from scenes.procedural import ProceduralCutouts, ProceduralPhotographs
from scenes.recipe import Recipe
from scenes.stack import Stack

# Random places that are tried for a cut-out before it is put into the middle of the frame.
_PLACEMENT_TRIES = 30

# Times that the foregrounds of a scene are drawn until its nearest and its farthest layer are both seen.
_DRAWING_TRIES = 20


def sample_scene(
    recipe: Recipe,
    *,
    rng: np.random.Generator,
    photographs: Photographs | None = None,
    cutouts: Cutouts | None = None,
) -> tuple[Scene, Stack]:
    """One scene of a recipe and the lens settings to trace it with.

    rng           makes every random choice. Each asset draws from a child generator of its own, so a change in how one
                  asset is made does not change the rest of the scene. `child` of a layer's asset is that child's index
    photographs   opaque backgrounds, procedural by default
    cutouts       foregrounds with alpha, procedural by default
    raises        AssetError if one of the user's own files has become unusable; SceneError if a scene of a recipe with
                  `full_range` never shows both its background and its nearest foreground
    """
    if recipe.camera is not None:
        return sample_photograph(recipe, recipe.camera, rng=rng, photographs=photographs, cutouts=cutouts)
    photographs = photographs or ProceduralPhotographs(night=recipe.night)
    cutouts = cutouts or ProceduralCutouts(lights=recipe.lights)
    num_foregrounds = int(rng.integers(recipe.foregrounds[0], recipe.foregrounds[1] + 1))
    blur_parameters = _blur_parameters(recipe, rng)
    aperture = recipe.apertures[rng.integers(len(recipe.apertures))]
    mounts = () if recipe.lens is None else recipe.lens.draw(rng)
    unit = mounts[0].inv_m_per_unit(max(blur_parameters), recipe.width) if mounts else 1.0
    overscan = overscan_of(recipe) if not mounts else _overscan_behind(mounts, unit, max(blur_parameters), recipe)
    width, height = recipe.width + 2 * overscan, recipe.height + 2 * overscan
    disparities, slopes = _planes(recipe, num_foregrounds, (width, height), rng)

    background_rng, *foreground_rngs = rng.spawn(1 + num_foregrounds)
    rgb, asset = photographs.draw(height, width, rng=background_rng)
    background = Billboard(opaque_half(rgb), disparities[-1], slopes[-1], {**asset, "child": 0})
    planes = list(zip(disparities[:-1], slopes[:-1], strict=True))
    for attempt in range(_DRAWING_TRIES):
        first_child = 1 + attempt * num_foregrounds
        foregrounds = _foregrounds(recipe, cutouts, planes, foreground_rngs, overscan, first_child=first_child)
        scene = Scene((*foregrounds, background), recipe.width, recipe.height, overscan)
        if not recipe.full_range or _spans_full_range(scene):
            break
        foreground_rngs = rng.spawn(num_foregrounds)
    else:
        raise SceneError(
            f"recipe {recipe.name}: in {_DRAWING_TRIES} drawings of a scene its background or its nearest foreground "
            "was seen nowhere in the frame; use other cut-outs, or leave full_range out"
        )

    if recipe.lens is not None and recipe.lens.thin:
        mounts = ()
    stack = Stack(
        blur_parameters=blur_parameters * max(len(mounts), 1),
        focus_disparities=_focus_disparities(recipe, disparities, rng),
        gammas=recipe.gammas,
        aperture=aperture,
        pixel=recipe.pixel,
        mounts=tuple(mount for mount in mounts for _ in blur_parameters),
        inv_m_per_unit=unit if mounts else 1.0,
        dual_pixel=recipe.dual_pixel,
    )
    return scene, stack


def _foregrounds(
    recipe: Recipe,
    cutouts: Cutouts,
    planes: Sequence[tuple[float, tuple[float, float]]],
    rngs: Sequence[np.random.Generator],
    overscan: int,
    *,
    first_child: int,
) -> list[Billboard]:
    """A cut-out at its place for each (disparity, slope), near to far.

    rngs          one for each: children of the scene's generator, from number `first_child` on
    """
    layers, outlines = [], []
    for i, (rng, (disparity, slope)) in enumerate(zip(rngs, planes, strict=True)):
        cutout, asset = _drawn_cutout(recipe, cutouts, rng)
        box = _placed(cutout, recipe, outlines, rng)
        outlines.append(box)
        asset = {**asset, "x": box.x, "y": box.y, "child": first_child + i}
        layers.append(Billboard(pasted_half(cutout, box, recipe, overscan), disparity, slope, asset))
    return layers


def _spans_full_range(scene: Scene) -> bool:
    disparity = scene.composite_disparity()
    return float(disparity.min()) == 0.0 and float(disparity.max()) == 1.0


def overscan_of(recipe: Recipe) -> int:
    """Overscan of every layer of a recipe, pixels: enough for the largest blur of thin lenses. Rays of real ones stray
    farther, each lens as it does."""
    if recipe.camera is not None:
        return overscan_px(recipe.camera.largest_blur_radius_px(recipe.width))
    largest = max(recipe.blur_parameters) if recipe.random_blur is None else recipe.random_blur[1]
    # Disparities and focus disparities lie in [0, 1], so the largest blur radius is K.
    return overscan_px(largest)


def _overscan_behind(
    mounts: Sequence[MountedLens], inv_m_per_unit: float, blur_parameter: float, recipe: Recipe
) -> int:
    """Of every layer that is seen through real lenses: enough for any disparity and any focus in [0, 1]."""
    try:
        lenses = [
            mount.in_camera(ThinLens(blur_parameter, focus), inv_m_per_unit, recipe.width, recipe.height)
            for mount in mounts
            for focus in (0.0, 1.0)
        ]
        return overscan_px(max(lens.reach_px(disparity) for lens in lenses for disparity in (0.0, 1.0)))
    except ValueError as error:
        raise SceneError(f"recipe {recipe.name}: lens: {error}") from error


def _blur_parameters(recipe: Recipe, rng: np.random.Generator) -> tuple[float, ...]:
    if recipe.random_blur is None:
        return recipe.blur_parameters
    low, high = np.log(recipe.random_blur)
    return (round(float(np.exp(rng.uniform(low, high))), 4),)


def _planes(
    recipe: Recipe, num_foregrounds: int, size_px: tuple[int, int], rng: np.random.Generator
) -> tuple[list[float], list[tuple[float, float]]]:
    """Disparity at the centre and slope of every layer, near to far. The layers' disparity intervals are disjoint."""
    slants = np.array([recipe.foreground_slant] * num_foregrounds + [recipe.background_slant])
    # Adding 0 turns the -0.0 of a layer that faces the camera into 0.0.
    slopes = rng.uniform(-1.0, 1.0, (num_foregrounds + 1, 2)) * (slants[:, None] / size_px) + 0.0
    longer = max(size_px)
    reach = (np.abs(slopes) * (np.array(size_px) / longer)).sum(axis=1) * longer / 2.0

    background = rng.uniform(*recipe.background_disparity)
    # Foregrounds share the free disparity range in front of the background; the cuts between them are uniform.
    begin = max(recipe.foreground_disparity[0], background + reach[-1] + recipe.disparity_gap)
    taken = 2.0 * reach[:-1].sum() + recipe.disparity_gap * (num_foregrounds - 1)
    free = recipe.foreground_disparity[1] - begin - taken
    cuts = np.sort(rng.uniform(0.0, free, num_foregrounds))
    far_to_near = []
    for i, cut in enumerate(cuts):
        used = 2.0 * reach[:i].sum() + recipe.disparity_gap * i
        far_to_near.append((float(begin + cut + used + reach[i]), (float(slopes[i, 0]), float(slopes[i, 1]))))
    layers = far_to_near[::-1] + [(float(background), (float(slopes[-1, 0]), float(slopes[-1, 1])))]
    disparities = [disparity for disparity, _ in layers]
    if recipe.full_range:
        nearest, farthest = disparities[0], disparities[-1]
        disparities = [(d - farthest) / (nearest - farthest) for d in disparities]
    return disparities, [slope for _, slope in layers]


def _focus_disparities(recipe: Recipe, disparities: Sequence[float], rng: np.random.Generator) -> tuple[float, ...]:
    """Focus disparities far to near, as BLB orders them."""
    count = recipe.focus_count
    if recipe.focus == "even":
        return tuple(float(d) for d in np.linspace(*recipe.focus_range, count).round(12))
    if recipe.focus == "random":
        return tuple(sorted(float(d) for d in rng.uniform(min(disparities), max(disparities), count)))
    focus = sorted(disparities)
    if len(focus) >= count:
        return tuple(focus[i] for i in np.linspace(0, len(focus) - 1, count).round().astype(int))
    while len(focus) < count:
        # A scene of one layer has no gap between layers: step towards the camera.
        gaps = np.diff(focus) if len(focus) > 1 else np.array([2.0 * (1.0 - focus[0])])
        widest = int(np.argmax(gaps))
        focus.insert(widest + 1, focus[widest] + float(gaps[widest]) / 2.0)
    return tuple(focus)


def _drawn_cutout(recipe: Recipe, cutouts: Cutouts, rng: np.random.Generator) -> tuple[Rgba, dict]:
    """A cut-out of random size, rotated and with its colours changed a little."""
    longer = max(recipe.width, recipe.height)
    side_px = max(CUTOUT_SIDE_MIN_PX, round(rng.uniform(*recipe.foreground_scale) * longer))
    return varied_cutout(recipe, cutouts, side_px, rng)


def _placed(rgba: Rgba, recipe: Recipe, outlines: Sequence[Box], rng: np.random.Generator) -> Box:
    """A place where enough of the cut-out is inside the frame, often over an earlier cut-out."""
    height, width = rgba.shape[:2]
    coverage = np.zeros((height + 1, width + 1))
    coverage[1:, 1:] = rgba[..., 3].cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    frame_width, frame_height = recipe.width, recipe.height
    for _ in range(_PLACEMENT_TRIES):
        box = Box(0, 0, frame_width, frame_height)
        if outlines and rng.uniform() < recipe.cluster:
            box = outlines[rng.integers(len(outlines))]
        x = round(rng.uniform(box.x, box.x + box.width) - width / 2)
        y = round(rng.uniform(box.y, box.y + box.height) - height / 2)
        x0, x1 = (int(np.clip(v, 0, width)) for v in (-x, frame_width - x))
        y0, y1 = (int(np.clip(v, 0, height)) for v in (-y, frame_height - y))
        inside = coverage[y1, x1] - coverage[y0, x1] - coverage[y1, x0] + coverage[y0, x0]
        if inside >= recipe.visible_min * coverage[-1, -1]:
            return Box(x, y, width, height)
    return Box((frame_width - width) // 2, (frame_height - height) // 2, width, height)
