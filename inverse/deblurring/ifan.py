"""IFAN, the network of Lee et al. (2021) that deblurs a picture that is out of focus in parts.

    e_n = LReLU((e_{n-1} * v_n) * h_n + b_n),   n = 1 .. N     (Eq. 5, iterative adaptive convolution)

v_n and h_n are a column and a row of three taps for every pixel and channel of the features at an eighth of the size.
They are predicted from the picture and from the disparity between its two dual-pixel views, which the network estimates
and is taught where views are known. The other network here, which blurs the sharp picture again, is for training alone.

The released code filters rows with the taps of columns, and its weights expect that: `shared_vh`. Its authors advise to
train without. The last convolution has its LeakyReLU, as the release has it.

No file is read here. Tensors are (B, C, H, W) float32, pictures display-referred.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Sides of a picture are multiples of this: features are filtered at an eighth of its size.
MULTIPLE = 8

_SLOPE = 0.1
_TAPS = 3

# Values for every channel and step: a column and a row of taps, and a bias.
_VALUES = 2 * _TAPS + 1

# Filters that are predicted at a time where no gradient is wanted: all channels of a megapixel would take 1 GB.
_CHANNELS_AT_A_TIME = 16

# Gain of the first weights of what predicts filters; of all others 1.
_FILTER_GAIN = 1.5


def adaptive_convolution(
    features: Tensor, filters: Tensor, *, shared_vh: bool = False, ends_linear: bool = False
) -> Tensor:
    """Eq. 5 for all steps; pictures go on as their last pixels.

    features      (B, C, H, W)
    filters       (B, 7 N C, H, W): for each of N steps the taps of columns, then of rows, three for each channel, from
                  above and from the left; after all steps the N C biases
    shared_vh     rows are filtered with the taps of columns
    ends_linear   the last step has no LeakyReLU
    returns       (B, C, H, W)
    """
    channels = features.shape[1]
    steps = filters.shape[1] // (_VALUES * channels)
    taps, biases = filters.split([2 * _TAPS * steps * channels, steps * channels], 1)
    # Taken apart once, so that the gradient is put together once.
    planes = taps.unflatten(1, (2 * steps, channels, _TAPS)).movedim(3, 2).flatten(1, 2).unbind(1)
    rows_of_taps = [planes[i : i + _TAPS] for i in range(0, len(planes), _TAPS)]
    for n, bias in enumerate(biases.unflatten(1, (steps, channels)).unbind(1)):
        vertical, horizontal = rows_of_taps[2 * n], rows_of_taps[2 * n + 1]
        features = _filtered(features, vertical, dim=2)
        features = _filtered(features, vertical if shared_vh else horizontal, dim=3) + bias
        if n < steps - 1 or not ends_linear:
            features = F.leaky_relu(features, _SLOPE)
    return features


def _filtered(x: Tensor, taps: Sequence[Tensor], *, dim: int) -> Tensor:
    """sum_t taps_t(p) x(p + t - 1) along a dimension; all (B, C, H, W)."""
    side = x.shape[dim]
    padded = F.pad(x, (0, 0, 1, 1) if dim == 2 else (1, 1, 0, 0), mode="replicate")
    before, here, after = taps
    total = padded.narrow(dim, 0, side) * before
    total = torch.addcmul(total, x, here)
    return torch.addcmul(total, padded.narrow(dim, 2, side), after)


class IFAN(nn.Module):
    """The network.

    widths      channels at full size, at a half, a quarter and an eighth
    steps       N, of the adaptive convolution: it reaches as many pixels at an eighth of the size
    shared_vh   as the released weights expect it
    """

    def __init__(
        self,
        *,
        widths: tuple[int, int, int, int] = (32, 64, 128, 128),
        steps: int = 17,
        shared_vh: bool = False,
    ):
        super().__init__()
        self.widths, self.steps, self.shared_vh = widths, steps, shared_vh
        deep = widths[-1]
        self.extractor = _encoder(widths)
        self.filter_encoder = _encoder(widths)
        self.disparity_head = nn.Sequential(_conv(deep, deep), _stack(deep), _stack(deep), _linear(deep, 1))
        self.disparity_features = _conv(1, deep)
        self.joined = nn.Sequential(_conv(2 * deep, deep), _stack(deep), _stack(deep), _conv(deep, deep))
        self.predictor = nn.Sequential(_conv(deep, deep), _stack(deep), _stack(deep))
        self.filters = nn.Conv2d(deep, _VALUES * steps * deep, 1)
        self.deep = nn.Sequential(_conv(deep, deep), Residual(deep, 3), _conv(deep, deep))
        self.enlarged = nn.ModuleList(_enlarging(a, b) for a, b in pairwise(widths[::-1]))
        self.decoders = nn.ModuleList(nn.Sequential(Residual(c), Residual(c)) for c in widths[-2::-1])
        self.last = _conv(widths[0], 3)
        _initialize(self)
        _initialize(self.predictor, _FILTER_GAIN)
        _initialize(self.filters, _FILTER_GAIN)

    def start_from_identity(self) -> None:
        """Set the last layer to 0 and all filters to the middle tap: the picture comes out as it went in.

        The paper does not do this.
        """
        last = self.last[0]
        assert isinstance(last, nn.Conv2d)
        _set_to_zero(last)
        _set_to_middle_tap(self.filters)

    def forward(self, image: Tensor) -> Tensor:
        """
        image     blurred display values (B, 3, H, W) in [0, 1], sides multiples of 8; ValueError for others
        returns   sharp display values (B, 3, H, W), not bounded
        """
        return self.with_filters(image)[0]

    def with_filters(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """The picture, and where gradients are wanted the filters of `adaptive_convolution`, else None."""
        _require_multiple(image)
        levels = self.levels(image)
        features, filters = self.adapted(levels.pop(), self.of_filters(image))
        return self.decoded(image, levels, features), filters

    def levels(self, image: Tensor) -> list[Tensor]:
        """Features of the picture from its size to an eighth."""
        found = []
        for level in self.extractor:
            image = level(image)
            found.append(image)
        return found

    def of_filters(self, image: Tensor) -> Tensor:
        """What filters and disparity are predicted from: (B, C, H / 8, W / 8)."""
        return self.filter_encoder(image)

    def disparity(self, image: Tensor) -> Tensor:
        """Of a picture or a view, pixels at an eighth of the size: (B, 1, H / 8, W / 8).

        The right view at x + disparity shows what the left one shows at x.
        """
        return self.disparity_head(self.of_filters(image))

    def adapted(self, features: Tensor, of_filters: Tensor) -> tuple[Tensor, Tensor | None]:
        """Deep features through the predicted filters and on to the decoder; the filters where gradients are wanted.

        features, of_filters   (B, C, H / 8, W / 8)
        """
        known = self.disparity_features(self.disparity_head(of_filters))
        predicted = self.predictor(self.joined(torch.cat([of_filters, known], 1)))
        if torch.is_grad_enabled():
            filters = self.filters(predicted).contiguous()
            features = adaptive_convolution(features, filters, shared_vh=self.shared_vh)
            return self.deep(features), filters
        parts = []
        for channels in torch.arange(features.shape[1]).split(_CHANNELS_AT_A_TIME):
            # No channel is filtered by what another one is.
            rows = self._rows(channels)
            assert self.filters.bias is not None
            filters = F.conv2d(predicted, self.filters.weight[rows], self.filters.bias[rows]).contiguous()
            parts.append(adaptive_convolution(features[:, channels], filters, shared_vh=self.shared_vh))
        return self.deep(torch.cat(parts, 1)), None

    def decoded(self, image: Tensor, skipped: Sequence[Tensor], features: Tensor) -> Tensor:
        """The picture.

        skipped    features of `levels` but the last
        features   of `adapted`
        """
        for enlarged, decoder, skip in zip(self.enlarged, self.decoders, reversed(skipped), strict=True):
            features = decoder(enlarged(features) + skip)
        # In full precision, also under autocast: eight bits of bfloat16 would show in a picture.
        with torch.autocast(image.device.type, enabled=False):
            return image + self.last(features.to(image.dtype))

    def _rows(self, channels: Tensor) -> Tensor:
        """Which of the filters' channels are those of some channels of the features, in the same order."""
        width = self.widths[-1]
        place = torch.arange(_VALUES * self.steps * width)
        taps, biases = place.split([2 * _TAPS * self.steps * width, self.steps * width])
        of_taps = taps.view(2 * self.steps, width, _TAPS)[:, channels]
        return torch.cat([of_taps.flatten(), biases.view(self.steps, width)[:, channels].flatten()])


