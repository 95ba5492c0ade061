"""AdvBokeh (Huang et al. 2021, Eq. 18): a depth map is changed a little, so that its bokeh picture is misclassified.

    delta* = argmax J(phi(T(I, D + g(delta))), y),     ||delta||_inf <= eps

T renders, phi classifies, J is the cross-entropy with the true label y. One loop of projected gradient ascent serves
three forms g of the perturbation:

    gda      g(delta) = delta
    sm-gda   g(delta) = S(delta), a mean over a square window
    bg-gda   g(delta) = delta BR, BR = 1 on the background and 0 on what is near

The paper smooths the gradient in its text and delta in its formula. S inside the loop does both: backward, the gradient
goes through S transposed. It does not print the step, the window or the threshold of BR; here they are the fields of
`Attack`. Tensors are (B, 1, H, W); larger D is farther.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Method = Literal["gda", "sm-gda", "bg-gda"]
METHODS: tuple[Method, ...] = get_args(Method)

# The paper's, for a depth in [0, 1] through CoCNet.
EPS: dict[Method, float] = {"gda": 0.0003, "sm-gda": 0.008, "bg-gda": 0.0006}

# The window is 15 px in pictures of the paper's size.
_WINDOW, _SIDE = 15, 299


@dataclass(frozen=True)
class Attack:
    """An attack and its settings.

    eps            largest change of the depth at a pixel, of a depth in [0, 1]; 0 changes nothing
    steps          of gradient ascent
    step_size      of delta; None for 2.5 eps / steps
    window         side of S, odd, pixels; None for 15 at 299 px, in proportion
    bg_threshold   what is farther than this is background; None for Otsu's
    random_start   delta begins uniformly in [-eps, eps] instead of at 0
    """

    method: Method
    eps: float
    steps: int = 50
    step_size: float | None = None
    window: int | None = None
    bg_threshold: float | None = None
    random_start: bool = False

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}; there are {', '.join(METHODS)}")
        if not 0.0 <= self.eps <= 1.0:
            raise ValueError(f"eps is {self.eps}; it must lie between 0 and 1")
        if self.steps < 0:
            raise ValueError(f"steps is {self.steps}; it must be at least 0")
        if self.step_size is not None and not self.step_size > 0.0:
            raise ValueError(f"step_size is {self.step_size}; it must be above 0")
        if self.window is not None and (self.window < 1 or self.window % 2 == 0):
            raise ValueError(f"window is {self.window} px; it must be odd")

    def form(self, depth: Tensor) -> Callable[[Tensor], Tensor]:
        """g, for these depths."""
        if self.method == "gda":
            return lambda delta: delta
        if self.method == "sm-gda":
            window = self.window or window_for(min(depth.shape[-2:]))
            return lambda delta: box_mean(delta, window)
        background = background_of(depth, self.bg_threshold)
        return lambda delta: delta * background


def attacked_depth(
    render: Callable[[Tensor], Tensor],
    logits: Callable[[Tensor], Tensor],
    depth: Tensor,
    labels: Tensor,
    attack: Attack,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The attacked depth (B, 1, H, W) in [0, 1], at most eps from `depth` at every pixel.

    render      (B, 1, H, W) depth to (B, 3, H, W) display values; differentiable, its parameters frozen
    logits      display values in [0, 1] to (B, classes), likewise
    depth       in [0, 1]
    labels      (B,) int64: the true ones, away from which the pictures go
    generator   of a random start
    Deterministic without a random start. Pictures of a batch do not depend on each other.
    """
    form = attack.form(depth)
    step_size = 2.5 * attack.eps / max(attack.steps, 1) if attack.step_size is None else attack.step_size
    delta = torch.zeros_like(depth)
    if attack.random_start:
        delta = attack.eps * (2.0 * torch.rand(depth.shape, generator=generator, dtype=depth.dtype) - 1.0)
    for _ in range(attack.steps):
        delta.requires_grad_(True)
        picture = render(_moved(depth, form(delta))).clamp(0.0, 1.0)
        loss = F.cross_entropy(logits(picture), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, delta)
        delta = (delta.detach() + step_size * gradient.sign()).clamp(-attack.eps, attack.eps)
    return _moved(depth, form(delta.detach()))


def _moved(depth: Tensor, change: Tensor) -> Tensor:
    return (depth + change).clamp(0.0, 1.0)


def box_mean(values: Tensor, window: int) -> Tensor:
    """Mean over a square window of each plane, mirrored beyond the border: never above the largest |value|."""
    reach = window // 2
    return F.avg_pool2d(F.pad(values, (reach,) * 4, mode="reflect"), window, stride=1)


def window_for(side: int) -> int:
    """The window of S for pictures of a side: 15 px at 299 px in proportion, odd, at least 3 px."""
    return max(3, round(_WINDOW * side / _SIDE) // 2 * 2 + 1)


def background_of(depth: Tensor, threshold: float | None = None) -> Tensor:
    """BR (B, 1, H, W): 1 where the depth is above the threshold, else 0. Otsu's of each picture unless given."""
    if threshold is not None:
        return (depth > threshold).to(depth)
    planes = (255.0 * depth.detach().cpu().clamp(0.0, 1.0)).round().to(torch.uint8)
    masks = [
        cv2.threshold(np.ascontiguousarray(p), 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]
        for p in planes[:, 0].numpy()
    ]
    return torch.from_numpy(np.stack(masks))[:, None].to(depth)
