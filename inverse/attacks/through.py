"""What is attacked through: renderers that are differentiable in a depth map, behind one call.

    render = through("cocnet-b3-less-depth", weights).of(image, disparity, lens)
    picture = render(render.depth)             # (1, 3, H, W) display values

Depth is (B, 1, H, W) in [0, 1], 1 at the smallest disparity of each picture, linear in disparity.

    cocnet-*-depth   the network as it is; it knows one lens
    drbokeh          `renderers.differentiable.drbokeh` on one opaque layer
    scatter          `renderers.differentiable.layers_over` on one opaque layer: every pixel is spread over its disk

The last two are told the lens of each picture. They change with the blur radius alone, by K eps pixels, so that they
need a larger eps than a network, whose instance norms make every pixel depend on all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from inverse.attacks.classifiers import WEIGHTS
from inverse.attacks.pgd import EPS, Method
from renderers.base import RendererError
from renderers.differentiable import drbokeh, layers_over
from renderers.neural.checkpoints import loaded
from renderers.neural.cocnet.inference import NETWORKS, relative_depth
from scenes.color import REFERENCE_GAMMA
from scenes.lens import ThinLens

PHYSICAL = ("drbokeh", "scatter")
THROUGH = (*(name for name in NETWORKS if name.endswith("-depth")), *PHYSICAL)

# Of a depth in [0, 1], where the blur radius is what changes: half a pixel at a K of 10 px, twice of it where the
# perturbation is smooth.
_PHYSICAL_EPS: dict[Method, float] = {"gda": 0.05, "sm-gda": 0.1, "bg-gda": 0.1}

# Display values have no slope at 0.
_DARKEST = 1e-6


@dataclass(frozen=True)
class Through:
    """A renderer to attack through.

    weights   of a network; None for a physical one
    side_px   longer side of the pictures that a network renders, which are resized to it and back; None for theirs
    """

    name: str
    weights: Path | None = None
    side_px: int | None = None

    @property
    def is_physical(self) -> bool:
        return self.name in PHYSICAL

    def eps(self, method: Method) -> float:
        """The paper's for a network, larger ones else."""
        return _PHYSICAL_EPS[method] if self.is_physical else EPS[method]

    @cached_property
    def _network(self):
        assert self.weights is not None
        # Of one picture, instance norms in channels last cost more than convolutions gain.
        return loaded(NETWORKS[self.name](), self.weights).to(memory_format=torch.contiguous_format)

    def of(
        self, image: Tensor, disparity: Tensor, lenses: list[ThinLens] | None
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The depths of some pictures, and what renders the pictures with such depths.

        image       (B, 3, H, W) display values; clipped at white
        disparity   (B, 1, H, W), larger is nearer
        lenses      of each picture, in the unit of its disparity; a network does not ask for them
        returns     (B, 1, H, W) in [0, 1]; depth to (B, 3, H, W) display values, not bounded
        raises      RendererError for a physical renderer without lenses
        """
        image, depth = image.clamp(max=1.0), relative_depth(disparity)
        if not self.is_physical:
            network, size = self._network, image.shape[-2:]
            rendered = size if self.side_px is None else [round(n * self.side_px / max(size)) for n in size]
            enlarged = _resized(image, rendered)
            return depth, lambda changed: _resized(network(enlarged, _resized(changed, rendered)), size)
        if lenses is None:
            raise RendererError(f"{self.name} needs the lens of each picture; render through a network")
        low, high = disparity.amin((2, 3), keepdim=True), disparity.amax((2, 3), keepdim=True)
        light = image**REFERENCE_GAMMA
        # One picture at a time: each has its own lens, and its own window.
        refocus = _drbokeh if self.name == "drbokeh" else _scatter

        def render(changed: Tensor) -> Tensor:
            pictures = [
                refocus(light[i : i + 1], 1.0 - changed[i : i + 1], *_relative(lens, float(low[i]), float(high[i])))
                for i, lens in enumerate(lenses)
            ]
            return torch.cat(pictures).clamp(min=_DARKEST) ** (1.0 / REFERENCE_GAMMA)

        return depth, render


def _resized(values: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, H, W) bilinearly, of what a pixel of a smaller picture holds the mean."""
    if tuple(values.shape[-2:]) == tuple(size):
        return values
    return F.interpolate(values, tuple(size), mode="bilinear", align_corners=False, antialias=True)


def through(name: str, weights: Path | None = None, side_px: int | None = None) -> Through:
    """A renderer by its name; RendererError for one that is not there, or that cannot be attacked through."""
    if name not in THROUGH:
        raise RendererError(f"{name!r} is not differentiable in a depth map; there are {', '.join(THROUGH)}")
    if name in PHYSICAL:
        return Through(name)
    return Through(name, WEIGHTS / f"{name}.safetensors" if weights is None else weights, side_px)


def _relative(lens: ThinLens, low: float, high: float) -> tuple[float, float]:
    """K and focus of a disparity that is 0 at `low` and 1 at `high`."""
    span = max(high - low, 1e-6)
    return lens.blur_parameter * span, (lens.focus_disparity - low) / span


def _drbokeh(light: Tensor, disparity: Tensor, blur_parameter: float, focus: float) -> Tensor:
    rgb = light[:, None]
    return drbokeh.refocus_layers(rgb, torch.ones_like(rgb[:, :, :1]), disparity[:, None], blur_parameter, focus)


def _scatter(light: Tensor, disparity: Tensor, blur_parameter: float, focus: float) -> Tensor:
    rgb = light[:, None]
    return layers_over.refocus_layers(
        rgb, torch.ones_like(rgb[:, :, :1]), blur_parameter * (disparity[:, None] - focus)
    )
