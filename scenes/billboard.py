"""Scenes of RGBA billboards: what is in front of the lens.

A scene is a few flat layers, near to far, the last one opaque. Each stands at one disparity, or on a slanted plane
whose disparity is linear over the picture (a plane in space has linear *inverse* depth; MPIB, Eq. 7). All layers have
the size of the frame plus the same overscan on every side, so that rays through the edge of the lens still hit the
scene.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scenes.color import HALF_MAX
from scenes.lens import ThinLens, signed_defocus_px


class SceneError(ValueError):
    """A scene that the tracer cannot render; the message names the layer and the value."""


@dataclass(frozen=True, eq=False)
class Billboard:
    """One flat layer.

    rgba        (H + 2 overscan, W + 2 overscan, 4) float16, straight alpha in [0, 1], colour in linear light at the
                reference gamma, in [0, 65504], extended under alpha 0
    disparity   at the centre of the frame (W/2, H/2), >= 0
    slope       (gx, gy), change of disparity per pixel, x right, y down; (0, 0) faces the camera
    asset       where the picture comes from: plain values for scene.yaml (kind, sha256 or style, child of the scene's
                generator, placement, ...)
    """

    rgba: NDArray[np.float16]
    disparity: float
    slope: tuple[float, float] = (0.0, 0.0)
    asset: Mapping = field(default_factory=dict)

    @property
    def is_slanted(self) -> bool:
        return self.slope != (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Scene:
    """Layers near to far in front of one camera; the constructor raises SceneError for what cannot be rendered.

    layers     at least one; the last is opaque, and no two disparity intervals overlap
    width      of the frame, pixels
    height     of the frame, pixels
    overscan   pixels that every layer extends beyond the frame on every side
    """

    layers: tuple[Billboard, ...]
    width: int
    height: int
    overscan: int

    def __post_init__(self):
        if not self.layers:
            raise SceneError("a scene needs at least one layer")
        shape = (self.height + 2 * self.overscan, self.width + 2 * self.overscan, 4)
        for i, layer in enumerate(self.layers):
            if layer.rgba.shape != shape or layer.rgba.dtype != np.float16:
                raise SceneError(f"layer {i} is {layer.rgba.shape} {layer.rgba.dtype}, not {shape} float16")
            if not np.isfinite(layer.rgba).all() or layer.rgba.min() < 0.0:
                raise SceneError(f"layer {i} holds values that are negative or not finite")
            if layer.rgba[..., 3].max() > 1.0:
                raise SceneError(f"layer {i} has alpha {layer.rgba[..., 3].max()}; it must lie in [0, 1]")
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
        if self.layers[-1].rgba[..., 3].min() < 1.0:
            raise SceneError("the last layer must be opaque")

    @property
    def is_slanted(self) -> bool:
        return any(layer.is_slanted for layer in self.layers)

    def disparity_interval(self, layer_index: int) -> tuple[float, float]:
        """Smallest and largest disparity of a layer over the frame and its overscan."""
        layer = self.layers[layer_index]
        gx, gy = layer.slope
        reach = abs(gx) * (self.width / 2 + self.overscan) + abs(gy) * (self.height / 2 + self.overscan)
        return layer.disparity - reach, layer.disparity + reach

    def blur_radius_max_px(self, lens: ThinLens) -> float:
        """Largest distance in pixels between a pixel and where one of its rays meets a layer."""
        return max(
            largest_blur_radius_px(self.disparity_interval(i), layer.slope, lens) for i, layer in enumerate(self.layers)
        )

    def require_overscan(self, lens: ThinLens) -> None:
        """Raise SceneError where a ray through the lens could leave a layer at the border of the frame."""
        needed = math.ceil(self.blur_radius_max_px(lens)) + 2
        if self.overscan < needed:
            raise SceneError(
                f"the scene has {self.overscan} px of overscan; blur parameter {lens.blur_parameter} px at focus "
                f"disparity {lens.focus_disparity} needs {needed} px"
            )

    def frame_disparity(self, layer_index: int) -> NDArray[np.float32]:
        """Disparity of a layer's plane at the pixel centres of the frame: (H, W) float32."""
        layer = self.layers[layer_index]
        gx, gy = layer.slope
        x = np.arange(self.width) + 0.5 - self.width / 2
        y = np.arange(self.height) + 0.5 - self.height / 2
        return (layer.disparity + gx * x[None, :] + gy * y[:, None]).astype(np.float32)

    def frame_rgba(self, layer_index: int) -> NDArray[np.float16]:
        """The part of a layer inside the frame: (H, W, 4) float16, straight alpha."""
        o = self.overscan
        return self.layers[layer_index].rgba[o : o + self.height, o : o + self.width]

    def composite_disparity(self) -> NDArray[np.float32]:
        """Disparity of the nearest layer with alpha >= 0.5 at every pixel: (H, W) float32."""
        disparity = np.empty((self.height, self.width), np.float32)
        for i in reversed(range(len(self.layers))):
            np.copyto(disparity, self.frame_disparity(i), where=self.frame_rgba(i)[..., 3] >= 0.5)
        return disparity

    def composite_depth(self) -> NDArray[np.float32]:
        """Planar depth 1 / disparity of the composite: (H, W) float32; 65504 where it is farther or at infinity."""
        return np.float32(1.0) / np.maximum(self.composite_disparity(), np.float32(1.0 / HALF_MAX))


def largest_blur_radius_px(
    disparity_interval: tuple[float, float], slope: tuple[float, float], lens: ThinLens
) -> float:
    """Largest |S| in pixels over a plane and the whole lens; SceneError where the plane cuts through the lens."""
    tilt = lens.blur_parameter * math.hypot(*slope)
    if tilt >= 1.0:
        raise SceneError(f"slope {slope} with blur parameter {lens.blur_parameter} px puts the plane through the lens")
    # The interval already covers frame and overscan, so |S| = K |d_hit - d_f| is largest at one of its ends.
    return max(abs(signed_defocus_px(d, lens.blur_parameter, lens.focus_disparity)) for d in disparity_interval)


def overscan_px(blur_radius_max_px: float) -> int:
    """Even overscan that keeps every ray inside a layer: the largest blur radius, and 2 px for pixel and lookup."""
    return 2 * math.ceil((math.ceil(blur_radius_max_px) + 2) / 2)
