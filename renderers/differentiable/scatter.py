"""BokehMe's classical renderer in torch: B(x) = sum_y w I(y) / sum_y w, differentiable in colour and defocus.

The weights are those of `renderers.classical.scatter` for a round aperture. Their tails are not cut at a window, so
that they change smoothly with the radius: what differs is below 4e-4 of a weight. Occlusion is ignored.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from renderers.differentiable.soft_disks import SoftStep, disk_sums

# 1/2 + 1/2 tanh(4 t)
_STEP = SoftStep(steepness=8.0)


def refocus(rgb: Tensor, defocus_px: Tensor) -> Tensor:
    """(B, 3, H, W) linear light from the same and signed defocus (B, 1, H, W).

    Beyond the picture its border repeats.
    """
    reach = math.ceil(float(defocus_px.detach().abs().max())) + 2
    rgb, defocus_px = (F.pad(t, (reach,) * 4, mode="replicate") for t in (rgb, defocus_px))
    weighted = torch.cat([rgb, torch.ones_like(defocus_px)], dim=1) / (defocus_px.square() + 0.2)
    sums = disk_sums(weighted, defocus_px.abs(), _STEP)[..., reach:-reach, reach:-reach]
    return sums[:, :3] / sums[:, 3:]
