"""Skipping layers that a tile cannot see changes the time of an image, not its pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raytrace.transport import Textures, Transport
from raytrace.visibility import TILE_HEIGHT, TILE_WIDTH, TileVisibility, tile_grid
from scenes.aperture import Disk, Polygon
from scenes.billboard import Billboard, Scene
from scenes.lens import ThinLens

OVERSCAN = 20
DISPARITIES = (0.9, 0.6, 0.3)


def sparse_matte(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A few opaque rectangles and single texels, hard and soft, on a transparent layer. Some layers are full."""
    alpha = np.zeros((height, width))
    for _ in range(rng.integers(0, 4)):
        y, x = rng.integers(height), rng.integers(width)
        alpha[y : y + rng.integers(1, height), x : x + rng.integers(1, width)] = rng.choice([1.0, 1.0, 0.5])
    for _ in range(rng.integers(0, 6)):
        alpha[rng.integers(height), rng.integers(width)] = rng.choice([0.0, 0.25, 1.0])
    return np.ones_like(alpha) if rng.random() < 0.1 else alpha


def sparse_scene(seed: int, width: int, height: int, slope: float) -> Scene:
    rng = np.random.default_rng(seed)
    shape = (height + 2 * OVERSCAN, width + 2 * OVERSCAN)
    layers = []
    for i, disparity in enumerate(DISPARITIES):
        rgba = rng.random((*shape, 4)).astype(np.float16)
        rgba[..., 3] = sparse_matte(rng, *shape) if i < len(DISPARITIES) - 1 else 1.0
        layers.append(Billboard(rgba, disparity, (slope, -slope)))
    return Scene(tuple(layers), width, height, OVERSCAN)


def traced(transport: Transport, scene: Scene) -> np.ndarray:
    rows, columns = tile_grid(scene.width, scene.height)
    out = np.zeros((3, rows * TILE_HEIGHT, columns * TILE_WIDTH), np.float32)
    transport.trace(np.arange(rows * columns, dtype=np.int32), 24, out)
    return out[:, : scene.height, : scene.width]


@pytest.mark.parametrize(
    "kind, slope", [("planes", 0.0), ("device", 0.0), ("device", 5e-4)], ids=["numba", "shift", "gather"]
)
@pytest.mark.parametrize("pixel", ["point", "box"])
@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.integers(1, 150),
    height=st.integers(1, 40),
    blur_parameter=st.floats(0.0, 20.0),
    focus=st.floats(0.2, 0.9),
    aperture=st.sampled_from([Disk(), Polygon(3)]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_what_a_tile_leaves_out_it_could_not_have_seen(
    taichi_cpu, kind, slope, pixel, seed, width, height, blur_parameter, focus, aperture
):
    scene = sparse_scene(seed, width, height, slope)
    lens = ThinLens(blur_parameter, focus, aperture)
    scene.require_overscan(lens)
    transport = Transport(Textures(scene, (2.2,), kind), lens, pixel)
    culled = traced(transport, scene)

    tiles, num_layers = len(transport.tile_layers), len(scene.layers)
    transport.tile_layers = np.tile(np.r_[num_layers, np.arange(num_layers)].astype(np.int32), (tiles, 1))
    # An empty layer adds exactly 0. The four weights of a lookup sum to 1 up to float32 rounding, so without skipping
    # a ten millionth of the light behind an opaque layer comes through.
    np.testing.assert_allclose(culled, traced(transport, scene), atol=1e-6)


def scene_with(*mattes: np.ndarray, width: int, height: int) -> Scene:
    layers = []
    for i, matte in enumerate(mattes):
        rgba = np.ones((height + 2 * OVERSCAN, width + 2 * OVERSCAN, 4), np.float16)
        rgba[..., 3] = matte
        layers.append(Billboard(rgba, 1.0 - 0.1 * i))
    return Scene(tuple(layers), width, height, OVERSCAN)


def lists(scene: Scene, reach_px: float) -> list[list[int]]:
    counted = TileVisibility(scene).tile_layers(np.full(len(scene.layers), reach_px))
    return [list(row[1 : 1 + row[0]]) for row in counted]


def test_an_empty_layer_is_in_no_list_and_nothing_is_behind_an_opaque_one():
    side = (2 * TILE_HEIGHT + 2 * OVERSCAN, 2 * TILE_WIDTH + 2 * OVERSCAN)
    nothing, everything = np.zeros(side), np.ones(side)
    scene = scene_with(nothing, everything, everything, width=2 * TILE_WIDTH, height=2 * TILE_HEIGHT)
    assert lists(scene, 3.0) == [[1]] * 4


def test_a_layer_is_listed_where_the_lens_can_reach_it():
    """An opaque half plane is listed in all tiles that it reaches. It hides the ground only where no ray passes it."""
    width, height = 4 * TILE_WIDTH, TILE_HEIGHT
    half = np.zeros((height + 2 * OVERSCAN, width + 2 * OVERSCAN))
    half[:, : OVERSCAN + 2 * TILE_WIDTH] = 1.0
    scene = scene_with(half, np.ones_like(half), width=width, height=height)
    assert lists(scene, 0.0) == [[0], [0, 1], [1], [1]]  # a lookup reads one texel past the edge
    assert lists(scene, 10.0) == [[0], [0, 1], [0, 1], [1]]


def test_a_hole_of_one_texel_keeps_the_ground_in_the_list():
    matte = np.ones((TILE_HEIGHT + 2 * OVERSCAN, TILE_WIDTH + 2 * OVERSCAN))
    matte[OVERSCAN + 5, OVERSCAN + 40] = 0.999  # the half float below 1
    scene = scene_with(matte, np.ones_like(matte), width=TILE_WIDTH, height=TILE_HEIGHT)
    assert lists(scene, 0.0) == [[0, 1]]
