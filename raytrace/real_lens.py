"""A real lens as tables for the kernel that refracts rays at its surfaces (`kernels_surfaces`)."""

from collections.abc import Callable, Iterator
from functools import cached_property, partial

import numpy as np
import taichi as ti
from numpy.typing import NDArray

from raytrace import kernels, kernels_surfaces
from scenes.aperture import Disk
from scenes.billboard import Scene, SceneError
from scenes.thick_lens import ThickLens

# Distances from the centre of the frame at which the kernel knows the pupil. Between them it is interpolated.
_FIELDS = 513

# Texels across the picture of an iris that is not round.
_IRIS = 512


class RealLens:
    """Tables of one lens for one scene. SceneError if the lens was made for another size of frame."""

    def __init__(self, lens: ThickLens, scene: Scene):
        if (lens.width_px, lens.height_px) != (scene.width, scene.height):
            raise SceneError(
                f"the lens is made for a frame of {lens.width_px} x {lens.height_px} px; the scene has "
                f"{scene.width} x {scene.height} px"
            )
        self._lens = lens
        self.num_surfaces = len(lens.system)

    def kernels(
        self, texels: ti.Ndarray, planes: ti.Ndarray, rays: ti.Ndarray, layout: tuple, pixels: int
    ) -> Iterator[Callable[[int, int, ti.VectorNdarray], None]]:
        """`kernels_surfaces.gather` for each wavelength, to be called with the first and last lens point and the frame.

        planes, rays, layout   as `kernels.gather` takes them
        pixels                 of a padded frame
        """
        lens = self._lens
        sums = ti.ndarray(kernels.RGBA, pixels)
        fields, gains, step = self._fields()
        at_fields = vectors(fields)
        for i, (wavelength_um, share) in enumerate(lens.spectrum):
            surfaces, terms, stop = _surfaces(lens, wavelength_um)
            yield partial(
                kernels_surfaces.gather,
                *(texels, planes, rays),
                *(surfaces, self._iris, at_fields, gains),
                *(terms, stop, step),
                *(-lens.sensor_position, -lens.aim_position, -lens.system.paraxial.entrance_pupil),
                *(lens.chief_distance_px, lens.per_mm, lens.focus_disparity, int(lens.exposure == "natural")),
                *layout,
                *((lens.width_px - 1) / 2.0, (lens.height_px - 1) / 2.0),
                *(kernels.RGBA(*share, 1.0), min(i, 1)),
                sums,
            )

    def _fields(self) -> tuple[NDArray[np.float64], NDArray[np.float32], float]:
        """(n, 4) sensor's mm per pixel and bounds of the pupil, (n) its gains, and pixels between fields."""
        at, pupil = self._lens.fields_px, self._lens.pupil
        fields_px = np.linspace(0.0, at[-1], _FIELDS)
        # The first of them is the limit of small fields.
        nonzero = np.maximum(fields_px, 0.1 * fields_px[1])
        mm_per_px = self._lens.sensor_radius_mm(nonzero) / nonzero
        bounds = [np.interp(fields_px, at, bound) for bound in (pupil.centre, pupil.radial, pupil.sagittal)]
        gains = np.interp(fields_px, at, pupil.gain).astype(np.float32)
        return np.stack([mm_per_px, *bounds], axis=-1), gains, float(fields_px[1])

    @cached_property
    def _iris(self) -> NDArray[np.float32]:
        aperture = self._lens.aperture
        if isinstance(aperture, Disk):
            return np.ones((1, 1), np.float32)
        centre = (np.arange(_IRIS) + 0.5) / _IRIS * 2.0 - 1.0
        x, y = np.meshgrid(centre, centre)
        transmission = aperture.transmission_at(np.stack([x.ravel(), y.ravel()], axis=-1))
        return transmission.reshape(_IRIS, _IRIS).astype(np.float32)


def _surfaces(lens: ThickLens, wavelength_um: float) -> tuple[NDArray[np.float32], int, int]:
    """`surfaces`, `terms` and `stop` of `kernels_surfaces.gather`."""
    system = lens.prescription.system(wavelength_um).reversed()
    columns = (
        system.vertex,
        system.curvature,
        1.0 + system.conic,
        system.semi_diameter**2,
        system.index[:-1] / system.index[1:],
        *system.asphere.T,
    )
    terms = system.asphere.shape[1] if system.asphere.any() or system.conic.any() else -1
    return np.column_stack(columns).astype(np.float32), terms, system.stop


def vectors(values: NDArray) -> ti.Ndarray:
    """(..., 4) numbers as a Taichi array of vectors."""
    array = ti.ndarray(kernels.RGBA, values.shape[:-1])
    array.from_numpy(values.astype(np.float32))
    return array
