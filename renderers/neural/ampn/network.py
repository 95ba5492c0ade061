"""AMPN, the pyramid network of Georgiadis et al. (2022), arXiv 2210.16078.

A first generator finds what is in focus, a second one renders at a quarter of the size, and a Laplacian pyramid brings
its picture to full size. The paper gives no equations and no widths; with M the mask at a quarter of the size:

    B_L = A1(I_L) + A2(G2(I_L, M))                               at a quarter, A: coordinate attention
    R   = A3(up(B_L)) + A4(N(h_1, up(I_L), up(M), up(B_L)))      at a half
    B   = expand(expand(B_L) + F_1(R) h_1) + F_0(up(R)) h_0      h: differences of the pyramid of I
    out = up(M) I + (1 - up(M)) B

The decoders are laid out to have the 2.6 M parameters that are printed for each generator. The "without attention" row
of Table 3 cannot have the printed 5.2 M: attention of three channels has 102 parameters.

No file is read here. Tensors are (B, C, H, W) float32, pictures display-referred.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderers.neural.layers import enlarged, in_full_precision, padded_to_multiple
from renderers.neural.pyramid import decomposed, expanded
from renderers.neural.trunks import MobileNetV2, normalized

# Two levels of the pyramid, and five halvings of the encoder.
_MULTIPLE = 4 * 32


class AMPN(nn.Module):
    """The whole network; the rows of Table 3 leave parts out.

    mask_net        G1; without it every picture needs a mask
    bokeh_net       G2; without it the coarse picture is the small image
    refinement      N, with A3 and A4; without it R = up(B_L)
    attention       A3 and A4
    refine_width    channels of N
    refine_stride   2: N works at a quarter of the size; 1: at half of it, with four times the multiplications
    cascade         level 0 is given F_1(R) in place of R, as in LPTN
    """

    def __init__(
        self,
        *,
        mask_net: bool = True,
        bokeh_net: bool = True,
        refinement: bool = True,
        attention: bool = True,
        refine_width: int = 64,
        refine_stride: int = 2,
        cascade: bool = False,
    ):
        super().__init__()
        self.mask_net = Generator(3, 1) if mask_net else None
        self.bokeh_net = Generator(4, 3) if bokeh_net else None
        if bokeh_net:
            self.attend_image, self.attend_rendered = CoordinateAttention(3), CoordinateAttention(3)
        self.refine = _Refinement(refine_width, refine_stride) if refinement else None
        self.attention, self.cascade = attention, cascade
        if refinement and attention:
            self.attend_coarse, self.attend_refined = CoordinateAttention(3), CoordinateAttention(3)
        # F_0 and F_1. The paper does not give their width.
        self.tune = nn.ModuleList(_two_convolutions(3, 32, 3) for _ in range(2))

    def start_from_identity(self) -> None:
        """Set last layers so that pictures come out nearly as they went in. The paper does not do this."""
        for tune in self.tune:
            assert isinstance(tune, nn.Sequential)
            _set(tune[-1], bias=1.0)
        if self.bokeh_net is not None:
            _set(self.bokeh_net.head, bias=0.0)
            for gain in (self.attend_image.rows, self.attend_image.columns):
                # Before a sigmoid, where it is 0.993.
                _set(gain, bias=5.0)

    @property
    def trunks(self) -> list[MobileNetV2]:
        """The encoders of its generators."""
        return [net.encoder for net in (self.mask_net, self.bokeh_net) if net is not None]

    def forward(self, image: Tensor, mask: Tensor | None = None, closing: float = 0.0) -> Tensor:
        """
        image     all-in-focus display values (B, 3, H, W) in [0, 1]
        mask      what stays sharp, (B, 1, H, W) in [0, 1], in place of the one that G1 would find
        closing   of the aperture, in [0, 1]: M + closing (1 - M) in place of M; at 1 the picture is the image
        returns   display values (B, 3, H, W), not bounded
        """
        height, width = image.shape[-2:]
        image = padded_to_multiple(image, _MULTIPLE)
        (h0, h1), small = decomposed(image, 2)
        if mask is None:
            found = self.mask(small)
        else:
            found = F.avg_pool2d(padded_to_multiple(mask, _MULTIPLE), 4)
        found = found + closing * (1.0 - found)
        coarse = self.coarse(small, found)
        large = self._enlarged(coarse, h0, h1, self._refined(h1, small, found, coarse))
        kept = enlarged(found, 4)
        return (kept * image + (1.0 - kept) * large)[..., :height, :width]

    def found(self, image: Tensor) -> Tensor:
        """The mask that G1 finds, (B, 1, H, W) in [0, 1], for pictures (B, 3, H, W) of any size."""
        height, width = image.shape[-2:]
        small = decomposed(padded_to_multiple(image, _MULTIPLE), 2)[1]
        return enlarged(self.mask(small), 4)[..., :height, :width]

    def mask(self, small: Tensor) -> Tensor:
        """What G1 finds in focus in an image (B, 3, h, w) of a quarter of the size: (B, 1, h, w) in [0, 1]."""
        if self.mask_net is None:
            raise ValueError("without its mask network it needs a mask")
        return torch.sigmoid(self.mask_net(normalized(small)))

    def coarse(self, small: Tensor, mask: Tensor) -> Tensor:
        """The refocused picture B_L (B, 3, h, w)."""
        if self.bokeh_net is None:
            return small
        rendered = self.bokeh_net(torch.cat([normalized(small), mask], 1))
        return self.attend_image(small) + self.attend_rendered(rendered)

    def _refined(self, h1: Tensor, small: Tensor, mask: Tensor, coarse: Tensor) -> Tensor:
        """R, what the differences of the pyramid are multiplied by before it is tuned: (B, 3, 2 h, 2 w)."""
        larger = enlarged(coarse, 2)
        if self.refine is None:
            return larger
        refined = self.refine(torch.cat([h1, enlarged(small, 2), enlarged(mask, 2), larger], 1))
        if not self.attention:
            return larger + refined
        return self.attend_coarse(larger) + self.attend_refined(refined)

    def _enlarged(self, coarse: Tensor, h0: Tensor, h1: Tensor, refined: Tensor) -> Tensor:
        fine, half = self.tune
        at_half = in_full_precision(half, refined)
        picture = expanded(coarse) + at_half * h1
        at_full = in_full_precision(fine, enlarged(at_half if self.cascade else refined, 2))
        return expanded(picture) + at_full * h0


class Generator(nn.Module):
    """G1 and G2: the encoder of MobileNetV2 and a decoder of inverted residuals, after Yucel et al. (2021)."""

    # Channels, and expansion of every block, from a sixteenth of the size to all of it.
    _STAGES = ((112, (2, 3, 3)), (64, (3, 3)), (40, (3, 3)), (24, (3,)), (16, (3,)))

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.encoder = MobileNetV2(channels_in)
        # The smallest map begins; at full size there is none to append.
        *skipped, channels = self.encoder.channels
        stages = []
        for (width, expansions), skip in zip(self._STAGES, [*reversed(skipped), 0], strict=True):
            blocks = nn.Sequential()
            channels += skip
            for expansion in expansions:
                blocks.append(_InvertedBlock(channels, width, expansion))
                channels = width
            stages.append(blocks)
        self.decoder = nn.ModuleList(stages)
        self.head = nn.Conv2d(channels, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, h, w) with sides that are multiples of 32: (B, channels_out, h, w), not bounded."""
        maps = self.encoder(x)
        y = maps.pop()
        for stage in self.decoder:
            y = enlarged(y, 2)
            y = stage(torch.cat([y, maps.pop()], 1) if maps else y)
        return in_full_precision(self.head, y)


