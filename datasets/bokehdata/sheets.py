"""A page of many scenes as a folder, from which the browser loads what is looked at. It needs no server.

    OUT/index.html              the page, with the first and the last name of every sheet
    OUT/scenes/3/sheet.js       a sheet of the grid: names and thumbnails
    OUT/scenes/3/17.js          a scene of that sheet, with its pictures

A page of files may load scripts and no data, so each file is a call of `received` in `view.html`. The first line of a
scene is a comment with its digest, by which the next run knows what it can keep, and with its card.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from bokehdata.format import DatasetError, is_browser_name, writing
from bokehdata.pages import filled, json_for_script
from runtime.files import is_unfinished_name, write_whole

INDEX_NAME = "index.html"

# Scenes of a sheet: the grid is loaded and laid out in one piece.
SHEET_SCENES = 200

_SCENES = "scenes"

# With the scripts of its folder, by the name that browsers have for it: on a disk, or behind a server.
_SCRIPTS = "'unsafe-inline' 'self' file:"


class Card(NamedTuple):
    """A scene in the grid.

    content     what is in it, in words
    thumbnail   the address of a picture
    entry       what the page knows of the scene once it is open
    """

    name: str
    content: str
    thumbnail: str
    entry: dict[str, Any]


class Chunk(NamedTuple):
    """A scene to write.

    digest   of all that its card is made of; None where it is not known
    card     makes the card
    """

    digest: str | None
    card: Callable[[], Card]


def write_sheets(
    folder: Path, page: tuple[str, str], chunks: Iterable[Chunk], *, on_scene: Callable[[], None] = lambda: None
) -> int:
    """Write the page; returns the size of its files in bytes.

    page       what stands before the scenes and after them
    chunks     one at least
    on_scene   called after each scene
    raises     DatasetError for a folder of something else, and where it cannot be written

    The page itself is written last. Scenes with an equal digest are kept as they are.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _require_ours(folder)
        # It is of what the scenes were.
        (folder / INDEX_NAME).unlink(missing_ok=True)
    size, ends, sheet = 0, [], []
    for number, chunk in enumerate(chunks):
        place, position = divmod(number, SHEET_SCENES)
        file = f"{_SCENES}/{place}/{position}.js"
        told, written = _write_scene(folder / file, file, chunk)
        size += written
        sheet.append({**told, "file": file})
        on_scene()
        if len(sheet) == SHEET_SCENES:
            size += _write_sheet(folder, place, sheet)
            ends.append((sheet[0]["name"], sheet[-1]["name"]))
            sheet = []
    if sheet:
        size += _write_sheet(folder, len(ends), sheet)
        ends.append((sheet[0]["name"], sheet[-1]["name"]))
    head, tail = page
    text = filled(head, sheets=json.dumps(ends), scripts=_SCRIPTS) + tail
    _write(folder / INDEX_NAME, text)
    return size + len(text.encode())


def _write_scene(path: Path, file: str, chunk: Chunk) -> tuple[dict[str, str], int]:
    """What the sheet tells of a scene, and the size of its file."""
    if chunk.digest is not None and (told := _told(path, chunk.digest)):
        return told, path.stat().st_size
    card = chunk.card()
    told = {"name": card.name, "content": card.content, "thumbnail": card.thumbnail}
    first = {"digest": chunk.digest, **told}
    text = f"// {json_for_script(first)}\n{_call(file, card.entry)}"
    _write(path, text)
    return told, len(text.encode())


def _told(path: Path, digest: str) -> dict[str, str] | None:
    """What the sheet tells of a scene that is there already; None where it is not, or is of something else."""
    try:
        with path.open(encoding="utf-8") as file:
            told = json.loads(file.readline().removeprefix("// "))
        if told.pop("digest") != digest:
            return None
        return {key: str(told[key]) for key in ("name", "content", "thumbnail")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _write_sheet(folder: Path, place: int, sheet: list[dict[str, str]]) -> int:
    file = f"{_SCENES}/{place}/sheet.js"
    text = _call(file, sheet)
    _write(folder / file, text)
    return len(text.encode())


def _call(file: str, value: Any) -> str:
    # Line breaks in names are escaped by JSON; two of Unicode's end a line of old JavaScript alone.
    return f"received({json.dumps(file)}, {json_for_script(value)});\n"


def _write(path: Path, text: str) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)


def _require_ours(folder: Path) -> None:
    for entry in folder.iterdir():
        is_ours = entry.name in (INDEX_NAME, _SCENES) or is_unfinished_name(entry.name, of=INDEX_NAME)
        if not is_ours and not is_browser_name(entry.name):
            raise DatasetError(f"{folder}: holds {entry.name}, which is no part of a page; choose another --out")
