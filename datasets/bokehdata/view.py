"""An HTML page that shows a dataset: a grid of scenes, and each scene's pictures under sliders.

The page needs no server and no network: pictures are WebP inside it, the program is in `view.html`. A scene's pictures
lie in a JSON block that the browser parses only when the scene is opened, so that a page of 60 MB opens at once. Of
more scenes than `PAGE_SCENES` it is a folder, from which the browser loads what is looked at (`bokehdata.sheets`).
"""

import hashlib
import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlencode

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bokehdata.folder import SceneFolder
from bokehdata.format import BokehSetting, DatasetError, bokeh_file, bokeh_settings, writing
from bokehdata.index import read_index
from bokehdata.kinds import open_scene
from bokehdata.kinds.billboards import BillboardFolder
from bokehdata.kinds.imported import is_known
from bokehdata.kinds.light_field import LightFieldFolder, view_file
from bokehdata.pages import PAGE_BYTES_MAX, filled, json_for_script, png_uri, webp_uri
from bokehdata.preview import disparity_levels, disparity_palette, display_tile, evenly, fitted_size, layer_tile
from bokehdata.reader import Dataset
from bokehdata.sheets import INDEX_NAME, Card, Chunk, write_sheets
from bokehdata.stored import StoredScene
from runtime.command import counted
from runtime.files import replacing
from runtime.storage import Place
from scenes.color import REFERENCE_GAMMA
from scenes.layered import LayeredScene
from scenes.stack import Stack

# At this side a default scene (512 px, ten traced images) takes about 0.4 MB.
DEFAULT_SIDE_PX = 512
DEFAULT_SCENES = 100

# Scenes in one file; a page of more is a folder.
PAGE_SCENES = 300

# Changes with what a card has, so that no old one is used again.
_CARDS = 1

_THUMBNAIL_PX = 288
_LAYER_PX = 208
_LEVELS_PX = 320

# The page shows at most so many rows and columns of a light field.
_VIEWS_SIDE = 9


@dataclass(frozen=True)
class Page:
    """A page as written: the file to open, the size of all, how many scenes it shows and how many it does not."""

    path: Path
    bytes: int
    scenes_shown: int
    scenes_left_out: int


def write_page(
    dataset_root: Place | str,
    out_html: Path | str,
    *,
    scenes: int = DEFAULT_SCENES,
    side_px: int = DEFAULT_SIDE_PX,
    on_scene: Callable[[], None] = lambda: None,
) -> Page:
    """Write the page of a dataset: ours, or folders in the layout of BLB.

    scenes     show at most this many, the first ones. Up to `PAGE_SCENES` they are in one file, fewer where it would
               pass 250 MB; more are in a folder, NAME.view for `out_html` NAME.html
    side_px    longest side of the pictures in the page, never enlarged
    on_scene   called after each scene

    The page appears under its name when it is complete. What a stopped run has written of a folder is used by the next.
    DatasetError for a folder without finished scenes, a file that cannot be read or written, and counts below 1.
    """
    if scenes < 1 or side_px < 1:
        raise DatasetError(f"a page of {scenes} scenes with pictures of {side_px} px; both must be at least 1")
    dataset = Dataset(dataset_root)
    if not len(dataset):
        raise DatasetError(f"{dataset.root}: holds no finished scene; run the generator again to finish some")

    out_html, shown = Path(out_html), min(scenes, len(dataset))
    if shown > PAGE_SCENES:
        folder = out_html.with_suffix(".view") if out_html.suffix == ".html" else out_html
        head, tail = _template(dataset, side_px)
        page = head, filled(tail, shown=_shown(shown, len(dataset), "by --scenes"))
        size = write_sheets(folder, page, _chunks(dataset, shown, side_px), on_scene=on_scene)
        return Page(folder / INDEX_NAME, size, shown, len(dataset) - shown)
    with writing(out_html), replacing(out_html) as aside, aside.open("wb") as page:
        shown = _write(page, dataset, scenes, side_px, on_scene)
    return Page(out_html, out_html.stat().st_size, shown, len(dataset) - shown)


def _template(dataset: Dataset, side_px: int) -> tuple[str, str]:
    """What stands before the scenes and after them."""
    template = resources.files("bokehdata").joinpath("view.html").read_text("utf-8")
    head, tail = template.split("<!-- scenes -->\n")
    made = "traced" if isinstance(dataset[0], BillboardFolder) else "rendered"
    tail = filled(tail, side_px=str(side_px), palette=disparity_palette().tobytes().hex(), made=made)
    title = dataset.root.resolve().name
    return filled(head, title=title, scenes=counted(len(dataset), "scene"), made=made), tail


def _write(page: BinaryIO, dataset: Dataset, scenes: int, side_px: int, on_scene: Callable[[], None]) -> int:
    """Streams the page scene by scene; returns how many scenes it holds."""
    head, tail = _template(dataset, side_px)
    page.write(filled(head, sheets="null", scripts="'unsafe-inline'").encode())
    shown = 0
    for folder in dataset[:scenes]:
        card = _item(_card(folder, side_px)).encode()
        if shown and page.tell() + len(card) + len(tail) > PAGE_BYTES_MAX:
            break
        page.write(card)
        shown += 1
        on_scene()

    page.write(filled(tail, shown=_shown(shown, len(dataset), "to keep the page small")).encode())
    return shown


