"""IFAN on pictures of any size, with the weights that ship or others."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inverse.deblurring.ifan import IFAN, MULTIPLE
from inverse.deblurring.released import in_our_names
from renderers.neural.checkpoints import loaded
from renderers.neural.layers import padded_to_multiple
from renderers.neural.tensors import device_of, picture_from_tensor, tensor_from_plane
from runtime.backend import Backend
from scenes.arrays import Picture

# The name of a network is the name of its weights.
NETWORKS: Mapping[str, Callable[[], IFAN]] = {
    "ifan": IFAN,
    # For weights of the released code.
    "ifan-shared-vh": functools.partial(IFAN, shared_vh=True),
    # About a third of the channels, and 7 of 17 steps: it reaches 56 px instead of 136.
    "ifan-small": functools.partial(IFAN, widths=(12, 24, 40, 40), steps=7),
}

# Pixels that what is tiled sees to each side: an encoder 45, the decoder 43 with what it skips to.
REACH = 64

# Side of the tiles that full-size layers work on, without their surroundings: 32 channels take 0.2 GB.
TILE = 1024


def shipped(name: str) -> Path:
    """Where the weights of a network lie that come with the project."""
    return Path(__file__).parent / f"{name}.safetensors"


def read_network(name: str, weights: Path | None = None, arch: Backend = "cpu") -> IFAN:
    """A network with its weights, ours or the released ones, ready to deblur.

    RendererError where they cannot be used.
    """
    # Without values: drawing random ones takes longer than reading a file.
    with torch.device("meta"):
        network = NETWORKS[name]()
    path = shipped(name) if weights is None else weights
    return loaded(network.to_empty(device="cpu"), path, device_of(arch), in_our_names)


def deblurred(network: IFAN, blurred: Picture) -> Picture:
    """A picture (H, W, 3) of display values, clipped to [0, 1] before and after; returns the same size."""
    device = str(next(network.parameters()).device)
    with torch.inference_mode():
        seen = tensor_from_plane(np.clip(blurred, 0.0, 1.0), device)
        return picture_from_tensor(in_tiles(network, seen).clamp(0.0, 1.0))


def in_tiles(network: IFAN, image: Tensor, tile: int = TILE) -> Tensor:
    """`network(image)` for a picture (B, 3, H, W) of any size, without gradients.

    Layers at full size work on tiles; those at an eighth of it, which see far, on the whole picture. Every value is
    that of the whole, up to the rounding of float32.

    tile   side in pixels, a multiple of 8
    """
    height, width = image.shape[-2:]
    image = padded_to_multiple(image, MULTIPLE)
    if max(image.shape[-2:]) <= tile:
        return network(image)[..., :height, :width]

    def encoded(window: tuple[slice, slice]) -> Tensor:
        part = image[..., window[0], window[1]]
        return torch.cat([network.levels(part)[-1], network.of_filters(part)], 1)

    features, of_filters = _tiled(encoded, image, tile, MULTIPLE).chunk(2, 1)
    features, _ = network.adapted(features, of_filters)

    def decoded(window: tuple[slice, slice]) -> Tensor:
        part, deep = image[..., window[0], window[1]], (_divided(side, MULTIPLE) for side in window)
        return network.decoded(part, network.levels(part)[:-1], features[(..., *deep)])

    return _tiled(decoded, image, tile, 1)[..., :height, :width]


def _tiled(body: Callable[[tuple[slice, slice]], Tensor], image: Tensor, tile: int, shrunk: int) -> Tensor:
    """What a body makes of windows of a picture, put together; its values are `shrunk` times fewer along each side."""
    sides = image.shape[-2:]
    rows = []
    for top in range(0, sides[0], tile):
        row = []
        for left in range(0, sides[1], tile):
            inner = [slice(at, min(at + tile, side)) for at, side in zip((top, left), sides, strict=True)]
            y, x = (
                slice(max(a.start - REACH, 0), min(a.stop + REACH, side)) for a, side in zip(inner, sides, strict=True)
            )
            kept = (
                _divided(slice(a.start - outer.start, a.stop - outer.start), shrunk)
                for a, outer in zip(inner, (y, x), strict=True)
            )
            row.append(body((y, x))[(..., *kept)])
        rows.append(torch.cat(row, -1))
    return torch.cat(rows, -2)


def _divided(window: slice, by: int) -> slice:
    return slice(window.start // by, window.stop // by)
