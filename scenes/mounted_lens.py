"""A real lens on a camera, and what it makes of the blur parameter that a scene is given.

Scenes of a recipe have disparities without a unit, and lenses have lengths. What a disparity of 1 is in 1/m is chosen
so that the lens, at its f-number, has the blur parameter of the scene: K = F r u, with F the distance from the lens to
the sensor in pixels, r the paraxial radius of the entrance pupil and u the unit. Renderers are told this K, which is
exact for rays near the axis.

The sensor moves to focus. The angle of view would change with it, so the part of the sensor that the frame covers does
as well, and F stays what it is at infinity: one K holds at every focus.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self, get_args

import numpy as np

from runtime.documents import shown
from scenes.lens import ThinLens
from scenes.prescription import LensPrescription, load_prescription, prescription_from
from scenes.thick_lens import Exposure, ThickLens

# Wavelengths per colour channel from here on cost time and show nothing more.
WAVELENGTHS_MAX = 15


@dataclass(frozen=True)
class MountedLens:
    """A prescription on a camera.

    prescription     scaled as it is used
    f_number         f / 2r of the largest blur parameter of a scene; the lens is stopped down for smaller ones
    sensor_width_m   covered by the width of the frame, focused at infinity
    exposure         "pinhole" or "natural" (`scenes.thick_lens`)
    distortion       whether straight lines are bent
    wavelengths      per colour channel; 0 has no fringes of colour
    """

    prescription: LensPrescription
    f_number: float
    sensor_width_m: float
    exposure: Exposure = "pinhole"
    distortion: bool = False
    wavelengths: int = 0

    def __post_init__(self):
        for key in ("f_number", "sensor_width_m"):
            value = getattr(self, key)
            if not (isinstance(value, int | float) and 0.0 < value < math.inf):
                raise ValueError(f"{key} is {shown(value)}; it must be above 0")

    def inv_m_per_unit(self, blur_parameter_max: float, width_px: int) -> float:
        """What disparity 1 is in 1/m where the lens has this blur parameter, pixels, at its f-number."""
        radius_m = self.prescription.focal_length / 1000.0 / (2.0 * self.f_number)
        return blur_parameter_max / (self._distance_px(width_px) * radius_m)

    def in_camera(self, thin: ThinLens, inv_m_per_unit: float, width_px: int, height_px: int) -> ThickLens:
        """The lens that has the paraxial blur, the focus and the iris of a thin one.

        raises   ValueError where it does not open that wide, or does not focus that near
        """
        radius_mm = 1000.0 * thin.blur_parameter / (self._distance_px(width_px) * inv_m_per_unit)
        stopped, paraxial = self._stopped_to(radius_mm), self.prescription.system().paraxial
        focus_per_mm = thin.focus_disparity * inv_m_per_unit / 1000.0
        # The sensor is farther away by this factor, for anything that it can focus on.
        nearer = max(1.0 + (paraxial.front_focus - paraxial.entrance_pupil) * focus_per_mm, 0.0) or 1.0
        return ThickLens(
            stopped,
            width_px,
            height_px,
            self.sensor_width_m / nearer,
            thin.focus_disparity,
            inv_m_per_unit,
            thin.aperture,
            self.exposure,
            self.distortion,
            self.wavelengths,
        )

    def _stopped_to(self, pupil_radius_mm: float) -> LensPrescription:
        """With another stop: `LensPrescription.stopped_to` goes by its outermost ray, this by paraxial ones."""
        widest, asked = widest_f_number(self.prescription), self.prescription.focal_length / (2.0 * pupil_radius_mm)
        share = widest / asked
        if share > 1.0 + 1e-9:
            opens = f"{self.prescription.name} opens to f/{widest:.3g}"
            raise ValueError(f"{opens}, and f/{asked:.3g} is asked for; use a larger f_number")
        surfaces = (
            replace(surface, semi_diameter=surface.semi_diameter * share) if surface.is_stop else surface
            for surface in self.prescription.surfaces
        )
        return replace(self.prescription, surfaces=tuple(surfaces))

    def _distance_px(self, width_px: int) -> float:
        """F: from the lens to the sensor, pixels."""
        return self.prescription.focal_length / 1000.0 * width_px / self.sensor_width_m

    def describe(self) -> dict[str, Any]:
        """Plain values that `from_description` reads."""
        return {**vars(self), "prescription": self.prescription.describe()}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """The lens of `describe`. ValueError for anything else."""
        values = {**description}
        prescription = prescription_from(values.pop("prescription", None))
        try:
            return cls(prescription, **values)
        except TypeError as error:
            raise ValueError(f"the keys of a lens are {', '.join(field.name for field in fields(cls))}") from error


@dataclass(frozen=True)
class LensKit:
    """The real lenses of a recipe.

    prescriptions    names of those of the project, or files; each scene has one of them
    sensor_width_m   covered by the width of the frame, focused at infinity
    f_number         [lowest, highest] of the largest blur parameter of a scene, drawn log-uniformly; a lens that does
                     not open as wide is used as wide as it opens. None: every lens is
    focal_length_m   that they are scaled to; None leaves each as it is printed
    swap             True: every scene is traced through all of them, at one f-number
    thin             True: pictures are made through the thin lens of the same paraxial blur. The scenes are those that
                     the recipe has without it, so that the pictures of both show what aberrations do
    exposure, distortion, wavelengths   as of `MountedLens`
    """

    prescriptions: tuple[str, ...]
    sensor_width_m: float
    f_number: tuple[float, float] | None = None
    focal_length_m: float | None = None
    swap: bool = False
    thin: bool = False
    exposure: Exposure = "pinhole"
    distortion: bool = False
    wavelengths: int = 0

    def __post_init__(self):
        if not self.prescriptions:
            raise ValueError("prescriptions needs at least one name")
        if self.thin and self.swap:
            raise ValueError("swap and thin are both true; all lenses of a scene have one thin lens, so leave swap out")
        for name in self.prescriptions:
            load_prescription(name)
        if not self.sensor_width_m > 0.0:
            raise ValueError(f"sensor_width_m is {self.sensor_width_m}; it must be above 0 m")
        if self.focal_length_m is not None and not self.focal_length_m > 0.0:
            raise ValueError(f"focal_length_m is {self.focal_length_m}; it must be above 0 m")
        if self.exposure not in get_args(Exposure):
            raise ValueError(f"exposure is {shown(self.exposure)}; it must be one of {', '.join(get_args(Exposure))}")
        if self.f_number is not None:
            low, high = self.f_number
            if not 0.0 < low <= high:
                raise ValueError(f"f_number is {list(self.f_number)}; it needs 0 < low <= high")
        if not 0 <= self.wavelengths <= WAVELENGTHS_MAX:
            raise ValueError(f"wavelengths is {self.wavelengths}; it must lie in [0, {WAVELENGTHS_MAX}]")

    @property
    def lenses_per_scene(self) -> int:
        return len(self.prescriptions) if self.swap else 1

    def draw(self, rng: np.random.Generator) -> tuple[MountedLens, ...]:
        """The lenses of one scene."""
        names = self.prescriptions if self.swap else (self.prescriptions[rng.integers(len(self.prescriptions))],)
        wanted = 0.0 if self.f_number is None else float(np.exp(rng.uniform(*np.log(self.f_number))))
        lenses = [self._scaled(name) for name in names]
        f_number = max(wanted, *(widest_f_number(lens) for lens in lenses))
        return tuple(
            MountedLens(lens, f_number, self.sensor_width_m, self.exposure, self.distortion, self.wavelengths)
            for lens in lenses
        )

    def _scaled(self, name: str) -> LensPrescription:
        prescription = load_prescription(name)
        return prescription if self.focal_length_m is None else prescription.scaled_to(1000.0 * self.focal_length_m)

    def describe(self) -> dict[str, Any]:
        """All keys as plain values; `thin` where it is true."""
        keys = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        return {key: value for key, value in keys.items() if key != "thin" or value}


def widest_f_number(prescription: LensPrescription) -> float:
    """f / 2r with r the paraxial radius of the entrance pupil of the open lens."""
    return prescription.focal_length / (2.0 * prescription.system().paraxial.entrance_pupil_radius)
