"""Options that are paths: which may be URLs of stores, and that the others refuse them."""

from pathlib import Path
from typing import Annotated, Any

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from runtime.storage import Place, Url, is_url, masked, place

# The type of an option that takes a path or a URL.
PlaceOption = Annotated[
    Place,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH|URL",
        instance_from_str=lambda words: place(words[0]),
        is_instance=lambda value: isinstance(value, Path | Url),
        str_from_instance=lambda value: [str(value)],
    ),
]


def local_paths() -> ConstructorRegistry:
    """What makes options of the type `Path` refuse URLs; else s3://bucket would be a folder of that name."""
    registry = ConstructorRegistry()
    registry.primitive_rule(_local_path)
    return registry


def _local_path(wanted: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    if wanted.type is not Path:
        return None

    def made(words: list[str]) -> Path:
        if is_url(words[0]):
            raise ValueError(f"{masked(words[0])} is a URL; this option takes a path on disk")
        found = place(words[0])
        assert isinstance(found, Path)
        return found

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=made,
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda value: [str(value)],
    )
