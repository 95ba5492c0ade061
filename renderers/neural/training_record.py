"""What weights were trained on: a record that travels in their file, the only entry of its metadata.

network         name of the weights
step            of the run
data            datasets: role ("training", "validation"), sha256 of the index, recipe and seed of those of ours;
                or scenes traced on the fly: role, recipe, seed
trained_on      origins of the pictures (`bokehdata.origins.listed`); null where weights that the run began with or
                stood behind do not say theirs
validated_on    origins of the pictures that chose the step
Both include those of the weights that the run began with or stood behind.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bokehdata.origins import Origins, from_list

_METADATA_KEY = "training"


def metadata_of(record: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a safetensors file. One entry: safetensors writes several in any order."""
    return {_METADATA_KEY: json.dumps(record, sort_keys=True)}


def read_record(path: Path) -> dict[str, Any] | None:
    """The record in a file of weights; None for a file without one, such as those of torch."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, path.stat().st_size)))
        record = json.loads(header["__metadata__"][_METADATA_KEY])
    except (OSError, struct.error, ValueError, KeyError, TypeError, RecursionError, MemoryError):
        return None
    return record if isinstance(record, dict) else None


def origins_of(record: Mapping[str, Any] | None) -> tuple[Origins, Origins] | None:
    """All that weights were trained on, and all that they were validated on; None where their record does not say."""
    try:
        return None if record is None else (from_list(record["trained_on"]), from_list(record["validated_on"]))
    except (KeyError, ValueError):
        return None


def seen_by(record: Mapping[str, Any] | None) -> Origins | None:
    """All that weights were trained or validated on; None where their record does not say."""
    origins = origins_of(record)
    return None if origins is None else origins[0] | origins[1]
