"""From a renderer that is given layers to one that finds them in the picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from renderers.base import Information, Renderer, WithoutNetworks, require_controls, require_inputs
from renderers.layering import layering
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA, storable_light
from scenes.layered import LayeredScene
from scenes.lens import ThinLens, blur_radius_max_px


@dataclass(frozen=True)
class LayeringRenderer(WithoutNetworks):
    """A renderer of layers, given those that a layering finds. True layers are ignored.

    layers     name of the layering
    renderer   that is given layers
    controls   keyword arguments of the layering that a user may set
    options    those that are set
    """

    layers: str
    renderer: Renderer
    controls: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    information: Information = "disparity"

    @property
    def modules(self) -> tuple[str, ...]:
        """This one, that of the layering, and those of the renderer."""
        return __name__, f"renderers.layering.{self.layers}", *self.renderer.modules

    def on(self, arch: Backend) -> Self:
        """The same renderer of layers on another backend; layers are found on the CPU."""
        return replace(self, renderer=self.renderer.on(arch))

    def with_controls(self, **values: Any) -> Self:
        """The same renderer with settings of the layering, such as a matte; RendererError for one that it has not."""
        require_controls(self.controls, values)
        return replace(self, options={**self.options, **values})

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
        # Layers are linear at the reference gamma, whatever gamma they are blurred at.
        linear = storable_light(image)
        reach_px = blur_radius_max_px(lens, disparity)
        found = layering(self.layers)(linear, disparity, reach_px=reach_px, **self.options)
        return self.renderer(image, disparity, lens, gamma=gamma, scene=found)
