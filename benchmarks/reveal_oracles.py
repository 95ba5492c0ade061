"""What perfect answers would be worth to `reveal`: renderers that are told part of the true layers, for the benchmark.

    bokehforge benchmark --data datasets/blb-levels --limit 100 --out results/oracles --renderers bokehme reveal0 \\
        hard-edges=benchmarks/reveal_oracles.py:hard_edges perfect-mattes=benchmarks/reveal_oracles.py:perfect_mattes

Both see the frame alone, complete what is hidden by the rules of `reveal0`, and blur with `layers-over`. They are told

    hard_edges       which layer is seen at every pixel; colours are those of the picture, mixed ones too
    perfect_mattes   alpha and colour of all that is seen, unmixed: the ceiling of perfect matting

Layers must have one disparity each, as billboards have.
"""

import numpy as np
from numpy.typing import NDArray

from renderers.base import RendererError
from renderers.classical.layers_over import layers_over
from renderers.layering.filling import depth_image, extended, nearest_of
from scenes.arrays import Picture, Plane, single
from scenes.billboard import Scene
from scenes.color import REFERENCE_GAMMA, display_from_linear, storable_light
from scenes.layered import LayeredScene
from scenes.layered_depth import LayeredDepthImage
from scenes.lens import ThinLens

# A texel that lends a pixel less of its light than this is hidden.
_SEEN = 0.02


def hard_edges(
    image: Picture, disparity: Plane, lens: ThinLens, *, gamma: float = REFERENCE_GAMMA, scene: LayeredScene
) -> Picture:
    """(H, W, 3) display values."""
    alphas, _ = _told(scene)
    number = _number(alphas)
    linear = storable_light(image)
    seen = [number == i for i in range(len(alphas))]
    colours = [extended(linear, here) if here.any() else linear for here in seen]
    layers = _completed(scene, number, colours, [np.zeros_like(here) for here in seen], alphas)
    return display_from_linear(layers_over(linear, disparity, lens, gamma=gamma, scene=layers), gamma)


def perfect_mattes(
    image: Picture, disparity: Plane, lens: ThinLens, *, gamma: float = REFERENCE_GAMMA, scene: LayeredScene
) -> Picture:
    """(H, W, 3) display values."""
    alphas, colours = _told(scene)
    light = np.cumprod([np.ones_like(alphas[0]), *(1.0 - alpha for alpha in alphas[:-1])], axis=0)
    reached = [through > _SEEN for through in light]
    seen = [alpha * through > _SEEN for alpha, through in zip(alphas, light, strict=True)]
    colours = [extended(colour, here) if here.any() else colour for colour, here in zip(colours, seen, strict=True)]
    layers = _completed(scene, _number(alphas), colours, reached, alphas)
    return display_from_linear(layers_over(storable_light(image), disparity, lens, gamma=gamma, scene=layers), gamma)


def _told(scene: LayeredScene) -> tuple[list[Plane], list[Picture]]:
    """Alpha and linear light of the layers in the frame."""
    if not isinstance(scene, Scene) or scene.is_slanted:
        raise RendererError("the oracle needs billboards that face the camera")
    rgba = [single(scene.frame_rgba(i)) for i in range(len(scene.layers))]
    return [layer[..., 3] for layer in rgba], [layer[..., :3] for layer in rgba]


def _number(alphas: list[Plane]) -> NDArray[np.int64]:
    """The nearest layer with alpha >= 0.5 at every pixel; the last is opaque."""
    return np.argmax([alpha >= 0.5 for alpha in alphas], axis=0)


def _completed(
    scene: LayeredScene,
    number: NDArray[np.int64],
    colours: list[Picture],
    known: list[NDArray[np.bool_]],
    alphas: list[Plane],
) -> LayeredDepthImage:
    """Layers of the frame: the true alpha where it is known, elsewhere what is seen, or next behind it.

    As in `renderers.layering.reveal0`, what is taken away shows what is nearest behind it.
    """
    first, last, layers = number.copy(), len(colours) - 1, []
    for i, colour in enumerate(colours):
        here = first == i if i < last else np.ones_like(first, bool)
        alpha = np.where(known[i], alphas[i], here.astype(np.float32))
        layers.append(depth_image(colour, alpha, scene.frame_disparity(i)))
        if i < last and here.any() and (first > i).any():
            first = np.where(first == i, nearest_of(first > i).of(first), first)
    return LayeredDepthImage(tuple(layers), scene.width, scene.height, 0)
