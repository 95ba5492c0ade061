"""Decode picture files to arrays and to linear light.

Every mode that Pillow, OpenCV or OpenEXR reads is accepted: 8 and 16 bits, grey, palette, CMYK, 1 bit, floating point
(TIFF, EXR, Radiance HDR, PFM), and HEIC where pi-heif is installed. EXIF orientation is applied. Integer files hold
display values, which become linear light by the reference gamma. Floating-point files hold linear light already. Alpha
is straight in the arrays: colour that a format stores premultiplied (EXR, TIFF with associated alpha) is divided by
alpha.

Sizes are read from headers first. A picture is never in memory more than about twice: decoding takes up to 2 GB, which
a picture of the largest size in RGBA needs.
"""

import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import Imath
import numpy as np
import OpenEXR
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    EXTRASAMPLES,
    IMAGELENGTH,
    IMAGEWIDTH,
    ImageFileDirectory_v2,
    TiffImageFile,
)

from runtime.files import opened
from runtime.silence import Shared, quiet_libraries
from scenes.color import HALF_MAX, linear_from_display
from scenes.matte import straight

SIDE_MIN_PX = 16
MEGAPIXELS_MAX = 200  # of 8 bits a sample; half as many of 16 bits, a quarter in floating point
FILE_BYTES_MAX = 2 * 2**30
EXR_MAGIC = b"\x76\x2f\x31\x01"
EXIF_ORIENTATION = 0x0112
ASSOCIATED_ALPHA = 1  # TIFF 6.0, section 18

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEADER_BYTES = 2**16

_HEVC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"))

# Width and height in the headers that only OpenCV reads: Radiance HDR, PFM, PAM.
_TEXT_HEADERS = (
    re.compile(rb"#\?.*?\n\n-Y\s*(?P<height>\d+)\s*\+X\s*(?P<width>\d+)\s", re.DOTALL),
    re.compile(rb"P[Ff]\s+(?P<width>\d+)\s+(?P<height>\d+)\s"),
    re.compile(rb"P7(?=.*?\sWIDTH\s+(?P<width>\d+)\s).*?\sHEIGHT\s+(?P<height>\d+)\s", re.DOTALL),
)

# Pixels that are converted at a time.
_BAND_PX = 2**20
_EXR_BAND_ROWS = 256  # no compression has larger blocks of rows


class DecodeError(ValueError):
    """A file that cannot be used as a picture. The message gives the reason; the caller adds the file's name."""


class Header(NamedTuple):
    """What a picture file says of its size, before EXIF turns it; `sample_bytes` is 4 for floating point."""

    width: int
    height: int
    sample_bytes: int


def decode(path: Path) -> tuple[NDArray, str]:
    """The first picture in a file, upright, and the sha256 of the file.

    returns   (H, W, 3) RGB or (H, W, 4) RGBA with straight alpha: uint8 or uint16 display values, or float32 linear
              light; and the sha256
    raises    DecodeError for a file that is unreadable or truncated, a FIFO or device, more than 2 GiB, a side below
              16 px, more than 200 megapixels (100 of 16 bits, 50 in floating point), NaN and infinity
    """
    with _reading(path) as file:
        picture = _decode_exr(file) if _begins(file) == EXR_MAGIC else _decode_raster(file)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    # min and max pass on a NaN, and need no memory.
    if picture.dtype == np.float32 and not (np.isfinite(picture.min()) and np.isfinite(picture.max())):
        raise DecodeError("holds NaN or infinity")
    return picture, digest


def header_of(path: Path, *, side_min_px: int = SIDE_MIN_PX) -> Header:
    """The size that a picture file declares; nothing is decoded. DecodeError as of `decode`, for the header."""
    with _reading(path) as file:
        return _header(file, side_min_px)


def fits_png(width: int, height: int, file_bytes: int) -> bool:
    """Whether a PNG of so many bytes can hold a picture: deflate packs at most 1032 to 1, a pixel is at least a bit."""
    return width * height <= 8 * 1032 * file_bytes


def upright_size(path: Path) -> tuple[int, int]:
    """(width, height) of the picture that `decode` would return; DecodeError as of `header_of`."""
    with _reading(path) as file:
        width, height, _ = _header(file)
        with suppress(UnidentifiedImageError), Image.open(file) as image:
            if image.getexif().get(EXIF_ORIENTATION, 1) in (5, 6, 7, 8):
                return height, width
    return width, height


def orientation_of(path: Path) -> int:
    """The EXIF orientation of a picture file, which `upright` undoes; 1 for none. DecodeError as of `header_of`."""
    with _reading(path) as file, suppress(UnidentifiedImageError), Image.open(file) as image:
        return image.getexif().get(EXIF_ORIENTATION, 1)
    return 1


def is_heif(begin: bytes) -> bool:
    """Whether the first bytes of a file, some 64, are those of HEIC or HEIF with pictures in HEVC."""
    size = int.from_bytes(begin[:4], "big")
    brands = {begin[at : at + 4] for at in (8, *range(16, min(size, len(begin)) - 3, 4))}
    return begin[4:8] == b"ftyp" and not _HEVC_BRANDS.isdisjoint(brands)


