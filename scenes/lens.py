"""Thin-lens geometry: the circle of confusion, written once.

Conventions of the whole project:

    disparity d          1 / z with z the planar depth along the optical axis; larger is nearer, 0 is infinity.
                         The unit is 1/m, or normalized to [0, 1]: the metadata of the data says which.
    blur parameter K     pixels per unit of that disparity
    signed defocus S     K (d - d_f) in pixels; positive is nearer than the focus plane
    blur radius r        |S| in pixels, a radius
    lens point s         in the unit disk, x right, y down
    image coordinates    x right, y down, in pixels; the centre of array element [i, j] is (j + 0.5, i + 0.5)

The ray of output pixel x through lens point s meets the plane of defocus S at image position x + S s. The image of the
aperture is therefore turned by 180 degrees between the two sides of focus.

The functions are plain arithmetic: they run on floats, NumPy arrays and tensors, and compile with `ti.func`.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from scenes.aperture import Aperture, Disk
from scenes.color import HALF_MAX


class Lens(Protocol):
    """What renderers ask of a lens: how far out of focus a disparity is, and the shape of its blur."""

    @property
    def aperture(self) -> Aperture:
        """Shape of the opening inside the unit disk."""
        ...

    @property
    def is_pinhole(self) -> bool:
        """Whether everything is in focus."""
        ...

    def defocus_px(self, disparity: Any) -> Any:
        """Signed defocus S in pixels of disparities of any shape: positive nearer than focus, 0 in focus."""
        ...


class SceneRays(NamedTuple):
    """Rays in the scene, and the light that they bring. All in pixels of the frame, x right, y down.

    at_focus        (..., 2) image position in the plane of focus
    per_disparity   (..., 2) how far it moves per unit of disparity
    weight          (...) share of the light, 0 where the lens stops the ray
    """

    at_focus: Float64[np.ndarray, "*rays 2"]
    per_disparity: Float64[np.ndarray, "*rays 2"]
    weight: Float64[np.ndarray, "*rays"]


class TracedLens(Lens, Protocol):
    """What the tracer asks besides: the rays that enter the scene, and how far they stray."""

    @property
    def focus_disparity(self) -> float:
        """Disparity of the plane in focus."""
        ...

    @property
    def blur_parameter(self) -> float:
        """Paraxial K, pixels per unit of disparity."""
        ...

    def rays(self, image: NDArray[np.float64], points: NDArray[np.float64]) -> SceneRays:
        """Rays of image positions (..., 2), pixels, through lens points (..., 2) in the unit disk."""
        ...

    @property
    def parallax_max_px(self) -> float:
        """How far the image position of a ray moves at most per unit of disparity, pixels."""
        ...

    def reach_px(self, disparity: float) -> float:
        """Largest distance in pixels between a pixel and the place where one of its rays has this disparity."""
        ...


@dataclass(frozen=True)
class ThinLens:
    """A thin lens, described by its effect on the image.

    blur_parameter    K, pixels per unit of disparity, >= 0; 0 is the pinhole
    focus_disparity   d_f, in the unit of the scene's disparities, >= 0; 0 focuses at infinity
    aperture          shape of the opening inside the unit disk
    """

    blur_parameter: float
    focus_disparity: float
    aperture: Aperture = field(default_factory=Disk)

    def __post_init__(self):
        if not 0.0 <= self.blur_parameter < float("inf"):
            raise ValueError(f"blur parameter is {self.blur_parameter}; it must be finite and at least 0 px")
        if not 0.0 <= self.focus_disparity < float("inf"):
            raise ValueError(f"focus disparity is {self.focus_disparity}; it must be finite and at least 0")

    @property
    def is_pinhole(self) -> bool:
        """Whether K = 0."""
        return self.blur_parameter == 0.0

    def defocus_px(self, disparity: Any) -> Any:
        """S = K (d - d_f) in pixels, of floats, arrays or tensors of any shape."""
        return signed_defocus_px(disparity, self.blur_parameter, self.focus_disparity)

    def rays(self, image: NDArray[np.float64], points: NDArray[np.float64]) -> SceneRays:
        """All rays of a pixel meet it in focus, and are K s away per unit of disparity. They have equal weights."""
        at_focus, moves = np.broadcast_arrays(image, self.blur_parameter * points)
        return SceneRays(at_focus, moves, np.ones(moves.shape[:-1]))

    @property
    def parallax_max_px(self) -> float:
        """K: that of a ray through the rim."""
        return self.blur_parameter

    def reach_px(self, disparity: float) -> float:
        """|S|, the radius of the blur."""
        return abs(self.defocus_px(disparity))


def blur_radius_max_px(lens: Lens, disparity: NDArray[np.float32]) -> float:
    """The largest |S| in pixels of disparities of any shape, of which there is at least one."""
    return float(np.abs(lens.defocus_px(disparity)).max())


def signed_defocus_px(disparity, blur_parameter, focus_disparity):
    """Signed radius of the circle of confusion in pixels: S = K (d - d_f), positive nearer than focus.

    For a thin lens S is exactly linear in inverse depth. It is 0 at d = d_f and -K d_f at infinity.
    """
    return blur_parameter * (disparity - focus_disparity)


def slanted_defocus_px(disparity, slope_along_lens, blur_parameter, focus_disparity):
    """Signed defocus where the ray of one pixel through one lens point meets a slanted plane, in pixels.

    The plane has disparity d + g . (q - x) at image position q, and the ray passes q = x + S s. Solving
    S = K (d + S g . s - d_f) for S gives K (d - d_f) / (1 - K g . s).

    disparity          d, of the plane at the pixel itself
    slope_along_lens   g . s, disparity per pixel along the lens point, with |K g . s| < 1: the plane must not pass
                       through the lens
    """
    return blur_parameter * (disparity - focus_disparity) / (1.0 - blur_parameter * slope_along_lens)


def _image_distance_m(focal_length_m, focus_disparity):
    """From the lens to its sensor: v = f / (1 - f d_f)."""
    return focal_length_m / (1.0 - focal_length_m * focus_disparity)


def blur_parameter_from_f_number(focal_length_m, f_number, sensor_width_m, width_px, focus_disparity=0.0):
    """K in pixels per 1/m of a camera: K = A v W / (2 w), A = f / N, v = f / (1 - f d_f).

    With `focus_disparity` 0 the sensor stays at the focal length for every focus distance, as in Blender:
    K = f^2 W / (2 N w). A real camera moves the sensor to v. Give its focus disparity in 1/m to include this focus
    breathing.
    """
    image_distance_m = _image_distance_m(focal_length_m, focus_disparity)
    return focal_length_m / f_number * image_distance_m * width_px / (2.0 * sensor_width_m)


def f_number_from_blur_parameter(focal_length_m, blur_parameter, sensor_width_m, width_px, focus_disparity=0.0):
    """The f-number that gives K (pixels per 1/m): N = f v W / (2 w K), v as in `blur_parameter_from_f_number`."""
    image_distance_m = _image_distance_m(focal_length_m, focus_disparity)
    return focal_length_m * image_distance_m * width_px / (2.0 * sensor_width_m * blur_parameter)


def distance_from_disparity(disparity: float) -> float:
    """Distance 1 / d in double precision. 65504 (the largest half float) means infinity, d = 0, as in BLB."""
    return HALF_MAX if disparity * HALF_MAX <= 1.0 else 1.0 / disparity


def disparity_from_distance(distance: float) -> float:
    """Disparity 1 / z. Distances of 65504 and more mean infinity, d = 0."""
    return 0.0 if distance >= HALF_MAX else 1.0 / distance


def normalized_focus_and_blur(blur_parameter, focus_disparity, disparity_min, disparity_max):
    """(K, d_f) that give the same defocus after disparities are rescaled to (d - d_min) / (d_max - d_min)."""
    span = disparity_max - disparity_min
    return blur_parameter * span, (focus_disparity - disparity_min) / span
