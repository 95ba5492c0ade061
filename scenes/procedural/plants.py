"""Cut-outs of plants: branches with leaves, blossom or berries, ferns, grasses, flowers and dandelion clocks."""

import math

import numpy as np

from scenes.arrays import Rgba
from scenes.procedural import outlines
from scenes.procedural.noise import fractal
from scenes.procedural.outlines import Points
from scenes.procedural.palette import Colour, from_hex, lighter, mixed
from scenes.procedural.sketch import Sketch

FOLIAGE = ("3f5a26", "55702f", "6f8a3f", "2f4a33", "7d8a4a", "8a6a2a", "a8672a", "8f3a24", "4a6a55", "5f7a6a")
_BARK = ("3a2a20", "4f3d30", "5f5348", "2c2422")
PETALS = ("e9e3da", "e6b3b5", "d9606a", "c93a2f", "e0a93a", "8a6ab0", "b7a3d6", "e58a4a", "f0d7a3", "5a6ab5")


def branch(side: int, *, rng: np.random.Generator) -> Rgba:
    """A forked branch with leaves of one species. Some have blossom or berries."""
    height, width = _proportions(side, rng=rng)
    sheet = Sketch(height, width, supersample=2)
    bark = from_hex(rng.choice(_BARK))
    green = from_hex(rng.choice(FOLIAGE))
    species = {
        "length": side * rng.uniform(0.05, 0.13),
        "slenderness": rng.uniform(1.7, 4.5),
        "teeth": int(rng.choice([0, 0, 0, 9])),
    }
    start = np.array([width * rng.uniform(0.3, 0.7), height * 0.99])
    segments = _forks(start, -math.pi / 2 + rng.normal(0.0, 0.25), height * 0.30, 4, rng=rng)
    segments = _fitted(segments, width, height, species["length"] * 1.15)
    for depth in (4, 3, 2, 1):
        for line, level in segments:
            if level == depth:
                thick = side * 0.004 * 1.75**level
                sheet.ribbon(line, np.linspace(thick, thick * 0.6, len(line)), bark)
                sheet.ribbon(
                    line - [thick * 0.2, 0.0], np.linspace(thick, thick * 0.6, len(line)) * 0.35, lighter(bark, 0.1)
                )
    twigs = [line for line, level in segments if level <= 2]
    spots = [(line[i], line[i] - line[i - 1]) for line in twigs for i in range(2, len(line), 2)]
    order = rng.permutation(len(spots))
    bloom = rng.choice(["none", "none", "blossom", "berries"])
    petal = from_hex(rng.choice(PETALS))
    for rank, k in enumerate(order):
        # Leaves drawn later are nearer and catch more light.
        nearness = rank / len(order)
        at, heading = spots[k]
        angle = math.atan2(heading[1], heading[0]) + rng.choice([-1, 1]) * rng.uniform(0.3, 1.2)
        tint = lighter(
            mixed(green, from_hex("c9b458"), rng.beta(1, 5) * 0.7), 0.16 * nearness - 0.12 + rng.normal(0, 0.025)
        )
        leaf_on(sheet, at, angle, species["length"] * rng.uniform(0.6, 1.15), tint, species, rng=rng)
        if bloom == "blossom" and rng.random() < 0.35 * nearness + 0.1:
            blossom_on(sheet, at + rng.normal(0, side * 0.01, 2), side * rng.uniform(0.018, 0.032), petal, rng=rng)
        elif bloom == "berries" and rng.random() < 0.3:
            _berry_on(sheet, at + rng.normal(0, side * 0.012, 2), side * rng.uniform(0.010, 0.017), rng=rng)
    return _veiled(sheet.rgba(), rng=rng)