def heif_library() -> Any:
    """The module pi_heif, which Pillow uses from then on; DecodeError where it is not installed."""
    try:
        import pi_heif
    except ImportError as error:
        raise DecodeError("is HEIC, which needs the package pi-heif: pip install 'bokehforge[phone]'") from error
    pi_heif.register_heif_opener(thumbnails=False, aux_images=False)
    return pi_heif


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


def quiet_decoders() -> Shared:
    """Silence Pillow, OpenCV and OpenEXR, and lift Pillow's size limit, because `decode` has its own.

    `decode` enters it by itself; around many pictures it saves the changes between them.
    """
    return _quiet


@contextmanager
def _quiet_settings() -> Iterator[None]:
    pixels_max, log_level = Image.MAX_IMAGE_PIXELS, cv2.getLogLevel()
    with quiet_libraries, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.MAX_IMAGE_PIXELS = None
        cv2.setLogLevel(0)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = pixels_max
            cv2.setLogLevel(log_level)


_quiet = Shared(_quiet_settings)


@contextmanager
def _reading(path: Path) -> Iterator[BufferedReader]:
    """A picture file to decode; whatever decoders raise becomes a DecodeError of one line."""
    try:
        with opened(path) as file, quiet_decoders():
            size = file.seek(0, io.SEEK_END)
            if size > FILE_BYTES_MAX:
                raise DecodeError(f"has {size / 2**30:.1f} GiB; files of up to {FILE_BYTES_MAX / 2**30:g} GiB are read")
            file.seek(0)
            if is_heif(file.read(64)):
                heif_library()
            file.seek(0)
            yield file
    except DecodeError:
        raise
    except OSError as error:
        raise DecodeError(f"cannot be read ({error.strerror or error})") from error
    except MemoryError as error:
        raise DecodeError("cannot be read (memory is short)") from error
    except Exception as error:  # broken data makes decoders raise many types: SyntaxError, struct.error, cv2.error
        reason = " ".join(str(error).split())
        raise DecodeError(f"cannot be read ({reason[:200]})") from error


def _begins(file: BufferedReader) -> bytes:
    file.seek(0)
    return file.read(4)


def _header(file: BufferedReader, side_min_px: int = SIDE_MIN_PX) -> Header:
    try:
        with Image.open(file) as image:
            bits = _bits_per_sample(image, file)
            header = Header(*image.size, 1 if image.mode == "CMYK" or bits <= 8 else 2 if bits <= 16 else 4)
            is_png = image.format == "PNG"
    except UnidentifiedImageError:
        header, is_png = _exr_header(file) if _begins(file) == EXR_MAGIC else _opencv_header(file), False
    _check_size(header, side_min_px)
    if is_png and not fits_png(header.width, header.height, file.seek(0, os.SEEK_END)):
        raise DecodeError("is truncated")
    return header


