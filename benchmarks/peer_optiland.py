"""Rays through a prescription in optiland (MIT licence), beside those of `scenes.optics.trace`."""

# Not installed with the other extras.
# pyright: reportMissingImports=false

import warnings

import numpy as np
from numpy.typing import NDArray
from optiland.materials import IdealMaterial
from optiland.optic import Optic
from optiland.rays import RealRays

from scenes.glass import LINE_D
from scenes.optics import OpticalSystem


class OptilandTrace:
    """The surfaces of a system, and a plane at `sensor` (position on its axis) at which rays end."""

    def __init__(self, system: OpticalSystem, sensor: float):
        if system.asphere.any():
            raise ValueError("aspheric terms are not carried over")
        self._optic = Optic()
        self._optic.surfaces.add(index=0, radius=np.inf, thickness=np.inf)
        gaps = np.diff(system.vertex, append=sensor)
        for i, curvature in enumerate(system.curvature):
            self._optic.surfaces.add(
                index=i + 1,
                radius=1.0 / curvature if curvature else np.inf,
                conic=system.conic[i],
                thickness=gaps[i],
                material=IdealMaterial(n=system.index[i + 1]),
                is_stop=i == system.stop,
                aperture=2.0 * system.semi_diameter[i],
            )
        self._optic.surfaces.add(index=len(system) + 1)
        self._optic.wavelengths.add(value=LINE_D, is_primary=True)

    def __call__(self, position: NDArray, direction: NDArray) -> tuple[NDArray, NDArray]:
        """Where rays (n, 3) meet the sensor, (n, 2), and whether they pass every rim, (n,)."""
        n = len(position)
        rays = RealRays(*position.T, *direction.T, np.ones(n), np.full(n, LINE_D))
        with warnings.catch_warnings():
            # numba remarks on code of optiland that it compiles.
            warnings.simplefilter("ignore")
            self._optic.surfaces.trace(rays)
        return np.stack([rays.x, rays.y], axis=-1), np.asarray(rays.i) > 0.0
