"""The networks of MPIB (Peng et al. 2022): the planes of a picture, and their alpha at twice the size.

Differences from the release: the classifier of its encoder, which nothing uses, is left out. `SmallMPINet` is ours.
No file is read here. Tensors are (B, C, H, W) float32, pictures display-referred, disparity normalized to [0, 1].
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderers.neural.layers import in_full_precision, padded_to_multiple, resized
from renderers.neural.trunks import ResNet10, ResNet18, normalized

# Sides of what an encoder sees are multiples of this; pictures of other sides are continued.
MULTIPLE = 32


class ConvBlock(nn.Sequential):
    """3 x 3 convolution that continues the picture by its last pixels, batch norm, ELU."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, padding=1, padding_mode="replicate"),
            nn.BatchNorm2d(channels_out),
            nn.ELU(),
        )


class _Decoder(nn.Module):
    """From the maps of an encoder and the mask of a plane, at every size, up to the size of the picture.

    skips     channels of the maps, from large to small
    widths    channels of the stages, from small maps to large
    context   channels of the mask
    beside    channels that the last stage sees beside its own
    """

    def __init__(self, skips: Sequence[int], widths: Sequence[int], context: int, beside: int = 0):
        super().__init__()
        self.mask = ConvBlock(1, context)
        self.up, self.joined = nn.ModuleList(), nn.ModuleList()
        channels = skips[-1] + context
        for width, skip in zip(widths, (*reversed(skips[:-1]), None), strict=True):
            self.up.append(ConvBlock(channels, width))
            self.joined.append(ConvBlock(width + (beside if skip is None else skip + context), width))
            channels = width
        self.head = nn.Conv2d(channels, 2, 3, padding=1, padding_mode="replicate")

    def forward(self, maps: Sequence[Tensor], mask: Tensor, beside: Tensor | None = None) -> Tensor:
        """What the head makes: (B, 2, H, W) for a mask (B, 1, H, W)."""
        mask = self.mask(mask)
        x = torch.cat([maps[-1], resized(mask, maps[-1].shape[-2:])], 1)
        for up, joined, skip in zip(self.up, self.joined, (*reversed(maps[:-1]), None), strict=True):
            x = F.interpolate(up(x), scale_factor=2, mode="nearest")
            if skip is not None:
                x = torch.cat([x, skip, resized(mask, skip.shape[-2:])], 1)
            elif beside is not None:
                x = torch.cat([x, beside], 1)
            x = joined(x)
        return in_full_precision(self.head, x)


class MPINet(nn.Module):
    """Blend weights and alpha of the planes. 14,438,658 parameters, of which the decoder has 3,259,010.

    planes   number of them; plane i, 0 the farthest, holds disparities from i / N to (i + 1) / N
    """

    def __init__(self, planes: int = 32):
        super().__init__()
        self.planes = planes
        self.encoder = ResNet18(channels_in=4, border="replicate")
        self.decoder = _Decoder((64, *self.encoder.channels), (256, 128, 64, 32, 16), context=16)

    def forward(self, image: Tensor, disparity: Tensor) -> tuple[Tensor, Tensor]:
        """
        image       (B, 3, H, W) in [0, 1]
        disparity   (B, 1, H, W)
        returns     omega and alpha, (B, N, H, W) each in [0, 1]: a plane has the colour omega BG + (1 - omega) image
        """
        size = image.shape[-2:]
        image, disparity = (padded_to_multiple(x, MULTIPLE) for x in (image, disparity))
        x = self.encoder.stem(torch.cat([normalized(image), disparity], 1))
        maps = [x, *self.encoder.levels(x)]
        made = [self.decoder(maps, mask) for mask in plane_masks(disparity, self.planes).split(1, dim=1)]
        omega, alpha = torch.sigmoid(torch.stack(made, dim=2)[..., : size[0], : size[1]]).unbind(1)
        return omega, alpha