def _opencv_header(file: BufferedReader) -> Header:
    """The header of what Pillow does not read: floating-point TIFF in colour, Radiance HDR, PFM."""
    begin = _begins(file)
    if begin in _TIFF_MAGIC:
        file.seek(0)
        directory = ImageFileDirectory_v2(file.read(16 if begin in _TIFF_MAGIC[2:] else 8))
        file.seek(directory.next)
        directory.load(file)
        bits = max(directory.get(BITSPERSAMPLE, (1,)))
        return Header(int(directory[IMAGEWIDTH]), int(directory[IMAGELENGTH]), min(4, max(1, bits // 8)))
    file.seek(0)
    text = file.read(_HEADER_BYTES)
    for pattern in _TEXT_HEADERS:
        if match := pattern.match(text):
            return Header(int(match["width"]), int(match["height"]), 2 if begin.startswith(b"P7") else 4)
    raise DecodeError("is not a picture that Pillow or OpenCV reads, or is truncated")


def _exr_header(file: BufferedReader) -> Header:
    file.seek(0)
    with OpenEXR.File(file, header_only=True) as exr:
        (x0, y0), (x1, y1) = exr.header()["dataWindow"]
    return Header(int(x1) - int(x0) + 1, int(y1) - int(y0) + 1, 4)


def _decode_raster(file: BufferedReader) -> NDArray:
    # Pillow would reduce 16 bits and floating point to 8 bits.
    deep = _decode_opencv(file) if _header(file).sample_bytes > 1 else None
    try:
        picture, orientation, is_premultiplied = _decode_pillow(file, pixels=deep is None)
    except UnidentifiedImageError:
        return _decode_opencv(file) if deep is None else deep
    if deep is not None:
        picture = _divided_by_alpha(deep) if is_premultiplied else deep
    assert picture is not None
    return upright(picture, orientation)


def _decode_pillow(file: BufferedReader, *, pixels: bool) -> tuple[NDArray[np.uint8] | None, int, bool]:
    """(the picture where its pixels are wanted, its EXIF orientation, whether it is a TIFF of associated alpha)."""
    # `close` frees the pixels, which a cycle of references through the EXIF would keep, and closes the file.
    with os.fdopen(os.dup(file.fileno()), "rb") as own, closing(Image.open(own)) as image:
        image.load()  # raises for a truncated file, of which OpenCV may return a part
        # Both libraries turn a TIFF upright themselves, and Pillow then removes its tag.
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        is_premultiplied = isinstance(image, TiffImageFile) and image.tag_v2.get(EXTRASAMPLES) == (ASSOCIATED_ALPHA,)
        return _pillow_pixels(image) if pixels else None, orientation, is_premultiplied


def _pillow_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """RGB or RGBA, by bands of rows: at once, Pillow would hold the picture three times."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    width, height = image.size
    picture = np.empty((height, width, len(mode)), np.uint8)
    for y, rows in _bands(height, max(1, _BAND_PX // width)):
        band = image.crop((0, y, width, y + rows))
        picture[y : y + rows] = np.asarray(band if band.mode == mode else band.convert(mode))
    return picture


def _bands(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """(first row, number of rows) of bands of `rows` rows; the last one may have fewer."""
    return ((y, min(rows, height - y)) for y in range(0, height, rows))


def _bits_per_sample(image: Image.Image, file: BufferedReader) -> int:
    if image.format == "PNG":
        file.seek(24)
        return file.read(1)[0]  # bit depth in the header chunk, which comes first
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(BITSPERSAMPLE, (1,)))
    if image.format == "PPM" and image.mode == "F":
        return 32  # PFM in grey
    return 16 if image.mode.startswith("I") else 8  # PGM


def _decode_opencv(file: BufferedReader) -> NDArray:
    data = np.asarray(np.memmap(file, np.uint8, mode="r"))
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise DecodeError("is not a picture that Pillow or OpenCV reads, or is truncated")
    if picture.dtype == np.float64:
        picture = picture.astype(np.float32)
    if picture.dtype not in (np.uint8, np.uint16, np.float32):
        raise DecodeError(f"has samples of type {picture.dtype}; save it with 8 or 16 bits, or floating point")
    if picture.ndim == 2:
        return np.repeat(picture[..., None], 3, axis=2)
    for y, rows in _bands(len(picture), max(1, _BAND_PX // picture.shape[1])):
        picture[y : y + rows, :, :3] = picture[y : y + rows, :, 2::-1].copy()
    return picture


def _decode_exr(file: BufferedReader) -> NDArray[np.float32]:
    header = _exr_header(file)
    _check_size(header)
    file.seek(0)
    exr = OpenEXR.InputFile(file)
    found = exr.header()["channels"]
    names = next((names for names in ("RGBA", "RGB", "Y") if all(name in found for name in names)), None)
    if names is None or any((c.xSampling, c.ySampling) != (1, 1) for c in map(found.get, names)):
        raise DecodeError(f"has the channels {', '.join(found)}; only RGB, RGBA and Y are read")
    picture = np.empty((header.height, header.width, len(names)), np.float32)
    first, as_float = exr.header()["dataWindow"].min.y, Imath.PixelType(Imath.PixelType.FLOAT)
    for y, rows in _bands(header.height, _EXR_BAND_ROWS):
        for i, values in enumerate(exr.channels(names, as_float, first + y, first + y + rows - 1)):
            picture[y : y + rows, :, i] = np.frombuffer(values, np.float32).reshape(rows, header.width)
    if names == "RGBA":
        return _divided_by_alpha(picture)
    return np.repeat(picture, 3, axis=2) if names == "Y" else picture


def _check_size(header: Header, side_min_px: int = SIDE_MIN_PX) -> None:
    width, height, sample_bytes = header
    if min(width, height) < side_min_px:
        raise DecodeError(f"is {width} x {height} px; each side needs at least {side_min_px}")
    if width * height > MEGAPIXELS_MAX / sample_bytes * 1e6:
        samples = {1: "", 2: " of 16 bits"}.get(sample_bytes, " in floating point")
        raise DecodeError(
            f"is {width} x {height} px; at most {MEGAPIXELS_MAX / sample_bytes:g} megapixels{samples} are read"
        )


def _divided_by_alpha(picture: NDArray) -> NDArray:
    """The premultiplied picture, made one of straight alpha in the same dtype."""
    white = np.float32(opaque(picture))
    for y, rows in _bands(len(picture), max(1, _BAND_PX // picture.shape[1])):
        rgba = straight(picture[y : y + rows] / white)
        if picture.dtype != np.float32:
            rgba = np.rint(rgba.clip(0.0, 1.0) * white)
        picture[y : y + rows] = rgba
    return picture


def upright(picture: NDArray, orientation: int) -> NDArray:
    """Undo an EXIF orientation, of (H, W) or (H, W, C).

    2 to 4 are mirrored or turned by 180 degrees; 5 to 8 have rows and columns swapped.
    """
    if orientation in (5, 6, 7, 8):
        picture = picture.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    return picture
