"""The protocol of every renderer, and what renderers of all kinds share.

A picture is *display-referred*: linear = display ** gamma, the pure power law of `scenes.color`. It may exceed 1 where
a highlight does. All blur happens in linear light, between the two powers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA
from scenes.layered import LayeredScene
from scenes.lens import ThinLens

# What a method is given beside the lens; each has what stands before it as well.
#   picture     the all-in-focus picture alone
#   disparity   and its disparity map
#   layers      and the true layers, with what nearer ones hide
#   truth       the integral that made the truth
Information = Literal["picture", "disparity", "layers", "truth"]


class RendererError(ValueError):
    """An input that a renderer cannot work with; the message names the value and what is needed."""


@dataclass(frozen=True)
class Cost:
    """What networks cost.

    parameters       of all of them
    macs_per_pixel   multiplications of convolutions and matrix products; what is filtered by hand is not counted. None
                     where they depend on the lens
    """

    parameters: int
    macs_per_pixel: float | None


@runtime_checkable
class Renderer(Protocol):
    """Refocus a picture. Without state: equal inputs give equal outputs, on any number of threads."""

    @property
    def information(self) -> Information:
        """What the method is given."""
        ...

    @property
    def checkpoints(self) -> tuple[Path, ...]:
        """The files of weights that its pictures depend on; () for a method without networks."""
        ...

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that compute its pictures; what these import belongs to it as well."""
        ...

    def on(self, arch: Backend) -> Self:
        """The same renderer on another backend; BackendError where this machine or this process does not have it."""
        ...

    def with_checkpoints(self, files: Sequence[Path]) -> Self:
        """The same renderer with other checkpoints for the networks that they are named after (`arnet.safetensors`)."""
        ...

    @property
    def controls(self) -> tuple[str, ...]:
        """Settings of its own that a user may make, such as a mask; () for most methods."""
        ...

    def with_controls(self, **values: Any) -> Self:
        """The same renderer with such settings; RendererError for one that it does not have."""
        ...

    def cost(self) -> Cost | None:
        """Of its networks, which are loaded; None without any, RendererError where weights are missing or broken."""
        ...

    def __call__(
        self,
        image: Picture,
        disparity: Plane,
        lens: ThinLens,
        *,
        gamma: float = REFERENCE_GAMMA,
        scene: LayeredScene | None = None,
    ) -> Picture:
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


class WithoutNetworks:
    """The part of the protocol that a renderer without checkpoints leaves alone."""

    checkpoints: tuple[Path, ...] = ()
    controls: tuple[str, ...] = ()

    def with_controls(self, **values: Any) -> Self:
        """The renderer itself; RendererError for any setting."""
        require_controls(self.controls, values)
        return self

    def with_checkpoints(self, files: Sequence[Path]) -> Self:
        """The renderer itself: none of the files is its own."""
        return self

    def cost(self) -> None:
        """None: there is no network."""


def require_controls(controls: Sequence[str], values: Iterable[str]) -> None:
    """RendererError for a setting that is not among those of a renderer."""
    for name in values:
        if name not in controls:
            known = ", ".join(controls) or "none"
            raise RendererError(f"there is no setting {name}; the settings of this renderer are {known}")


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


def require_inputs(image: NDArray, disparity: NDArray, gamma: float) -> None:
    """RendererError unless (H, W, 3) float32 >= 0 and (H, W) float32 of one size, all finite, and gamma > 0."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.float32 or image.size == 0:
        raise RendererError(f"the image is {image.shape} {image.dtype}; it must be (H, W, 3) float32")
    if disparity.shape != image.shape[:2] or disparity.dtype != np.float32:
        raise RendererError(f"the disparity is {disparity.shape} {disparity.dtype}, not {image.shape[:2]} float32")
    # min and max pass on a nan.
    if not (image.min() >= 0.0 and np.isfinite(image.max())):
        raise RendererError("the image holds values that are negative or not finite")
    if not (np.isfinite(disparity.min()) and np.isfinite(disparity.max())):
        raise RendererError("the disparity holds values that are not finite")
    if not gamma > 0.0:
        raise RendererError(f"gamma is {gamma}; it must be above 0")
