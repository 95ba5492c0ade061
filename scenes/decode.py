"""Decode picture files to arrays and to linear light.

Every mode that Pillow, OpenCV or OpenEXR reads is accepted: 8 and 16 bits, grey, palette, CMYK, 1 bit, floating point
(TIFF, EXR, Radiance HDR, PFM). EXIF orientation is applied. Integer files hold display values, which become linear
light by the reference gamma. Floating-point files hold linear light already. Alpha is straight in the arrays: colour
that a format stores premultiplied (EXR, TIFF with associated alpha) is divided by alpha.
"""

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, EXTRASAMPLES, TiffImageFile

from scenes.color import HALF_MAX, linear_from_display
from scenes.matte import straight

SIDE_MIN_PX = 16
MEGAPIXELS_MAX = 200
EXR_MAGIC = b"\x76\x2f\x31\x01"
EXIF_ORIENTATION = 0x0112
ASSOCIATED_ALPHA = 1  # TIFF 6.0, section 18


class DecodeError(ValueError):
    """A file that cannot be used as a picture. The message gives the reason; the caller adds the file's name."""


def decode(path: Path) -> tuple[NDArray, str]:
    """The first picture in a file, upright, and the sha256 of the file.

    returns   (H, W, 3) RGB or (H, W, 4) RGBA with straight alpha: uint8 or uint16 display values, or float32 linear
              light; and the sha256
    raises    DecodeError for a file that is unreadable or truncated, a side below 16 px, more than 200 megapixels,
              NaN and infinity
    """
    try:
        data = path.read_bytes()
        picture = _decode_exr(path) if data.startswith(EXR_MAGIC) else _decode_raster(data)
    except DecodeError:
        raise
    except Exception as error:  # broken data makes decoders raise many types: OSError, SyntaxError, struct.error
        raise DecodeError(f"cannot be read ({error})") from error
    if not np.isfinite(picture).all():
        raise DecodeError("holds NaN or infinity")
    return picture, hashlib.sha256(data).hexdigest()


def linear_light(picture: NDArray, expand_highlights: float = 0.0) -> NDArray[np.float32]:
    """Float32 linear light in [0, 65504] of a decoded picture. Alpha, if there is one, lies in [0, 1].

    expand_highlights   as of `expanded`, for an integer picture, before it becomes linear light
    """
    values = picture.astype(np.float32)
    if picture.dtype != np.float32:
        values /= opaque(picture)
        display = values[..., :3]
        if expand_highlights:
            display = expanded(display, expand_highlights)
        values[..., :3] = linear_from_display(display)
    np.clip(values[..., :3], 0.0, HALF_MAX, out=values[..., :3])
    np.clip(values[..., 3:], 0.0, 1.0, out=values[..., 3:])
    return values


def expanded(display: NDArray[np.float32], expand_highlights: float) -> NDArray[np.float32]:
    """Display values with those near white raised: I becomes I (1 + e clip(tanh(10 (I - 220/255)), 0, 1)).

    display             of any shape, in [0, 1]
    expand_highlights   e >= 0; BokehMe's highlight enhancement has e = 0.4
    """
    return display * (1.0 + expand_highlights * np.clip(np.tanh(10.0 * (display - 220.0 / 255.0)), 0.0, 1.0))


def opaque(picture: NDArray) -> int:
    """The value that means alpha 1, and white, in a decoded picture."""
    return 1 if picture.dtype == np.float32 else np.iinfo(picture.dtype).max


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Silence the warnings of Pillow and OpenCV, and lift Pillow's size limit, because `decode` has its own.

    These settings are process-wide: enter from one thread at a time, and start threads inside.
    """
    pixels_max, log_level = Image.MAX_IMAGE_PIXELS, cv2.getLogLevel()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.MAX_IMAGE_PIXELS = None
        cv2.setLogLevel(0)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = pixels_max
            cv2.setLogLevel(log_level)


def _decode_raster(data: bytes) -> NDArray:
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        return _decode_opencv(data)  # floating-point TIFF in colour, Radiance HDR, PFM
    with image:
        _check_size(*image.size)
        image.load()  # raises for a truncated file, of which OpenCV may return a part
        if image.mode != "CMYK" and _bits_per_sample(image, data) > 8:
            picture = _decode_opencv(data)  # Pillow would reduce it to 8 bits
            if isinstance(image, TiffImageFile) and image.tag_v2.get(EXTRASAMPLES) == (ASSOCIATED_ALPHA,):
                picture = _divided_by_alpha(picture)
        else:
            mode = "RGBA" if image.has_transparency_data else "RGB"
            picture = np.asarray(image if image.mode == mode else image.convert(mode))
        # Both libraries turn a TIFF upright themselves, and Pillow then removes its tag.
        return _upright(picture, image.getexif().get(EXIF_ORIENTATION, 1))


def _bits_per_sample(image: Image.Image, data: bytes) -> int:
    if image.format == "PNG":
        return data[24]  # bit depth in the header chunk, which comes first
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(BITSPERSAMPLE, (1,)))
    return 16 if image.mode.startswith("I") else 8  # PGM


def _decode_opencv(data: bytes) -> NDArray:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if picture is None:
        raise DecodeError("is not a picture that Pillow or OpenCV reads, or is truncated")
    _check_size(picture.shape[1], picture.shape[0])
    if picture.dtype == np.float64:
        picture = picture.astype(np.float32)
    if picture.dtype not in (np.uint8, np.uint16, np.float32):
        raise DecodeError(f"has samples of type {picture.dtype}; save it with 8 or 16 bits, or floating point")
    if picture.ndim == 2:
        return np.repeat(picture[..., None], 3, axis=2)
    return picture[..., [2, 1, 0, 3][: picture.shape[2]]]


def _decode_exr(path: Path) -> NDArray[np.float32]:
    with OpenEXR.File(str(path), header_only=True) as file:
        (x0, y0), (x1, y1) = file.header()["dataWindow"]
    _check_size(int(x1 - x0) + 1, int(y1 - y0) + 1)
    with OpenEXR.File(str(path)) as file:
        channels = {name: channel.pixels.astype(np.float32) for name, channel in file.channels().items()}
    if "RGBA" in channels:
        return _divided_by_alpha(channels["RGBA"])
    if "RGB" in channels:
        return channels["RGB"]
    if "Y" in channels:
        return np.repeat(channels["Y"][..., None], 3, axis=2)
    raise DecodeError(f"has the channels {', '.join(channels)}; only RGB, RGBA and Y are read")


def _check_size(width: int, height: int):
    if min(width, height) < SIDE_MIN_PX:
        raise DecodeError(f"is {width} x {height} px; each side needs at least {SIDE_MIN_PX}")
    if width * height > MEGAPIXELS_MAX * 1e6:
        raise DecodeError(f"is {width} x {height} px; at most {MEGAPIXELS_MAX} megapixels are read")


def _divided_by_alpha(picture: NDArray) -> NDArray:
    """The straight-alpha form of a premultiplied picture, in the same dtype."""
    rgba = straight(picture / np.float32(opaque(picture)))
    return rgba if picture.dtype == np.float32 else np.rint(rgba.clip(0.0, 1.0) * opaque(picture)).astype(picture.dtype)


def _upright(picture: NDArray, orientation: int) -> NDArray:
    """Undo an EXIF orientation. 2 to 4 are mirrored or turned by 180 degrees; 5 to 8 have rows and columns swapped."""
    if orientation in (5, 6, 7, 8):
        picture = picture.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    return picture
