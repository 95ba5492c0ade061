"""Trace a billboard scene through a lens, with a given number of samples or to a given noise.

    tracer = Tracer(backend.start("auto"))
    render = tracer.render(scene, lens, noise=0.002)

All pixels of an image share one set of lens points. On a disk it is Vogel's spiral, whose error is far below that of
independent points. Every lens point shifts a layer that faces the camera as a whole, which costs four multiply-adds a
channel. Slanted layers are gathered ray by ray (`gather` in `kernels` and `kernels_cpu`), and so is all that is seen
through two stops, or through real lenses (`kernels_surfaces`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from raytrace.convergence import BlockErrors, Converged, DeviceBlockErrors, HostBlockErrors, trace_to_noise
from raytrace.transport import TextureKind, Textures, Transport
from scenes.billboard import Scene
from scenes.color import REFERENCE_GAMMA
from scenes.lens import ThinLens
from scenes.stack import TRACED_PIXELS, Pixel
from scenes.thick_lens import ThickLens

# Largest size of all textures in bytes. Above it, gammas are traced one by one and textures are not kept.
TEXTURE_BYTES_MAX = 2 * 2**30


@dataclass(frozen=True, eq=False)
class Render:
    """One traced image at each requested gamma.

    linear       (G, H, W, 3) linear light at each gamma, not clipped
    noise_rmse   (G) estimated RMSE in display space (clipped to [0, 1]) against the converged image. It is 0 if the
                 image is exact, and nan if the number of samples was given, since there is no second set to compare
    samples      number of lens points of the tile that has most
    """

    linear: Float32[np.ndarray, "gamma height width 3"]
    noise_rmse: tuple[float, ...]
    samples: int


class Tracer:
    """Renders scenes on a backend that `backend.start` has started. It keeps the textures of the last scene.

    backend   name of the backend. On "cpu" numba traces, on others Taichi
    taichi    True: use Taichi on the CPU too. It has the same algorithms up to rounding, half the speed, a fifth of it
              where layers are slanted, and a tenth through real lenses
    """

    def __init__(self, backend: str = "cpu", *, taichi: bool = False):
        self._numba = backend == "cpu" and not taichi
        self._on_device = backend != "cpu"
        self._textures: dict[tuple[tuple[float, ...], TextureKind], Textures] = {}
        self._scene: Scene | None = None

    def render(
        self,
        scene: Scene,
        lens: ThinLens | ThickLens,
        *,
        gammas: Sequence[float] = (REFERENCE_GAMMA,),
        pixel: Pixel = "point",
        samples: int | None = None,
        noise: float | None = None,
        turn: float = 0.0,
    ) -> Render:
        """Trace one image.

        gammas    powers of linear = display ** gamma; layers are converted from the reference gamma to each of them
        pixel     "point": all rays go through the pixel's centre; "box": rays are averaged over the pixel's area
        samples   number of lens points of the one set to trace, or:
        noise     add lens points until the display RMSE is below this over the image, and below four times this over
                  every 16 x 16 block
        turn      of the lens points, in [0, 1): another value gives another image, whose noise is independent
        raises    ValueError unless exactly one of `samples` and `noise` is given, it and all gammas are positive, and
                  the pixel rule exists; SceneError if the scene's overscan is too small for the lens
        """
        if (samples is None) == (noise is None):
            raise ValueError("give either samples or noise")
        if samples is not None and samples < 1:
            raise ValueError(f"samples is {samples}; it must be at least 1")
        if noise is not None and not noise > 0.0:
            raise ValueError(f"noise is {noise}; it must be above 0")
        if not gammas or not min(gammas) > 0.0:
            raise ValueError(f"gammas is {gammas}; it needs values above 0")
        if pixel not in TRACED_PIXELS:
            raise ValueError(f"pixel is {pixel!r}; it must be one of {', '.join(TRACED_PIXELS)}")
        scene.require_overscan(lens)
        kind = self._kind(lens)
        parts = []
        for group in _gamma_groups(scene, tuple(gammas), kind):
            transport = Transport(self._textures_of(scene, group, kind), lens, pixel, turn)
            block_errors: type[BlockErrors[Any]] = DeviceBlockErrors if self._on_device else HostBlockErrors
            blocks = block_errors(scene.width, scene.height, group, pixel)
            if noise is not None:
                parts.append(trace_to_noise(transport, blocks, noise))
            else:
                assert samples is not None
                parts.append(_trace_samples(transport, blocks, samples, len(group)))
        return Render(
            linear=np.concatenate([_frame(part.padded, scene) for part in parts]),
            noise_rmse=tuple(e for part in parts for e in part.noise_rmse),
            samples=max(part.samples for part in parts),
        )

    def _kind(self, lens: ThinLens | ThickLens) -> TextureKind:
        if not self._numba:
            return "device"
        return "texels" if isinstance(lens, ThickLens) else "planes"

    def _textures_of(self, scene: Scene, gammas: tuple[float, ...], kind: TextureKind) -> Textures:
        if self._scene is not scene:
            self._textures.clear()
            self._scene = scene
        key = (gammas, kind)
        if key not in self._textures:
            groups = [*self._textures, key]
            if sum(texture_bytes(_texels(scene), len(group)) for group, _ in groups) > TEXTURE_BYTES_MAX:
                self._textures.clear()
            self._textures[key] = Textures(scene, gammas, kind)
        return self._textures[key]


def _gamma_groups(scene: Scene, gammas: tuple[float, ...], kind: TextureKind) -> list[tuple[float, ...]]:
    """Gammas that share a pass: planes hold many gammas beside one alpha, Taichi's vectors hold one RGBA."""
    together = kind == "planes" and texture_bytes(_texels(scene), len(gammas)) <= TEXTURE_BYTES_MAX
    return [gammas] if together else [(gamma,) for gamma in gammas]


def texture_bytes(texels: int, num_gammas: int) -> int:
    """Bytes of float32 textures: three channels per gamma, and alpha."""
    return 4 * texels * (3 * num_gammas + 1)


def _texels(scene: Scene) -> int:
    return sum(layer.rgba[..., 0].size for layer in scene.layers)


def _trace_samples(transport: Transport, blocks: BlockErrors[Any], samples: int, num_gammas: int) -> Converged:
    frame = blocks.empty_frame()
    exact = transport.exact_tiles
    transport.trace(np.flatnonzero(exact).astype(np.int32), 1, frame)
    transport.trace(np.flatnonzero(~exact).astype(np.int32), samples, frame)
    noise = 0.0 if exact.all() else math.nan
    return Converged(blocks.planes(frame), (noise,) * num_gammas, 1 if exact.all() else samples)


def _frame(padded: NDArray[np.float32], scene: Scene) -> NDArray[np.float32]:
    """(G, H, W, 3) of a padded frame (3 G, H', W')."""
    frame = padded.reshape(-1, 3, *padded.shape[1:])[:, :, : scene.height, : scene.width]
    # Rounded bilinear weights below 0 give about -1e-7 beside a bright light at a high gamma. Powers of that are nan.
    return np.maximum(frame.transpose(0, 2, 3, 1), 0.0)
