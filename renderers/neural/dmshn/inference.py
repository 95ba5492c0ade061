"""DMSHN (Dutta et al. 2021) on pictures. It has learned one lens, and is told none."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from renderers.neural.dmshn.network import DMSHN, StackedDMSHN
from renderers.neural.tensors import device_of, picture_from_tensor, tensor_from_plane
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.lens import Lens

NETWORKS = {"dmshn": DMSHN, "dmshn-stacked": StackedDMSHN}


def refocus(
    networks: Mapping[str, nn.Module], image: Picture, disparity: Plane, lens: Lens, *, gamma: float, arch: Backend
) -> Picture:
    """(H, W, 3) display values in [0, 1], of the picture clipped at white.

    The network knows neither lens nor gamma, and they are ignored; so is the disparity.
    """
    (network,) = networks.values()
    with torch.inference_mode():
        seen = tensor_from_plane(np.minimum(image, np.float32(1.0)), device_of(arch))
        return picture_from_tensor(network(seen).clamp(0.0, 1.0))
