"""The networks of BokehMe (Peng et al. 2022), as its release has them.

No file is read here. Tensors are (B, C, H, W) float32, pictures display-referred, and the names of parameters are those
of the released checkpoints, so that these load.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderers.neural.layers import in_full_precision, in_tiles, resized

# Eight 3 x 3 convolutions follow each other.
_REACH = 8


class _Convolution(nn.Module):
    """3 x 3, stride 1, zero padding, with bias; ELU behind it unless it is the last."""

    def __init__(self, channels_in: int, channels_out: int, *, activation: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(self.conv(x)) if self.activation else self.conv(x)


class _ResidualBlocks(nn.Module):
    """x <- (conv, ELU, conv, ELU)(x) + x, three times; nothing follows a sum."""

    def __init__(self, width: int):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(_Convolution(width, width), _Convolution(width, width)) for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x) + x
        return x


class _HalfResolutionNet(nn.Module):
    """What BokehMe's networks share: they work on 2 x 2 pixels at a time, and pictures of odd size are resized to even.

    channels_in    of the body, after the space-to-depth of 4 channels to 16, with what is appended to them
    channels_out   of the picture that comes out
    """

    def __init__(self, channels_in: int, width: int, channels_out: int):
        super().__init__()
        self.conv0 = _Convolution(channels_in, width)
        self.block_stack = _ResidualBlocks(width)
        self.conv1 = _Convolution(width, 4 * channels_out, activation=False)

    def _predict(self, image: Tensor, defocus: Tensor, gamma: Tensor, coarse: Tensor | None = None) -> Tensor:
        """(B, channels_out, H, W) of image (B, 3, H, W), defocus (B, 1, H, W), gamma (B) and maybe a coarse picture."""
        size = image.shape[-2:]
        even = (size[0] // 2 * 2, size[1] // 2 * 2)
        x = F.pixel_unshuffle(resized(torch.cat([image, defocus], 1), even), 2)
        parts = [x]
        if coarse is not None:
            # Here, and here alone, the release resizes without aligning corners.
            half = x.shape[-2:]
            same = coarse.shape[-2:] == half
            parts.append(coarse if same else F.interpolate(coarse, half, mode="bilinear", align_corners=False))
        parts.append(gamma.to(x.dtype).reshape(-1, 1, 1, 1).expand(-1, 1, *x.shape[-2:]))
        x = in_tiles(self._body, torch.cat(parts, 1), _REACH)
        return resized(F.pixel_shuffle(x, 2), size)

    def _body(self, x: Tensor) -> Tensor:
        return in_full_precision(self.conv1, self.block_stack(self.conv0(x)))


class ARNet(_HalfResolutionNet):
    """BokehMe's adaptive rendering network: a refocused picture and where to trust it. 923,664 parameters."""

    def __init__(self):
        super().__init__(4 * 4 + 1, 128, 4)

    def forward(self, image: Tensor, defocus: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
        """
        image     all-in-focus display values
        defocus   signed, in units of 10 px, trained within [-1.2, 1.2]
        gamma     (B), (gamma - 1) / 4, in [0, 1]
        returns   refocused picture (B, 3, H, W), not bounded; logit of the error map (B, 1, H, W)
        """
        picture_and_error = self._predict(image, defocus, gamma)
        return picture_and_error[:, :3], picture_and_error[:, 3:]


class IUNet(_HalfResolutionNet):
    """BokehMe's iterative upsampling network: a coarse refocused picture at a finer size. 240,076 parameters."""

    def __init__(self):
        super().__init__(4 * 4 + 3 + 1, 64, 3)

    def forward(self, image: Tensor, defocus: Tensor, coarse: Tensor, gamma: Tensor) -> Tensor:
        """
        image, defocus, gamma   as for ARNet, the defocus clipped to [-1, 1]
        coarse                  refocused picture (B, 3, h, w) of about half the size
        returns                 (B, 3, H, W), not bounded
        """
        return self._predict(image, defocus, gamma, coarse)


class ErrorMapNet(_HalfResolutionNet):
    """The error-map head of ARNet as a network of its own, half as wide: where scatter without occlusion goes wrong."""

    def __init__(self):
        super().__init__(4 * 4 + 1, 64, 1)

    def forward(self, image: Tensor, defocus: Tensor, gamma: Tensor) -> Tensor:
        """Logit of the error map (B, 1, H, W); inputs as for ARNet."""
        return self._predict(image, defocus, gamma)
