"""What exports share: the file that says what a folder holds, so that the same command goes on and no other does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bokehdata.documents import read_yaml, yaml_text
from bokehdata.format import DatasetError, is_browser_name, writing
from runtime.files import is_unfinished_name, write_whole

# What `bokehforge export` writes beside what it exports.
EXPORT_FILE = "export.yaml"


def settle(folder: Path, header: Mapping[str, Any], *, held: Path | None = None, what: str) -> None:
    """Write `export.yaml` of a folder, or check that it is the one of this run; other keys that it has are left alone.

    held     where nothing may lie that no export made; the folder itself by default. It exists
    what     is exported, in words
    raises   DatasetError for a folder of another export, or of none
    """
    path, held = folder / EXPORT_FILE, held or folder
    if path.is_file():
        found = read_yaml(path)
        for key, value in header.items():
            if found.get(key) != value:
                raise DatasetError(
                    f"{folder}: holds {what} with {key} {found.get(key)!r}, this run has {value!r}; "
                    "choose another --out"
                )
        return
    names = (entry.name for entry in held.iterdir())
    strangers = [name for name in names if not (is_browser_name(name) or is_unfinished_name(name, of=EXPORT_FILE))]
    if strangers:
        name = (held / min(strangers)).relative_to(folder)
        raise DatasetError(f"{folder}: holds {name}, which no export made; choose another --out")
    with writing(path):
        write_whole(path, yaml_text(header))
