"""CoCNet (Huang et al. 2021) on pictures. It has learned one lens, and is told none."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from renderers.neural.cocnet.network import CoCNet
from renderers.neural.tensors import device_of, picture_from_tensor, tensor_from_plane
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.lens import Lens

# The rows of Table I, and those of an ablation that a CPU can train: "-less" halves the width. "-l2" differs in its
# training alone.
NETWORKS = {
    "cocnet-b3": CoCNet,
    "cocnet-b2": partial(CoCNet, groups=2),
    "cocnet-b3-less": partial(CoCNet, width=16),
    "cocnet-b2-less": partial(CoCNet, groups=2, width=16),
    "cocnet-b3-l2": CoCNet,
    "cocnet-b3-dir": partial(CoCNet, direct=True),
    "cocnet-b3-depth": partial(CoCNet, depth=True),
    "cocnet-b3-less-l2": partial(CoCNet, width=16),
    "cocnet-b3-less-dir": partial(CoCNet, width=16, direct=True),
    "cocnet-b3-less-depth": partial(CoCNet, width=16, depth=True),
}


def refocus(
    networks: Mapping[str, nn.Module], image: Picture, disparity: Plane, lens: Lens, *, gamma: float, arch: Backend
) -> Picture:
    """(H, W, 3) display values in [0, 1], of the picture clipped at white.

    The network knows neither lens nor gamma, and they are ignored; so is the disparity, but in "-depth".
    """
    ((name, network),) = networks.items()
    device = device_of(arch)
    with torch.inference_mode():
        seen = [tensor_from_plane(np.minimum(image, np.float32(1.0)), device)]
        if name.endswith("-depth"):
            seen.append(relative_depth(tensor_from_plane(disparity, device)))
        return picture_from_tensor(network(*seen).clamp(0.0, 1.0))


def relative_depth(disparity: Tensor) -> Tensor:
    """(B, 1, H, W) in [0, 1], 1 at the smallest disparity of each picture; 0 where all are equal."""
    low, high = disparity.amin((2, 3), keepdim=True), disparity.amax((2, 3), keepdim=True)
    return (high - disparity) / (high - low).clamp(min=1e-6)