class _InvertedBlock(nn.Module):
    """1 x 1 to more channels, 3 x 3 of each alone, 1 x 1 to few; the input is added where it has the same shape."""

    def __init__(self, channels_in: int, channels_out: int, expansion: int):
        super().__init__()
        wide = expansion * channels_in
        self.layers = nn.Sequential(
            nn.Conv2d(channels_in, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.residual = channels_in == channels_out
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class CoordinateAttention(nn.Module):
    """Hou et al. (2021): x a_h a_w, gains of every row and of every column, from the means of both."""

    def __init__(self, channels: int):
        super().__init__()
        narrow = max(8, channels // 32)
        self.squeeze = nn.Sequential(nn.Conv2d(channels, narrow, 1), nn.BatchNorm2d(narrow), nn.Hardswish())
        self.rows, self.columns = (nn.Conv2d(narrow, channels, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) of any size, the same out."""
        height, width = x.shape[-2:]
        # Gains of few bits would band the picture.
        with torch.autocast(x.device.type, enabled=False):
            means = torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).mT], 2)
            rows, columns = self.squeeze(means).split((height, width), 2)
            return x * torch.sigmoid(self.rows(rows)) * torch.sigmoid(self.columns(columns.mT))


class _Refinement(nn.Module):
    """N: 3 x 3 convolutions with two residual blocks, as LPTN's for high frequencies."""

    def __init__(self, width: int, stride: int):
        super().__init__()
        self.stride = stride
        self.first = nn.Conv2d(10, width, 3, stride, padding=1)
        self.blocks = nn.ModuleList(_two_convolutions(width, width, width) for _ in range(2))
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(x), 0.01)
        for block in self.blocks:
            x = x + block(x)
        return enlarged(in_full_precision(self.last, x), self.stride)


def _set(layer: nn.Module, bias: float) -> None:
    """Make a convolution give a constant."""
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, bias)


def _two_convolutions(channels_in: int, width: int, channels_out: int) -> nn.Sequential:
    first, last = nn.Conv2d(channels_in, width, 3, padding=1), nn.Conv2d(width, channels_out, 3, padding=1)
    return nn.Sequential(first, nn.LeakyReLU(0.01), last)