class Reblurring(nn.Module):
    """Blurs the sharp picture again, by filters made of those that deblurred it: RBN, for training alone."""

    def __init__(self, network: IFAN, *, steps: int = 17):
        super().__init__()
        width = network.widths[-1]
        self.steps, self.shared_vh = steps, network.shared_vh
        self.layers = nn.Sequential(_conv(network.filters.out_channels, width), _stack(width), _stack(width))
        self.filters = _linear(width, _VALUES * steps * 3)
        _initialize(self)

    def start_from_identity(self) -> None:
        """Begin with the sharp picture: all filters are the middle tap, but the last, which is 0."""
        _set_to_middle_tap(self.filters)
        assert self.filters.bias is not None
        with torch.no_grad():
            taps = self.filters.bias[: 2 * _TAPS * self.steps * 3].view(2 * self.steps, 3, _TAPS)
            taps[-2 if self.shared_vh else -1] = 0.0

    def forward(self, sharp: Tensor, filters: Tensor) -> Tensor:
        """
        sharp     display values at an eighth of the size (B, 3, H / 8, W / 8)
        filters   of `IFAN.with_filters`
        returns   blurred display values of the size of `sharp`
        """
        own = self.filters(self.layers(filters)).contiguous()
        return sharp + adaptive_convolution(sharp, own, shared_vh=self.shared_vh, ends_linear=True)


