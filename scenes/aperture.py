"""Aperture shapes inside the unit disk, and low-discrepancy point sets on them.

One rank-1 lattice on the unit square, ((i + 1/2) / n, frac(i / golden ratio^2)), is mapped onto every shape by a map
that keeps areas. On the disk the result is Vogel's spiral (Vogel 1979). On the other shapes the points are spaced as
evenly.

The lens coordinate is x right, y down. A highlight *behind* the focus plane shows the shape upright. A highlight in
front of the focus plane shows it turned by 180 degrees (`scenes.lens`).

`Character` changes how a shape passes light: brighter or darker towards its rim, in rings, and less of it towards the
corners of the frame.
"""

import base64
import math
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.documents import is_number, shown
from scenes.arrays import LensPoints

# The golden angle as a fraction of a turn.
_GOLDEN = (3.0 - np.sqrt(5.0)) / 2.0

# Angles per blade at which an outline is tabulated. The error of its inverse cumulative is below 1e-6 of the radius.
_OUTLINE_STEPS = 4096

_MASK_SIDE_MAX = 256
_PNG_SIDE_MAX = 8192

# Radii at which the light of a `Character` is tabulated: 80 for each of the finest rings.
_RADIAL_STEPS = 8192


class Aperture(Protocol):
    """Shape of a lens opening inside the unit disk."""

    @property
    def area(self) -> float:
        """Light that passes, relative to the open unit disk, in (0, 1]."""
        ...

    @property
    def is_round(self) -> bool:
        """Whether all directions from the centre are alike: both sides of focus, and all of the frame, then see the
        same shape."""
        ...

    def warp(self, u: NDArray, v: NDArray) -> LensPoints:
        """Map points of the unit square to points of the shape. Equal areas become equal shares of the light.

        u, v      (n,) coordinates in [0, 1)
        returns   (n, 2) float64 lens points
        """
        ...

    def transmission_at(self, points: LensPoints) -> NDArray[np.float64]:
        """Share of the light that passes at lens points: (n,) in [0, 1], 0 outside the shape."""
        ...

    def describe(self) -> dict:
        """Plain values that `aperture_from` turns back into an equal aperture."""
        ...


def aperture_points(aperture: Aperture, n: int, *, turn: float = 0.0) -> LensPoints:
    """The set of n lens points of an aperture: (n, 2) float64, equally weighted, deterministic.

    n      number of points, >= 1
    turn   added to the second coordinate, in [0, 1). It gives an independent set of the same quality; on the disk it
           rotates the spiral
    """
    i = np.arange(n)
    return aperture.warp((i + 0.5) / n, (i * _GOLDEN + turn) % 1.0)


@dataclass(frozen=True)
class Disk:
    """A round aperture."""

    is_round = True
    inner_radius = 0.0

    def outline(self, angle: NDArray) -> NDArray:
        """Radius of the outline at angles in radians: 1."""
        return np.ones_like(angle)

    @property
    def area(self) -> float:
        return 1.0

    def warp(self, u: NDArray, v: NDArray) -> NDArray:
        return _polar(np.sqrt(u), 2.0 * np.pi * v)

    def light_before(self, angle: float) -> float:
        """Turns, by light, from where `warp` begins to an angle: its v there, and a whole turn more for each."""
        return angle / (2.0 * math.pi)

    def transmission_at(self, points: LensPoints) -> NDArray[np.float64]:
        return (np.hypot(*points.T) <= 1.0).astype(np.float64)

    def describe(self) -> dict:
        return {"shape": "disk"}