def leaf_on(
    sheet: Sketch, at: Points, angle: float, length: float, tint: Colour, species: dict, *, rng: np.random.Generator
) -> None:
    """Draw one leaf growing from `at`: two halves that face the light differently, a midrib, side veins if large."""
    foreshortened = rng.uniform(0.55, 1.0)
    shape = outlines.leaf(
        slenderness=species["slenderness"] / foreshortened, droop=rng.normal(0, 0.22), teeth=species["teeth"]
    )
    half = len(shape) // 2
    rib = (shape[:half] + shape[: half - 1 : -1]) / 2.0
    place = lambda p: outlines.turned((p + [1.12, 0.0]) * (length / 2.0), angle) + at  # noqa: E731
    sheet.polygon(place(shape), lighter(tint, -0.035))
    sheet.polygon(place(np.concatenate([shape[:half], rib[::-1]])), lighter(tint, 0.045))
    sheet.stroke(place(np.concatenate([[[-1.12, 0.0]], rib])), lighter(tint, 0.12), length * 0.02)
    if length > 40:
        edges = [shape[:half], shape[: half - 1 : -1]]
        veins = [
            place(np.stack([rib[i], e[min(i + 4, half - 1)] * 0.92 + rib[min(i + 4, half - 1)] * 0.08]))
            for e in edges
            for i in range(4, half - 6, 4)
        ]
        sheet.strokes(veins, lighter(tint, 0.07), length * 0.008)


def blossom_on(sheet: Sketch, at: Points, radius: float, petal: Colour, *, rng: np.random.Generator) -> None:
    """Draw a five-petalled blossom."""
    turn = rng.uniform(0, 2 * np.pi)
    squash = np.array([1.0, rng.uniform(0.6, 1.0)])
    for k in rng.permutation(5):
        angle = turn + k * 2 * np.pi / 5
        shape = outlines.turned(outlines.superellipse(exponent=2.0, aspect=0.75, points=24) * 0.55 + [0.6, 0.0], angle)
        sheet.polygon(shape * squash * radius + at, lighter(petal, rng.normal(0.0, 0.03)))
        sheet.stroke(
            np.stack([at, at + np.array([np.cos(angle), np.sin(angle)]) * squash * radius * 0.7]),
            lighter(petal, -0.07),
            radius * 0.05,
        )
    for _ in range(6):
        sheet.disk(at + rng.normal(0, radius * 0.14, 2), radius * 0.09, from_hex("d9a93a"))


def _berry_on(sheet: Sketch, at: Points, radius: float, *, rng: np.random.Generator) -> None:
    red = lighter(from_hex("9a1f1f"), rng.normal(0, 0.04))
    sheet.disk(at, radius, lighter(red, -0.08))
    sheet.disk(at - radius * 0.15, radius * 0.75, red)
    sheet.disk(at - radius * 0.35, radius * 0.22, from_hex("f0c9b8"))


def fern(side: int, *, rng: np.random.Generator) -> Rgba:
    """One to three arching fronds."""
    height, width = _proportions(side, rng=rng)
    sheet = Sketch(height, width, supersample=2)
    green = from_hex(rng.choice(FOLIAGE[:5]))
    count = int(rng.integers(1, 4))
    for k in range(count):
        lean = (k - (count - 1) / 2) * 0.5 + rng.normal(0.0, 0.12)
        t = np.linspace(0.0, 1.0, 46)
        line = np.stack([0.5 + lean * 0.9 * t**1.6, 0.99 - 0.93 * t * (1 - 0.12 * abs(lean) * t)], axis=-1) * [
            width,
            height,
        ]
        reach = side * rng.uniform(0.20, 0.28)
        _frond(sheet, line, reach, lighter(green, 0.05 * k - 0.04), rng=rng)
    return _veiled(sheet.rgba(), rng=rng)


