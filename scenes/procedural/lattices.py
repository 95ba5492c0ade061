"""Cut-outs with holes: fences, wire mesh, wrought iron, lace, picture and window frames."""

import math

import cv2
import numpy as np

from scenes.arrays import Rgba
from scenes.procedural import outlines
from scenes.procedural.noise import fractal, smoothstep
from scenes.procedural.outlines import Points
from scenes.procedural.palette import Palette, from_hex, lighter, linear, ramp
from scenes.procedural.shading import inflated, key_light, lit, normals
from scenes.procedural.sketch import Sketch, mask, masks, ribbon_outline

_WOOD = ("8a6a48", "a58a68", "6a4a30", "7d7a72", "c9b592", "4a342a")
_PAINT = ("e6e0d2", "3f5a5f", "7a2f28", "2f3a34", "b98a3f", "5f7a8a", "1f2326", "d6c9a8")


def fence(side: int, *, rng: np.random.Generator) -> Rgba:
    """Weathered or painted pales on two rails."""
    height, width = round(side * rng.uniform(0.6, 0.95)), side
    wood = from_hex(rng.choice(_WOOD + _PAINT[:3]))
    pales = int(rng.integers(5, 11))
    pitch = width / pales
    wide = pitch * rng.uniform(0.55, 0.8)
    pointed = rng.choice([0.0, 0.5, 1.0])
    canvas = np.zeros((height, width, 4), np.float32)
    light = key_light(rng=rng)
    for at in (0.28, 0.76):
        y = height * (at + rng.normal(0.0, 0.01))
        _plank(canvas, _bar(0.5, y - height * 0.035, width - 0.5, y + height * 0.035), wood, light, 0.0, rng=rng)
    for k in range(pales):
        x = (k + 0.5) * pitch + rng.normal(0.0, 0.02) * pitch
        lean, top = rng.normal(0.0, 0.012) * height, height * (0.05 + rng.normal(0.0, 0.012))
        tip = top - pointed * wide * 0.4
        foot = height - 1.0
        outline = np.array(
            [
                [x - wide / 2, foot],
                [x - wide / 2 + lean, top],
                [x + lean, tip],
                [x + wide / 2 + lean, top],
                [x + wide / 2, foot],
            ]
        )
        _plank(canvas, np.maximum(outline, 0.5), lighter(wood, rng.normal(0.0, 0.035)), light, 1.0, rng=rng)
    return canvas


def _plank(canvas: Rgba, outline: Points, wood, light, upright: float, *, rng: np.random.Generator) -> None:
    """Lay one shaded plank and its shadow on what is behind it."""
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 1, 0)
    high = np.ceil(outline.max(axis=0)).astype(int) + 2
    window = canvas[low[1] : high[1], low[0] : high[0]]
    height, width = window.shape[:2]
    alpha = mask(height, width, outline - low)
    across = fractal(height, width, rng=rng, slope=2.0, cells=6, stretch=0.05 if upright else 20.0)
    stains = fractal(height, width, rng=rng, slope=2.6, cells=4)
    cracks = smoothstep(1.5, 2.2, -across)
    albedo = ramp(0.5 + 0.15 * across + 0.10 * stains, [lighter(wood, -0.14), wood, lighter(wood, 0.10)])
    albedo *= 1.0 - np.float32(0.65) * cracks[..., None]
    relief = inflated(alpha, roundness=0.35, smoothing=0.002) * np.float32(0.35) + across * np.float32(0.10)
    colour = lit(albedo, normals(relief), light)
    shadow = np.roll(alpha, round(width * 0.10 * -np.sign(light[0])), axis=1) if upright else alpha * 0.0
    window[..., :3] *= 1.0 - np.float32(0.5) * (shadow * (window[..., 3] > 0))[..., None]
    keep = alpha[..., None]
    total = keep + window[..., 3:] * (1.0 - keep)
    window[..., :3] = (colour * keep + window[..., :3] * window[..., 3:] * (1.0 - keep)) / np.maximum(total, 1e-6)
    window[..., 3:] = total