@dataclass(frozen=True)
class Polygon:
    """Regular polygon of iris blades with circumradius 1.

    blades         number of blades, >= 3
    rotation_deg   angle of the first vertex from +x towards +y (clockwise as seen on the picture), degrees
    curvature      from 0 (straight blades) to 1 (full disk); the outline is (1 - curvature) polygon + curvature circle
    """

    blades: int
    rotation_deg: float = 0.0
    curvature: float = 0.0

    is_round = False
    inner_radius = 0.0

    def __post_init__(self):
        if not isinstance(self.blades, int) or self.blades < 3:
            raise ValueError(f"blades is {shown(self.blades)}; it must be a whole number of at least 3")
        if not is_number(self.rotation_deg):
            raise ValueError(f"rotation_deg is {shown(self.rotation_deg)}; it must be a finite number")
        if not (is_number(self.curvature) and 0.0 <= self.curvature <= 1.0):
            raise ValueError(f"curvature is {shown(self.curvature)}; it must lie in [0, 1]")

    def outline(self, angle: NDArray) -> NDArray:
        """Radius of the outline at angles in radians from +x towards +y."""
        half = np.pi / self.blades
        from_vertex = (angle - np.radians(self.rotation_deg)) % (2.0 * half)
        return (1.0 - self.curvature) * np.cos(half) / np.cos(from_vertex - half) + self.curvature

    @cached_property
    def _cumulative(self) -> tuple[NDArray, NDArray]:
        # Area swept from the first vertex on: the integral of rho^2 / 2.
        angle = np.linspace(0.0, 2.0 * np.pi, _OUTLINE_STEPS * self.blades + 1) + np.radians(self.rotation_deg)
        density = self.outline((angle[1:] + angle[:-1]) / 2.0) ** 2
        swept = np.concatenate([[0.0], np.cumsum(density)])
        return angle, swept * (angle[1] - angle[0]) / 2.0

    @property
    def area(self) -> float:
        return float(self._cumulative[1][-1] / np.pi)

    def warp(self, u: NDArray, v: NDArray) -> NDArray:
        angle, swept = self._cumulative
        theta = np.interp(v * swept[-1], swept, angle)
        return _polar(self.outline(theta) * np.sqrt(u), theta)

    def light_before(self, angle: float) -> float:
        return _light_before(angle, *self._cumulative)

    def transmission_at(self, points: LensPoints) -> NDArray[np.float64]:
        x, y = points.T
        return (np.hypot(x, y) <= self.outline(np.arctan2(y, x))).astype(np.float64)

    def describe(self) -> dict:
        return {
            "shape": "polygon",
            "blades": self.blades,
            "rotation_deg": self.rotation_deg,
            "curvature": self.curvature,
        }


@dataclass(frozen=True)
class Donut:
    """The ring-shaped aperture of a mirror lens: `inner_radius` <= |s| <= 1."""

    inner_radius: float

    is_round = True

    def __post_init__(self):
        if not (is_number(self.inner_radius) and 0.0 <= self.inner_radius < 1.0):
            raise ValueError(f"inner_radius is {shown(self.inner_radius)}; it must lie in [0, 1)")

    def outline(self, angle: NDArray) -> NDArray:
        """Radius of the outer outline at angles in radians: 1."""
        return np.ones_like(angle)

    @property
    def area(self) -> float:
        return 1.0 - self.inner_radius**2

    def warp(self, u: NDArray, v: NDArray) -> NDArray:
        return _polar(np.sqrt(self.inner_radius**2 + u * self.area), 2.0 * np.pi * v)

    def light_before(self, angle: float) -> float:
        return angle / (2.0 * math.pi)

    def transmission_at(self, points: LensPoints) -> NDArray[np.float64]:
        radius = np.hypot(*points.T)
        return ((self.inner_radius <= radius) & (radius <= 1.0)).astype(np.float64)

    def describe(self) -> dict:
        return {"shape": "donut", "inner_radius": self.inner_radius}


