"""The benchmark scene of the tracer: five billboards with everything that makes an image slow to converge.

It has hard, soft, thin and holed mattes in front of each other, texture down to single texels, and small lights far
above white. Shapes scale with the frame, so all sizes show the same picture.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.billboard import Billboard, Scene
from scenes.color import linear_from_display
from scenes.lens import ThinLens

_DISPARITIES = (1.0, 0.75, 0.5, 0.3, 0.1)
_FOCUS_DISPARITY = 0.1
_BLUR_RADIUS_MAX = 30.0 / 1024.0  # of the nearest layer, in frame widths
_PALETTE = ((0.30, 0.55, 0.25), (0.80, 0.40, 0.25), (0.55, 0.60, 0.70), (0.75, 0.65, 0.35), (0.35, 0.32, 0.45))
_SEED = 51


def benchmark_lens(size: int) -> ThinLens:
    """Focus on the background; the nearest layer has a blur radius of 15 px at size 512 and 30 px at 1024."""
    return ThinLens(_BLUR_RADIUS_MAX * size / (_DISPARITIES[0] - _FOCUS_DISPARITY), _FOCUS_DISPARITY)


def benchmark_scene(size: int) -> Scene:
    """The scene for a frame of `size` x `size` pixels."""
    overscan = math.ceil(_BLUR_RADIUS_MAX * size) + 4
    # Positions in frame widths: 0 to 1 inside the frame at every size.
    along = (np.arange(size + 2 * overscan) + 0.5 - overscan) / size
    x, y = (grid.astype(np.float32) for grid in np.meshgrid(along, along))
    layers = []
    for i, (draw_matte, num_lights) in enumerate(((_leaves, 0), (_frames, 15), (_smoke, 15), (_fence, 0), (_wall, 45))):
        # The layout has a generator of its own, so that it is the same at every size.
        layout, texture = np.random.default_rng([_SEED, i]), np.random.default_rng([_SEED, i, size])
        alpha = draw_matte(x, y, size, layout)
        colour = _colour(_PALETTE[i], size, alpha.shape[0], texture)
        _add_lights(colour, x, y, size, num_lights, layout)
        rgba = np.concatenate([colour, alpha[..., None]], axis=-1).astype(np.float16)
        layers.append(Billboard(rgba, _DISPARITIES[i]))
    return Scene(tuple(layers), size, size, overscan)


def _coverage(distance: NDArray, soft: float) -> NDArray:
    """Alpha of a shape from the signed distance to its edge (negative inside) and the width of its soft edge, both in
    frame widths."""
    return np.clip(0.5 - distance / soft, 0.0, 1.0)


def _leaves(x: NDArray, y: NDArray, size: int, rng: np.random.Generator) -> NDArray:
    """Grass at the bottom with hard edges, and round leaves. Every second leaf has a soft edge."""
    nearest = np.zeros_like(x)
    for _ in range(16):
        root, lean, tip = rng.uniform(0.0, 1.0), rng.uniform(-0.3, 0.3), rng.uniform(0.1, 0.5)
        height = np.clip((1.0 - y) / (1.0 - tip), 0.0, 1.0)
        half_width = 0.008 * (1.0 - height)
        blade = _coverage(np.abs(x - root - lean * height**2) - half_width, 1.0 / size)
        nearest = np.maximum(nearest, np.where(y > tip, blade, 0.0))
    for leaf in range(5):
        centre, radius = rng.uniform(0.0, 1.0, 2), rng.uniform(0.05, 0.12)
        distance = np.hypot(x - centre[0], y - centre[1]) - radius
        nearest = np.maximum(nearest, _coverage(distance, 0.02 if leaf % 2 else 1.0 / size))
    return nearest


def _frames(x: NDArray, y: NDArray, size: int, rng: np.random.Generator) -> NDArray:
    """Upright plates with hard edges. Every second plate has a hole."""
    alpha = np.zeros_like(x)
    for plate in range(8):
        centre, half = rng.uniform(0.0, 1.0, 2), rng.uniform(0.03, 0.13, 2)
        outside = np.maximum(np.abs(x - centre[0]) - half[0], np.abs(y - centre[1]) - half[1])
        if plate % 2:
            outside = np.maximum(outside, -outside - 0.6 * half.min())
        alpha = np.maximum(alpha, _coverage(outside, 1.0 / size))
    return alpha


def _smoke(x: NDArray, y: NDArray, size: int, rng: np.random.Generator) -> NDArray:
    """Soft patches that cover about two fifths of the layer."""
    density = sum(_waves(x, y, 8.0 * 2**octave, rng) / 1.6**octave for octave in range(5))
    return np.clip(1.5 * (density - np.quantile(density, 0.6)) + 0.5, 0.0, 1.0)


def _fence(x: NDArray, y: NDArray, size: int, rng: np.random.Generator) -> NDArray:
    """Wire mesh over the right half, hair over the left half, and a ball in front of the hair."""
    mesh = np.minimum(*(np.abs((x + sign * y) * 18.0 % 1.0 - 0.5) for sign in (1.0, -1.0))) / 18.0 / math.sqrt(2.0)
    alpha = np.where(x > 0.5, _coverage(mesh - 0.0016, 1.0 / size), 0.0)
    for _ in range(24):
        root, bend, phase = rng.uniform(0.0, 0.5), rng.uniform(0.01, 0.04), rng.uniform(0.0, 2.0 * np.pi)
        hair = np.abs(x - root - bend * np.sin(9.0 * y + phase)) - 0.5 / 512.0
        alpha = np.maximum(alpha, _coverage(hair, 1.0 / size))
    ball = np.hypot(x - 0.25, y - 0.65) - 0.15
    return np.maximum(alpha, _coverage(ball, 0.01))


def _wall(x: NDArray, y: NDArray, size: int, rng: np.random.Generator) -> NDArray:
    return np.ones_like(x)


def _waves(x: NDArray, y: NDArray, frequency: float, rng: np.random.Generator) -> NDArray:
    """A smooth field of unit variance: plane waves of one frequency (radians per frame width) in eight directions."""
    angle, phase = rng.uniform(0.0, 2.0 * np.pi, (2, 8))
    waves = [np.sin(frequency * (x * np.cos(a) + y * np.sin(a)) + p) for a, p in zip(angle, phase, strict=True)]
    return np.sum(waves, axis=0) / 2.0


def _colour(base: tuple[float, float, float], size: int, side: int, rng: np.random.Generator) -> NDArray:
    """(side, side, 3) linear light: noise octaves from an eighth of the frame to texels, with fine checks on half."""
    noise = np.zeros((side, side, 3), np.float32)
    cell, weight, total = size / 8.0, 1.0, 0.0
    while cell >= 2.0:
        grid = rng.random((math.ceil(side / cell) + 1, math.ceil(side / cell) + 1, 3), np.float32)
        noise += weight * cv2.resize(grid, (side, side), interpolation=cv2.INTER_LINEAR)
        cell, weight, total = cell / 2.0, 0.62 * weight, total + weight
    noise /= total
    grain = rng.random((side, side, 1), np.float32) - 0.5
    thirds = np.arange(side) // 3
    checks = ((thirds[:, None] + thirds) % 2 - 0.5)[..., None] * (noise[..., :1] > 0.5)
    display = np.array(base, np.float32) * (0.35 + 1.1 * noise) + 0.18 * grain + 0.15 * checks
    return linear_from_display(np.clip(display, 0.02, 1.0))


def _add_lights(colour: NDArray, x: NDArray, y: NDArray, size: int, count: int, rng: np.random.Generator) -> None:
    """Round lights of one to four texels radius (at 512), 2 to 20 times white."""
    for _ in range(count):
        centre, radius = rng.uniform(0.0, 1.0, 2), rng.uniform(0.0015, 0.0055)
        light = rng.uniform(4.0, 20.0) * rng.uniform(0.4, 1.0, 3)
        inside = _coverage(np.hypot(x - centre[0], y - centre[1]) - radius, 1.0 / size)[..., None]
        colour += inside * (light - colour)
