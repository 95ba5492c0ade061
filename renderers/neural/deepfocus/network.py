"""The network of DeepFocus (Xiao et al. 2018).

No file is read here. Tensors are (B, C, H, W) float32, pictures display-referred.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderers.neural.layers import in_full_precision, in_tiles


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
        return _depth_to_space(0.5 + 0.5 * torch.tanh(in_tiles(self._body, x, len(self.layers))))

    def _body(self, x: Tensor) -> Tensor:
        outputs = []
        for i, layer in enumerate(self.layers[:-1]):
            outputs.append(F.elu(layer(x)))
            x = outputs[-1] + outputs[-3] if i in (2, 4, 6) else outputs[-1]
        return in_full_precision(self.layers[-1], x)


def _space_to_depth(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, 4 C, H/2, W/2) with channel (2 dy + dx) C + c, TensorFlow's order; PyTorch's is 4 c + ..."""
    b, c, h, w = x.shape
    return F.pixel_unshuffle(x, 2).reshape(b, c, 4, h // 2, w // 2).transpose(1, 2).reshape(b, 4 * c, h // 2, w // 2)


def _depth_to_space(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    return F.pixel_shuffle(x.reshape(b, 4, c // 4, h, w).transpose(1, 2).reshape(b, c, h, w), 2)
