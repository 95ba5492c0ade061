"""Three-dimensional scenes as one camera sees them: RGBA layers with a disparity at every texel."""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from scenes.arrays import HalfRgba, Plane, bounding_box
from scenes.billboard import overscan_px
from scenes.layered import LayeredScene, SceneError
from scenes.lens import ThinLens

# Neighbouring texels belong to one surface if their blur radii differ by less than this.
_CONTINUOUS_PX = 0.5

# Indices of every texel and of its right neighbour; the same for its lower neighbour.
_NEIGHBOURS = (
    ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
)


@dataclass(frozen=True, eq=False)
class DepthImage:
    """A picture with a disparity at every texel.

    rgba        as in `Layer`; colour under alpha 0 is arbitrary
    disparity   (H + 2 overscan, W + 2 overscan) float32, finite, >= 0. It is needed where alpha is 0 too: a pixel
                beside an edge receives the layer's light with the defocus at that pixel
    repeats     (H + 2 overscan, W + 2 overscan) bool: texels of the nearer layer again, behind a cut that severs a
                surface. They hide what is behind; their light is that layer's. None where there are none
    """

    rgba: HalfRgba
    disparity: Plane
    repeats: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class LayeredDepthImage(LayeredScene):
    """A three-dimensional scene as one camera sees it, cut by depth (Shade et al. 1998, "Layered depth images").

    Rays cannot be traced through it as through billboards: parts of a layer that are hidden by the same layer are
    missing.

    layers   near to far at every texel, as in `LayeredScene`
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

    def layer_disparity(self, layer_index: int) -> Plane:
        return self.layers[layer_index].disparity

    def for_lens(self, lens: ThinLens) -> Self:
        """The scene, extended beyond the frame and behind the cuts in depth as far as the lens can see.

        Border texels are repeated where the overscan is smaller than the largest blur radius. A surface that a cut
        severs is continued in the farther layer: compositing treats the edges of two layers as unrelated, so without
        this the background would show through the surface along the cut.
        """
        blur_px = lens.defocus_px(self.composite_disparity())
        blur_max_px = float(np.abs(blur_px).max())
        margin = max(overscan_px(blur_max_px) - self.overscan, 0)
        extended = [_extended(layer, margin) for layer in self.layers]
        mended = extended[:1]
        for farther in extended[1:]:
            mended.append(_continued(farther, mended[-1], lens, math.ceil(blur_max_px)))
        return replace(self, layers=tuple(mended), overscan=self.overscan + margin)

    def repeats(self, layer_index: int) -> NDArray[np.bool_] | None:
        return self.layers[layer_index].repeats


def _extended(layer: DepthImage, margin: int) -> DepthImage:
    """The layer with its border texels repeated."""
    if margin == 0:
        return layer
    sides = ((margin, margin), (margin, margin))
    return DepthImage(np.pad(layer.rgba, (*sides, (0, 0)), mode="edge"), np.pad(layer.disparity, sides, mode="edge"))


def _continued(farther: DepthImage, nearer: DepthImage, lens: ThinLens, reach_px: int) -> DepthImage:
    """The farther layer, with the nearer layer's surfaces that touch it copied in up to `reach_px` from the contact."""
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
    around = bounding_box(continued, reach_px)
    grown, links = continued[around], [linked[around] for linked in links]
    for _ in range(reach_px):
        for (here, there), linked in zip(_NEIGHBOURS, links, strict=True):
            linked = linked[: grown[here].shape[0], : grown[here].shape[1]]
            grown[here] |= grown[there] & linked
            grown[there] |= grown[here] & linked
    alpha = np.maximum(nearer.rgba[..., 3:], farther.rgba[..., 3:])
    rgba = np.where(continued[..., None], np.concatenate([nearer.rgba[..., :3], alpha], axis=-1), farther.rgba)
    return DepthImage(rgba, np.where(continued, nearer.disparity, farther.disparity), continued)
