"""Cut-outs with lettering: boards on posts, hanging shop signs, fingerposts and free-standing letters."""

import math

import numpy as np

from scenes.arrays import Rgba
from scenes.matte import crop_to_alpha
from scenes.procedural import outlines
from scenes.procedural.glyphs import font, word
from scenes.procedural.noise import fractal, smoothstep
from scenes.procedural.palette import Palette, from_hex, lighter, linear, mixed, ramp
from scenes.procedural.shading import inflated, key_light, lit, normals
from scenes.procedural.sketch import Sketch, lay, text_width


def sign(side: int, *, rng: np.random.Generator) -> Rgba:
    """A painted board with words on a post."""
    palette = Palette.draw(rng=rng)
    light = key_light(rng=rng)
    width = side
    post_height = round(side * rng.uniform(0.2, 0.5)) if rng.random() < 0.75 else 0
    board_height = round((side - post_height) * rng.uniform(0.6, 1.0))
    canvas = np.zeros((board_height + post_height, width, 4), np.float32)
    if post_height:
        posts = (0.5,) if rng.random() < 0.5 else (0.18, 0.82)
        tall = board_height // 2 + post_height
        post = _post(tall, max(2, round(side * 0.05)), light, rng=rng)
        for x in posts:
            lay(canvas, post, round(x * width - post.shape[1] / 2), len(canvas) - tall)
    lay(canvas, _board(board_height, width, palette, light, rng=rng), 0, 0)
    return canvas


def _post(height: int, width: int, light, *, rng: np.random.Generator) -> Rgba:
    tint = from_hex(rng.choice(["6a5a48", "8a8f90", "3a3a3c", "7a5a38"]))
    x = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    nx = np.broadcast_to(x * 0.95, (height, width)).astype(np.float32)
    grain = fractal(height, width, rng=rng, slope=2.0, cells=10, stretch=0.06)
    albedo = ramp(0.5 + 0.13 * grain, [lighter(tint, -0.12), tint, lighter(tint, 0.1)])
    colour = lit(albedo, (nx, np.zeros_like(nx), np.sqrt(1 - nx**2)), light, gloss=0.1)
    return np.dstack([colour, np.ones((height, width), np.float32)])


def _board(height: int, width: int, palette: Palette, light, *, rng: np.random.Generator) -> Rgba:
    ground = palette.any(rng=rng, accented=0.6)
    dark = ground.mean() > 0.45
    ink = palette.tone(0.05 if dark else 0.95, rng=rng, jitter=0.01)
    shape = rng.choice(["plain", "round", "oval", "arrow"])
    half = np.array([width / 2 - 1.0, height / 2 - 1.0])
    if shape == "arrow":
        outline = np.array([[-1, -0.8], [0.72, -0.8], [1, 0], [0.72, 0.8], [-1, 0.8]]) * rng.choice([[1, 1], [-1, 1]])
    else:
        exponent = {"plain": 60.0, "round": 7.0, "oval": 2.6}[str(shape)]
        outline = outlines.superellipse(exponent=exponent, points=240)
        outline = outline / np.abs(outline).max(axis=0)
    outline = outline * half + half + 1.0
    sheet = Sketch(height, width, supersample=2)
    sheet.polygon(outline, ground)
    inset = min(width, height) * 0.05
    centre = outline.mean(axis=0) if shape != "arrow" else half + 1.0
    shrink = 1.0 - inset / half * rng.choice([1.0, 1.6])
    if rng.random() < 0.7:
        line = (outline - centre) * shrink + centre
        sheet.stroke(np.concatenate([line, line[:1]]), ink, inset * 0.35)
    _lines_of_text(sheet, width, height, 0.80 if shape in ("plain", "round") else 0.62, ink, rng=rng)
    rgba = sheet.rgba()
    stains = fractal(height, width, rng=rng, slope=2.4, cells=3, stretch=0.6)
    scuffs = smoothstep(1.6, 2.2, fractal(height, width, rng=rng, slope=1.6, cells=8))
    albedo = rgba[..., :3] * np.exp(np.float32(0.13) * stains)[..., None]
    albedo += scuffs[..., None] * (linear(mixed(ground, from_hex("8a8478"), 0.6)) - albedo) * np.float32(0.5)
    relief = inflated(rgba[..., 3], roundness=0.12, smoothing=0.004) * np.float32(0.5)
    colour = lit(albedo, normals(relief + stains * np.float32(0.2)), light, gloss=0.10, sharpness=15.0)
    return np.dstack([colour, rgba[..., 3]])


def _lines_of_text(sheet: Sketch, width: int, height: int, share: float, ink, *, rng: np.random.Generator) -> None:
    rows = int(rng.choice([1, 2, 2, 3])) if height > width * 0.35 else 1
    face, weight = font(rng=rng)
    pitch = height * share / rows
    for r in range(rows):
        text = word(rng=rng) if rng.random() < 0.85 else str(rng.integers(2, 999))
        tall = min(pitch * 0.62, width * share * 0.92 / text_width(text, face, 1.0))
        x = (width - text_width(text, face, tall)) / 2
        y = height / 2 + (r - (rows - 1) / 2) * pitch + tall / 2
        sheet.text(text, np.array([x, y]), tall, ink, font=face, weight=weight)


def letters(side: int, *, rng: np.random.Generator) -> Rgba:
    """A word in thick free-standing letters of painted wood, metal or card."""
    palette = Palette.draw(rng=rng)
    text = word(rng=rng, longest=6)
    face, weight = font(rng=rng)
    weight = min(weight * 1.5, 0.26)
    tall = min(side * 0.7, side * 0.9 / (text_width(text, face, 1.0) + weight))
    height = math.ceil(tall * 1.6)
    sheet = Sketch(height, side, supersample=2)
    x = (side - text_width(text, face, tall)) / 2
    sheet.text(text, np.array([x, tall * 1.25]), tall, np.ones(3), font=face, weight=weight)
    alpha = crop_to_alpha(sheet.rgba())[..., 3]
    alpha = np.pad(alpha, 1)
    height, width = alpha.shape
    tint = palette.any(rng=rng, accented=0.7)
    grain = fractal(height, width, rng=rng, slope=2.0, cells=4, stretch=rng.choice([1.0, 10.0]))
    albedo = ramp(0.5 + 0.13 * grain, [lighter(tint, -0.14), tint, lighter(tint, 0.1)])
    relief = inflated(alpha, roundness=rng.choice([0.5, 1.0]), smoothing=0.004)
    colour = lit(
        albedo, normals(relief * np.float32(0.6)), key_light(rng=rng), gloss=rng.choice([0.0, 0.3]), sharpness=30.0
    )
    front = np.dstack([colour, alpha])
    # The thickness of the letters, seen a little from above.
    depth = max(1, round(tall * 0.10))
    solid = np.zeros((height + depth, width, 4), np.float32)
    side_colour = linear(lighter(tint, -0.22))
    for k in range(depth, 0, -1):
        lay(
            solid,
            np.dstack([np.broadcast_to(side_colour * (1.0 - 0.5 * k / depth), front[..., :3].shape), alpha]),
            0,
            k,
        )
    lay(solid, front, 0, 0)
    return solid
