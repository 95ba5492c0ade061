"""The networks of DeepLens (Wang et al. 2018): a lens blur by a bank of filtered pictures, and guided upsampling.

Both end alike. Features of k pixels and more are grouped in threes as pictures F_k, and weights o_k >= 0 are found for
every pixel:

    picture = sum_k w_k F_k,     w_k = o_k / sum_j o_j

The initial weights of the release are not known; here the F_k are blurred pictures at first, and count about alike. The
release rounds the enlarged picture to 8 bits and resizes by TensorFlow's old rule; both are left out.

No file is read here. Tensors are (B, C, H, W) float32, pictures display-referred. Sides are multiples of `MULTIPLE`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderers.neural.layers import in_full_precision, in_tiles

# Three times halved.
MULTIPLE = 8

# Pixels that each convolution of the features sees, to each side.
_REACHES = (1, 2, 2, 2)

# 96 channels of features take 100 MB in a tile of this side.
_TILE = 512

# Keeps a pixel finite where every weight is 0.
_SMALLEST_SUM = 1e-6


def weighted_mean(weights: Tensor, features: Tensor) -> Tensor:
    """sum_k w_k F_k of weights (B, k, H, W) >= 0, in any unit, and features (B, 3 k, H, W): (B, 3, H, W)."""
    shares = weights / (weights.sum(1, keepdim=True) + _SMALLEST_SUM)
    return (shares.unsqueeze(2) * features.unflatten(1, (-1, 3))).sum(1)


class FeatureNet(nn.Module):
    """Filtered pictures: what goes in, and the outputs of four convolutions after it. 40,275 parameters for a picture.

    channels   of what goes in: 3 for a picture, 6 for two
    """

    def __init__(self, channels: int = 3):
        super().__init__()
        widths = (channels, 30, 30, 15, 15)
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 2 * reach + 1) for a, b, reach in zip(widths, widths[1:], _REACHES, strict=False)
        )
        for layer in self.layers:
            _blur(layer)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W): (B, channels + 90, H, W), the input first."""
        maps = [x]
        for layer, reach in zip(self.layers, _REACHES, strict=True):
            maps.append(torch.relu(layer(_mirrored(maps[-1], reach))))
        return torch.cat(maps, 1)


class BlurNet(nn.Module):
    """The lens blur at a small size: KernelNet (521,055 parameters) finds the weights of FeatureNet's 31 pictures."""

    def __init__(self):
        super().__init__()
        self.features = FeatureNet()
        self.kernels = KernelNet()

    def forward(self, image: Tensor, defocus: Tensor) -> Tensor:
        """
        image     all-in-focus display values (B, 3, h, w) in [0, 1]
        defocus   signed, (B, 1, h, w) in [-1, 1]; 1 stands for a radius of 8 px
        returns   refocused picture (B, 3, h, w) >= 0, not bounded
        """
        return weighted_mean(self.kernels(image, defocus), self.features(image))


class KernelNet(nn.Module):
    """Weights of the 31 pictures. Its deep half sees the defocus alone, at a quarter and an eighth of the size."""

    def __init__(self):
        super().__init__()
        self.shallow = _convolution(4, 64, 7)
        # TensorFlow pads a stride of 4 by 1 before and 2 after, which also keeps the map centred on its cells.
        self.stem = nn.Sequential(nn.ZeroPad2d((1, 2, 1, 2)), *_convolution(1, 64, 7, stride=4, padding=0))
        self.res2 = nn.Sequential(_Residual(64, 64, 128), _Residual(128, 64, 256, stride=2))
        self.res3 = _Residual(256, 64, 256)
        self.res4 = nn.Sequential(_Residual(320, 64, 128), _Residual(128, 64, 256), _Residual(256, 64, 256))
        self.out = nn.Conv2d(256, 31, 1)
        _count_alike(self.out)

    def forward(self, image: Tensor, defocus: Tensor) -> Tensor:
        """Weights (B, 31, h, w) >= 0; inputs as for BlurNet."""
        deep = self.res3(self.res2(self.stem(defocus)))
        shallow = self.shallow(torch.cat([image - 0.5, defocus], 1))
        x = self.res4(torch.cat([_resized(deep, shallow.shape), shallow], 1))
        return torch.relu(in_full_precision(self.out, x))


