"""Maps beside a photograph: its disparity or depth, a mask, a matte."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bokehdata.embedded import EmbeddedDepth, embedded_depth
from bokehdata.images import read_disparity, read_numbers
from bokehdata.kinds.layers import LayersFolder
from bokehforge.estimated import IMAGENET_MEAN, IMAGENET_STD, estimated_disparity
from runtime.command import SIDE_MAX_PX, OptionError, require_counts
from runtime.files import sha256_of
from runtime.progress import waiting
from scenes.arrays import Picture, Plane
from scenes.color import HALF_MAX
from scenes.matte import resized

# Sides of a map and its picture may differ in proportion by so much, as rounding of a smaller map makes them.
_PROPORTION_MAX = 1.05


@dataclass(frozen=True, kw_only=True)
class MapOptions:
    """How far everything is."""

    disparity: Path | None = None
    """Map that is larger where it is nearer, relative or in 1/m: .exr or .npy as it is, integer files as 0 to 1.
    Default: the map that a phone has stored with its picture."""
    depth: Path | None = None
    """In place of --disparity: map of planar depth in metres; integer files hold millimetres. Or MODEL.onnx, a network
    of yours that estimates inverse depth from the picture."""
    depth_mean: tuple[float, float, float] = IMAGENET_MEAN
    """For --depth MODEL.onnx: what is subtracted from red, green and blue, display values from 0 to 1."""
    depth_std: tuple[float, float, float] = IMAGENET_STD
    """For --depth MODEL.onnx: what they are then divided by."""
    depth_side: int = 518
    """For --depth MODEL.onnx that takes pictures of any size: the longer side that it is given, 14 to 16384 pixels."""
    invert: bool = False
    """The disparity map is larger where it is farther."""
    normalize: bool = False
    """Stretch the disparity map to 0 to 1."""

    @property
    def is_estimated(self) -> bool:
        """Whether --depth is a model."""
        return self.depth is not None and self.depth.suffix == ".onnx"


@dataclass(frozen=True, eq=False)
class DisparityMap:
    """What options say of how far everything is.

    disparity   (H, W) float32 of the picture's size, >= 0, larger is nearer
    is_metric   whether it is in 1/m
    source      of what it was made, plain values for `scene.yaml`
    shift       what was added to the map, so that it is nowhere below 0: only differences count
    """

    disparity: Plane
    is_metric: bool
    source: dict[str, Any]
    shift: float = 0.0


def map_of_layers(folder: LayersFolder) -> DisparityMap:
    """The map that layers were made with."""
    return DisparityMap(folder.disparity(), folder.is_metric, {}, folder.disparity_shift)


def require_map(options: MapOptions, photo: Path, who: str) -> EmbeddedDepth | None:
    """What a photograph has with it, where options name no map.

    who      needs a map, for the message
    raises   OptionError where options contradict each other, and where there is no map; DatasetError for a file that
             cannot be read
    """
    if options.disparity is not None and options.depth is not None:
        raise OptionError(f"{who} needs --disparity or --depth, and not both")
    if options.depth is not None and not options.is_estimated and (options.invert or options.normalize):
        raise OptionError("--invert and --normalize are for --disparity; --depth is in metres")
    require_counts(("--depth-side", options.depth_side, 14, SIDE_MAX_PX))
    if not np.isfinite((*options.depth_mean, *options.depth_std)).all() or min(options.depth_std) <= 0.0:
        raise OptionError("--depth-mean and --depth-std must be numbers, the latter above 0")
    if options.disparity is not None or options.depth is not None:
        return None
    found = embedded_depth(photo)
    if found is None:
        raise OptionError(f"{who} needs --disparity or --depth: {photo} has no depth map of its own")
    print(f"{photo}: its own depth map is used ({found.kind})", file=sys.stderr)
    return found


def disparity_map(options: MapOptions, embedded: EmbeddedDepth | None, image: Picture) -> DisparityMap:
    """The map that options ask for, or that was with the photograph; OptionError and DatasetError as of its reading."""
    source: dict[str, Any] = {}
    is_metric = False
    if embedded is not None:
        what, is_metric = "its own depth map", embedded.is_metric
        disparity = resized(embedded.disparity, (image.shape[0], image.shape[1]))
        source["embedded"] = embedded.kind
    elif options.depth is not None and options.is_estimated:
        what = str(options.depth)
        given = {"mean": options.depth_mean, "std": options.depth_std, "side_px": options.depth_side}
        with waiting(options.depth.name):
            disparity = estimated_disparity(options.depth, image, **given)
        source["model_sha256"] = sha256_of(options.depth)
        source["model_input"] = {key: list(v) if isinstance(v, tuple) else v for key, v in given.items()}
    elif options.depth is not None:
        what, is_metric = str(options.depth), True
        disparity = read_depth(options.depth, image)
        source["depth_sha256"] = sha256_of(options.depth)
    else:
        assert options.disparity is not None
        what = str(options.disparity)
        disparity = read_map(options.disparity, image)
        source["disparity_sha256"] = sha256_of(options.disparity)
    low, high = float(disparity.min()), float(disparity.max())
    if options.invert:
        disparity, is_metric, source["inverted"] = np.float32(low + high) - disparity, False, True
    if options.normalize:
        if not high > low:
            raise OptionError(f"{what}: is {low:g} everywhere, which --normalize cannot stretch")
        disparity = (disparity - np.float32(low)) / np.float32(high - low)
        is_metric, source["normalized"] = False, True
    shift = max(0.0, -float(disparity.min()))
    return DisparityMap(disparity + np.float32(shift), is_metric, source, shift)


def read_map(path: Path, image: Picture) -> Plane:
    """A map for a picture: (H, W) float32 of the picture's size, finite.

    EXR, NPY and other floating-point files are as they are, integers are divided by the largest of their type. A map of
    another size is resized, with a word on standard error. OptionError for a map of another shape; DatasetError for a
    file that cannot be read, NaN and infinity.
    """
    return _fitted(path, read_disparity(path), image)


def read_depth(path: Path, image: Picture) -> Plane:
    """The disparity in 1/m of a file of planar depth in metres, for a picture: (H, W) float32.

    Integer files hold millimetres. Infinity, and 65504 and more, is what is infinitely far. OptionError for depths that
    are not above 0, and as `read_map`.
    """
    depth_m = read_numbers(path)
    if depth_m.dtype != np.float32:
        depth_m = depth_m / np.float32(1000.0)
    if not (depth_m > 0.0).all():
        raise OptionError(f"{path}: holds depths that are not above 0 m; give every pixel a depth, 65504 for infinity")
    far = depth_m >= HALF_MAX
    return _fitted(path, np.where(far, 0.0, 1.0 / np.where(far, 1.0, depth_m)).astype(np.float32), image)


def _fitted(path: Path, plane: Plane, image: Picture) -> Plane:
    (height, width), (rows, columns) = image.shape[:2], plane.shape
    if (rows, columns) == (height, width):
        return plane
    sizes = f"{path}: is {columns} x {rows} px, the picture is {width} x {height} px"
    proportion = columns * height / (rows * width)
    if not 1.0 / _PROPORTION_MAX <= proportion <= _PROPORTION_MAX:
        raise OptionError(f"{sizes}; give a map of the picture's shape")
    print(f"{sizes}; the map is resized", file=sys.stderr)
    return resized(plane, (height, width))
