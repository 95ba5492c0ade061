"""Three-dimensional scenes as one camera sees them: RGBA layers with a disparity at every texel."""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from scenes.arrays import HalfRgba, Plane
from scenes.billboard import overscan_px
from scenes.layered import LayeredScene, SceneError
from scenes.lens import ThinLens, blur_radius_max_px
from scenes.matte import filled

# Neighbouring texels belong to one surface if their blur radii differ by less than this.
_CONTINUOUS_PX = 0.5


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
        blur_max_px = blur_radius_max_px(lens, self.composite_disparity())
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
    continued = _along(near_px, far_px, covered, (farther.rgba[..., 3] >= 0.5) & ~covered, reach_px)
    if not continued.any():
        return farther
    rgba = filled(farther.rgba, nearer.rgba, continued)
    np.copyto(rgba[..., 3], nearer.rgba[..., 3], where=continued & (nearer.rgba[..., 3] > farther.rgba[..., 3]))
    return DepthImage(rgba, np.where(continued, nearer.disparity, farther.disparity), continued)


def _along(near_px: Plane, far_px: Plane, covered: NDArray, seen: NDArray, steps: int) -> NDArray[np.bool_]:
    """(H, W): covered texels that touch one that is seen, and up to so many steps along their surface from these.

    Each step is one texel to the sides, then one up or down.
    """
    height, width = covered.shape[0] + 2, covered.shape[1] + 2
    # With a frame around that is not covered, every neighbour of a texel is in the array.
    near, far, covered, seen = (np.pad(plane, 1).ravel() for plane in (near_px, far_px, covered, seen))
    reached, inside = np.zeros_like(covered), np.flatnonzero(covered)
    for there in (-1, 1, -width, width):
        beside = inside[seen[inside + there]]
        reached[beside[np.abs(near[beside] - far[beside + there]) < _CONTINUOUS_PX]] = True
    # Of the texels that are reached, those of the last step have neighbours that are not.
    front = np.flatnonzero(reached)
    for _ in range(steps):
        fresh = front
        for there in (1, width):
            found = []
            for away in (-there, there):
                new = covered[fresh + away] & ~reached[fresh + away]
                new &= np.abs(near[fresh] - near[fresh + away]) < _CONTINUOUS_PX
                found.append(fresh[new] + away)
                reached[found[-1]] = True
            fresh = np.concatenate([fresh, *found])
        front = fresh[len(front) :]
    return reached.reshape(height, width)[1:-1, 1:-1]
