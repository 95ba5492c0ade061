"""Deblurred pictures on one sheet: where most has changed, pixel by pixel, beside the whole of the blurred one."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bokehdata.preview import encode_jpeg, fitted_size
from runtime.files import write_whole
from scenes.arrays import Picture
from scenes.color import byte_levels

# Pictures on a sheet, and the side of their parts in pixels.
PICTURES_MAX, _SIDE = 8, 224
_WHOLE, _GAP, _CAPTION = 320, 8, 20
_PAPER, _INK, _BOX = (255, 255, 255), (34, 34, 38), (255, 196, 0)


class Sheet:
    """A row for each picture; it is written when it is asked for."""

    def __init__(self):
        self._rows: list[Image.Image] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, name: str, blurred: Picture, shown: Mapping[str, Picture]) -> None:
        """A picture (H, W, 3) of display values, and what is shown beside it by name, of the same size."""
        change = np.max([np.abs(np.clip(other, 0.0, 1.0) - blurred).mean(axis=2) for other in shown.values()], axis=0)
        window = _busiest(change)
        parts = {"blurred": blurred, **shown}
        size = fitted_size(blurred.shape[1], blurred.shape[0], _WHOLE, _SIDE)
        width = _WHOLE + len(parts) * (_SIDE + _GAP) + 2 * _GAP
        row = Image.new("RGB", (width, _SIDE + _CAPTION + _GAP), _PAPER)
        draw = ImageDraw.Draw(row)
        row.paste(Image.fromarray(cv2.resize(byte_levels(blurred), size, interpolation=cv2.INTER_AREA)), (_GAP, 0))
        scale = size[0] / blurred.shape[1]
        rows, columns = window
        draw.rectangle(
            (
                *(_GAP + columns.start * scale, rows.start * scale),
                *(_GAP + columns.stop * scale - 1, rows.stop * scale - 1),
            ),
            outline=_BOX,
        )
        self._caption(draw, _GAP, name)
        for i, (label, picture) in enumerate(parts.items()):
            x = _WHOLE + 2 * _GAP + i * (_SIDE + _GAP)
            part = byte_levels(np.clip(picture, 0.0, 1.0))[window]
            row.paste(Image.fromarray(np.ascontiguousarray(part)), (x, 0))
            self._caption(draw, x, label)
        self._rows.append(row)

    def write(self, path: Path) -> None:
        """A JPEG file of all rows so far, one at least."""
        page = Image.new("RGB", (max(row.width for row in self._rows), sum(row.height for row in self._rows)), _PAPER)
        top = 0
        for row in self._rows:
            page.paste(row, (0, top))
            top += row.height
        write_whole(path, encode_jpeg(np.asarray(page), quality=92))

    @staticmethod
    def _caption(draw: ImageDraw.ImageDraw, x: int, text: str) -> None:
        shown = text.encode("ascii", "replace").decode()
        draw.text((x, _SIDE + _CAPTION - 5), shown, _INK, ImageFont.load_default(12), anchor="ls")


def _busiest(change: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the part of a map (H, W) that holds most of it."""
    height, width = (min(_SIDE, side) for side in change.shape)
    sums = cv2.boxFilter(change.astype(np.float32), -1, (width, height), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    inside = sums[: change.shape[0] - height + 1, : change.shape[1] - width + 1]
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    return slice(int(y), int(y) + height), slice(int(x), int(x) + width)
