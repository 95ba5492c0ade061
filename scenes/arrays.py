"""Arrays by name, with their shapes as types. What the values mean is said where they are used."""

import cv2
import numpy as np
from jaxtyping import Float16, Float32, Float64
from numpy.typing import NDArray

# A picture: channels red, green, blue.
Picture = Float32[np.ndarray, "height width 3"]

# A picture with alpha: channels red, green, blue, alpha.
Rgba = Float32[np.ndarray, "height width 4"]

# The same in half precision, as layers are stored.
HalfRgba = Float16[np.ndarray, "height width 4"]

# One number at every pixel: disparity, depth, defocus, alpha.
Plane = Float32[np.ndarray, "height width"]

# Points of an aperture: lens coordinates x and y.
LensPoints = Float64[np.ndarray, "points 2"]


def half(values: NDArray) -> NDArray[np.float16]:
    """Values of any shape in half precision, rounded to the nearest; infinite above 65519.

    OpenCV uses the processor's own conversion, to the same bits as NumPy in a twentieth of its time.
    """
    single_row = np.ascontiguousarray(values, np.float32).reshape(1, -1)
    return np.asarray(cv2.convertFp16(single_row)).view(np.float16).reshape(values.shape)


def single(values: NDArray) -> NDArray[np.float32]:
    """A copy of values of any shape in single precision; of half floats as fast as `half`."""
    if values.dtype != np.float16:
        return values.astype(np.float32)
    row = np.ascontiguousarray(values).view(np.int16).reshape(1, -1)
    return np.asarray(cv2.convertFp16(row), np.float32).reshape(values.shape)


def bounding_box(mask: NDArray[np.bool_], margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns of the smallest rectangle that holds all that is True, of which there is some.

    margin   pixels around it, as far as there are any
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    row, column = (slice(max(i[0] - margin, 0), i[-1] + 1 + margin) for i in (rows, columns))
    return row, column
