"""From an operator on linear light to a renderer."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import Self

import numpy as np

from renderers.base import Information, RendererError, WithoutNetworks, require_inputs
from runtime import backend
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA, display_from_linear, linear_from_display
from scenes.layered import LayeredScene
from scenes.lens import ThinLens


@dataclass(frozen=True)
class ClassicalRenderer(WithoutNetworks):
    """A renderer made of an operator on linear light, which is imported at the first call.

    operator      "module:function", called as f(linear, disparity, lens, arch=...), and with gamma=... and scene=...
                  as well where it is given the layers; returns linear light
    information   what the method is given
    arch          where it runs
    """

    operator: str
    information: Information = "disparity"
    arch: Backend = "cpu"

    @property
    def modules(self) -> tuple[str, ...]:
        """This one, and that of the operator."""
        return __name__, self.operator.partition(":")[0]

    def on(self, arch: Backend) -> Self:
        """The same operator on another backend; BackendError where it cannot run."""
        if arch != "cpu":
            backend.require(arch)
        return replace(self, arch=arch)

    def __call__(
        self,
        image: Picture,
        disparity: Plane,
        lens: ThinLens,
        *,
        gamma: float = REFERENCE_GAMMA,
        scene: LayeredScene | None = None,
    ) -> Picture:
        require_inputs(image, disparity, gamma)
        if lens.is_pinhole:
            return image.copy()
        linear = linear_from_display(np.ascontiguousarray(image), gamma)
        given = {}
        if self.information in ("layers", "truth"):
            if scene is not None and (scene.height, scene.width) != image.shape[:2]:
                raise RendererError(f"the scene is {(scene.height, scene.width)}, the image {image.shape[:2]}")
            given = {"gamma": gamma, "scene": scene}
        refocused = self._function(linear, np.ascontiguousarray(disparity), lens, arch=self.arch, **given)
        return display_from_linear(refocused, gamma)

    @cached_property
    def _function(self) -> Callable[..., Picture]:
        module, name = self.operator.split(":")
        return getattr(import_module(module), name)
