"""Pictures on disk: OpenEXR for linear light and planes of numbers, PNG for display values.

EXR files are scan-line ZIP and carry nothing but their pixels, so equal pixels give equal bytes. Colour is half float,
channels R, G, B (and A). A plane (depth, disparity) is float, three equal channels R, G, B: readers of BLB take
`cv2.imread(path, -1)[..., 0]`, which on a file of one channel silently yields its first *column*.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import OpenEXR
from numpy.typing import NDArray

from bokehdata.format import DatasetError, writing
from runtime.documents import shown
from runtime.files import replacing, write_whole
from runtime.silence import quiet_libraries
from scenes.arrays import Picture, Plane, half, single
from scenes.color import HALF_MAX, display_from_linear, linear_from_display, premultiplied
from scenes.decode import DecodeError, decode, expanded, fits_png, opaque

# By the number that a header has for them (`Imath.PixelType`).
_EXR_TYPES = (np.uint32, np.float16, np.float32)

# What generators write: 16384 x 16384 px and overscan.
_MEGAPIXELS_MAX = 400


def write_exr_rgb(path: Path, linear: NDArray) -> None:
    """(H, W, 3) linear light in [0, 65504], rounded to half; ValueError outside that or where not finite."""
    _write_exr(path, "RGB", _as_half(path, linear))


def write_exr_rgba(path: Path, rgba: NDArray[np.float16]) -> None:
    """(H, W, 4) float16 straight alpha, bit for bit; ValueError for values outside [0, 65504] or not finite."""
    _write_exr(path, "RGBA", _as_half(path, rgba))


def write_exr_plane(path: Path, plane: NDArray[np.float32]) -> None:
    """(H, W) float32 in [0, 65504], bit for bit; ValueError outside that or where not finite."""
    if not (np.isfinite(plane).all() and plane.min() >= 0.0 and plane.max() <= HALF_MAX):
        raise ValueError(_out_of_range(path))
    _write_exr(path, "RGB", np.repeat(plane[..., None], 3, axis=2))


class Part(NamedTuple):
    """A layer of a picture that compositors read.

    name    "rgba" for the picture itself
    rgba    (H, W, 4) straight alpha, linear light
    depth   (H, W) float32 planar depth
    """

    name: str
    rgba: NDArray
    depth: Plane


def write_exr_parts(path: Path, parts: Sequence[Part]) -> None:
    """One file of several parts: NAME with channels R, G, B, A, half, and for each NAME_depth with Z, float.

    The file appears when it is whole. Compositors name their layers after the parts; depth has parts of its own since
    Blender reads at most four channels of one. The depth of "rgba" is "depth", as compositors call it. Colour is
    premultiplied, as OpenEXR has it; in our other files alpha is straight. ValueError as of the others.
    """
    written = []
    for part in parts:
        stored = _as_half(path, premultiplied(part.rgba))
        colour = {channel: np.ascontiguousarray(stored[..., i]) for i, channel in enumerate("RGBA")}
        depth = "depth" if part.name == "rgba" else f"{part.name}_depth"
        for name, planes in ((part.name, colour), (depth, {"Z": np.ascontiguousarray(part.depth, np.float32)})):
            # The library writes the name into the header that it is given.
            header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
            written.append(OpenEXR.Part(header, planes, name))
    try:
        with writing(path), replacing(path) as aside:
            OpenEXR.File(written).write(str(aside))
    except RuntimeError as error:
        raise DatasetError(f"{path}: cannot be written ({error})") from error


def read_exr(path: Path) -> NDArray:
    """(H, W, C) pixels in the type stored: channels R, G, B, A or R, G, B where the file has them, else its first
    channel by name. DatasetError if it cannot be read."""
    _require(path)
    try:
        # Not OpenEXR.File, which prints.
        with quiet_libraries, path.open("rb") as stream:
            with OpenEXR.File(stream, header_only=True) as file:
                (x0, y0), (x1, y1) = file.header()["dataWindow"]
            width, height = int(x1) - int(x0) + 1, int(y1) - int(y0) + 1
            _require_size(path, width, height)
            stream.seek(0)
            exr = OpenEXR.InputFile(stream)
            found = exr.header()["channels"]
            names = next((names for names in ("RGBA", "RGB") if all(name in found for name in names)), None)
            names = names or [min(found)]
            planes = (
                np.frombuffer(values, _EXR_TYPES[found[name].type.v]).reshape(height, width)
                for name, values in zip(names, exr.channels(names), strict=True)
            )
            return np.stack(list(planes), axis=-1)
    except DatasetError:
        raise
    except Exception as error:  # broken data makes it raise many types
        raise DatasetError(f"{path}: not a whole OpenEXR file ({_in_a_line(error)})") from error


def read_exr_rgb(path: Path) -> Picture:
    """(H, W, 3) float32; an alpha is left out. DatasetError if the file cannot be read or has no colour."""
    pixels = read_exr(path)
    if pixels.shape[2] < 3:
        raise DatasetError(f"{path}: has no channels R, G, B")
    picture = pixels[..., :3].astype(np.float32)
    if not (np.isfinite(picture.min()) and np.isfinite(picture.max())):
        raise DatasetError(f"{path}: holds NaN or infinity")
    return picture


def read_exr_plane(path: Path) -> Plane:
    """(H, W) float32, the first channel. DatasetError if the file cannot be read."""
    return read_exr(path)[..., 0].astype(np.float32)


def write_png(path: Path, display: NDArray) -> None:
    """(H, W, 3) display values, clipped to [0, 1], rounded to 16 bits; ValueError where not finite."""
    if not np.isfinite(display).all():
        raise ValueError(_out_of_range(path))
    levels = np.rint(np.clip(display, 0.0, 1.0) * 65535).astype(np.uint16)
    with writing(path):
        path.write_bytes(cv2.imencode(".png", levels[..., ::-1])[1].tobytes())


def write_levels(path: Path, levels: NDArray[np.uint8]) -> None:
    """(H, W, 3) levels of 8 bits, as the suffix says: .png, .jpg or .jpeg."""
    write_whole(path, cv2.imencode(path.suffix.lower(), levels[..., ::-1])[1].tobytes())


def read_png_levels(path: Path) -> NDArray:
    """(H, W, 3) uint8 or uint16, as stored. DatasetError if the file cannot be read."""
    _require(path)
    data = path.read_bytes()
    if data[12:16] == b"IHDR":
        width, height = struct.unpack(">II", data[16:24].ljust(8, b"\0"))
        _require_size(path, width, height)
        if not fits_png(width, height, len(data)):
            raise DatasetError(f"{path}: not a whole PNG file")
    try:
        with quiet_libraries:
            levels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:  # an empty file
        levels = None
    if levels is None:
        raise DatasetError(f"{path}: not a whole PNG file")
    return levels[..., ::-1]


def read_png(path: Path) -> Picture:
    """(H, W, 3) float32 display values in [0, 1] of an 8 or 16 bit file. DatasetError if it cannot be read."""
    levels = read_png_levels(path)
    return levels / np.float32(255 if levels.dtype == np.uint8 else 65535)


def write_linear(path: Path, linear: NDArray) -> None:
    """(H, W, 3) linear light by the file's suffix: half in `.exr`, display values ** (1 / 2.2) in 16 bit in `.png`."""
    if path.suffix == ".png":
        write_png(path, display_from_linear(linear))
    else:
        write_exr_rgb(path, linear)


