"""A real lens in a camera: rays from the sensor through all its surfaces into the scene.

Disparities are measured from the centre of the entrance pupil, from which the pinhole picture is taken: the chief ray
of a pixel then meets the same image position at every disparity. With F the image distance of chief rays in pixels, a
ray that crosses the plane of the entrance pupil at p, and leaves with slope t, has the image position

    q(d) = F (t + p d)

in a plane of disparity d. It is linear in d, as for a thin lens, where q(d) = x + K (d - d_f) s. So the paraxial blur
parameter is K = F r with r the radius of the entrance pupil, and all that renderers know of thin lenses holds.

Inside, lengths are in millimetres and rays go along +z from the sensor to the scene, through the mirrored system.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scenes.aperture import Aperture, Disk, aperture_points, cat_eye_of
from scenes.glass import LINE_D
from scenes.lens import SceneRays, ThinLens, signed_defocus_px
from scenes.optics import OpticalSystem, trace
from scenes.prescription import LensPrescription

Exposure = Literal["pinhole", "natural"]

# Wavelengths that a colour channel sees, micrometres.
_BANDS_UM = ((0.590, 0.660), (0.500, 0.580), (0.430, 0.490))

# Rays from the centre of the stop, which relate sensor and scene. Between them, positions are interpolated to 1e-7.
_CHIEF_RAYS = 4096

# Distances from the centre of the frame at which the pupil is measured. Rays across half of it: over all that may pass,
# then over what does.
_FIELDS = 33
_ACROSS = (20, 32)

# Rays that measure the light on the axis, which they do to 1e-4, and those that measure how far rays stray.
_ON_AXIS, _SAMPLED = 8192, 12000

# What the pupil may be larger than measured: half a cell of rays, other wavelengths, and fields in between.
_MARGIN = 1.03


@dataclass(frozen=True)
class Paraxial(ThinLens):
    """What a renderer is told of a real lens: the thin lens of the same paraxial blur.

    real   the lens itself, for those that trace its rays
    """

    real: "ThickLens | None" = None


class Pupil(NamedTuple):
    """Ellipses in the plane that rays aim at, which hold all rays that pass, at `fields_px` from the frame's centre.

    centre     (n,) of the ellipse, along the direction from the frame's centre to the pixel, mm
    radial     (n,) half axis along this direction, mm
    sagittal   (n,) half axis across it, mm
    gain       (n,) mean weight of rays in the ellipse times gain is the light relative to that on the axis
    """

    centre: NDArray[np.float64]
    radial: NDArray[np.float64]
    sagittal: NDArray[np.float64]
    gain: NDArray[np.float64]


@dataclass(frozen=True)
class ThickLens:
    """A prescription in front of a sensor, focused by moving the sensor.

    prescription      scaled and stopped down as it is used (`scaled_to`, `stopped_to`)
    width_px          of the frame
    height_px         of the frame
    sensor_width_m    covered by the width of the frame
    focus_disparity   d_f, in the unit of the scene's disparities, >= 0; 0 focuses at infinity
    inv_m_per_unit    what one unit of disparity is in 1/m: 1 where disparities are in 1/m
    aperture          shape of the iris inside the rim of the stop
    exposure          "pinhole": a surface of one colour has this colour everywhere, as in the pinhole picture;
                      "natural": corners are darker, by the rays that rims stop and by cos^4 of the angle at the sensor
    distortion        True: straight lines are bent as the lens bends them; False: they are straightened as cameras do
                      it, so that chief rays in focus are at the place that they have in the pinhole picture
    wavelengths       per colour channel, spread over its band; 0 traces the d line alone, without fringes
    raises            ValueError that names the value, and what can be done
    """

    prescription: LensPrescription
    width_px: int
    height_px: int
    sensor_width_m: float
    focus_disparity: float = 0.0
    inv_m_per_unit: float = 1.0
    aperture: Aperture = field(default_factory=Disk)
    exposure: Exposure = "pinhole"
    distortion: bool = False
    wavelengths: int = 0

    def __post_init__(self):
        for key in ("width_px", "height_px", "sensor_width_m", "inv_m_per_unit"):
            if not 0.0 < getattr(self, key) < math.inf:
                raise ValueError(f"{key} is {getattr(self, key)}; it must be above 0")
        if not 0.0 <= self.focus_disparity < math.inf:
            raise ValueError(f"focus disparity is {self.focus_disparity}; it must be finite and at least 0")
        if cat_eye_of(self.aperture):
            raise ValueError("the aperture has a cat_eye; the rims of a real lens make its own")
        if self.wavelengths < 0:
            raise ValueError(f"wavelengths is {self.wavelengths}; it must be at least 0")
        if self._focus_denominator <= 0.0:
            nearest_mm = self._of.entrance_pupil - self._of.front_focus
            raise ValueError(
                f"focus disparity {self.focus_disparity} is at {1.0 / self._focus_per_mm:.4g} mm from the entrance "
                f"pupil; {self.prescription.name} focuses farther than {nearest_mm:.4g} mm"
            )

    # Paraxial optics

    @cached_property
    def system(self) -> OpticalSystem:
        """The surfaces at the d line, from the scene to the sensor, in mm."""
        return self.prescription.system()

    @property
    def _of(self):
        return self.system.paraxial

    @property
    def per_mm(self) -> float:
        """What one unit of disparity is in 1/mm."""
        return self.inv_m_per_unit / 1000.0

    @property
    def _focus_per_mm(self) -> float:
        return self.focus_disparity * self.per_mm

    @property
    def _focus_denominator(self) -> float:
        return 1.0 + (self._of.front_focus - self._of.entrance_pupil) * self._focus_per_mm

    @property
    def sensor_position(self) -> float:
        """Of the sensor on the axis of `system`, mm: x' = f^2 / x behind the focus, x measured from the front focus."""
        return self._of.rear_focus + self._of.focal_length**2 * self._focus_per_mm / self._focus_denominator

    @property
    def pixel_pitch_mm(self) -> float:
        return 1000.0 * self.sensor_width_m / self.width_px

    @property
    def chief_distance_px(self) -> float:
        """F: a chief ray with slope t is F t from the centre, in pixels. It is f where the focus is at infinity."""
        return self._of.focal_length / self._focus_denominator / self.pixel_pitch_mm

    @property
    def blur_parameter(self) -> float:
        """K of the thin lens with the same paraxial blur, pixels per unit of disparity: F times the entrance pupil's
        radius."""
        return self.chief_distance_px * self._of.entrance_pupil_radius * self.per_mm

    @property
    def is_pinhole(self) -> bool:
        """False: a stop has a size."""
        return False

    def defocus_px(self, disparity):
        """Paraxial signed defocus in pixels, of floats, arrays or tensors: positive nearer than focus."""
        return signed_defocus_px(disparity, self.blur_parameter, self.focus_disparity)

    def thin(self) -> "Paraxial":
        """The thin lens of the same paraxial blur."""
        return Paraxial(self.blur_parameter, self.focus_disparity, self.aperture, self)

    # Exact rays

    @property
    def spectrum(self) -> list[tuple[float, tuple[float, ...]]]:
        """Wavelengths to trace, in micrometres, and the share of red, green and blue that each contributes."""
        if not self.wavelengths:
            return [(LINE_D, (1.0, 1.0, 1.0))]
        middle = (np.arange(self.wavelengths) + 0.5) / self.wavelengths
        return [
            (low + (high - low) * float(m), tuple(float(c == channel) / self.wavelengths for c in range(3)))
            for channel, (low, high) in enumerate(_BANDS_UM)
            for m in middle
        ]

    @property
    def aim_position(self) -> float:
        """Where on the axis of `system` rays from the sensor aim, mm: the exit pupil, or the last vertex where the
        pupil is behind the sensor or far away."""
        behind_vertex = self.sensor_position - float(self.system.vertex[-1])
        to_pupil = self.sensor_position - self._of.exit_pupil
        return (
            self._of.exit_pupil if behind_vertex / 2 < to_pupil < 20 * behind_vertex else float(self.system.vertex[-1])
        )

    @property
    def fields_px(self) -> NDArray[np.float64]:
        """(n,) distances from the centre of the frame, evenly spaced up to just beyond its corners."""
        return np.linspace(0.0, math.hypot(self.width_px, self.height_px) / 2.0 + 1.0, _FIELDS)

    @cached_property
    def pupil(self) -> Pupil:
        """Bounds of the rays that pass. ValueError where the lens does not light the whole frame."""
        sensor = self.sensor_radius_mm(self.fields_px)
        low, high, across, _ = self._measured(sensor, *self._around_pupil(sensor), _ACROSS[0])
        low, high, across, scale = self._measured(sensor, low, high, across, _ACROSS[1])
        centre, radial, sagittal = (low + high) / 2.0, scale * (high - low) / 2.0, scale * across
        on_axis = aperture_points(Disk(), _ON_AXIS) * [radial[0], sagittal[0]]
        weight = self._scene_rays(np.zeros_like(on_axis), on_axis, self.aperture).weight.mean()
        return Pupil(centre, radial, sagittal, radial * sagittal / (radial[0] * sagittal[0] * weight))

    def rays(self, image: NDArray, points: NDArray, wavelength_um: float = LINE_D) -> SceneRays:
        """Rays from image positions on the sensor, through points of the pupil, into the scene.

        image    (..., 2) positions in the frame, pixels
        points   (..., 2) in the unit disk, which is stretched to the bounds of the pupil (`pupil`)
        """
        from_centre = image - np.array([self.width_px, self.height_px]) / 2.0
        field_px = np.linalg.norm(from_centre, axis=-1, keepdims=True)
        outward = np.where(field_px > 0.0, from_centre / np.maximum(field_px, 1e-300), [1.0, 0.0])
        centre, radial, sagittal = (np.interp(field_px, self.fields_px, of_field) for of_field in self.pupil[:3])
        sensor = self.sensor_radius_mm(field_px)
        along = (points * outward).sum(axis=-1, keepdims=True)
        # The disk is stretched along and across the field; at the centre of the frame this leaves it as it is.
        aim = outward * (centre + (radial - sagittal) * along) + sagittal * points
        return self._scene_rays(-sensor * outward, aim, self.aperture, wavelength_um)

    def sensor_radius_mm(self, field_px: NDArray) -> NDArray:
        """Distances from the axis on the sensor, of distances from the centre of the frame: both of any shape.

        raises   ValueError where the lens images no such distance
        """
        if self.distortion:
            return field_px * self.pixel_pitch_mm
        in_scene, on_sensor, _ = self._chief_rays
        if field_px.max() > in_scene[-1]:
            raise ValueError(
                f"the frame reaches {field_px.max():.0f} px from its centre, {self.prescription.name} images "
                f"{in_scene[-1]:.0f} px; use a smaller sensor_width_m"
            )
        return np.interp(field_px, in_scene, on_sensor)

    def reach_px(self, disparity: float) -> float:
        """Largest distance between a pixel and the place where one of its rays has this disparity, pixels."""
        rays = self._sampled_rays
        moved = rays.at_focus + rays.per_disparity * (disparity - self.focus_disparity)
        distance = np.hypot(moved[..., 0] - self._sampled_fields[:, None], moved[..., 1])
        # Rays lie between those that are sampled.
        return 1.1 * float(distance[rays.weight > 0.0].max())

    @property
    def parallax_max_px(self) -> float:
        """How far a ray's image position moves at most per unit of disparity: about K."""
        rays = self._sampled_rays
        return 1.1 * float(np.linalg.norm(rays.per_disparity[rays.weight > 0.0], axis=-1).max())

    @property
    def _sampled_fields(self) -> NDArray[np.float64]:
        return self.fields_px[:: _FIELDS // 8]

    @cached_property
    def _sampled_rays(self) -> SceneRays:
        """(n, m) rays of nine fields to the right of the centre, which is the origin here."""
        middle = np.array([self.width_px, self.height_px]) / 2.0
        image = middle + self._sampled_fields[:, None, None] * np.array([1.0, 0.0])
        points = aperture_points(Disk(), _SAMPLED)
        rays = [self.rays(image, points, wavelength) for wavelength, _ in self.spectrum]
        at_focus, per_disparity, weight = (np.concatenate(part, axis=1) for part in zip(*rays, strict=True))
        return SceneRays(at_focus - middle, per_disparity, weight)

    def _scene_rays(self, sensor: NDArray, aim: NDArray, iris: Aperture, wavelength_um: float = LINE_D) -> SceneRays:
        """Rays from points (..., 2) of the sensor through points (..., 2) of the plane that they aim at, mm."""
        start = np.concatenate([sensor, np.full_like(sensor[..., :1], -self.sensor_position)], axis=-1)
        end = np.concatenate([aim, np.full_like(aim[..., :1], -self.aim_position)], axis=-1)
        direction = end - start
        direction = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
        system = self.prescription.system(wavelength_um).reversed()
        rays = trace(system, start, direction)
        position, leaving = rays.position, rays.direction
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = leaving[..., :2] / leaving[..., 2:]
            at_pupil = position[..., :2] - slope * (position[..., 2:] + self._of.entrance_pupil)
        on_iris = rays.at_stop.reshape(-1, 2) / system.semi_diameter[system.stop]
        with np.errstate(invalid="ignore"):
            transmission = iris.transmission_at(np.nan_to_num(on_iris, nan=2.0)).reshape(rays.passed.shape)
        middle = np.array([self.width_px, self.height_px]) / 2.0
        return SceneRays(
            at_focus=middle + self.chief_distance_px * (slope + at_pupil * self._focus_per_mm),
            per_disparity=self.chief_distance_px * self.per_mm * at_pupil,
            # Equal areas of the pupil's plane light the sensor as cos^4 of the angle there.
            weight=np.where(rays.passed, transmission * direction[..., 2] ** 4, 0.0),
        )

    @cached_property
    def _chief_rays(self) -> tuple[NDArray, NDArray, NDArray]:
        """Distances from the axis of rays through the centre of the stop: in the frame, pixels; on the sensor and in
        the plane of aim, mm."""
        angle = np.linspace(0.0, 1.3, _CHIEF_RAYS)
        direction = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], axis=-1)
        stop = self.system.stop
        middle = np.array([0.0, 0.0, self.system.vertex[stop]])
        to_sensor = trace(self.system.part(stop, len(self.system)), middle, direction, rims=False)
        to_scene = trace(self.system.part(0, stop).reversed(), -middle, direction, rims=False)
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = to_sensor.direction[:, 0] / to_sensor.direction[:, 2]
            on_sensor = to_sensor.position[:, 0] + slope * (self.sensor_position - to_sensor.position[:, 2])
            aim = to_sensor.position[:, 0] + slope * (self.aim_position - to_sensor.position[:, 2])
            slope = to_scene.direction[:, 0] / to_scene.direction[:, 2]
            at_pupil = to_scene.position[:, 0] - slope * (to_scene.position[:, 2] + self._of.entrance_pupil)
            in_scene = self.chief_distance_px * (slope + at_pupil * self._focus_per_mm)
            # The lens images as far as farther out in the scene is farther out on the sensor.
            rising = (np.diff(in_scene) > 0.0) & (np.diff(on_sensor) > 0.0)
        end = 1 + (len(rising) if rising.all() else int(rising.argmin()))
        return in_scene[:end], on_sensor[:end], aim[:end]

    def _around_pupil(self, sensor: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Bounds (low, high, across) of all rays that may pass, of points of the sensor, in the plane of aim."""
        to_rim = self.sensor_position - float(self.system.vertex[-1])
        nearer = (self.sensor_position - self.aim_position) / to_rim
        # All that the last rim lets through; a rim on a curved surface lies off the plane of its vertex.
        radius = 1.2 * float(self.system.semi_diameter[-1]) * nearer
        centre = sensor * (nearer - 1.0)
        if self.aim_position == self._of.exit_pupil and 2.0 * self._of.exit_pupil_radius < radius:
            # The exit pupil is larger off the axis, and moves, but it stays around the chief ray.
            radius = 2.0 * self._of.exit_pupil_radius
            centre = -np.interp(sensor, *self._chief_rays[1:])
        return centre - radius, centre + radius, radius * np.ones_like(sensor)

    def _measured(
        self, sensor: NDArray, low: NDArray, high: NDArray, across: NDArray, steps: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Bounds of the rays that pass the rims among a grid of them, and the scale of the ellipse around them.

        low, high, across   (n,) bounds along the field and, on either side, across it
        steps               rays across one side
        returns             the same, measured; (n,) scale of the ellipse with these half axes that holds all rays
        """
        u = (np.arange(2 * steps) + 0.5) / steps - 1.0
        v = (np.arange(steps) + 0.5) / steps
        middle, half = (low + high) / 2.0, (high - low) / 2.0
        x, y = np.broadcast_arrays((middle[:, None] + half[:, None] * u)[:, :, None], (across[:, None] * v)[:, None, :])
        start = np.stack([-sensor, np.zeros_like(sensor)], axis=-1)[:, None, None]
        passed = self._scene_rays(np.broadcast_to(start, (*x.shape, 2)), np.stack([x, y], axis=-1), Disk()).weight > 0.0
        lit = passed.any(axis=(1, 2))
        if not lit.all():
            raise ValueError(
                f"no light reaches the frame {self.fields_px[lit.argmin()]:.0f} px from its centre through "
                f"{self.prescription.name}; use a smaller sensor_width_m"
            )
        low = np.where(passed, x, np.inf).min(axis=(1, 2)) - half / (2 * steps)
        high = np.where(passed, x, -np.inf).max(axis=(1, 2)) + half / (2 * steps)
        across = np.where(passed, y, 0.0).max(axis=(1, 2)) + across / (2 * steps)
        along = (x - ((low + high) / 2.0)[:, None, None]) / ((high - low) / 2.0)[:, None, None]
        reach = np.where(passed, np.hypot(along, y / across[:, None, None]), 0.0).max(axis=(1, 2))
        return low, high, across, _MARGIN * reach
