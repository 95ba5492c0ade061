"""Outdoor places by day: hills and lakes, the sea, meadows, woods, and hedges seen from close by."""

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.arrays import Picture, Rgba
from scenes.procedural import outlines
from scenes.procedural.light import Day, dapple, ground_plane, hazed, sky
from scenes.procedural.noise import Field, fractal, fractal_curve, noise_at, smoothstep
from scenes.procedural.outlines import Points
from scenes.procedural.palette import Colour, from_hex, lighter, linear, mixed, ramp
from scenes.procedural.plants import FOLIAGE, PETALS, blossom_on, leaf_on
from scenes.procedural.shading import blurred, cast_shadow
from scenes.procedural.sketch import Sketch, paste


def hills(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """Ridges behind each other in haze, with a meadow or a lake and some trees in front."""
    day = Day.draw(rng=rng)
    horizon = height * rng.uniform(0.42, 0.62)
    picture = sky(height, width, horizon, day, rng=rng)
    near = mixed(from_hex(rng.choice(FOLIAGE)), from_hex("4a4030"), rng.uniform(0.0, 0.4))
    far = mixed(day.shade, day.sky[2], 0.45)
    count = int(rng.integers(3, 6))
    top = horizon - height * rng.uniform(0.12, 0.32)
    rugged = rng.uniform(2.2, 3.0)
    for k in range(count):
        t = (k + 1) / count
        base = top + (horizon - top) * (t - 0.5 / count)
        crest = base + height * (0.075 * (1.15 - t)) * fractal_curve(width, rng=rng, slope=rugged + 0.3 * t, cells=2.5)
        air = 0.88 * (1.0 - t) ** 1.1 + 0.06
        _ridge(picture, crest, mixed(near, from_hex("5f6a6a"), 0.5 * (1 - t)), far, air, day, horizon, rng=rng)
    if rng.random() < 0.4:
        _trees(picture, horizon, near, far, day, tallest=0.12, rng=rng)
        _lake(picture, horizon, day, rng=rng)
    else:
        _meadow_floor(picture, horizon, near, day, far, rng=rng)
        _trees(picture, horizon, near, far, day, tallest=0.5, rng=rng)
    return picture


def _ridge(picture, crest: Field, colour: Colour, far: Colour, air: float, day: Day, horizon: float, *, rng) -> None:
    """Cover everything below a crest with a slope, wooded or bare, seen through haze."""
    height, width = picture.shape[:2]
    first = max(0, int(crest.min()) - 2)
    last = min(height, int(horizon) + 2)
    if last <= first:
        return
    rows = last - first
    # Trees make the crest uneven.
    fuzz = rng.standard_normal(width).astype(np.float32) * np.float32(height * 0.0025 * (1.0 - air))
    y = np.arange(first, last, dtype=np.float32)[:, None] + np.float32(0.5)
    matte = np.clip(y - (crest + fuzz)[None, :] + 0.5, 0.0, 1.0)
    relief = fractal(rows, width, rng=rng, slope=2.3, cells=6, stretch=1.8)
    gullies = cv2.Sobel(relief, cv2.CV_32F, 1, 1, ksize=3)
    shade = 0.5 + 0.16 * relief + 0.10 * np.clip(gullies, -2.0, 2.0)
    slope = ramp(
        shade,
        [lighter(colour, -0.2), lighter(colour, -0.05), mixed(colour, day.sun, 0.18), mixed(colour, day.sun, 0.4)],
    )
    # Mist gathers in the valleys.
    low = smoothstep(0.0, 1.0, (y - crest[None, :]) / np.float32(max(horizon - crest.mean(), 8.0)))
    slope = hazed(slope, np.clip(air + 0.30 * low * (0.3 + air), 0.0, 0.97), far)
    picture[first:last] += (slope - picture[first:last]) * matte[..., None]


def _meadow_floor(picture, horizon: float, near: Colour, day: Day, far: Colour, *, rng) -> None:
    height, width = picture.shape[:2]
    u, v, footprint, first = ground_plane(height, width, horizon, eye=rng.uniform(2.0, 6.0))
    patches = noise_at(u * 0.05, v * 0.05, footprint * 0.05, rng=rng, octaves=6)
    blades = noise_at(u * 2.5, v * 1.2, footprint * 2.5, rng=rng, octaves=6)
    dry = mixed(near, from_hex("c2a868"), rng.uniform(0.3, 0.8))
    shade = 0.5 + 0.16 * patches + 0.13 * blades
    floor = ramp(shade, [lighter(near, -0.17), near, dry, mixed(dry, day.sun, 0.35)])
    air = 1.0 - np.exp(-v[:, 0] / 260.0)
    picture[first:] = hazed(floor, np.broadcast_to(0.55 * air[:, None], u.shape), far)
    if rng.random() < 0.35:
        # A winding path.
        bend = np.float32(rng.normal(0.0, 0.15)) * v + np.float32(2.0) * np.sin(
            v * np.float32(0.06) + np.float32(rng.uniform(0, 6))
        )
        path = smoothstep(1.5, 1.1, np.abs(u - bend) + 0.25 * blades)
        earth = ramp(0.5 + 0.2 * blades, [from_hex("6a5a42"), from_hex("9a8663"), from_hex("c9b48c")])
        picture[first:] += (path * (1.0 - 0.6 * air[:, None]))[..., None] * (earth - picture[first:])


def _lake(picture, horizon: float, day: Day, *, rng) -> None:
    """Water below the horizon that mirrors the picture, with ripples that grow towards the viewer."""
    height, width = picture.shape[:2]
    u, v, footprint, first = ground_plane(height, width, horizon, eye=2.0)
    wind = rng.uniform(0.15, 1.0)
    ripples = noise_at(u * 0.7, v * 1.6, footprint * 1.2, rng=rng, octaves=6)
    depth = (np.arange(first, height, dtype=np.float32) + 0.5 - np.float32(horizon))[:, None]
    sway = ripples * (np.float32(wind * 0.016 * height) * np.sqrt(depth / np.float32(height)))
    y = np.float32(horizon) - depth * np.float32(0.92) + sway * 2.0 - 1.0
    x = np.arange(width, dtype=np.float32)[None, :] + sway * 0.4
    mirror = cv2.remap(
        picture,
        x.astype(np.float32),
        np.clip(y, 0, first - 1).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    deep = linear(mixed(day.shade, from_hex("1f3a3f"), 0.6))
    share = np.clip(0.22 + 0.45 * depth / np.float32(height - horizon), 0.0, 0.7)
    picture[first:] = mirror + (deep - mirror) * share[..., None]
    shore = smoothstep(3.0, 0.0, depth) * np.float32(0.5)
    picture[first:] *= 1.0 - shore[..., None]


def _trees(picture, horizon: float, near: Colour, far: Colour, day: Day, *, tallest: float, rng) -> None:
    """Trees in small groups with their shadows, smaller with distance. `tallest` is relative to the frame."""
    height, width = picture.shape[:2]
    count = int(rng.integers(14, 46))
    groups = rng.uniform(-0.05, 1.05, 6)
    sizes = np.sort(height * 0.05 / (1.0 - rng.uniform(0.0, 0.93, count)) ** 0.8)
    for size in sizes:
        size = float(min(size, height * tallest))
        nearness = min(1.0, size / (0.35 * height))
        foot = horizon + (height - horizon) * 0.55 * nearness
        tree = _tree(size, near, rng=rng)
        tree[..., :3] = hazed(tree[..., :3], 0.5 * (1.0 - nearness) ** 2, far) * linear(mixed(day.sun, np.ones(3), 0.4))
        x = (groups[rng.integers(6)] + rng.normal(0.0, 0.06)) * width
        shade = np.full((max(2, round(size * 0.10)), tree.shape[1]), 1.0, np.float32)
        cast_shadow(
            picture,
            shade,
            round(x - tree.shape[1] / 2),
            round(foot - size * 0.06),
            softness=max(0.6, size * 0.05),
            strength=0.45,
        )
        paste(picture, tree, round(x - tree.shape[1] / 2), round(foot - tree.shape[0]))


def _tree(size: float, green: Colour, *, rng: np.random.Generator) -> Rgba:
    """A tree `size` pixels tall: poplar, round crown or spruce."""
    n = max(8, round(size))
    kind = rng.integers(3)
    width = max(6, round(n * (0.35, 0.95, 0.5)[kind]))
    sheet = Sketch(n, width)
    bark = mixed(green, from_hex("2a2018"), 0.75)
    sheet.polygon(
        np.array([[width * 0.46, n], [width * 0.485, n * 0.4], [width * 0.515, n * 0.4], [width * 0.54, n]]), bark
    )
    count = int(np.clip(n * 5.0, 60, 1500))
    tint = lighter(green, rng.normal(-0.03, 0.04))
    if kind == 2:
        t = rng.beta(1.3, 1.0, count)
        centres = np.stack([0.5 + rng.uniform(-0.48, 0.48, count) * t, 0.03 + 0.87 * t], axis=-1) * [width, n]
        lift = 0.10 * rng.standard_normal(count) - 0.12 * (t % 0.14) / 0.14
        dabs(sheet, centres, n * 0.035, tint, lift, rng=rng, slenderness=2.5)
        return sheet.rgba()
    clumps = rng.uniform([0.22, 0.12], [0.78, 0.62], (9, 2))
    radii = rng.uniform(0.12, 0.22, 9)
    pick = np.sort(rng.integers(0, 9, count))
    around = rng.normal(0.0, 0.5, (count, 2))
    around /= np.maximum(1.0, np.linalg.norm(around, axis=-1, keepdims=True))
    centres = (clumps[pick] + around * radii[pick, None] * [1.0, 0.8]) * [width, n]
    lift = -0.10 * around[:, 1] - 0.07 * around[:, 0] + 0.12 * (0.4 - clumps[pick, 1]) + rng.normal(0.0, 0.03, count)
    dabs(sheet, centres, n * 0.021, tint, lift, rng=rng, slenderness=1.7)
    return sheet.rgba()


def dabs(sheet: Sketch, centres: Points, size, tint: Colour, lift: NDArray, *, rng, slenderness: float = 2.0) -> None:
    """Small leaf-shaped strokes, each `lift` lighter than the tint."""
    n = len(centres)
    shape = outlines.leaf(slenderness=slenderness, points=5)
    shape = np.concatenate([shape[:5], shape[6:-1]])
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([c, s], axis=-1), np.stack([-s, c], axis=-1)], axis=1)
    scale = (np.asarray(size) * rng.uniform(0.6, 1.3, n))[:, None, None]
    sheet.facets(shape @ turn * scale + centres[:, None, :], lighter(tint, lift))


