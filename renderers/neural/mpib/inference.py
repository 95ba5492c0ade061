"""MPIB (Peng et al. 2022) on pictures: planes by a network, a background behind them, blurred plane by plane.

LaMa, which paints the background in the paper, has no weights here: `renderers.layering.mpib` continues it. The
networks see the picture clipped at white; the planes hold it as it is, so that highlights become disks.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderers.layering.mpib import Background, behind
from renderers.neural.layers import padded_to_multiple, resized
from renderers.neural.mpib.network import MULTIPLE, AUPNet, MPINet, SmallMPINet
from renderers.neural.mpib.planes import Depths, even_depths, fitted_depths, hard_planes, refocused
from renderers.neural.tensors import device_of, picture_from_tensor, tensor_from_plane
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.color import display_from_linear, linear_from_display
from scenes.lens import ThinLens, blur_radius_max_px, normalized_focus_and_blur

NETWORKS = {"mpib-planes": MPINet, "mpib-upsampling": AUPNet, "mpib-small": SmallMPINet}

# MPINet sees a picture at a size where the blur stays below this, and the shorter side is at most this long.
_BLUR_MAX_PX, _SIDE_MAX_PX = 30.0, 512


def refocus(
    networks: Mapping[str, nn.Module], image: Picture, disparity: Plane, lens: ThinLens, *, gamma: float, arch: Backend
) -> Picture:
    """(H, W, 3) display values >= 0, not clipped."""
    device = device_of(arch)
    low, high = float(disparity.min()), float(disparity.max())
    # A picture of one disparity is all in the farthest plane.
    high = high if high > low else low + 1.0
    blur_parameter, focus = normalized_focus_and_blur(lens.blur_parameter, lens.focus_disparity, low, high)
    normalized = ((disparity - np.float32(low)) / np.float32(high - low)).astype(np.float32)
    reach_px = blur_radius_max_px(lens, disparity)
    # The background does not depend on gamma: it is painted in the light of the reference.
    background = behind(linear_from_display(image), normalized, reach_px=reach_px)
    with torch.inference_mode():
        shown, planar = tensor_from_plane(image, device), tensor_from_plane(normalized, device)
        if "mpib-small" in networks:
            omega, alpha, depths = small_planes(networks["mpib-small"], shown, planar, *as_tensors(background, device))
        else:
            planes, upsampling = networks["mpib-planes"], networks["mpib-upsampling"]
            omega, alpha = guided_planes(planes, upsampling, shown.clamp(max=1.0), planar, blur_parameter)
            depths = even_depths(alpha.shape[1], 1, alpha)
        radius_px = depths.radius_px(*(torch.tensor([number], device=device) for number in (blur_parameter, focus)))
        painted = tensor_from_plane(display_from_linear(background.linear), device)
        gammas = torch.tensor([gamma], device=device)
        return picture_from_tensor(refocused(shown, painted, omega, alpha, radius_px, gammas))


def as_tensors(background: Background, device: str) -> tuple[Tensor, Tensor]:
    """The disparity of a background, and where it is painted: (1, 1, H, W) each."""
    painted = (background.hidden | background.mixed).astype(np.float32)
    return tensor_from_plane(background.disparity, device), tensor_from_plane(painted, device)


def small_planes(
    network: nn.Module, image: Tensor, disparity: Tensor, disparity_behind: Tensor, painted: Tensor
) -> tuple[Tensor, Tensor, Depths]:
    """omega, alpha and depths of the planes of SmallMPINet.

    image              (B, 3, H, W) display values
    disparity          (B, 1, H, W) in [0, 1]
    disparity_behind   (B, 1, H, W) of the background, in [0, 1]
    painted            (B, 1, H, W), 1 where the background is not the picture
    """
    seen = hard_planes(disparity, SmallMPINet.planes)
    hidden = hard_planes(disparity_behind, SmallMPINet.planes) * painted
    omega, alpha = network(image.clamp(max=1.0), disparity, seen, hidden)
    return omega, alpha, fitted_depths(seen, hidden, disparity, disparity_behind)


def guided_planes(
    planes: Callable[..., tuple[Tensor, Tensor]],
    upsampling: Callable[..., Tensor],
    image: Tensor,
    disparity: Tensor,
    blur_parameter: float,
) -> tuple[Tensor, Tensor]:
    """omega and alpha of MPINet at the size of the picture (1, 3, H, W), the latter by AUPNet."""
    height, width = image.shape[-2:]
    # AUPNet doubles sizes.
    image, disparity = (padded_to_multiple(x, 2) for x in (image, disparity))
    size = image.shape[-2:]
    base = base_size(height, width, blur_parameter)
    omega, alpha = planes(resized(image, base), resized(disparity, base))
    omega = resized(F.max_pool2d(omega, 5, 1, 2), size)
    for _ in range(max(int(math.log2(size[0] / base[0])), 0)):
        doubled = (2 * alpha.shape[-2], 2 * alpha.shape[-1])
        alpha = upsampling(resized(image, doubled), resized(disparity, doubled), alpha)
    alpha = upsampling(image, disparity, resized(alpha, (size[0] // 2, size[1] // 2)))
    return omega[..., :height, :width], alpha[..., :height, :width]


def base_size(height: int, width: int, blur_parameter: float) -> tuple[int, int]:
    """Where MPINet sees a picture: no larger than that, multiples of 32 px, its blur at most 30 px."""
    shorter = min(height, width)
    side = min(_SIDE_MAX_PX, shorter, _BLUR_MAX_PX * shorter / max(blur_parameter, 1e-6))
    height, width = (max(int(side * of / shorter) // MULTIPLE, 1) * MULTIPLE for of in (height, width))
    return height, width