def _frond(sheet: Sketch, line: Points, reach: float, green: Colour, *, rng: np.random.Generator) -> None:
    along = np.gradient(line, axis=0)
    heading = np.arctan2(along[:, 1], along[:, 0])
    n = len(line)
    for i in range(6, n):
        t = i / n
        length = reach * (1.0 - t) ** 0.75 * min(1.0, 0.35 + 3.0 * t)
        for s in (-1, 1):
            angle = heading[i] + s * (1.25 - 0.5 * t) + rng.normal(0.0, 0.04)
            tint = lighter(green, 0.05 * s + rng.normal(0.0, 0.02))
            u = np.linspace(0.0, 1.0, 12)
            pinna = line[i] + length * np.stack([np.cos(angle) * u, np.sin(angle) * u + 0.10 * u**2], axis=-1)
            _pinnules(sheet, pinna, length * 0.16, angle, tint)
            sheet.stroke(pinna, lighter(tint, 0.06), length * 0.012)
    sheet.ribbon(line, np.linspace(reach * 0.045, reach * 0.008, n), lighter(green, 0.1))


def _pinnules(sheet: Sketch, pinna: Points, length: float, heading: float, tint: Colour) -> None:
    small = outlines.leaf(slenderness=2.2, points=7) * 0.5 + [0.5, 0.0]
    for j in range(1, len(pinna)):
        size = length * (1.08 - j / len(pinna))
        for s in (-1, 1):
            sheet.polygon(outlines.turned(small * size, heading + s * 1.0) + pinna[j], lighter(tint, 0.025 * s))


def grass(side: int, *, rng: np.random.Generator) -> Rgba:
    """A tuft of blades, some with seed heads."""
    height, width = _proportions(side, rng=rng)
    sheet = Sketch(height, width, supersample=2)
    green = from_hex(rng.choice(FOLIAGE))
    straw = from_hex(rng.choice(["c9b26a", "b59a5a", "d6c58a"]))
    count = int(rng.integers(40, 130))
    seeded = rng.random() < 0.5
    wind = rng.normal(0.0, 0.25)
    for k in range(count):
        t = np.linspace(0.0, 1.0, 16)
        root = width * (0.5 + rng.normal(0.0, 0.10))
        tall = height * rng.uniform(0.35, 0.97) * (1.0 if k % 4 else 1.0)
        lean = wind + rng.normal(0.0, 0.35)
        line = np.stack([root + lean * tall * 0.6 * t**2, height * 0.995 - tall * (t - 0.25 * lean**2 * t**3)], axis=-1)
        wide = side * rng.uniform(0.006, 0.014)
        tint = lighter(mixed(green, straw, rng.beta(1.2, 3)), 0.18 * k / count - 0.13)
        profile = wide * np.minimum(1.0, 0.5 + 2 * t) * (1 - t) ** 0.7 + 0.3
        sheet.ribbon(line, profile, tint)
        sheet.ribbon(line + [wide * 0.18, 0.0], profile * 0.4, lighter(tint, 0.08))
        if seeded and rng.random() < 0.2:
            _ear(sheet, line[-1], line[-1] - line[-3], side * 0.09, lighter(straw, rng.normal(0, 0.04)), rng=rng)
    return _veiled(sheet.rgba(), rng=rng)


def _ear(sheet: Sketch, at: Points, heading: Points, length: float, straw: Colour, *, rng: np.random.Generator) -> None:
    angle = math.atan2(heading[1], heading[0])
    grain = outlines.leaf(slenderness=2.6, points=10) * length * 0.09
    for j in range(18):
        for s in (-1, 1):
            centre = at + outlines.turned(np.array([[length * j / 18, s * length * 0.045]]), angle)
            sheet.polygon(outlines.turned(grain, angle + s * 0.5) + centre, lighter(straw, rng.normal(0, 0.04)))
            whisker = outlines.turned(np.array([[0, 0], [length * 0.32, s * length * 0.12]]), angle) + centre
            sheet.stroke(whisker, straw, 0.3)


