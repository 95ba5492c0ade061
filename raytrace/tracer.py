"""Trace a billboard scene through a thin lens, to a number of samples or to a noise.

    tracer = Tracer(backend.start("auto"))
    render = tracer.render(scene, lens, noise=0.002)

One set of lens points serves all pixels of an image (Vogel's spiral on a disk: no set of independent points comes near
its error). Layers that face the camera are then shifted as a whole by every point, which costs four multiply-adds a
channel; slanted layers are gathered ray by ray (`kernels`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from raytrace.convergence import BlockErrors, Converged, trace_to_noise
from raytrace.transport import Textures, Transport
from scenes.billboard import Scene
from scenes.color import REFERENCE_GAMMA
from scenes.lens import ThinLens
from scenes.stack import Pixel

# Above this many bytes of texture the gammas of a stack are traced one after the other, and none is kept for another.
TEXTURE_BYTES_MAX = 2 * 2**30


@dataclass(frozen=True, eq=False)
class Render:
    """One traced image at every gamma that was asked for.

    linear       (G, H, W, 3) float32, linear light at each gamma, not clipped
    noise_rmse   (G) estimated RMSE in display space (clipped to [0, 1]) against the converged image: 0 where the image
                 is exact, nan where a given number of samples leaves nothing to compare with
    samples      lens points of the most demanding tile
    """

    linear: NDArray[np.float32]
    noise_rmse: tuple[float, ...]
    samples: int


class Tracer:
    """Renders scenes on a backend that `backend.start` has started; keeps the textures of the last scene.

    backend   its name. On "cpu", numba traces what faces the camera; elsewhere, and for slanted layers, Taichi does
    taichi    True: Taichi on the CPU as well, the same algorithm to rounding and about half as fast
    """

    def __init__(self, backend: str = "cpu", *, taichi: bool = False):
        self._numba = backend == "cpu" and not taichi
        self._textures: dict[tuple[float, ...], Textures] = {}
        self._scene: Scene | None = None

    def render(
        self,
        scene: Scene,
        lens: ThinLens,
        *,
        gammas: Sequence[float] = (REFERENCE_GAMMA,),
        pixel: Pixel = "point",
        samples: int | None = None,
        noise: float | None = None,
    ) -> Render:
        """Trace one image.

        gammas    powers of linear = display ** gamma; layers are taken from the reference gamma to each of them
        pixel     "point": one bundle of rays through the centre; "box": averaged over the pixel's area
        samples   trace one set of this many lens points
        noise     or: take as many as bring the display RMSE below this, over the image and, within four times of it,
                  over every 16 x 16 block
        raises    ValueError where not exactly one of `samples` and `noise` is given, or one of them or a gamma is not
                  positive, or the pixel is neither; SceneError where the scene's overscan is too small for the lens
        """
        if (samples is None) == (noise is None):
            raise ValueError("give either a number of samples or a noise")
        if samples is not None and samples < 1:
            raise ValueError(f"samples is {samples}; it must be at least 1")
        if noise is not None and not noise > 0.0:
            raise ValueError(f"noise is {noise}; it must be above 0")
        if not gammas or not min(gammas) > 0.0:
            raise ValueError(f"gammas is {gammas}; it needs values above 0")
        if pixel not in get_args(Pixel):
            raise ValueError(f"pixel is {pixel!r}; it must be one of {', '.join(get_args(Pixel))}")
        scene.require_overscan(lens)
        planar = self._numba and not scene.is_slanted
        parts = []
        for group in _gamma_groups(scene, tuple(gammas), planar):
            transport = Transport(self._textures_of(scene, group, planar), lens, pixel)
            blocks = BlockErrors(scene.width, scene.height, group, pixel)
            if noise is not None:
                parts.append(trace_to_noise(transport, blocks, noise))
            else:
                assert samples is not None
                parts.append(_trace_samples(transport, blocks.empty_frame(), samples, len(group)))
        return Render(
            linear=np.concatenate([_frame(part.padded, scene) for part in parts]),
            noise_rmse=tuple(e for part in parts for e in part.noise_rmse),
            samples=max(part.samples for part in parts),
        )

    def _textures_of(self, scene: Scene, gammas: tuple[float, ...], planar: bool) -> Textures:
        if self._scene is not scene:
            self._textures.clear()
            self._scene = scene
        if gammas not in self._textures:
            groups = [*self._textures, gammas]
            if sum(texture_bytes(_texels(scene), len(group)) for group in groups) > TEXTURE_BYTES_MAX:
                self._textures.clear()
            self._textures[gammas] = Textures(scene, gammas, planar=planar)
        return self._textures[gammas]


def _gamma_groups(scene: Scene, gammas: tuple[float, ...], planar: bool) -> list[tuple[float, ...]]:
    """Gammas that share a pass: planes share geometry and alpha among many, Taichi's vectors hold one RGBA."""
    together = planar and texture_bytes(_texels(scene), len(gammas)) <= TEXTURE_BYTES_MAX
    return [gammas] if together else [(gamma,) for gamma in gammas]


def texture_bytes(texels: int, num_gammas: int) -> int:
    """Memory of float32 textures: three channels per gamma, and alpha."""
    return 4 * texels * (3 * num_gammas + 1)


def _texels(scene: Scene) -> int:
    return sum(layer.rgba[..., 0].size for layer in scene.layers)


def _trace_samples(transport: Transport, padded: NDArray[np.float32], samples: int, num_gammas: int) -> Converged:
    exact = transport.exact_tiles
    transport.trace(np.flatnonzero(exact).astype(np.int32), 1, padded)
    transport.trace(np.flatnonzero(~exact).astype(np.int32), samples, padded)
    noise = 0.0 if exact.all() else math.nan
    return Converged(padded, (noise,) * num_gammas, 1 if exact.all() else samples)


def _frame(padded: NDArray[np.float32], scene: Scene) -> NDArray[np.float32]:
    """(G, H, W, 3) of a padded frame (3 G, H', W')."""
    frame = padded.reshape(-1, 3, *padded.shape[1:])[:, :, : scene.height, : scene.width]
    # Bilinear weights that round below 0 leave -1e-7 beside a bright light at a high gamma, and powers of that are nan.
    return np.maximum(frame.transpose(0, 2, 3, 1), 0.0)
