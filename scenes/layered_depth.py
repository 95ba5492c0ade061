"""Scenes that are not flat, as one camera sees them: RGBA layers with a disparity at every texel."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from scenes.billboard import overscan_px
from scenes.layered import LayeredScene, SceneError
from scenes.lens import ThinLens, signed_defocus_px


@dataclass(frozen=True, eq=False)
class DepthImage:
    """A picture with a disparity at every texel.

    rgba        as of every `Layer`; its colour may be anything under alpha 0
    disparity   (H + 2 overscan, W + 2 overscan) float32, finite, >= 0; also where alpha is 0, since a pixel beside an
                edge sees the layer through a lens that is as much out of focus for it
    """

    rgba: NDArray[np.float16]
    disparity: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LayeredDepthImage(LayeredScene):
    """A scene that is not flat, as seen by one camera (Shade et al. 1998, "Layered depth images"), cut by depth.

    No ray can be traced through it as through billboards: what a layer hides of itself is not there.

    layers   near to far at every texel, as of every `LayeredScene`
    """

    layers: tuple[DepthImage, ...]

    def __post_init__(self):
        super().__post_init__()
        for i, layer in enumerate(self.layers):
            if layer.disparity.shape != self.extended_shape or layer.disparity.dtype != np.float32:
                found = f"{layer.disparity.shape} {layer.disparity.dtype}"
                raise SceneError(f"the disparity of layer {i} is {found}, not {self.extended_shape} float32")
            if not (layer.disparity.min() >= 0.0 and np.isfinite(layer.disparity.max())):
                raise SceneError(f"the disparity of layer {i} holds values that are negative or not finite")

    def layer_disparity(self, layer_index: int) -> NDArray[np.float32]:
        return self.layers[layer_index].disparity

    def reaching(self, lens: ThinLens) -> Self:
        """With the overscan that the lens needs for what is seen: border texels repeat where there is less."""
        blur_px = signed_defocus_px(self.composite_disparity(), lens.blur_parameter, lens.focus_disparity)
        margin = overscan_px(float(np.abs(blur_px).max())) - self.overscan
        if margin <= 0:
            return self
        sides = ((margin, margin), (margin, margin))
        layers = tuple(
            DepthImage(np.pad(layer.rgba, (*sides, (0, 0)), mode="edge"), np.pad(layer.disparity, sides, mode="edge"))
            for layer in self.layers
        )
        return replace(self, layers=layers, overscan=self.overscan + margin)
