"""Rays through centred surfaces: exact in float64, and paraxial with the quantities that follow.

Light travels along +z. Lengths are in one unit, whichever it is. A surface of curvature c, conic constant k and
aspheric coefficients a_4, a_6, ... has the sag

    z(r) = c r^2 / (1 + sqrt(1 - (1 + k) c^2 r^2)) + a_4 r^4 + a_6 r^6 + ...

measured from its vertex. c is positive where the centre of curvature lies beyond the surface. Rays that go the other
way are traced through the mirrored system (`OpticalSystem.reversed`), in which z changes its sign.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike, NDArray

# Newton's steps onto an asphere, from the conic beneath it. Each doubles the digits.
NEWTON_STEPS = 6


@dataclass(frozen=True, eq=False)
class OpticalSystem:
    """n surfaces at one wavelength, in the order in which light meets them.

    vertex          (n,) positions on the axis
    curvature       (n,) 1 / radius; 0 is flat
    conic           (n,) 0 is a sphere, -1 a paraboloid
    asphere         (n, m) coefficients of r^4, r^6, ...
    index           (n + 1,) refractive indices: before the first surface, and after each
    semi_diameter   (n,) rays farther from the axis are stopped
    stop            number of the surface that is, or holds, the aperture stop
    """

    vertex: NDArray[np.float64]
    curvature: NDArray[np.float64]
    conic: NDArray[np.float64]
    asphere: NDArray[np.float64]
    index: NDArray[np.float64]
    semi_diameter: NDArray[np.float64]
    stop: int

    def __len__(self) -> int:
        return len(self.vertex)

    def part(self, first: int, end: int) -> Self:
        """The surfaces from `first` on, before `end`, where they are."""
        here = slice(first, end)
        return type(self)(
            self.vertex[here],
            self.curvature[here],
            self.conic[here],
            self.asphere[here],
            self.index[first : end + 1],
            self.semi_diameter[here],
            self.stop - first,
        )

    def reversed(self) -> Self:
        """The mirror image in the plane z = 0: light that goes back through the lens goes forward through this."""
        back = slice(None, None, -1)
        return type(self)(
            -self.vertex[back],
            -self.curvature[back],
            self.conic[back],
            -self.asphere[back],
            self.index[back],
            self.semi_diameter[back],
            len(self) - 1 - self.stop,
        )

    @cached_property
    def paraxial(self) -> "Paraxial":
        """Focal length, principal planes and pupils."""
        return Paraxial(self)


class Rays(NamedTuple):
    """Rays after the last surface.

    position    (..., 3) where they leave it
    direction   (..., 3) of length 1
    at_stop     (..., 2) where they pass the stop, x and y
    passed      (...) whether they pass every rim; the other values of a ray that did not are nan or mean nothing
    """

    position: Float64[np.ndarray, "*rays 3"]
    direction: Float64[np.ndarray, "*rays 3"]
    at_stop: Float64[np.ndarray, "*rays 2"]
    passed: NDArray[np.bool_]


def trace(system: OpticalSystem, position: ArrayLike, direction: ArrayLike, *, rims: bool = True) -> Rays:
    """Trace rays by Snell's law, surface after surface.

    position    (..., 3) of any point on each ray
    direction   (..., 3) of length 1, with z > 0
    rims        False: rays pass outside the surfaces' semi-diameters, as long as they meet and leave the surfaces
    """
    p, d = np.broadcast_arrays(np.asarray(position, np.float64), np.asarray(direction, np.float64))
    passed = np.ones(p.shape[:-1], bool)
    at_stop = np.full((*p.shape[:-1], 2), np.nan)
    # Rays that miss a surface, or are reflected in glass, go on as nan.
    with np.errstate(invalid="ignore", divide="ignore"):
        for i in range(len(system)):
            p, normal = _meet(system, i, p, d)
            if rims:
                passed &= np.square(p[..., :2]).sum(axis=-1) <= system.semi_diameter[i] ** 2
            if i == system.stop:
                at_stop = p[..., :2]
            d = refract(d, normal, system.index[i] / system.index[i + 1])
            passed &= d[..., 2] > 0.0
    return Rays(p, d, at_stop, passed)


def refract(direction: NDArray, normal: NDArray, ratio: float) -> NDArray:
    """Snell's law for unit vectors: (..., 3) after the surface, nan at total reflection.

    normal   (..., 3) of length 1, on the side to which light goes
    ratio    n / n', of the index before the surface to that after it
    """
    cosine = (direction * normal).sum(axis=-1, keepdims=True)
    cosine_after = np.sqrt(1.0 - ratio**2 * (1.0 - cosine**2))
    return ratio * direction + (cosine_after - ratio * cosine) * normal


def _meet(system: OpticalSystem, i: int, p: NDArray, d: NDArray) -> tuple[NDArray, NDArray]:
    """Where rays meet surface i, and its unit normal there."""
    c, k, asphere = system.curvature[i], 1.0 + system.conic[i], system.asphere[i]
    # Go to the plane of the vertex first: distances along the ray are short then, and keep their digits.
    p = p + (system.vertex[i] - p[..., 2:]) / d[..., 2:] * d
    x, y, z = np.moveaxis(p, -1, 0)
    dx, dy, dz = np.moveaxis(d, -1, 0)
    # The root of the conic's quadratic equation that is near the vertex, without cancellation as c goes to 0.
    half = dz - c * (x * dx + y * dy)
    along = (
        c * (x * x + y * y) / (half + np.sqrt(half**2 - c * (dx * dx + dy * dy + k * dz * dz) * c * (x * x + y * y)))
    )
    z = z - system.vertex[i]
    if asphere.any():
        for _ in range(NEWTON_STEPS):
            r2 = np.square(x + along * dx) + np.square(y + along * dy)
            sag, slope = _sag_and_slope(r2, c, k, asphere)
            towards = (x + along * dx) * dx + (y + along * dy) * dy
            along = along - (z + along * dz - sag) / (dz - slope * towards)
    p = p + along[..., None] * d
    r2 = np.square(p[..., :2]).sum(axis=-1, keepdims=True)
    if asphere.any():
        slope = _sag_and_slope(r2, c, k, asphere)[1]
        normal = np.concatenate([-slope * p[..., :2], np.ones_like(r2)], axis=-1)
    else:
        upright = 1.0 - c * k * (p[..., 2:] - system.vertex[i])
        normal = np.concatenate([-c * p[..., :2], np.where(upright > 0.0, upright, np.nan)], axis=-1)
    return p, normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def _sag_and_slope(r2: NDArray, c: float, k: float, asphere: NDArray) -> tuple[NDArray, NDArray]:
    """z(r), and its derivative divided by r, at r^2."""
    root = np.sqrt(1.0 - k * c * c * r2)
    powers = [r2 ** (j + 1) for j in range(len(asphere) + 1)]  # r^2, r^4, ...
    sag = c * r2 / (1.0 + root) + sum(a * power for a, power in zip(asphere, powers[1:], strict=True))
    slope = c / root + sum(2 * (j + 2) * a * powers[j] for j, a in enumerate(asphere))
    return sag, slope


class Paraxial:
    """Rays close to the axis: dn u = -y c dn at every surface. Positions are on the axis, as those of the vertices."""

    def __init__(self, system: OpticalSystem):
        self._system = system
        heights, slopes = paraxial_ray(system, 1.0, 0.0)
        backward, backward_slopes = paraxial_ray(system.reversed(), 1.0, 0.0)
        if abs(slopes[-1]) < 1e-12 * max(1.0, float(np.abs(system.curvature).max())):
            raise ValueError("the lens has no power: parallel rays leave it in parallel")
        self.focal_length = float(-1.0 / slopes[-1])
        self.rear_focus = float(system.vertex[-1] - heights[-1] / slopes[-1])
        self.front_focus = float(system.vertex[0] + backward[-1] / backward_slopes[-1])
        self.rear_principal = self.rear_focus - self.focal_length
        self.front_principal = self.front_focus + self.focal_length
        before, behind = system.part(0, system.stop).reversed(), system.part(system.stop, len(system))
        radius = float(system.semi_diameter[system.stop])
        position, magnification = _axial_image(before, -float(system.vertex[system.stop]))
        self.entrance_pupil, self.entrance_pupil_radius = -position, radius * abs(magnification)
        self.exit_pupil, magnification = _axial_image(behind, float(system.vertex[system.stop]))
        self.exit_pupil_radius = radius * abs(magnification)

    @property
    def back_focal_distance(self) -> float:
        """From the last vertex to the rear focus."""
        return self.rear_focus - float(self._system.vertex[-1])

    @property
    def f_number(self) -> float:
        """Focal length over the diameter of the entrance pupil."""
        return self.focal_length / (2.0 * self.entrance_pupil_radius)

    @property
    def petzval_radius(self) -> float:
        """Radius of the image of a flat object without astigmatism. Negative: it curves towards the lens."""
        index = self._system.index
        petzval_sum = (self._system.curvature * np.diff(index) / (index[1:] * index[:-1])).sum()
        return float(-1.0 / petzval_sum) if petzval_sum else np.inf

    def image_of(self, position: float) -> tuple[float, float]:
        """Where a point of the axis is imaged, and the magnification. -inf is infinitely far before the lens."""
        if np.isneginf(position):
            return self.rear_focus, 0.0
        from_focus = self.front_focus - position
        # Newton: x x' = f^2, magnification -f / x.
        return self.rear_focus + self.focal_length**2 / from_focus, -self.focal_length / from_focus


def paraxial_ray(system: OpticalSystem, height: float, slope: float) -> tuple[NDArray, NDArray]:
    """Heights (n,) at the surfaces, and slopes (n + 1,) before the first and after each. `height` is at the first."""
    heights, slopes = np.empty(len(system)), np.empty(len(system) + 1)
    slopes[0] = slope
    for i, (c, n, after) in enumerate(zip(system.curvature, system.index[:-1], system.index[1:], strict=True)):
        if i:
            height = height + slopes[i] * (system.vertex[i] - system.vertex[i - 1])
        heights[i] = height
        slopes[i + 1] = (n * slopes[i] - height * c * (after - n)) / after
    return heights, slopes


def _axial_image(system: OpticalSystem, position: float) -> tuple[float, float]:
    """Image of an axial point at `position` before the first surface or on it, and the magnification."""
    if not len(system):
        return position, 1.0
    heights, slopes = paraxial_ray(system, float(system.vertex[0]) - position, 1.0)
    if slopes[-1] == 0.0:
        return np.inf, np.inf
    # n u times the size of the object stays what it is (Lagrange).
    return float(system.vertex[-1] - heights[-1] / slopes[-1]), float(system.index[0] / (system.index[-1] * slopes[-1]))


class Seidel(NamedTuple):
    """Wavefront sums S_I to S_V of the third order, of a whole lens or (n,) of its surfaces, in units of length."""

    spherical: NDArray[np.float64]
    coma: NDArray[np.float64]
    astigmatism: NDArray[np.float64]
    petzval: NDArray[np.float64]
    distortion: NDArray[np.float64]


def seidel(system: OpticalSystem, half_field_rad: float) -> Seidel:
    """The Seidel sums for an object at infinity, (n,) by surface (Welford, Aberrations of Optical Systems, ch. 8).

    The marginal ray passes the rim of the stop. The chief ray has the slope of `half_field_rad`. Along the axis, rays
    focus at -S / (2 u'^2) from the paraxial focus, with u' the slope of the marginal ray in the image: S is S_I for
    the marginal ray, S_III + S_IV for the sagittal and 3 S_III + S_IV for the tangential focus.
    """
    of = system.paraxial
    y, u = paraxial_ray(system, of.entrance_pupil_radius, 0.0)
    slope = np.tan(half_field_rad)
    y_chief, u_chief = paraxial_ray(system, -slope * (of.entrance_pupil - system.vertex[0]), slope)
    c, n, after = system.curvature, system.index[:-1], system.index[1:]
    a, a_chief = n * (u[:-1] + y * c), n * (u_chief[:-1] + y_chief * c)
    lagrange = a_chief * y - a * y_chief
    change = u[1:] / after - u[:-1] / n
    step, square = 1.0 / after - 1.0 / n, 1.0 / after**2 - 1.0 / n**2
    # A conic or an r^4 term adds to the sphere; its share of the others follows from the height of the chief ray.
    a_4 = system.asphere[:, 0] if system.asphere.shape[1] else np.zeros(len(system))
    figure = (system.conic * c**3 + 8.0 * a_4) * (after - n) * y
    return Seidel(
        spherical=-(a**2) * y * change + figure * y**3,
        coma=-a * a_chief * y * change + figure * y**2 * y_chief,
        astigmatism=-(a_chief**2) * y * change + figure * y * y_chief**2,
        petzval=-(lagrange**2) * c * step,
        # (S_III + S_IV) a_chief / a, written without the division.
        distortion=a_chief * (c * step * y_chief * (2.0 * a_chief * y - a * y_chief) - a_chief**2 * y * square)
        + figure * y_chief**3,
    )
