"""Layers as tensors: what a network is shown of them, what it changes, and the projection that keeps the picture.

Colours are display values at the reference gamma, not clipped. L layers lie near to far.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from renderers.neural.reveal.rims import REACH_PX
from scenes.color import REFERENCE_GAMMA

# Channels of `hints` and of `change`, in their order.
HINTS = {"picture": 3, "near": 3, "behind": 3, "alpha": 2, "steps": 3, "distance": 2}
CHANGE = {"alpha": 1, "near": 3, "seen": 3, "hidden": 3, "choice": 1}

# Of the hints, those of edges: how far they step, and how far away they are.
EDGE_HINTS = ("steps", "distance")

# Keeps the slopes of powers finite at black, where gradients are wanted.
BLACK = 4e-3

_EPSILON, _TINY = 1e-8, 1e-30

# A layer is seen where as much of a pixel shows it: then its colour is known.
_SEEN = 0.3


@dataclass(frozen=True)
class Layers:
    """Layers, and where they meet (`renderers.neural.reveal.rims`).

    colour        (B, L, 3, H, W)
    alpha         (B, L, 1, H, W), straight
    disparity     (B, L, 1, H, W)
    place         (B, 3, H, W) int64
    distance_px   (B, 1, H, W)
    """

    colour: Tensor
    alpha: Tensor
    disparity: Tensor
    place: Tensor
    distance_px: Tensor

    def at(self, stack: Tensor, which: int) -> Tensor:
        """What a stack (B, L, C, H, W) has in the near layer of a pixel, 0, in that behind, 1, or the farthest, 2."""
        place = self.place[:, None, which : which + 1].expand(-1, -1, stack.shape[2], -1, -1)
        return stack.gather(1, place)[:, 0]

    @property
    def weight(self) -> Tensor:
        """(B, 1, H, W): how much of a change counts, 1 up to half of the reach and 0 beyond it.

        0 too where a colour that is found is brighter than white: a hundredth of a lamp is half a wall's light.
        """
        away = self.distance_px.abs()
        brightest = torch.cat([self.at(self.colour, 0), self.at(self.colour, 1)], 1).amax(1, keepdim=True)
        counts = (away > 0.0) & (brightest <= 1.0)
        return torch.where(counts, (2.0 - 2.0 * away / (REACH_PX + 1.0)).clamp(0.0, 1.0), 0.0)

    @property
    def has_choice(self) -> Tensor:
        """(B, 1, H, W) bool: where either of two surfaces may be behind the near one."""
        return self.place[:, 1:2] != self.place[:, 2:3]


def hints(picture: Tensor, layers: Layers) -> Tensor:
    """What a network is shown: (B, 16, H, W). Steps of disparity are in parts of the nearest.

    picture   (B, 3, H, W) display values
    """
    nearest = layers.disparity.amax((1, 2, 3, 4)).clamp(min=_EPSILON).reshape(-1, 1, 1, 1)
    near, behind, farthest = (layers.at(layers.disparity, i) / nearest for i in range(3))
    shown = {
        "picture": picture.clamp(max=1.0),
        "near": layers.at(layers.colour, 0).clamp(max=1.0),
        "behind": layers.at(layers.colour, 1).clamp(max=1.0),
        "alpha": torch.cat([layers.at(layers.alpha, i) for i in (0, 1)], 1),
        "steps": torch.cat([near - behind, behind - farthest, near - farthest], 1),
        "distance": torch.cat([_closeness(layers.distance_px), layers.weight], 1),
    }
    assert {name: plane.shape[1] for name, plane in shown.items()} == HINTS
    return torch.cat(list(shown.values()), 1)


def _closeness(distance_px: Tensor) -> Tensor:
    """1 and -1 in the first pixels beside an edge, a half in the second, and so on: there most is mixed."""
    return torch.where(distance_px == 0.0, 0.0, distance_px.sign() / (distance_px.abs() + 0.5))


def changed(layers: Layers, change: Tensor, picture: Tensor) -> tuple[Layers, Tensor]:
    """The layers as a network changes them, and the alphas (B, 2, H, W) of near and behind that it asks for, unclipped.

    change    (B, 11, H, W): what is added to the alpha of the near layer, to its colour, to the colour behind where
              that is seen and where it is hidden, and to the alpha of what is behind where it may be something else
    picture   (B, 3, H, W) display values

    What is hidden is continued from what is seen: where the latter loses light of the near surface, so does the former.
    What is seen is `projected` before: where it is not the picture, its errors would spread behind edges. Errors of
    mattes, with which it is the picture too, still do.
    """
    weighted = dict(zip(CHANGE, (change * layers.weight).split(list(CHANGE.values()), 1), strict=True))
    is_rim, is_near = layers.distance_px != 0.0, layers.distance_px > 0.0
    matte = layers.at(layers.alpha, 0) + weighted["alpha"]
    choice = layers.at(layers.alpha, 1) + weighted["choice"] * (layers.has_choice & is_near)
    alpha, colour = layers.alpha, layers.colour
    for i, opacity in enumerate((matte, choice)):
        alpha = _put(alpha, opacity.clamp(0.0, 1.0), layers.place[:, i : i + 1], is_rim)
    near = layers.at(colour, 0) + weighted["near"]
    colour = _put(colour, near.clamp(min=0.0), layers.place[:, :1], is_rim)
    seen = layers.at(colour, 1) + weighted["seen"]
    colour = _put(colour, seen.clamp(min=0.0), layers.place[:, 1:2], is_rim & ~is_near)
    colour = projected(colour, alpha, picture)
    colour = _followed(colour, _is_seen(alpha), layers.colour, _is_seen(layers.alpha))
    hidden = layers.at(colour, 1) + weighted["hidden"]
    colour = _put(colour, hidden.clamp(min=0.0), layers.place[:, 1:2], is_near)
    kept = Layers(colour, alpha, layers.disparity, layers.place, layers.distance_px)
    return kept, torch.cat([matte, choice], 1)


def _is_seen(alpha: Tensor) -> Tensor:
    """(B, L, 1, H, W) bool: where enough of a layer shows to know its colour."""
    return _shares(alpha) > _SEEN


def _shares(alpha: Tensor) -> Tensor:
    """(B, L, 1, H, W): the part of a pixel that each layer is seen in; the last is opaque."""
    left = torch.cumprod(1.0 - alpha, 1)
    return torch.cat([alpha[:, :1], alpha[:, 1:] * left[:, :-1]], 1)


@torch.no_grad()
def _move(colour: Tensor, is_seen: Tensor, before: Tensor, was_seen: Tensor) -> Tensor:
    """What is added to one layer (B, 3, H, W) where it is hidden; 0 for one that is seen nowhere.

    Light above white is not continued: a lamp is where it is.
    """
    stacks = ((colour, is_seen), (before, was_seen))
    now, then = (_pull_push(torch.cat([c.clamp(max=1.0) * s, s.to(c.dtype)], 1)) for c, s in stacks)
    is_known = is_seen.any(-1).any(-1) & was_seen.any(-1).any(-1)
    return torch.where(~is_seen & is_known[..., None, None], now - torch.where(was_seen, colour, then), 0.0)


def _followed(colour: Tensor, is_seen: Tensor, before: Tensor, was_seen: Tensor) -> Tensor:
    """The colours (B, L, 3, H, W), those that are hidden moved as far as their continuation from what is seen moves.

    It is that of `scenes.matte.extend_colour`: the mean of the smallest square around that has a pixel that is seen.
    """
    stacks = zip(*(stack.unbind(1) for stack in (colour, is_seen, before, was_seen)), strict=True)
    return (colour + torch.stack([_move(*layer) for layer in stacks], 1)).clamp(min=0.0)


def _put(stack: Tensor, values: Tensor, place: Tensor, where: Tensor) -> Tensor:
    """The stack (B, L, C, H, W) with values (B, C, H, W) in the layers `place` (B, 1, H, W), where asked for."""
    index = place[:, None].expand(-1, -1, stack.shape[2], -1, -1)
    held = stack.gather(1, index)
    return stack.scatter(1, index, torch.where(where[:, None], values[:, None], held))


def _pull_push(premultiplied: Tensor) -> Tensor:
    """(B, 3, H, W): the colour of (B, 4, H, W), where its alpha is 0 that of the next smaller picture."""
    colour, alpha = premultiplied[:, :3], premultiplied[:, 3:]
    own = colour / alpha.clamp(min=_TINY)
    size = premultiplied.shape[-2:]
    if max(size) == 1:
        return own
    smaller = _pull_push(F.avg_pool2d(premultiplied, 2, ceil_mode=True))
    return torch.where(alpha > 0.0, own, F.interpolate(smaller, size, mode="bilinear"))


def projected(colour: Tensor, alpha: Tensor, picture: Tensor) -> Tensor:
    """Colours with which the layers, put over each other in linear light, are the picture: (B, L, 3, H, W).

    With w_i the part of a layer that is seen, sum w = 1: where sum w C is more than the light, all C are scaled down;
    where it is less, w_i e / sum w^2 is added, e what is missing. Both are exact and leave no colour below 0.

    colour, alpha   of the layers; the last is opaque
    picture         (B, 3, H, W) display values
    """
    black = BLACK if torch.is_grad_enabled() else 0.0
    light, wanted = (x.clamp(min=black) ** REFERENCE_GAMMA for x in (colour, picture[:, None]))
    seen = _shares(alpha)
    mixed = (seen * light).sum(1, keepdim=True)
    missing = (wanted - mixed).clamp(min=0.0) / (seen * seen).sum(1, keepdim=True)
    light = light * (wanted / mixed.clamp(min=_TINY)).clamp(max=1.0) + seen * missing
    return light ** (1.0 / REFERENCE_GAMMA)