class AUPNet(nn.Module):
    """Alpha of a plane at twice its size, guided by picture and disparity. 40,513 parameters."""

    def __init__(self):
        super().__init__()
        self.guide = nn.Sequential(ConvBlock(4, 16), ConvBlock(16, 16))
        self.alpha = ConvBlock(1, 16)
        self.low = nn.Sequential(ConvBlock(32, 32), ConvBlock(32, 32))
        self.high = nn.Sequential(ConvBlock(48, 32), ConvBlock(32, 16))
        self.head = nn.Conv2d(16, 1, 3, padding=1, padding_mode="replicate")

    def forward(self, image: Tensor, disparity: Tensor, alpha: Tensor) -> Tensor:
        """
        image       (B, 3, H, W) in [0, 1], sides even
        disparity   (B, 1, H, W)
        alpha       (B, N, H/2, W/2)
        returns     (B, N, H, W) in [0, 1]
        """
        guide = self.guide(torch.cat([normalized(image), disparity], 1))
        below = F.max_pool2d(guide, 2)
        planes = []
        for plane in alpha.split(1, dim=1):
            x = resized(self.low(torch.cat([self.alpha(plane), below], 1)), guide.shape[-2:])
            planes.append(in_full_precision(self.head, self.high(torch.cat([x, guide], 1))))
        return torch.sigmoid(torch.cat(planes, 1))


class SmallMPINet(nn.Module):
    """MPINet with a small encoder, a narrow decoder and fewer planes, which works at full size: it needs no AUPNet.

    It begins with the hard planes of `renderers.layering.mpib`, and its decoder, whose last weights are 0, learns what
    to change of them. A plane without pixels stays empty. 576,306 parameters.
    """

    planes = 16

    def __init__(self):
        super().__init__()
        self.encoder = ResNet10(channels_in=4, border="replicate")
        # The picture, its disparity and the two masks of the plane.
        self.decoder = _Decoder((16, *self.encoder.channels), (64, 48, 32, 16, 8), context=8, beside=6)
        nn.init.zeros_(self.decoder.head.weight)
        assert self.decoder.head.bias is not None
        nn.init.zeros_(self.decoder.head.bias)

    def forward(self, image: Tensor, disparity: Tensor, seen: Tensor, behind: Tensor) -> tuple[Tensor, Tensor]:
        """
        image          (B, 3, H, W) in [0, 1]
        disparity      (B, 1, H, W)
        seen, behind   (B, N, H, W), 1 where a plane shows the picture, and where the background
        returns        omega and alpha, (B, N, H, W) each in [0, 1]
        """
        size = image.shape[-2:]
        image, disparity, seen, behind = (padded_to_multiple(x, MULTIPLE) for x in (image, disparity, seen, behind))
        image = normalized(image)
        x = self.encoder.stem(torch.cat([image, disparity], 1))
        maps = [x, *self.encoder.levels(x)]
        omega, alpha = behind.clone(), (seen + behind).clamp(max=1.0)
        used = alpha.amax((2, 3)) > 0.0
        for i in range(self.planes):
            if (rows := used[:, i].nonzero()[:, 0]).numel():
                masks = torch.stack([seen[rows, i], behind[rows, i]], 1)
                beside = torch.cat([image[rows], disparity[rows], masks], 1)
                change = self.decoder([m[rows] for m in maps], masks[:, :1], beside)
                omega[rows, i] = (omega[rows, i] + change[:, 0]).clamp(0.0, 1.0)
                alpha[rows, i] = (alpha[rows, i] + change[:, 1]).clamp(0.0, 1.0)
        return omega[..., : size[0], : size[1]], alpha[..., : size[0], : size[1]]


def plane_masks(disparity: Tensor, planes: int) -> Tensor:
    """(B, N, H, W): 1 where the disparity (B, 1, H, W) in [0, 1] lies between i / N and (i + 1) / N, ends included."""
    low = torch.arange(planes, device=disparity.device, dtype=disparity.dtype).reshape(1, -1, 1, 1) / planes
    return ((low <= disparity) & (disparity <= low + 1.0 / planes)).to(disparity.dtype)