@dataclass(frozen=True, eq=False)
class Mask:
    """An aperture given by a picture on the square [-1, 1]^2. No light passes outside the unit disk.

    transmission   (h, w) uint8, row 0 at y = -1; 255 lets all light through, 0 none
    """

    transmission: NDArray[np.uint8]

    is_round = False

    def __post_init__(self):
        if self.transmission.ndim != 2 or self.transmission.dtype != np.uint8:
            raise ValueError(
                f"an aperture mask must be (h, w) uint8, not {self.transmission.shape} {self.transmission.dtype}"
            )
        if not self.density.any():
            raise ValueError("the aperture mask lets no light through inside the unit disk")

    @classmethod
    def from_image(cls, grey: NDArray[np.uint8]) -> "Mask":
        """The mask of a grey picture, padded with 0 to a square and reduced to at most 256 px a side."""
        height, width = grey.shape
        side = max(height, width)
        y, x = (side - height) // 2, (side - width) // 2
        grey = np.pad(grey, ((y, side - height - y), (x, side - width - x)))
        scale = _MASK_SIDE_MAX / side
        if scale >= 1.0:
            return cls(grey)
        return cls(np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8))

    @cached_property
    def square_radius(self) -> NDArray[np.float64]:
        """(h, w) of the centre of each cell."""
        height, width = self.transmission.shape
        y = (np.arange(height) + 0.5) / height * 2.0 - 1.0
        x = (np.arange(width) + 0.5) / width * 2.0 - 1.0
        return np.add.outer(y**2, x**2)

    @cached_property
    def density(self) -> NDArray[np.float64]:
        """(h, w) transmission in [0, 1], 0 outside the unit disk."""
        return np.where(self.square_radius <= 1.0, self.transmission / 255.0, 0.0)

    @property
    def area(self) -> float:
        return float(self.density.mean() * 4.0 / np.pi)

    def warp(self, u: NDArray, v: NDArray) -> NDArray:
        return _points_of_density(self.density, u, v)

    def transmission_at(self, points: LensPoints) -> NDArray[np.float64]:
        x, y = points.T
        height, width = self.density.shape
        row = np.clip(((y + 1.0) / 2.0 * height).astype(int), 0, height - 1)
        column = np.clip(((x + 1.0) / 2.0 * width).astype(int), 0, width - 1)
        return np.where(np.hypot(x, y) <= 1.0, self.density[row, column], 0.0)

    def describe(self) -> dict:
        png = cv2.imencode(".png", self.transmission)[1]
        return {"shape": "mask", "png_base64": base64.b64encode(png.tobytes()).decode("ascii")}


Shape = Disk | Polygon | Donut | Mask


