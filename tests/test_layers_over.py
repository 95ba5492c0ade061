"""Layers blurred with premultiplied alpha and put over each other, against closed forms."""

import math

import numpy as np
import pytest

from renderers import RENDERERS
from renderers.classical.drbokeh import DefocusedLayer
from renderers.classical.layers_over import blur_premultiplied
from scenes.aperture import Disk, Polygon
from scenes.billboard import Billboard, Scene
from scenes.color import linear_from_display
from scenes.lens import ThinLens

SIZE, OVERSCAN = 64, 42


def half_disk(t: float) -> float:
    """Share of a unit disk to the left of x = t."""
    t = min(max(t, -1.0), 1.0)
    return 0.5 + (t * math.sqrt(1.0 - t * t) + math.asin(t)) / math.pi


def half_planes(*planes: tuple[float, float, float]) -> Scene:
    """Half planes (light, disparity, first column of the frame that is covered), near to far, over a black one at 0."""
    shape = (SIZE + 2 * OVERSCAN, SIZE + 2 * OVERSCAN)
    layers = []
    for light, disparity, first in (*planes, (0.0, 0.0, -math.inf)):
        rgba = np.ones((*shape, 4), np.float16)
        rgba[..., :3] = light
        rgba[:, np.arange(shape[1]) < first + OVERSCAN, 3] = 0.0
        layers.append(Billboard(rgba, disparity))
    return Scene(tuple(layers), SIZE, SIZE, OVERSCAN)


def seen(scene: Scene, lens: ThinLens) -> np.ndarray:
    """Linear light along the middle row."""
    image = np.zeros((SIZE, SIZE, 3), np.float32)
    refocused = RENDERERS["layers-over"](image, scene.composite_disparity(), lens, scene=scene)
    return linear_from_display(refocused)[SIZE // 2, :, 0]


@pytest.mark.parametrize("radius", [1.5, 5.0, 20.0])
def test_a_half_plane_is_the_cumulative_of_the_disk(radius):
    expected = [half_disk((x + 0.5 - 32) / radius) for x in range(SIZE)]
    # A pixel's part of the rim is taken as if the rim were straight.
    np.testing.assert_allclose(
        seen(half_planes((1.0, 1.0, 32)), ThinLens(radius, 0.0)), expected, atol=0.01 / radius + 1e-3
    )


def test_what_two_half_planes_let_through_is_multiplied():
    # The near one, dark, hides its part of the far one, bright; their edges are 6 px apart.
    lens = ThinLens(20.0, 0.0)
    light = seen(half_planes((0.0, 1.0, 32), (1.0, 0.5, 26)), lens)
    x = np.arange(SIZE) + 0.5
    near, far = (np.array([half_disk(v) for v in (x - edge) / radius]) for edge, radius in ((32, 20.0), (26, 10.0)))
    np.testing.assert_allclose(light, (1.0 - near) * far, atol=2e-3)


@pytest.mark.parametrize("aperture", [Disk(), Polygon(5)])
def test_a_slanted_layer_of_one_colour_stays_so(aperture):
    # From 12 px of defocus to -12: the images of its texels overlap unevenly.
    defocus_px = np.linspace(12.0, -12.0, 90, dtype=np.float32)[None].repeat(80, axis=0)
    blurred = blur_premultiplied(DefocusedLayer(np.ones((80, 90, 4), np.float32), defocus_px), aperture)
    np.testing.assert_allclose(blurred, 1.0, atol=1e-4)


def test_colour_under_alpha_0_is_never_seen():
    rgba = np.ones((40, 40, 4), np.float32)
    rgba[:, :20, 3] = 0.0
    rgba[:, :20, :3] = 1000.0
    blurred = blur_premultiplied(DefocusedLayer(rgba, np.full((40, 40), 6.0, np.float32)), Disk())
    np.testing.assert_allclose(blurred[..., :3], blurred[..., 3:].repeat(3, axis=-1), atol=1e-5)
