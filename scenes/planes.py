"""From layers with a disparity at every texel to flat billboards, which rays can be traced through.

A layer that was found in a photograph is a billboard if its disparities are those of a plane. What they are away from
it moves rays by K |d - plane| pixels, which is nothing to see while it is a part of a pixel.
"""

import numpy as np
from numpy.typing import NDArray

from scenes.billboard import Billboard, Scene, largest_blur_radius_px, overscan_px
from scenes.layered import SceneError
from scenes.layered_depth import DepthImage, LayeredDepthImage
from scenes.lens import TracedLens

# Largest distance between a surface and its plane, in pixels of blur.
TOLERANCE_PX = 0.25

# A plane that is tilted by less, over all of a layer, is one that faces the camera. Those are traced much faster.
_TILT_PX = 0.01

# Each widening of the overscan lets a slanted plane come nearer or go farther, by less each time.
_WIDENINGS_MAX = 64

# Widest overscan, relative to the longer side of the frame.
_OVERSCAN_MAX = 2


def billboards(layers: LayeredDepthImage, lens: TracedLens, *, tolerance_px: float = TOLERANCE_PX) -> Scene:
    """The scene of flat layers that is the same to within `tolerance_px` of blur, with overscan for the lens.

    Only texels that are seen or hide count, those with alpha above 0. Border texels are repeated where the overscan is
    too small. SceneError names the first layer that is no plane, and by how much; planes that cross; and a plane that
    passes through the lens or reaches behind infinity.
    """
    planes = [_plane(i, layers, lens, tolerance_px) for i in range(len(layers.layers))]
    margin = _margin(layers, planes, lens)
    flat = tuple(
        Billboard(_widened(layer, margin), disparity, slope)
        for layer, (disparity, slope) in zip(layers.layers, planes, strict=True)
    )
    return Scene(flat, layers.width, layers.height, layers.overscan + margin)


Fit = tuple[float, tuple[float, float]]


def _plane(number: int, layers: LayeredDepthImage, lens: TracedLens, tolerance_px: float) -> Fit:
    """Disparity at the frame's centre and slope of a layer; SceneError where it is no plane."""
    layer, per_disparity_px = layers.layers[number], lens.parallax_max_px
    y, x = np.nonzero(layer.rgba[..., 3] > 0.0)
    if not y.size:
        return float(layer.disparity[0, 0]), (0.0, 0.0)
    d = layer.disparity[y, x].astype(np.float64)
    right, down = x + 0.5 - layers.overscan - layers.width / 2, y + 0.5 - layers.overscan - layers.height / 2
    flat, tilted = _middle(d), _fitted(right, down, d)
    off_px = per_disparity_px * np.abs(d - tilted[0] - tilted[1][0] * right - tilted[1][1] * down)
    if per_disparity_px * float(np.abs(d - flat).max()) <= max(_TILT_PX, float(off_px.max())):
        tilted, off_px = (flat, (0.0, 0.0)), per_disparity_px * np.abs(d - flat)
    worst = int(np.argmax(off_px))
    if off_px[worst] > tolerance_px:
        at = f"({x[worst] - layers.overscan}, {y[worst] - layers.overscan})"
        raise SceneError(
            f"layer {number} is no plane: with K {lens.blur_parameter:.4g} px its surface is up to "
            f"{off_px[worst]:.3g} px of blur away from one, at pixel {at}, and {tolerance_px:g} px can be traced; "
            "use less blur, or a renderer of layers, such as layers-over"
        )
    return tilted


def _middle(values: NDArray[np.float64]) -> float:
    """The number whose largest distance to all values is smallest."""
    return 0.5 * (float(values.min()) + float(values.max()))


def _fitted(right: NDArray[np.float64], down: NDArray[np.float64], d: NDArray[np.float64]) -> Fit:
    """The plane of least squares, moved so that it is as far from the nearest texel as from the farthest."""
    columns = np.stack([np.ones_like(d), right - right.mean(), down - down.mean()])
    # Of a row of texels, or a single one, the smallest slope.
    _, gx, gy = np.linalg.lstsq(columns @ columns.T, columns @ (d - d.mean()), rcond=1e-9)[0]
    return _middle(d - gx * right - gy * down), (float(gx), float(gy))


def _margin(layers: LayeredDepthImage, planes: list[Fit], lens: TracedLens) -> int:
    """Texels to add on every side, so that no ray leaves a layer."""
    overscan = layers.overscan
    for _ in range(_WIDENINGS_MAX):
        width, height = layers.width / 2 + overscan, layers.height / 2 + overscan
        radius_px = 0.0
        for disparity, (gx, gy) in planes:
            reach = abs(gx) * width + abs(gy) * height
            interval = disparity - reach, disparity + reach
            radius_px = max(radius_px, largest_blur_radius_px(interval, (gx, gy), lens))
        needed = overscan_px(radius_px)
        if needed <= overscan:
            return overscan - layers.overscan
        if needed > _OVERSCAN_MAX * max(layers.width, layers.height):
            break
        overscan = needed
    raise SceneError(f"a plane is too steep for a lens of blur parameter {lens.blur_parameter:.4g} px; use less blur")


def _widened(layer: DepthImage, margin: int) -> NDArray[np.float16]:
    sides = ((margin, margin), (margin, margin), (0, 0))
    return np.pad(layer.rgba, sides, mode="edge") if margin else layer.rgba
