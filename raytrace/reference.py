"""The tracer's integral in slow, plain NumPy and float64, as a reference for tests.

    B(x) = mean over lens points s of  sum_l  a_l(q_l) c_l(q_l)  prod_{k<l} (1 - a_k(q_k)),     q_l = x + S_l s

with S_l the signed defocus where the ray meets layer l. It shares only `scenes.lens` with the kernels.
"""

import numpy as np
from numpy.typing import NDArray

from scenes.billboard import Scene
from scenes.color import REFERENCE_GAMMA
from scenes.lens import ThinLens, slanted_defocus_px


def render(
    scene: Scene,
    lens: ThinLens,
    points: NDArray[np.float64],
    *,
    jitter: NDArray[np.float64] | None = None,
    gamma: float = REFERENCE_GAMMA,
) -> NDArray[np.float64]:
    """Image of a scene through a lens: (H, W, 3) float64 linear light at `gamma`.

    points   (N, 2) lens points in the unit disk, of equal weight
    jitter   (N, 2) offsets inside the pixel in [-1/2, 1/2); None is the point pixel
    """
    x = np.arange(scene.width) + 0.5
    y = (np.arange(scene.height) + 0.5)[:, None]
    image = np.zeros((scene.height, scene.width, 3))
    for sample, s in enumerate(points):
        dx, dy = (0.0, 0.0) if jitter is None else jitter[sample]
        transmittance = np.ones((scene.height, scene.width, 1))
        for layer in scene.layers:
            gx, gy = layer.slope
            disparity = layer.disparity + gx * (x + dx - scene.width / 2) + gy * (y + dy - scene.height / 2)
            defocus_px = slanted_defocus_px(disparity, gx * s[0] + gy * s[1], lens.blur_parameter, lens.focus_disparity)
            texture = layer.rgba.astype(np.float64)
            texture[..., :3] = texture[..., :3] ** (gamma / REFERENCE_GAMMA) * texture[..., 3:]
            rgba = _bilinear(
                texture, x + dx + defocus_px * s[0] + scene.overscan, y + dy + defocus_px * s[1] + scene.overscan
            )
            image += transmittance * rgba[..., :3]
            transmittance = transmittance * (1.0 - rgba[..., 3:])
    return image / len(points)


def _bilinear(texture: NDArray, x: NDArray, y: NDArray) -> NDArray:
    """Bilinear lookup at image positions. The centre of texel [i, j] is (j + 0.5, i + 0.5)."""
    x, y = np.broadcast_arrays(x - 0.5, y - 0.5)
    j, i = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (x - j)[..., None], (y - i)[..., None]
    upper = (1.0 - fx) * texture[i, j] + fx * texture[i, j + 1]
    lower = (1.0 - fx) * texture[i + 1, j] + fx * texture[i + 1, j + 1]
    return (1.0 - fy) * upper + fy * lower
