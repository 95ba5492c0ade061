"""Layers as the preview of the page takes them: reduced, and with what continues behind cuts."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bokehforge.studio.subjects import Subject
from scenes.color import HALF_MAX, premultiplied
from scenes.layered import LayeredScene
from scenes.lens import ThinLens

# Where surfaces touch behind a cut depends on the blur; for the preview it is found once, at this part of the largest.
_BLUR = 0.5


@dataclass(frozen=True, eq=False)
class PreviewLayers:
    """Layers near to far, of one size (h, w).

    rgba       (N, h, w, 4) float16, straight alpha, linear light at the reference gamma
    depth      (N, h, w, 2) float32: disparity, and 1 where the light is the layer's own, 0 where a nearer one has it
    is_flat    (N,) whether a layer has one disparity
    repeats    (N,) whether a nearer one has some of its light
    extended   width and height of a layer in pixels of the picture, with its overscan
    overscan   pixels of the picture
    """

    rgba: NDArray[np.float16]
    depth: NDArray[np.float32]
    is_flat: tuple[bool, ...]
    repeats: tuple[bool, ...]
    extended: tuple[int, int]
    overscan: int


def preview_layers(subject: Subject, side_px: int) -> PreviewLayers:
    """The layers, reduced as a picture whose longer side is then at most `side_px`."""
    layers = _continued(subject)
    height, width = layers.extended_shape
    scale = min(1.0, side_px / max(layers.width, layers.height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    reduced = [_reduced(layers, i, size) for i in range(len(layers.layers))]
    depth = np.stack([depth for _, depth in reduced])
    return PreviewLayers(
        rgba=np.stack([rgba for rgba, _ in reduced]),
        depth=depth,
        is_flat=tuple(bool(np.ptp(disparity) == 0.0) for disparity in depth[..., 0]),
        repeats=tuple(bool((own < 1.0).any()) for own in depth[..., 1]),
        extended=(width, height),
        overscan=layers.overscan,
    )


def _continued(subject: Subject) -> LayeredScene:
    low, high = subject.disparities
    lens = ThinLens(_BLUR * subject.blur_max, (low + high) / 2.0)
    return subject.layers if lens.is_pinhole else subject.layers.for_lens(lens)


def _reduced(layers: LayeredScene, index: int, size: tuple[int, int]) -> tuple[NDArray, NDArray]:
    rgba = premultiplied(layers.layers[index].rgba)
    repeats = layers.repeats(index)
    own = np.ones(layers.extended_shape, np.float32) if repeats is None else 1.0 - repeats.astype(np.float32)
    # Texels as they are: a mean of two disparities would be a third one.
    depth = np.dstack(
        [cv2.resize(p, size, interpolation=cv2.INTER_NEAREST) for p in (layers.layer_disparity(index), own)]
    )
    rgba = np.asarray(cv2.resize(rgba, size, interpolation=cv2.INTER_AREA), np.float32)
    straight = rgba[..., :3] / np.maximum(rgba[..., 3:], np.float32(1e-6))
    rgba[..., :3] = np.minimum(straight, np.float32(HALF_MAX))
    return rgba.astype(np.float16), depth.astype(np.float32)
