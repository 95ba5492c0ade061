"""Depth maps that phones store with their photographs.

    HEIC, HEIF        an auxiliary picture of depth (ISO/IEC 23008-12), as iPhones write it
    JPEG              GDepth: the map as base64 in XMP (Google's Depthmap Metadata)
    JPEG              Dynamic Depth: the map after the photograph, described in XMP (Google and others)
    JPEG              the map as a further picture (CIPA DC-007) with Apple's XMP, as iPhones export it

Maps have sizes of their own and cover the whole photograph. They are turned upright as the photograph is.
"""

import base64
import mmap
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from bokehdata.format import DatasetError
from runtime.files import opened
from runtime.silence import quiet_libraries
from scenes.arrays import Plane
from scenes.decode import MEGAPIXELS_MAX, DecodeError, decode, heif_library, is_heif, opaque, orientation_of, upright

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_HAS_EXTENDED = "{http://ns.adobe.com/xmp/note/}HasExtendedXMP"
_GDEPTH = "{http://ns.google.com/photos/1.0/depthmap/}"
_DEPTH_MAP = "{http://ns.google.com/photos/dd/1.0/depthmap/}"
_ITEMS = ("{http://ns.google.com/photos/dd/1.0/item/}", "{http://ns.google.com/photos/1.0/container/item/}")
_APPLE = "{http://ns.apple.com/pixeldatainfo/1.0/}"

# Of 1 in metres, by the names of both of Google's formats; others have no unit that is known.
_METRES = {"m": 1.0, "meters": 1.0, "mm": 1e-3}

# Depth representation types of HEVC (ITU-T H.265, annex F.14.3.3): what is inverse depth in even steps.
_INVERSE_DEPTHS, _DISPARITIES = 0, 1

_PICTURES_MAX = 64

# What an element of XML says: its attributes, and the texts of the elements in it.
Properties = Mapping[str, str]


@dataclass(frozen=True, eq=False)
class EmbeddedDepth:
    """A map that was found with a photograph.

    disparity   (h, w) float32, larger is nearer, upright; of another size than the photograph
    is_metric   whether it is in 1/m
    kind        "HEIC", "GDepth", "Dynamic Depth" or "Apple"
    """

    disparity: Plane
    is_metric: bool
    kind: str


