"""Cut-outs with soft mattes made of thin fibres: feathers, fur and hair."""

import math

import numpy as np

from scenes.arrays import Rgba
from scenes.procedural import outlines
from scenes.procedural.noise import fractal_curve
from scenes.procedural.outlines import Points
from scenes.procedural.palette import Palette, from_hex, lighter, mixed
from scenes.procedural.sketch import Sketch

_HAIR = ("1d1613", "3a2416", "5f3b20", "8a5a2c", "b98a4a", "d6b98a", "7a2f16", "8f8a84")
_PLUMAGE = ("2a2a2e e9e4da", "4f3a26 d6b98a", "1f3a5a 7aa3b8", "e6e0d4 8a8278", "7a2f1f e0a35a", "20402f c9b45a")


def feather(side: int, *, rng: np.random.Generator) -> Rgba:
    """A feather: a curved shaft with two vanes of barbs, with bands, a few gaps, and down at the foot."""
    width = round(side * rng.uniform(0.34, 0.5))
    sheet = Sketch(side, width, supersample=2)
    dark, light = (from_hex(c) for c in rng.choice(_PLUMAGE).split())
    n = 420
    t = np.linspace(0.0, 1.0, n)
    bend = rng.normal(0.0, 0.16)
    shaft = np.stack([0.5 + bend * (t**2 - t * 0.7), 0.985 - 0.95 * t], axis=-1) * [width, side]
    bands = rng.uniform(3.0, 9.0)
    along = np.gradient(shaft, axis=0)
    heading = np.arctan2(along[:, 1], along[:, 0])
    partings = [fractal_curve(n, rng=rng, cells=7, slope=2.0) for _ in range(2)]
    reach = width * 0.40 * np.minimum(1.0, 0.45 + t * 2.2) * np.clip((1.0 - t) / 0.22, 0.0, 1.0) ** 0.6
    for i in range(round(n * 0.13), n - 1):
        down = max(0.0, 1.0 - (t[i] - 0.13) / 0.16)
        for s, parting in zip((-1.0, 1.0), partings, strict=True):
            length = (
                reach[i] * (0.72 if s < 0 else 1.0) * (1.0 + 0.07 * parting[i] + rng.normal(0.0, 0.02 + 0.25 * down))
            )
            angle = heading[i] + s * (0.72 + 0.08 * parting[i] + down * rng.normal(0.3, 0.3))
            u = np.linspace(0.0, 1.0, 7)
            curl = -s * 0.22 * u**2
            barb = shaft[i] + length * np.stack([np.cos(angle + curl) * u, np.sin(angle + curl) * u], axis=-1)
            band = 0.5 + 0.5 * math.sin(bands * 2 * math.pi * (t[i] - 0.08 * length / width))
            tint = lighter(mixed(dark, light, min(1.0, band**2 + down)), 0.04 * s + rng.normal(0.0, 0.025))
            sheet.stroke(barb, tint, 0.5 if down > 0.0 else side / 400)
    sheet.ribbon(shaft, np.linspace(side * 0.012, side * 0.002, n), from_hex("d9cfb8"))
    sheet.ribbon(shaft + [side * 0.0015, 0], np.linspace(side * 0.004, side * 0.001, n), from_hex("9a8a6a"))
    return sheet.rgba()


def creature(side: int, *, rng: np.random.Generator) -> Rgba:
    """A small furry animal, seen from behind or from the front."""
    sheet = Sketch(side, side, supersample=2)
    coat = from_hex(rng.choice(_HAIR))
    belly = lighter(mixed(coat, from_hex("e6dac6"), 0.6), 0.05)
    front = rng.random() < 0.6
    light = np.array([rng.choice([-0.6, 0.6]), -0.7])
    length = side * rng.uniform(0.06, 0.09)
    head, head_radius = np.array([0.5, 0.33]) * side, 0.21 * side
    body, body_radii = np.array([0.5, 0.70]) * side, np.array([0.29, 0.27]) * side
    pointed = rng.random() < 0.6
    for s in (-1, 1):
        ear = head + np.array([s * 0.145, -0.19 if pointed else -0.15]) * side
        radii = np.array([0.06, 0.10 if pointed else 0.065]) * side
        _fur(sheet, ear, radii, length * 0.55, lighter(coat, -0.05), belly if front else coat, light, 420, rng=rng)
    _fur(sheet, body, body_radii, length, coat, belly if front else coat, light, 2600, rng=rng)
    _fur(
        sheet,
        head,
        np.array([1.06, 0.95]) * head_radius,
        length * 0.75,
        lighter(coat, 0.02),
        coat,
        light,
        1700,
        rng=rng,
    )
    if front:
        muzzle = head + np.array([0.0, 0.075]) * side
        _fur(sheet, muzzle, np.array([0.075, 0.055]) * side, length * 0.3, belly, belly, light, 380, rng=rng)
        for s in (-1, 1):
            eye = head + np.array([s * 0.085, -0.02]) * side
            sheet.disk(eye, side * 0.026, from_hex("14100e"))
            sheet.disk(eye - side * 0.008, side * 0.0075, from_hex("e9e6df"))
            for k in range(4):
                whisker = (
                    muzzle
                    + np.array([[s * 0.03, 0.0], [s * 0.12, 0.012 * k - 0.03], [s * 0.21, 0.03 * k - 0.04]]) * side
                )
                sheet.stroke(whisker, from_hex("d9d3c6"), 0.3)
        sheet.polygon(
            outlines.superellipse(exponent=2.5, aspect=0.7, points=24) * side * 0.024 + muzzle - [0, side * 0.03],
            from_hex("3a2422"),
        )
    return sheet.rgba()


