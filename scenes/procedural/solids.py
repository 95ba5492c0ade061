"""Cut-outs with hard mattes: fruit, stones, and bodies of revolution in glazed clay, glass, wood and metal."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.arrays import Picture, Rgba
from scenes.matte import crop_to_alpha
from scenes.procedural import outlines
from scenes.procedural.noise import Field, fractal, noise_at, smoothstep
from scenes.procedural.palette import Palette, from_hex, lighter, linear, mixed, ramp
from scenes.procedural.shading import inflated, key_light, lit, normals
from scenes.procedural.sketch import Sketch, lay, mask

# Display colours of ripe fruit: shadow side, flesh, blush.
_FRUIT = {
    "apple": ("5a0f12 a3241f d98b3a", "3f5d1c 8fa83a d9c46a", "7a1a1c c4452d e7b75f"),
    "orange": ("a34708 e0800f f0a53a", "b8860b e3b71f f4d867"),
    "plum": ("1d1426 43274f 7a5a86", "2a0f1d 5d1f35 9a5a6a"),
    "pear": ("5f6b1e a8a83a dcc865", "7a4a18 b98432 dcb765"),
}
FRUIT_KINDS = tuple(_FRUIT)

# Profiles of revolution: radius at evenly spaced heights from top to foot, relative to the largest, and height / width.
_PROFILES = {
    "bottle": (".30 .31 .27 .27 .27 .28 .40 .80 .98 1 1 1 1 1 1 1 .98 .95", 3.4),
    "flask": (".34 .30 .22 .20 .20 .22 .30 .48 .70 .88 .98 1 1 .95 .82 .70", 1.7),
    "vase": (".62 .55 .42 .38 .45 .62 .82 .96 1 .98 .90 .78 .64 .52 .46 .50", 1.9),
    "amphora": (".50 .46 .34 .32 .36 .66 .92 1 .99 .92 .80 .64 .48 .36 .30 .44", 2.1),
    "pawn": (".52 .53 .53 .50 .42 .30 .50 .30 .26 .28 .34 .44 .60 .58 .86 .92 1 1", 1.9),
    "bishop": (".14 .20 .34 .46 .50 .48 .38 .28 .48 .28 .26 .28 .34 .46 .62 .60 .88 1 1", 2.6),
    "skittle": (".44 .44 .44 .44 .38 .30 .28 .34 .50 .74 .92 1 1 .94 .84 .74 .66", 2.7),
    "jug": (".70 .68 .66 .66 .70 .80 .90 .97 1 1 .98 .94 .88 .82 .78", 1.3),
    "bowl": ("1 .99 .97 .94 .89 .82 .72 .60 .46 .42 .44", 0.62),
}


def fruit(side: int, *, rng: np.random.Generator) -> Rgba:
    """One to three pieces of one kind of fruit, the nearer ones in front."""
    kind = FRUIT_KINDS[rng.integers(len(FRUIT_KINDS))]
    light = key_light(rng=rng)
    count = int(rng.choice([1, 1, 2, 3]))
    canvas = np.zeros((side, side, 4), np.float32)
    size = round(side * (0.92 if count == 1 else rng.uniform(0.52, 0.62)))
    for i in range(count):
        piece = crop_to_alpha(one_fruit(kind, size, light, rng=rng))
        spread = (i / max(count - 1, 1) - 0.5) * (side - size) if count > 1 else 0.0
        left = round(side / 2 + spread - piece.shape[1] / 2)
        top = round(side * (0.74 if count > 1 else 0.96) + i % 2 * side * 0.22 - piece.shape[0])
        lay(canvas, piece, left, top)
    return canvas


def one_fruit(kind: str, size: int, light: NDArray, *, rng: np.random.Generator) -> Rgba:
    """One piece on a (size, size) sheet."""
    angle = np.linspace(0.0, 2.0 * np.pi, 128, endpoint=False)
    x, y = np.sin(angle), -np.cos(angle)
    if kind == "apple":
        # A dimple at the stalk, broad shoulders, narrow base.
        radius = 0.88 + 0.10 * np.cos(angle) - 0.16 * np.exp(-((np.sin(angle / 2) / 0.17) ** 2))
        x, y = x * radius * 1.03, y * radius
    elif kind == "pear":
        x = x * np.where(y < 0.1, 0.80 - 0.34 * smoothstep(0.1, -0.75, y.astype(np.float32)), 0.80)
        y = y * 1.0
    elif kind == "plum":
        x, y = x * 0.80, y * 0.92
    outline = np.stack([x, y], axis=-1) * 0.42 * size + size * np.array([0.5, 0.55])
    alpha = mask(size, size, outlines_about(outline, rng.normal(0.0, 0.12)))
    shadow, flesh, blush = (from_hex(c) for c in rng.choice(_FRUIT[kind]).split())
    # Streaks run from stalk to base. The blush fades around the body.
    streaks = fractal(size, size, rng=rng, slope=2.2, cells=5, stretch=0.25)
    patches = fractal(size, size, rng=rng, slope=3.0, cells=2)
    albedo = ramp(0.52 + 0.10 * streaks + 0.17 * patches, [shadow, flesh, flesh, blush])
    speckle = smoothstep(1.7, 2.6, fractal(size, size, rng=rng, slope=1.0, cells=size / 7))
    albedo += speckle[..., None] * (linear(blush) - albedo) * np.float32(0.5)
    relief = inflated(alpha, smoothing=0.02)
    pores = 0.35 if kind == "orange" else 0.08
    relief = relief + fractal(size, size, rng=rng, slope=1.5, cells=40) * np.float32(pores * size / 400)
    bloom = {"plum": 0.05, "pear": 0.12}.get(kind, 0.35)
    colour = lit(albedo, normals(relief), light, gloss=bloom, sharpness=30.0 if kind == "orange" else 60.0)
    body = np.dstack([colour, alpha])
    if kind in ("apple", "pear", "plum"):
        lay(body, _stalk(size, rng=rng), 0, 0)
    return body


def _stalk(size: int, *, rng: np.random.Generator) -> Rgba:
    sheet = Sketch(size, size, supersample=2)
    bend = rng.normal(0.0, 0.05)
    t = np.linspace(0.0, 1.0, 12)
    line = np.stack([0.5 + bend * t**2 * 2, 0.255 - 0.16 * t], axis=-1) * size
    bark = from_hex("4a3320")
    sheet.ribbon(line, size * (0.018 + 0.012 * t), bark)
    sheet.ribbon(line - [size * 0.004, 0], size * (0.006 + 0.004 * t), lighter(bark, 0.16))
    if rng.random() < 0.5:
        green = from_hex(str(rng.choice(["4f6b24", "64802f", "3f5a2a"])))
        blade = outlines.leaf(slenderness=2.2, droop=0.3) * 0.15 + [0.15, 0.0]
        blade = outlines.turned(blade, rng.uniform(-0.7, 0.2)) + line[7] / size
        sheet.polygon(blade * size, green)
        half = len(blade) // 2
        rib = (blade[:half] + blade[: half - 1 : -1]) / 2.0
        sheet.polygon(np.concatenate([blade[:half], rib[::-1]]) * size, lighter(green, 0.08))
        sheet.stroke(rib * size, lighter(green, 0.18), size * 0.004)
    return sheet.rgba()


def stones(side: int, *, rng: np.random.Generator) -> Rgba:
    """A pebble, or a small balanced pile of them."""
    palette = Palette.draw(rng=rng, among=("coast", "winter", "studio", "desert", "terracotta", "moss"))
    light = key_light(rng=rng)
    canvas = np.zeros((side, side, 4), np.float32)
    count = int(rng.choice([1, 1, 3, 4, 5]))
    width = side * (0.95 if count == 1 else 0.72)
    foot = side * 0.98
    for i in range(count):
        size = round(width * 0.84**i)
        stone = crop_to_alpha(one_stone(size, palette, light, flat=0.9 if count == 1 else 0.62, rng=rng))
        left = round((side - stone.shape[1]) / 2 + rng.normal(0.0, 0.02) * side * (i > 0))
        lay(canvas, stone, left, round(foot - stone.shape[0]))
        foot -= stone.shape[0] * 0.86
        if foot < side * 0.16:
            break
    return canvas


def one_stone(size: int, palette: Palette, light: NDArray, *, flat: float, rng: np.random.Generator) -> Rgba:
    """One stone on a (size, size) sheet; `flat` is its height / width."""
    outline = outlines.blob(rng=rng, roughness=0.10) * [0.49, 0.47 * flat * rng.uniform(0.7, 1.0)] * size
    alpha = mask(size, size, outline + size / 2)
    base = palette.tone(rng.uniform(0.3, 0.8), rng=rng)
    grain = fractal(size, size, rng=rng, slope=1.7, cells=4)
    albedo = ramp(0.5 + 0.16 * grain, [lighter(base, -0.22), base, lighter(base, 0.16)])
    if rng.random() < 0.6:
        # Mineral veins: the zero line of a smooth field.
        vein = np.abs(fractal(size, size, rng=rng, slope=3.4, cells=2, stretch=rng.uniform(1.0, 4.0)) - 0.3)
        albedo += (smoothstep(0.07, 0.0, vein) * np.float32(0.6))[..., None] * (linear(lighter(base, 0.3)) - albedo)
    else:
        flecks = smoothstep(1.2, 2.2, fractal(size, size, rng=rng, slope=0.6, cells=size / 5))
        albedo *= 1.0 - np.float32(0.6) * flecks[..., None]
    bumps = fractal(size, size, rng=rng, slope=3.0, cells=5) * np.float32(0.006 * size)
    relief = inflated(alpha, smoothing=0.05) + bumps + grain * np.float32(0.0006 * size)
    return np.dstack([lit(albedo, normals(relief), light, gloss=0.05, sharpness=12.0), alpha])


def vessel(side: int, *, rng: np.random.Generator) -> Rgba:
    """A bottle, vase, jug, bowl, chess man or skittle, turned on a lathe."""
    kind = tuple(_PROFILES)[rng.integers(len(_PROFILES))]
    radii, aspect = _PROFILES[kind]
    aspect *= rng.uniform(0.9, 1.1)
    # Leave room for a margin and for the mouth, which is above the profile by at most 0.22 of the radius.
    height = round(min((side - 4) / (1.0 + 0.11 / aspect), (side - 4) * aspect))
    half_width = height / aspect / 2.0 * 0.98
    width = math.ceil(2.0 * half_width) + 2
    domed = kind in ("pawn", "bishop", "skittle")
    radius = _profile([float(r) for r in radii.split()], height, domed=domed) * half_width
    x = np.arange(width, dtype=np.float32) + 0.5 - width / 2
    inside = radius[:, None] - np.abs(x)[None, :]
    across = np.clip(x[None, :] / np.maximum(radius, 0.5)[:, None], -1.0, 1.0)
    # Seen a little from above: the foot is the lower half of an ellipse.
    tilt = np.float32(rng.uniform(0.10, 0.22))
    y = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
    foot = height - radius[-1] * tilt * (1.0 - np.sqrt(np.maximum(1.0 - (x / radius[-1]) ** 2, 0.0)))
    alpha = np.clip(inside + 0.5, 0.0, 1.0) * np.clip(foot[None, :] - y + 0.5, 0.0, 1.0)
    slope = np.gradient(radius).astype(np.float32)[:, None]
    nz = np.sqrt(np.maximum(1.0 - across**2, 0.0))
    length = np.sqrt(1.0 + slope**2)
    normal = (across / length, -slope / length * np.ones_like(across), nz / length)
    around = np.arcsin(across)
    along = np.broadcast_to(np.linspace(0.0, aspect, height, dtype=np.float32)[:, None], across.shape)
    palette = Palette.draw(rng=rng)
    light = key_light(rng=rng)
    if domed:
        colour = _turned_wood(around, along, normal, light, rng=rng)
    elif kind in ("bottle", "flask") and rng.random() < 0.75:
        return _glass(alpha, across, along, normal, light, aspect, rng=rng)
    else:
        colour = _glazed(around, along, normal, light, palette, aspect, rng=rng)
    body = np.dstack([colour, alpha]).astype(np.float32)
    if not domed:
        body = _with_mouth(body, float(radius[0]), float(tilt))
    return body


def _with_mouth(body: Rgba, radius: float, tilt: float) -> Rgba:
    """Add the open mouth: an ellipse with a lit lip around a dark inside."""
    drop = radius * tilt
    room = math.ceil(drop) + 2
    body = np.concatenate([np.zeros((room, *body.shape[1:]), np.float32), body])
    height, width = 2 * room, body.shape[1]
    ellipse = outlines.superellipse(exponent=2.0, points=128) * [radius, drop]
    centre = np.array([width / 2, room + 0.5])
    clay = np.median(body[room:, width // 2, :3][:9], axis=0)
    lip = np.broadcast_to(clay * 1.15, (height, width, 3))
    # The far wall inside catches some light, the near one hides in its own shade.
    inside = lip * np.linspace(0.10, 0.45, height)[:, None, None]
    for colour, grow in ((lip, 1.0), (inside, 0.90)):
        lay(body, np.dstack([colour, mask(height, width, ellipse * grow + centre)]).astype(np.float32), 0, 0)
    return body


def _profile(radii: list[float], height: int, *, domed: bool) -> NDArray:
    knots = np.linspace(0.0, 1.0, len(radii))
    fine = np.interp(np.linspace(0.0, 1.0, 512), knots, radii).astype(np.float32)
    fine = cv2.GaussianBlur(fine[None, :], (0, 0), 6.0, borderType=cv2.BORDER_REPLICATE)[0]
    if domed:
        from_dome = np.clip(1.0 - np.linspace(0.0, 8.0, 512, dtype=np.float32), 0.0, 1.0)
        fine = fine * np.sqrt(np.maximum(1.0 - from_dome**2, 0.0))
    return np.interp(np.linspace(0.0, 1.0, height), np.linspace(0.0, 1.0, 512), fine).astype(np.float32)


def _softboxes(normal: tuple, light: NDArray) -> Field:
    """Reflection of a window on the side of the light, and of a fainter window opposite."""
    nx, ny, _ = normal
    side = np.sign(light[0])
    window = smoothstep(0.10, 0.04, np.abs(nx * side - 0.52)) * smoothstep(0.75, 0.55, np.abs(ny + 0.08))
    rim = smoothstep(0.09, 0.02, np.abs(-nx * side - 0.84)) * np.float32(0.4)
    return window + rim


def _glazed(around, along, normal, light, palette, aspect, *, rng) -> Picture:
    base = palette.any(rng=rng, accented=0.5)
    mottle = noise_at(around * 1.5, along * 2.0, 0.01, rng=rng)
    albedo = ramp(0.5 + 0.13 * mottle, [lighter(base, -0.18), base, lighter(base, 0.12)])
    if rng.random() < 0.65:
        # A dip glaze with an uneven edge, or bands from throwing.
        other = linear(mixed(palette.tone(rng.choice([0.1, 0.95]), rng=rng), base, 0.15))
        waver = along + 0.03 * np.sin(around * 3.0) + 0.02 * mottle
        edge = rng.uniform(0.3, 0.7) * aspect
        dip = smoothstep(edge - 0.01, edge + 0.01, waver)
        if rng.random() < 0.5:
            dip = smoothstep(0.6, 0.75, np.sin(along * rng.uniform(8.0, 30.0)) + 0.05 * mottle)
        albedo += dip[..., None] * (other - albedo) * np.float32(0.9)
    shaded = lit(albedo, normal, light, gloss=0.25, sharpness=70.0)
    return shaded + (_softboxes(normal, light) * np.float32(rng.uniform(0.1, 0.45)))[..., None]


def _turned_wood(around, along, normal, light, *, rng) -> Picture:
    tint = from_hex(str(rng.choice(["c9995c", "8a5a32", "3b2418", "e0c08a", "23201f", "a33b2a"])))
    grain = noise_at(around * 6.0, along * 1.2, 0.01, rng=rng)
    rings = np.sin(grain * 2.0 + around * 9.0 + along * 2.0).astype(np.float32)
    albedo = ramp(0.5 + 0.10 * rings + 0.14 * grain, [lighter(tint, -0.15), tint, lighter(tint, 0.12)])
    shaded = lit(albedo, normal, light, gloss=0.2, sharpness=50.0)
    return shaded + (_softboxes(normal, light) * np.float32(0.18))[..., None]


def _glass(alpha, across, along, normal, light, aspect, *, rng) -> Rgba:
    """Tinted glass with some wine in it: clear in the middle, dense at the rim, with a paper label on some."""
    tint = from_hex(str(rng.choice(["2f4a2c", "4b3014", "5f8fa0", "a9b8ae", "6a1f2a", "28506b"])))
    rim = 1.0 - normal[2]
    density = np.clip(0.30 + 0.75 * rim**1.5, 0.0, 1.0)
    fill = smoothstep(-0.01, 0.01, along - np.float32(rng.uniform(0.35, 0.6) * aspect))
    density = density + fill * (1.0 - density) * np.float32(0.55)
    colour = linear(tint) * (0.55 + 0.9 * rim * (1.0 - rim) * 2.0)[..., None]
    shine = _softboxes(normal, light)
    colour = colour * (1.0 - 0.35 * fill[..., None]) + shine[..., None] * np.array([0.75, 0.8, 0.85], np.float32)
    density = np.maximum(density, shine)
    if rng.random() < 0.6:
        top, tall = rng.uniform(0.52, 0.6) * aspect, rng.uniform(0.16, 0.28) * aspect
        label = smoothstep(0.012, -0.0, np.abs(along - top - tall / 2) - np.float32(tall / 2))
        paper = linear(from_hex(str(rng.choice(["e8ddc0", "d9d4c8", "27221f", "a33b2a", "c9a54f"]))))
        line = smoothstep(0.55, 0.75, np.sin(along / tall * 40.0)) * smoothstep(0.5, 0.4, np.abs(across) * 1.2)
        printed = paper * (1.0 - 0.55 * (line * (rng.random() < 0.8))[..., None])
        colour += label[..., None] * (lit(printed, normal, light) - colour)
        density = np.maximum(density, label)
    return np.dstack([colour, alpha * density]).astype(np.float32)


def outlines_about(outline: NDArray, angle: float) -> NDArray:
    """The outline turned about its own centre."""
    centre = outline.mean(axis=0)
    return outlines.turned(outline - centre, angle) + centre
