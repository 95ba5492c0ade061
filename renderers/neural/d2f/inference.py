"""D2F (Luo et al. 2020) on pictures: it finds what is out of focus by itself, and can move the focus.

Its D is not the disparity of the protocol: it is 0 at the subject, on which the pictures that it learned from are
focused, and grows with the blur behind it.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderers.base import RendererError
from renderers.neural.d2f import fusion as fusions
from renderers.neural.d2f.layers import SIZE_MAX_PX, Layering, Order, kernel_sizes, rendered, uniform_sizes
from renderers.neural.d2f.network import DefocusNet, FusionNet, Radiance, SmallDefocusNet, radiance_of
from renderers.neural.layers import enlarged, padded_to_multiple
from renderers.neural.tensors import device_of, picture_from_tensor, tensor_from_plane
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.lens import Lens

NETWORKS = {
    "d2f-defocus": DefocusNet,
    "d2f-fusion": FusionNet,
    "d2f-small-defocus": SmallDefocusNet,
    "d2f-small-fusion": FusionNet,
}

# Blur radius at D = 1 in pixels of the picture; the largest kernel is that of half the size.
BLUR_PX = float(SIZE_MAX_PX - 1)

Fusion = Literal["network", "naive", "laplacian", "poisson", "none"]

SIZES: dict[str, tuple[int, ...]] = {
    "growing": kernel_sizes(),
    "uniform": uniform_sizes(),
    **{f"{count}-kernels": kernel_sizes(layers=count) for count in (11, 13, 17, 19)},
    **{f"kernels-to-{side}-px": kernel_sizes(largest_px=side) for side in (49, 59, 79, 89)},
}


def refocus(
    networks: Mapping[str, nn.Module],
    image: Picture,
    disparity: Plane,
    lens: Lens,
    *,
    gamma: float,
    arch: Backend,
    focus: float | str = 0.0,
    blur: float = BLUR_PX,
    sizes: str = "growing",
    soft: bool = True,
    order: Order = "near-on-top",
    radiance: Radiance = "net",
    fusion: Fusion = "network",
) -> Picture:
    """(H, W, 3) display values in [0, 1], of the picture clipped at white.

    The network knows neither lens nor gamma, and they are ignored; so is the disparity.

    focus      D that is sharp: 0 is the subject, 1 the farthest; D' = |D - focus|
    blur       radius in pixels at D' = 1; it has learned from 68
    sizes      of kernels, a key of SIZES
    soft       whether kernels have soft rims (Eq. 13)
    order      which layers hide others, where the focus is on the subject
    radiance   Table 7
    fusion     Table 8; without a second network anything but "network"
    raises     RendererError for a focus or a blur that does not fit
    """
    focus = _focus_of(focus)
    largest = max(BLUR_PX, *image.shape[:2])
    if not 0.0 <= blur <= largest:
        raise RendererError(f"the blur is {blur:g} px; it must lie between 0 and {largest:g} for this picture")
    stage1, *stage2 = networks.values()
    # Signed layers are those of "near-on-top" where nothing is nearer than the focus, at twice the price.
    layering = Layering(SIZES[sizes], "signed" if focus else order, soft, one_sided=order != "printed")
    layering = layering.scaled(blur / BLUR_PX)
    with torch.inference_mode():
        shown = tensor_from_plane(np.minimum(image, np.float32(1.0)), device_of(arch))
        half = halved(shown)
        defocus, predicted = stage1(half)
        blurred = rendered(half, radiance_of(half, predicted, radiance), defocus - focus, layering)
        size = shown.shape[-2:]
        blurred, away = doubled(blurred, size), doubled((defocus - focus).abs(), size)
        match fusion:
            case "network":
                picture = torch.lerp(blurred, shown, stage2[0](shown, away))
            case "naive":
                picture = fusions.naive(shown, blurred, away)
            case "laplacian":
                picture = fusions.laplacian_pyramid(shown, blurred, away)
            case "poisson":
                picture = fusions.poisson(shown, blurred, away)
            case "none":
                picture = blurred
        return picture_from_tensor(picture.clamp(0.0, 1.0))


def halved(picture: Tensor) -> Tensor:
    """(B, C, H, W) to half the size, rounded up."""
    return F.avg_pool2d(padded_to_multiple(picture, 2), 2)


def doubled(picture: Tensor, size: torch.Size) -> Tensor:
    """(B, C, h, w) to twice the size, bilinearly, and cut to `size`."""
    return enlarged(picture, 2)[..., : size[-2], : size[-1]]


def _focus_of(focus: float | str) -> float:
    try:
        value = float(focus)
    except ValueError:
        value = float("nan")
    if not 0.0 <= value <= 1.0:
        raise RendererError(f"the focus is {focus}; D2F's own goes from 0, the subject, to 1, the farthest")
    return value
