"""The networks of BokehMe (Peng et al. 2022) and DeepFocus (Xiao et al. 2018), as their releases have them.

No file is read here. Tensors are (B, C, H, W) float32, pictures display-referred, and the names of parameters are those
of the released checkpoints, so that these load.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
        x = _in_full_precision(self.conv1, self.block_stack(self.conv0(torch.cat(parts, 1))))
        return resized(F.pixel_shuffle(x, 2), size)


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


class _AffineConvolution(nn.Module):
    """3 x 3 convolution, then gamma x / sqrt(1.001) + beta per channel.

    DeepFocus calls its batch norm in inference mode while training too: with moving mean 0 and variance 1 it never
    normalises, and this is what remains.
    """

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.gain = nn.Parameter(torch.ones(channels_out))
        self.offset = nn.Parameter(torch.zeros(channels_out))
        bound = (0.5 / (channels_in + channels_out)) ** 0.5
        nn.init.uniform_(self.conv.weight, -bound, bound)
        assert self.conv.bias is not None
        nn.init.trunc_normal_(self.conv.bias, std=0.01, a=-0.02, b=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * (self.gain / 1.001**0.5)[:, None, None] + self.offset[:, None, None]


class DeepFocus(nn.Module):
    """DeepFocus' fast defocus network (Xiao et al. 2018). 924,324 parameters.

    Sides must be even. The inputs of layers 3, 5 and 7 (from 0) are sums of two earlier outputs, not running sums.
    """

    def __init__(self):
        super().__init__()
        widths = [20, *[128] * 7, 12]
        self.layers = nn.ModuleList(_AffineConvolution(a, b) for a, b in zip(widths, widths[1:], strict=False))

    def forward(self, image: Tensor, inverse_depth: Tensor, blur_diameter: Tensor) -> Tensor:
        """
        image           display values (B, 3, H, W) in [0, 1]
        inverse_depth   (B, 1, H, W) in [0, 1], 4 dioptres in the release
        blur_diameter   (B, 1, H, W), unsigned, in units of 30 px
        returns         (B, 3, H, W) in [0, 1]
        """
        x = _space_to_depth(torch.cat([image, inverse_depth, blur_diameter], 1) - 0.5)
        outputs = []
        for i, layer in enumerate(self.layers[:-1]):
            outputs.append(F.elu(layer(x)))
            x = outputs[-1] + outputs[-3] if i in (2, 4, 6) else outputs[-1]
        return _depth_to_space(0.5 + 0.5 * torch.tanh(_in_full_precision(self.layers[-1], x)))


def _in_full_precision(layer: nn.Module, x: Tensor) -> Tensor:
    """A last layer, whatever autocast does to those before it: the eight bits of bfloat16 would show in a picture."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.to(next(layer.parameters()).dtype))


def _space_to_depth(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, 4 C, H/2, W/2) with channel (2 dy + dx) C + c, TensorFlow's order; PyTorch's is 4 c + ..."""
    b, c, h, w = x.shape
    return F.pixel_unshuffle(x, 2).reshape(b, c, 4, h // 2, w // 2).transpose(1, 2).reshape(b, 4 * c, h // 2, w // 2)


def _depth_to_space(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    return F.pixel_shuffle(x.reshape(b, 4, c // 4, h, w).transpose(1, 2).reshape(b, c, h, w), 2)


def resized(x: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """(B, C, h, w) bilinearly to (B, C, *size), corner pixels on corner pixels, as BokehMe does it."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=True)