@dataclass(frozen=True)
class Character:
    """A shape that does not pass light evenly, as lenses that are not perfect do.

    shape           of the opening
    spherical       brightness 1 + spherical (2 rho^2 - 1) at the distance rho from the centre: 1 is a soap bubble,
                    dark inside, -1 a creamy disk that ends in nothing, 0 is even. Spherical aberration does this, and
                    the other way round on the other side of focus, which this does not: real lenses do
                    (`scenes.thick_lens`)
    rings           number of rings of an onion, from the centre to the rim, as moulded aspheres have them
    ring_contrast   their brightness is 1 + ring_contrast cos(2 pi rings rho), in [0, 1]
    cat_eye         how far a second stop, round and of the size of the unit disk, is moved at the corners of the frame,
                    in radii, from 0 to CAT_EYE_MAX; between them and the centre by as much as the distance says.
                    Discs of light become lemons that point around the centre of the frame (`stopped_at`)
    """

    shape: Shape
    spherical: float = 0.0
    rings: float = 0.0
    ring_contrast: float = 0.0
    cat_eye: float = 0.0

    def __post_init__(self):
        for key, low, high in (
            ("spherical", -1.0, 1.0),
            ("rings", 0.0, RINGS_MAX),
            ("ring_contrast", 0.0, 1.0),
            ("cat_eye", 0.0, CAT_EYE_MAX),
        ):
            value = getattr(self, key)
            if not (is_number(value) and low <= value <= high):
                raise ValueError(f"{key} is {shown(value)}; it must lie in [{low:g}, {high:g}]")

    @property
    def is_round(self) -> bool:
        return self.shape.is_round and self.cat_eye == 0.0

    def brightness(self, square_radius: NDArray) -> NDArray:
        """Of the light at squares of the distance from the centre, of any shape; its mean over the unit disk is 1."""
        return self._brightness(square_radius) / self._table[1][-1]

    def light_within(self, square_radius: NDArray) -> NDArray:
        """Share of the light of a unit disk that is within distances from its centre, whose squares are given."""
        at, light = self._table
        return np.interp(square_radius, at, light) / light[-1]

    def _brightness(self, square_radius: NDArray) -> NDArray:
        rings = np.cos(2.0 * np.pi * self.rings * np.sqrt(square_radius))
        return (1.0 + self.spherical * (2.0 * square_radius - 1.0)) * (1.0 + self.ring_contrast * rings)

    @cached_property
    def _table(self) -> tuple[NDArray, NDArray]:
        """Squares of radii, and the light within them. The radii are evenly spaced, as the rings are."""
        at = np.linspace(0.0, 1.0, _RADIAL_STEPS + 1) ** 2
        middle = (np.sqrt(at[1:]) + np.sqrt(at[:-1])) ** 2 / 4.0
        return at, np.concatenate([[0.0], np.cumsum(self._brightness(middle) * np.diff(at))])

    @property
    def _brightest(self) -> float:
        return float(self._brightness(self._table[0]).max())

    @property
    def area(self) -> float:
        if isinstance(self.shape, Mask):
            return float((self.shape.density * self._brightness(self.shape.square_radius)).mean() * 4.0 / np.pi) / (
                self._brightest
            )
        _, light = self._in_directions
        return float(light[-1] / (2.0 * np.pi) * self._table[1][-1] / self._brightest)

    @cached_property
    def _in_directions(self) -> tuple[NDArray, NDArray]:
        """Angles over a turn, and the light between the first of them and each, in units of the unit disk's, over a
        turn 2 pi."""
        assert not isinstance(self.shape, Mask)
        steps = _OUTLINE_STEPS * (self.shape.blades if isinstance(self.shape, Polygon) else 1)
        first = math.radians(self.shape.rotation_deg) if isinstance(self.shape, Polygon) else 0.0
        angle = np.linspace(0.0, 2.0 * np.pi, steps + 1) + first
        outline = self.shape.outline((angle[1:] + angle[:-1]) / 2.0)
        density = self.light_within(outline**2) - self.light_within(np.asarray(self.shape.inner_radius**2))
        return angle, np.concatenate([[0.0], np.cumsum(density)]) * (angle[1] - angle[0])

    def warp(self, u: NDArray, v: NDArray) -> LensPoints:
        if isinstance(self.shape, Mask):
            return _points_of_density(self.shape.density * self._brightness(self.shape.square_radius), u, v)
        angle, light = self._in_directions
        theta = np.interp(v * light[-1], light, angle)
        inner = self.light_within(np.asarray(self.shape.inner_radius**2))
        outer = self.light_within(self.shape.outline(theta) ** 2)
        at, within = self._table
        return _polar(np.sqrt(np.interp((inner + u * (outer - inner)) * within[-1], within, at)), theta)

    def light_before(self, angle: float) -> float:
        return _light_before(angle, *self._in_directions)

    def transmission_at(self, points: LensPoints) -> NDArray[np.float64]:
        square_radius = np.minimum(np.square(points).sum(axis=-1), 1.0)
        return self.shape.transmission_at(points) * self._brightness(square_radius) / self._brightest

    def stopped_at(self, points: NDArray, field: NDArray) -> NDArray[np.bool_]:
        """Whether the second stop is in the way of lens points (..., 2), seen from places in the frame.

        field   (..., 2) from the centre of the frame, in units of the distance of its corners
        """
        return np.square(points + self.cat_eye * field).sum(axis=-1) > 1.0

    def describe(self) -> dict:
        character = {key: getattr(self, key) for key in CHARACTER if getattr(self, key) != 0.0}
        return {**self.shape.describe(), **character}


