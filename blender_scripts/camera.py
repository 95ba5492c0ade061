"""Lens settings for Blender, which keeps its sensor at the focal length. The formulas are in `scenes.lens`."""

import math
from dataclasses import dataclass
from typing import Any

from blender_scripts.refusal import Refusal
from scenes.aperture import Disk, Polygon
from scenes.lens import (
    ThinLens,
    blur_parameter_from_f_number,
    distance_from_disparity,
    f_number_from_blur_parameter,
)


@dataclass(frozen=True)
class Camera:
    """Focal length and sensor of a camera.

    focal_length_m   also the distance from lens to sensor at every focus: there is no focus breathing
    sensor_width_m   width of the sensor that the picture's width covers
    width            of the picture, pixels
    """

    focal_length_m: float
    sensor_width_m: float
    width: int

    @property
    def focal_length_px(self) -> float:
        return self.focal_length_m / self.sensor_width_m * self.width

    def f_number(self, blur_parameter: float) -> float:
        """N = f^2 W / (2 w K) for K > 0 in pixels per 1/m."""
        return f_number_from_blur_parameter(self.focal_length_m, blur_parameter, self.sensor_width_m, self.width)

    def blur_parameter(self, f_number: float) -> float:
        """K = f^2 W / (2 w N) in pixels per 1/m."""
        return blur_parameter_from_f_number(self.focal_length_m, f_number, self.sensor_width_m, self.width)


def blender_lens(lens: ThinLens, camera: Camera) -> dict[str, Any] | None:
    """The depth-of-field settings of Blender's camera for a lens. None for the pinhole, K = 0.

    lens     disparities in 1/m; one unit of Blender is a metre
    raises   Refusal for an aperture that Blender lacks: it has disks and polygons with straight blades
    """
    if lens.is_pinhole:
        return None
    blades, rotation_rad = 0, 0.0
    if isinstance(lens.aperture, Polygon) and lens.aperture.curvature == 0.0:
        # At rotation 0 the x axis crosses the middle of an edge of Blender's polygon, but a vertex of ours. Blender
        # rotates in the other direction, and clamps angles beyond half a turn.
        blades = lens.aperture.blades
        rotation_rad = math.remainder(math.pi / blades - math.radians(lens.aperture.rotation_deg), math.tau)
    elif not isinstance(lens.aperture, Disk):
        raise Refusal(f"Blender has no aperture {lens.aperture.describe()}; use a disk or straight blades")
    return {
        "f_number": camera.f_number(lens.blur_parameter),
        "focus_distance": distance_from_disparity(lens.focus_disparity),
        "blades": blades,
        "rotation_rad": rotation_rad,
    }
