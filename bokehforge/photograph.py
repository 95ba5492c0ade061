"""Photographs and films: what a picture file holds beside its pixels, and writing it again."""

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bokehdata.images import read_display, write_exr_rgb, write_png
from bokehdata.kinds.layers import LayersFolder
from runtime.command import OptionError
from runtime.files import replacing
from scenes.arrays import Picture
from scenes.color import byte_levels, display_from_linear, linear_from_display
from scenes.decode import EXIF_ORIENTATION

STILL = (".png", ".jpg", ".jpeg", ".exr")
MOVING = (".gif", ".mp4")

# A film is put together in memory.
_FILM_BYTES_MAX = 2 * 2**30

_PNG_HEADER_END = 33  # the signature, and IHDR, which comes first


@dataclass(frozen=True)
class Photograph:
    """A picture with its profile.

    image   (H, W, 3) float32 display values, upright, in the colour space of the file
    icc     the profile of that space, b"" where the file has none of an RGB space
    exif    what the camera wrote, without the orientation; b"" for nothing
    """

    image: Picture
    icc: bytes = b""
    exif: bytes = b""

    @classmethod
    def of_layers(cls, folder: LayersFolder) -> "Photograph":
        """The photograph of a folder of layers, which keeps its profile; DatasetError if it cannot be read."""
        return cls(display_from_linear(folder.image()), folder.icc())

    @classmethod
    def read(cls, path: Path, *, expand_highlights: float = 0.0) -> "Photograph":
        """A picture file of any kind; DatasetError if it cannot be read."""
        image = read_display(path, expand_highlights=expand_highlights)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(path) as file:
                    icc, exif = file.info.get("icc_profile", b""), file.getexif()
                    exif.pop(EXIF_ORIENTATION, None)
                    # Bytes 16 to 20 of a profile name its space; pixels of others were converted when they were read.
                    return cls(image, icc if icc[16:20] == b"RGB " else b"", exif.tobytes() if len(exif) else b"")
        except Exception:  # a format that Pillow does not read, or broken metadata; the pixels were read
            return cls(image)

    def write(self, path: Path, display: Picture) -> None:
        """Write display values with this photograph's profile and EXIF; an EXR holds linear light without them."""
        with replacing(path) as aside:
            match path.suffix.lower():
                case ".exr":
                    write_exr_rgb(aside, linear_from_display(display))
                case ".png":
                    write_png(aside, display)
                    self._annotate_png(aside)
                case _:
                    levels = Image.fromarray(byte_levels(display))
                    levels.save(aside, quality=95, icc_profile=self.icc or None, exif=self.exif)

    def _annotate_png(self, path: Path) -> None:
        chunks = b""
        if self.icc:
            chunks += _png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(self.icc))
        if self.exif:
            chunks += _png_chunk(b"eXIf", self.exif.removeprefix(b"Exif\0\0"))
        if chunks:
            data = path.read_bytes()
            path.write_bytes(data[:_PNG_HEADER_END] + chunks + data[_PNG_HEADER_END:])


class Film:
    """A film to be written frame by frame, there and back; the file appears when it is finished.

    path        .gif or .mp4; else a folder, in which frames become 0000.png, ... once, as soon as they are there
    photograph  whose profile the frames of a folder get
    """

    def __init__(self, path: Path, photograph: Photograph, frames: int, frames_per_second: float):
        height, width = photograph.image.shape[:2]
        if path.suffix.lower() in MOVING and frames > (most := _FILM_BYTES_MAX // (height * width * 3)):
            raise OptionError(
                f"--sweep is {frames}; a film of pictures of {width} x {height} px has at most {most}, "
                "a folder of frames more"
            )
        self._path, self._photograph, self._frames_per_second = path, photograph, frames_per_second
        self._frames: list[NDArray[np.uint8]] = []
        self._written = 0

    def add(self, display: Picture) -> None:
        """The next frame, (H, W, 3) display values."""
        if self._path.suffix.lower() in MOVING:
            self._frames.append(byte_levels(display))
        else:
            self._path.mkdir(exist_ok=True)
            self._photograph.write(self._path / f"{self._written:04d}.png", display)
        self._written += 1

    def finish(self) -> None:
        """Write the film; OptionError where a codec is missing."""
        if not self._frames:
            return
        frames = self._frames + self._frames[-2:0:-1]
        with replacing(self._path) as aside:
            if self._path.suffix.lower() == ".gif":
                iio.imwrite(aside, frames, duration=1000 / self._frames_per_second, loop=0)
                return
            # The usual pixel format of H.264 halves colour, so that sides must be even.
            height, width = (side // 2 * 2 for side in frames[0].shape[:2])
            even = [frame[:height, :width] for frame in frames]
            try:
                rate = self._frames_per_second
                iio.imwrite(aside, even, fps=rate, codec="libx264", macro_block_size=2, plugin="FFMPEG")
            except ImportError as error:
                raise OptionError(
                    f"--out is {self._path}; MP4 needs the package imageio-ffmpeg, or write a .gif"
                ) from error


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
