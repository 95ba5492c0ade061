"""N and W of a layer of Dr.Bokeh, one shifted product over the whole picture for every offset of the window.

What `renderers.differentiable.drbokeh` was before its sums went over rims alone: r^2 products a pixel. Kept to compare.
"""

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class LayerSums(torch.autograd.Function):
    """N (B, 3, H, W) and W (B, 1, H, W), zero outside.

    Inputs rgb (B, 3, H, W), alpha and disparity relative to the focus (B, 1, H, W), K, half-size of the window.
    """

    @staticmethod
    def forward(ctx, rgb, alpha, disparity, blur_parameter, reach):
        ctx.save_for_backward(rgb, alpha, disparity)
        ctx.options = (blur_parameter, reach)
        n, w = torch.zeros_like(rgb), torch.zeros_like(alpha)
        for dy, dx, x, y in _offsets(reach, rgb.shape):
            pair = _Pair(disparity[y], disparity[x], blur_parameter, math.hypot(dx, dy))
            weight = alpha[y] * pair.scatter * pair.occlusion
            n[x] += weight * rgb[y]
            w[x] += weight
        return n, w

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_sums):  # pyright: ignore[reportIncompatibleMethodOverride]
        grad_n, grad_w = grad_sums
        rgb, alpha, disparity = ctx.saved_tensors
        blur_parameter, reach = ctx.options
        grad_rgb, grad_alpha, grad_disparity = (torch.zeros_like(t) for t in (rgb, alpha, disparity))
        for dy, dx, x, y in _offsets(reach, rgb.shape):
            pair = _Pair(disparity[y], disparity[x], blur_parameter, math.hypot(dx, dy))
            weight = pair.scatter * pair.occlusion
            # What the losses gain per unit of weight between this source and this target.
            per_weight = (grad_n[x] * rgb[y]).sum(dim=1, keepdim=True) + grad_w[x]
            by_source, by_target = pair.occlusion_slopes()
            grad_rgb[y] += grad_n[x] * alpha[y] * weight
            grad_alpha[y] += per_weight * weight
            grad_disparity[y] += (
                alpha[y] * per_weight * (pair.scatter_slope() * pair.occlusion + pair.scatter * by_source)
            )
            grad_disparity[x] += alpha[y] * per_weight * pair.scatter * by_target
        return grad_rgb, grad_alpha, grad_disparity, None, None


class _Pair:
    """All pairs of a source y and a target x at one offset, rho pixels apart; d relative to the focus."""

    def __init__(self, d_source: Tensor, d_target: Tensor, blur_parameter: float, rho: float):
        self.d_source, self.d_target, self.blur_parameter, self.rho = d_source, d_target, blur_parameter, rho
        self.radius = blur_parameter * d_source.abs() + 1.0
        self.step = torch.sigmoid(3.0 * (self.radius - rho) - math.log(10.0))
        self.scatter = self.step / self.radius**2
        self.in_focus = torch.exp(-3.0 * (blur_parameter * d_target) ** 2)
        self.nearer = torch.tanh(10.0 * (d_source - d_target - 0.1))
        self.occlusion = torch.ones_like(d_source) if rho == 0.0 else 1.0 - self.in_focus * 0.5 * (1.0 - self.nearer)

    def scatter_slope(self) -> Tensor:
        """d scatter / d d_source."""
        return self.blur_parameter * self.d_source.sign() * self.scatter * (3.0 * (1.0 - self.step) - 2.0 / self.radius)

    def occlusion_slopes(self) -> tuple[Tensor, Tensor]:
        """d occlusion / d d_source and / d d_target: 0 where a pixel meets itself."""
        if self.rho == 0.0:
            return torch.zeros_like(self.d_source), torch.zeros_like(self.d_target)
        by_source = self.in_focus * 5.0 * (1.0 - self.nearer**2)
        by_focus = 6.0 * self.blur_parameter**2 * self.d_target * self.in_focus
        return by_source, by_focus * 0.5 * (1.0 - self.nearer) - by_source


def _offsets(reach: int, shape: torch.Size):
    """(dy, dx, target index, source index) of every offset, source = target + offset, both inside the picture."""
    height, width = shape[-2:]
    for dy in range(max(-reach, 1 - height), min(reach, height - 1) + 1):
        for dx in range(max(-reach, 1 - width), min(reach, width - 1) + 1):
            target = (..., _inside(-dy, height), _inside(-dx, width))
            source = (..., _inside(dy, height), _inside(dx, width))
            yield dy, dx, target, source


def _inside(shift: int, size: int) -> slice:
    """The pixels i of a row of `size` for which i - shift is inside as well."""
    return slice(max(shift, 0), size + min(shift, 0))
