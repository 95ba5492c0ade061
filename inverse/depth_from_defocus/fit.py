"""Disparity fitted to one pair of pictures. Nothing is random: equal pairs give equal disparities.

Blur tells a radius |S|, not its sign, and nothing where a picture has no texture. So a fit goes in three steps:

1. a stack: the sharp picture, blurred as a whole by each of some radii, is compared with the blurred one in windows of
   several sizes; small ones decide where there is texture, large ones elsewhere;
2. sides: where both sides of the focus may occur, the regions of the map are put in front of or behind it one by one,
   as the picture says: what is in focus hides what is behind it, and is covered by what is in front;
3. descent: Adam through the renderer, first at half the size.

`aperture` (Srinivasan et al. 2018) does the third with the stack itself: the picture is a mixture of its planes with
weights for each pixel, and the disparity their mean.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import ExponentialLR

from inverse.depth_from_defocus.losses import Loss, shown
from inverse.depth_from_defocus.problem import Pair, plane_of, tensor_of
from inverse.depth_from_defocus.renderings import RENDERINGS
from inverse.depth_from_defocus.stack import costs_of, stack
from scenes.arrays import Picture, Plane

METHODS = (*RENDERINGS, "aperture")

# At half the size there must be so many pixels a side, and so large a blur.
_COARSE_SIDE_PX, _COARSE_RADIUS_PX = 64, 4.0

# Regions that are put to one side of the focus: at most so many, the largest, above this part of the picture.
_REGIONS_MAX, _REGION_MIN = 8, 0.004

# Blur below this looks like focus.
_SHARP_PX = 1.0


@dataclass(frozen=True)
class FitSettings:
    """How a disparity is fitted.

    method          of METHODS
    steps           of Adam at full size; half as many before, at half the size
    learning_rate   of Adam, normalized disparity a step; falls to a tenth
    planes          of the stack
    """

    method: str = "drbokeh"
    loss: Loss = field(default_factory=Loss)
    steps: int = 100
    learning_rate: float = 0.01
    planes: int = 24


@dataclass(frozen=True, eq=False)
class Fit:
    """What was found.

    disparity   (H, W) float32, in the unit of the lens
    rendered    (H, W, 3) float32 display values: the sharp picture, blurred by it
    losses      of every step, those at half the size first
    """

    disparity: Plane
    rendered: Picture
    losses: tuple[float, ...]


def fit(
    pair: Pair,
    settings: FitSettings | None = None,
    told: Callable[[float], None] = lambda loss: None,
    start: Plane | None = None,
) -> Fit:
    """The disparity of a pair.

    told    is called with the loss after every step; there are `num_steps`
    start   (H, W) disparity in the unit of the lens that the descent begins from, instead of the stack; `aperture`
            does not take one
    """
    settings = settings or FitSettings()
    problem = _Problem.of(pair)
    planes = torch.linspace(0.0, 1.0, settings.planes)
    costs = problem.costs(planes)
    losses: list[float] = []
    if settings.method == "aperture":
        disparity, rendered = _mixture(problem, planes, costs, settings, losses, told)
    else:
        if start is None:
            disparity = on_their_sides(problem, planes, costs, settings)
        else:
            disparity = tensor_of(pair.normalized(start)).clamp(0.0, 1.0)
        if _is_coarse_first(pair):
            small = F.avg_pool2d(disparity, 2)
            small, _ = _descent(problem.halved(), small, settings, settings.steps // 2, losses, told)
            finer = F.interpolate(small, disparity.shape[-2:], mode="bilinear")
            # What the half size cannot hold of the start is kept.
            held = F.interpolate(F.avg_pool2d(disparity, 2), disparity.shape[-2:], mode="bilinear")
            disparity = (disparity + finer - held).clamp(0.0, 1.0)
        disparity, rendered = _descent(problem, disparity, settings, settings.steps, losses, told)
    display = (rendered.clamp(min=0.0) ** (1.0 / pair.gamma)).detach()
    return Fit(pair.in_units(plane_of(disparity)), plane_of(display), tuple(losses))


def num_steps(pair: Pair, settings: FitSettings) -> int:
    """How often `fit` tells a loss."""
    is_coarse = settings.method != "aperture" and _is_coarse_first(pair)
    return settings.steps + (settings.steps // 2 if is_coarse else 0)


def _is_coarse_first(pair: Pair) -> bool:
    height, width = pair.sharp.shape[:2]
    return min(height, width) >= 2 * _COARSE_SIDE_PX and pair.reach_px >= _COARSE_RADIUS_PX


@dataclass(frozen=True, eq=False)
class _Problem:
    """A pair as tensors: pictures in linear light and in display values, K and focus for normalized disparity."""

    linear: Tensor
    blurred_linear: Tensor
    sharp: Tensor
    blurred: Tensor
    blur_parameter: float
    focus: float
    gamma: float

    @staticmethod
    def of(pair: Pair) -> "_Problem":
        linear, blurred = pair.tensors()
        return _Problem.made(linear, blurred, pair.blur_parameter, pair.focus, pair.gamma)

    @staticmethod
    def made(linear: Tensor, blurred: Tensor, blur_parameter: float, focus: float, gamma: float) -> "_Problem":
        sharp, seen = (shown(t, gamma) for t in (linear, blurred))
        return _Problem(linear, blurred, sharp, seen, blur_parameter, focus, gamma)

    def halved(self) -> "_Problem":
        linear, blurred = (F.avg_pool2d(t, 2) for t in (self.linear, self.blurred_linear))
        return _Problem.made(linear, blurred, self.blur_parameter / 2.0, self.focus, self.gamma)

    def rendered(self, disparity: Tensor, method: str) -> Tensor:
        """Linear light."""
        return RENDERINGS[method](self.linear, disparity - self.focus, self.blur_parameter)

    def costs(self, planes: Tensor) -> Tensor:
        """(N, H, W): how badly each plane explains each pixel."""
        relative = planes - self.focus
        return costs_of(self.linear, self.blurred, relative, self.blur_parameter, self.gamma)

    def loss(self, rendered: Tensor, disparity: Tensor, loss: Loss) -> Tensor:
        return loss(shown(rendered, self.gamma), self.blurred, disparity, self.sharp)


def on_their_sides(problem: _Problem, planes: Tensor, costs: Tensor, settings: FitSettings) -> Tensor:
    """(1, 1, H, W): the plane of least cost of each pixel, its region on the side of the focus that explains more."""
    sides = []
    for is_of_side in (planes <= problem.focus, planes >= problem.focus):
        reach = float((planes[is_of_side] - problem.focus).abs().max()) if is_of_side.any() else 0.0
        if reach * problem.blur_parameter >= _SHARP_PX:
            sides.append(_least(planes[is_of_side], costs[is_of_side]))
    if len(sides) == 1:
        return sides[0]
    behind, before = sides
    # Where only one side has such a radius, there is no choice.
    far = _least(planes, costs)
    best, least = None, float("inf")
    for start in (behind, before, far):
        loss = _loss_of(problem, start, settings)
        if loss < least:
            best, least = start, loss
    assert best is not None
    for region in _regions((far - problem.focus).abs() * problem.blur_parameter):
        for side in (behind, before):
            turned = torch.where(region, side, best)
            if (loss := _loss_of(problem, turned, settings)) < least:
                best, least = turned, loss
    return best


def _least(planes: Tensor, costs: Tensor) -> Tensor:
    """The plane of least cost, between planes by the parabola through three of them."""
    index = costs.argmin(dim=0, keepdim=True)
    inside = index.clamp(1, max(len(planes) - 2, 1))
    if len(planes) < 3:
        return planes[index][None]
    low, here, high = (costs.gather(0, inside + k) for k in (-1, 0, 1))
    bend = (low - 2.0 * here + high).clamp(min=1e-9)
    offset = (0.5 * (low - high) / bend).clamp(-0.5, 0.5)
    between = planes[inside] + torch.where(inside == index, offset, torch.zeros_like(offset)) * (planes[1] - planes[0])
    plane = torch.where(inside == index, between, planes[index])
    smooth = cv2.medianBlur(np.ascontiguousarray(plane[0].numpy()), 5)
    return torch.from_numpy(smooth)[None, None]


def _regions(radius_px: Tensor) -> list[Tensor]:
    """Masks (1, 1, H, W) of connected pixels of similar blur, out of focus, the largest first."""
    radius = plane_of(radius_px)
    step = max(float(radius.max()) / 6.0, 1.0)
    band: NDArray[np.int32] = np.where(radius < _SHARP_PX, -1, radius // step).astype(np.int32)
    found = []
    for value in np.unique(band[band >= 0]):
        count, label = cv2.connectedComponents((band == value).astype(np.uint8))
        found += [label == i for i in range(1, count)]
    # Whole stretches beside the focus too: a thing may have several bands.
    count, label = cv2.connectedComponents((band >= 0).astype(np.uint8))
    found += [label == i for i in range(1, count)]
    large = sorted((m for m in found if m.mean() > _REGION_MIN), key=lambda m: -int(m.sum()))[:_REGIONS_MAX]
    return [torch.from_numpy(mask)[None, None] for mask in large]


def _loss_of(problem: _Problem, disparity: Tensor, settings: FitSettings) -> float:
    """Of the picture alone: no side is smoother than the other."""
    loss = replace(settings.loss, smoothness=0.0)
    with torch.no_grad():
        return float(problem.loss(problem.rendered(disparity, settings.method), disparity, loss))


def _descent(
    problem: _Problem,
    disparity: Tensor,
    settings: FitSettings,
    steps: int,
    losses: list[float],
    told: Callable[[float], None],
) -> tuple[Tensor, Tensor]:
    """The best disparity on the way, and its picture."""
    disparity = disparity.clone().requires_grad_()
    optimizer, schedule = _adam(disparity, settings.learning_rate, steps)
    best = (float("inf"), disparity.detach().clone())
    for _ in range(steps):
        optimizer.zero_grad()
        loss = problem.loss(problem.rendered(disparity, settings.method), disparity, settings.loss)
        losses.append(float(loss.detach()))
        if losses[-1] < best[0]:
            best = (losses[-1], disparity.detach().clone())
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            disparity.clamp_(0.0, 1.0)
        told(losses[-1])
    with torch.no_grad():
        rendered = problem.rendered(disparity, settings.method)
        if float(problem.loss(rendered, disparity, settings.loss)) < best[0]:
            return disparity.detach(), rendered
        return best[1], problem.rendered(best[1], settings.method)


def _mixture(
    problem: _Problem,
    planes: Tensor,
    costs: Tensor,
    settings: FitSettings,
    losses: list[float],
    told: Callable[[float], None],
) -> tuple[Tensor, Tensor]:
    """Aperture supervision: B(x) = sum_j p_j(x) (k_j * I)(x), D = sum_j p_j d_j, with p a softmax over planes."""
    pictures = stack(problem.linear, planes - problem.focus, problem.blur_parameter)
    logits = (-costs / (costs.mean() * 0.1 + 1e-6)).clone().requires_grad_()
    optimizer, schedule = _adam(logits, 20.0 * settings.learning_rate, settings.steps)

    def mixed() -> tuple[Tensor, Tensor]:
        share = logits.softmax(dim=0)[:, None]
        return (share * pictures).sum(0, keepdim=True), (share * planes.view(-1, 1, 1, 1)).sum(0, keepdim=True)

    for _ in range(settings.steps):
        optimizer.zero_grad()
        rendered, disparity = mixed()
        loss = problem.loss(rendered, disparity, settings.loss)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        told(losses[-1])
    with torch.no_grad():
        rendered, disparity = mixed()
    return disparity, rendered


def _adam(parameter: Tensor, learning_rate: float, steps: int) -> tuple[Optimizer, ExponentialLR]:
    """Adam with beta_1 = 0.9 as in the released experiment, its rate falling to a tenth."""
    optimizer = Adam([parameter], lr=learning_rate, betas=(0.9, 0.999))
    return optimizer, ExponentialLR(optimizer, 0.1 ** (1.0 / max(steps, 1)))
