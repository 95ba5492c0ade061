"""WebDataset: tar files of samples, a sample being the files of one stem.

    shard-000000.tar
        00000000.json              the document of the sample (`bokehdata.shards.packed`)
        00000000.image.exr         as they are in the dataset: .exr, .png, .jpg, ...
        00000000.truth.exr
        00000000.disparity.exr     where it is known

Stems are the numbers of the pictures in the dataset. Tar files have no time and no user: equal data give equal bytes.
"""

import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bokehdata.cases import Case, Stored
from bokehdata.documents import json_text
from bokehdata.format import DatasetError
from bokehdata.shards.packed import PLATES, case_of, reading
from bokehdata.shards.writing import Layout
from runtime.documents import shown
from runtime.files import opened

# A document is a page of text.
_DOCUMENT_BYTES_MAX = 2**24


def _file(number: int) -> str:
    return f"shard-{number:06d}.tar"


class TarShard:
    """A tar file of samples on its way to `path`."""

    def __init__(self, path: Path):
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)

    def __enter__(self) -> "TarShard":
        return self

    def __exit__(self, *exception) -> None:
        self._tar.close()

    def add(self, number: int, document: Mapping[str, Any], files: Mapping[str, Stored]) -> None:
        self._add(f"{number:08d}.json", json_text(document).encode())
        for plate, stored in files.items():
            self._add(f"{number:08d}.{plate}{stored.suffix}", stored.data)

    def _add(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))


WEBDATASET = Layout("webdataset", _file, TarShard)


@dataclass(frozen=True)
class TarFile:
    """A file in a tar file, as `bokehdata.shards.packed.Packed`."""

    archive: Path
    name: str
    offset: int
    size: int

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix.lower()

    def read(self) -> bytes:
        try:
            with opened(self.archive) as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise DatasetError(f"{self.archive}: cannot be read ({error.strerror})") from error
        if len(data) < self.size:
            raise DatasetError(f"{self}: is cut off; export again to restore it")
        return data

    def __str__(self) -> str:
        return f"{self.archive}: {self.name}"


def tar_cases(path: Path) -> list[Case]:
    """The samples of a tar file, in their order; DatasetError names what is wrong with one."""
    samples: dict[str, dict[str, TarFile]] = {}
    for file in _members(path):
        stem, _, kind = file.name.partition(".")
        sample = samples.setdefault(stem, {})
        kind = kind.partition(".")[0]
        if kind in sample:
            raise DatasetError(f"{file}: is there twice; export again")
        sample[kind] = file
    return [_case(path, stem, files) for stem, files in samples.items()]


def _members(path: Path) -> Iterator[TarFile]:
    with (
        reading(path, "a whole tar file"),
        opened(path) as stream,
        tarfile.open(fileobj=stream, mode="r:") as tar,
    ):
        size = path.stat().st_size
        for member in tar:
            if member.isreg() and not member.issparse():
                if member.offset_data + member.size > size:
                    raise DatasetError(f"{path}: {shown(member.name)}: is cut off; export again to restore it")
                yield TarFile(path, member.name, member.offset_data, member.size)


def _case(path: Path, stem: str, files: Mapping[str, TarFile]) -> Case:
    where = f"{path}: {shown(stem)}"
    if "json" not in files:
        raise DatasetError(f"{where}: has no .json, which says what it is; only exports of ours are read")
    document_file = files["json"]
    if document_file.size > _DOCUMENT_BYTES_MAX:
        raise DatasetError(f"{document_file}: is larger than {_DOCUMENT_BYTES_MAX // 2**20} MiB")
    return case_of(document_file, document_file.read(), {plate: files[plate] for plate in PLATES if plate in files})
