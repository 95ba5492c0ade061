"""Scenes of RGBA billboards.

A scene is a few flat layers, near to far. The last one is opaque. Each layer has one disparity, or lies on a slanted
plane whose disparity is linear over the picture (a plane in space has linear *inverse* depth; MPIB, Eq. 7).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from scenes.arrays import HalfRgba, Plane
from scenes.layered import LayeredScene, SceneError
from scenes.lens import TracedLens


@dataclass(frozen=True, eq=False)
class Billboard:
    """One flat layer.

    rgba        (H + 2 overscan, W + 2 overscan, 4) float16, straight alpha in [0, 1], colour in linear light at the
                reference gamma, in [0, 65504], extended under alpha 0
    disparity   at the centre of the frame (W/2, H/2), >= 0
    slope       (gx, gy), change of disparity per pixel, x right, y down; (0, 0) faces the camera
    asset       origin of the picture: plain values for scene.yaml (kind, sha256 or style, child of the scene's
                generator, placement, ...)
    label       what a picture of it is a picture of, where that is asked for
    """

    rgba: HalfRgba
    disparity: float
    slope: tuple[float, float] = (0.0, 0.0)
    asset: Mapping = field(default_factory=dict)
    label: str | None = None

    @property
    def is_slanted(self) -> bool:
        return self.slope != (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Scene(LayeredScene):
    """Flat layers near to far in front of one camera. The constructor raises SceneError if they cannot be rendered.

    layers   as in `LayeredScene`; no two disparity intervals overlap
    """

    layers: tuple[Billboard, ...]

    def __post_init__(self):
        for i, layer in enumerate(self.layers):
            if not (math.isfinite(layer.disparity) and self.disparity_interval(i)[0] >= 0.0):
                raise SceneError(
                    f"layer {i} reaches disparity {self.disparity_interval(i)[0]}; it must stay at least 0"
                )
        for i in range(len(self.layers) - 1):
            nearer, farther = self.disparity_interval(i), self.disparity_interval(i + 1)
            if nearer[0] <= farther[1]:
                raise SceneError(
                    f"layers {i} and {i + 1} overlap in disparity ({nearer[0]:.4g} <= {farther[1]:.4g}); "
                    "layers go near to far with disjoint intervals"
                )
        super().__post_init__()

    @property
    def is_slanted(self) -> bool:
        return any(layer.is_slanted for layer in self.layers)

    def disparity_interval(self, layer_index: int) -> tuple[float, float]:
        """Smallest and largest disparity of a layer over the frame and its overscan."""
        layer = self.layers[layer_index]
        gx, gy = layer.slope
        reach = abs(gx) * (self.width / 2 + self.overscan) + abs(gy) * (self.height / 2 + self.overscan)
        return layer.disparity - reach, layer.disparity + reach

    def blur_radius_max_px(self, lens: TracedLens) -> float:
        """Largest distance in pixels between a pixel and the point where one of its rays meets a layer."""
        return max(
            largest_blur_radius_px(self.disparity_interval(i), layer.slope, lens) for i, layer in enumerate(self.layers)
        )

    def for_lens(self, lens: TracedLens) -> Self:
        """The scene itself. Raises SceneError as `require_overscan` does."""
        self.require_overscan(lens)
        return self

    def require_overscan(self, lens: TracedLens) -> None:
        """Raise SceneError if a ray through the lens could leave a layer at the border of the frame."""
        needed = math.ceil(self.blur_radius_max_px(lens)) + 2
        if self.overscan < needed:
            raise SceneError(
                f"the scene has {self.overscan} px of overscan; blur parameter {lens.blur_parameter} px at focus "
                f"disparity {lens.focus_disparity} needs {needed} px"
            )

    def layer_disparity(self, layer_index: int) -> Plane:
        """Disparity of a layer's plane at all its texels: (H + 2 overscan, W + 2 overscan) float32."""
        layer = self.layers[layer_index]
        height, width = self.extended_shape
        gx, gy = layer.slope
        x = np.arange(width) + 0.5 - width / 2
        y = np.arange(height) + 0.5 - height / 2
        return (layer.disparity + gx * x[None, :] + gy * y[:, None]).astype(np.float32)


def largest_blur_radius_px(
    disparity_interval: tuple[float, float], slope: tuple[float, float], lens: TracedLens
) -> float:
    """Largest |S| in pixels over a plane and the whole lens. Raises SceneError if the plane cuts through the lens."""
    tilt = lens.parallax_max_px * math.hypot(*slope)
    if tilt >= 1.0:
        raise SceneError(f"slope {slope} with blur parameter {lens.blur_parameter} px puts the plane through the lens")
    # The interval already covers frame and overscan, and rays are straight: they are farthest at one of its ends.
    return max(lens.reach_px(d) for d in disparity_interval)


def overscan_px(blur_radius_max_px: float) -> int:
    """Overscan that keeps every ray inside a layer: the largest blur radius plus 2 px for the pixel's area and the
    bilinear lookup, rounded up to an even number."""
    return 2 * math.ceil((math.ceil(blur_radius_max_px) + 2) / 2)