class UpsamplingNet(nn.Module):
    """Guided upsampling (SRNet): a refocused picture at twice the size, sharp where the given one is to be seen.

    1,474,781 parameters.
    """

    def __init__(self):
        super().__init__()
        widths = (32, 64, 128, 256)
        self.down = nn.ModuleList(
            _convolution(a, b, 3, stride=1 if b == 32 else 2) for a, b in zip((7, *widths), widths, strict=False)
        )
        self.bottom = _convolution(256, 256, 3)
        self.up = nn.ModuleList(_convolution(b, a, 3) for a, b in reversed(list(zip(widths, widths[1:], strict=False))))
        self.last_small = _convolution(32, 32, 3)
        self.large = _convolution(32, 32, 3)
        self.weights = nn.Sequential(*(_convolution(35 if i == 0 else 32, 32, 3) for i in range(4)))
        self.out = nn.Conv2d(32, 32, 3, padding=1)
        _count_alike(self.out)
        self.features = FeatureNet(6)

    def forward(self, small: Tensor, refocused: Tensor, defocus: Tensor, image: Tensor) -> Tensor:
        """
        small       all-in-focus display values (B, 3, h, w) in [0, 1]
        refocused   at the same size
        defocus     signed, (B, 1, h, w) in [-1, 1], in the unit of BlurNet whatever the size
        image       all-in-focus, (B, 3, 2 h, 2 w)
        returns     refocused picture (B, 3, 2 h, 2 w) >= 0, not bounded
        """
        x = torch.cat([small, refocused, defocus], 1)
        skipped = []
        for layer in self.down:
            x = layer(x)
            skipped.append(x)
        x = self.bottom(skipped.pop())
        for layer in self.up:
            skip = skipped.pop()
            x = _resized(layer(x), skip.shape) + skip
        x = self.last_small(x)
        enlarged = [_resized(y, image.shape) for y in (refocused, x)]
        # Nothing after this is smaller than the picture.
        return in_tiles(
            self._at_full_size, torch.cat([enlarged[0], image, enlarged[1].to(image.dtype)], 1), sum(_REACHES), _TILE
        )

    def _at_full_size(self, x: Tensor) -> Tensor:
        """(B, 38, H, W), the enlarged picture, the sharp one and what the small branch has found: (B, 3, H, W)."""
        pictures, found = x[:, :6], self.large(x[:, 6:])
        weights = self.weights(torch.cat([pictures[:, 3:], found], 1))
        return weighted_mean(torch.relu(in_full_precision(self.out, weights)), self.features(pictures))


class _Residual(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions; the input is added, by a 1 x 1 convolution where its shape is another."""

    def __init__(self, channels_in: int, narrow: int, channels_out: int, stride: int = 1):
        super().__init__()
        self.main = nn.Sequential(
            _convolution(channels_in, narrow, 1),
            _convolution(narrow, narrow, 3),
            _convolution(narrow, channels_out, 1, stride=stride)[:2],
        )
        same = stride == 1 and channels_in == channels_out
        self.branch = nn.Identity() if same else _convolution(channels_in, channels_out, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.branch(x) + self.main(x))


def _convolution(
    channels_in: int, channels_out: int, side: int, *, stride: int = 1, padding: int | None = None
) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU."""
    padding = side // 2 if padding is None else padding
    layer = nn.Conv2d(channels_in, channels_out, side, stride, padding, bias=False)
    # TensorFlow's momentum of 0.99 is 0.01 here.
    return nn.Sequential(layer, nn.BatchNorm2d(channels_out, momentum=0.01), nn.ReLU())


def _count_alike(out: nn.Conv2d) -> None:
    """Begin with weights around 1. A picture that has no weight anywhere learns nothing more."""
    assert out.bias is not None
    nn.init.ones_(out.bias)


def _blur(layer: nn.Module) -> None:
    """Begin with means over the window, by random shares, of what goes in: channel i has the colour i mod 3."""
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    nn.init.zeros_(layer.bias)
    with torch.no_grad():
        # Exponential values that are divided by their sum are even over all shares.
        layer.weight.exponential_()
        colour = [torch.arange(channels) % 3 for channels in layer.weight.shape[:2]]
        layer.weight.mul_((colour[0][:, None] == colour[1])[..., None, None])
        layer.weight.div_(layer.weight.sum((1, 2, 3), keepdim=True))


def _mirrored(x: Tensor, reach: int) -> Tensor:
    """(B, C, H, W) continued on all sides by its mirror image, the outermost pixels twice."""
    for dim in (-2, -1):
        side = x.shape[dim]
        before, after = x.narrow(dim, 0, reach), x.narrow(dim, side - reach, reach)
        x = torch.cat([before.flip(dim), x, after.flip(dim)], dim)
    return x


def _resized(x: Tensor, shape: torch.Size) -> Tensor:
    return F.interpolate(x, tuple(shape[-2:]), mode="bilinear", align_corners=False)
