"""Scenes of RGBA layers: what flat billboards and layers with a disparity at every texel have in common.

All layers have the size of the frame plus the same overscan on every side, so that rays through the edge of the lens
still hit the scene.
"""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from scenes.arrays import HalfRgba, Picture, Plane, single
from scenes.color import HALF_MAX
from scenes.lens import ThinLens

# As integers, half floats from 0 on have the order of their values; those that are not numbers, or below 0, are larger.
_ONE, _INFINITY = (int(np.float16(value).view(np.uint16)) for value in (1.0, np.inf))


class SceneError(ValueError):
    """A scene that cannot be rendered; the message names the layer and the value."""


class Layer(Protocol):
    """One layer of a scene."""

    @property
    def rgba(self) -> HalfRgba:
        """(H + 2 overscan, W + 2 overscan, 4): straight alpha in [0, 1], colour in linear light at the reference gamma,
        in [0, 65504]."""
        ...


@dataclass(frozen=True, eq=False)
class LayeredScene:
    """Layers near to far in front of one camera. The constructor raises SceneError if they cannot be rendered.

    layers     at least one; the last is opaque
    width      of the frame, pixels
    height     of the frame, pixels
    overscan   pixels by which every layer extends beyond the frame on every side
    """

    layers: tuple[Layer, ...]
    width: int
    height: int
    overscan: int

    def __post_init__(self):
        if not self.layers:
            raise SceneError("a scene needs at least one layer")
        shape = (*self.extended_shape, 4)
        for i, layer in enumerate(self.layers):
            if layer.rgba.shape != shape or layer.rgba.dtype != np.float16:
                raise SceneError(f"layer {i} is {layer.rgba.shape} {layer.rgba.dtype}, not {shape} float16")
            bits = layer.rgba.view(np.uint16)
            if bits.max() < _INFINITY and bits[..., 3].max() <= _ONE:
                continue
            rgba = single(layer.rgba)
            if not np.isfinite(rgba).all() or rgba.min() < 0.0:
                raise SceneError(f"layer {i} holds values that are negative or not finite")
            if rgba[..., 3].max() > 1.0:
                raise SceneError(f"layer {i} has alpha {layer.rgba[..., 3].max()}; it must lie in [0, 1]")
        if self.layers[-1].rgba[..., 3].min() < 1.0:
            raise SceneError("the last layer must be opaque")

    @property
    def extended_shape(self) -> tuple[int, int]:
        """(H + 2 overscan, W + 2 overscan)."""
        return self.height + 2 * self.overscan, self.width + 2 * self.overscan

    def layer_disparity(self, layer_index: int) -> Plane:
        """Disparity of a layer at the centres of all its texels: (H + 2 overscan, W + 2 overscan) float32."""
        raise NotImplementedError

    def repeats(self, layer_index: int) -> NDArray[np.bool_] | None:
        """Texels of a layer that hide but have no light of their own, (H + 2 overscan, W + 2 overscan); None: none."""
        return None

    def for_lens(self, lens: ThinLens) -> Self:
        """The scene, extended as far as rays through the lens reach. Raises SceneError if that is impossible."""
        raise NotImplementedError

    def frame_disparity(self, layer_index: int) -> Plane:
        """Disparity of a layer at the pixel centres of the frame: (H, W) float32."""
        return self.cropped(self.layer_disparity(layer_index))

    def frame_rgba(self, layer_index: int) -> HalfRgba:
        """The part of a layer inside the frame: (H, W, 4) float16, straight alpha."""
        return self.cropped(self.layers[layer_index].rgba)

    def cropped(self, extended: NDArray) -> NDArray:
        """The frame's part of an array of all texels: (H + 2 overscan, W + 2 overscan, ...) to (H, W, ...)."""
        o = self.overscan
        return extended[o : o + self.height, o : o + self.width]

    def composite(self) -> Picture:
        """All-in-focus picture: (H, W, 3) float32 linear light, each layer over the ones behind it."""
        linear = np.zeros((self.height, self.width, 3), np.float32)
        for i in reversed(range(len(self.layers))):
            rgba = single(self.frame_rgba(i))
            linear = linear * (1.0 - rgba[..., 3:]) + rgba[..., :3] * rgba[..., 3:]
        return linear

    def composite_disparity(self) -> Plane:
        """Disparity of the nearest layer with alpha >= 0.5 at every pixel: (H, W) float32."""
        disparity = np.empty((self.height, self.width), np.float32)
        for i in reversed(range(len(self.layers))):
            np.copyto(disparity, self.frame_disparity(i), where=self.frame_rgba(i)[..., 3] >= 0.5)
        return disparity

    def composite_depth(self) -> Plane:
        """Planar depth 1 / disparity of the composite: (H, W) float32, at most 65504, which also means infinity."""
        return np.float32(1.0) / np.maximum(self.composite_disparity(), np.float32(1.0 / HALF_MAX))