# What any shape may have besides its own keys, and how much of it. With stops farther apart than a radius the chief ray
# is stopped, and a pixel at the border would get no light of what is in the frame.
CHARACTER = ("spherical", "rings", "ring_contrast", "cat_eye")
RINGS_MAX, CAT_EYE_MAX = 100.0, 1.0


def cat_eye_of(aperture: Aperture) -> float:
    """How far the second stop is moved at the corners of the frame, in radii; 0 without one."""
    return aperture.cat_eye if isinstance(aperture, Character) else 0.0


def aperture_from(description: dict) -> Aperture:
    """The aperture of a description, as `Aperture.describe` returns it and recipes hold it.

    raises   ValueError that names the wrong shape, key or value
    """
    keys = dict(description)
    character = {key: keys.pop(key) for key in CHARACTER if key in keys}
    shape = _shape_from(keys.pop("shape", None), keys, description)
    return Character(shape, **character) if character else shape


def _shape_from(shape: Any, keys: dict, description: dict) -> Shape:
    try:
        if shape == "disk":
            return Disk(**keys)
        if shape == "polygon":
            return Polygon(**keys)
        if shape == "donut":
            return Donut(**keys)
        if shape == "mask":
            return Mask(_decode_mask(**keys))
    except TypeError as error:
        keys_of = {"disk": "none", "polygon": "blades, rotation_deg, curvature", "donut": "inner_radius"}
        known = f"{keys_of.get(shape, 'file')}, and {', '.join(CHARACTER)}"
        raise ValueError(f"aperture {shown(description)}: the keys of a {shape} are {known}") from error
    raise ValueError(f"aperture shape {shown(shape)} is unknown; it must be disk, polygon, donut or mask")


def _decode_mask(png_base64: str) -> NDArray[np.uint8]:
    try:
        png = base64.b64decode(png_base64)
        # The sides in its header, before they are allocated.
        is_small = len(png) > 24 and max(struct.unpack(">II", png[16:24])) <= _PNG_SIDE_MAX
        grey = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE) if is_small else None
    except (ValueError, cv2.error):
        grey = None
    if grey is None:
        raise ValueError("the aperture mask is not a PNG picture in base64")
    return np.asarray(grey, np.uint8)


def _light_before(angle: float, angles: NDArray, light: NDArray) -> float:
    """Turns and parts of a turn, by light, from the first of the angles of a turn to any angle."""
    turns, rest = divmod(angle - angles[0], 2.0 * math.pi)
    return turns + float(np.interp(angles[0] + rest, angles, light) / light[-1])


def _polar(radius: NDArray, angle: NDArray) -> LensPoints:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def _points_of_density(density: NDArray[np.float64], u: NDArray, v: NDArray) -> LensPoints:
    """Points of a piecewise constant density (h, w) on the square [-1, 1]^2, inside the unit disk."""
    height, width = density.shape
    # Inverse cumulative over the rows, then over the columns of the chosen row. Both are linear inside a cell.
    y = _inverse_cumulative(density.sum(axis=1), u)
    row = np.minimum(y.astype(int), height - 1)
    x = np.empty_like(y)
    for r in np.unique(row):
        x[row == r] = _inverse_cumulative(density[r], v[row == r])
    points = np.stack([x / width * 2.0 - 1.0, y / height * 2.0 - 1.0], axis=-1)
    # A cell whose centre is inside the disk may extend beyond it. Points there are moved to the rim, because no ray may
    # leave the blur radius.
    return points / np.maximum(1.0, np.linalg.norm(points, axis=-1, keepdims=True))


def _inverse_cumulative(density: NDArray, p: NDArray) -> NDArray:
    """Positions in [0, len(density)) of the quantiles p of a piecewise constant density."""
    cumulative = np.concatenate([[0.0], np.cumsum(density)])
    p = p * cumulative[-1]
    cell = np.clip(np.searchsorted(cumulative, p, side="right") - 1, 0, len(density) - 1)
    return cell + (p - cumulative[cell]) / density[cell]
