"""A network that finds disparity from a sharp and a blurred picture: a small U-Net at half the size and below.

It is shown what every fit begins from: how badly each plane of the focal stack explains each pixel. It changes these
costs, and the disparity is the mean of the planes under their softmax. A network that is given the two pictures alone
has to find out what blur is, and learned nothing from the blurred picture in 1500 steps.

Tensors are (B, C, H, W) float32. Group norm as in the released experiment of Dr.Bokeh.
"""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inverse.depth_from_defocus.problem import Pair, plane_of, tensor_of
from inverse.depth_from_defocus.renderings import drbokeh
from inverse.depth_from_defocus.stack import costs_of
from renderers.neural.checkpoints import loaded
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA

# The weights that ship.
WEIGHTS = Path(__file__).with_name("defocus-depth.safetensors")

_PLANES = 24
_CHANNELS = (32, 48, 64)
_GROUPS = 8
_RADIUS_UNIT_PX = 16.0

# Costs are compared with their mean over planes and this, display values: noise is not a cost.
_COST_NOISE = 0.01

# How much the plane of no cost counts at first, beside one of the mean cost: exp(8) as much.
_CERTAINTY = 8.0


class DefocusDepthNet(nn.Module):
    """Disparity from how blurred everything is. Untrained, it is the stack's own."""

    def __init__(self):
        super().__init__()
        # Of four pixels at a time: costs, both pictures, and the signed defocus of what is farthest and nearest.
        widths = (4 * (_PLANES + 8), *_CHANNELS[:-1])
        self.down = nn.ModuleList(_Block(a, b) for a, b in zip(widths, _CHANNELS, strict=True))
        pairs = zip(_CHANNELS[:0:-1], _CHANNELS[-2::-1], strict=True)
        self.up = nn.ModuleList(_Block(below + beside, beside) for below, beside in pairs)
        self.last = nn.Conv2d(_CHANNELS[0], 4 * _PLANES, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)
        self.log_certainty = nn.Parameter(torch.tensor(math.log(_CERTAINTY)))

    def forward(self, sharp: Tensor, blurred: Tensor, blur_parameter: Tensor, focus: Tensor) -> Tensor:
        """
        sharp, blurred          (B, 3, H, W) display values at the reference gamma
        blur_parameter, focus   (B,), for normalized disparity: K in pixels, and what is in focus
        returns                 (B, 1, H, W) normalized disparity in [0, 1]
        """
        height, width = sharp.shape[-2:]
        planes = torch.linspace(0.0, 1.0, _PLANES, device=sharp.device)
        seen = sharp.clamp(0.0, 1.0), blurred.clamp(0.0, 1.0)
        pictures = zip((sharp.clamp(min=0.0) ** REFERENCE_GAMMA).split(1), seen[1].split(1), strict=True)
        lenses = zip(blur_parameter.tolist(), focus.tolist(), strict=True)
        with torch.no_grad():
            costs = torch.stack(
                [
                    costs_of(linear, shown, planes - in_focus, radius_px, REFERENCE_GAMMA)
                    for (linear, shown), (radius_px, in_focus) in zip(pictures, lenses, strict=True)
                ]
            )
            relative = costs / (costs.mean(1, keepdim=True) + _COST_NOISE)
        ends = torch.stack([-focus, 1.0 - focus], dim=1) * blur_parameter[:, None] / _RADIUS_UNIT_PX
        ends = ends[..., None, None].expand(-1, -1, height, width)
        given = torch.cat([relative, *seen, ends], dim=1)
        # Each level is half of the one before, and the first half of the picture.
        given = F.pad(given, (0, -width % 8, 0, -height % 8), mode="replicate")
        x, beside = F.pixel_unshuffle(given, 2), []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else F.avg_pool2d(x, 2))
            beside.append(x)
        for block, skip in zip(self.up, beside[-2::-1], strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0, mode="bilinear"), skip], dim=1))
        change = F.pixel_shuffle(self.last(x), 2)[..., :height, :width]
        share = (change - self.log_certainty.exp() * relative).softmax(dim=1)
        return (share * planes.view(1, -1, 1, 1)).sum(1, keepdim=True)


class _Block(nn.Module):
    """Two convolutions, each with group norm."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, padding=1, bias=False),
            nn.GroupNorm(_GROUPS, channels),
            nn.ELU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.GroupNorm(_GROUPS, channels),
            nn.ELU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def estimated(pair: Pair, weights: Path = WEIGHTS) -> Plane:
    """(H, W) float32 disparity of a pair by the network, in the unit of its lens; RendererError for unusable weights.

    Pictures of another gamma than the reference, which it was trained on, are brought to it.
    """
    network = loaded(DefocusDepthNet(), weights)
    sharp, blurred = (t ** (1.0 / REFERENCE_GAMMA) for t in pair.tensors())
    numbers = (torch.tensor([number], dtype=torch.float32) for number in (pair.blur_parameter, pair.focus))
    with torch.inference_mode():
        return pair.in_units(plane_of(network(sharp, blurred, *numbers)))


def rendered_by(pair: Pair, disparity: Plane) -> Picture:
    """The sharp picture of a pair, blurred by a disparity: (H, W, 3) float32 display values."""
    linear, _ = pair.tensors()
    relative = tensor_of(pair.normalized(disparity)) - pair.focus
    with torch.no_grad():
        rendered = drbokeh(linear, relative, pair.blur_parameter)
    return plane_of(rendered.clamp(min=0.0) ** (1.0 / pair.gamma))
