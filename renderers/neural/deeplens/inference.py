"""DeepLens (Wang et al. 2018) on pictures: blurred at a small size, then enlarged in steps of two.

The release takes an aperture in [0, 1] and begins where the longer side is 640 px or less. Here radii are in pixels; a
picture is halved until none exceeds 8 px either, which is about what the filtered pictures of the network can blur.

The networks know gamma 2.2; pictures of another gamma are converted. They end at white, and brighter light is blurred
by itself, as for BokehMe (`renderers/neural/bokehme/highlights.py`).
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderers.neural.bokehme.inference import highlights, with_highlights
from renderers.neural.deeplens.network import MULTIPLE, BlurNet, UpsamplingNet
from renderers.neural.layers import padded_to_multiple
from renderers.neural.tensors import device_of, picture_from_tensor, tensor_from_plane
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA, regraded
from scenes.lens import Lens

NETWORKS = {"deeplens-blur": BlurNet, "deeplens-upsampling": UpsamplingNet}

# The radius that a defocus of 1 stands for at the size where the picture is blurred.
RADIUS_MAX_PX = 8.0

_LONG_SIDE_MAX_PX = 640

# A picture is not made smaller than this; larger blur is then cut off.
_SHORT_SIDE_MIN_PX = 16


def refocus(
    networks: Mapping[str, nn.Module], image: Picture, disparity: Plane, lens: Lens, *, gamma: float, arch: Backend
) -> Picture:
    """(H, W, 3) display values in [0, 1]."""
    device = device_of(arch)
    defocus_px = np.asarray(lens.defocus_px(disparity), np.float32)
    base = regraded(np.minimum(image, np.float32(1.0)), gamma, REFERENCE_GAMMA)
    height, width = disparity.shape
    steps = halvings((height, width), float(np.abs(defocus_px).max()))
    with torch.inference_mode():
        planes = tensor_from_plane(np.concatenate([base, defocus_px[..., None]], axis=2), device)
        picture = rendered(networks, padded_to_multiple(planes, MULTIPLE * 2**steps), steps)
        shown = picture_from_tensor(picture[..., :height, :width].clamp(0.0, 1.0))
    return with_highlights(regraded(shown, REFERENCE_GAMMA, gamma), highlights(image, disparity, lens, gamma), gamma)


def halvings(size: tuple[int, int], radius_max_px: float) -> int:
    """How often a picture of (height, width) is halved before it is blurred by radii up to `radius_max_px`."""
    steps = 0
    while max(max(size) / _LONG_SIDE_MAX_PX, radius_max_px / RADIUS_MAX_PX) > 2**steps:
        if min(size) < 2 ** (steps + 1) * _SHORT_SIDE_MIN_PX:
            break
        steps += 1
    return steps


def rendered(networks: Mapping[str, nn.Module], planes: Tensor, steps: int) -> Tensor:
    """The networks' picture (1, 3, H, W), not bounded.

    planes   (1, 4, H, W), display values in [0, 1] and signed defocus in pixels; sides are multiples of 8 2^steps
    """
    levels = [planes]
    for _ in range(steps):
        levels.append(halved(levels[-1]))
    # In pixels of the smallest size the radius is 2^steps times smaller, and at every size the unit is the same.
    unit_px = RADIUS_MAX_PX * 2**steps
    images = [level[:, :3] for level in levels]
    defocus = [(level[:, 3:] / unit_px).clamp(-1.0, 1.0) for level in levels]
    picture = networks["deeplens-blur"](images[-1], defocus[-1])
    for small, large in zip(range(steps, 0, -1), range(steps - 1, -1, -1), strict=True):
        picture = networks["deeplens-upsampling"](images[small], picture, defocus[small], images[large])
    return picture


def halved(x: Tensor) -> Tensor:
    """Half the size, by means of 2 x 2 pixels: (B, C, H, W) of even sides."""
    return F.avg_pool2d(x, 2)
