"""Encoders of image classifiers, under torchvision's names, so that its files of weights load.

They begin with random weights. `load_trunk` reads a file that the user has, such as mobilenet_v2-b0353104.pth; nothing
is downloaded. Tensors are (B, C, H, W); pictures are display values that `normalized` has shifted and scaled.
"""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from renderers.base import RendererError
from renderers.neural.checkpoints import read_state

# Mean and standard deviation of ImageNet's display values.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# A padding mode of torch.
Border = Literal["zeros", "replicate"]


def normalized(image: Tensor) -> Tensor:
    """Display values (B, 3, H, W) as the classifiers of ImageNet see them."""
    mean, deviation = (image.new_tensor(numbers).reshape(1, 3, 1, 1) for numbers in (_MEAN, _DEVIATION))
    return (image - mean) / deviation


class Trunk(nn.Module):
    """An encoder: a normalized picture in, a list of maps out, from large to small.

    torchvision   name of the classifier there
    channels      of each map
    """

    torchvision: str
    channels: tuple[int, ...]

    def _initialize(self) -> None:
        """He's weights, as torchvision begins with."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")


class _Residual(nn.Module):
    """Convolutions with batch norm and ReLU, and their input added before the last ReLU.

    convolutions   (channels out, side of the kernel, groups); the first of 3 x 3 has the stride
    border         how pictures go on beyond their border
    """

    def __init__(self, channels_in: int, convolutions: list[tuple[int, int, int]], stride: int, border: Border):
        super().__init__()
        channels, left = channels_in, stride
        for i, (channels_out, side, groups) in enumerate(convolutions, start=1):
            step, left = (left, 1) if side == 3 else (1, left)
            layer = nn.Conv2d(
                channels, channels_out, side, step, side // 2, groups=groups, bias=False, padding_mode=border
            )
            self.add_module(f"conv{i}", layer)
            self.add_module(f"bn{i}", nn.BatchNorm2d(channels_out))
            channels = channels_out
        self._count = len(convolutions)
        self.downsample = None
        if stride != 1 or channels != channels_in:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        kept = x if self.downsample is None else self.downsample(x)
        for i in range(1, self._count + 1):
            x = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(x))
            x = torch.relu(x if i < self._count else x + kept)
        return x


class _ResNet(Trunk):
    """Maps of a quarter, an eighth, a sixteenth and a thirty-second of the picture.

    blocks        of each level
    channels_in   3, or more for what is seen beside the picture
    width         channels of the stem
    border        how pictures go on beyond their border
    """

    def __init__(
        self, blocks: tuple[int, int, int, int], *, channels_in: int = 3, width: int = 64, border: Border = "zeros"
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 7, 2, 3, bias=False, padding_mode=border)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = width
        for level, count in enumerate(blocks):
            layer = nn.Sequential()
            for i in range(count):
                stride = 2 if level and i == 0 else 1
                layer.append(_Residual(channels, self._convolutions(width * 2**level), stride, border))
                channels = self.channels[level]
            self.add_module(f"layer{level + 1}", layer)
        self._initialize()

    def _convolutions(self, planes: int) -> list[tuple[int, int, int]]:
        raise NotImplementedError

    def stem(self, x: Tensor) -> Tensor:
        """The map of a half of the picture, of `width` channels."""
        return torch.relu(self.bn1(self.conv1(x)))

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.levels(self.stem(x))

    def levels(self, x: Tensor) -> list[Tensor]:
        """The maps that follow the stem."""
        x = self.maxpool(x)
        maps = []
        for level in range(1, 5):
            x = self.get_submodule(f"layer{level}")(x)
            maps.append(x)
        return maps


class ResNet18(_ResNet):
    """He et al. 2016 without its classifier: 11,176,512 parameters with 3 channels in.

    width   channels of the stem and of the first level
    """

    torchvision = "resnet18"

    def __init__(self, channels_in: int = 3, border: Border = "zeros", width: int = 64):
        self.channels = (width, 2 * width, 4 * width, 8 * width)
        super().__init__((2, 2, 2, 2), channels_in=channels_in, width=width, border=border)

    def _convolutions(self, planes: int) -> list[tuple[int, int, int]]:
        return [(planes, 3, 1), (planes, 3, 1)]


class ResNet10(_ResNet):
    """One block a level, and a quarter of ResNet-18's width. torchvision has no weights of it.

    309,456 parameters with 3 channels in.
    """

    channels = (16, 32, 64, 128)

    def __init__(self, channels_in: int = 3, border: Border = "zeros"):
        super().__init__((1, 1, 1, 1), channels_in=channels_in, width=16, border=border)

    def _convolutions(self, planes: int) -> list[tuple[int, int, int]]:
        return [(planes, 3, 1), (planes, 3, 1)]


class ResNet50(_ResNet):
    """He et al. 2016 with bottlenecks, the stride at their 3 x 3: 23,508,032 parameters without its classifier."""

    torchvision = "resnet50"
    channels = (256, 512, 1024, 2048)

    def __init__(self):
        super().__init__((3, 4, 6, 3))

    def _convolutions(self, planes: int) -> list[tuple[int, int, int]]:
        return [(planes, 1, 1), (planes, 3, 1), (4 * planes, 1, 1)]


class ResNeXt50(_ResNet):
    """Xie et al. 2017, 32 groups of 4 channels, without its classifier: 22,979,904 parameters."""

    torchvision = "resnext50_32x4d"
    channels = (256, 512, 1024, 2048)

    def __init__(self):
        super().__init__((3, 4, 6, 3))

    def _convolutions(self, planes: int) -> list[tuple[int, int, int]]:
        return [(2 * planes, 1, 1), (2 * planes, 3, 32), (4 * planes, 1, 1)]


# Expansion, channels, blocks and stride of the stages of MobileNetV2.
_MOBILE_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class MobileNetV2(Trunk):
    """Sandler et al. 2018 up to its last block of 320 channels: 1,811,712 parameters with 3 channels in.

    Maps of a half, a quarter, an eighth, a sixteenth and a thirty-second of the picture.

    channels_in   3, or more for what is seen beside the picture
    width         factor of all channels, each rounded to a multiple of 8
    """

    torchvision = "mobilenet_v2"

    def __init__(self, channels_in: int = 3, width: float = 1.0):
        super().__init__()
        channels = _multiple_of_8(32 * width)
        self.features = nn.Sequential(convolution(channels_in, channels, 3, stride=2))
        self._taps, tapped = [], []
        for stage, (expansion, whole, blocks, stride) in enumerate(_MOBILE_STAGES):
            for i in range(blocks):
                channels_out = _multiple_of_8(whole * width)
                self.features.append(_InvertedResidual(channels, channels_out, expansion, stride if i == 0 else 1))
                channels = channels_out
            # The last stage of every size.
            if stage + 1 == len(_MOBILE_STAGES) or _MOBILE_STAGES[stage + 1][3] == 2:
                self._taps.append(len(self.features) - 1)
                tapped.append(channels)
        self.channels = tuple(tapped)
        self._initialize()

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self._taps:
                maps.append(x)
        return maps


class _InvertedResidual(nn.Module):
    """1 x 1 to more channels, 3 x 3 of each alone, 1 x 1 to few; the input is added where it has the same shape."""

    def __init__(self, channels_in: int, channels_out: int, expansion: int, stride: int):
        super().__init__()
        wide = expansion * channels_in
        self.conv = nn.Sequential()
        if expansion != 1:
            self.conv.append(convolution(channels_in, wide, 1))
        self.conv.append(convolution(wide, wide, 3, stride=stride, groups=wide))
        self.conv.append(nn.Conv2d(wide, channels_out, 1, bias=False))
        self.conv.append(nn.BatchNorm2d(channels_out))
        self._residual = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self._residual else self.conv(x)


def convolution(channels_in: int, channels_out: int, side: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias, batch norm and ReLU6, as MobileNetV2 is made of."""
    layer = nn.Conv2d(channels_in, channels_out, side, stride, side // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(channels_out), nn.ReLU6())


def _multiple_of_8(channels: float) -> int:
    """Rounded, but not to less than 9 tenths."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def load_trunk(trunk: Trunk, path: Path) -> None:
    """Give a trunk the weights of a file of torchvision, whose classifier is left out.

    Kernels of channels that the file does not have, those beside the picture, are set to 0.

    raises   RendererError for a file that is not of this trunk
    """
    state, own = read_state(path), trunk.state_dict()
    for name, value in own.items():
        # Old files do not count batches.
        if name.endswith("num_batches_tracked"):
            continue
        given = state.get(name)
        if given is None or given.shape[:1] != value.shape[:1] or given.shape[2:] != value.shape[2:]:
            raise RendererError(f"{path}: does not hold the weights of torchvision's {trunk.torchvision} ({name})")
        if given.ndim == 4 and given.shape[1] < value.shape[1]:
            value.zero_()
            value[:, : given.shape[1]] = given
        elif given.shape != value.shape:
            raise RendererError(f"{path}: does not hold the weights of torchvision's {trunk.torchvision} ({name})")
        else:
            value.copy_(given)
