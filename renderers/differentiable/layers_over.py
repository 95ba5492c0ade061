"""`layers-over` in torch, differentiable in colour, alpha and defocus, the backward written by hand.

The sums are those of `renderers.classical.layers_over`, with its kernels. Per layer, with p = (a I, a):

    (C, A)(x) = sum_y p(y) k_y(x - y) / F(x),     F(x) = sum_y k_y(x - y),     k_y = w / sum w

    dL/dp(y) = sum_x k_y(x - y) g(x) / F(x),                         g = dL/d(C, A)
    dL/dS(y) = sum_x dk_y/dS(x - y) (p(y) - (C, A)(x)) . g(x) / F(x)

The transpose of the splat is a gather with the same kernels, so that both directions cost as much. dk/dS is the
difference of the kernels half a pixel apart. Sums run on the CPU; tensors of other devices are copied there and back.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from renderers.classical.layers_over import area_disks, density_of, full_coverage
from renderers.splatting.splat import gather, splat
from scenes.aperture import Aperture, Disk

# Kernels that are compared for dk/dS lie this far to both sides.
_HALF_STEP_PX = 0.25


def refocus_layers(rgb: Tensor, alpha: Tensor, defocus_px: Tensor, aperture: Aperture | None = None) -> Tensor:
    """Layers, each blurred with premultiplied alpha, put over each other: (B, 3, H, W) linear light.

    rgb          (B, L, 3, H, W) linear light, layers near to far
    alpha        (B, L, 1, H, W) in [0, 1], straight
    defocus_px   (B, L, 1, H, W) signed defocus S, as any lens gives it; defined under alpha 0 as well
    aperture     round unless said
    Beyond the picture its border repeats.
    """
    aperture = aperture or Disk()
    # No kernel reaches farther than this.
    reach = math.ceil(float(defocus_px.detach().abs().max())) + 1
    picture = torch.zeros_like(rgb[:, 0])
    transmittance = torch.ones_like(alpha[:, 0])
    for i in range(rgb.shape[1]):
        layer = torch.cat([rgb[:, i] * alpha[:, i], alpha[:, i], defocus_px[:, i]], dim=1)
        padded = F.pad(layer, (reach,) * 4, mode="replicate")
        blurred = PremultipliedBlur.apply(padded[:, :4], padded[:, 4:], aperture)[..., reach:-reach, reach:-reach]
        picture = picture + transmittance * blurred[:, :3]
        transmittance = transmittance * (1.0 - blurred[:, 3:].clamp(max=1.0))
    return picture


class PremultipliedBlur(torch.autograd.Function):
    """C and A of one layer, (B, 4, H, W), from its premultiplied light and alpha (B, 4, H, W) and S (B, 1, H, W).

    Linear in the first. float32 or float64; kernels are those of float32 defocuses.
    """

    @staticmethod
    def forward(ctx, premultiplied, defocus_px, aperture):
        blurred, full = [], []
        for p, s in zip(_arrays(premultiplied), _arrays(defocus_px), strict=True):
            bank, kernel = _kernels(s, aperture)
            density = density_of(bank, kernel)
            full.append(full_coverage(density, kernel, bank)[..., None])
            blurred.append(splat(p * density[..., None], kernel, bank, signed=True) / full[-1])
        blurred, full = _tensor(blurred, premultiplied), _tensor(full, premultiplied)
        ctx.save_for_backward(premultiplied, defocus_px, blurred, full)
        ctx.aperture = aperture
        return blurred

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        premultiplied, defocus_px, blurred, full = ctx.saved_tensors
        grad = grad_outputs[0] / full
        of_light = of_defocus = None
        if ctx.needs_input_grad[0]:
            items = zip(_arrays(grad), _arrays(defocus_px), strict=True)
            of_light = _tensor([_transposed(g, s, ctx.aperture) for g, s in items], premultiplied)
        if ctx.needs_input_grad[1]:
            # What every pixel gains per unit of weight: with the source's own light, and by what it shares with others.
            gains = torch.cat([grad, (grad * blurred).sum(dim=1, keepdim=True)], dim=1)
            slopes = []
            for g, s in zip(_arrays(gains), _arrays(defocus_px), strict=True):
                nearer, farther = (_transposed(g, s + h, ctx.aperture) for h in (_HALF_STEP_PX, -_HALF_STEP_PX))
                slopes.append((nearer - farther) / (2.0 * _HALF_STEP_PX))
            slope = _tensor(slopes, premultiplied)
            of_defocus = (premultiplied * slope[:, :4]).sum(dim=1, keepdim=True) - slope[:, 4:]
        return of_light, of_defocus, None


def _transposed(values: NDArray, defocus_px: NDArray, aperture: Aperture) -> NDArray:
    """(H, W, C): sum over x of k_y(x - y) values(x), at every y."""
    bank, kernel = _kernels(defocus_px, aperture)
    channels = [np.ascontiguousarray(values[..., c]) for c in range(values.shape[-1])]
    sums = np.stack([gather(channel, kernel, bank, signed=True) for channel in channels], axis=-1)
    return sums * density_of(bank, kernel)[..., None]


def _kernels(defocus_px: NDArray, aperture: Aperture):
    return area_disks(np.ascontiguousarray(defocus_px[..., 0], np.float32), aperture)


def _arrays(tensor: Tensor) -> list[NDArray]:
    """The pictures of a batch, (H, W, C) each."""
    return [np.ascontiguousarray(item) for item in tensor.detach().cpu().permute(0, 2, 3, 1).numpy()]


def _tensor(pictures: list[NDArray], like: Tensor) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(like)