def read_linear(path: Path) -> Picture:
    """(H, W, 3) float32 linear light of a file that `write_linear` wrote, or of any EXR with colour."""
    return linear_from_display(read_png(path)) if path.suffix == ".png" else read_exr_rgb(path)


def read_display(path: Path, *, expand_highlights: float = 0.0) -> Picture:
    """A picture file of any kind as display values: (H, W, 3) float32.

    Floating-point files hold linear light at gamma 2.2. `expand_highlights`, as of `scenes.decode.expanded`, is for the
    others, which end at white. DatasetError if the file cannot be read.
    """
    picture = _decoded(path)[..., :3]
    if picture.dtype == np.float32:
        return display_from_linear(np.maximum(picture, 0.0))
    display = picture.astype(np.float32) / np.float32(opaque(picture))
    return expanded(display, expand_highlights) if expand_highlights else display


def read_disparity(path: Path) -> Plane:
    """A disparity file: (H, W) float32, EXR and NPY as they are, integers divided by the largest of their type.

    DatasetError if the file cannot be read.
    """
    numbers = read_numbers(path)
    if numbers.dtype != np.float32:
        return numbers.astype(np.float32) / np.float32(opaque(numbers))
    # min and max pass on a NaN.
    if not (np.isfinite(numbers.min()) and np.isfinite(numbers.max())):
        raise DatasetError(f"{path}: holds NaN or infinity; give every pixel a number")
    return numbers


