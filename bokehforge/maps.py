"""Maps beside a photograph: its disparity or depth, a mask, a matte."""

import sys
from pathlib import Path

import numpy as np

from bokehdata.images import read_disparity, read_numbers
from runtime.command import OptionError
from scenes.arrays import Picture, Plane
from scenes.color import HALF_MAX
from scenes.matte import resized

# Sides of a map and its picture may differ in proportion by so much, as rounding of a smaller map makes them.
_PROPORTION_MAX = 1.05


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
