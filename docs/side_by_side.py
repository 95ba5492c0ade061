"""Picture of a benchmark for the README: every renderer beside the truth, with an enlarged part and its error.

    python docs/side_by_side.py docs/side_by_side.jpg results/blb-levels 000020/bokeh_03_01 440,330,190 scatter bokehme

The benchmark must have kept the picture (--pictures). 440,330,190 is the left edge, the top edge and the side of the
part, in pixels. Dark errors are small.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tiling import joined

from bokehdata.preview import encode_jpeg
from evaluation.pictures import ALL_IN_FOCUS, TRUTH, error_file, picture_file
from evaluation.results import PICTURES_FOLDER

_TILE_PX = 210
_LABEL_PX = 22


def main(out: str, results: str, image: str, part: str, *renderers: str) -> None:
    folder = Path(results) / PICTURES_FOLDER
    left, top, side = map(int, part.split(","))
    box = (left, top, left + side, top + side)
    columns = []
    for name in (ALL_IN_FOCUS, TRUTH, *renderers):
        picture = Image.open(picture_file(folder, image, name)).convert("RGB")
        error = Image.new("RGB", picture.size, "white")
        if name in renderers:
            error = Image.open(error_file(folder, image, name)).convert("RGB")
        label = {ALL_IN_FOCUS: "all in focus"}.get(name, name)
        columns.append(
            joined([_label(label), _tile(picture), _tile(picture.crop(box)), _tile(error.crop(box))], axis=0)
        )
    Path(out).write_bytes(encode_jpeg(joined(columns, axis=1), quality=85))


def _tile(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture.resize((_TILE_PX, _TILE_PX), Image.Resampling.LANCZOS))


def _label(text: str) -> NDArray[np.uint8]:
    strip = Image.new("RGB", (_TILE_PX, _LABEL_PX), "white")
    font = ImageFont.load_default(size=15)
    ImageDraw.Draw(strip).text((_TILE_PX / 2, _LABEL_PX / 2), text, fill="black", font=font, anchor="mm")
    return np.asarray(strip)


if __name__ == "__main__":
    main(*sys.argv[1:])
