"""Classifiers of pictures: four architectures of torchvision under its names, so that its files load, and narrow ones.

    resnet18      11,689,512   He et al. 2016
    resnet50      25,557,032   the same, with bottlenecks
    vgg16        138,357,544   Simonyan and Zisserman 2015, without batch norm
    densenet121    7,978,856   Huang et al. 2017
    mobilenet_v2   3,504,872   Sandler et al. 2018

are parameters with the 1000 classes of ImageNet. The narrow ones end with "-small": the same blocks with fewer
channels, for pictures of about 128 px and training on a CPU. `logits` takes what `renderers.neural.trunks.normalized`
gives, (B, 3, H, W), and returns (B, classes).
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from renderers.neural.trunks import MobileNetV2, ResNet18, ResNet50, convolution

IMAGENET_CLASSES = 1000

# Convolutions of VGG by their channels; None halves the picture. The small one halves it four times: five leave 3 x 3
# values of a training crop of 112 px and 4 x 4 of a picture of 128, which is another thing to learn.
_VGG16 = (64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512, 512, None, 512, 512, 512, None)
_VGG_SMALL = (16, None, 32, None, 48, 48, None, 64, 64, None, 96, 96)


class Classifier(nn.Module):
    """What all have: `logits` of a normalized picture (B, 3, H, W), of any size from 32 px: (B, classes)."""

    def logits(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class ResNet18Classifier(ResNet18, Classifier):
    """width   channels of the stem: 64, or fewer"""

    def __init__(self, classes: int = IMAGENET_CLASSES, width: int = 64):
        super().__init__(width=width)
        self.fc = nn.Linear(self.channels[-1], classes)

    def logits(self, x: Tensor) -> Tensor:
        return self.fc(self(x)[-1].mean((2, 3)))


class ResNet50Classifier(ResNet50, Classifier):
    """ResNet-50, which the paper attacks."""

    def __init__(self, classes: int = IMAGENET_CLASSES):
        super().__init__()
        self.fc = nn.Linear(self.channels[-1], classes)

    def logits(self, x: Tensor) -> Tensor:
        return self.fc(self(x)[-1].mean((2, 3)))


class MobileNetV2Classifier(MobileNetV2, Classifier):
    """width   factor of all channels but those of the last layer"""

    def __init__(self, classes: int = IMAGENET_CLASSES, width: float = 1.0, last: int = 1280):
        super().__init__(width=width)
        # After the last tap, so that the trunk's maps stay what they are.
        self.features.append(convolution(self.channels[-1], last, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def logits(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


class VGG(Classifier):
    """Convolutions of 3 x 3 and maxima of 2 x 2, then three matrices.

    plan         channels of the convolutions; None halves the picture
    batch_norm   after every convolution
    pooled       side of the map that the first matrix sees
    hidden       values between the matrices
    dropout      part of them that a training step leaves out
    """

    def __init__(
        self,
        classes: int = IMAGENET_CLASSES,
        plan: tuple[int | None, ...] = _VGG16,
        *,
        batch_norm: bool = False,
        pooled: int = 7,
        hidden: int = 4096,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.features = nn.Sequential()
        channels = 3
        for channels_out in plan:
            if channels_out is None:
                self.features.append(nn.MaxPool2d(2))
                continue
            self.features.append(nn.Conv2d(channels, channels_out, 3, padding=1))
            if batch_norm:
                self.features.append(nn.BatchNorm2d(channels_out))
            self.features.append(nn.ReLU())
            channels = channels_out
        self.avgpool = nn.AdaptiveAvgPool2d(pooled)
        self.classifier = nn.Sequential(
            *(nn.Linear(channels * pooled**2, hidden), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout)),
            nn.Linear(hidden, classes),
        )

    def logits(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class DenseNet(Classifier):
    """Blocks in which every layer sees all layers before it.

    growth    channels that a layer adds
    blocks    layers of each block; between blocks, channels and sides are halved
    channels  of the stem
    """

    def __init__(
        self,
        classes: int = IMAGENET_CLASSES,
        growth: int = 32,
        blocks: tuple[int, ...] = (6, 12, 24, 16),
        channels: int = 64,
    ):
        super().__init__()
        features = nn.Sequential()
        features.add_module("conv0", nn.Conv2d(3, channels, 7, 2, 3, bias=False))
        features.add_module("norm0", nn.BatchNorm2d(channels))
        features.add_module("relu0", nn.ReLU())
        features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        for i, layers in enumerate(blocks, start=1):
            block = nn.Sequential()
            for layer in range(1, layers + 1):
                block.add_module(f"denselayer{layer}", _DenseLayer(channels, growth))
                channels += growth
            features.add_module(f"denseblock{i}", block)
            if i < len(blocks):
                features.add_module(f"transition{i}", _transition(channels))
                channels //= 2
        features.add_module("norm5", nn.BatchNorm2d(channels))
        self.features = features
        self.classifier = nn.Linear(channels, classes)

    def logits(self, x: Tensor) -> Tensor:
        return self.classifier(torch.relu(self.features(x)).mean((2, 3)))


class _DenseLayer(nn.Module):
    """1 x 1 to four times the growth, 3 x 3 to the growth; the input and the result."""

    def __init__(self, channels: int, growth: int):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        added = self.conv2(torch.relu(self.norm2(self.conv1(torch.relu(self.norm1(x))))))
        return torch.cat([x, added], 1)


def _transition(channels: int) -> nn.Sequential:
    transition = nn.Sequential()
    transition.add_module("norm", nn.BatchNorm2d(channels))
    transition.add_module("relu", nn.ReLU())
    transition.add_module("conv", nn.Conv2d(channels, channels // 2, 1, bias=False))
    transition.add_module("pool", nn.AvgPool2d(2))
    return transition


# By name; each takes the number of classes.
TORCHVISION: dict[str, Callable[..., Classifier]] = {
    "resnet18": ResNet18Classifier,
    "resnet50": ResNet50Classifier,
    "vgg16": VGG,
    "densenet121": DenseNet,
    "mobilenet_v2": MobileNetV2Classifier,
}
SMALL: dict[str, Callable[..., Classifier]] = {
    "resnet18-small": partial(ResNet18Classifier, width=16),
    "vgg-small": partial(VGG, plan=_VGG_SMALL, batch_norm=True, pooled=1, hidden=128, dropout=0.1),
    "densenet-small": partial(DenseNet, growth=12, blocks=(3, 6, 8, 6), channels=16),
    "mobilenet_v2-small": partial(MobileNetV2Classifier, width=0.5, last=320),
}
NETWORKS = {**TORCHVISION, **SMALL}