def mesh(side: int, *, rng: np.random.Generator) -> Rgba:
    """Chain-link wire between posts, or a knotted net."""
    height, width = round(side * rng.uniform(0.6, 1.0)), side
    sheet = Sketch(height, width, supersample=2)
    wire = from_hex(rng.choice(["8f9290", "6a706e", "4a4f4a", "3f5a46", "a58a6a"]))
    cell = side * rng.uniform(0.055, 0.12)
    thick = cell * rng.uniform(0.06, 0.11)
    sag = rng.uniform(0.0, 0.35) * cell
    n = math.ceil((height + width) / cell) + 4
    t = np.linspace(0.0, 1.0, 12 * n)
    for direction in (1.0, -1.0):
        for k in range(n):
            # Wires of a chain-link fence zigzag. Two families of nearly straight diagonals look the same.
            x = (k - 2) * cell + direction * t * height - (height if direction > 0 else 0.0)
            wobble = 0.05 * cell * np.sin(t * height / cell * 2 * np.pi)
            y = t * height + sag * np.sin(np.pi * np.clip(x / width, 0, 1))
            line = np.stack([x + wobble * direction, y], axis=-1)
            line = line[(line[:, 0] > -cell) & (line[:, 0] < width + cell)]
            if len(line) > 2:
                sheet.stroke(line, lighter(wire, -0.16), thick)
                sheet.stroke(
                    line + [-thick * 0.12, -thick * 0.2], lighter(wire, 0.12 * (direction > 0) + 0.02), thick * 0.5
                )
    for x in (side * 0.02, width - side * 0.02):
        _post(sheet, np.array([[x, 0.5], [x, height - 0.5]]), side * 0.035, wire)
    _post(sheet, np.array([[0.5, side * 0.02], [width - 0.5, side * 0.02]]), side * 0.028, wire)
    return _weathered(sheet.rgba(), rng=rng)


def _post(sheet: Sketch, line: Points, thick: float, metal) -> None:
    """A round tube, lit from one side."""
    along = line[1] - line[0]
    across = np.array([-along[1], along[0]]) / np.linalg.norm(along)
    for k in np.linspace(-0.5, 0.5, 9):
        shade = 0.16 * math.cos((k + 0.18) * math.pi * 1.1) - 0.12
        sheet.polygon(ribbon_outline(line + across * thick * k, np.full(2, thick / 7)), lighter(metal, shade))


def ironwork(side: int, *, rng: np.random.Generator) -> Rgba:
    """A wrought-iron railing: bars with finials and scrolls between rails."""
    height, width = round(side * rng.uniform(0.7, 1.0)), side
    sheet = Sketch(height, width)
    iron = from_hex(rng.choice(["1f2022", "262b28", "3a2a24", "2b3a3f", "5a5f5c"]))
    bars = int(rng.integers(4, 9))
    pitch = width / bars
    thick = side * rng.uniform(0.012, 0.020)
    rails = [0.20, 0.34, 0.93] if rng.random() < 0.6 else [0.22, 0.93]
    shapes = []
    for k in range(bars):
        x = (k + 0.5) * pitch
        shapes.append(ribbon_outline(np.array([[x, height * 0.10], [x, height - 1.0]]), np.full(2, thick)))
        finial = outlines.leaf(slenderness=2.1, points=20) * height * 0.048
        shapes.append(outlines.turned(finial, -math.pi / 2) + [x, height * 0.062])
        shapes.append(outlines.superellipse(exponent=2.0, points=24) * thick * 1.1 + [x, height * 0.55])
        if k + 1 < bars:
            for s in (-1.0, 1.0):
                for foot, turn in ((0.38, 1.0), (0.89, -1.0)):
                    shapes.append(_scroll([x + pitch / 2, height * foot], pitch * 0.40, s, turn, thick * 0.75))
                shapes.append(_scroll([x + pitch / 2, height * 0.64], pitch * 0.34, s, s, thick * 0.6))
    for y in rails:
        shapes.append(ribbon_outline(np.array([[0.5, height * y], [width - 0.5, height * y]]), np.full(2, thick * 1.3)))
    for shape in shapes:
        sheet.polygon(np.clip(shape, 0.5, None), iron)
    alpha = sheet.rgba()[..., 3]
    relief = cv2.GaussianBlur(alpha, (0, 0), max(0.8, thick * 0.22)) * np.float32(thick * 0.9)
    grain = fractal(height, width, rng=rng, slope=1.6, cells=20)
    rust = smoothstep(0.6, 2.0, fractal(height, width, rng=rng, slope=2.4, cells=5))[..., None] * np.float32(0.5)
    albedo = linear(iron) * (1.0 - rust) + linear(from_hex("8a4a26")) * rust
    colour = lit(albedo, normals(relief + grain * np.float32(0.05)), key_light(rng=rng), gloss=0.3, sharpness=18.0)
    return np.dstack([colour, alpha])


def _scroll(at, reach: float, side: float, turn: float, thick: float) -> Points:
    """An S of two spirals."""
    t = np.linspace(0.0, 1.0, 60)
    angle = t * 3.6 * math.pi
    radius = reach * 0.5 * (1.0 - t) ** 0.8
    spiral = np.stack([radius * np.cos(angle) - reach * 0.5, radius * np.sin(angle) * turn], axis=-1)
    line = spiral * [side, 1.0] + at
    return ribbon_outline(line, thick * (1.0 - 0.45 * t))


