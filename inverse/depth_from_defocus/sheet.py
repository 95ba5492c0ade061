"""A picture of what was given and what was found, to look at."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bokehdata.preview import disparity_levels, disparity_palette, display_tile, fitted_size
from inverse.depth_from_defocus.problem import Pair
from scenes.arrays import Picture, Plane
from scenes.color import linear_from_display

_TILE_PX, _GAP, _MARGIN, _CAPTION, _COLUMNS = 300, 8, 16, 26, 4
_PAPER, _INK = (255, 255, 255), (34, 34, 38)

# Errors of a tenth of the range, and display errors of a tenth, are the lightest colour.
_ERROR_MAX = 0.1


def sheet(pair: Pair, estimate: Plane, rendered: Picture, true: Plane | None = None) -> NDArray[np.uint8]:
    """(h, w, 3) uint8: sharp, blurred, re-rendered and its error; estimate, truth and error where the truth is known.

    Disparities share one scale of colours, that of the range that may occur.
    """
    apart = np.abs(np.clip(rendered, 0.0, 1.0) - np.clip(pair.blurred, 0.0, 1.0)).mean(axis=-1)
    tiles = [
        ("sharp", _shown(pair.sharp, pair.gamma)),
        ("blurred", _shown(pair.blurred, pair.gamma)),
        ("re-rendered", _shown(rendered, pair.gamma)),
        (f"error re-rendered, to {_ERROR_MAX:g}", _coloured(apart, _ERROR_MAX)),
        ("disparity found", _coloured(pair.normalized(estimate), 1.0)),
    ]
    if true is not None:
        wrong = np.abs(pair.normalized(estimate) - pair.normalized(true))
        tiles.append(("true disparity", _coloured(pair.normalized(true), 1.0)))
        tiles.append((f"error of disparity, to {_ERROR_MAX:g} of the range", _coloured(wrong, _ERROR_MAX)))
    width, height = fitted_size(pair.sharp.shape[1], pair.sharp.shape[0], _TILE_PX, _TILE_PX)
    rows = -(-len(tiles) // _COLUMNS)
    size = (2 * _MARGIN + _COLUMNS * (width + _GAP), 2 * _MARGIN + rows * (height + _CAPTION))
    page = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for i, (caption, tile) in enumerate(tiles):
        x, y = _MARGIN + i % _COLUMNS * (width + _GAP), _MARGIN + i // _COLUMNS * (height + _CAPTION)
        page.paste(Image.fromarray(tile).resize((width, height), Image.Resampling.BILINEAR), (x, y))
        draw.text((x, y + height + 16), caption, _INK, font, anchor="ls")
    return np.asarray(page)


def _shown(display: Picture, gamma: float) -> NDArray[np.uint8]:
    return display_tile(linear_from_display(display, gamma), (display.shape[1], display.shape[0]))


def _coloured(values: Plane, most: float) -> NDArray[np.uint8]:
    return disparity_palette()[disparity_levels(np.clip(values, 0.0, most), 0.0, most)]
