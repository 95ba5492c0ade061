"""The layers of `reveal0`, changed beside their edges by a network (`renderers.neural.reveal`).

Without a reach, the picture is analysed once, for any lens.
"""

import math
from functools import lru_cache
from pathlib import Path

from torch import nn

from renderers.neural.checkpoints import loaded
from renderers.neural.renderer import shipped
from renderers.neural.reveal.inference import analysed
from renderers.neural.reveal.network import RevealNet
from scenes.arrays import Picture, Plane
from scenes.color import display_from_linear
from scenes.layered_depth import LayeredDepthImage


def analyse(
    linear: Picture, disparity: Plane, *, reach_px: float = math.inf, weights: Path | None = None
) -> LayeredDepthImage:
    """Up to `reveal0.LAYERS_MAX` layers near to far; put over each other, they are the picture.

    weights   of the network; None for those that ship. RendererError where there are none
    """
    network = shipped_network() if weights is None else _network(weights)
    return analysed(network, display_from_linear(linear), disparity, reach_px)


def shipped_network() -> nn.Module:
    """The network with the weights that come with the project; RendererError where there are none."""
    return _network(shipped("reveal", "reveal"))


@lru_cache(1)
def _network(weights: Path) -> nn.Module:
    return loaded(RevealNet(), weights)