def embedded_depth(path: Path) -> EmbeddedDepth | None:
    """The depth map of a photograph; None where it has none.

    DatasetError for a file that cannot be read, a map that is broken, and HEIC where no library reads it.
    """
    try:
        found = _found(path)
        if found is not None and not np.isfinite((found.disparity.min(), found.disparity.max())).all():
            raise ValueError("its values are not finite")
        return found
    except DecodeError as error:
        raise DatasetError(f"{path}: its depth map: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
    # Broken data makes parsers raise many types.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise DatasetError(f"{path}: has a depth map that cannot be read ({reason})") from error


def _found(path: Path) -> EmbeddedDepth | None:
    with opened(path) as file, np.errstate(all="ignore"):
        begin = file.read(64)
        if begin.startswith(b"\xff\xd8"):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _of_jpeg(path, data)
        return _of_heif(path) if is_heif(begin) else None


def _of_heif(path: Path) -> EmbeddedDepth | None:
    library = heif_library()
    with quiet_libraries:
        photograph = library.open_heif(path)
        found = photograph[photograph.primary_index].info["depth_images"]
        if not found:
            return None
        width, height = found[0].size
        if width * height > MEGAPIXELS_MAX * 1e6:
            raise ValueError(f"it is {width} x {height} px; at most {MEGAPIXELS_MAX} megapixels are read")
        levels, told = np.asarray(found[0].to_pillow()), found[0].info["metadata"] or {}
    value = _relative(levels)
    kind = told.get("representation_type", _DISPARITIES)
    if kind == _INVERSE_DEPTHS and "z_near" in told and "z_far" in told:
        near, far = _above_zero(told, "z_near"), _above_zero(told, "z_far")
        return EmbeddedDepth(_between(value, 1.0 / far, 1.0 / near), False, "HEIC")
    if kind not in (_INVERSE_DEPTHS, _DISPARITIES):
        raise ValueError(f"its values are of type {kind}, which is not known; give the map by --disparity or --depth")
    low, high = float(told.get("d_min", 0.0)), float(told.get("d_max", 1.0))
    return EmbeddedDepth(_between(value, low, high), False, "HEIC")


def _of_jpeg(path: Path, data: mmap.mmap) -> EmbeddedDepth | None:
    described = _described(data)
    google = {key: value for properties in described for key, value in properties.items() if key.startswith(_GDEPTH)}
    if _GDEPTH + "Data" in google:
        levels = _picture(base64.b64decode(google[_GDEPTH + "Data"]))
        return _of_google(path, google, _GDEPTH, levels, "m", "GDepth")
    for properties in described:
        if _DEPTH_MAP + "DepthURI" in properties:
            levels = _picture(_item(data, described, properties[_DEPTH_MAP + "DepthURI"]))
            return _of_google(path, properties, _DEPTH_MAP, levels, "", "Dynamic Depth")
    for picture in _further_pictures(data):
        for properties in _described(picture):
            if properties.get(_APPLE + "AuxiliaryImageType") in ("disparity", "depth"):
                return _of_apple(path, properties, _picture(picture))
    return None


def _of_google(path: Path, properties: Properties, space: str, levels: NDArray, unit: str, kind: str) -> EmbeddedDepth:
    """Of levels from 0, near, to 1, far: even steps of 1 / depth, or of depth."""
    metres = _METRES.get(properties.get(space + "Units", unit).lower())
    near, far = (_above_zero(properties, space + end) * (metres or 1.0) for end in ("Near", "Far"))
    value, steps = _relative(levels), properties.get(space + "Format", "RangeInverse")
    if steps == "RangeInverse":
        disparity = _between(value, 1.0 / near, 1.0 / far)
    elif steps == "RangeLinear":
        disparity = np.float32(1.0) / _between(value, near, far)
    else:
        raise ValueError(f"its Format is {steps[:40]!r}; RangeInverse and RangeLinear are read")
    return EmbeddedDepth(upright(disparity, orientation_of(path)), metres is not None, kind)


def _of_apple(path: Path, properties: Properties, levels: NDArray) -> EmbeddedDepth:
    is_depth = properties[_APPLE + "AuxiliaryImageType"] == "depth"
    low, high = (_number(properties, _APPLE + f"Float{end}Value") for end in ("Min", "Max"))
    value = _between(_relative(levels), low, high)
    if is_depth and not value.min() > 0.0:
        raise ValueError(f"its depths begin at {value.min():g}; they must be above 0")
    disparity = np.float32(1.0) / value if is_depth else value
    return EmbeddedDepth(upright(disparity, orientation_of(path)), False, "Apple")


def _relative(levels: NDArray) -> Plane:
    """The first channel of a picture, from 0 to 1."""
    plane = levels if levels.ndim == 2 else levels[..., 0]
    return plane.astype(np.float32) / np.float32(opaque(plane))


def _between(value: Plane, at_0: float, at_1: float) -> Plane:
    return (at_0 + (at_1 - at_0) * value).astype(np.float32)


def _number(properties: Mapping[str, Any], key: str) -> float:
    name = key.rpartition("}")[2]
    if key not in properties:
        raise ValueError(f"it has no {name}")
    number = float(properties[key])
    if not np.isfinite(number):
        raise ValueError(f"its {name} is {number}")
    return number


def _above_zero(properties: Mapping[str, Any], key: str) -> float:
    number = _number(properties, key)
    if not number > 0.0:
        raise ValueError(f"its {key.rpartition('}')[2]} is {number:g}; it must be above 0")
    return number


def _picture(encoded: bytes) -> NDArray:
    """A picture in the middle of a file, with the limits of those that are files."""
    with tempfile.NamedTemporaryFile(suffix=".picture") as aside:
        aside.write(encoded)
        aside.flush()
        return decode(Path(aside.name))[0]


# ---------- inside a JPEG

Data = bytes | mmap.mmap


def _segments(data: Data) -> Iterator[tuple[int, int, bytes]]:
    """(marker, where its content begins, content) of what stands before the pixels."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in (0xD9, 0xDA) or size < 2:
            return
        yield marker, at + 4, data[at + 4 : at + 2 + size]
        at += 2 + size


def _described(data: Data) -> list[Properties]:
    """What the XMP of a picture says, element by element; the extended part of it too."""
    packet, extended = b"", {}
    for marker, _, content in _segments(data):
        if marker != 0xE1:
            continue
        if content.startswith(_XMP):
            packet = content[len(_XMP) :]
        elif content.startswith(_EXTENDED_XMP):
            begin = len(_EXTENDED_XMP) + 40
            digest = content[len(_EXTENDED_XMP) : begin - 8].decode("ascii", "replace")
            size, at = struct.unpack(">II", content[begin - 8 : begin])
            if size > len(data) or at + len(content) - begin > size:
                raise ValueError("its extended XMP is longer than the file")
            extended.setdefault(digest, bytearray(size))[at : at + len(content) - begin] = content[begin:]
    described = _elements(packet)
    for properties in list(described):
        if _HAS_EXTENDED in properties:
            described += _elements(bytes(extended.get(properties[_HAS_EXTENDED], b"")))
    return described


def _elements(packet: bytes) -> list[Properties]:
    if not packet.strip():
        return []
    # Entities may expand to gigabytes; XMP has none.
    if b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        raise ValueError("its XMP defines entities")
    return [
        {**{child.tag: (child.text or "").strip() for child in element if not len(child)}, **element.attrib}
        for element in ElementTree.fromstring(packet).iter()
    ]


def _item(data: Data, described: list[Properties], uri: str) -> bytes:
    """What a container has under a name. Its items stand at the end of the file, in the order of its directory."""
    end = len(data)
    for space in _ITEMS:
        for properties in reversed([found for found in described if space + "DataURI" in found]):
            begin = end - int(properties.get(space + "Length", 0)) - int(properties.get(space + "Padding", 0))
            if not 0 <= begin <= end:
                raise ValueError("its container is longer than the file")
            if properties[space + "DataURI"] == uri:
                return data[begin : begin + int(properties.get(space + "Length", 0))]
            end = begin
    raise ValueError(f"its container has no {uri[:80]!r}")


def _further_pictures(data: Data) -> Iterator[bytes]:
    """The pictures of a Multi-Picture file after the first (CIPA DC-007, 5.2)."""
    for marker, begin, content in _segments(data):
        if marker != 0xE2 or not content.startswith(b"MPF\0"):
            continue
        base, tiff = begin + 4, content[4:]
        order = "<" if tiff.startswith(b"II") else ">"

        def numbers(at: int, form: str, tiff: bytes = tiff, order: str = order) -> tuple[int, ...]:
            return struct.unpack_from(order + form, tiff, at)

        (directory,) = numbers(4, "I")
        (count,) = numbers(directory, "H")
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, _, size, at = numbers(entry, "HHII")
            if tag == 0xB002:
                for picture in range(1, min(size // 16, _PICTURES_MAX)):
                    _, length, offset = numbers(at + 16 * picture, "III")
                    yield data[base + offset : base + offset + length]
        return
