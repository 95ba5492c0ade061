"""Point spread functions of a lens: what a point of light becomes, by rays that go from the point to the sensor.

The tracer goes the other way, from the sensor to the scene. Both must agree, since light can go back the way it came.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scenes.aperture import Disk, aperture_points
from scenes.optics import trace
from scenes.thick_lens import ThickLens

# Rays across the entrance pupil that find where light passes, and how far beyond the paraxial pupil they look: pupils
# of wide lenses move and grow off the axis.
_ACROSS, _BEYOND = 65, 2.0


class Spot(NamedTuple):
    """Where the rays of one point of light meet the sensor.

    image     (n, 2) in the frame, pixels
    weight    (n) share of the light
    """

    image: NDArray[np.float64]
    weight: NDArray[np.float64]


def spot(
    lens: ThickLens,
    image: tuple[float, float],
    disparity: float,
    *,
    rays: int = 20_000,
    wavelength_um: float | None = None,
) -> Spot:
    """The spot diagram of a point that the pinhole picture has at `image`, in pixels, at a disparity.

    Only rays that pass are returned. Their weights sum to the light of the point, relative to what enters the paraxial
    pupil from a point in the middle of the frame.
    """
    system = lens.system if wavelength_um is None else lens.prescription.system(wavelength_um)
    paraxial = lens.system.paraxial
    middle = np.array([lens.width_px, lens.height_px]) / 2.0
    in_scene = (np.asarray(image) - middle) / lens.chief_distance_px

    def arrived(at_pupil: NDArray) -> tuple[NDArray, NDArray]:
        # q = F (t + p d), with z towards the sensor and x as in the frame.
        slope = in_scene - at_pupil * disparity * lens.per_mm
        direction = np.concatenate([-slope, np.ones((len(slope), 1))], axis=-1)
        cosine = 1.0 / np.linalg.norm(direction, axis=-1)
        start = np.concatenate([at_pupil, np.full((len(at_pupil), 1), paraxial.entrance_pupil)], axis=-1)
        traced = trace(system, start, direction * cosine[:, None])
        on_iris = np.nan_to_num(traced.at_stop / system.semi_diameter[system.stop], nan=2.0)
        weight = np.where(traced.passed, lens.aperture.transmission_at(on_iris) * cosine**4, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = traced.direction[:, :2] / traced.direction[:, 2:]
            on_sensor = traced.position[:, :2] + slope * (lens.sensor_position - traced.position[:, 2:])
        return on_sensor, weight

    radius = paraxial.entrance_pupil_radius
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-_BEYOND, _BEYOND, _ACROSS) * radius]), axis=-1).reshape(-1, 2)
    passed = arrived(grid)[1] > 0.0
    if not passed.any():
        return Spot(np.empty((0, 2)), np.empty(0))
    step = 2.0 * _BEYOND * radius / (_ACROSS - 1)
    low, high = grid[passed].min(axis=0) - step, grid[passed].max(axis=0) + step
    # An ellipse around the box of rays that pass.
    half = (high - low) / 2.0 * np.sqrt(2.0)
    on_sensor, weight = arrived((low + high) / 2.0 + half * aperture_points(Disk(), rays))
    share = half.prod() / (radius**2 * rays)
    lit = weight > 0.0
    return Spot(middle + _frame_px(lens, -on_sensor[lit]), share * weight[lit])


def _frame_px(lens: ThickLens, on_sensor: NDArray) -> NDArray:
    """Places in the frame, from its centre, of places on the sensor (the right way up), mm."""
    distance = np.linalg.norm(on_sensor, axis=-1)
    # The other direction is known; it is close to linear, so that a table of it is as good.
    known_px = np.linspace(0.0, lens.fields_px[-1], 2000)
    known_mm = lens.sensor_radius_mm(known_px)
    # Rays may fall beyond the corner of the frame: go on with the last slope.
    last = (known_px[-1] - known_px[-2]) / (known_mm[-1] - known_mm[-2])
    px = np.interp(distance, known_mm, known_px) + np.maximum(distance - known_mm[-1], 0.0) * last
    return on_sensor * (px / np.maximum(distance, 1e-12))[:, None]


def point_spread(
    lens: ThickLens,
    image: tuple[float, float],
    disparity: float,
    *,
    side_px: int,
    pixel: float = 1.0,
    rays: int = 200_000,
) -> NDArray[np.float32]:
    """The point spread function around a place of the frame: (side, side, 3) float32, x right, y down.

    image     of the point in the pinhole picture, pixels; it is in the middle of what is returned
    side_px   of the square, in its own pixels
    pixel     size of these in pixels of the frame
    returns   light per pixel, whose sum is about 1 for a point in the middle of the frame
    """
    psf = np.zeros((side_px, side_px, 3), np.float64)
    half = side_px * pixel / 2.0
    for wavelength_um, share in lens.spectrum:
        where, weight = spot(lens, image, disparity, rays=rays, wavelength_um=wavelength_um)
        x, y = (where - np.asarray(image)).T
        light = np.histogram2d(y, x, bins=side_px, range=[[-half, half], [-half, half]], weights=weight)[0]
        psf += light[..., None] * np.array(share)
    return psf.astype(np.float32)
