"""Dr.Bokeh (Sheng et al. 2023) in torch, differentiable in colour, alpha and disparity, the backward written by hand.

The equations of `renderers.classical.drbokeh` for a round aperture, on tensors of any device and float dtype. The
backward is the corrected one: the paper's Eqs. 10 and 11 differentiate N / W as if each pixel were alone in its sums.
`LayerSums` gives N, W and V; the division and the composite over layers are left to autograd.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_EPSILON = 1e-8


def refocus_layers(
    rgb: Tensor, alpha: Tensor, disparity: Tensor, blur_parameter: float, focus_disparity: float, *, leak: bool = False
) -> Tensor:
    """Composite of layers, each blurred with its own sums: (B, 3, H, W) linear light.

    rgb         (B, L, 3, H, W) linear light, layers near to far
    alpha       (B, L, 1, H, W) in [0, 1], straight; the last layer is taken as opaque
    disparity   (B, L, 1, H, W) normalized to [0, 1], defined under alpha 0 as well
    leak        replace vanishing derivatives of O by small ones of the same sign, as the released code does
    Beyond the picture its border repeats.
    """
    relative = disparity - focus_disparity
    # One window serves all pixels; no kernel reaches farther than this.
    reach = math.ceil(blur_parameter * float(relative.detach().abs().max())) + 4
    refocused = torch.zeros_like(rgb[:, 0])
    transmittance = torch.ones_like(alpha[:, 0])
    layers = rgb.shape[1]
    for i in range(layers):
        padded = F.pad(torch.cat([rgb[:, i], alpha[:, i], relative[:, i]], dim=1), (reach,) * 4, mode="replicate")
        colour, a, d = padded.split([3, 1, 1], dim=1)
        sums = LayerSums.apply(colour, a, d, blur_parameter, reach, leak)
        n, w, v = (s[..., reach:-reach, reach:-reach] for s in sums)
        visible = v if i < layers - 1 else torch.ones_like(v)
        refocused = refocused + transmittance * visible * n / (w + _EPSILON)
        transmittance = transmittance * (1.0 - visible)
    return refocused


class LayerSums(torch.autograd.Function):
    """N (B, 3, H, W), W and V (B, 1, H, W) of one layer, zero outside.

    Inputs rgb (B, 3, H, W), alpha and disparity relative to the focus (B, 1, H, W), K, half-size of the window, leak.
    Every offset of the window is one shifted product over the whole picture; nothing but the inputs is kept.
    """

    @staticmethod
    def forward(ctx, rgb, alpha, disparity, blur_parameter, reach, leak):
        ctx.save_for_backward(rgb, alpha, disparity)
        ctx.options = (blur_parameter, reach, leak)
        n, w = torch.zeros_like(rgb), torch.zeros_like(alpha)
        covered, area = torch.zeros_like(alpha), torch.zeros_like(alpha)
        for dy, dx, x, y in _offsets(reach, rgb.shape):
            pair = _Pair(disparity[y], disparity[x], blur_parameter, math.hypot(dx, dy))
            weight = alpha[y] * pair.scatter * pair.occlusion
            n[x] += weight * rgb[y]
            w[x] += weight
            covered[x] += alpha[y] * pair.disk
            area[x] += pair.disk
        return n, w, covered / area

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_sums):  # pyright: ignore[reportIncompatibleMethodOverride]
        grad_n, grad_w, grad_v = grad_sums
        rgb, alpha, disparity = ctx.saved_tensors
        blur_parameter, reach, leak = ctx.options
        area, covered = torch.zeros_like(alpha), torch.zeros_like(alpha)
        for dy, dx, x, y in _offsets(reach, rgb.shape):
            disk = _Pair(disparity[y], disparity[x], blur_parameter, math.hypot(dx, dy)).disk
            area[x] += disk
            covered[x] += alpha[y] * disk
        grad_rgb, grad_alpha, grad_disparity = (torch.zeros_like(t) for t in (rgb, alpha, disparity))
        for dy, dx, x, y in _offsets(reach, rgb.shape):
            pair = _Pair(disparity[y], disparity[x], blur_parameter, math.hypot(dx, dy))
            weight = pair.scatter * pair.occlusion
            # What the losses gain per unit of weight between this source and this target.
            per_weight = (grad_n[x] * rgb[y]).sum(dim=1, keepdim=True) + grad_w[x]
            by_source, by_target = pair.occlusion_slopes(leak)
            grad_rgb[y] += grad_n[x] * alpha[y] * weight
            grad_alpha[y] += per_weight * weight + grad_v[x] * pair.disk / area[x]
            grad_disparity[y] += (
                alpha[y] * per_weight * (pair.scatter_slope() * pair.occlusion + pair.scatter * by_source)
            )
            grad_disparity[x] += alpha[y] * per_weight * pair.scatter * by_target
            grad_disparity[x] += grad_v[x] * (alpha[y] - covered[x] / area[x]) / area[x] * pair.disk_slope()
        return grad_rgb, grad_alpha, grad_disparity, None, None, None


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
        self.disk_radius = torch.sqrt((blur_parameter * d_target) ** 2 + 0.25)
        self.disk = 0.5 + 0.5 * torch.tanh(6.0 * (self.disk_radius - rho))

    def scatter_slope(self) -> Tensor:
        """d scatter / d d_source."""
        return self.blur_parameter * self.d_source.sign() * self.scatter * (3.0 * (1.0 - self.step) - 2.0 / self.radius)

    def occlusion_slopes(self, leak: bool) -> tuple[Tensor, Tensor]:
        """d occlusion / d d_source and / d d_target: 0 where a pixel meets itself."""
        if self.rho == 0.0:
            return torch.zeros_like(self.d_source), torch.zeros_like(self.d_target)
        # The two factors that can vanish, before they are multiplied with anything else.
        by_difference = 5.0 * (1.0 - self.nearer**2)
        by_focus = 6.0 * self.blur_parameter**2 * self.d_target * self.in_focus
        if leak:
            by_difference, by_focus = _leaked(by_difference), _leaked(by_focus)
        by_source = self.in_focus * by_difference
        return by_source, by_focus * 0.5 * (1.0 - self.nearer) - by_source

    def disk_slope(self) -> Tensor:
        """d disk / d d_target."""
        slope = 3.0 / torch.cosh((6.0 * (self.disk_radius - self.rho)).clamp(-40.0, 40.0)) ** 2
        return slope * self.blur_parameter**2 * self.d_target / self.disk_radius


def _leaked(slope: Tensor) -> Tensor:
    """The slope, kept away from zero in two steps: at least 1e-2 above 1e-4, at least 1e-3 above 1e-6."""
    size = slope.abs()
    floor = torch.where(size >= 1e-4, 1e-2, torch.where(size >= 1e-6, 1e-3, 0.0)).to(slope)
    return torch.where(size >= 1e-2, slope, torch.where(floor > 0.0, slope.sign() * floor, slope))


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
