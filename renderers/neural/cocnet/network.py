"""CoCNet, the network of Huang et al. (2021), arXiv 2111.12971.

    picture = I + sum_j w_j T_j,     T_j = up_j(down_j(I) * K_j),     j = 1 .. 5     (Eqs. 15 and 17)

K_j has an 11 x 11 kernel for every pixel and colour, predicted from feature map j of a U-Net. Neither kernels nor
weights are bounded or normalized: a kernel stands for blur minus a part of the picture.

Differences from the print: `down_j` shrinks by 2^(j-1), not 2^j, and template j comes from decoder map j, not Q-j+1;
with the printed indices the picture and its kernels have different sizes. The paper does not say how pictures are
resized (here 2 x 2 means and bilinear) and continued beyond their border (here their last pixels).

No file is read here. Tensors are (B, C, H, W) float32, pictures display-referred.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from renderers.neural.layers import enlarged, in_full_precision, in_tiles, padded_to_multiple

KERNEL_SIDE = 11
_TAPS = KERNEL_SIDE**2
_REACH = KERNEL_SIDE // 2

# Four times halved, and two pixels at least of the smallest map: its instance norm needs them.
_MULTIPLE, _SIDE_MIN = 16, 32

# Kernels take 363 channels: 95 MB in a tile of this side.
_TILE = 256


def filtered_per_pixel(picture: Tensor, kernels: Tensor) -> Tensor:
    """sum_d K_d(p) X(p + d) over a square of offsets d, row by row from the upper left.

    picture   (B, C, H, W), continued by its last pixels
    kernels   (B, C, taps, H, W), taps the square of an odd number
    returns   (B, C, H, W)
    """
    reach = round(kernels.shape[2] ** 0.5) // 2
    return _FilteredPerPixel.apply(F.pad(picture, (reach, reach, reach, reach), mode="replicate"), kernels)


class _FilteredPerPixel(Function):
    """`filtered_per_pixel` of a picture that is continued. Its gradients add up in place, tap by tap.

    Of as many slices, autograd would make a gradient of the whole size for each.
    """

    @staticmethod
    def forward(ctx: Any, padded: Tensor, kernels: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(padded, kernels)
        total = torch.zeros_like(kernels[:, :, 0])
        for kernel, window in zip(kernels.unbind(2), _windows(padded, kernels), strict=True):
            total.addcmul_(kernel, window)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        padded, kernels = ctx.saved_tensors
        of_padded = torch.zeros_like(padded) if ctx.needs_input_grad[0] else None
        of_kernels = torch.empty_like(kernels) if ctx.needs_input_grad[1] else None
        if of_padded is not None:
            for kernel, window in zip(kernels.unbind(2), _windows(of_padded, kernels), strict=True):
                window.addcmul_(kernel, slope)
        if of_kernels is not None:
            for of_kernel, window in zip(of_kernels.unbind(2), _windows(padded, kernels), strict=True):
                torch.mul(slope, window, out=of_kernel)
        return of_padded, of_kernels


def _windows(padded: Tensor, kernels: Tensor) -> Iterator[Tensor]:
    """Views of what each tap sees, of the size of the picture."""
    taps, height, width = kernels.shape[2:]
    side = round(taps**0.5)
    for y, x in product(range(side), repeat=2):
        yield padded[..., y : y + height, x : x + width]


class _OfEachPixel(nn.Conv2d):
    """A convolution of 1 x 1 as one product of matrices: its many channels come in the order that they are used in."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__(channels_in, channels_out, 1)

    def forward(self, input: Tensor) -> Tensor:
        assert self.bias is not None
        matrix = self.weight.flatten(1).expand(len(input), -1, -1)
        return torch.bmm(matrix, input.flatten(2)).add_(self.bias[:, None]).unflatten(2, input.shape[-2:])


