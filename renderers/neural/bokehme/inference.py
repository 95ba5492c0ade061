"""BokehMe (Peng et al. 2022): scatter where it is right, networks where it is not, as its release renders.

Everything here is display-referred but the scatter itself. Defocus is in units of 10 px, so that the networks see it
within [-1, 1]. Tensors are (B, C, H, W); gamma is (B), scaled by `normalized_gamma`.

The paper's pictures end at white. Blur is linear, so light above white is split off, blurred ray by ray
(`highlights.py`), and added to the picture of the rest. The ablations are the networks alone: without that light.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderers.classical.scatter import scatter
from renderers.neural.bokehme.dilated_defocus import dilated_defocus_px
from renderers.neural.bokehme.highlights import blurred_highlights
from renderers.neural.bokehme.network import ARNet, IUNet
from renderers.neural.layers import resized
from renderers.neural.tensors import device_of, picture_from_tensor, tensor_from_plane
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.color import display_from_linear, linear_from_display
from scenes.lens import Lens

# Pixels that a defocus of 1 stands for (the paper trains to 12 px and renders to 10; a pixel must be one in both).
DEFOCUS_UNIT_PX = 10.0

GAMMA_RANGE = (1.0, 5.0)


@dataclass(frozen=True)
class Upsampling:
    """How the networks' picture comes to full size, for the ablation of Table 3.

    iterative   by IUNet in steps of two; else by one bilinear resize
    clipped     whether IUNet's defocus is clipped to [-1, 1]
    kept_by     where IUNet's result replaces the coarse one: within a unit of focus by the "dilated" defocus, by the
                "plain" defocus, or "everywhere"
    """

    iterative: bool = True
    clipped: bool = True
    kept_by: str = "dilated"


FULL = Upsampling()

# The rows of the table, B1 the weakest; each renders without the classical part.
ABLATIONS = {
    "B1": Upsampling(iterative=False),
    "B2": Upsampling(clipped=False, kept_by="everywhere"),
    "B3": Upsampling(kept_by="everywhere"),
    "B4": Upsampling(kept_by="plain"),
    "B5": FULL,
}


NETWORKS = {"arnet": ARNet, "iunet": IUNet}


def refocus(
    networks: Mapping[str, nn.Module],
    image: Picture,
    disparity: Plane,
    lens: Lens,
    *,
    gamma: float,
    arch: Backend,
    ablation: str | None = None,
) -> Picture:
    """BokehMe's picture: (H, W, 3) display values in [0, 1], of arguments as `renderers.base.Renderer` has them.

    ablation   a key of ABLATIONS: the networks' picture alone, upsampled as it says; None for the whole of BokehMe
    """
    base = np.minimum(image, np.float32(1.0))
    with torch.inference_mode():
        rendered, error = _rendered(networks, base, disparity, lens, gamma, arch, ABLATIONS.get(ablation or "", FULL))
        if ablation is not None:
            return picture_from_tensor(rendered.clamp(0.0, 1.0))
        classical = tensor_from_plane(classical_half(base, disparity, lens, gamma, arch), device_of(arch))
        picture = picture_from_tensor(fused(classical, rendered, error).clamp(0.0, 1.0))
    return with_highlights(picture, highlights(image, disparity, lens, gamma), gamma)


def highlights(image: Picture, disparity: Plane, lens: Lens, gamma: float) -> Picture:
    """The blur of the light above white, (H, W, 3) linear."""
    base = np.minimum(image, np.float32(1.0))
    above = linear_from_display(np.ascontiguousarray(image), gamma) - linear_from_display(base, gamma)
    return blurred_highlights(above, lens.defocus_px(disparity))


def classical_half(base: Picture, disparity: Plane, lens: Lens, gamma: float, arch: Backend = "cpu") -> Picture:
    """The scatter of a picture that ends at white, in display values."""
    return display_from_linear(scatter(linear_from_display(base, gamma), disparity, lens, arch=arch), gamma)


def with_highlights(display: Picture, highlights: Picture, gamma: float) -> Picture:
    """Display values in [0, 1] with linear light added, clipped at white; unchanged where none is added."""
    lit = np.minimum(display_from_linear(linear_from_display(display, gamma) + highlights, gamma), 1.0)
    return np.where(highlights > 0.0, lit, display)


def _rendered(networks, image, disparity, lens, gamma, arch, upsampling) -> tuple[Tensor, Tensor]:
    device = device_of(arch)
    defocus_px = np.asarray(lens.defocus_px(disparity), np.float32)
    return render_neurally(
        networks["arnet"],
        networks["iunet"],
        tensor_from_plane(image, device),
        tensor_from_plane(defocus_px, device) / DEFOCUS_UNIT_PX,
        tensor_from_plane(dilated_defocus_px(defocus_px), device) / DEFOCUS_UNIT_PX,
        normalized_gamma(torch.tensor([gamma], device=device)),
        upsampling,
    )


def normalized_gamma(gamma: Tensor) -> Tensor:
    """(gamma - 1) / 4, clipped to [0, 1]: the networks know gamma 1 to 5."""
    low, high = GAMMA_RANGE
    return ((gamma - low) / (high - low)).clamp(0.0, 1.0)


def fused(classical: Tensor, rendered: Tensor, error: Tensor) -> Tensor:
    """(1 - E) B_cr + E B_nr (Eq. 9)."""
    return torch.lerp(classical, rendered, error)


def render_neurally(
    arnet: Callable[..., tuple[Tensor, Tensor]],
    iunet: Callable[..., Tensor],
    image: Tensor,
    defocus: Tensor,
    dilated: Tensor,
    gamma: Tensor,
    upsampling: Upsampling = FULL,
) -> tuple[Tensor, Tensor]:
    """One picture by the networks alone (B = 1).

    defocus, dilated   S / 10 and S^d / 10, (1, 1, H, W)
    returns            picture (1, 3, H, W) >= 0; error map (1, 1, H, W) in [0, 1]
    """
    height, width = image.shape[-2:]
    # The paper's Eq. 7 has min for max, or the inverse of this factor.
    factor = max(float(defocus.abs().max()), 1.0)
    small = (max(int(height / factor), 2), max(int(width / factor), 2))
    picture, error_logit = arnet(resized(image, small), resized(defocus, small) / factor, gamma)
    error = resized(torch.sigmoid(error_logit), (height, width))
    picture = picture.clamp(min=0.0)
    if not upsampling.iterative:
        return resized(picture, (height, width)), error

    def not_negative(*inputs: Tensor) -> Tensor:
        return iunet(*inputs).clamp(min=0.0)

    ratios = [2.0 ** (step + 1) / factor for step in range(int(math.log2(factor)))]
    for ratio in ratios:
        size = (int(ratio * height), int(ratio * width))
        picture = upsampled(
            not_negative,
            resized(image, size),
            ratio * resized(defocus, size),
            ratio * resized(dilated, size),
            picture,
            gamma,
            upsampling,
        )
    return upsampled(not_negative, image, defocus, dilated, picture, gamma, upsampling), error


def upsampled(
    iunet: Callable[..., Tensor],
    image: Tensor,
    defocus: Tensor,
    dilated: Tensor,
    coarse: Tensor,
    gamma: Tensor,
    upsampling: Upsampling = FULL,
) -> Tensor:
    """One step of IUNet (Eq. 8): a coarse picture at the size of `image`, sharp near focus, (B, 3, H, W).

    Where IUNet goes below 0 so may the picture: clipped while it trains, a network that began there would stay there.
    """
    seen = defocus.clamp(-1.0, 1.0) if upsampling.clipped else defocus
    fine = iunet(image, seen, coarse, gamma)
    if upsampling.kept_by == "everywhere":
        return fine
    mask = near_focus(dilated if upsampling.kept_by == "dilated" else defocus)
    return torch.lerp(resized(coarse, image.shape[-2:]), fine, mask)


def near_focus(defocus: Tensor) -> Tensor:
    """1 where |defocus| < 1, with soft rims: (B, 1, H, W)."""
    mask = (defocus.abs() < 1.0).to(defocus.dtype)
    radius = round(0.005 * (defocus.shape[-2] + defocus.shape[-1]))
    if radius == 0:
        return mask
    sigma = 0.3 * (radius - 1) + 0.8
    offsets = torch.arange(-radius, radius + 1, dtype=defocus.dtype, device=defocus.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(mask, (radius, radius, radius, radius), mode="replicate")
    # A mask of few bits would band the picture.
    with torch.autocast(defocus.device.type, enabled=False):
        return F.conv2d(F.conv2d(padded, kernel[None, None, :, None]), kernel[None, None, None, :])
