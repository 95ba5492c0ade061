"""The YAML and JSON documents of a dataset, read and written as plain values."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bokehdata.format import SCHEMA_VERSION, DatasetError


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; DatasetError if the file cannot be read or holds something else."""
    try:
        document = yaml.safe_load(_text(path))
    # ValueError: a date with a month 13.
    except (yaml.YAMLError, ValueError) as error:
        raise DatasetError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
    return _mapping(path, document)


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file; DatasetError if the file cannot be read or holds something else."""
    try:
        document = json.loads(_text(path))
    except ValueError as error:
        raise DatasetError(f"{path}: is not JSON ({error})") from error
    return _mapping(path, document)


def yaml_text(document: Mapping[str, Any]) -> str:
    """YAML with the keys in their order; equal documents give equal text."""
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def json_text(document: Mapping[str, Any]) -> str:
    """JSON with the keys in their order; equal documents give equal text. ValueError for NaN and infinity."""
    return json.dumps(document, indent=4, allow_nan=False) + "\n"


def require_schema(path: Path, document: Mapping[str, Any]) -> None:
    """DatasetError if the document that was read from `path` has a schema that this code does not read."""
    schema = document.get("schema")
    if schema != SCHEMA_VERSION:
        raise DatasetError(
            f"{path}: has schema {schema!r}, this version reads {SCHEMA_VERSION}; use a matching version"
        )


def _mapping(path: Path, document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise DatasetError(f"{path}: is not a mapping")
    return document


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not text ({error})") from error
