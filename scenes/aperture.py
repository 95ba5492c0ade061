"""Aperture shapes inside the unit disk, and low-discrepancy point sets on them.

One rank-1 lattice on the unit square, ((i + 1/2) / n, frac(i / golden ratio^2)), is mapped onto every shape by a map
that keeps areas. On the disk the result is Vogel's spiral (Vogel 1979). On the other shapes the points are spaced as
evenly.

The lens coordinate is x right, y down. A highlight *behind* the focus plane shows the shape upright. A highlight in
front of the focus plane shows it turned by 180 degrees (`scenes.lens`).
"""

import base64
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

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


class Aperture(Protocol):
    """Shape of a lens opening inside the unit disk."""

    @property
    def area(self) -> float:
        """Area relative to the unit disk, in (0, 1]."""
        ...

    def warp(self, u: NDArray, v: NDArray) -> LensPoints:
        """Map points of the unit square to points of the shape. Equal areas become equal areas.

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

    @property
    def area(self) -> float:
        return 1.0

    def warp(self, u: NDArray, v: NDArray) -> NDArray:
        return _polar(np.sqrt(u), 2.0 * np.pi * v)

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

    def __post_init__(self):
        if not (is_number(self.inner_radius) and 0.0 <= self.inner_radius < 1.0):
            raise ValueError(f"inner_radius is {shown(self.inner_radius)}; it must lie in [0, 1)")

    @property
    def area(self) -> float:
        return 1.0 - self.inner_radius**2

    def warp(self, u: NDArray, v: NDArray) -> NDArray:
        return _polar(np.sqrt(self.inner_radius**2 + u * self.area), 2.0 * np.pi * v)

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

    def __post_init__(self):
        if self.transmission.ndim != 2 or self.transmission.dtype != np.uint8:
            raise ValueError(
                f"an aperture mask must be (h, w) uint8, not {self.transmission.shape} {self.transmission.dtype}"
            )
        if not self._density.any():
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
    def _density(self) -> NDArray[np.float64]:
        height, width = self.transmission.shape
        y = (np.arange(height) + 0.5) / height * 2.0 - 1.0
        x = (np.arange(width) + 0.5) / width * 2.0 - 1.0
        return np.where(np.add.outer(y**2, x**2) <= 1.0, self.transmission / 255.0, 0.0)

    @property
    def area(self) -> float:
        return float(self._density.mean() * 4.0 / np.pi)

    def warp(self, u: NDArray, v: NDArray) -> NDArray:
        height, width = self._density.shape
        # Inverse cumulative over the rows, then over the columns of the chosen row. Both are linear inside a cell.
        rows = self._density.sum(axis=1)
        y = _inverse_cumulative(rows, u)
        row = np.minimum(y.astype(int), height - 1)
        x = np.empty_like(y)
        for r in np.unique(row):
            x[row == r] = _inverse_cumulative(self._density[r], v[row == r])
        points = np.stack([x / width * 2.0 - 1.0, y / height * 2.0 - 1.0], axis=-1)
        # A cell whose centre is inside the disk may extend beyond it. Points there are moved to the rim, because no ray
        # may leave the blur radius.
        return points / np.maximum(1.0, np.linalg.norm(points, axis=-1, keepdims=True))

    def transmission_at(self, points: LensPoints) -> NDArray[np.float64]:
        x, y = points.T
        height, width = self._density.shape
        row = np.clip(((y + 1.0) / 2.0 * height).astype(int), 0, height - 1)
        column = np.clip(((x + 1.0) / 2.0 * width).astype(int), 0, width - 1)
        return np.where(np.hypot(x, y) <= 1.0, self._density[row, column], 0.0)

    def describe(self) -> dict:
        png = cv2.imencode(".png", self.transmission)[1]
        return {"shape": "mask", "png_base64": base64.b64encode(png.tobytes()).decode("ascii")}


def aperture_from(description: dict) -> Aperture:
    """The aperture of a description, as `Aperture.describe` returns it and recipes hold it.

    raises   ValueError that names the wrong shape, key or value
    """
    keys = dict(description)
    shape = keys.pop("shape", None)
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
        told = shown(description)
        raise ValueError(f"aperture {told}: the keys of a {shape} are {keys_of.get(shape, 'file')}") from error
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


def _polar(radius: NDArray, angle: NDArray) -> LensPoints:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def _inverse_cumulative(density: NDArray, p: NDArray) -> NDArray:
    """Positions in [0, len(density)) of the quantiles p of a piecewise constant density."""
    cumulative = np.concatenate([[0.0], np.cumsum(density)])
    p = p * cumulative[-1]
    cell = np.clip(np.searchsorted(cumulative, p, side="right") - 1, 0, len(density) - 1)
    return cell + (p - cumulative[cell]) / density[cell]