def flowers(side: int, *, rng: np.random.Generator) -> Rgba:
    """A few stems of one kind: daisies, poppies, tulips or lavender."""
    height, width = _proportions(side, rng=rng)
    sheet = Sketch(height, width, supersample=2)
    green = from_hex(rng.choice(FOLIAGE[:4]))
    petal = from_hex(rng.choice(PETALS))
    head = (_daisy, _poppy, _tulip, _lavender)[rng.integers(4)]
    count = int(rng.integers(1, 7)) if head is not _lavender else int(rng.integers(7, 16))
    tops = np.sort(rng.uniform(0.16, 0.5, count))
    if count == 1:
        tops[:] = 0.22
    for k in range(count):
        x = width * (0.5 + (0.62 * (k * 0.618 % 1.0 - 0.5) if count > 1 else 0.0) + rng.normal(0, 0.03))
        t = np.linspace(0.0, 1.0, 24)
        foot = width * 0.5 + (x - width * 0.5) * 0.25
        bend = rng.normal(0.0, 0.05) * side
        line = np.stack(
            [foot + (x - foot) * t + bend * np.sin(np.pi * t), height * (0.995 - (0.995 - tops[k]) * t)], axis=-1
        )
        stem = lighter(green, rng.normal(0.0, 0.03))
        sheet.ribbon(line, np.linspace(side * 0.014, side * 0.008, 24), stem)
        sheet.ribbon(line - [side * 0.002, 0.0], np.linspace(side * 0.005, side * 0.003, 24), lighter(stem, 0.1))
        for i in rng.choice(np.arange(3, 16), 3, replace=False):
            angle = -math.pi / 2 + rng.choice([-1, 1]) * rng.uniform(0.4, 1.0)
            species = {"slenderness": 5.0, "teeth": 0}
            leaf_on(
                sheet,
                line[i],
                angle,
                side * rng.uniform(0.12, 0.26),
                lighter(green, rng.normal(0, 0.03)),
                species,
                rng=rng,
            )
        radius = side * (0.20 if count == 1 else rng.uniform(0.09, 0.13))
        head(sheet, line[-1], radius, lighter(petal, rng.normal(0.0, 0.02)), rng=rng)
    return _veiled(sheet.rgba(), rng=rng)


def _petal_on(
    sheet: Sketch, at: Points, angle: float, length: float, slender: float, squash: Points, tint: Colour, *, rng
) -> None:
    shape = outlines.leaf(slenderness=slender, points=14, droop=rng.normal(0, 0.15)) * 0.5 + [0.5, 0.0]
    place = lambda p: outlines.turned(p * length, angle) * squash + at  # noqa: E731
    sheet.polygon(place(shape), tint)
    sheet.polygon(place(shape * [0.55, 0.55]), lighter(tint, -0.05))
    veins = [
        place(np.array([[0.1, 0.02 * s], [0.55, s * 0.32 / slender], [0.9, s * 0.2 / slender]]))
        for s in (-1, -0.4, 0.4, 1)
    ]
    sheet.strokes(veins, lighter(tint, -0.045), length * 0.008)


def _daisy(sheet: Sketch, at: Points, radius: float, petal: Colour, *, rng: np.random.Generator) -> None:
    squash = np.array([1.0, rng.uniform(0.55, 1.0)])
    count = int(rng.integers(13, 24))
    for ring in (1.0, 0.93):
        for k in range(count):
            angle = 2 * np.pi * (k + (ring < 1) * 0.5) / count + rng.normal(0, 0.05)
            tint = lighter(petal, 0.05 * (ring < 1) - 0.03 + 0.05 * math.sin(angle - 2.4) + rng.normal(0, 0.015))
            _petal_on(sheet, at, angle, radius * ring * rng.uniform(0.92, 1.04), 3.4, squash, tint, rng=rng)
    heart = from_hex(rng.choice(["d9a021", "c98a1a", "4a2a1a"]))
    # Florets on Vogel's spiral, lighter towards the light.
    for i in range(140):
        r, angle = radius * 0.27 * math.sqrt(i / 140), i * 2.39996
        spot = np.array([r * math.cos(angle), r * math.sin(angle)])
        shade = lighter(heart, -0.10 - 0.30 * (spot[0] + spot[1]) / radius + 0.14 * (1 - i / 140) + rng.normal(0, 0.03))
        sheet.disk(at + spot * squash, radius * 0.026, shade)


