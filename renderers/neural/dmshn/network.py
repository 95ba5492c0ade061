"""DMSHN, the hierarchical network of Dutta et al. (2021), and its stacked form, as their release has them.

No file is read here. Tensors are (B, C, H, W) float32, pictures display-referred, and the names of parameters are those
of the release.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from renderers.neural.layers import enlarged, in_full_precision, padded_to_multiple

# Two halvings of the picture, and two in every encoder.
_MULTIPLE = 16

_WIDTHS = (32, 64, 128)


class DMSHN(nn.Module):
    """An encoder and a decoder at a quarter, a half and all of the size: 5,424,393 parameters.

    What a level finds is added to the picture of the next one, and its features to those of the next one. The last
    level's picture is the result: the input is not added to it.
    """

    def __init__(self):
        super().__init__()
        for level in (1, 2, 3):
            self.add_module(f"encoder_lv{level}", _Encoder())
            self.add_module(f"decoder_lv{level}", _Decoder())

    def forward(self, image: Tensor) -> Tensor:
        """
        image     all-in-focus display values (B, 3, H, W) in [0, 1]
        returns   display values (B, 3, H, W), not bounded
        """
        height, width = image.shape[-2:]
        levels = [padded_to_multiple(image, _MULTIPLE)]
        for _ in range(2):
            # Bilinearly, which is the mean of 2 x 2 pixels.
            levels.append(F.avg_pool2d(levels[-1], 2))
        found = below = None
        for level, picture in zip((3, 2, 1), reversed(levels), strict=True):
            seen = picture if found is None else picture + enlarged(found, 2)
            encoded = self.get_submodule(f"encoder_lv{level}")(seen)
            both = encoded if below is None else encoded + enlarged(below, 2)
            found, below = self.get_submodule(f"decoder_lv{level}")(both), encoded
        assert found is not None
        return found[..., :height, :width]


class StackedDMSHN(nn.Module):
    """Two in a row: the second is given the picture of the first. 10,848,786 parameters."""

    def __init__(self):
        super().__init__()
        self.net1, self.net2 = DMSHN(), DMSHN()

    def forward(self, image: Tensor) -> Tensor:
        """As `DMSHN.forward`."""
        return self.net2(self.net1(image))


class _Encoder(nn.Module):
    """Three widths, the second and third at half the size of the one before: (B, 128, H/4, W/4)."""

    def __init__(self):
        super().__init__()
        channels = 3
        for i, width in enumerate(_WIDTHS):
            self.add_module(f"layer{4 * i + 1}", nn.Conv2d(channels, width, 3, 2 if i else 1, padding=1))
            self.add_module(f"layer{4 * i + 2}", _pair(width))
            self.add_module(f"layer{4 * i + 3}", _pair(width))
            channels = width

    def forward(self, x: Tensor) -> Tensor:
        for i in range(len(_WIDTHS)):
            x = self.get_submodule(f"layer{4 * i + 1}")(x)
            for j in (2, 3):
                x = x + self.get_submodule(f"layer{4 * i + j}")(x)
        return x


class _Decoder(nn.Module):
    """The encoder in reverse, to three channels of the full size."""

    def __init__(self):
        super().__init__()
        for i, width in enumerate(reversed(_WIDTHS)):
            self.add_module(f"layer{4 * i + 13}", _pair(width))
            self.add_module(f"layer{4 * i + 14}", _pair(width))
            last = i == len(_WIDTHS) - 1
            up = nn.Conv2d(width, 3, 3, padding=1) if last else nn.ConvTranspose2d(width, width // 2, 4, 2, padding=1)
            self.add_module(f"layer{4 * i + 16}", up)

    def forward(self, x: Tensor) -> Tensor:
        for i in range(len(_WIDTHS)):
            for j in (13, 14):
                x = x + self.get_submodule(f"layer{4 * i + j}")(x)
            up = self.get_submodule(f"layer{4 * i + 16}")
            x = up(x) if i < len(_WIDTHS) - 1 else in_full_precision(up, x)
        return x


def _pair(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
