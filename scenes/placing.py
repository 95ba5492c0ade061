"""Putting a drawn picture into a layer: what scenes of all recipes share."""

from dataclasses import dataclass

import numpy as np

from scenes.arrays import HalfRgba, Picture, Rgba, half
from scenes.assets import Cutouts
from scenes.color import HALF_MAX
from scenes.matte import extend_colour, rotate_rgba
from scenes.recipe import Recipe


@dataclass(frozen=True)
class Box:
    """Box of a cut-out in the frame, pixels: upper left corner and size."""

    x: int
    y: int
    width: int
    height: int


def varied_cutout(recipe: Recipe, cutouts: Cutouts, side_px: int, rng: np.random.Generator) -> tuple[Rgba, dict]:
    """A cut-out of this size, rotated and with its colours changed a little."""
    rgba, asset = cutouts.draw(side_px, rng=rng)
    degrees = round(float(rng.uniform(-recipe.rotation_deg, recipe.rotation_deg)), 2)
    gain = (1.0 + rng.uniform(-1.0, 1.0, 3) * recipe.colour_jitter) * (
        1.0 + rng.uniform(-1.0, 1.0) * recipe.colour_jitter
    )
    rgba = rotate_rgba(rgba, degrees)
    rgba[..., :3] *= gain.astype(np.float32)
    return rgba, {**asset, "side_px": side_px, "degrees": degrees, "gain": [round(float(g), 4) for g in gain]}


def pasted_half(rgba: Rgba, box: Box, recipe: Recipe, overscan: int) -> HalfRgba:
    """A layer with the cut-out at its place, cut off at the border of the overscan, its colour extended."""
    layer = np.zeros((recipe.height + 2 * overscan, recipe.width + 2 * overscan, 4), np.float32)
    x, y = box.x + overscan, box.y + overscan
    x0, x1 = max(x, 0), min(x + box.width, layer.shape[1])
    y0, y1 = max(y, 0), min(y + box.height, layer.shape[0])
    layer[y0:y1, x0:x1] = rgba[y0 - y : y1 - y, x0 - x : x1 - x]
    return _half(extend_colour(layer))


def opaque_half(rgb: Picture) -> HalfRgba:
    """A layer that covers everything."""
    opaque = np.ones((*rgb.shape[:2], 4), np.float32)
    opaque[..., :3] = rgb
    return _half(opaque)


def _half(rgba: Rgba) -> HalfRgba:
    return half(np.clip(rgba, 0.0, HALF_MAX))