def _chunks(dataset: Dataset, scenes: int, side_px: int) -> Iterator[Chunk]:
    """The scenes of a page in many files. They are opened one by one and not kept."""
    entries = read_index(dataset.root)[0] if dataset.is_indexed and isinstance(dataset.root, Path) else {}
    for path in dataset.paths[:scenes]:
        entry = path.entry if isinstance(path, StoredScene) else entries.get(path.name)
        line = entry and entry.to_line()
        # Without checksums nobody knows whether what is there is of these files.
        digest = line and hashlib.sha256(f"{_CARDS} {side_px} {line}".encode()).hexdigest()
        yield Chunk(digest, partial(_card_at, path, side_px))


def _card_at(path: Path | StoredScene, side_px: int) -> Card:
    return _card(open_scene(path), side_px)


def _card(folder: SceneFolder, side_px: int) -> Card:
    """A scene in the grid, with all that the page needs to open it."""
    image = folder.image()
    entry = _entry(folder, image, side_px)
    thumbnail = _webp(display_tile(image, _reduced_size(image, _THUMBNAIL_PX)))
    content = counted(len(entry["layers"]), "layer") if entry["layers"] else counted(len(entry["bokeh"]), "image")
    return Card(folder.name, content, thumbnail, entry)


def _item(card: Card) -> str:
    """A card in the page itself."""
    name = html.escape(card.name)
    return (
        f'<li><a href="#{urlencode({"scene": card.name})}" data-scene="{name}">'
        f'<img src="{card.thumbnail}" alt="" loading="lazy">'
        f'<span class="line"><span>{name}</span><span class="faint">{card.content}</span></span></a>\n'
        f'<script type="application/json">{json_for_script(card.entry)}</script></li>\n'
    )


def _entry(folder: SceneFolder, image: NDArray, side_px: int) -> dict[str, Any]:
    """What the page knows of a scene; `view.html` reads exactly these keys."""
    stack = folder.stack()
    if not (folder.has_disparity and is_known(stack)):
        raise DatasetError(
            f"{folder.path}: its lens or its disparity is not known; the page shows scenes that have both"
        )
    disparity = folder.disparity()
    size = _reduced_size(image, side_px)
    return {
        "name": folder.name,
        "width": image.shape[1],
        "height": image.shape[0],
        "unit": folder.info.get("disparity_unit", "1/m"),
        "blur": stack.blur_parameters,
        "focus": stack.focus_disparities,
        "gammas": stack.gammas,
        "start": _start(stack, disparity),
        "image": _webp(display_tile(image, size)),
        "disparity": _disparity(disparity),
        "layers": _layers(folder.layers()),
        "bokeh": [_bokeh(folder, setting, size) for setting in bokeh_settings(stack)],
        "views": _views(folder, size) if isinstance(folder, LightFieldFolder) else None,
    }


def _start(stack: Stack, disparity: NDArray) -> dict[str, int]:
    """The setting a scene opens with: the strongest blur, focused like a camera on the middle of the picture."""
    middle = disparity[disparity.shape[0] // 2, disparity.shape[1] // 2]
    return {
        "k": int(np.argmax(stack.blur_parameters)),
        "f": int(np.argmin(np.abs(np.array(stack.focus_disparities) - middle))),
        "g": int(np.argmin(np.abs(np.array(stack.gammas) - REFERENCE_GAMMA))),
    }


def _bokeh(folder: SceneFolder, setting: BokehSetting, size: tuple[int, int]) -> dict[str, Any]:
    file = bokeh_file(setting, folder.image_format)
    return {
        "file": file,
        "noise": folder.info.get("noise_rmse", {}).get(file),
        "picture": _webp(display_tile(folder.bokeh(*setting), size)),
    }


def _views(folder: LightFieldFolder, size: tuple[int, int]) -> dict[str, Any]:
    """The views from an even part of the lens points, row by row."""
    chosen, noise_rmse = evenly(folder.grid.side, _VIEWS_SIDE), folder.noise_rmse
    return {
        "positions": [folder.grid.positions[i] for i in chosen],
        "lens_radius_m": folder.grid.lens_radius_m,
        "shown": [
            {
                "file": view_file(row, column),
                "noise": noise_rmse[row, column],
                "picture": _webp(display_tile(folder.framed_view(row, column), size)),
            }
            for row in chosen
            for column in chosen
        ],
    }


def _disparity(disparity: NDArray) -> dict[str, Any]:
    """Disparities as lossless grey levels, of texels as they are: a mean of two depths would be a third one."""
    low, high = float(disparity.min()), float(disparity.max())
    size = _reduced_size(disparity, _LEVELS_PX)
    levels = cv2.resize(disparity_levels(disparity, low, high), size, interpolation=cv2.INTER_NEAREST)
    return {"range": [low, high], "levels": png_uri(Image.fromarray(levels))}


def _layers(scene: LayeredScene | None) -> list[dict[str, Any]]:
    if scene is None:
        return []
    layers = []
    for i in range(len(scene.layers)):
        rgba, disparity = scene.frame_rgba(i), scene.frame_disparity(i)
        tile = layer_tile(rgba, _reduced_size(rgba, _LAYER_PX))
        layers.append({"disparity": [float(disparity.min()), float(disparity.max())], "picture": _webp(tile)})
    return layers


def _reduced_size(image: NDArray, side_px: int) -> tuple[int, int]:
    height, width = image.shape[:2]
    return fitted_size(width, height, min(side_px, width), min(side_px, height))


def _webp(picture: NDArray[np.uint8]) -> str:
    return webp_uri(Image.fromarray(picture))


def _shown(shown: int, total: int, why: str) -> str:
    if shown == total:
        return f"All {total} scenes of the dataset." if total > 1 else "The only scene of the dataset."
    left_out = total - shown
    were = "was" if left_out == 1 else "were"
    return f"The first {shown} of {total} scenes; {left_out} {were} left out {why}."
