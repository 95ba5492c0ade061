"""Small pictures of a benchmark for people: what each renderer made, the truth, and where the error is.

    pictures/IMAGE/image.webp, truth.webp, RENDERER.webp, RENDERER.error.webp

No number is computed from them.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bokehdata.preview import fitted_size
from runtime.files import replacing
from scenes.color import byte_levels

ALL_IN_FOCUS, TRUTH = "image", "truth"

# An error map holds 255 sqrt(error / ERROR_MAX): small errors are what one looks for.
ERROR_MAX = 0.25

_QUALITY = 88
_METHOD = 2


def picture_file(folder: Path, image: str, name: str) -> Path:
    """The file of a picture: `name` is a renderer's, ALL_IN_FOCUS or TRUTH."""
    return folder / image / f"{name}.webp"


def error_file(folder: Path, image: str, renderer: str) -> Path:
    return folder / image / f"{renderer}.error.webp"


def write_picture(path: Path, display: NDArray[np.float32], side_px: int) -> None:
    """Display values (H, W, 3), clipped, reduced to at most `side_px` along the longer side."""
    _write(path, byte_levels(_reduced(np.clip(display, 0.0, 1.0), side_px)))


def write_error(path: Path, prediction: NDArray[np.float32], truth: NDArray[np.float32], side_px: int) -> None:
    """Mean absolute difference over the channels, clipped pictures, as 8-bit levels of sqrt(error / ERROR_MAX)."""
    error = np.abs(np.clip(prediction, 0.0, 1.0) - np.clip(truth, 0.0, 1.0)).mean(axis=2)
    _write(path, byte_levels(np.sqrt(np.clip(_reduced(error, side_px) / ERROR_MAX, 0.0, 1.0))))


def _reduced(picture: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    height, width = picture.shape[:2]
    if max(height, width) <= side_px:
        return picture
    size = fitted_size(width, height, side_px, side_px)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def _write(path: Path, levels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        Image.fromarray(levels).save(aside, "WEBP", quality=_QUALITY, method=_METHOD)