def _fur(sheet, centre, radii, length, coat, middle, light, count, *, rng) -> None:
    """Hairs combed outward and down over an ellipsoid. Hairs at its outline are drawn first."""
    sheet.polygon(outlines.superellipse(exponent=2.0, points=64) * radii * 0.97 + centre, lighter(coat, -0.10))
    r = np.sort(np.sqrt(rng.uniform(0.0, 1.0, count)))[::-1]
    angle = rng.uniform(0.0, 2.0 * np.pi, count)
    outward = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * r[:, None]
    root = centre + outward * radii * 0.98
    comb = outward + [0.0, 0.35] + rng.normal(0.0, 0.20, (count, 2))
    comb *= (length * rng.uniform(0.7, 1.15, count) / np.maximum(np.linalg.norm(comb, axis=-1), 0.3))[:, None]
    sway = np.stack([-comb[:, 1], comb[:, 0]], axis=-1) * rng.normal(0.0, 0.15, (count, 1))
    hairs = np.stack([root, root + comb * 0.5 + sway, root + comb], axis=1)
    tints = mixed(coat, middle, np.maximum(0.0, 1.0 - (r / 0.75) ** 2) * 0.8)
    tints = lighter(tints, 0.15 * outward @ light + 0.03 - 0.05 * r + rng.normal(0.0, 0.04, count))
    sheet.tapers(hairs, np.full(count, length * 0.06 + 0.2), tints)


def portrait(side: int, *, rng: np.random.Generator) -> Rgba:
    """Head and shoulders from behind, with long or gathered hair and stray strands."""
    palette = Palette.draw(rng=rng)
    sheet = Sketch(side, side, supersample=2)
    hair = from_hex(rng.choice(_HAIR))
    cloth = palette.any(rng=rng, accented=0.5)
    skin = from_hex(rng.choice(["d9a688", "b97f5f", "8a5a40", "e6bfa3", "5f3d2c"]))
    middle = 0.5 + rng.normal(0.0, 0.03)
    _coat(sheet, cloth, middle, side, rng=rng)
    neck = np.array([[-0.062, 0.40], [0.062, 0.40], [0.07, 0.62], [0.12, 0.66], [-0.12, 0.66], [-0.07, 0.62]])
    sheet.polygon((neck + [middle, 0.0]) * side, lighter(skin, -0.06))
    collar = np.array([[-0.13, 0.66], [-0.09, 0.615], [0.0, 0.60], [0.09, 0.615], [0.13, 0.66], [0.0, 0.70]])
    sheet.polygon((collar + [middle, 0.0]) * side, lighter(cloth, 0.05))
    crown = np.array([middle, 0.27]) * side
    radii = np.array([0.155, 0.195]) * side
    sheet.polygon(outlines.superellipse(exponent=2.1, points=80) * radii + crown, lighter(hair, -0.1))
    for s in (-1, 1):
        ear = outlines.superellipse(exponent=2.0, points=24) * np.array([0.022, 0.04]) * side
        sheet.polygon(ear + crown + np.array([s * 0.157, 0.03]) * side, skin)
    gathered = rng.random() < 0.4
    _falling_hair(
        sheet, hair, crown, radii, 0.47 * side if gathered else rng.uniform(0.62, 0.85) * side, gathered, rng=rng
    )
    if gathered:
        _tail(sheet, hair, np.array([middle, 0.455]) * side, side, rng=rng)
    return sheet.rgba()


