"""RevealNet: what to change of the layers beside edges. Nothing here knows of a lens, or of pictures and layers."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from renderers.neural.layers import in_full_precision, in_tiles, padded_to_multiple
from renderers.neural.reveal.layers import CHANGE, HINTS

_WIDTHS = (32, 64, 96, 128)

# Channels at full size: of what the U-Net says, and of what is made of it and of the hints there.
_CONTEXT, _FINE = 16, 32

# The smallest maps have a sixteenth of the size: beyond a block of 16 pixels, its outputs depend on 92 more around, in
# whole such blocks 96.
MULTIPLE, _REACH_PX = 16, 96


class _Stage(nn.Sequential):
    """Two 3 x 3 convolutions with batch norm: without it, smaller steps are needed, and learn a fifth as much."""

    def __init__(self, channels_in: int, channels_out: int):
        parts: list[nn.Module] = []
        for channels in (channels_in, channels_out):
            # The norm has a bias of its own.
            convolution = nn.Conv2d(channels, channels_out, 3, padding=1, bias=False)
            parts += [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]
        super().__init__(*parts)


def _first_of(part: nn.Module) -> nn.Conv2d:
    return next(module for module in part.modules() if isinstance(module, nn.Conv2d))


class RevealNet(nn.Module):
    """A U-Net on blocks of 2 x 2 pixels, down to a sixteenth of the size; then two convolutions at full size, as mattes
    change from pixel to pixel. 961,067 parameters.

    The last weights are 0: before it is trained, it changes nothing.
    """

    def __init__(self):
        super().__init__()
        shown, changed = sum(HINTS.values()), sum(CHANGE.values())
        self.down = nn.ModuleList(_Stage(a, b) for a, b in pairwise((4 * shown, *_WIDTHS)))
        self.up = nn.ModuleList(_Stage(a + b, a) for a, b in pairwise(_WIDTHS))
        self.context = nn.Conv2d(_WIDTHS[0], 4 * _CONTEXT, 3, padding=1)
        self.fine = _Stage(shown + _CONTEXT, _FINE)
        self.head = nn.Conv2d(_FINE, changed, 1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    @property
    def first(self) -> tuple[nn.Conv2d, nn.Conv2d]:
        """The convolutions that see the hints: in four channels each that follow one another, and as they are."""
        return _first_of(self.down), _first_of(self.fine)

    def forward(self, hints: Tensor, tile: int | None = None) -> Tensor:
        """
        hints     (B, 16, H, W), as `renderers.neural.reveal.layers.hints` makes them
        tile      side of the tiles that large pictures are computed in, a multiple of 16; None for the usual one
        returns   (B, 11, H, W), for `renderers.neural.reveal.layers.changed`
        """
        height, width = hints.shape[-2:]
        change = in_tiles(self._body, padded_to_multiple(hints, MULTIPLE), _REACH_PX, tile)
        return change[..., :height, :width]

    def _body(self, hints: Tensor) -> Tensor:
        x, maps = F.pixel_unshuffle(hints, 2), []
        for i, stage in enumerate(self.down):
            x = stage(F.avg_pool2d(x, 2) if i else x)
            maps.append(x)
        for stage, skip in zip(reversed(self.up), reversed(maps[:-1]), strict=True):
            x = stage(torch.cat([skip, F.interpolate(x, scale_factor=2, mode="nearest")], 1))
        x = self.fine(torch.cat([hints, F.pixel_shuffle(self.context(x), 2)], 1))
        return in_full_precision(self.head, x)
