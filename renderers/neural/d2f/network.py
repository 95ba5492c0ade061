"""The networks of D2F (Luo et al. 2020), arXiv 2306.04506.

Stage 1 finds defocus and radiance at half the size, for the layered rendering of `layers.py`. Stage 2 finds where the
sharp picture shows. The paper describes neither the radiance net (here 1 x 1 convolutions, as radiance is said to come
from a pixel's own colour) nor that of stage 2 (here a U-Net that begins at the soft mask of what is in focus).

No file is read here. Tensors are (B, C, H, W) float32, pictures display-referred.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderers.neural.layers import enlarged, in_full_precision, padded_to_multiple, resized
from renderers.neural.trunks import MobileNetV2, ResNeXt50, Trunk, normalized

# Where a colour reaches this, a pixel is a highlight (Eq. 4).
HIGHLIGHT = 0.99

# Below this D the sharp picture shows (section 4.3.4; the text has it the other way round).
IN_FOCUS = 0.25

_RADIANCE_MIN = 1e-3
_MASK_SLOPE = 20.0

# What a pixel's light counts: by the network; as its luma; or all alike (Table 7).
Radiance = Literal["net", "grey", "none"]


class DefocusNet(nn.Module):
    """f_d and f_r, stage 1: how far out of focus each pixel is, and how much its light counts.

    trunk            the encoder: its last four maps are read
    width            channels of the decoder; twice as many at its top, half as many at its end
    radiance_side    side of the kernels of f_r: 1, or 3
    """

    def __init__(self, trunk: Callable[[], Trunk] = ResNeXt50, width: int = 256, radiance_side: Literal[1, 3] = 1):
        super().__init__()
        self.encoder = trunk()
        *skipped, last = self.encoder.channels[-4:]
        self.top = nn.Sequential(_Block(last, 2 * width), nn.Conv2d(2 * width, width, 3, padding=1))
        self.skips = nn.ModuleList(_Block(channels, width) for channels in reversed(skipped))
        self.merged = nn.ModuleList(_Block(width, width) for _ in skipped)
        self.out = nn.Sequential(
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.BatchNorm2d(width // 2),
            nn.ReLU(),
            nn.Conv2d(width // 2, 1, 3, padding=1),
        )
        for part in (self.top, self.skips, self.merged, self.out):
            for layer in part.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.normal_(layer.weight, std=0.01)
                    assert layer.bias is not None
                    nn.init.zeros_(layer.bias)
        widths = (3, 32, 32, 32, 1)
        self.radiance = nn.ModuleList(
            nn.Conv2d(a, b, radiance_side, padding=radiance_side // 2) for a, b in zip(widths, widths[1:], strict=False)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """
        image     display values (B, 3, h, w) in [0, 1], of half the size of the picture to render
        returns   D (B, 1, h, w) in [0, 1], 0 in focus; R_0 (B, 1, h, w) > 0
        """
        height, width = image.shape[-2:]
        *skipped, x = self.encoder(normalized(padded_to_multiple(image, 32)))[-4:]
        x = _doubled(self.top(x))
        for skip, merged, feature in zip(self.skips, self.merged, reversed(skipped), strict=True):
            x = _doubled(merged(skip(feature) + x))
        logit = _doubled(in_full_precision(self.out, x))[..., :height, :width]
        y = image
        for layer in self.radiance[:-1]:
            y = torch.relu(layer(y))
        return torch.sigmoid(logit), F.softplus(in_full_precision(self.radiance[-1], y)) + _RADIANCE_MIN


class SmallDefocusNet(DefocusNet):
    """Stage 1 of `d2f-small`, which is not in the paper: MobileNetV2 for ResNeXt50, and a quarter of the channels."""

    def __init__(self):
        super().__init__(MobileNetV2, 64)


def radiance_of(image: Tensor, predicted: Tensor, kind: Radiance = "net") -> Tensor:
    """How much each pixel's light counts (Eq. 4), (B, 3, H, W): 3 I^5 in highlights, else what is predicted.

    Algorithm 1 has the mask of highlights the other way round: dark pixels would count almost nothing.

    predicted   R_0 (B, 1, H, W) of the network
    kind        "net", or what Table 7 has in place of R_0; "none" is 1 everywhere
    """
    if kind == "none":
        return torch.ones_like(image)
    if kind == "grey":
        predicted = (image * image.new_tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)).sum(1, keepdim=True)
    bright = image.amax(1, keepdim=True) >= HIGHLIGHT
    # Of a red light the blue counts almost nothing, and something at least.
    return torch.where(bright, 3.0 * image**5, predicted).clamp(min=_RADIANCE_MIN)


class FusionNet(nn.Module):
    """f_p, stage 2: where the sharp picture shows, at full size. 488,849 parameters.

    A U-Net adds to 20 (0.25 - D) before the sigmoid; its last layer begins at 0.
    """

    def __init__(self):
        super().__init__()
        widths = (16, 32, 64, 128)
        self.down = nn.ModuleList(_level(a, b) for a, b in zip((4, *widths), widths, strict=False))
        self.up = nn.ModuleList(_level(a + b, a) for a, b in reversed(list(zip(widths, widths[1:], strict=False))))
        self.last = nn.Conv2d(widths[0], 1, 1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, image: Tensor, defocus: Tensor) -> Tensor:
        """
        image     display values (B, 3, H, W)
        defocus   (B, 1, H, W), |D| at full size
        returns   M_s (B, 1, H, W) in [0, 1], 1 where the sharp picture shows
        """
        height, width = image.shape[-2:]
        x = padded_to_multiple(torch.cat([image, defocus], 1), 8)
        skipped = []
        for i, level in enumerate(self.down):
            x = level(F.max_pool2d(x, 2) if i else x)
            skipped.append(x)
        skipped.pop()
        for level in self.up:
            x = enlarged(x, 2)
            x = level(torch.cat([skipped.pop(), x], 1))
        correction = in_full_precision(self.last, x)[..., :height, :width]
        return torch.sigmoid(correction + _MASK_SLOPE * (IN_FOCUS - defocus))


class _Block(nn.Module):
    """y = conv(x); ReLU(y + conv(ReLU(norm(conv(ReLU(y)))))), as in the depth network of Xian et al. (2020)."""

    def __init__(self, channels_in: int, width: int):
        super().__init__()
        self.first = nn.Conv2d(channels_in, width, 3, padding=1)
        self.rest = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return torch.relu(y + self.rest(y))


def _level(channels_in: int, channels_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (channels_in, channels_out):
        layers += [nn.Conv2d(channels, channels_out, 3, padding=1), nn.BatchNorm2d(channels_out), nn.ReLU()]
    return nn.Sequential(*layers)


def _doubled(x: Tensor) -> Tensor:
    return resized(x, (2 * x.shape[-2], 2 * x.shape[-1]))
