"""The protocol of every renderer, and the way from an operator on linear light to it.

A picture is *display-referred*: linear = display ** gamma, the pure power law of `scenes.color`. It may exceed 1 where
a highlight does. All blur happens in linear light, between the two powers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scenes.color import REFERENCE_GAMMA, display_from_linear, linear_from_display
from scenes.layered import LayeredScene
from scenes.lens import ThinLens

Image = NDArray[np.float32]


class RendererError(ValueError):
    """An input that a renderer cannot work with; the message names the value and what is needed."""


class Renderer(Protocol):
    """Refocus a picture. Without state: equal inputs give equal outputs, on any number of threads."""

    def __call__(
        self,
        image: Image,
        disparity: NDArray[np.float32],
        lens: ThinLens,
        *,
        gamma: float = REFERENCE_GAMMA,
        scene: LayeredScene | None = None,
    ) -> Image:
        """
        image       all-in-focus, (H, W, 3) float32 display values at `gamma`, >= 0, not clipped at 1
        disparity   (H, W) float32, larger is nearer, in the unit of the lens
        lens        K in pixels per unit of that disparity, d_f, aperture; K = 0 returns the picture as it is
        gamma       of the display values, > 0
        scene       true layers of the picture, flat or with a disparity at every texel, for the methods that use them;
                    the others ignore it
        returns     (H, W, 3) float32 display values at `gamma`, not clipped
        raises      RendererError for shapes or values that do not fit, and for a scene that is missing or of a kind
                    that the method cannot use
        """
        ...


@dataclass(frozen=True)
class ClassicalRenderer:
    """A renderer made of an operator on linear light, which is imported at the first call.

    operator   "module:function", called as f(linear, disparity, lens), or if `layered` as
               f(linear, disparity, lens, gamma=gamma, scene=scene); returns linear light
    layered    whether the method uses the true layers where they are known
    """

    operator: str
    layered: bool = False

    def __call__(
        self,
        image: Image,
        disparity: NDArray[np.float32],
        lens: ThinLens,
        *,
        gamma: float = REFERENCE_GAMMA,
        scene: LayeredScene | None = None,
    ) -> Image:
        require_picture(image, disparity)
        if not gamma > 0.0:
            raise RendererError(f"gamma is {gamma}; it must be above 0")
        if lens.blur_parameter == 0.0:
            return image.copy()
        linear = linear_from_display(np.ascontiguousarray(image), gamma)
        disparity = np.ascontiguousarray(disparity)
        if self.layered:
            _require_same_frame(image, scene)
            refocused = self._function(linear, disparity, lens, gamma=gamma, scene=scene)
        else:
            refocused = self._function(linear, disparity, lens)
        return display_from_linear(refocused, gamma)

    @cached_property
    def _function(self) -> Callable[..., Image]:
        module, name = self.operator.split(":")
        return getattr(import_module(module), name)


def render_batch(
    renderer: Renderer,
    images: NDArray[np.float32],
    disparities: NDArray[np.float32],
    lenses: Sequence[ThinLens],
    *,
    gamma: float = REFERENCE_GAMMA,
    scenes: Sequence[LayeredScene | None] | None = None,
) -> NDArray[np.float32]:
    """Pictures (B, H, W, 3) with disparities (B, H, W) through one lens each: (B, H, W, 3)."""
    scenes = [None] * len(images) if scenes is None else scenes
    items = zip(images, disparities, lenses, scenes, strict=True)
    return np.stack([renderer(image, d, lens, gamma=gamma, scene=scene) for image, d, lens, scene in items])


def require_picture(image: NDArray, disparity: NDArray) -> None:
    """RendererError unless (H, W, 3) float32 >= 0 and (H, W) float32 of one size, all finite."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.float32 or image.size == 0:
        raise RendererError(f"the image is {image.shape} {image.dtype}; it must be (H, W, 3) float32")
    if disparity.shape != image.shape[:2] or disparity.dtype != np.float32:
        raise RendererError(f"the disparity is {disparity.shape} {disparity.dtype}, not {image.shape[:2]} float32")
    # min and max pass on a nan.
    if not (image.min() >= 0.0 and np.isfinite(image.max())):
        raise RendererError("the image holds values that are negative or not finite")
    if not (np.isfinite(disparity.min()) and np.isfinite(disparity.max())):
        raise RendererError("the disparity holds values that are not finite")


def _require_same_frame(image: NDArray, scene: LayeredScene | None) -> None:
    if scene is not None and (scene.height, scene.width) != image.shape[:2]:
        raise RendererError(f"the scene is {(scene.height, scene.width)}, the image {image.shape[:2]}")
