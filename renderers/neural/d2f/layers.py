"""The weighted layered rendering of D2F (Luo et al. 2020, Eqs. 5 to 16) on tensors, with gradients.

    B = sum_l w_l k_l * (M_l R I) / sum_l w_l k_l * (M_l R),     w_l = prod (1 - M_j) over the layers j in front of l
    M_l = 1/2 + 1/2 tanh(gamma (1/L - |D - l/L|)),               l = 1 .. L

`renderers.classical.d2f_layered` is the same for signed defocus in linear light, without radiance.

Differences from the print. Kernels have unit sum: raw sums let strong blur outvote the rest thousands to one. The
smallest kernel is one pixel: the sizes of Eq. 14 are taken at l - 1. The radius of the first layer's mask is measured
from D = 1/L on, so that a pixel in focus has all of its weight.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LAYERS = 15
SIZE_MAX_PX = 69

# Kernels of this side and more are applied by Fourier transforms.
_FOURIER_FROM_PX = 19

_MASK_SLOPE, _RIM_SLOPE, _RIM_OFFSET = 100.0, 0.25, 0.5

# Keeps the ratio finite where no layer has light.
_EPSILON = 1e-8

# Layers that nothing is seen of are left out where no gradient is wanted.
_MASK_MIN = 1e-4

# Which layers hide others. "printed": those of larger D. "near-on-top": those of smaller D, which are nearer where the
# focus is on what is nearest. "signed": the nearer ones of layers on both sides of the focus.
Order = Literal["printed", "near-on-top", "signed"]


@dataclass(frozen=True)
class Layering:
    """How a picture is cut into layers.

    sizes       sides of their kernels in pixels of the picture rendered, odd, ascending from 1
    order       which layers hide others
    soft        kernels with soft rims (Eq. 13); else those of Eq. 11
    one_sided   whether the first layer's mask is measured from D = 1/L on
    """

    sizes: tuple[int, ...]
    order: Order = "near-on-top"
    soft: bool = True
    one_sided: bool = True

    def scaled(self, scale: float) -> "Layering":
        """The same layers with kernels of `scale` times the radius (section 5.6), rounded to whole pixels."""
        sizes = tuple(2 * int(scale * (size - 1) / 2 + 0.5) + 1 for size in self.sizes)
        return Layering(sizes, self.order, self.soft, self.one_sided)


def kernel_sizes(layers: int = LAYERS, largest_px: int = SIZE_MAX_PX) -> tuple[int, ...]:
    """The growing sizes of Eq. 14: 1, 3, 5, 7, 11, ... 69; other numbers sample the same curve, rounded to odd."""
    printed = np.array([1, 3, 5, 7, 11, 15, 19, 23, 27, 33, 39, 45, 53, 61, 69])
    curve = np.interp(np.linspace(0, len(printed) - 1, layers), np.arange(len(printed)), (printed - 1) / 2)
    radii = np.rint(curve * (largest_px - 1) / (SIZE_MAX_PX - 1))
    return tuple(int(2 * radius + 1) for radius in radii)


def uniform_sizes(layers: int = LAYERS) -> tuple[int, ...]:
    """1, 5, 9, ...: the uniform sampling of Table 6."""
    return tuple(range(1, 4 * layers, 4))


def kernel(size: int, *, soft: bool = True) -> Tensor:
    """A disk (size, size) of radius (size - 1) / 2 whose sum is 1; size 1 is no blur."""
    raw = raw_kernel(size, soft=soft)
    return (raw / raw.sum()).float()


def raw_kernel(size: int, *, soft: bool = True) -> Tensor:
    """The disk as printed: 1/2 + 1/2 tanh(0.25 (r^2 - x^2 - y^2) + 0.5) (Eq. 13), or 1 inside (Eq. 11). float64."""
    radius = (size - 1) // 2
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    inside = radius**2 - offsets[:, None] ** 2 - offsets**2
    return 0.5 + 0.5 * torch.tanh(_RIM_SLOPE * inside + _RIM_OFFSET) if soft else (inside >= 0.0).double()


def rendered(image: Tensor, radiance: Tensor, defocus: Tensor, layering: Layering) -> Tensor:
    """The layers of a picture, blurred and put together.

    image      (B, 3, H, W) display values
    radiance   (B, 3, H, W) > 0: how much a pixel counts where it is blurred with others (Eq. 15)
    defocus    (B, 1, H, W): D in [0, 1] from the focus on; in [-1, 1], smaller is nearer, for signed layers
    returns    (B, 3, H, W)
    """
    # Sums of a hundred products of few bits would band the picture; Fourier transforms do not know them.
    with torch.autocast(image.device.type, enabled=False):
        weighted = torch.cat([radiance * image, radiance], 1).float()
        total = torch.zeros_like(weighted)
        seen_through = torch.ones_like(defocus, dtype=torch.float32)
        for size, mask in _front_to_back(defocus.float(), layering):
            if not torch.is_grad_enabled() and mask.max() < _MASK_MIN:
                continue
            total = total + seen_through * blurred(mask * weighted, kernel(size, soft=layering.soft))
            seen_through = seen_through * (1.0 - mask)
        light, weight = total.chunk(2, 1)
        return light / weight.clamp(min=_EPSILON)


def _front_to_back(defocus: Tensor, layering: Layering):
    """(size of the kernel, mask) of every layer, those first that hide others."""
    count = len(layering.sizes)
    numbers = range(1, count + 1)
    if layering.order == "printed":
        places = [(1, layer) for layer in reversed(numbers)]
    elif layering.order == "near-on-top":
        places = [(1, layer) for layer in numbers]
    else:
        # Nearer than the focus, from the nearest on; in focus; and farther.
        places = [(-1, layer) for layer in reversed(numbers[1:])] + [(0, 1)] + [(1, layer) for layer in numbers[1:]]
    for side, layer in places:
        distance = (defocus.abs() if side == 0 else side * defocus) - layer / count
        away = distance.clamp(min=0.0) if layer == 1 and layering.one_sided else distance.abs()
        yield layering.sizes[layer - 1], 0.5 + 0.5 * torch.tanh(_MASK_SLOPE * (1.0 / count - away))


def blurred(x: Tensor, kernel: Tensor) -> Tensor:
    """(B, C, H, W) correlated with a symmetric kernel of odd side; the picture is continued by its last pixels."""
    side, (height, width) = kernel.shape[-1], x.shape[-2:]
    if side == 1:
        return x
    reach, kernel = side // 2, kernel.to(x)
    padded = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    if side < _FOURIER_FROM_PX:
        return F.conv2d(padded, kernel.expand(x.shape[1], 1, side, side), groups=x.shape[1])
    size = padded.shape[-2:]
    product = torch.fft.rfft2(padded) * torch.fft.rfft2(kernel, s=size)
    return torch.fft.irfft2(product, s=size)[..., side - 1 : side - 1 + height, side - 1 : side - 1 + width]
