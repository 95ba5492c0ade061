"""A camera with a lens in metres: the blur parameter follows from it, and the two pictures of a pair are its own."""

import math
from dataclasses import dataclass
from typing import Any

from runtime.documents import shown
from scenes.lens import blur_parameter_from_f_number

# Relative difference that pixels may have from squares: 3:2 sensors are 22.3 x 14.9 mm.
_SQUARENESS = 0.02


@dataclass(frozen=True)
class Camera:
    """A camera that is focused on a subject, and how far away things are. Distances are [nearest, farthest], in metres.

    focal_length_m    of the lens
    sensor_width_m    covered by the width of the frame
    sensor_height_m   covered by its height; pixels are square to 2 %
    f_numbers         of the pictures: the first is the input of a pair, each further one a truth
    subject_m         of the subject, which is nearest and in focus
    background_ratio  distance of the background over that of the subject
    subject_scale     longest side of the subject relative to that of the frame, where its distance allows it
    ground            probability that the background is ground that the camera looks down on
    tilt_deg          of the camera above such ground; its horizon stays above the frame
    """

    focal_length_m: float
    sensor_width_m: float
    sensor_height_m: float
    f_numbers: tuple[float, ...]
    subject_m: tuple[float, float]
    background_ratio: tuple[float, float]
    subject_scale: tuple[float, float] = (0.5, 1.0)
    ground: float = 0.0
    tilt_deg: tuple[float, float] = (12.0, 30.0)

    def __post_init__(self):
        for key in ("focal_length_m", "sensor_width_m", "sensor_height_m"):
            self._require(getattr(self, key) > 0, key, "must be above 0 m")
        self._require(len(self.f_numbers) >= 2, "f_numbers", "needs one for the input and one for each truth")
        self._require(min(self.f_numbers, default=0) > 0, "f_numbers", "must be above 0")
        for key, least in (("subject_m", 2 * self.focal_length_m), ("background_ratio", 1.2), ("subject_scale", 0.05)):
            low, high = getattr(self, key)
            self._require(least <= low <= high, key, f"needs {least:g} <= low <= high")
        self._require(0 <= self.ground <= 1, "ground", "must lie in [0, 1]")
        low, high = self.tilt_deg
        self._require(0 < low <= high <= 60, "tilt_deg", "needs 0 < low <= high <= 60")

    def blur_parameter(self, f_number: float, focus_m: float, width_px: int) -> float:
        """K in pixels per 1/m of a frame of this width, with the lens focused at `focus_m`.

        The sensor moves away from the lens to focus near: K is 1 / (1 - f / focus_m) of what it is at infinity.
        """
        return blur_parameter_from_f_number(
            self.focal_length_m, f_number, self.sensor_width_m, width_px, focus_disparity=1.0 / focus_m
        )

    def focal_length_px(self, focus_m: float, width_px: int) -> float:
        """Distance from lens to sensor when focused at `focus_m`, in pixels: what is 1 m long and 1 m away has this."""
        image_distance_m = self.focal_length_m / (1.0 - self.focal_length_m / focus_m)
        return image_distance_m * width_px / self.sensor_width_m

    def blur_parameters(self, width_px: int) -> tuple[float, float]:
        """Smallest and largest K of a truth."""
        nearest, farthest = self.subject_m
        truths = self.f_numbers[1:]
        return (
            self.blur_parameter(max(truths), farthest, width_px),
            self.blur_parameter(min(truths), nearest, width_px),
        )

    def largest_blur_radius_px(self, width_px: int) -> float:
        """Of anything behind the subject: that of infinity behind the nearest subject."""
        nearest = self.subject_m[0]
        return self.blur_parameter(min(self.f_numbers), nearest, width_px) / nearest

    def require_frame(self, width_px: int, height_px: int) -> None:
        """ValueError unless pixels of such a frame are square."""
        ratio = width_px * self.sensor_height_m / (height_px * self.sensor_width_m)
        # A small frame has a ratio of sides that is rounded to whole pixels.
        if abs(math.log(ratio)) > _SQUARENESS + 1.0 / min(width_px, height_px):
            raise ValueError(
                f"a sensor of {self.sensor_width_m} x {self.sensor_height_m} m has no square pixels in a frame of "
                f"{width_px} x {height_px} px"
            )

    def describe(self) -> dict[str, Any]:
        """All keys as plain values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}

    def _require(self, holds: bool, key: str, rule: str) -> None:
        if not holds:
            raise ValueError(f"{key} is {shown(getattr(self, key))}; {rule}")
