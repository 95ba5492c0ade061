"""DeepFocus (Xiao et al. 2018) on pictures, and DeepFocus† (Peng et al. 2022): the same at the size where it works."""

import torch.nn.functional as F
from torch import Tensor

from renderers.networks import DeepFocus, resized

# The release divides the diameter of the circle of confusion by this.
DIAMETER_UNIT_PX = 30.0

# The paper does not give the largest radius of DeepFocus†; 12 px fits its published times.
RADIUS_MAX_PX = 12.0


def deepfocus_inputs(image: Tensor, disparity: Tensor, defocus_px: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the network takes: the image divided by its maximum, disparity mapped to [0, 1], diameter in 30 px.

    Tensors (B, C, H, W); maxima and ranges are each picture's own.
    """
    peak = image.amax((1, 2, 3), keepdim=True).clamp(min=1e-6)
    low, high = disparity.amin((2, 3), keepdim=True), disparity.amax((2, 3), keepdim=True)
    normalised = (disparity - low) / (high - low).clamp(min=1e-6)
    return image / peak, normalised, 2.0 * defocus_px.abs() / DIAMETER_UNIT_PX


def refocus(network: DeepFocus, image: Tensor, disparity: Tensor, defocus_px: Tensor, *, adaptive: bool) -> Tensor:
    """(1, 3, H, W) display values; `adaptive` renders at a size where no radius exceeds 12 px, then resizes."""
    factor = max(1.0, float(defocus_px.abs().max()) / RADIUS_MAX_PX) if adaptive else 1.0
    height, width = image.shape[-2:]
    size = (max(int(height / factor), 2), max(int(width / factor), 2))
    inputs = (resized(image, size), resized(disparity, size), resized(defocus_px, size) / factor)
    # The network takes even sides only.
    odd = (0, size[1] % 2, 0, size[0] % 2)
    padded = [F.pad(x, odd, mode="replicate") for x in inputs]
    picture = network(*deepfocus_inputs(*padded))[..., : size[0], : size[1]] * padded[0].max()
    return resized(picture, (height, width))
