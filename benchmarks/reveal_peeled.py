"""How many surfaces a ray must meet: `reveal0` with the first one, two or three of every pixel, for the benchmark.

    bokehforge benchmark --data datasets/ablation --limit 64 --no-lpips --pictures 0 --out results/peeled \\
        --renderers reveal0 one=benchmarks/reveal_peeled.py:one two=benchmarks/reveal_peeled.py:two \\
        three=benchmarks/reveal_peeled.py:three

Surfaces that cover part of a pixel count. A ray that meets none of them is left out: the light of a pixel is the mean
of the other rays.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from renderers.classical.layers_over import layers_over
from renderers.layering import reveal0
from renderers.layering.filling import depth_image
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA, display_from_linear, storable_light
from scenes.layered_depth import LayeredDepthImage
from scenes.lens import ThinLens, blur_radius_max_px

# Where fewer rays of a pixel than this meet a surface, it is dark.
_SHARE_MIN = 1e-3


def _renderer(surfaces: int) -> Callable[..., Picture]:
    def render(image: Picture, disparity: Plane, lens: ThinLens, *, gamma: float = REFERENCE_GAMMA) -> Picture:
        """(H, W, 3) display values."""
        linear = storable_light(image)
        found = reveal0.surfaces(linear, disparity, reach_px=blur_radius_max_px(lens, disparity))
        is_there = found.alpha > 0.0
        is_kept = is_there & (np.cumsum(is_there, axis=0) <= surfaces)
        alpha = np.where(is_kept, found.alpha, np.float32(0.0))
        # The farthest layer ends all rays. Those that end where it is not kept have no light, and do not count.
        alpha[-1] = 1.0

        def blurred(colour: NDArray[np.float32]) -> Picture:
            layers = map(depth_image, colour, alpha, found.depth)
            scene = LayeredDepthImage(tuple(layers), image.shape[1], image.shape[0], 0)
            return layers_over(linear, disparity, lens, gamma=gamma, scene=scene)

        counts = np.repeat(is_kept[..., None], 3, axis=-1).astype(np.float32)
        light = blurred(found.colour * counts) / np.maximum(blurred(counts), np.float32(_SHARE_MIN))
        return display_from_linear(light, gamma)

    return render


one = _renderer(1)
two = _renderer(2)
three = _renderer(3)
