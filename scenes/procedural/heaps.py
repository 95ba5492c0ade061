"""Pictures filled by the dead-leaves process: shapes with radii of density r^-3 that occlude one another.

This is the model of Matheron (1968) with the cut-offs of Lee, Mumford and Huang (2001). Shapes are textured and shaded,
as in VibrantLeaves (Achddou et al. 2025). They are abstract (`collage`) or things: pebbles, fruit, fallen leaves.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.arrays import Picture, Rgba
from scenes.color import premultiplied
from scenes.matte import crop_to_alpha
from scenes.procedural import outlines, plants, solids
from scenes.procedural.light import dapple
from scenes.procedural.noise import Field, fractal
from scenes.procedural.palette import Palette, from_hex, lighter, ramp
from scenes.procedural.shading import cast_shadow, key_light
from scenes.procedural.sketch import Sketch, mask, overlap, paste


def power_law_radii(area: float, low: float, high: float, coverage: float, *, rng: np.random.Generator) -> NDArray:
    """Unordered radii of density r^-3 between two cut-offs. Their disks cover `area` about `coverage` times."""
    mean_square = 2.0 * math.log(high / low) / (low**-2 - high**-2)
    count = math.ceil(coverage * area / (math.pi * mean_square))
    return (low**-2 - rng.random(count) * (low**-2 - high**-2)) ** -0.5


def collage(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """Abstract shapes of all sizes that look like painted paper, cloth and stone, with one palette and one light."""
    palette = Palette.draw(rng=rng)
    light = key_light(rng=rng)
    longer = max(height, width)
    grain = fractal(height, width, rng=rng, slope=1.9, cells=5)
    warp = fractal(height, width, rng=rng, slope=2.8, cells=3)
    picture = ramp(0.5 + 0.2 * warp, [palette.tone(t, rng=rng) for t in (0.15, 0.4, 0.6)])
    radii = power_law_radii(height * width, longer / 90, longer * 0.30, 2.0, rng=rng)
    # Large shapes tend to be drawn first, so that small ones are not hidden. The rest of the order is random.
    order = np.argsort(-np.log(radii) + rng.normal(0.0, 0.9, len(radii)))
    for r in radii[order]:
        centre = rng.uniform([0.0, 0.0], [width, height])
        _abstract_leaf(picture, centre, float(r), palette, light, grain, warp, rng=rng)
    return picture


def _abstract_leaf(picture, centre, radius, palette, light, grain: Field, warp: Field, *, rng) -> None:
    outline = outlines.any_shape(rng=rng) * radius
    low = np.floor(outline.min(axis=0) + centre).astype(int) - 1
    size = np.ceil(outline.max(axis=0) + centre).astype(int) + 2 - low
    columns, rows = int(size[0]), int(size[1])
    if min(low[0] + columns, picture.shape[1]) <= max(low[0], 0) or min(low[1] + rows, picture.shape[0]) <= max(
        low[1], 0
    ):
        return
    matte = mask(rows, columns, outline + centre - low)
    drop = max(0.6, 0.05 * radius)
    shift = np.round(-light[:2] * drop * 0.8).astype(int)
    cast_shadow(picture, matte, int(low[0] + shift[0]), int(low[1] + shift[1]), softness=drop, strength=0.55)
    window, matte = overlap(picture, matte, int(low[0]), int(low[1]))
    fine, broad = _cut(grain, matte.shape, rng=rng), _cut(warp, matte.shape, rng=rng)
    base = palette.any(rng=rng)
    y, x = np.mgrid[: matte.shape[0], : matte.shape[1]].astype(np.float32) / np.float32(radius)
    slant = rng.uniform(0.0, 2.0 * np.pi)
    along = x * np.float32(math.cos(slant)) + y * np.float32(math.sin(slant))
    shade = np.float32(rng.uniform(0.03, 0.12)) * fine + np.float32(rng.normal(0.0, 0.10)) * (along - along.mean())
    match rng.integers(5):
        case 0 | 1:
            shade = shade + np.float32(0.08) * broad
        case 2:
            stripes = np.sin(along * np.float32(rng.uniform(8.0, 40.0)) + np.float32(rng.uniform(0.0, 1.5)) * broad)
            shade = shade + np.float32(rng.uniform(0.08, 0.3)) * stripes
        case 3:
            across = y * np.float32(math.cos(slant)) - x * np.float32(math.sin(slant))
            pitch = np.float32(rng.uniform(10.0, 30.0))
            shade = shade + np.float32(rng.uniform(0.1, 0.25)) * np.sin(along * pitch) * np.sin(across * pitch)
        case _:
            pass
    other = lighter(base, -0.25) if rng.random() < 0.7 else palette.any(rng=rng)
    colour = ramp(0.55 + shade, [other, base, lighter(base, 0.15)])
    window += (colour - window) * matte[..., None]


def _cut(field: Field, shape: tuple[int, ...], *, rng: np.random.Generator) -> Field:
    top = rng.integers(field.shape[0] - shape[0] + 1)
    left = rng.integers(field.shape[1] - shape[1] + 1)
    return field[top : top + shape[0], left : left + shape[1]]


def pebbles(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """A shingle beach or a dry-stone bed."""
    palette = Palette.draw(rng=rng, among=("coast", "winter", "studio", "desert", "terracotta"))
    light = key_light(rng=rng)
    side = _sprite_side(height, width)
    sprites = [
        crop_to_alpha(solids.one_stone(side, palette, light, flat=rng.uniform(0.7, 1.0), rng=rng)) for _ in range(9)
    ]
    return _heap(height, width, sprites, palette.tone(0.1, rng=rng), smallest=42, tilt=25.0, rng=rng)


def harvest(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """A heap of fruit on a market stall."""
    kinds = rng.choice(solids.FRUIT_KINDS, 2)
    light = key_light(rng=rng)
    side = _sprite_side(height, width)
    sprites = [crop_to_alpha(solids.one_fruit(str(kinds[i % 2]), side, light, rng=rng)) for i in range(8)]
    return _heap(height, width, sprites, from_hex("1c1a14"), smallest=20, tilt=50.0, rng=rng)


def fallen_leaves(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """A forest floor in autumn."""
    side = _sprite_side(height, width)
    tints = ("a8672a", "8f3a24", "c98f35", "6b4226", "7d7a3a", "b8502a", "d2ab5a")
    sprites = []
    for _ in range(12):
        sheet = Sketch(side, side)
        species = {"slenderness": rng.uniform(1.3, 2.6), "teeth": int(rng.choice([0, 7, 11]))}
        tint = from_hex(rng.choice(tints))
        plants.leaf_on(sheet, np.array([side * 0.04, side / 2]), 0.0, side * 0.88, tint, species, rng=rng)
        leaf = sheet.rgba()
        leaf[..., :3] *= np.exp(np.float32(0.25) * fractal(side, side, rng=rng, slope=2.0, cells=4))[..., None]
        sprites.append(crop_to_alpha(leaf))
    return _heap(height, width, sprites, from_hex("1a130d"), smallest=26, tilt=180.0, rng=rng)


def _sprite_side(height: int, width: int) -> int:
    return max(24, round(max(height, width) * 0.30))


def _heap(
    height: int, width: int, sprites: list[Rgba], floor, *, smallest: float, tilt: float, rng: np.random.Generator
) -> Picture:
    """Rotated, scaled and tinted copies of a few pictures. Small ones are drawn first and fill the gaps."""
    longer = max(height, width)
    dark = fractal(height, width, rng=rng, slope=2.0, cells=6)
    picture = ramp(0.5 + 0.2 * dark, [lighter(floor, -0.1), floor, lighter(floor, 0.12)])
    high = longer * rng.uniform(0.07, 0.13)
    radii = power_law_radii(height * width, longer / smallest / 2, high, 4.0, rng=rng)
    order = np.argsort(np.log(radii) + rng.normal(0.0, 0.6, len(radii)))
    of_two_sizes = [_of_two_sizes(sprite) for sprite in sprites]
    for rank, r in enumerate(radii[order]):
        # Deeper copies are darker, because less light of the sky reaches them.
        open_sky = np.float32(0.5 + 0.5 * min(1.0, 1.4 * rank / len(radii)))
        sprite = of_two_sizes[rng.integers(len(sprites))]
        turned = _turned_copy(*sprite, float(r), tilt, rng=rng)
        tint = np.float32(open_sky) * rng.normal(1.0, [0.06, 0.05, 0.06]).astype(np.float32)
        turned[..., :3] *= np.exp(np.float32(rng.normal(0.0, 0.16))) * tint
        left = round(rng.uniform(0.0, width) - turned.shape[1] / 2)
        top = round(rng.uniform(0.0, height) - turned.shape[0] / 2)
        cast_shadow(picture, turned[..., 3], left, top + round(0.06 * r), softness=max(0.6, 0.13 * r), strength=0.7)
        paste(picture, turned, left, top)
    if rng.random() < 0.5:
        dapple(picture, rng=rng)
    return picture


def _of_two_sizes(sprite: Rgba) -> tuple[Rgba, Rgba]:
    """The picture and its half, both premultiplied."""
    half = np.asarray(cv2.resize(sprite, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float32)
    return premultiplied(sprite), premultiplied(half)


def _turned_copy(sprite: Rgba, half: Rgba, radius: float, tilt: float, *, rng: np.random.Generator) -> Rgba:
    """A copy of the given radius, rotated in the picture plane, with straight alpha."""
    scale = 2.0 * radius / max(sprite.shape[:2])
    n = math.ceil(2.0 * radius * 1.2) + 2
    turn = cv2.getRotationMatrix2D(
        (sprite.shape[1] / 2 - 0.5, sprite.shape[0] / 2 - 0.5), rng.uniform(-tilt, tilt), scale
    )
    turn[:, 2] += n / 2 - np.array([sprite.shape[1], sprite.shape[0]]) / 2
    if scale < 0.5:
        # Bilinear lookups skip texels below half size.
        return _warped(half, turn @ np.diag([2.0, 2.0, 1.0]), n)
    return _warped(sprite, turn, n)


def _warped(rgba_premul: Rgba, matrix: NDArray, n: int) -> Rgba:
    copy = np.asarray(cv2.warpAffine(rgba_premul, matrix, (n, n), flags=cv2.INTER_LINEAR), np.float32)
    divisor = np.maximum(copy[..., 3], np.float32(1e-4))
    for channel in range(3):
        copy[..., channel] /= divisor
    return copy