class Residual(nn.Module):
    """x <- LReLU(x + conv(LReLU(conv(x)))), `blocks` times; of several, the first x is added at the end."""

    def __init__(self, channels: int, blocks: int = 1):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(_conv(channels, channels), _linear(channels, channels)) for _ in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        first = x
        for block in self.blocks:
            x = F.leaky_relu(x + block(x), _SLOPE)
        return x + first if len(self.blocks) > 1 else x


def _encoder(widths: Sequence[int]) -> nn.Sequential:
    """Four levels of three convolutions, each level but the first half the size of the one before."""
    levels = []
    for i, (before, width) in enumerate(pairwise((3, *widths))):
        first = _conv(before, width, stride=2 if i else 1)
        levels.append(nn.Sequential(first, _conv(width, width), _conv(width, width)))
    return nn.Sequential(*levels)


def _conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1)
    return nn.Sequential(convolution, nn.LeakyReLU(_SLOPE))


def _linear(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def _stack(channels: int) -> Residual:
    return Residual(channels, 2)


def _enlarging(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE))


def _initialize(network: nn.Module, gain: float = 1.0) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight, gain)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def _set_to_zero(layer: nn.Conv2d) -> None:
    assert layer.bias is not None
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def _set_to_middle_tap(filters: nn.Conv2d) -> None:
    """Have a layer predict the same filters everywhere, which leave features that are not negative as they are."""
    _set_to_zero(filters)
    assert filters.bias is not None
    taps = filters.out_channels // _VALUES * 2 * _TAPS
    with torch.no_grad():
        filters.bias[:taps].view(-1, _TAPS)[:, 1] = 1.0


def _require_multiple(image: Tensor) -> None:
    height, width = image.shape[-2:]
    if height % MULTIPLE or width % MULTIPLE:
        raise ValueError(f"the picture is {width} x {height} px; both sides must be multiples of {MULTIPLE}")