def lace(side: int, *, rng: np.random.Generator) -> Rgba:
    """A crocheted doily: rings of petals, arches and knots about a centre."""
    sheet = Sketch(side, side, supersample=2)
    thread = from_hex(rng.choice(["efe9dc", "e3d6bd", "d9d3cc", "8a2f33", "f1eee8", "3f4a5f"]))
    fold = int(rng.choice([8, 10, 12, 14, 16]))
    centre, reach = side / 2, side * 0.485
    thick = side * 0.0055

    def ring(lines) -> None:
        for k in range(fold):
            for line in lines:
                turned = outlines.turned(np.asarray(line) * reach, 2 * math.pi * k / fold) + centre
                sheet.stroke(turned + thick * 0.35, lighter(thread, -0.18), thick)
                sheet.stroke(turned, lighter(thread, 0.04 * math.sin(k * 2.1)), thick)

    half = math.pi / fold
    u = np.linspace(0.0, 1.0, 26)

    def arc(r0: float, bulge: float, span: float = 1.0, twist: float = 0.0) -> Points:
        a = (2 * u - 1.0) * half * span + twist
        r = r0 + bulge * np.sin(np.pi * u)
        return np.stack([r * np.cos(a), r * np.sin(a)], axis=-1)

    def spoke(r0: float, r1: float, a: float = 0.0) -> Points:
        return np.array([[r0 * math.cos(a), r0 * math.sin(a)], [r1 * math.cos(a), r1 * math.sin(a)]])

    r = 0.05
    ring([arc(r, 0.0), arc(r * 0.55, 0.0)])
    while r < 0.84:
        step = min(rng.uniform(0.07, 0.17), 0.9 - r)
        match rng.integers(5):
            case 0:
                ring([arc(r, step * 0.9), arc(r, step * 0.55), arc(r + step, 0.0)])
            case 1:
                ring(
                    [spoke(r, r + step, a) for a in np.linspace(-half, half, 5)[:-1]]
                    + [arc(r + step, 0.0), arc(r, 0.0)]
                )
            case 2:
                petal = outlines.leaf(slenderness=1.0 + step / (2 * half * max(r, 0.08)), points=14) * step / 2 + [
                    r + step / 2,
                    0.0,
                ]
                ring(
                    [
                        np.concatenate([petal, petal[:1]]),
                        (petal - [r + step / 2, 0]) * 0.6 + [r + step / 2, 0],
                        arc(r + step, 0.0),
                    ]
                )
            case 3:
                mesh_lines = [arc(r + step * j / 3, 0.0) for j in range(4)]
                ring(mesh_lines + [spoke(r, r + step, a) for a in np.linspace(-half, half, 7)[:-1]])
            case _:
                ring([arc(r, step, 1.0, half), arc(r, step), arc(r + step, 0.0)])
        r += step
    ring([arc(r, 0.07), arc(r, 0.045, 0.8), arc(r, 0.0)])
    rgba = sheet.rgba()
    stitches = fractal(side, side, rng=rng, slope=0.8, cells=side / 6)
    rgba[..., :3] *= np.exp(np.float32(0.16) * stitches)[..., None] * np.float32(0.85)
    return rgba


def frame(side: int, *, rng: np.random.Generator) -> Rgba:
    """An empty picture frame with a moulded, mitred profile."""
    aspect = rng.uniform(0.7, 1.0)
    height, width = (side, round(side * aspect)) if rng.random() < 0.5 else (round(side * aspect), side)
    moulding = side * rng.uniform(0.07, 0.14)
    finish = from_hex(rng.choice(["b8893f", "3a2a20", "6a4426", "1f1f22", "d9cfb8", "7d3a2a", "8f9296"]))
    x = np.arange(width, dtype=np.float32) + 0.5
    y = np.arange(height, dtype=np.float32)[:, None] + 0.5
    to_side = np.minimum(x, width - x) + y * 0.0
    to_end = np.minimum(y, height - y) + x * 0.0
    inward = np.minimum(to_side, to_end)
    alpha = np.clip(moulding - inward + 0.5, 0.0, 1.0) * np.clip(inward + 0.5, 0.0, 1.0)
    upright = to_side < to_end
    t = inward / np.float32(moulding)
    # Slope of the profile from the rim inward: a few turned steps.
    phase, waves = rng.uniform(0, 6.3), rng.integers(1, 4)
    rise = np.cos(t * np.pi) * 0.9 + 0.6 * np.sin(t * 2 * np.pi * waves + phase) + 0.8 * (t < 0.08) - 0.9 * (t > 0.93)
    sx = np.where(upright, np.where(x < width / 2, rise, -rise), 0.0)
    sy = np.where(upright, 0.0, np.where(y < height / 2, rise, -rise))
    nz = 1.0 / np.sqrt(1.0 + rise**2)
    normal = (-sx * nz, -sy * nz, nz)
    grain = np.where(
        upright,
        fractal(height, width, rng=rng, slope=2.0, cells=8, stretch=0.05),
        fractal(height, width, rng=rng, slope=2.0, cells=8, stretch=20.0),
    )
    wear = smoothstep(0.8, 2.0, fractal(height, width, rng=rng, slope=2.0, cells=8))
    albedo = ramp(0.5 + 0.12 * grain - 0.3 * wear, [lighter(finish, -0.2), finish, lighter(finish, 0.1)])
    colour = lit(albedo, normal, key_light(rng=rng), gloss=0.45, sharpness=25.0)
    # Dirt in the grooves and the shadow line of the mitres.
    mitre = smoothstep(1.6, 0.4, np.abs(to_side - to_end)) * 0.5
    colour *= (1.0 - mitre)[..., None] * (0.75 + 0.25 * normal[2])[..., None]
    return np.dstack([colour, alpha]).astype(np.float32)


