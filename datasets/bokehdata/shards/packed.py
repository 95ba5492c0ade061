"""A case as a document and a few files: what a sample of an archive holds, whatever the archive is.

    document      plain values: name, scene, lens, gamma, noise, what the picture shows (`document_of`)
    image, truth  the files as they are, so that nothing is lost
    disparity     the file as it is; NPY where a folder has none, as in BLB

Layers, further views and real lenses are not in it.
"""

import hashlib
import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np

from bokehdata.cases import Case, Plate, StackCase, Stored
from bokehdata.format import SCHEMA_VERSION, DatasetError
from bokehdata.images import read_disparity, read_display, read_linear
from bokehdata.origins import Origins, as_pairs, from_pairs
from runtime.documents import is_number, shown
from runtime.files import is_utf8
from scenes.aperture import aperture_from
from scenes.arrays import Picture, Plane
from scenes.color import display_from_linear

PLATES: tuple[Plate, ...] = get_args(Plate)


class Packed(Protocol):
    """Where a file lies in an archive. Small and picklable."""

    @property
    def archive(self) -> Path:
        """The file of the archive."""
        ...

    @property
    def suffix(self) -> str:
        """Of the file, in small letters."""
        ...

    def read(self) -> bytes:
        """Its bytes; DatasetError names the archive."""
        ...


def document_of(case: Case) -> dict[str, Any]:
    """What a sample says of itself; `case_of` reads exactly these keys."""
    return {
        "schema": SCHEMA_VERSION,
        "name": case.name,
        "scene": case.scene,
        "blur_parameter": case.blur_parameter,
        "focus_disparity": case.focus_disparity,
        "gamma": case.gamma,
        "aperture": case.aperture.describe(),
        "level": case.level,
        "focus_index": case.focus_index,
        "number": case.number,
        "noise_rmse": case.noise_rmse,
        # Pictures of a stack are stored as linear light, and of gamma 2.2 in PNG too.
        "is_linear": _is_linear(case),
        "origins": as_pairs(case.origins),
    }


def files_of(case: Case) -> dict[str, Stored]:
    """The files of a case by their plate; without a disparity where there is none.

    DatasetError for a picture without a file, and for what cannot be read.
    """
    found: dict[str, Stored] = {}
    for plate in PLATES:
        stored = case.stored(plate)
        if stored is not None:
            found[plate] = stored
        elif plate != "disparity":
            raise DatasetError(f"{case.name}: has no file of its {plate}; write it as a dataset first")
        elif (disparity := case.disparity()) is not None:
            found[plate] = Stored(".npy", _npy(disparity))
    return found


@dataclass(frozen=True, kw_only=True)
class PackedCase(Case):
    """A case in an archive.

    packed        its files, the disparity only where there is one
    is_linear     whether the pictures are those of a stack
    shows         as `origins`
    """

    packed: Mapping[Plate, Packed]
    is_linear: bool
    shows: Origins

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def origins(self) -> Origins:
        return self.shows

    def image(self) -> Picture:
        return self._picture("image")

    def truth(self) -> Picture:
        return self._picture("truth")

    def disparity(self) -> Plane | None:
        if "disparity" not in self.packed:
            return None
        with unpacked(self.packed["disparity"]) as path:
            return read_disparity(path)

    def stored(self, plate: Plate) -> Stored | None:
        packed = self.packed.get(plate)
        return None if packed is None else Stored(packed.suffix, packed.read())

    def files(self) -> list[Path]:
        return list(dict.fromkeys(packed.archive for packed in self.packed.values()))

    def _file_digests(self) -> Iterator[bytes]:
        for plate in PLATES:
            if plate in self.packed:
                yield hashlib.sha256(self.packed[plate].read()).digest()

    def _picture(self, plate: Plate) -> Picture:
        with unpacked(self.packed[plate]) as path:
            return display_from_linear(read_linear(path)) if self.is_linear else read_display(path)


def case_of(where: object, text: str | bytes, packed: Mapping[Plate, Packed]) -> PackedCase:
    """The case of a document that `document_of` made, as JSON; DatasetError says where, and what is wrong with it."""
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("is not a mapping")
        return _case_of(document, packed)
    # What apertures are made from may be anything.
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise DatasetError(f"{where}: {' '.join(str(error).split())[:300]}; export again") from error


def _case_of(document: Mapping[str, Any], packed: Mapping[Plate, Packed]) -> PackedCase:
    if document.get("schema") != SCHEMA_VERSION:
        raise ValueError(f"schema is {shown(document.get('schema'))}, this version reads {SCHEMA_VERSION}")
    for plate in ("image", "truth"):
        if plate not in packed:
            raise ValueError(f"has no {plate}")
    for key in ("name", "scene"):
        if not (isinstance(document.get(key), str) and document[key] and is_utf8(document[key])):
            raise ValueError(f"{key} is {shown(document.get(key))}; it must be text")
    numbers = {key: _number(document, key) for key in ("blur_parameter", "focus_disparity", "noise_rmse")}
    counts = {key: _count(document, key) for key in ("level", "focus_index", "number")}
    gamma = _number(document, "gamma")
    if not gamma:
        raise ValueError(f"gamma is {shown(document.get('gamma'))}; it must be above 0")
    if not isinstance(aperture := document.get("aperture"), dict):
        raise ValueError(f"aperture is {shown(aperture)}; it must be a mapping with a shape")
    if not isinstance(is_linear := document.get("is_linear"), bool):
        raise ValueError(f"is_linear is {shown(is_linear)}; it must be true or false")
    return PackedCase(
        name=document["name"],
        scene=document["scene"],
        gamma=gamma,
        aperture=aperture_from(aperture),
        packed=packed,
        is_linear=is_linear,
        shows=from_pairs("origins", document.get("origins")),
        label=None,
        **numbers,
        **counts,
    )


@contextmanager
def unpacked(packed: Packed) -> Iterator[Path]:
    """The file by itself, for as long as the block lasts. DatasetErrors in the block name the archive instead."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{packed.suffix}"
        path.write_bytes(packed.read())
        try:
            yield path
        except DatasetError as error:
            raise DatasetError(str(error).replace(str(path), str(packed))) from error


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turns whatever a library raises of a broken archive into a DatasetError of one line.

    kind   that it should be, in words
    """
    try:
        yield
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or _in_a_line(error)})") from error
    except Exception as error:  # broken data makes them raise many types
        raise DatasetError(f"{path}: not {kind} ({_in_a_line(error)})") from error


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _is_linear(case: Case) -> bool:
    return case.is_linear if isinstance(case, PackedCase) else isinstance(case, StackCase)


def _npy(plane: Plane) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, plane)
    return buffer.getvalue()


def _number(document: Mapping[str, Any], key: str) -> float | None:
    value = document.get(key)
    if value is not None and not (is_number(value) and value >= 0.0):
        raise ValueError(f"{key} is {shown(value)}; it must be a number of at least 0, or null")
    return value


def _count(document: Mapping[str, Any], key: str) -> int | None:
    value = document.get(key)
    if value is not None and not (type(value) is int and value >= 0):
        raise ValueError(f"{key} is {shown(value)}; it must be a whole number of at least 0, or null")
    return value
