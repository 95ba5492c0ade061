"""Scenes that are not flat, as one camera sees them: RGBA layers with a disparity at every texel."""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from scenes.billboard import overscan_px
from scenes.layered import LayeredScene, SceneError
from scenes.lens import ThinLens

# A surface goes on where its blur radius changes by less than this from texel to texel.
_CONTINUOUS_PX = 0.5

# Each texel and its neighbour to the right, each and the one below it.
_NEIGHBOURS = (
    ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
)


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

    def for_lens(self, lens: ThinLens) -> Self:
        """Continued beyond the frame and behind cuts, as far as the lens makes that seen.

        Where the overscan is less than the blur of what is seen, border texels repeat. A surface that a cut by depth
        severs goes on in the farther layer: layers hide each other as if their edges had nothing to do with each other,
        which at such an edge would show what is under the surface.
        """
        blur_px = lens.defocus_px(self.composite_disparity())
        blur_max_px = float(np.abs(blur_px).max())
        scene = self._with_overscan(overscan_px(blur_max_px))
        pairs = zip(scene.layers[:-1], scene.layers[1:], strict=True)
        mended = tuple(_continued(farther, nearer, lens, math.ceil(blur_max_px)) for nearer, farther in pairs)
        return replace(scene, layers=(scene.layers[0], *mended))

    def _with_overscan(self, overscan: int) -> Self:
        margin = overscan - self.overscan
        if margin <= 0:
            return self
        sides = ((margin, margin), (margin, margin))
        layers = tuple(
            DepthImage(np.pad(layer.rgba, (*sides, (0, 0)), mode="edge"), np.pad(layer.disparity, sides, mode="edge"))
            for layer in self.layers
        )
        return replace(self, layers=layers, overscan=overscan)


def _continued(farther: DepthImage, nearer: DepthImage, lens: ThinLens, reach_px: int) -> DepthImage:
    """A layer that goes on with the surfaces of the nearer one that touch it, at most `reach_px` from where they do."""
    near_px, far_px = (lens.defocus_px(layer.disparity) for layer in (nearer, farther))
    covered = nearer.rgba[..., 3] >= 0.5
    seen = (farther.rgba[..., 3] >= 0.5) & ~covered
    continued = np.zeros_like(covered)
    links = []
    for here, there in _NEIGHBOURS:
        links.append(covered[here] & covered[there] & (np.abs(near_px[here] - near_px[there]) < _CONTINUOUS_PX))
        for a, b in ((here, there), (there, here)):
            continued[a] |= covered[a] & seen[b] & (np.abs(near_px[a] - far_px[b]) < _CONTINUOUS_PX)
    if not continued.any():
        return farther
    for _ in range(reach_px):
        for (here, there), linked in zip(_NEIGHBOURS, links, strict=True):
            continued[here] |= continued[there] & linked
            continued[there] |= continued[here] & linked
    alpha = np.maximum(nearer.rgba[..., 3:], farther.rgba[..., 3:])
    rgba = np.where(continued[..., None], np.concatenate([nearer.rgba[..., :3], alpha], axis=-1), farther.rgba)
    return DepthImage(rgba, np.where(continued, nearer.disparity, farther.disparity))
