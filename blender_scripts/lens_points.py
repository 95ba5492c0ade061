"""The lens points from which a light field is rendered: one set for all apertures of a stack.

The apertures of a stack have one shape and several sizes, and the smallest is a twenty-fifth of the largest in area.
Evenly spaced views would give it few. The views are therefore denser towards the middle. Each aperture takes the mean
of the views inside it with weights w = T / q, where T is its transmission and q the density of the views.

The density is chosen by error. If every view has noise of the same variance, the mean over an aperture of area C has
the variance of one view times the integral of 1 / (C^2 q) over the aperture. The sum over all apertures is least for

    q proportional to sqrt(sum of 1 / C^2 over the apertures that contain the point)

by the inequality of Cauchy and Schwarz. q is constant between the rims of neighbouring apertures. With five radii in
equal steps, the variances are those of 0.30 N, 0.40 N, 0.48 N, 0.52 N and 0.49 N evenly spaced views, from the smallest
aperture to the largest. A uniform density would give 0.04 N to the smallest.

The points are the first of an endless sequence, so that their number can grow: (k a, k a^2) mod 1, with a the inverse
of the plastic number (Roberts 2018), mapped onto the disk. Points at which no aperture is open are left out. Even and
odd k are two sets that are as well spread. They give two estimates of every picture, whose difference tells the noise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.aperture import Aperture
from scenes.arrays import LensPoints

# The largest number of views, as of the tracer's lens points.
VIEWS_MAX = 16384

# Distance of neighbouring lens points on the sensor at the largest blur radius, in pixels. Blurred by the pixel filter,
# points at this distance make a bright light a filled disk.
_SPACING_PX = 1.5

# The part of the sequence that is looked at is doubled at most so often.
_DOUBLINGS_MAX = 8

# 1 / p and 1 / p^2 for the plastic number p, the real root of p^3 = p + 1.
_PLASTIC = np.array([0.7548776662466927, 0.5698402909980532])

# Two irrational numbers that are independent of these, for the offsets of the views inside a pixel.
_OFFSETS = np.sqrt([2.0, 3.0])


@dataclass(frozen=True, eq=False)
class NestedLensPoints:
    """Lens points for several sizes of an aperture.

    points     (VIEWS_MAX, 2) float64 in the unit disk, the largest aperture
    weights    (VIEWS_MAX, levels) float64 >= 0, of every view for every aperture. They are not normalized
    half       (VIEWS_MAX,) int64, 0 or 1: the set that a view belongs to
    offset_px  (VIEWS_MAX, 2) float64 in [-1/2, 1/2): the views' offsets inside a pixel, evenly spread too
    density    smallest number of points per unit of the disk's area and per view, where an aperture is open
    """

    points: LensPoints
    weights: NDArray[np.float64]
    half: NDArray[np.int64]
    offset_px: NDArray[np.float64]
    density: float

    @property
    def least_views(self) -> int:
        """The smallest number of views of which both halves have a view in every aperture."""
        first = [((self.weights > 0.0) & (self.half == half)[:, None]).argmax(axis=0).max() for half in (0, 1)]
        return 1 + int(max(first))

    def filling_views(self, blur_radius_px: float) -> int:
        """The number of views that make a bright point a filled disk at the largest blur radius, at most VIEWS_MAX."""
        views = math.ceil((blur_radius_px / _SPACING_PX) ** 2 / self.density)
        return max(self.least_views, min(VIEWS_MAX, views))


def nested_lens_points(aperture: Aperture, radii: Sequence[float]) -> NestedLensPoints:
    """The lens points of a stack.

    radii   of the apertures, > 0, in any order and unit
    """
    relative = np.asarray(radii, np.float64) / max(radii)
    # The disk is divided into rings by the rims of the apertures. Squared radii are areas relative to the disk.
    rims = np.concatenate([[0.0], np.unique(relative) ** 2])
    contains = relative**2 >= rims[1:, None]
    ring_density = np.sqrt((contains / relative**4).sum(axis=1))
    views_inside = np.concatenate([[0.0], np.cumsum(ring_density * np.diff(rims))])
    ring_density /= views_inside[-1]
    views_inside /= views_inside[-1]

    # A shape that fills little of the disk takes a longer part of the sequence.
    for length in VIEWS_MAX * 2 ** np.arange(_DOUBLINGS_MAX):
        k = np.arange(length)
        u, v = np.outer(_PLASTIC, k + 0.5) % 1.0
        # Inside a ring the squared radius is linear in the share of the views.
        squared_radius = np.interp(u, views_inside, rims)
        angle = 2.0 * np.pi * v
        points = np.sqrt(squared_radius)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        density = ring_density[np.searchsorted(rims[1:-1], squared_radius)]
        weights = np.stack([aperture.transmission_at(points / r) for r in relative], axis=-1) / density[:, None]
        is_open = weights.any(axis=1)
        if is_open.sum() >= VIEWS_MAX:
            break
    else:
        raise ValueError(f"aperture {aperture.describe()} lets too little light through")
    least_density = density[is_open].min() / math.pi / is_open.mean()
    taken = np.flatnonzero(is_open)[:VIEWS_MAX]
    return NestedLensPoints(points[taken], weights[taken], taken % 2, _offsets_px(), float(least_density))


def pinhole_points() -> NestedLensPoints:
    """Views from one point, with one weight and the offsets of all other views."""
    k = np.arange(VIEWS_MAX)
    return NestedLensPoints(np.zeros((VIEWS_MAX, 2)), np.ones((VIEWS_MAX, 1)), k % 2, _offsets_px(), math.inf)


def _offsets_px() -> NDArray[np.float64]:
    return np.outer(np.arange(VIEWS_MAX) + 0.5, _OFFSETS) % 1.0 - 0.5