def _falling_hair(sheet, hair, crown: Points, radii, end: float, gathered: bool, *, rng) -> None:
    """Strands along the meridians of the skull, then straight or wavy down to `end`, or gathered in a knot."""
    count, k = 1300, 22
    u = np.linspace(0.0, 1.0, k)
    longitude = np.sin(rng.uniform(-1.45, 1.45, (count, 1)))
    stray = np.maximum(0.0, rng.normal(0.0, 1.0, (count, 1)) - 1.3) * radii[0] * 0.25
    top = crown[1] - radii[1] * 1.03
    y = top + (end + rng.normal(0.0, 0.06, (count, 1)) * radii[0] * (not gathered) - top) * u**1.2
    latitude = np.clip((y - crown[1]) / (radii[1] * 1.03), -1.0, 0.35)
    x = longitude * radii[0] * 1.07 * np.sqrt(1.0 - latitude**2)
    if gathered:
        x *= 1.0 - 0.88 * (np.clip(u - 0.45, 0.0, 1.0) / 0.55) ** 1.3
    else:
        wave = rng.uniform(0.0, 0.10) * radii[0]
        x += wave * np.sin(u * rng.uniform(7.0, 13.0) + longitude * 2.5 + rng.normal(0.0, 0.25, (count, 1))) * u
        x *= 1.0 + rng.uniform(-0.1, 0.25) * np.clip(u - 0.4, 0.0, 1.0)
    x += np.sign(longitude) * stray * u**0.7 + rng.normal(0.0, 0.03, (count, 1)) * radii[0] * u
    lines = np.stack([crown[0] + x, y - stray * np.sin(u * 3.0)], axis=-1)
    light = rng.choice([-1.0, 1.0])
    sheen = 0.14 * np.exp(-(((longitude[:, 0] - light * 0.45) / 0.3) ** 2)) - 0.10 * np.abs(longitude[:, 0]) ** 3
    tints = lighter(hair, sheen + rng.normal(0.0, 0.04, count))
    # The parting side first, then toward the viewer.
    order = np.argsort(-np.abs(longitude[:, 0]) + rng.normal(0.0, 0.3, count))
    sheet.tapers(lines[order], (radii[0] * 0.028 + 0.3) * (1.0 - 0.6 * (stray[order, 0] > 0)), tints[order])


def _coat(sheet: Sketch, cloth, middle: float, side: int, *, rng) -> None:
    x = np.linspace(-1.0, 1.0, 60)
    top = 0.645 + 0.155 * np.abs(x) ** 1.35 + 0.23 * np.clip((np.abs(x) - 0.72) / 0.28, 0.0, 1.0) ** 2.4
    shoulders = np.stack([middle + 0.44 * x, np.minimum(top, 1.0)], axis=-1)
    sheet.polygon(np.concatenate([shoulders, [[middle + 0.44, 1.0], [middle - 0.44, 1.0]]]) * side, cloth)
    # Knitted or woven: rows of short strokes following the shoulders.
    rows, light = int(rng.integers(26, 44)), rng.choice([-1.0, 1.0])
    for r in range(rows):
        drop = (r + 0.5) / rows * 0.45
        for j in range(1, 59):
            y = top[j] + drop
            if y < 1.0 and top[j] < 1.0:
                at = np.array([middle + 0.44 * x[j], y]) * side
                tick = np.array([[-0.004, -0.005], [0.004 * (-1) ** j, 0.006]]) * side
                shade = lighter(cloth, 0.07 * x[j] * light - 0.10 * abs(x[j]) ** 3 + rng.normal(0.0, 0.03))
                sheet.stroke(at + tick, shade, side * 0.006)


def _tail(sheet: Sketch, hair, knot: Points, side: int, *, rng) -> None:
    count = 520
    u = np.linspace(0.0, 1.0, 14)
    spread = rng.normal(0.0, 0.42, (count, 1))
    x = (0.012 + 0.055 * np.sin(np.pi * u**0.7)) * spread * 1.5 + rng.uniform(0.0, 0.03) * np.sin(u * 6.0) * u
    y = u * rng.uniform(0.26, 0.40, (count, 1))
    tints = lighter(hair, 0.06 * np.cos(spread[:, 0] * 2.5) - 0.02 + rng.normal(0.0, 0.04, count))
    sheet.tapers(knot + np.stack([x, y], axis=-1) * side, np.full(count, side * 0.0045), tints)
    band = outlines.superellipse(exponent=2.6, points=32) * np.array([0.026, 0.013]) * side
    sheet.polygon(band + knot + [0.0, side * 0.004], from_hex("2a2326"))
