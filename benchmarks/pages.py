"""Seconds that a page of a dataset takes to open in Chromium, and the memory of its tab, by scenes.

    python benchmarks/pages.py --files 100,300,500 --folders 300,10000 [--json pages.json]

Scenes are made up: random pictures of as many bytes as those of default scenes have in a page. Those of a folder are
small, since it loads only what is looked at: a hundred scenes, one after the other. A page is open when the first
thumbnail is decoded. Memory is that of the tab's process, resident, and of its JavaScript after collection.
"""

import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from PIL import Image

from bokehdata import view
from bokehdata.pages import filled, png_uri, webp_uri
from bokehdata.preview import disparity_palette
from bokehdata.sheets import Card, Chunk, write_sheets

# Of a default scene in a page: 44 MB of 100 scenes.
_PICTURES, _PICTURE_PX, _SMALL_PX = 10, 72, 8

# Every so many scenes of a folder one is opened.
_OPENED = 100


@dataclass(frozen=True)
class Options:
    """Time how pages of datasets open, in one file and in a folder.

    Example: python benchmarks/pages.py --files 100 --folders 10000
    """

    files: str = "100,300,500"
    """Scenes of pages in one file, separated by commas; \"\" for none."""
    folders: str = "300,10000"
    """Scenes of pages in a folder."""
    json: Path | None = None
    """File for the rows: {page, scenes, megabytes, open_s, tab_mb, heap_mb, heap_later_mb}."""


def main(argv: list[str] | None = None) -> int:
    from playwright.sync_api import sync_playwright

    options = tyro.cli(Options, args=argv)
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None:
        print("error: no chromium on the path; install it", file=sys.stderr)
        return 2
    rows = []
    print("| page | scenes | MB | opens, s | tab, MB | JavaScript, MB | after 100 scenes |")
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        for kind, counts in (("file", options.files), ("folder", options.folders)):
            for scenes in map(int, filter(None, counts.split(","))):
                path, size = _page(Path(folder) / f"{kind}{scenes}", kind, scenes)
                # A browser of its own for each page: memory is not given back at once.
                browser = playwright.chromium.launch(
                    executable_path=executable, args=["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"]
                )
                row = {"page": kind, "scenes": scenes, "megabytes": size / 1e6, **_measured(browser, path, scenes)}
                browser.close()
                rows.append(row)
                later = row["heap_later_mb"]
                print(
                    f"| {kind} | {scenes} | {size / 1e6:.0f} | {row['open_s']:.2f} | {row['tab_mb']:.0f} | "
                    f"{row['heap_mb']:.1f} | {'' if later is None else f'{later:.1f}'} |",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def _page(path: Path, kind: str, scenes: int) -> tuple[Path, int]:
    """A page of made-up scenes: the file to open, and the size of all."""
    template = resources.files("bokehdata").joinpath("view.html").read_text("utf-8")
    head, tail = template.split("<!-- scenes -->\n")
    tail = filled(tail, palette=disparity_palette().tobytes().hex())
    if kind == "folder":
        chunks = (Chunk(None, partial(lambda card: card, card)) for card in _cards(scenes, _SMALL_PX))
        size = write_sheets(path, (head, tail), chunks)
        return path / "index.html", size
    with path.with_suffix(".html").open("w", encoding="utf-8") as page:
        page.write(filled(head, sheets="null", scripts="'unsafe-inline'"))
        for card in _cards(scenes, _PICTURE_PX):
            page.write(view._item(card))
        page.write(tail)
    return path.with_suffix(".html"), path.with_suffix(".html").stat().st_size


def _cards(scenes: int, side_px: int) -> Iterator[Card]:
    """Scenes with pictures of a few kinds, each with a name of its own."""
    rng = np.random.default_rng(0)
    pictures = [
        webp_uri(Image.fromarray(rng.integers(0, 255, (side_px, side_px, 3), np.uint8).repeat(2, 0).repeat(2, 1)))
        for _ in range(_PICTURES)
    ]
    grey = png_uri(Image.fromarray(np.tile(np.arange(64, dtype=np.uint8), (64, 1))))
    entry = {
        "width": 512,
        "height": 512,
        "unit": "normalised",
        "blur": [12.0, 24.0],
        "focus": [0.0, 0.25, 0.5, 0.75, 1.0],
        "gammas": [2.2],
        "start": {"k": 1, "f": 2, "g": 0},
        "image": pictures[0],
        "disparity": {"range": [0.0, 1.0], "levels": grey},
        "layers": [],
        "bokeh": [{"file": f"bokeh_{i}.exr", "noise": 0.001, "picture": pictures[i]} for i in range(_PICTURES)],
        "views": None,
    }
    thumbnail = webp_uri(Image.fromarray(rng.integers(0, 255, (36, 36, 3), np.uint8).repeat(8, 0).repeat(8, 1)))
    for number in range(scenes):
        yield Card(f"{number:06d}", "10 images", thumbnail, {"name": f"{number:06d}", **entry})


def _measured(browser: Any, path: Path, scenes: int) -> dict[str, float | None]:
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    client = tab.context.new_cdp_session(tab)

    def heap_mb() -> float:
        client.send("HeapProfiler.collectGarbage")
        return tab.evaluate("performance.memory.usedJSHeapSize") / 1e6

    begin = time.perf_counter()
    tab.goto(path.as_uri(), wait_until="commit")
    while not tab.evaluate("!!document.querySelector('.scenes img')?.naturalWidth && typeof follow === 'function'"):
        time.sleep(0.01)
    open_s = time.perf_counter() - begin
    tab.wait_for_load_state()
    row: dict[str, float | None] = {"open_s": open_s, "tab_mb": _resident_mb(browser), "heap_mb": heap_mb()}
    row["heap_later_mb"] = None
    if scenes >= _OPENED and path.name == "index.html":
        for number in range(0, scenes, scenes // _OPENED):
            tab.evaluate(f"location.hash = '#scene={number:06d}'")
            while tab.evaluate("scene?.name ?? ''") != f"{number:06d}":
                time.sleep(0.005)
        row["heap_later_mb"] = heap_mb()
    return row


def _resident_mb(browser: Any) -> float:
    """Of the process that has the page: the largest one that renders."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    resident = [0.0]
    for process in processes:
        status = Path(f"/proc/{process['id']}/status")
        if process["type"] == "renderer" and status.is_file():
            found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text())
            resident.append(float(found[1]) / 1000 if found else 0.0)
    return max(resident)


if __name__ == "__main__":
    raise SystemExit(main())
