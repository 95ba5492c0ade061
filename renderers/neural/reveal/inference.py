"""RevealNet on pictures: the layers of `reveal0`, changed beside their edges, for any lens."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from renderers.classical.layers_over import layers_over
from renderers.layering.filling import depth_image
from renderers.neural.reveal.layers import Layers, changed, hints, projected
from renderers.neural.reveal.network import RevealNet
from renderers.neural.reveal.rims import Rims, rims
from renderers.neural.tensors import tensor_from_plane
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA, display_from_linear, linear_from_display, storable_light
from scenes.layered_depth import LayeredDepthImage
from scenes.lens import ThinLens

NETWORKS = {"reveal": RevealNet}


def refocus(
    networks: Mapping[str, nn.Module], image: Picture, disparity: Plane, lens: ThinLens, *, gamma: float, arch: Backend
) -> Picture:
    """(H, W, 3) display values >= 0, not clipped."""
    scene = analysed(networks["reveal"], image, disparity).scene(gamma)
    return display_from_linear(layers_over(image, disparity, lens, arch=arch, gamma=gamma, scene=scene), gamma)


@dataclass(frozen=True, eq=False)
class Revealed:
    """A photograph in layers, for any lens.

    picture   (1, 3, H, W) display values at the reference gamma
    layers    of it, before the projection
    """

    picture: Tensor
    layers: Layers

    def scene(self, gamma: float = REFERENCE_GAMMA) -> LayeredDepthImage:
        """The layers; put over each other in the linear light of this gamma, they are the picture."""
        with torch.inference_mode():
            colour = projected(self.layers.colour, self.layers.alpha, self.picture, gamma)[0]
        height, width = self.picture.shape[-2:]
        linear = linear_from_display(colour.permute(0, 2, 3, 1).cpu().numpy())
        alpha, disparity = (x[0, :, 0].cpu().numpy() for x in (self.layers.alpha, self.layers.disparity))
        found = (depth_image(*layer) for layer in zip(linear, alpha, disparity, strict=True))
        return LayeredDepthImage(tuple(found), width, height, 0)


def analysed(network: nn.Module, image: Picture, disparity: Plane) -> Revealed:
    """What a picture, display values at the reference gamma, and its disparity show, and what they hide."""
    device = next(network.parameters()).device
    linear = storable_light(image)
    layers, picture = tensors(rims(linear, disparity), device), tensor_from_plane(image).to(device)
    with torch.inference_mode():
        if layers.distance_px.any():
            layers, _ = changed(layers, network(hints(picture, layers)))
    return Revealed(picture, layers)


def tensors(found: Rims, device: torch.device | str = "cpu") -> Layers:
    """The rims of one picture as a batch."""
    colour = display_from_linear(found.colour).transpose(0, 3, 1, 2)
    stacks = (colour, found.alpha[:, None], found.disparity[:, None], found.place, found.distance_px[None])
    return Layers(*(torch.from_numpy(np.ascontiguousarray(stack))[None].to(device) for stack in stacks))