def seaside(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """The sea under a wide sky, with light on the water, and sand or a headland."""
    day = Day.draw(rng=rng)
    horizon = height * rng.uniform(0.34, 0.55)
    picture = sky(height, width, horizon, day, rng=rng)
    if rng.random() < 0.6:
        side = rng.choice([-1.0, 1.0])
        x = np.linspace(-1.0, 1.0, width, dtype=np.float32)
        rise = np.maximum(0.0, x * np.float32(side) - np.float32(rng.uniform(-0.3, 0.5)))
        crest = (
            horizon
            + 2.0
            - height * (0.16 * rise + 0.03 * rise**0.5 * (1.5 + fractal_curve(width, rng=rng, slope=2.4, cells=4)))
        )
        rock = mixed(from_hex("4a4a44"), from_hex("5a6a3a"), rng.uniform(0, 0.8))
        _ridge(
            picture,
            crest.astype(np.float32),
            rock,
            mixed(day.shade, day.sky[2], 0.5),
            rng.uniform(0.15, 0.6),
            day,
            horizon,
            rng=rng,
        )
    u, v, footprint, first = ground_plane(height, width, horizon, eye=rng.uniform(2.0, 7.0))
    swell = noise_at(u * 0.05, v * 0.16, footprint * 0.12, rng=rng, octaves=5)
    chop = noise_at(u * 0.5, v * 1.3, footprint * 0.9, rng=rng, octaves=7)
    waves = 0.55 * swell + 0.55 * chop
    down = (np.arange(first, height, dtype=np.float32)[:, None] + 0.5 - np.float32(horizon)) / np.float32(
        height - horizon
    )
    deep = mixed(from_hex(rng.choice(["123a4a", "1f4f5a", "2a5f6a", "2f4550"])), day.shade, 0.25)
    shallow = mixed(deep, from_hex("7fb0a8"), 0.5)
    water = ramp(
        0.42 + 0.16 * waves + 0.12 * down, [lighter(deep, -0.1), deep, shallow, mixed(day.sky[1], day.sky[2], 0.5)]
    )
    water = hazed(water, np.broadcast_to(0.55 * np.exp(-down * 9.0), u.shape), day.sky[2])
    column = np.float32(rng.uniform(0.1, 0.9) * width)
    x = np.arange(width, dtype=np.float32)[None, :]
    lane = np.exp(-(((x - column) / (np.float32(0.08 * width) + 0.22 * width * down)) ** 2))
    glitter = smoothstep(0.75, 1.6, waves + 0.5 * lane) * lane
    water += glitter[..., None] * linear(day.sun) * np.float32(0.9)
    picture[first:] = water
    if rng.random() < 0.6:
        _beach(picture, horizon, u, v, footprint, down, first, day, rng=rng)
    return picture


def _beach(picture, horizon: float, u, v, footprint, down, first: int, day: Day, *, rng) -> None:
    height, width = picture.shape[:2]
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)
    edge = rng.uniform(0.45, 0.7) + 0.14 * x * rng.normal() + 0.03 * fractal_curve(width, rng=rng, slope=3.0, cells=3)
    line = down - edge[None, :].astype(np.float32)
    sand_noise = noise_at(u * 1.2, v * 1.2, footprint * 1.2, rng=rng, octaves=8)
    tint = from_hex(rng.choice(["cdb58a", "b9a07a", "a8997f", "d9c7a3"]))
    sand = ramp(0.55 + 0.13 * sand_noise, [lighter(tint, -0.22), lighter(tint, -0.05), tint, mixed(tint, day.sun, 0.5)])
    wet = smoothstep(0.16, 0.02, line)
    sand *= 1.0 - (0.5 * wet)[..., None]
    sand += (0.25 * wet)[..., None] * linear(day.sky[1])
    matte = smoothstep(-0.005, 0.005, line)
    window = picture[first:]
    window += matte[..., None] * (sand - window)
    lace = noise_at(u * 2.2, v * 2.2, footprint * 2.2, rng=rng, octaves=6)
    for offset, strength in ((0.0, 0.95), (-0.09, 0.6), (-0.2, 0.45)):
        band = np.exp(-(((line - offset + 0.012 * lace) / 0.016) ** 2)) * smoothstep(-0.6, 0.9, lace + 0.4)
        window += (strength * band)[..., None] * (linear(mixed(day.sun, np.ones(3), 0.5)) * 0.9 - window)


