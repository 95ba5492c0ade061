"""The YAML and JSON documents of a dataset, read and written as plain values."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from bokehdata.format import SCHEMA_VERSION, DatasetError
from runtime import documents
from runtime.storage import Place


def read_yaml(path: Place) -> dict[str, Any]:
    """The mapping in a YAML file; DatasetError if the file cannot be read or holds something else."""
    return _read(documents.read_yaml, path)


def read_json(path: Place) -> dict[str, Any]:
    """The mapping in a JSON file; DatasetError if the file cannot be read or holds something else."""
    return _read(documents.read_json, path)


def yaml_text(document: Mapping[str, Any]) -> str:
    """YAML with the keys in their order; equal documents give equal text."""
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def json_text(document: Mapping[str, Any]) -> str:
    """JSON with the keys in their order; equal documents give equal text. ValueError for NaN and infinity."""
    return json.dumps(document, indent=4, allow_nan=False) + "\n"


def require_schema(path: Place, document: Mapping[str, Any]) -> None:
    """DatasetError if the document that was read from `path` has a schema that this code does not read."""
    schema = document.get("schema")
    if schema != SCHEMA_VERSION:
        raise DatasetError(
            f"{path}: has schema {documents.shown(schema)}, this version reads {SCHEMA_VERSION}; use a matching version"
        )


def _read(read: Callable[[Place], dict[str, Any]], path: Place) -> dict[str, Any]:
    try:
        return read(path)
    except documents.DocumentError as error:
        raise DatasetError(str(error)) from error
