"""The tracer's integral in slow, plain NumPy and float64, as a reference for tests.

    B(x) = mean over lens points s of  sum_l  a_l(q_l) c_l(q_l)  prod_{k<l} (1 - a_k(q_k)),    q_l = q_f + (d_l - d_f) p

with q_f the image position of the ray in the plane of focus, p how far it moves per unit of disparity, and d_l the
disparity at which it meets layer l. Of a thin lens q_f = x and p = K s. Rays of real lenses have weights; those that a
second stop takes have none. It shares only `scenes` with the kernels.
"""

import numpy as np
from numpy.typing import NDArray

from scenes.aperture import Character
from scenes.billboard import Scene
from scenes.color import REFERENCE_GAMMA
from scenes.lens import TracedLens, slanted_defocus_px


def render(
    scene: Scene,
    lens: TracedLens,
    points: NDArray[np.float64],
    *,
    jitter: NDArray[np.float64] | None = None,
    gamma: float = REFERENCE_GAMMA,
) -> NDArray[np.float64]:
    """Image of a scene through a lens: (H, W, 3) float64 linear light at `gamma`.

    points   (N, 2) lens points in the unit disk, of equal weight
    jitter   (N, 2) offsets inside the pixel in [-1/2, 1/2); None is the point pixel
    """
    middle = np.array([scene.width, scene.height]) / 2.0
    x, y = np.meshgrid(np.arange(scene.width) + 0.5, np.arange(scene.height) + 0.5)
    centres = np.stack([x, y], axis=-1)
    image, total = np.zeros((scene.height, scene.width, 3)), np.zeros((scene.height, scene.width, 1))
    for sample, s in enumerate(points):
        pixels = centres if jitter is None else centres + jitter[sample]
        at_focus, moves, weight = lens.rays(pixels, s)
        if isinstance(lens.aperture, Character):
            weight = np.where(lens.aperture.stopped_at(s, (pixels - middle) / np.linalg.norm(middle)), 0.0, weight)
        passed = weight > 0.0
        light = np.where(passed, weight, 0.0)[..., None]
        total += light
        for layer in scene.layers:
            disparity = layer.disparity + (at_focus - middle) @ layer.slope
            from_focus = slanted_defocus_px(disparity, moves @ layer.slope, 1.0, lens.focus_disparity)
            hit = np.where(passed[..., None], at_focus + from_focus[..., None] * moves, middle) + scene.overscan
            texture = layer.rgba.astype(np.float64)
            texture[..., :3] = texture[..., :3] ** (gamma / REFERENCE_GAMMA) * texture[..., 3:]
            rgba = _bilinear(texture, hit[..., 0], hit[..., 1])
            image += light * rgba[..., :3]
            light = light * (1.0 - rgba[..., 3:])
    return image / total


def _bilinear(texture: NDArray, x: NDArray, y: NDArray) -> NDArray:
    """Bilinear lookup at image positions. The centre of texel [i, j] is (j + 0.5, i + 0.5)."""
    x, y = x - 0.5, y - 0.5
    j, i = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (x - j)[..., None], (y - i)[..., None]
    upper = (1.0 - fx) * texture[i, j] + fx * texture[i, j + 1]
    lower = (1.0 - fx) * texture[i + 1, j] + fx * texture[i + 1, j + 1]
    return (1.0 - fy) * upper + fy * lower