def meadow(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """Tall grass and flowers seen from knee height, with hills and sky far behind."""
    day = Day.draw(rng=rng)
    horizon = height * rng.uniform(0.25, 0.42)
    green = from_hex(rng.choice(FOLIAGE[:5]))
    picture = sky(height, width, horizon, day, rng=rng)
    crest = horizon - height * (0.05 + 0.04 * fractal_curve(width, rng=rng, slope=3.0, cells=2))
    _ridge(picture, crest.astype(np.float32), green, mixed(day.shade, day.sky[2], 0.4), 0.45, day, horizon + 2, rng=rng)
    below = round(horizon)
    shade = fractal(height - below, width, rng=rng, slope=2.4, cells=6, stretch=3.0)
    depth = np.linspace(0.0, 1.0, height - below, dtype=np.float32)[:, None]
    picture[below:] = ramp(
        0.95 - 0.75 * depth + 0.12 * shade,
        [lighter(green, -0.28), lighter(green, -0.1), green, mixed(green, day.sky[2], 0.55)],
    )
    straw = from_hex(rng.choice(["c9b26a", "a8b060", "d6c58a", "8fa05a"]))
    petals = [from_hex(c) for c in rng.choice(PETALS, 2, replace=False)]
    for near in (0.05, 0.12, 0.25, 0.42, 0.65, 1.0):
        _row_of_grass(picture, horizon, near, green, straw, petals, day, rng=rng)
    return picture


def _row_of_grass(picture, horizon: float, near: float, green, straw, petals, day: Day, *, rng) -> None:
    height, width = picture.shape[:2]
    sheet = Sketch(height, width)
    tall = height * 0.55 * near
    foot = horizon + (height - horizon) * (near + 0.12) ** 0.9
    count = int(min(650, 130 / near**0.9))
    k = 7
    t = np.linspace(0.0, 1.0, k)
    root = np.stack([rng.uniform(-0.05, 1.05, count) * width, foot + rng.normal(0.0, 0.09, count) * tall], axis=-1)
    length = tall * rng.uniform(0.45, 1.15, count)
    lean = 0.12 + rng.normal(0.0, 0.3, count)
    blades = np.stack([root[:, :1] + (lean * length)[:, None] * t**2, root[:, 1:] - length[:, None] * t], axis=-1)
    air = 0.5 * (1.0 - near) ** 1.5
    base = mixed(mixed(green, straw, rng.beta(1.2, 2.2, count)), day.sky[2], air)
    tints = lighter(base, rng.normal(0.0, 0.05, count) - 0.06 * near)
    sheet.tapers(blades, np.full(count, max(1.0, 0.035 * tall)), tints)
    blooms = int(rng.integers(6, 16) / near**0.7)
    for i in rng.choice(count, min(blooms, count), replace=False):
        petal = mixed(petals[int(rng.random() < 0.3)], day.sky[2], air)
        radius = 0.06 * tall * rng.uniform(0.7, 1.2)
        at = blades[i, -1]
        if radius > 3.0:
            blossom_on(sheet, at, radius, petal, rng=rng)
        else:
            sheet.disk(at, max(0.8, radius), petal)
    rgba = sheet.rgba()
    # Little light reaches the roots.
    y = np.arange(height, dtype=np.float32)
    depth = smoothstep(foot + 0.1 * tall, foot - 0.75 * tall, y)
    rgba[..., :3] *= (np.float32(0.40) + np.float32(0.85) * depth)[:, None, None] * linear(
        mixed(day.sun, np.ones(3), 0.5)
    )
    paste(picture, rgba, 0, 0)


def woods(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """Trunks that fade into mist or light with distance, and undergrowth."""
    day = Day.draw(rng=rng, among=("haze", "golden", "overcast", "dusk", "noon"))
    leafy = from_hex(rng.choice(FOLIAGE))
    glow = mixed(day.sky[2], leafy, 0.25)
    horizon = height * rng.uniform(0.55, 0.7)
    y = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None]
    field = fractal(height, width, rng=rng, slope=2.6, cells=4)
    picture = ramp(
        np.clip(0.95 - 0.5 * np.abs(y - 0.5) + 0.10 * field, 0.0, 1.0),
        [lighter(leafy, -0.1), mixed(glow, leafy, 0.5), glow],
    )
    bark = from_hex(rng.choice(["3a3029", "4f4438", "5f5a52", "2a2624", "c9c2b3"]))
    u, v, footprint, first = ground_plane(height, width, horizon)
    litter = noise_at(u * 1.4, v * 0.9, footprint * 1.4, rng=rng, octaves=8)
    floor_tint = mixed(leafy, from_hex("6a4a2a"), rng.uniform(0.2, 0.9))
    floor = ramp(0.5 + 0.17 * litter, [lighter(floor_tint, -0.2), floor_tint, lighter(floor_tint, 0.14)])
    picture[first:] = hazed(
        floor, np.broadcast_to(np.exp(-((v * 0.0) + 1.0) * 12.0 / np.maximum(v, 1.0)), v.shape), glow
    )
    for level in range(6):
        near = ((level + 1) / 6.0) ** 1.6
        _trunks(picture, horizon, near, bark, glow, rng=rng)
        _leaves_at(picture, horizon, near, leafy, glow, rng=rng)
    if rng.random() < 0.6:
        _shafts(picture, day, rng=rng)
    return picture


def _trunks(picture, horizon: float, near: float, bark: Colour, glow: Colour, *, rng) -> None:
    height, width = picture.shape[:2]
    foot = horizon + (height - horizon) * (0.05 + 0.75 * near)
    for _ in range(max(1, round(rng.uniform(1.5, 3.5) / near**0.55))):
        thick = width * 0.10 * near * rng.uniform(0.5, 1.2)
        x = rng.uniform(-0.05, 1.05) * width
        n = max(6, round(foot))
        columns = max(4, int(thick * 1.7) + 3)
        t = np.linspace(0.0, 1.0, n, dtype=np.float32)
        sway = fractal_curve(n, rng=rng, slope=3.2, cells=2) * np.float32(0.10 * thick) + t * np.float32(
            rng.normal(0, 0.3) * thick
        )
        half = thick * (0.36 + 0.12 * t + 0.25 * np.clip((t - 0.93) / 0.07, 0, 1) ** 2)
        across = (np.arange(columns, dtype=np.float32)[None, :] + 0.5 - columns / 2 - sway[:, None]) / half[:, None]
        matte = np.clip((1.0 - np.abs(across)) * half[:, None] + 0.5, 0.0, 1.0)
        rough = fractal(n, columns, rng=rng, slope=1.7, cells=max(4.0, n / max(thick, 2.0) * 1.5), stretch=0.3)
        light = 0.45 - 0.28 * across * np.sign(0.5 - x / width + 1e-3) + 0.13 * rough
        colour = ramp(
            light.astype(np.float32),
            [lighter(bark, -0.2), lighter(bark, -0.04), lighter(bark, 0.10), mixed(bark, glow, 0.6)],
        )
        matte *= smoothstep(1.0, 0.965, t)[:, None]
        trunk = np.dstack([hazed(colour, 0.80 * (1.0 - near) ** 1.3, glow), matte]).astype(np.float32)
        paste(picture, trunk, round(x - columns / 2), round(foot) - n)


def _leaves_at(picture, horizon: float, near: float, leafy: Colour, glow: Colour, *, rng) -> None:
    height, width = picture.shape[:2]
    sheet = Sketch(height, width)
    size = max(1.0, height * 0.013 * near)
    tint = mixed(leafy, glow, 0.7 * (1.0 - near) ** 1.2)
    n = int(900 + 500 * (1.0 - near))
    clumps = rng.uniform([0.0, -0.05], [1.0, 0.40], (14, 2))
    pick = rng.integers(0, 14, n)
    centres = (clumps[pick] + rng.normal(0.0, 1.0, (n, 2)) * [0.10, 0.05]) * [width, height]
    lift = rng.normal(0.0, 0.05, n) - 0.08 * near + 0.05 * (pick % 3 - 1)
    dabs(sheet, centres, size, tint, lift, rng=rng)
    foot = horizon + (height - horizon) * (0.08 + 0.8 * near)
    shrubs = rng.uniform(0.0, 1.0, 7)
    pick = rng.integers(0, 7, n // 2)
    low = np.stack(
        [
            (shrubs[pick] + rng.normal(0, 0.05, n // 2)) * width,
            foot - np.abs(rng.normal(0, 0.07, n // 2)) * height * (0.3 + near),
        ],
        axis=-1,
    )
    dabs(sheet, low, size, lighter(tint, 0.02), rng.normal(0.0, 0.06, n // 2) - 0.1 * near, rng=rng)
    paste(picture, sheet.rgba(), 0, 0)


def _shafts(picture, day: Day, *, rng) -> None:
    """Beams of sunlight through the canopy."""
    height, width = picture.shape[:2]
    slant = np.float32(rng.choice([-1, 1]) * rng.uniform(0.3, 0.7))
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    profile = np.maximum(fractal_curve(2 * (height + width), rng=rng, slope=2.2, cells=22), 0.0)
    profile = blurred(profile[None, :], max(width, height) * 0.006)[0]
    at = np.clip(x + slant * y + height, 0, len(profile) - 1).astype(np.int32)
    fade = np.clip(1.1 - y / np.float32(height), 0.0, 1.0)
    picture += (profile[at] * fade * np.float32(rng.uniform(0.10, 0.22)))[..., None] * linear(day.sun)


def hedge(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """A wall of leaves: near ones are large and lit, deep ones are dark. Some have blossom."""
    green = from_hex(rng.choice(FOLIAGE))
    longer = max(height, width)
    dark = fractal(height, width, rng=rng, slope=2.2, cells=5)
    picture = ramp(0.5 + 0.2 * dark, [lighter(green, -0.42), lighter(green, -0.3), lighter(green, -0.18)])
    sheet = Sketch(height, width)
    aspect = rng.uniform(1.5, 3.2)
    for level, (count, size) in enumerate(((1700, 0.012), (1300, 0.018), (700, 0.026))):
        centres = rng.uniform([-0.05, -0.05], [1.05, 1.05], (count, 2)) * [width, height]
        lift = rng.normal(0.0, 0.05, count) - 0.22 + 0.06 * level
        dabs(sheet, centres, longer * size, green, lift, rng=rng, slenderness=aspect)
    species = {"slenderness": aspect, "teeth": int(rng.choice([0, 0, 9]))}
    warm = from_hex("cdbb5a")
    count = 620
    petal = from_hex(rng.choice(PETALS))
    blooming = rng.random() < 0.5
    clusters = rng.uniform([0, 0], [width, height], (7, 2))
    flow = rng.uniform(0.0, 2.0 * np.pi)
    for k in range(count):
        t = k / count
        at = rng.uniform([-0.05, -0.05], [1.05, 1.05]) * [width, height]
        tint = lighter(mixed(green, warm, rng.beta(1.0, 5.0) * 0.8), 0.20 * t - 0.14 + rng.normal(0.0, 0.035))
        leaf_on(
            sheet,
            at,
            flow + rng.normal(0.0, 1.0),
            longer * rng.uniform(0.035, 0.065) * (0.8 + 0.5 * t),
            tint,
            species,
            rng=rng,
        )
        if blooming and t > 0.5 and rng.random() < 0.35:
            spot = clusters[rng.integers(7)] + rng.normal(0.0, 0.09 * longer, 2)
            blossom_on(sheet, spot, longer * rng.uniform(0.014, 0.024), lighter(petal, 0.1 * t - 0.08), rng=rng)
    paste(picture, sheet.rgba(), 0, 0)
    broad = fractal(height, width, rng=rng, slope=2.8, cells=3)
    picture *= np.exp(np.float32(0.35) * broad)[..., None]
    dapple(picture, rng=rng, strength=0.45)
    return picture
