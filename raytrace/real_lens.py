"""A real lens as tables for the kernels that refract rays at its surfaces: in Taichi, and in numba for the CPU."""

from collections.abc import Callable, Iterator
from functools import cached_property, partial

import numpy as np
import taichi as ti
from numpy.typing import ArrayLike, NDArray

from raytrace import kernels, kernels_surfaces, kernels_surfaces_cpu
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

    def trace(
        self, texels: NDArray[np.float32], planes: NDArray, rays: NDArray, layout: tuple, out: NDArray[np.float32]
    ) -> None:
        """Trace with `kernels_surfaces_cpu.gather`, all wavelengths and lens points.

        planes, rays, layout   as `kernels.gather` takes them, but in NumPy
        out                    the padded frame (3, H', W')
        """
        scene = (texels, _float32(planes), _float32(rays))
        for tables, numbers, share, adds in self._wavelengths():
            # Every argument has one type, so that the kernel is compiled once.
            typed = (np.float32(n) if isinstance(n, float) else n for n in numbers)
            middle = (np.float32(m) for m in self._middle)
            arguments = (*scene, *tables, *typed, *layout, *middle, _float32(share), adds, out)
            kernels_surfaces_cpu.gather(*arguments)

    def kernels(
        self, texels: ti.Ndarray, planes: ti.Ndarray, rays: ti.Ndarray, layout: tuple, pixels: int
    ) -> Iterator[Callable[[int, int, ti.VectorNdarray], None]]:
        """`kernels_surfaces.gather` for each wavelength, to be called with the first and last lens point and the frame.

        planes, rays, layout   as `kernels.gather` takes them
        pixels                 of a padded frame
        """
        sums = ti.ndarray(kernels.RGBA, pixels)
        for (surfaces, iris, fields, gains), numbers, share, adds in self._wavelengths():
            yield partial(
                kernels_surfaces.gather,
                *(texels, planes, rays),
                *(surfaces, iris, vectors(fields), gains),
                *numbers,
                *layout,
                *self._middle,
                *(kernels.RGBA(*share, 1.0), adds),
                sums,
            )

    @property
    def _middle(self) -> tuple[float, float]:
        return (self._lens.width_px - 1) / 2.0, (self._lens.height_px - 1) / 2.0

    def _wavelengths(self) -> Iterator[tuple[tuple, tuple, tuple[float, ...], int]]:
        """Of the kernels, for each wavelength: tables, `terms` and the numbers after it, `share` and `adds`."""
        lens = self._lens
        fields, gains, step = self._fields()
        for i, (wavelength_um, share) in enumerate(lens.spectrum):
            surfaces, terms, stop = _surfaces(lens, wavelength_um)
            numbers = (
                *(terms, stop, step),
                *(-lens.sensor_position, -lens.aim_position, -lens.system.paraxial.entrance_pupil),
                *(lens.chief_distance_px, lens.per_mm, float(lens.focus_disparity), int(lens.exposure == "natural")),
            )
            yield (surfaces, self._iris, fields, gains), numbers, share, min(i, 1)

    def _fields(self) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        """(n, 4) sensor's mm per pixel and bounds of the pupil, (n) its gains, and pixels between fields."""
        at, pupil = self._lens.fields_px, self._lens.pupil
        fields_px = np.linspace(0.0, at[-1], _FIELDS)
        # The first of them is the limit of small fields.
        nonzero = np.maximum(fields_px, 0.1 * fields_px[1])
        mm_per_px = self._lens.sensor_radius_mm(nonzero) / nonzero
        bounds = [np.interp(fields_px, at, bound) for bound in (pupil.centre, pupil.radial, pupil.sagittal)]
        gains = np.interp(fields_px, at, pupil.gain)
        return _float32(np.stack([mm_per_px, *bounds], axis=-1)), _float32(gains), float(fields_px[1])

    @cached_property
    def _iris(self) -> NDArray[np.float32]:
        aperture = self._lens.aperture
        if isinstance(aperture, Disk):
            return np.ones((1, 1), np.float32)
        centre = (np.arange(_IRIS) + 0.5) / _IRIS * 2.0 - 1.0
        x, y = np.meshgrid(centre, centre)
        transmission = aperture.transmission_at(np.stack([x.ravel(), y.ravel()], axis=-1))
        return _float32(transmission.reshape(_IRIS, _IRIS))


def _surfaces(lens: ThickLens, wavelength_um: float) -> tuple[NDArray[np.float32], int, int]:
    """`surfaces`, `terms` and `stop` of the kernels."""
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
    return _float32(np.column_stack(columns)), terms, system.stop


def _float32(values: ArrayLike) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32)


def vectors(values: NDArray) -> ti.Ndarray:
    """(..., 4) numbers as a Taichi array of vectors."""
    array = ti.ndarray(kernels.RGBA, values.shape[:-1])
    array.from_numpy(values.astype(np.float32))
    return array
