"""Disparity that a user's own network estimates from one picture: any ONNX model of monocular depth, by onnxruntime.

The model has one input, (1, 3, H, W) float32: display values from 0 to 1 less a mean, over a standard deviation, those
of ImageNet unless said. Its output is inverse depth, larger is nearer, of any scale: (1, H', W'), (1, 1, H', W') or
(H', W').
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from runtime.command import OptionError
from scenes.arrays import Picture, Plane
from scenes.matte import resized

# Mean and standard deviation of the pictures of ImageNet, red, green and blue, as torchvision's models take them.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Sides of pictures for models of any size are multiples of this: the patch of DINOv2, which most of them begin with.
_PATCH_PX = 14

_SIDE_MAX_PX = 16384


def estimated_disparity(
    model: Path, image: Picture, *, mean: tuple[float, ...], std: tuple[float, ...], side_px: int
) -> Plane:
    """(H, W) float32, larger is nearer, of the picture's size.

    image     display values; they are clipped to [0, 1]
    side_px   longer side of what the model is given, where it takes any size
    raises    OptionError for a model that cannot be loaded, is of another kind, or fails
    """
    session = _session(model)
    taken = session.get_inputs()
    if len(taken) != 1:
        raise OptionError(f"{model}: takes {len(taken)} inputs; a model of depth takes one picture")
    shape = taken[0].shape
    if taken[0].type != "tensor(float)" or len(shape) != 4 or shape[0] not in (1, None) and isinstance(shape[0], int):
        raise OptionError(f"{model}: takes {taken[0].type} of shape {shape}; it must be float of (1, 3, H, W)")
    if isinstance(shape[1], int) and shape[1] != 3:
        raise OptionError(f"{model}: takes {shape[1]} channels; it must be 3, red, green and blue")
    width, height = _size(model, shape, image, side_px)
    given = cv2.resize(np.clip(image, 0.0, 1.0), (width, height), interpolation=cv2.INTER_AREA)
    normalized = (given - np.array(mean, np.float32)) / np.array(std, np.float32)
    try:
        output = session.run(None, {taken[0].name: np.ascontiguousarray(normalized.transpose(2, 0, 1)[None])})[0]
    except Exception as error:  # its exceptions have no base of their own
        raise OptionError(f"{model}: fails at {width} x {height} px ({_in_a_line(error)})") from error
    plane = np.asarray(output)
    if plane.dtype.kind != "f" or plane.ndim not in (2, 3, 4) or plane.size != np.prod(plane.shape[-2:]):
        raise OptionError(f"{model}: gives {plane.dtype} of shape {plane.shape}; it must be float of (1, H, W)")
    plane = plane.reshape(plane.shape[-2:]).astype(np.float32)
    if not (np.isfinite(plane.min()) and np.isfinite(plane.max())):
        raise OptionError(f"{model}: gives NaN or infinity for this picture")
    return resized(plane, (image.shape[0], image.shape[1]))


def _session(model: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise OptionError(f"{model}: needs the package onnxruntime: pip install 'bokehforge[onnx]'") from error
    if not model.is_file():
        raise OptionError(f"{model}: no such file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is in the exception
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise OptionError(f"{model}: is no ONNX model that can be loaded ({_in_a_line(error)})") from error


def _size(model: Path, shape: list[Any], image: Picture, side_px: int) -> tuple[int, int]:
    """(width, height) that the model is given: its own, or the picture's proportions where it takes any."""
    height, width = image.shape[:2]
    scale = side_px / max(height, width)
    sides = []
    for wanted, side in ((shape[3], width), (shape[2], height)):
        own = wanted if isinstance(wanted, int) else max(1, round(side * scale / _PATCH_PX)) * _PATCH_PX
        if not 1 <= own <= _SIDE_MAX_PX:
            raise OptionError(f"{model}: takes pictures of shape {shape}; sides of 1 to {_SIDE_MAX_PX} px are given")
        sides.append(own)
    return sides[0], sides[1]


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