def window(side: int, *, rng: np.random.Generator) -> Rgba:
    """A window without a wall: casements with glazing bars, and panes that are open or reflect faintly."""
    palette = Palette.draw(rng=rng)
    height, width = side, round(side * rng.uniform(0.55, 0.9))
    paint = from_hex(rng.choice(_PAINT))
    border, bar = side * rng.uniform(0.045, 0.07), side * rng.uniform(0.016, 0.026)
    arched = rng.random() < 0.4
    columns, rows = int(rng.choice([2, 2, 3])), int(rng.integers(2, 5))
    top = width / 2 if arched else 0.5
    outer = _arch(0.5, 0.5, width - 0.5, height - 0.5, arched)
    panes = [_arch(border, border, width - border, height - border, arched)]
    alpha = masks(height, width, [outer, *panes])
    bars = [_bar(width * c / columns - bar / 2, 0, width * c / columns + bar / 2, height) for c in range(1, columns)]
    bars += [_bar(0, y - bar / 2, width, y + bar / 2) for y in np.linspace(top, height, rows + 1)[:-1] if y > border]
    inside = mask(height, width, panes[0])
    for shape in bars:
        alpha = np.maximum(alpha, np.minimum(mask(height, width, shape), inside))
    relief = inflated(alpha, roundness=1.0, smoothing=0.0) * np.float32(0.6)
    relief = cv2.GaussianBlur(relief, (0, 0), max(0.7, side / 400))
    chips = smoothstep(1.4, 1.9, fractal(height, width, rng=rng, slope=1.8, cells=10))
    dirt = fractal(height, width, rng=rng, slope=2.2, cells=4)
    albedo = ramp(0.55 + 0.10 * dirt, [lighter(paint, -0.15), paint, lighter(paint, 0.08)])
    albedo += chips[..., None] * (linear(from_hex("6a513c")) - albedo) * np.float32(0.8)
    colour = lit(albedo, normals(relief), key_light(rng=rng), gloss=0.08)
    if rng.random() < 0.5:
        # Glass: a thin veil of reflected sky with a slanting streak.
        yy, xx = np.mgrid[:height, :width].astype(np.float32)
        streak = smoothstep(0.55, 1.0, np.sin((xx + yy * 0.6) / side * 9.0 + rng.uniform(0, 6.3)))
        veil = inside * (0.10 + 0.20 * streak) * (1.0 - alpha)
        sky = linear(palette.tone(0.85, rng=rng))
        total = alpha + veil
        colour = (colour * alpha[..., None] + sky * veil[..., None]) / np.maximum(total, 1e-6)[..., None]
        alpha = total
    return np.dstack([colour, alpha]).astype(np.float32)


def _arch(x0: float, y0: float, x1: float, y1: float, arched: bool) -> Points:
    if not arched:
        return _bar(x0, y0, x1, y1)
    r, middle = (x1 - x0) / 2, (x0 + x1) / 2
    a = np.linspace(math.pi, 2 * math.pi, 40)
    dome = np.stack([middle + r * np.cos(a), y0 + r + r * np.sin(a)], axis=-1)
    return np.concatenate([dome, [[x1, y1], [x0, y1]]])


def _bar(x0: float, y0: float, x1: float, y1: float) -> Points:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def _weathered(rgba: Rgba, *, rng: np.random.Generator) -> Rgba:
    height, width = rgba.shape[:2]
    patches = fractal(height, width, rng=rng, slope=2.0, cells=5)
    rgba[..., :3] *= np.exp(np.float32(0.2) * patches)[..., None]
    return rgba
