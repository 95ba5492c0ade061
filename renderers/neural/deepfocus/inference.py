"""DeepFocus (Xiao et al. 2018) on pictures, and DeepFocus† (Peng et al. 2022): the same at the size where it works."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderers.neural.deepfocus.network import DeepFocus
from renderers.neural.layers import resized
from renderers.neural.tensors import device_of, picture_from_tensor, tensor_from_plane
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA, regraded
from scenes.lens import Lens

NETWORKS = {"deepfocus": DeepFocus}

# The release divides the diameter of the circle of confusion by this.
DIAMETER_UNIT_PX = 30.0

# The paper does not give the largest radius of DeepFocus†; 12 px fits its published times.
RADIUS_MAX_PX = 12.0


class WholePicture(NamedTuple):
    """Numbers of each picture that its inputs are normalized by, also where they are a crop of it: (B, 1, 1, 1) each.

    peak        largest display value, at most 1
    low, high   smallest and largest disparity
    """

    peak: Tensor
    low: Tensor
    high: Tensor


def deepfocus_inputs(
    image: Tensor, disparity: Tensor, defocus_px: Tensor, whole: WholePicture
) -> tuple[Tensor, Tensor, Tensor]:
    """What the network takes: the image divided by its picture's peak, disparity mapped to [0, 1], diameter in 30 px.

    Tensors (B, C, H, W). The release divides pictures in [0, 1] by their largest value. A lamp far brighter than white
    must not make all else dark, so that no more than 1 is divided by.
    """
    normalized = (disparity - whole.low) / (whole.high - whole.low).clamp(min=1e-6)
    return image / whole.peak.clamp(min=1e-6), normalized, 2.0 * defocus_px.abs() / DIAMETER_UNIT_PX


def refocus(
    networks: Mapping[str, nn.Module],
    image: Picture,
    disparity: Plane,
    lens: Lens,
    *,
    gamma: float,
    arch: Backend,
    adaptive: bool = False,
) -> Picture:
    """(H, W, 3) display values >= 0. The network knows gamma 2.2; pictures of another gamma are converted.

    adaptive   DeepFocus-dagger: render at a size where no radius exceeds 12 px, and enlarge that
    """
    device = device_of(arch)
    defocus_px = np.asarray(lens.defocus_px(disparity), np.float32)
    factor = max(1.0, float(np.abs(defocus_px).max()) / RADIUS_MAX_PX) if adaptive else 1.0
    height, width = disparity.shape
    size = (max(int(height / factor), 2), max(int(width / factor), 2))
    # The network takes even sides only.
    odd = (0, size[1] % 2, 0, size[0] % 2)
    shown, planar, defocus = (
        F.pad(resized(tensor_from_plane(plane, device), size), odd, mode="replicate")
        for plane in (regraded(image, gamma, REFERENCE_GAMMA), disparity, defocus_px)
    )
    peak, low, high = (
        number.reshape(1, 1, 1, 1) for number in (shown.max().clamp(max=1.0), planar.min(), planar.max())
    )
    with torch.inference_mode():
        inputs = deepfocus_inputs(shown, planar, defocus / factor, WholePicture(peak, low, high))
        picture = networks["deepfocus"](*inputs)[..., : size[0], : size[1]]
        refocused = picture_from_tensor(resized(picture * peak, (height, width)))
    return regraded(refocused, REFERENCE_GAMMA, gamma)
