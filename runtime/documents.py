"""Documents that users and earlier runs wrote: YAML and JSON as plain values, or one error that names the file."""

import json
import reprlib
import sys
from collections.abc import Callable
from typing import Any, TypeGuard

import yaml

from runtime.files import opened
from runtime.storage import Place

# Larger ones are not ours, and would take long to refuse.
_BYTES_MAX = 256 * 2**20
_VALUES_MAX = 10**7

_PLAIN = (str, int, float, bool, type(None))


class DocumentError(ValueError):
    """A document that cannot be read; the message names the file and what is wrong with it."""


class _Loader(yaml.SafeLoader):
    """Without dates: 2026-01-02 is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Place, loader: type[yaml.SafeLoader] = _Loader) -> dict[str, Any]:
    """The mapping in a YAML file, of text, numbers, booleans, None, lists and mappings; else DocumentError."""
    return _read(path, "YAML", lambda text: yaml.load(text, loader))


def read_json(path: Place) -> dict[str, Any]:
    """The mapping in a JSON file; else DocumentError."""
    return _read(path, "JSON", json.loads)


def read_text(path: Place) -> str:
    """The text of a file; DocumentError where it cannot be read, is larger than 256 MiB, or is not text in UTF-8."""
    try:
        with opened(path) as file:
            data = file.read(_BYTES_MAX + 1)
        if len(data) > _BYTES_MAX:
            raise DocumentError(f"{path}: is larger than {_BYTES_MAX / 2**20:.0f} MiB")
        return data.decode("utf-8")
    except OSError as error:
        raise DocumentError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path}: is not text in UTF-8 ({error.reason} at byte {error.start})") from error


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a finite number that floating point holds; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def shown(value: object) -> str:
    """A value as messages show it: of what is long or deep, the beginning."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    short.maxlevel = 2
    return short.repr(value)


def _read(path: Place, kind: str, parsed: Callable[[str], Any]) -> dict[str, Any]:
    text = read_text(path)
    try:
        document = parsed(text)
        _require_plain(document, {})
    except RecursionError as error:
        raise DocumentError(f"{path}: is not {kind} that can be used (too deep)") from error
    # Parsers raise many types: a key that is a list, a number of 5000 digits, an unknown tag.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise DocumentError(f"{path}: is not {kind} that can be used ({reason[:300]})") from error
    if not isinstance(document, dict):
        raise DocumentError(f"{path}: is not a mapping")
    return document


def _require_plain(value: Any, sizes: dict[int, int]) -> int:
    """How many values there are in a value, itself included; ValueError for what is not plain, or is too many.

    sizes   of the lists and mappings seen so far, by identity, since YAML may use one in many places; 0 while counted
    """
    if isinstance(value, _PLAIN):
        return 1
    if not isinstance(value, list | dict):
        raise ValueError(f"{shown(value)} is neither text nor number")
    if (size := sizes.get(id(value))) is not None:
        if size == 0:
            raise ValueError("a list or mapping that holds itself")
        return size
    sizes[id(value)] = 0
    if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
        other = next(key for key in value if not isinstance(key, str))
        raise ValueError(f"the key {shown(other)} is not text; put it in quotes")
    size = 1 + sum(_require_plain(inner, sizes) for inner in (value.values() if isinstance(value, dict) else value))
    if size > _VALUES_MAX:
        raise ValueError(f"over {_VALUES_MAX} values")
    sizes[id(value)] = size
    return size