def _poppy(sheet: Sketch, at: Points, radius: float, petal: Colour, *, rng: np.random.Generator) -> None:
    squash = np.array([1.0, rng.uniform(0.6, 0.95)])
    turn = rng.uniform(0, 2 * np.pi)
    for k in range(5):
        angle = turn + k * 2.5
        tint = lighter(petal, -0.08 + 0.035 * k)
        shape = outlines.blob(rng=rng, roughness=0.09, points=48) * 0.62 + [0.42, 0.0]
        place = lambda p, a=angle: outlines.turned(p * radius, a) * squash + at  # noqa: E731
        sheet.polygon(place(shape), tint)
        for i, fold in enumerate(np.linspace(-0.9, 0.9, 22)):
            line = np.array([[0.12, 0.04 * fold], [0.5, 0.34 * fold], [0.92 - 0.25 * fold**2, 0.52 * fold]])
            sheet.stroke(place(line), lighter(tint, 0.05 if i % 2 else -0.05), radius * 0.012)
    for _ in range(46):
        angle, r = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0.12, 0.27)
        sheet.disk(at + r * np.array([math.cos(angle), math.sin(angle)]) * squash, radius * 0.018, from_hex("241a1c"))
    sheet.disk(at, radius * 0.11, from_hex("7d8a4a"))
    for k in range(9):
        tip = at + radius * 0.09 * np.array([math.cos(k * 0.7), math.sin(k * 0.7)])
        sheet.stroke(np.stack([at, tip]), from_hex("3f4a26"), radius * 0.012)


def _tulip(sheet: Sketch, at: Points, radius: float, petal: Colour, *, rng: np.random.Generator) -> None:
    at = at + [0.0, radius * 0.55]
    for k, (lean, tone) in enumerate(
        [(-0.28, -0.1), (0.28, -0.08), (0.0, -0.05), (-0.42, 0.0), (0.42, 0.03), (0.06, 0.05)]
    ):
        tint = lighter(petal, tone)
        shape = outlines.leaf(slenderness=1.75 if k != 2 else 1.4, points=20) * 0.5 + [0.5, 0.0]
        place = lambda p, a=lean: outlines.turned(p * radius * 1.6, a - math.pi / 2) + at  # noqa: E731
        sheet.polygon(place(shape), tint)
        for fold in np.linspace(-0.8, 0.8, 15):
            line = np.array([[0.05, 0.05 * fold], [0.5, 0.26 * fold], [0.93, 0.06 * fold]])
            sheet.stroke(place(line), lighter(tint, 0.05 * math.cos(fold * 9)), radius * 0.014)


def _lavender(sheet: Sketch, at: Points, radius: float, petal: Colour, *, rng: np.random.Generator) -> None:
    for j in range(13):
        y = at[1] - radius * 0.9 + j * radius * 0.24
        wide = radius * 0.24 * math.sin(math.pi * (j + 1.5) / 15)
        for _ in range(9):
            spot = np.array([at[0] + rng.normal(0, wide * 0.6), y + rng.normal(0, radius * 0.05)])
            shape = outlines.turned(outlines.leaf(slenderness=1.6, points=8) * radius * 0.11, rng.uniform(0, 6.3))
            sheet.polygon(shape + spot, lighter(petal, rng.normal(-0.02, 0.07) - 0.1 * (spot[0] - at[0]) / radius))