def read_numbers(path: Path) -> NDArray:
    """A map as it is stored, the first channel of a file of several: (H, W) float32, uint8 or uint16.

    NPY files become float32, whatever is in them. DatasetError if the file cannot be read.
    """
    if path.suffix == ".npy":
        return read_npy_plane(path)
    if path.suffix == ".exr":
        return read_exr_plane(path)
    return _decoded(path)[..., 0]


def read_npy_plane(path: Path) -> Plane:
    """(H, W) float32 of an NPY file of any numbers. DatasetError if the file cannot be read."""
    _require(path)
    try:
        # Mapped, so that a header that declares more than there is allocates nothing.
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        if not (isinstance(stored, np.ndarray) and stored.dtype.kind in "biuf"):
            raise ValueError("it holds something else")
        if stored.ndim != 2:
            raise DatasetError(f"{path}: is {stored.shape}; a map is (H, W)")
        _require_size(path, stored.shape[1], stored.shape[0])
        return np.array(stored, np.float32)
    except DatasetError:
        raise
    except Exception as error:  # a header that is cut off, is no Python literal, ...
        raise DatasetError(f"{path}: not a whole NPY file of numbers ({_in_a_line(error)})") from error


def _require_size(path: Path, width: int, height: int) -> None:
    if width * height > _MEGAPIXELS_MAX * 1e6:
        raise DatasetError(f"{path}: is {width} x {height} px; at most {_MEGAPIXELS_MAX} megapixels are read")


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _decoded(path: Path) -> NDArray:
    try:
        return decode(path)[0]
    except DecodeError as error:
        raise DatasetError(f"{path}: {error}") from error


def _as_half(path: Path, values: NDArray) -> NDArray[np.float16]:
    stored = half(values)
    rounded = single(stored)
    # Values that are no numbers fail both comparisons.
    if not (rounded.min() >= 0.0 and rounded.max() <= HALF_MAX):
        raise ValueError(_out_of_range(path))
    return stored


def _out_of_range(path: Path) -> str:
    return f"{path.name}: values must be finite and in [0, {HALF_MAX:.0f}]"


def _write_exr(path: Path, channels: str, pixels: NDArray) -> None:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    try:
        OpenEXR.File(header, {channels: np.ascontiguousarray(pixels)}).write(str(path))
    except RuntimeError as error:
        raise DatasetError(f"{path}: cannot be written ({error})") from error


def _require(path: Path) -> None:
    try:
        if path.is_file():
            return
        what = "is a folder, a FIFO or a device" if path.exists() else "no such file"
    except OSError as error:  # a name that is too long
        raise DatasetError(f"{path.parent}: {shown(path.name)}: {error.strerror}") from error
    raise DatasetError(f"{path}: {what}")
