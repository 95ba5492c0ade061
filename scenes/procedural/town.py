"""Built places by day: facades, streets in perspective, hoardings, bookshelves and things on tables."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.arrays import Picture, Rgba
from scenes.matte import crop_to_alpha
from scenes.procedural import materials, plants, solids
from scenes.procedural.glyphs import font, word
from scenes.procedural.light import Day, dapple, ground_plane, hazed, sky
from scenes.procedural.noise import Field, fractal, noise_at, smoothstep
from scenes.procedural.outdoors import dabs
from scenes.procedural.palette import Colour, Palette, from_hex, lighter, linear, mixed, ramp
from scenes.procedural.shading import blurred, cast_shadow, key_light
from scenes.procedural.sketch import Sketch, mask, paste, text_width

_WALLS = ("c9b592", "d8c7ab", "b5654a", "e0d6c6", "a9573d", "c98f6b", "8f9a98", "d9b48a", "7d8a80", "c7a0a0", "e3dccb")
# Factor of all light at night, for each channel. Lamps are darkened too, so they are drawn brighter by its inverse.
NIGHT = np.array([0.040, 0.042, 0.055], np.float32)
_LAMPLIGHT = np.array([1.0, 0.66, 0.32], np.float32)
_FRAMES = ("ece6da", "3a4a48", "5a2f26", "2b3138", "6a5a48", "7a8a84")


def flat_facade(height: int, width: int, *, storeys: int, bays: int, night: bool, rng: np.random.Generator) -> Picture:
    """A house front seen square on: wall, rows of windows, a ground floor with doors and shops, a cornice.

    night   lamps behind some windows (linear values 0.5 to 6) and little light on the wall
    """
    palette = Palette.draw(rng=rng)
    metres = 3.2 * storeys / height
    v, u = (a.astype(np.float32) * np.float32(metres) for a in np.mgrid[:height, :width])
    footprint = np.full_like(u, metres)
    wall = from_hex(rng.choice(_WALLS))
    build = (materials.plaster, materials.bricks)[rng.integers(2)]
    picture = build(u, v, footprint, wall, rng=rng)
    trim = mixed(from_hex("e3dccc"), wall, rng.uniform(0.1, 0.6))
    storey, bay = height / storeys, width / bays
    paint = from_hex(rng.choice(_FRAMES))
    style = {
        "frame": paint,
        "trim": trim,
        "shutters": palette.accent(rng=rng) if rng.random() < 0.4 else None,
        "box": rng.random() < 0.35,
        "columns": int(rng.choice([1, 2, 2, 3])),
        "rows": int(rng.choice([2, 3, 4])),
        "sky": palette.tone(0.85, rng=rng),
    }
    tall, wide = storey * rng.uniform(0.52, 0.68), min(bay * rng.uniform(0.36, 0.5), storey * 0.5)
    for floor in range(storeys - 1):
        y = round(storey * floor + (storey - tall) * 0.55)
        for k in range(bays):
            x = round(bay * (k + 0.5) - wide / 2)
            _window(picture, y, x, round(tall), round(wide), style, night, rng=rng)
    _ground_floor(picture, round(height - storey), bays, palette, style, night, rng=rng)
    _band(picture, 0.0, storey * 0.12, trim)
    if rng.random() < 0.6:
        for floor in range(1, storeys):
            _band(picture, storey * floor - storey * 0.05, storey * 0.06, trim)
    return picture * NIGHT if night else picture


def _band(picture: Picture, top: float, thick: float, colour: Colour) -> None:
    """A moulding across the front, with its shadow."""
    y = np.arange(picture.shape[0], dtype=np.float32) + np.float32(0.5)
    t = (y - np.float32(top)) / np.float32(max(thick, 1.0))
    matte = (np.clip((y - top) + 0.5, 0, 1) * np.clip(top + thick - y + 0.5, 0, 1)).astype(np.float32)
    shade = (1.05 - 0.35 * t + 0.1 * np.sin(t * 9.0)).astype(np.float32)
    shadow = np.where(t > 1.0, np.exp(-np.maximum(t - 1.0, 0.0) * 1.6) * 0.55, 0.0).astype(np.float32)
    picture *= 1.0 - shadow[:, None, None]
    picture += matte[:, None, None] * (shade[:, None, None] * linear(colour) - picture)


def _window(picture: Picture, top: int, left: int, tall: int, wide: int, style: dict, night: bool, *, rng) -> None:
    """Stone surround, shadowed reveal, casement with bars, and glass that reflects the sky or shows a lit room."""
    if min(tall, wide) < 9:
        lamp = night and rng.random() < 0.5
        _fill(picture, top - 1, left - 1, tall + 2, wide + 2, linear(style["trim"]))
        _fill(
            picture,
            top,
            left,
            tall,
            wide,
            _LAMPLIGHT * np.float32(rng.uniform(0.8, 2.5)) / NIGHT if lamp else linear(from_hex("2a2f36")),
        )
        return
    edge = max(1, round(wide * 0.10))
    _fill(picture, top - edge, left - edge, tall + 2 * edge, wide + 2 * edge, linear(style["trim"]))
    glass = (
        _lit_room(tall, wide, rng=rng) if night and rng.random() < 0.5 else _glass(tall, wide, style["sky"], rng=rng)
    )
    # The reveal throws a shadow from above and from one side.
    depth = max(1.0, wide * 0.10)
    y = np.arange(tall, dtype=np.float32)[:, None] + 0.5
    x = np.arange(wide, dtype=np.float32)[None, :] + 0.5
    open_sky = np.float32(0.35) + np.float32(0.65) * smoothstep(0.2, 1.6, y / depth) * smoothstep(0.1, 1.3, x / depth)
    bar = max(1, round(wide * 0.055))
    frame = np.zeros((tall, wide), np.float32)
    frame[:bar], frame[-bar:], frame[:, :bar], frame[:, -bar:] = 1.0, 1.0, 1.0, 1.0
    for c in range(1, style["columns"]):
        at = round(wide * c / style["columns"])
        frame[:, at - bar // 2 : at - bar // 2 + bar] = 1.0
    for r in range(1, style["rows"]):
        at = round(tall * r / style["rows"])
        frame[at - bar // 2 : at - bar // 2 + max(1, bar - 1)] = 1.0
    glass += frame[..., None] * (linear(style["frame"]) - glass)
    _put(picture, glass * np.where(glass.max(axis=-1) > 1.0, 1.0, open_sky)[..., None], top, left)
    sill = max(1, round(wide * 0.09))
    _fill(picture, top + tall, left - 2 * edge, sill, wide + 4 * edge, linear(lighter(style["trim"], 0.05)))
    _shade(picture, top + tall + sill, left - 2 * edge, sill * 2, wide + 4 * edge, 0.5)
    if style["shutters"] is not None:
        leaf = round(wide * 0.48)
        for x0 in (left - edge - leaf, left + wide + edge):
            _shutter(picture, top, x0, tall, leaf, style["shutters"], rng=rng)
    if style["box"] and rng.random() < 0.6:
        _flower_box(picture, top + tall, left, wide, rng=rng)


def _glass(tall: int, wide: int, sky_tint: Colour, *, rng) -> Picture:
    """Dark glass that reflects the sky in its upper part. Some windows have a curtain."""
    t = np.linspace(0.0, 1.0, tall, dtype=np.float32)[:, None]
    field = fractal(tall, wide, rng=rng, slope=3.0, cells=2)
    level = rng.uniform(0.0, 0.75)
    shade = np.clip(level * (1.0 - 0.8 * t) + 0.10 * field, 0.0, 1.0)
    glass = ramp(shade, [from_hex("161b20"), from_hex("2f3a42"), mixed(sky_tint, from_hex("8fa3b0"), 0.4), sky_tint])
    if rng.random() < 0.4:
        x = np.linspace(0.0, 1.0, wide, dtype=np.float32)[None, :]
        opening = np.float32(rng.uniform(0.1, 0.4))
        folds = np.float32(0.6) + np.float32(0.4) * np.sin(x * np.float32(rng.uniform(30.0, 60.0)))
        cloth = linear(from_hex(rng.choice(["d9d0c0", "c9b9a0", "b8bcc0", "a88a80"])))
        matte = smoothstep(opening, opening + 0.05, np.abs(x - 0.5)) * np.float32(0.55) * np.ones_like(t)
        glass += matte[..., None] * (folds[..., None] * cloth - glass)
    return glass


def _lit_room(tall: int, wide: int, *, rng) -> Picture:
    """A lit room with things in it, brightest near the ceiling lamp."""
    warm = np.array(
        ((1.0, 0.52, 0.18), (1.0, 0.66, 0.34), (0.80, 0.92, 1.0))[int(rng.choice([0, 0, 1, 1, 2]))], np.float32
    )
    y = np.linspace(0.0, 1.0, tall, dtype=np.float32)[:, None]
    x = np.linspace(0.0, 1.0, wide, dtype=np.float32)[None, :]
    lamp = np.exp(-(((x - rng.uniform(0.2, 0.8)) / 0.5) ** 2) - ((y - rng.uniform(0.1, 0.4)) / 0.5) ** 2)
    things = smoothstep(-0.2, 0.3, fractal(tall, wide, rng=rng, slope=2.6, cells=3, stretch=0.5) + 1.5 * (0.75 - y))
    level = np.float32(rng.uniform(0.5, 2.2))
    room = (0.30 + 1.1 * lamp) * (0.45 + 0.55 * things)
    return (room * level)[..., None] * warm / NIGHT


def _shutter(picture: Picture, top: int, left: int, tall: int, wide: int, colour: Colour, *, rng) -> None:
    y = np.arange(tall, dtype=np.float32)[:, None]
    pitch = max(3.0, tall / 26.0)
    slats = np.float32(0.75) + np.float32(0.30) * np.sin(y / np.float32(pitch) * np.float32(2 * np.pi))
    panel = np.broadcast_to(slats[..., None] * linear(colour), (tall, wide, 3)).copy()
    edge = max(1, round(wide * 0.10))
    for part in (
        panel[:edge],
        panel[-edge:],
        panel[:, :edge],
        panel[:, -edge:],
        panel[tall // 2 - edge // 2 : tall // 2 + edge],
    ):
        part[...] = linear(colour) * np.float32(0.95)
    panel *= np.exp(np.float32(0.12) * fractal(tall, wide, rng=rng, slope=2.0, cells=4))[..., None]
    _shade(picture, top + max(1, edge // 2), left + max(1, edge // 2), tall, wide + edge, 0.4)
    _put(picture, panel, top, left)


def _flower_box(picture: Picture, top: int, left: int, wide: int, *, rng) -> None:
    n = max(6, round(wide * 0.5))
    sheet = Sketch(n, wide)
    green, petal = from_hex(rng.choice(plants.FOLIAGE[:4])), from_hex(rng.choice(plants.PETALS))
    sheet.polygon(np.array([[0, n * 0.62], [wide, n * 0.62], [wide * 0.97, n], [wide * 0.03, n]]), from_hex("6a4a36"))
    centres = np.stack([rng.uniform(0, wide, 70), n * np.clip(rng.normal(0.45, 0.16, 70), 0.1, 0.8)], axis=-1)
    dabs(sheet, centres, max(1.0, n * 0.09), green, rng.normal(0.0, 0.08, 70), rng=rng)
    dabs(
        sheet,
        centres[:34] - [0, n * 0.08],
        max(1.0, n * 0.07),
        petal,
        rng.normal(0.0, 0.06, 34),
        rng=rng,
        slenderness=1.2,
    )
    paste(picture, sheet.rgba(), left, top - round(n * 0.5))


def _ground_floor(picture: Picture, top: int, bays: int, palette: Palette, style: dict, night: bool, *, rng) -> None:
    height, width = picture.shape[:2]
    tall = height - top
    bay = width / bays
    base = mixed(style["trim"], from_hex("6a655c"), 0.5)
    stone = ramp(
        0.5 + 0.13 * fractal(tall, width, rng=rng, slope=2.0, cells=6), [lighter(base, -0.15), base, lighter(base, 0.1)]
    )
    picture[top:] += (stone - picture[top:]) * np.float32(0.85)
    k = 0
    while k < bays:
        span = min(int(rng.choice([1, 1, 2])), bays - k)
        x0, x1 = round(bay * (k + 0.10)), round(bay * (k + span - 0.10))
        if rng.random() < 0.55:
            _shop(picture, top, x0, tall, x1 - x0, palette, style, night, rng=rng)
        elif rng.random() < 0.5:
            _door(picture, top, (x0 + x1) // 2, tall, palette.accent(rng=rng))
        else:
            wide = round(bay * 0.5)
            _window(
                picture,
                top + round(tall * 0.25),
                (x0 + x1 - wide) // 2,
                round(tall * 0.5),
                wide,
                {**style, "shutters": None, "box": False},
                night,
                rng=rng,
            )
        k += span


def _shop(
    picture, top: int, left: int, tall: int, wide: int, palette: Palette, style: dict, night: bool, *, rng
) -> None:
    """A large window above a stall riser, and a fascia with a name. Some shops have an awning."""
    paint = palette.any(rng=rng, accented=0.7)
    front = linear(lighter(paint, -0.08))
    _fill(picture, top + round(tall * 0.06), left, tall - round(tall * 0.06), wide, front)
    y0, y1 = top + round(tall * 0.30), top + round(tall * 0.80)
    x0, x1 = left + round(wide * 0.06), left + round(wide * 0.94)
    if min(y1 - y0, x1 - x0) < 4:
        return
    glass = (
        _lit_room(y1 - y0, x1 - x0, rng=rng)
        if night and rng.random() < 0.8
        else _glass(y1 - y0, x1 - x0, style["sky"], rng=rng)
    )
    mullion = max(1, round(wide * 0.02))
    for c in range(1, 3):
        at = (x1 - x0) * c // 3
        glass[:, at : at + mullion] = front
    _put(picture, glass, y0, x0)
    fascia = Sketch(round(tall * 0.17) + 1, wide, supersample=2)
    fascia.polygon(np.array([[0, 0], [wide, 0], [wide, tall], [0, tall]]), paint)
    face, weight = font(rng=rng)
    name = word(rng=rng)
    size = min(tall * 0.085, wide * 0.8 / text_width(name, face, 1.0))
    ink = palette.tone(0.95 if paint.mean() < 0.5 else 0.05, rng=rng)
    fascia.text(
        name,
        np.array([(wide - text_width(name, face, size)) / 2, tall * 0.085 + size / 2]),
        size,
        ink,
        font=face,
        weight=weight,
    )
    _put(
        picture,
        fascia.rgba()[..., :3] * np.float32(25.0 if night and rng.random() < 0.5 else 1.0),
        top + round(tall * 0.08),
        left,
    )
    if rng.random() < 0.5:
        _awning(picture, top + round(tall * 0.26), left, round(tall * 0.17), wide, palette, rng=rng)


def _awning(picture, top: int, left: int, tall: int, wide: int, palette: Palette, *, rng) -> None:
    """Striped cloth with a scalloped edge, and its shadow."""
    if tall < 3:
        return
    x = np.arange(wide, dtype=np.float32)[None, :]
    y = np.arange(tall, dtype=np.float32)[:, None]
    stripe = max(2.0, wide / (2 * round(rng.uniform(4, 9))))
    cloth, white = linear(palette.accent(rng=rng)), linear(from_hex("e9e3d6"))
    which = (np.floor(x / stripe) % 2)[..., None] * np.ones((tall, 1, 1), np.float32)
    colour = (which * cloth + (1.0 - which) * white) * (1.05 - 0.35 * y / tall)[..., None]
    scallop = tall * 0.86 + tall * 0.14 * np.abs(np.sin(np.pi * x / stripe))
    matte = np.clip(scallop - y + 0.5, 0.0, 1.0)
    _shade(picture, top + tall, left, round(tall * 0.8), wide, 0.5)
    paste(picture, np.dstack([colour, matte]).astype(np.float32), left, top)


def _door(picture, top: int, middle: int, tall: int, colour: Colour) -> None:
    h, w = round(tall * 0.78), round(tall * 0.36)
    _fill(
        picture,
        top + tall - h - round(w * 0.1),
        middle - round(w * 0.62),
        h + tall,
        round(w * 1.24),
        linear(from_hex("cfc6b4")),
    )
    _fill(picture, top + tall - h, middle - w // 2, h, w, linear(colour))
    _shade(picture, top + tall - h, middle - w // 2, max(1, round(h * 0.04)), w, 0.6)
    for r in range(2):
        for c in range(2):
            y, x = top + tall - h + round(h * (0.08 + 0.47 * r)), middle - w // 2 + round(w * (0.10 + 0.44 * c))
            _fill(picture, y, x, round(h * 0.38), round(w * 0.36), linear(lighter(colour, -0.06)))
            _fill(
                picture,
                y + 1,
                x + 1,
                max(1, round(h * 0.38) - 2),
                max(1, round(w * 0.36) - 2),
                linear(lighter(colour, 0.02)),
            )


def _fill(picture: Picture, top: int, left: int, tall: int, wide: int, colour: NDArray) -> None:
    picture[max(top, 0) : max(top + tall, 0), max(left, 0) : max(left + wide, 0)] = colour


def _shade(picture: Picture, top: int, left: int, tall: int, wide: int, strength: float) -> None:
    """A shadow that fades downward."""
    window = picture[max(top, 0) : max(top + tall, 0), max(left, 0) : max(left + wide, 0)]
    window *= np.linspace(1.0 - strength, 1.0, len(window), dtype=np.float32)[:, None, None]


def _put(picture: Picture, patch: Picture, top: int, left: int) -> None:
    paste(picture, np.dstack([patch, np.ones(patch.shape[:2], np.float32)]), left, top)


def facade(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """A house front seen from across the street at a slight angle, with sun and shade on it."""
    storeys = int(rng.integers(2, 5))
    bays = max(2, round(storeys * width / height * rng.uniform(0.9, 1.5)))
    flat = flat_facade(height, width, storeys=storeys, bays=bays, night=False, rng=rng)
    picture = _askew(flat, rng=rng)
    dapple(picture, rng=rng, strength=rng.uniform(0.35, 0.6))
    return picture


def _askew(flat: Picture, *, rng: np.random.Generator) -> Picture:
    """The front seen at a slight angle. Its edges stay outside the frame."""
    height, width = flat.shape[:2]
    near, far = rng.uniform(0.08, 0.30), rng.uniform(0.0, 0.06)
    left, right = (near, far) if rng.random() < 0.5 else (far, near)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    grown = np.array(
        [
            [-far * width, -left * height],
            [width * (1 + far), -right * height],
            [width * (1 + far), height * (1 + right * 0.4)],
            [-far * width, height * (1 + left * 0.4)],
        ],
        np.float32,
    )
    matrix = cv2.getPerspectiveTransform(corners, grown)
    return cv2.warpPerspective(
        flat, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    ).clip(0.0)


@dataclass(frozen=True)
class View:
    """One-point perspective along a street.

    horizon       row of the vanishing point
    centre        its column, in frame widths
    focal         focal length in frame widths
    eye           height of the camera, metres
    half_street   distance from the middle of the road to the fronts, metres
    """

    horizon: float
    centre: float
    focal: float
    eye: float
    half_street: float

    @classmethod
    def draw(cls, height: int, *, rng: np.random.Generator) -> "View":
        return cls(
            height * rng.uniform(0.50, 0.62),
            rng.uniform(0.35, 0.65),
            rng.uniform(0.75, 1.1),
            rng.uniform(1.6, 3.0),
            rng.uniform(4.0, 7.0),
        )

    def ground(self, height: int, width: int) -> tuple[Field, Field, Field, int]:
        """`ground_plane` as this view sees it."""
        return ground_plane(height, width, self.horizon, eye=self.eye, focal=self.focal, centre=self.centre)


def street(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """A street between houses towards its vanishing point."""
    return street_scene(height, width, Day.draw(rng=rng), View.draw(height, rng=rng), night=False, rng=rng)


def street_scene(height: int, width: int, day: Day, view: View, *, night: bool, rng: np.random.Generator) -> Picture:
    """Sky, road, pavements and rows of fronts on both sides. At night the road is dark."""
    picture = sky(height, width, view.horizon, day, rng=rng)
    air = mixed(day.sky[2], day.shade, 0.3)
    sunny = rng.choice([-1.0, 1.0])
    _road(picture, view, day, sunny, rng=rng)
    if night:
        picture[view.ground(height, width)[3] :] *= NIGHT
    for side in (-1.0, 1.0):
        z = 80.0
        while z > 2.5:
            depth = min(rng.uniform(9.0, 18.0), z - 1.5)
            storeys = int(rng.integers(3, 6))
            front = _house(storeys, depth, z, height, view.focal * width, night, rng=rng)
            if not night:
                front *= (
                    linear(mixed(day.sun, np.ones(3), 0.3)) * np.float32(1.05)
                    if side == sunny
                    else linear(mixed(day.shade, np.ones(3), 0.1))
                )
            front = hazed(front, min(0.5, z / 260.0) * (0.3 if night else 1.0), air)
            _stand(picture, front, side, view, z - depth, z, storeys * 3.2)
            z -= depth
    if not night and rng.random() < 0.7:
        _street_trees(picture, view, day, rng=rng)
    return picture


def _house(storeys: int, depth: float, z: float, height: int, focal_px: float, night: bool, *, rng) -> Picture:
    """A flat front at about the resolution at which it is seen."""
    density = min(focal_px / max(z - 0.6 * depth, 3.0), 0.75 * height / (storeys * 3.2))
    tall = int(max(storeys * 3.2 * density, 24))
    wide = int(max(depth * density, 16))
    return flat_facade(tall, wide, storeys=storeys, bays=max(2, round(depth / 3.0)), night=night, rng=rng)


def _stand(picture, front: Picture, side: float, view: View, z0: float, z1: float, tall: float) -> None:
    """Warp a front onto the plane of its side of the street, from depth z0 to z1."""
    height, width = picture.shape[:2]
    f = view.focal * width
    z0 = max(z0, 1.0)
    x0, x1 = (view.centre * width + side * view.half_street * f / z for z in (z0, z1))
    top0, top1 = (view.horizon - (tall - view.eye) * f / z for z in (z0, z1))
    foot0, foot1 = (view.horizon + view.eye * f / z for z in (z0, z1))
    if side > 0:
        # On the right-hand side of the road a front runs from far to near. Mirroring it keeps its words readable.
        front = front[:, ::-1]
    h, w = front.shape[:2]
    target = np.array([[x0, top0], [x1, top1], [x1, foot1], [x0, foot0]], np.float32)
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32) - np.float32(0.5)
    # Warp only the columns and rows that the front covers.
    left, right = int(max(0, math.floor(min(x0, x1)) - 1)), int(min(width, math.ceil(max(x0, x1)) + 1))
    high, low = int(max(0, math.floor(min(top0, top1)) - 1)), int(min(height, math.ceil(max(foot0, foot1)) + 1))
    if right <= left or low <= high:
        return
    target -= np.array([left, high], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, target - np.float32(0.5))
    size = (right - left, low - high)
    seen = cv2.warpPerspective(front, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    window = picture[high:low, left:right]
    window += (seen - window) * mask(low - high, right - left, target)[..., None]


def _road(picture, view: View, day: Day, sunny: float, *, rng) -> None:
    u, v, footprint, first = view.ground(*picture.shape[:2])
    if rng.random() < 0.5:
        surface = materials.cobbles(u, v, footprint, from_hex(rng.choice(["7d776d", "6a6a6c", "8f8170"])), rng=rng)
    else:
        grey = from_hex(rng.choice(["55565a", "65625e", "4a4b50"]))
        surface = materials.ground(u, v, footprint, [lighter(grey, -0.1), grey, lighter(grey, 0.1)], rng=rng)
        dashes = smoothstep(0.09, 0.06, np.abs(u)) * ((v % 6.0) < 3.0)
        surface += (dashes * np.float32(0.7))[..., None] * (np.float32(0.65) - surface)
    pave = materials.tiles(u, v, footprint, [from_hex("a59d90"), from_hex("988f84")], size=0.5, rng=rng)
    kerb = np.float32(view.half_street - 2.0)
    matte = smoothstep(-0.04, 0.04, np.abs(u) - kerb)
    surface += matte[..., None] * (pave - surface)
    surface *= 1.0 - (np.float32(0.5) * np.exp(-(((np.abs(u) - kerb) / 0.12) ** 2)))[..., None]
    # The houses on one side cast their shadow on the road.
    reach = np.float32(rng.uniform(-0.7, 0.9) * view.half_street)
    shadow = smoothstep(-0.12, 0.12, reach - np.float32(sunny) * u + np.float32(1.5) * ((v % 17.0) > 9.0))
    surface *= 1.0 - shadow[..., None] * (1.0 - linear(mixed(day.shade, np.ones(3), 0.1)) * np.float32(0.9))
    picture[first:] = hazed(
        surface, np.broadcast_to(np.minimum(0.5, v / 260.0), v.shape), mixed(day.sky[2], day.shade, 0.3)
    )


def _street_trees(picture, view: View, day: Day, *, rng) -> None:
    height, width = picture.shape[:2]
    green = from_hex(rng.choice(plants.FOLIAGE[:6]))
    side = rng.choice([-1.0, 1.0])
    for z in np.arange(60.0, 7.0, -rng.uniform(7.0, 12.0)):
        f = view.focal * width / z
        tall = 6.0 * f
        if tall > 1.2 * height:
            break
        x = view.centre * width + side * (view.half_street - 1.4) * f
        tree = street_tree(tall, green, rng=rng)
        tree[..., :3] = hazed(tree[..., :3], min(0.6, z / 150.0), mixed(day.sky[2], day.shade, 0.3))
        paste(picture, tree, round(x - tree.shape[1] / 2), round(view.horizon + view.eye * f - tree.shape[0]))


def street_tree(size: float, green: Colour, *, rng: np.random.Generator) -> Rgba:
    """A round crown on a straight stem, `size` pixels tall."""
    n = max(8, round(size))
    width = max(6, round(n * 0.8))
    sheet = Sketch(n, width)
    stem = from_hex("4a3f34")
    sheet.polygon(
        np.array([[width * 0.47, n], [width * 0.485, n * 0.4], [width * 0.515, n * 0.4], [width * 0.53, n]]), stem
    )
    count = int(np.clip(n * 2.5, 60, 900))
    clumps = rng.uniform([0.24, 0.12], [0.76, 0.50], (9, 2))
    pick = np.sort(rng.integers(0, 9, count))
    around = rng.normal(0.0, 0.55, (count, 2))
    around /= np.maximum(1.0, np.linalg.norm(around, axis=-1, keepdims=True))
    centres = (clumps[pick] + around * [0.2, 0.14]) * [width, n]
    lift = -0.11 * around[:, 1] - 0.07 * around[:, 0] + rng.normal(0.0, 0.04, count)
    dabs(sheet, centres, max(1.0, n * 0.018), green, lift, rng=rng, slenderness=1.7)
    return sheet.rgba()


def hoarding(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """A wall with torn, overlapping posters with large type."""
    palette = Palette.draw(rng=rng)
    v, u = (a.astype(np.float32) * np.float32(3.0 / height) for a in np.mgrid[:height, :width])
    wall = from_hex(rng.choice(_WALLS))
    build = (materials.plaster, materials.bricks, materials.planks)[rng.integers(3)]
    picture = build(u, v, np.full_like(u, 3.0 / height), wall, rng=rng)
    longer = max(height, width)
    for _ in range(int(rng.integers(9, 22))):
        size = longer * 0.16 / (1.0 - rng.uniform(0.0, 0.9)) ** 0.45
        poster = _poster(round(size), palette, rng=rng)
        left, top = round(rng.uniform(-0.2, 0.95) * width), round(rng.uniform(-0.2, 0.9) * height)
        cast_shadow(
            picture,
            poster[..., 3],
            left + 1,
            top + max(1, round(size * 0.006)),
            softness=max(0.6, size * 0.008),
            strength=0.5,
        )
        paste(picture, poster, left, top)
    dirt = fractal(height, width, rng=rng, slope=2.3, cells=4, stretch=0.5)
    picture *= np.exp(np.float32(0.14) * dirt)[..., None]
    dapple(picture, rng=rng, strength=0.45)
    return picture


def _poster(wide: int, palette: Palette, *, rng: np.random.Generator) -> Rgba:
    """Type, bars and a round or framed motif on coloured paper with torn edges."""
    wide = max(12, wide)
    tall = round(wide * rng.uniform(1.1, 1.5))
    sheet = Sketch(tall, wide, supersample=2)
    paper = palette.any(rng=rng, accented=0.45)
    ink = palette.tone(0.05 if paper.mean() > 0.45 else 0.93, rng=rng)
    second = palette.accent(rng=rng)
    corner = np.array([[0.02, 0.02], [0.98, 0.02], [0.98, 0.98], [0.02, 0.98]]) + rng.normal(0.0, 0.004, (4, 2))
    sheet.polygon(corner * [wide, tall], paper)
    size = np.array([wide, tall])
    match rng.integers(4):
        case 0:
            centre = size * [rng.uniform(0.3, 0.7), rng.uniform(0.4, 0.6)]
            for k in range(int(rng.integers(1, 5))):
                sheet.disk(centre, wide * 0.36 * (1.0 - 0.24 * k), (second, paper, ink)[k % 3])
        case 1:
            for k in range(7):
                y = 0.34 + 0.07 * k
                bar = np.array([[0.1, y], [0.9, y - 0.12], [0.9, y - 0.075], [0.1, y + 0.045]])
                sheet.polygon(bar * size, mixed(second, ink, k / 7))
        case 2:
            hills = np.stack(
                [np.linspace(0.1, 0.9, 30), 0.62 - 0.16 * np.abs(np.sin(np.linspace(0, 5, 30) + rng.uniform(0, 6)))],
                axis=-1,
            )
            sheet.disk(size * [rng.uniform(0.3, 0.7), 0.42], wide * 0.15, second)
            sheet.polygon(np.concatenate([hills, [[0.9, 0.78], [0.1, 0.78]]]) * size, mixed(second, ink, 0.6))
        case _:
            for k in range(9):
                spot = np.array([0.2 + 0.3 * (k % 3), 0.36 + 0.17 * (k // 3)])
                sheet.polygon(
                    (spot + np.array([[-0.1, -0.06], [0.1, -0.06], [0.1, 0.06], [-0.1, 0.06]])) * size,
                    (second, ink, mixed(second, paper, 0.5))[int(rng.integers(3))],
                )
    face, weight = font(rng=rng)
    for y, share in ((0.17, 0.84), (0.86, 0.6), (0.93, 0.45)):
        text = word(rng=rng)
        capitals = min(wide * share / text_width(text, face, 1.0), tall * (0.11 if y < 0.5 else 0.035))
        sheet.text(text, np.array([wide * 0.08, tall * y + capitals / 2]), capitals, ink, font=face, weight=weight)
    rgba = sheet.rgba()
    creases = fractal(tall, wide, rng=rng, slope=2.4, cells=4)
    rgba[..., :3] *= np.exp(np.float32(0.07) * creases)[..., None]
    torn = smoothstep(2.0, 1.85, np.abs(fractal(tall, wide, rng=rng, slope=2.6, cells=3)))
    rgba[..., 3] *= torn
    return rgba


def bookshelf(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """Shelves of books. Some books lie or lean, and between some stands a vase or a fruit."""
    palette = Palette.draw(rng=rng)
    wood = from_hex(rng.choice(["5a3d26", "8a6542", "3a2a20", "c9b08a", "d9d2c4", "6a4a35"]))
    v, u = (a.astype(np.float32) * np.float32(1.4 / height) for a in np.mgrid[:height, :width])
    picture = materials.planks(
        v, u, np.full_like(u, 1.4 / height), lighter(wood, -0.12), width=0.3, rng=rng
    ) * np.float32(0.35)
    shelves = int(rng.integers(2, 5))
    pitch = height / shelves
    board = max(3, round(pitch * 0.07))
    start = rng.uniform(-0.5, 0.0) * pitch
    for s in range(shelves + 1):
        foot = round(start + (s + 1) * pitch - board)
        x = -rng.uniform(0.0, 0.1) * pitch
        while x < width:
            thing = rng.random()
            if thing < 0.05:
                ornament = crop_to_alpha(solids.vessel(max(16, round(pitch * rng.uniform(0.45, 0.7))), rng=rng))
                paste(picture, ornament, round(x + 0.04 * pitch), foot - ornament.shape[0])
                x += ornament.shape[1] + 0.10 * pitch
            elif thing < 0.09:
                x += rng.uniform(0.05, 0.3) * pitch
            else:
                x += _book(picture, x, foot, pitch - board, palette, rng=rng)
        shade = np.linspace(0.45, 1.0, max(2, round(pitch * 0.25)), dtype=np.float32)
        top = foot - round(pitch) + board
        strip = picture[max(top, 0) : max(top + len(shade), 0)]
        strip *= shade[len(shade) - len(strip) :, None, None]
        front = materials.planks(
            v[:board], u[:board], np.full((board, width), 1.4 / height, np.float32), wood, width=0.5, rng=rng
        )
        _put(picture, front * np.linspace(1.15, 0.8, board, dtype=np.float32)[:, None, None], foot, 0)
    dapple(picture, rng=rng, strength=0.4)
    return picture


def _book(picture, x: float, foot: int, room: float, palette: Palette, *, rng: np.random.Generator) -> float:
    """Draw one spine with its bands and title. Returns its width."""
    tall, wide = round(room * rng.uniform(0.62, 0.93)), max(4, round(room * rng.gamma(5.0, 0.022) + 0.02 * room))
    cloth = palette.any(rng=rng, accented=0.45)
    sheet = Sketch(wide, tall, supersample=2)
    sheet.polygon(np.array([[0, 0], [tall, 0], [tall, wide], [0, wide]]), cloth)
    ink = palette.tone(0.95 if cloth.mean() < 0.55 else 0.08, rng=rng)
    gilt = mixed(ink, from_hex("c9a24a"), 0.5)
    for at in rng.choice([0.05, 0.08, 0.22, 0.78, 0.90, 0.94], int(rng.integers(0, 5)), replace=False):
        sheet.stroke(np.array([[tall * at, 0], [tall * at, wide]]), gilt, max(1.0, tall * 0.006))
    if rng.random() < 0.25:
        label = np.array([[0.25, 0.1], [0.7, 0.1], [0.7, 0.9], [0.25, 0.9]]) * [tall, wide]
        sheet.polygon(label, mixed(palette.accent(rng=rng), ink, 0.3))
    if wide > 6:
        face, weight = font(rng=rng)
        title = word(rng=rng) + (" " + word(rng=rng) if rng.random() < 0.5 else "")
        capitals = min(wide * 0.42, tall * 0.6 / text_width(title, face, 1.0))
        sheet.text(
            title,
            np.array([tall * 0.16, wide / 2 + capitals / 2]),
            capitals,
            gilt if rng.random() < 0.6 else ink,
            font=face,
            weight=weight,
        )
    spine = np.rot90(sheet.rgba(), k=-1).copy()
    across = np.linspace(-1.0, 1.0, wide, dtype=np.float32)
    spine[..., :3] *= (0.35 + 0.75 * np.sqrt(np.maximum(1.02 - across**2, 0.0)))[None, :, None]
    spine[..., :3] *= np.exp(np.float32(0.10) * fractal(tall, wide, rng=rng, slope=1.8, cells=8))[..., None]
    paste(picture, spine, round(x), foot - tall)
    return wide + rng.uniform(0.0, 0.008) * room


def still_life(height: int, width: int, *, rng: np.random.Generator) -> Picture:
    """Fruit, vessels and flowers on a table in front of a wall, lit by a window."""
    palette = Palette.draw(rng=rng)
    table = height * rng.uniform(0.58, 0.72)
    wall = palette.tone(rng.uniform(0.25, 0.8), rng=rng)
    v, u = (a.astype(np.float32) * np.float32(2.2 / height) for a in np.mgrid[:height, :width])
    build = (materials.plaster, materials.plaster, materials.planks)[rng.integers(3)]
    picture = build(u, v, np.full_like(u, 2.2 / height), wall, rng=rng)
    _window_light(picture, rng=rng)
    _table_top(picture, table, palette, rng=rng)
    light = key_light(rng=rng)
    count = int(rng.integers(4, 9))
    feet = np.sort(rng.uniform(table + 0.04 * height, height * 0.97, count))
    for k, foot in enumerate(feet):
        near = (foot - table) / (height - table)
        size = height * (0.22 + 0.20 * near) * rng.uniform(0.7, 1.3)
        thing = _thing(size, light, rng=rng)
        x = width * ((k * 0.618 + rng.uniform(0.0, 0.2)) % 1.0)
        left, top = round(x - thing.shape[1] / 2), round(foot - thing.shape[0])
        _table_shadow(picture, thing[..., 3], left, round(foot), light, rng=rng)
        paste(picture, thing, left, top)
    return picture


def _thing(size: float, light, *, rng) -> Rgba:
    n = max(16, round(size))
    pick = rng.random()
    if pick < 0.45:
        return crop_to_alpha(solids.one_fruit(str(rng.choice(solids.FRUIT_KINDS)), round(n * 0.7), light, rng=rng))
    if pick < 0.85:
        return crop_to_alpha(solids.vessel(round(n * 1.35), rng=rng))
    return crop_to_alpha(plants.flowers(round(n * 1.6), rng=rng))


def _table_top(picture, table: float, palette: Palette, *, rng) -> None:
    height, width = picture.shape[:2]
    u, v, footprint, first = ground_plane(height, width, table - 0.35 * height, eye=0.5, focal=1.2)
    skip = round(table) - first
    u, v, footprint = u[skip:], v[skip:], footprint[skip:]
    if rng.random() < 0.6:
        wood = from_hex(rng.choice(["6a4628", "9a6f45", "3f2c20", "b89468", "7d756a"]))
        # Boards run along the table's edge.
        top = materials.planks(v, u, footprint, wood, width=0.11, rng=rng)
    elif rng.random() < 0.5:
        tint = palette.tone(0.85, rng=rng)
        top = materials.tiles(u, v, footprint, [tint, palette.accent(rng=rng)], size=0.05, rng=rng)
    else:
        stone = palette.tone(rng.uniform(0.3, 0.9), rng=rng)
        vein = noise_at(u * 4.0, v * 4.0, footprint * 4.0, rng=rng, octaves=7, gain=0.7)
        top = ramp(np.abs(vein) * 0.6, [lighter(stone, -0.25), lighter(stone, -0.05), stone, lighter(stone, 0.05)])
    picture[round(table) :] = top[: height - round(table)]
    edge = np.exp(
        -np.abs(np.arange(height, dtype=np.float32) - np.float32(table)) / np.float32(0.012 * height)
    ) * np.float32(0.45)
    picture *= 1.0 - edge[:, None, None]


def _window_light(picture, *, rng) -> None:
    """Add light that falls off from one side in place. Some walls get the shadow of window bars."""
    height, width = picture.shape[:2]
    x = np.linspace(0.0, 1.0, width, dtype=np.float32)[None, :]
    y = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None]
    if rng.random() < 0.5:
        x = x[:, ::-1]
    picture *= (1.15 - 0.75 * x - 0.15 * y)[..., None]
    if rng.random() < 0.6:
        u = x * np.float32(2.4) + y * np.float32(0.9) - np.float32(rng.uniform(0.2, 0.9))
        v = y * np.float32(1.7) + x * np.float32(0.35) - np.float32(rng.uniform(0.1, 0.4))
        inside = (
            smoothstep(0.0, 0.05, u) * smoothstep(1.0, 0.95, u) * smoothstep(0.0, 0.05, v) * smoothstep(1.0, 0.95, v)
        )
        bars = smoothstep(0.025, 0.06, np.abs(u - 0.5)) * smoothstep(
            0.02, 0.05, np.abs((v * 3.0) % 1.0 - 0.5) / 3.0 + 0.0
        )
        glow = inside * bars
        picture *= 1.0 + (glow * np.float32(0.9))[..., None] * np.array([1.0, 0.88, 0.66], np.float32)


def _table_shadow(picture, alpha: Field, left: int, foot: int, light, *, rng) -> None:
    """Draw the shadow of a matte on the table, away from the light, and the dark line of contact."""
    h, w = alpha.shape
    flat = cv2.resize(alpha, (w, max(2, round(h * 0.28))), interpolation=cv2.INTER_AREA)
    n = flat.shape[0]
    shear = np.float32(-np.sign(light[0]) * 0.55 * h / n)
    reach = math.ceil(abs(float(shear)) * n)
    matrix = np.array([[1.0, -shear, shear * n + (reach if shear < 0 else 0.0)], [0.0, 1.0, 0.0]])
    cast = cv2.warpAffine(flat, matrix, (w + reach, n), flags=cv2.INTER_LINEAR)
    x0 = left - (reach if shear < 0 else 0)
    cast_shadow(picture, cast, x0, foot - n, softness=max(0.8, 0.03 * h), strength=0.5)
    contact = np.zeros((max(2, round(h * 0.05)), w), np.float32)
    contact[:] = blurred(alpha[-max(2, h // 12) :].max(axis=0, keepdims=True), w * 0.02)
    cast_shadow(picture, contact, left, foot - contact.shape[0] // 2 - 1, softness=max(0.8, 0.02 * h), strength=0.6)