def dandelion(side: int, *, rng: np.random.Generator) -> Rgba:
    """A dandelion clock: seeds on a sphere, each with a parachute of fine hairs."""
    width = round(side * 0.72)
    sheet = Sketch(side, width, supersample=3 if side <= 1500 else 2)
    centre = np.array([width * 0.5, width * 0.5])
    radius = width * 0.47
    t = np.linspace(0.0, 1.0, 24)
    bend = rng.normal(0.0, 0.07) * side
    stem = np.stack([centre[0] + bend * t**2, centre[1] + (side * 0.995 - centre[1]) * t], axis=-1)
    green = from_hex("8a8f5a")
    sheet.ribbon(stem, np.linspace(side * 0.016, side * 0.022, 24), lighter(green, -0.12))
    sheet.ribbon(stem - [side * 0.003, 0], np.linspace(side * 0.006, side * 0.009, 24), green)
    white = from_hex(rng.choice(["e9e6df", "ded9cc", "d3cfc6"]))
    count = int(rng.integers(130, 200))
    blown = rng.uniform(0.0, 0.5) if rng.random() < 0.4 else 0.0
    # Fibonacci sphere, far side first.
    seeds = []
    for i in range(count):
        z = 1.0 - 2.0 * (i + 0.5) / count
        a = i * 2.39996
        seeds.append((z, np.array([math.cos(a), math.sin(a)]) * math.sqrt(1 - z * z)))
    for z, direction in sorted(seeds, key=lambda seed: seed[0]):
        if rng.random() < blown * (direction[0] + 1.0):
            continue
        tip = centre + direction * radius * 0.70
        shade = lighter(white, 0.10 * z - 0.10)
        sheet.stroke(np.stack([centre + direction * radius * 0.10, tip]), lighter(shade, -0.16), 0.3)
        hairs = []
        for b in np.linspace(0, 2 * np.pi, 15, endpoint=False) + rng.uniform(0, 1):
            # Hairs spread in the plane across the stalk and a little outward.
            across = np.array([-direction[1], direction[0]]) * math.cos(b) - direction * z * math.sin(b)
            end = tip + (across * 0.25 + direction * 0.13) * radius * rng.uniform(0.8, 1.0)
            hairs.append(np.stack([tip, (tip + end) / 2 + direction * radius * 0.015, end]))
        sheet.strokes(hairs, shade, 0.3)
    sheet.disk(centre, radius * 0.12, from_hex("6a5a3f"))
    for _ in range(60):
        spot = centre + rng.normal(0, radius * 0.05, 2)
        sheet.disk(spot, radius * 0.012, lighter(from_hex("6a5a3f"), rng.normal(0, 0.09)))
    return sheet.rgba()


def _forks(
    start: Points, heading: float, length: float, level: int, *, rng: np.random.Generator
) -> list[tuple[Points, int]]:
    t = np.linspace(0.0, 1.0, 14)
    bend = rng.normal(0.0, 0.5)
    angles = heading + bend * (t - 0.3) + rng.normal(0.0, 0.08, 14)
    steps = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * length / 13
    line = start + np.concatenate([[[0.0, 0.0]], np.cumsum(steps[1:], axis=0)])
    found = [(line, level)]
    if level > 1:
        found += _forks(line[-1], angles[-1] + rng.normal(0.0, 0.2), length * 0.74, level - 1, rng=rng)
        for i in rng.choice(np.arange(4, 13), 2 + (level > 2), replace=False):
            turn = rng.choice([-1, 1]) * rng.uniform(0.45, 1.0)
            found += _forks(line[i], angles[i] + turn, length * rng.uniform(0.45, 0.72), level - 1, rng=rng)
    return found


def _fitted(segments: list[tuple[Points, int]], width: int, height: int, margin: float) -> list[tuple[Points, int]]:
    """The branches scaled and moved into the sheet, `margin` away from its edges except the lower one."""
    points = np.concatenate([line for line, _ in segments])
    low, high = points.min(axis=0), points.max(axis=0)
    scale = min((width - 2 * margin) / (high[0] - low[0]), (height - margin) / (high[1] - low[1]))
    corner = np.array([width / 2 - scale * (low[0] + high[0]) / 2, height - scale * high[1]])
    return [(line * scale + corner, level) for line, level in segments]


def _proportions(side: int, *, rng: np.random.Generator) -> tuple[int, int]:
    aspect = rng.uniform(0.65, 1.0)
    return (side, max(8, round(side * aspect)))


def _veiled(rgba: Rgba, *, rng: np.random.Generator) -> Rgba:
    """The picture with patches of light and shade, as under a canopy."""
    height, width = rgba.shape[:2]
    light = fractal(height, width, rng=rng, slope=2.4, cells=3)
    rgba[..., :3] *= np.exp(np.float32(0.22) * light)[..., None]
    return rgba
