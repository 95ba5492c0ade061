"""Picture of the studio: a scene of a dataset, focused by a click, and another method at the right of the wipe.

    python raytrace/gen.py --recipe blb-levels --scenes 2
    python docs/studio.py docs/studio.jpg datasets/blb-levels 155,515 identity

155,515 is the pixel to click. It needs playwright and a Chromium on the path.
"""

import io
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

_WIDTH_PX, _HEIGHT_PX = 1360, 720
_REST = "at && shownAt.left?.version === version && (!isWiping() || shownAt.right?.version === version)"


def main(out: str, dataset: str, pixel: str, against: str) -> None:
    command = [sys.executable, "-m", "bokehforge", "studio", dataset]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as studio:
        try:
            assert studio.stdout is not None
            address = studio.stdout.readline().split()[0]
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": _WIDTH_PX, "height": _HEIGHT_PX})
                page.goto(address)
                _wait(page)
                x, y = map(float, pixel.split(","))
                box = page.locator("#picture").bounding_box()
                assert box is not None
                width, height = page.evaluate("[scene.width, scene.height]")
                page.mouse.click(box["x"] + x / width * box["width"], box["y"] + y / height * box["height"])
                page.locator("#against").select_option(against)
                _wait(page)
                picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                browser.close()
            picture.save(Path(out), quality=85, optimize=True)
        finally:
            studio.terminate()


def _wait(page: Page) -> None:
    """Until the pictures are the exact ones."""
    while not page.evaluate(_REST):
        page.wait_for_timeout(100)


if __name__ == "__main__":
    main(*sys.argv[1:])
