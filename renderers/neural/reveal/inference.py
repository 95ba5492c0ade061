"""RevealNet on pictures: the layers of `reveal0`, changed beside their edges, for any lens."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from renderers.classical.layers_over import layers_over
from renderers.layering.filling import depth_image
from renderers.neural.reveal.layers import Layers, changed, hints, projected
from renderers.neural.reveal.network import RevealNet
from renderers.neural.reveal.rims import Rims, rims
from renderers.neural.tensors import tensor_from_plane
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.color import display_from_linear, linear_from_display, storable_light
from scenes.layered_depth import LayeredDepthImage
from scenes.lens import ThinLens, blur_radius_max_px

NETWORKS = {"reveal": RevealNet}


def refocus(
    networks: Mapping[str, nn.Module], image: Picture, disparity: Plane, lens: ThinLens, *, gamma: float, arch: Backend
) -> Picture:
    """(H, W, 3) display values >= 0, not clipped."""
    reach_px = blur_radius_max_px(lens, disparity)
    scene = analysed(networks["reveal"], image, disparity, reach_px)
    return display_from_linear(layers_over(image, disparity, lens, arch=arch, gamma=gamma, scene=scene), gamma)


def analysed(network: nn.Module, image: Picture, disparity: Plane, reach_px: float = math.inf) -> LayeredDepthImage:
    """The layers of a picture, display values at the reference gamma; put over each other, they are the picture.

    Light is mixed in a photograph at the reference gamma, whatever gamma its layers are blurred at.

    reach_px   largest blur radius that the layers will be seen with: steps that it does not show are not cut
    """
    device = next(network.parameters()).device
    layers = tensors(rims(storable_light(image), disparity, reach_px), device)
    picture = tensor_from_plane(image).to(device)
    with torch.inference_mode():
        if layers.distance_px.any():
            layers, _ = changed(layers, network(hints(picture, layers)), picture)
        colour = projected(layers.colour, layers.alpha, picture)[0]
    linear = linear_from_display(colour.permute(0, 2, 3, 1).cpu().numpy())
    alpha, depths = (x[0, :, 0].cpu().numpy() for x in (layers.alpha, layers.disparity))
    height, width = disparity.shape
    found = (depth_image(*layer) for layer in zip(linear, alpha, depths, strict=True))
    return LayeredDepthImage(tuple(found), width, height, 0)


def tensors(found: Rims, device: torch.device | str = "cpu") -> Layers:
    """The rims of one picture as a batch."""
    colour = display_from_linear(found.colour).transpose(0, 3, 1, 2)
    stacks = (colour, found.alpha[:, None], found.disparity[:, None], found.place, found.distance_px[None])
    return Layers(*(torch.from_numpy(np.ascontiguousarray(stack))[None].to(device) for stack in stacks))
