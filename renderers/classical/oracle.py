"""The upper bound of any comparison: the ray tracer's integral on the true layers."""

import numpy as np
from numpy.typing import NDArray

from raytrace.tracer import Tracer
from raytrace.transport import is_shift
from renderers.base import RendererError
from runtime import backend
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.billboard import Scene
from scenes.layered import LayeredScene
from scenes.lens import ThinLens
from scenes.thick_lens import Paraxial

# Other lens points than those of the truth, so that the errors of both are independent. Their difference is the floor
# of any comparison.
_TURN = 0.5

# Display RMSE against the converged image, and within four times of it in every block.
NOISE_RMSE = 0.002


def oracle_layers(
    linear: Picture,
    disparity: Plane,
    lens: ThinLens,
    *,
    arch: Backend = "cpu",
    gamma: float,
    scene: LayeredScene | None,
) -> NDArray[np.float32]:
    """Trace the billboards anew, at the pixel's centre, and through the real lens where the truth is.

    Picture and disparity are not looked at.
    """
    if scene is None:
        raise RendererError("oracle-layers needs the true layers of the scene")
    if not isinstance(scene, Scene):
        raise RendererError(
            "oracle-layers traces flat layers; those of this scene have depth and hide parts of themselves"
        )
    traced = lens.real if isinstance(lens, Paraxial) and lens.real is not None else lens
    if arch != "cpu" or not is_shift(scene, traced):
        backend.require(arch)
    return Tracer(arch).render(scene, traced, gammas=(gamma,), noise=NOISE_RMSE, turn=_TURN).linear[0]
