"""Parquet as Hugging Face's `datasets` reads it: a row is a picture with its truth, a file is a shard of rows.

    data/train-000000.parquet
    README.md                  the dataset card (`bokehdata.shards.card`)

    image, truth             Image: the file itself where it is PNG, JPEG or WebP; else what a screen shows, 8-bit PNG
    image_file, truth_file   the file itself where `image` is not, such as OpenEXR with its highlights; else null
    disparity                Image: TIFF of 32-bit floating point, to the bit; null where it is not known
    name, ...                the document of the sample (`bokehdata.shards.packed`); aperture and origins are JSON

Equal data and an equal version of pyarrow give equal bytes. A row is a row group and can be read by itself.
"""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from bokehdata.cases import Case, Plate, Stored, known_disparity
from bokehdata.shards.packed import PLATES, Packed, case_of, files_of, reading
from bokehdata.shards.writing import Layout
from runtime.files import opened
from scenes.color import byte_levels

DATA_FOLDER = "data"

# What browsers show; others are shown as PNG beside the file itself.
_SHOWN = (".png", ".jpg", ".jpeg", ".webp")

# The columns by what they hold. All but the first are the keys of a document.
_IMAGES, _FILES = ("image", "truth", "disparity"), ("image_file", "truth_file")
_TEXTS, _JSONS = ("name", "scene"), ("aperture", "origins")
_NUMBERS = ("blur_parameter", "focus_disparity", "gamma", "noise_rmse")
_COUNTS = ("schema", "level", "focus_index", "number")
_FLAG = "is_linear"
_DOCUMENT = (*_TEXTS, *_JSONS, *_NUMBERS, *_COUNTS, _FLAG)


def _file(number: int) -> str:
    return f"{DATA_FOLDER}/train-{number:06d}.parquet"


def _stored(case: Case) -> dict[str, Stored]:
    """The files of a case by column."""
    columns: dict[str, Stored] = {}
    for plate, stored in files_of(case).items():
        if plate == "disparity":
            columns[plate] = Stored(".tif", _encoded(known_disparity(case), "TIFF", compression="tiff_adobe_deflate"))
        elif stored.suffix in _SHOWN:
            columns[plate] = stored
        else:
            shown = case.image() if plate == "image" else case.truth()
            columns[plate] = Stored(".png", _encoded(byte_levels(shown), "PNG", compress_level=1))
            columns[f"{plate}_file"] = stored
    return columns


def _encoded(pixels: NDArray, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **options)
    return buffer.getvalue()


def _schema() -> Any:
    """The columns, with what `datasets` wants to be told of them."""
    import pyarrow as pa

    file = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = dict.fromkeys((*_IMAGES, *_FILES), file) | dict.fromkeys((*_TEXTS, *_JSONS), pa.string())
    columns |= dict.fromkeys(_NUMBERS, pa.float64()) | dict.fromkeys(_COUNTS, pa.int64()) | {_FLAG: pa.bool_()}

    def value(dtype: str) -> dict[str, str]:
        return {"dtype": dtype, "_type": "Value"}

    features: dict[str, Any] = dict.fromkeys(_IMAGES, {"_type": "Image"})
    features |= dict.fromkeys(_FILES, {"bytes": value("binary"), "path": value("string")})
    features |= dict.fromkeys((*_TEXTS, *_JSONS), value("string")) | dict.fromkeys(_NUMBERS, value("float64"))
    features |= dict.fromkeys(_COUNTS, value("int64")) | {_FLAG: value("bool")}
    return pa.schema(list(columns.items()), metadata={"huggingface": json.dumps({"info": {"features": features}})})


class ParquetShard:
    """A Parquet file of samples on its way to `path`."""

    def __init__(self, path: Path):
        import pyarrow.parquet as pq

        self._schema = _schema()
        # Pictures are compressed as they are, and have no smallest and largest value.
        self._writer = pq.ParquetWriter(
            path, self._schema, compression="none", use_dictionary=False, write_statistics=False
        )

    def __enter__(self) -> "ParquetShard":
        return self

    def __exit__(self, *exception) -> None:
        self._writer.close()

    def add(self, number: int, document: Mapping[str, Any], files: Mapping[str, Stored]) -> None:
        import pyarrow as pa

        row = {key: json.dumps(value) if key in _JSONS else value for key, value in document.items()}
        for column, stored in files.items():
            row[column] = {"bytes": stored.data, "path": f"{number:08d}.{column}{stored.suffix}"}
        self._writer.write_table(pa.Table.from_pylist([row], schema=self._schema))


PARQUET = Layout("parquet", _file, ParquetShard, _stored)


@dataclass(frozen=True)
class ParquetFile:
    """A file in a row of a Parquet file, as `bokehdata.shards.packed.Packed`."""

    archive: Path
    row: int
    column: str
    suffix: str

    def read(self) -> bytes:
        with _reading(self.archive) as archive:
            (value,) = archive.read_row_group(self.row, columns=[self.column])[self.column].to_pylist()
            data = value["bytes"]
            if not isinstance(data, bytes):
                raise ValueError(f"{self.column} of row {self.row} has no bytes")
            return data

    def __str__(self) -> str:
        return f"{self.archive}: row {self.row}: {self.column}"


def parquet_cases(path: Path) -> list[Case]:
    """The rows of a Parquet file, in their order; DatasetError names what is wrong with one."""
    names = [f"{file}.path" for file in (*_IMAGES, *_FILES)]
    with _reading(path) as archive:
        groups, rows = archive.metadata.num_row_groups, archive.metadata.num_rows
        if groups != rows:
            raise ValueError(f"{rows} rows in {groups} row groups; only exports of ours are read")
        table = archive.read(columns=[*_DOCUMENT, *names]).to_pylist()
        missing = [column for column in (*_DOCUMENT, *_IMAGES, *_FILES) if table and column not in table[0]]
        if missing:
            raise ValueError(f"has no column {missing[0]}; only exports of ours are read")
        return [_case(path, number, row) for number, row in enumerate(table)]


def _case(path: Path, number: int, row: Mapping[str, Any]) -> Case:
    packed: dict[Plate, Packed] = {}
    for plate in PLATES:
        # The file itself, where another one is shown.
        for column in (f"{plate}_file", plate):
            if row.get(column) is not None:
                suffix = Path(row[column]["path"]).suffix.lower()
                packed[plate] = ParquetFile(path, number, column, suffix)
                break
    document = {key: row[key] for key in _DOCUMENT} | {key: json.loads(row[key]) for key in _JSONS}
    return case_of(f"{path}: row {number}", json.dumps(document), packed)


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """An open Parquet file; errors as of `reading`."""
    import pyarrow.parquet as pq

    with reading(path, "a Parquet file of pictures"), opened(path) as stream, pq.ParquetFile(stream) as archive:
        yield archive
