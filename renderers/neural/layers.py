"""What networks of different papers have in common: precision, resizing, tiles. Tensors are (B, C, H, W)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Large feature maps are computed in tiles of this side, without the overlap: 128 channels of float32 take 0.5 GB.
TILE = 1024


def in_full_precision(layer: nn.Module, x: Tensor) -> Tensor:
    """A last layer in float32, also under autocast: the eight bits of bfloat16 would show in a picture."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.to(next(layer.parameters()).dtype))


def resized(x: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """(B, C, h, w) bilinearly to (B, C, *size), corner pixels on corner pixels, as BokehMe does it."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=True)


def enlarged(x: Tensor, factor: int) -> Tensor:
    """(B, C, H, W) bilinearly to `factor` times the size, the corners of pixels on corners of pixels."""
    return x if factor == 1 else F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def padded_to_multiple(x: Tensor, multiple: int, least: int = 0) -> Tensor:
    """(B, C, H, W), continued below and to the right until both sides are multiples and at least `least` pixels.

    The picture is mirrored at its last row and column, again and again where it is smaller than what is added.
    """
    for dim in (-2, -1):
        side = x.shape[dim]
        padded = (max(side, least) + multiple - 1) // multiple * multiple
        if padded != side:
            place = torch.arange(padded, device=x.device) % max(2 * side - 2, 1)
            x = x.index_select(dim, torch.minimum(place, (2 * side - 2 - place).abs()))
    return x


def in_tiles(body: Callable[[Tensor], Tensor], x: Tensor, reach: int, tile: int | None = None) -> Tensor:
    """`body(x)` of a convolutional body of stride 1, computed in tiles where x is larger and no gradient is wanted.

    This bounds the memory of a network for pictures of any size.

    reach     pixels that an output depends on, to each side: tiles overlap by it, so that every value is that of the
              whole, up to the rounding of float32
    tile      side of the tiles without the overlap; None for TILE
    returns   (B, C', H, W)
    """
    height, width = x.shape[-2:]
    tile = TILE if tile is None else tile
    if max(height, width) <= tile or torch.is_grad_enabled():
        return body(x)
    rows = []
    for top in range(0, height, tile):
        row = []
        for left in range(0, width, tile):
            y, x0 = max(top - reach, 0), max(left - reach, 0)
            bottom, right = min(top + tile, height), min(left + tile, width)
            part = body(x[..., y : min(bottom + reach, height), x0 : min(right + reach, width)])
            row.append(part[..., top - y : bottom - y, left - x0 : right - x0])
        rows.append(torch.cat(row, dim=-1))
    return torch.cat(rows, dim=-2)
