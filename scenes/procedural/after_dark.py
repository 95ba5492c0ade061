"""Places at night, with small lamps far above white: streets, skylines over water, and lantern-lit gardens."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.arrays import Picture
from scenes.procedural import lights, materials, town
from scenes.procedural.light import Day, bloom, ground_plane
from scenes.procedural.noise import fractal, fractal_curve, noise_at, smoothstep
from scenes.procedural.outdoors import dabs
from scenes.procedural.palette import from_hex, lighter, linear, ramp
from scenes.procedural.plants import FOLIAGE
from scenes.procedural.shading import blurred
from scenes.procedural.sketch import Sketch, paste

_SKIES = (
    "05070d 0d1424 1c2740",
    "0a0a1c 1f1a3c 4a3350",
    "060a10 141c24 2a2f33",
    "0b1028 26305a 8a5a5f",
    "080c18 1a2b4a 4f6a80",
)


def _night(*, rng: np.random.Generator) -> Day:
    zenith, middle, horizon = (from_hex(c) for c in rng.choice(_SKIES).split())
    return Day("night", (zenith, middle, horizon), from_hex("5a5a66"), from_hex("10131c"))


def night_street(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """A street with lit windows and lamps. The road is wet or dry."""
    day = _night(rng=rng)
    view = town.View.draw(height, rng=rng)
    picture = town.street_scene(height, width, day, view, night=True, rng=rng)
    u, v, footprint, first = view.ground(height, width)
    lamps = _street_lamps(picture, view, rng=rng)
    road = smoothstep(0.1, -0.1, np.abs(u) - np.float32(view.half_street))
    _pools_of_light(picture, u, v, road, first, lamps, view)
    _wet(picture, u, v, footprint, road, first, rng.uniform(0.25, 0.8), rng=rng)
    for z, x, y, colour in lamps:
        radius = max(0.9, 0.16 * view.focal * width / z)
        _lamp(picture, x, y, radius, colour)
    _traffic(picture, view, rng=rng)
    bloom(picture, strength=0.05)
    return picture


def _street_lamps(picture, view, *, rng) -> list[tuple[float, float, float, NDArray]]:
    """Draw posts on both kerbs. Returns (distance in metres, x, y, colour) of every lamp, far ones first."""
    width = picture.shape[1]
    sheet = Sketch(*picture.shape[:2])
    name = str(rng.choice(["tungsten", "amber", "white", "cool"]))
    gap = rng.uniform(7.0, 12.0)
    lamps = []
    for z in np.arange(75.0, 5.0, -gap):
        for side in (-1.0, 1.0):
            f = view.focal * width / z
            x = view.centre * width + side * (view.half_street - 1.9) * f
            top, foot = view.horizon - (4.6 - view.eye) * f, view.horizon + view.eye * f
            arm = x - side * 1.1 * f
            post = from_hex("0c0d10")
            sheet.polygon(
                np.array([[x - 0.07 * f, foot], [x - 0.04 * f, top], [x + 0.04 * f, top], [x + 0.07 * f, foot]]), post
            )
            sheet.stroke(np.array([[x, top], [(x + arm) / 2, top - 0.18 * f], [arm, top]]), post, max(1.0, 0.06 * f))
            value = np.float32(rng.uniform(25.0, 90.0))
            lamps.append((float(z), arm, top, lights.lamp_colour(name, rng=rng) * value))
    paste(picture, sheet.rgba(), 0, 0)
    return lamps


def _pools_of_light(picture, u, v, road, first: int, lamps, view) -> None:
    """Light of the lamps on the road below them and on the fronts behind them."""
    height, width = picture.shape[:2]
    glow = np.zeros((height, width, 3), np.float32)
    pools = np.zeros((*u.shape, 3), np.float32)
    for z, x, y, colour in lamps:
        f = view.focal * width / z
        where = np.float32((x - view.centre * width) / f)
        tint = colour / colour.max()
        d2 = (u - where) ** 2 + ((v - np.float32(z)) * np.float32(0.7)) ** 2
        pools += (np.float32(7.0) / (1.0 + d2 / 6.0) ** 2)[..., None] * tint
        reach = max(3, round(3.5 * f))
        glow_at = np.array([x, y])
        top, left = max(0, int(glow_at[1]) - reach), max(0, int(glow_at[0]) - reach)
        window = glow[top : int(glow_at[1]) + reach, left : int(glow_at[0]) + reach]
        if window.size == 0:
            continue
        yy = np.arange(top, top + window.shape[0], dtype=np.float32)[:, None] - np.float32(y)
        xx = np.arange(left, left + window.shape[1], dtype=np.float32)[None, :] - np.float32(x)
        fall = np.maximum(1.0 - (xx * xx + yy * yy) / np.float32(reach * reach), 0.0)
        window += (fall * fall * np.float32(0.030))[..., None] * tint
    picture[first:] *= 1.0 + road[..., None] * pools
    picture *= 1.0 + 60.0 * glow
    picture += glow * np.float32(0.35)


def _wet(picture, u, v, footprint, road, first: int, wetness: float, *, rng) -> None:
    """Reflect everything above the horizon in the road, blurred vertically by the roughness of the road."""
    height, width = picture.shape[:2]
    rough = noise_at(u * 1.5, v * 0.8, footprint * 1.2, rng=rng, octaves=6)
    depth = (np.arange(first, height, dtype=np.float32) + 0.5 - np.float32(first))[:, None]
    x = np.arange(width, dtype=np.float32)[None, :] + rough * np.float32(0.0045 * width)
    y = np.float32(first) - depth + rough * (np.float32(0.02) * depth + np.float32(0.004 * height))
    mirror = cv2.remap(
        np.minimum(picture, np.float32(12.0)), x.astype(np.float32), np.clip(y, 0, first - 1).astype(np.float32),
        cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT,
    )  # fmt: skip
    mirror = _smeared(mirror, height * 0.05)
    puddle = smoothstep(-0.3, 0.9, noise_at(u * 0.25, v * 0.12, footprint * 0.25, rng=rng, octaves=4)) * 0.7 + 0.3
    picture[first:] += mirror * (puddle * road * np.float32(0.55 * wetness))[..., None]


def _smeared(picture: Picture, reach: float) -> Picture:
    """Blur along y only."""
    factor = max(1, round(reach / 6.0))
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (width, max(1, height // factor)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigmaX=0.6, sigmaY=reach / factor / 2.0, borderType=cv2.BORDER_REFLECT)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _traffic(picture, view, *, rng) -> None:
    """Head and tail lamps in pairs, with their streaks on the road."""
    width = picture.shape[1]
    for _ in range(int(rng.integers(0, 6))):
        z = rng.uniform(9.0, 60.0)
        f = view.focal * width / z
        coming = rng.random() < 0.5
        lane = -1.6 if coming else 1.6
        colour = lights.lamp_colour("white" if coming else "red", rng=rng) * np.float32(rng.uniform(15.0, 90.0))
        for s in (-0.7, 0.7):
            x = view.centre * width + (lane + s) * f
            y = view.horizon + (view.eye - 0.7) * f
            _lamp(picture, x, y, max(0.8, 0.09 * f), colour)


def _lamp(picture: Picture, x: float, y: float, radius: float, colour: NDArray) -> None:
    n = math.ceil(2 * radius) + 4
    left, top = math.floor(x - n / 2), math.floor(y - n / 2)
    patch = np.zeros((n, n, 4), np.float32)
    lights.glow(patch, np.array([x - left, y - top]), radius, colour.astype(np.float32))
    paste(picture, patch, left, top)


def skyline(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """A city across the water: towers with lit windows and lamps along the quay, reflected in the water."""
    day = _night(rng=rng)
    horizon = height * rng.uniform(0.48, 0.64)
    y = (np.arange(height, dtype=np.float32) + 0.5) / np.float32(horizon)
    haze = fractal(height, width, rng=rng, slope=3.0, cells=2) * np.float32(0.05)
    picture = ramp(np.clip(y, 0, 1)[:, None] ** 1.3 + haze, list(day.sky))
    _stars(picture, horizon, rng=rng)
    if rng.random() < 0.4:
        _lamp(
            picture,
            rng.uniform(0.1, 0.9) * width,
            rng.uniform(0.06, 0.3) * horizon,
            0.022 * height,
            np.array([6.0, 5.6, 4.8]),
        )
    for level in range(4):
        _towers(picture, horizon, level / 3.0, day, rng=rng)
    lamps = lights.SETS[rng.integers(len(lights.SETS))]
    count = int(rng.integers(10, 34))
    for k in range(count):
        x = (k + rng.uniform(0.2, 0.8)) / count * width
        value = np.float32(rng.uniform(15.0, 120.0))
        _lamp(
            picture,
            x,
            horizon - height * rng.uniform(0.004, 0.016),
            max(0.9, 0.0032 * height),
            lights.lamp_colour(str(rng.choice(lamps)), rng=rng) * value,
        )
    _harbour(picture, horizon, day, rng=rng)
    bloom(picture, strength=0.06)
    return picture


def _stars(picture, horizon: float, *, rng) -> None:
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(0, 60))):
        at = rng.uniform([0, 0], [width, 0.7 * horizon])
        _lamp(picture, at[0], at[1], 0.7, np.full(3, rng.uniform(0.15, 0.9)))


def _towers(picture, horizon: float, near: float, day: Day, *, rng) -> None:
    height, width = picture.shape[:2]
    body = linear(lighter(day.sky[2], -0.20 - 0.10 * near)) * np.float32(0.5 * (1.0 - 0.7 * near) + 0.12)
    x = -rng.uniform(0.0, 0.1) * width
    pitch = max(2.5, height * (0.006 + 0.006 * near))
    while x < width:
        wide = width * rng.uniform(0.035, 0.11) * (0.7 + 0.6 * near)
        tall = horizon * rng.beta(1.6, 2.4) * (0.85 - 0.45 * near) + 0.05 * horizon
        if rng.random() < 0.85:
            _tower(picture, x, horizon - tall, wide, horizon, pitch, body, near, rng=rng)
        x += wide * rng.uniform(0.8, 1.25)


def _tower(picture, left: float, top: float, wide: float, foot: float, pitch: float, body, near: float, *, rng) -> None:
    x0, x1 = max(0, round(left)), max(0, min(picture.shape[1], round(left + wide)))
    y0, y1 = max(0, round(top)), round(foot)
    window = picture[y0:y1, x0:x1]
    if window.shape[0] < 3 or window.shape[1] < 3:
        return
    if rng.random() < 0.3:
        # A stepped crown or a mast with its red lamp.
        step = round(wide * 0.25)
        picture[max(0, y0 - step) : y0, x0 + step : max(x1 - step, x0 + step)] = body
        mast = (x0 + x1) / 2
        _lamp(picture, mast, max(0, y0 - step - 2.0), 0.9, np.array([9.0, 0.8, 0.4]))
    shade = np.linspace(0.75, 1.35, window.shape[0], dtype=np.float32)[:, None, None]
    window[:] = body * shade
    rows, columns = max(1, int(window.shape[0] / pitch)), max(1, int(window.shape[1] / pitch))
    lit = rng.random((rows, columns)) < rng.uniform(0.12, 0.55)
    if rng.random() < 0.3:
        lit |= rng.random((rows, 1)) < 0.3
    warm = np.array([1.0, 0.66, 0.34]) if rng.random() < 0.65 else np.array([0.75, 0.9, 1.1])
    level = rng.lognormal(0.0, 0.6, (rows, columns)) * rng.uniform(0.4, 2.6) * (0.35 + 0.65 * near)
    panes = (lit * level)[..., None] * (warm * rng.normal(1.0, 0.06, (rows, columns, 3)))
    y, x = np.arange(window.shape[0]) + 0.5, np.arange(window.shape[1]) + 0.5
    i, j = np.minimum((y / pitch).astype(int), rows - 1), np.minimum((x / pitch).astype(int), columns - 1)
    gap = np.clip(0.42 * pitch - np.abs(y % pitch - pitch / 2) * 1.25 + 0.5, 0, 1)[:, None] * np.clip(
        0.36 * pitch - np.abs(x % pitch - pitch / 2) + 0.5, 0, 1
    )
    window += (panes[i[:, None], j[None, :]] * gap[..., None]).astype(np.float32)


def _harbour(picture, horizon: float, day: Day, *, rng) -> None:
    height, width = picture.shape[:2]
    u, v, footprint, first = ground_plane(height, width, horizon, eye=3.0)
    ripples = noise_at(u * 0.5, v * 1.3, footprint, rng=rng, octaves=6)
    depth = (np.arange(first, height, dtype=np.float32) + 0.5 - np.float32(first))[:, None]
    sway = ripples * np.sqrt(depth / np.float32(height))
    x = np.arange(width, dtype=np.float32)[None, :] + sway * np.float32(0.010 * width)
    y = np.float32(first) - depth * np.float32(0.95) + sway * np.float32(rng.uniform(0.06, 0.16) * height)
    mirror = cv2.remap(
        np.minimum(picture, np.float32(25.0)), x.astype(np.float32), np.clip(y, 0, first - 1).astype(np.float32),
        cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT,
    )  # fmt: skip
    mirror = 0.35 * mirror + 0.65 * _smeared(mirror, height * 0.035)
    water = linear(lighter(day.sky[1], -0.08)) * np.float32(0.6)
    picture[first:] = mirror * np.float32(0.62) + water * (1.0 + 0.3 * ripples)[..., None]
    shore = np.exp(-depth / np.float32(0.006 * height)) * np.float32(0.7)
    picture[first:] *= 1.0 - shore[..., None]


def garden(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """A terrace at night: trees or a wall behind, strings of lamps above, lanterns on the ground."""
    day = _night(rng=rng)
    horizon = height * rng.uniform(0.62, 0.75)
    y = (np.arange(height, dtype=np.float32) + 0.5) / np.float32(horizon)
    picture = ramp(
        np.clip(y, 0, 1)[:, None] + 0.04 * fractal(height, width, rng=rng, slope=3.0, cells=2), list(day.sky)
    )
    behind = rng.random()
    if behind < 0.45:
        storeys = int(rng.integers(2, 4))
        front = town.flat_facade(
            round(horizon), width, storeys=storeys, bays=int(rng.integers(3, 6)), night=True, rng=rng
        )
        picture[: len(front)] = front
    _dark_foliage(picture, horizon, 0.35 if behind < 0.45 else 1.0, rng=rng)
    u, v, footprint, first = ground_plane(height, width, horizon)
    tint = from_hex(rng.choice(["6a5a48", "5a5754", "7a5a40"]))
    if rng.random() < 0.5:
        floor = materials.planks(u, v, footprint, tint, rng=rng)
    else:
        floor = materials.cobbles(u, v, footprint, tint, rng=rng)
    picture[first:] = floor * np.float32(0.30)
    lamps = []
    names = lights.SETS[rng.integers(len(lights.SETS))]
    for _ in range(int(rng.integers(3, 8))):
        t = np.linspace(0.0, 1.0, int(rng.integers(9, 26)))
        y0, y1 = rng.uniform(0.02, 0.45, 2) * height
        sag = rng.uniform(0.05, 0.22) * height
        xs = (t * 1.1 - 0.05) * width
        ys = y0 + (y1 - y0) * t + 4.0 * sag * t * (1.0 - t)
        line = np.stack([xs, ys - 0.006 * height], axis=-1)
        sheet = Sketch(height, width)
        sheet.stroke(line, from_hex("07080a"), max(1.0, 0.002 * height))
        paste(picture, sheet.rgba(), 0, 0)
        size = max(0.9, height * rng.uniform(0.0022, 0.006))
        level = rng.uniform(15.0, 110.0)
        for x, at in zip(xs, ys, strict=True):
            lamps.append(
                (
                    x,
                    at,
                    size,
                    lights.lamp_colour(str(rng.choice(names)), rng=rng) * np.float32(level * rng.lognormal(0, 0.3)),
                )
            )
    _light_around(picture, lamps)
    for _ in range(int(rng.integers(0, 6))):
        _lantern(
            picture,
            rng.uniform(0.02, 0.98) * width,
            horizon + rng.uniform(0.05, 0.9) * (height - horizon),
            horizon,
            rng=rng,
        )
    for x, at, size, colour in lamps:
        _lamp(picture, x, at, size, colour)
    bloom(picture, strength=0.05)
    return picture


def _dark_foliage(picture, horizon: float, cover: float, *, rng) -> None:
    height, width = picture.shape[:2]
    green = from_hex(rng.choice(FOLIAGE[:5]))
    sheet = Sketch(height, width)
    x = np.linspace(0.0, width, 60)
    crest = horizon - height * cover * (0.38 + 0.10 * fractal_curve(60, rng=rng, slope=2.2, cells=5))
    sheet.polygon(
        np.concatenate([np.stack([x, crest], axis=-1), [[width, horizon + 2], [0, horizon + 2]]]), lighter(green, -0.4)
    )
    n = 2600
    at = rng.uniform(0.0, 1.0, (n, 2))
    top = np.interp(at[:, 0] * width, x, crest) - 0.02 * height
    centres = np.stack([at[:, 0] * width, top + (horizon - top) * at[:, 1]], axis=-1)
    clump = noise_at(
        (at[:, :1] * 9.0).astype(np.float32), (at[:, 1:] * 5.0).astype(np.float32), 0.02, rng=rng, octaves=4
    )[:, 0]
    dabs(sheet, centres, height * 0.011, green, 0.09 * clump - 0.16 + rng.normal(0.0, 0.05, n), rng=rng)
    rgba = sheet.rgba()
    rgba[..., :3] *= np.float32(0.30)
    paste(picture, rgba, 0, 0)


def _light_around(picture, lamps) -> None:
    """Light of the strings of lamps on their surroundings: a wide blur of the lamps."""
    height, width = picture.shape[:2]
    scale = 16.0 / max(height, width) * 4.0
    small = np.zeros((max(4, round(height * scale)), max(4, round(width * scale)), 3), np.float32)
    for x, y, _, colour in lamps:
        i, j = int(np.clip(y * scale, 0, small.shape[0] - 1)), int(np.clip(x * scale, 0, small.shape[1] - 1))
        small[i, j] += colour / 40.0
    lit = cv2.GaussianBlur(small, (0, 0), 3.0) * 2.2 + cv2.GaussianBlur(small, (0, 0), 9.0) * 9.0
    picture *= 0.5 + cv2.resize(lit, (width, height), interpolation=cv2.INTER_CUBIC).clip(0.0, 6.0)


def _lantern(picture, x: float, foot: float, horizon: float, *, rng) -> None:
    """A candle in a glass lantern on the ground, with its light on the ground around it."""
    height, width = picture.shape[:2]
    size = height * (0.05 + 0.30 * (foot - horizon) / height)
    warm = lights.lamp_colour("amber", rng=rng)
    yy = (np.arange(height, dtype=np.float32)[:, None] - np.float32(foot)) / np.float32(0.9 * size)
    xx = (np.arange(width, dtype=np.float32)[None, :] - np.float32(x)) / np.float32(2.4 * size)
    picture *= 1.0 + (np.float32(5.0) / (1.0 + 3.0 * (xx * xx + yy * yy)) ** 2)[..., None] * (warm / warm.max())
    n = max(8, round(size))
    sheet = Sketch(n, n, supersample=2)
    metal = from_hex("15130f")
    sheet.polygons(
        [
            np.array([[0.3, 0.25], [0.7, 0.25], [0.74, 1.0], [0.26, 1.0]]) * n,
            np.array([[0.34, 0.30], [0.66, 0.30], [0.69, 0.94], [0.31, 0.94]]) * n,
        ],
        metal,
    )
    sheet.polygon(np.array([[0.5, 0.02], [0.76, 0.25], [0.24, 0.25]]) * n, metal)
    sheet.polygon(np.array([[0.44, 0.72], [0.56, 0.72], [0.56, 0.94], [0.44, 0.94]]) * n, from_hex("f0d9b0"))
    body = sheet.rgba()
    glass = np.zeros((n, n), np.float32)
    glass[round(0.30 * n) : round(0.94 * n), round(0.33 * n) : round(0.67 * n)] = 0.5
    shine = blurred(glass, n * 0.08)[..., None] * (1.0 - body[..., 3:]) * warm * np.float32(0.9)
    paste(
        picture,
        np.dstack([shine / np.float32(0.5), np.full((n, n), 0.5, np.float32) * (glass > 0)]),
        round(x - n / 2),
        round(foot - n),
    )
    paste(picture, body, round(x - n / 2), round(foot - n))
    _lamp(picture, x, foot - n * 0.36, max(0.9, n * 0.035), warm * np.float32(rng.uniform(30.0, 110.0)))