class CoCNet(nn.Module):
    """The U-Net with its five templates; the rows of Table I.

    groups   convolutions at every level: 3 in "b3", 2 in "b2"
    width    channels of the first level: 32, half of it in "-less"
    direct   "-dir": templates are 1 x 1 convolutions of features and picture, without kernels
    depth    "-depth": a depth map, three times, is a second frame with kernels of its own
    """

    def __init__(self, *, groups: int = 3, width: int = 32, direct: bool = False, depth: bool = False):
        super().__init__()
        self.frames = 2 if depth else 1
        a, b, c, d = (width * factor for factor in (1, 2, 4, 8))
        encoded = ((3 * self.frames, a), (a, b), (b, c), (c, d), (d, d))
        decoded = ((d + d, d), (c + d, c), (b + c, b), (a + b, a))
        self.encoders = nn.ModuleList(_convolutions(*channels, groups) for channels in encoded)
        self.decoders = nn.ModuleList(_convolutions(*channels, groups) for channels in decoded)
        # Template 1 is of full size.
        features = (a, b, c, d, d)
        self.direct = direct
        if direct:
            self.heads = nn.ModuleList(nn.Conv2d(channels + 3, 3, 1) for channels in features)
        else:
            self.heads = nn.ModuleList(_OfEachPixel(channels, 3 * self.frames * _TAPS) for channels in features)
        self.weights = nn.Sequential(
            nn.Conv2d(3 + 3 * len(features) + a, a, 3, padding=1), nn.ReLU(), nn.Conv2d(a, len(features), 3, padding=1)
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_normal_(layer.weight)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def start_from_identity(self) -> None:
        """Set the last layer to 0, so that the picture comes out as it went in. The paper does not do this."""
        last = self.weights[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, image: Tensor, depth: Tensor | None = None) -> Tensor:
        """
        image     all-in-focus display values (B, 3, H, W) in [0, 1]
        depth     (B, 1, H, W) in [0, 1], larger is farther; for the variant with depth alone
        returns   display values (B, 3, H, W), not bounded
        """
        height, width = image.shape[-2:]
        seen = image if depth is None else torch.cat([image, depth.expand(-1, 3, -1, -1)], 1)
        seen = padded_to_multiple(seen, _MULTIPLE, _SIDE_MIN)
        features = self._features(seen)
        templates = self._templates(seen, features)
        padded = seen[:, :3]
        weights = in_full_precision(self.weights, torch.cat([padded, *templates, features[0]], 1))
        residual = sum(weights[:, j : j + 1] * template for j, template in enumerate(templates))
        return (padded + residual)[..., :height, :width]

    def _features(self, x: Tensor) -> list[Tensor]:
        """Decoder maps from full size to a sixteenth."""
        skipped = []
        for i, encoder in enumerate(self.encoders):
            x = encoder(F.avg_pool2d(x, 2) if i else x)
            skipped.append(x)
        maps = [skipped.pop()]
        for decoder, skip in zip(self.decoders, reversed(skipped), strict=True):
            maps.append(decoder(torch.cat([skip, enlarged(maps[-1], 2)], 1)))
        return maps[::-1]

    def _templates(self, seen: Tensor, features: list[Tensor]) -> list[Tensor]:
        templates = []
        for j, (head, feature) in enumerate(zip(self.heads, features, strict=True)):
            small = F.avg_pool2d(seen, 2**j)
            if self.direct:
                template = in_full_precision(head, torch.cat([feature, small], 1))
            else:
                template = self._template(head, small, feature)
            templates.append(enlarged(template, 2**j))
        return templates

    def _template(self, head: nn.Module, small: Tensor, feature: Tensor) -> Tensor:
        channels = small.shape[1]

        def body(x: Tensor) -> Tensor:
            kernels = in_full_precision(head, x[:, channels:])
            return filtered_per_pixel(x[:, :channels], kernels.unflatten(1, (channels, _TAPS)))

        frames = in_tiles(body, torch.cat([small, feature.to(small.dtype)], 1), _REACH, _TILE)
        return frames.unflatten(1, (self.frames, 3)).sum(1)


def _convolutions(channels_in: int, channels_out: int, groups: int) -> nn.Sequential:
    """3 x 3 convolution with bias, instance norm without gain, ReLU; `groups` times."""
    layers: list[nn.Module] = []
    for i in range(groups):
        layers += [
            nn.Conv2d(channels_out if i else channels_in, channels_out, 3, padding=1),
            nn.InstanceNorm2d(channels_out),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
