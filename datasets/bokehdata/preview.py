"""Pictures of the data for people: small display-referred tiles, and the contact sheet of one scene.

Everything here is 8-bit, clipped and encoded with the reference gamma; nothing is read back as data. Bytes depend on
the arrays alone: the only font is the one that ships inside Pillow, which has ASCII and the middle dot.
"""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from scenes.arrays import single
from scenes.color import byte_levels, display_from_linear, linear_from_display, premultiplied
from scenes.lens import signed_defocus_px
from scenes.stack import Stack

# Display values of the two squares of the checkerboard behind layers, and the side of a square in tile pixels.
_CHECKER_DISPLAY = (0.93, 0.80)
_CHECKER_PX = 8

# The sheet in pixels: five columns make it 1280 wide.
_COLUMN, _GAP, _MARGIN = 240, 8, 24
_COLUMNS = 5
_CAPTION = 26
_HEADER = 48
_BAR = 9
_ROWS_MAX = 4
# No tile is taller than this many times its width, nor than a wide tile is wide.
_TALLEST = 1.5

_PAPER, _INK, _FAINT = (255, 255, 255), (34, 34, 38), (120, 120, 126)


def fitted_size(width: int, height: int, box_width: int, box_height: int) -> tuple[int, int]:
    """The largest (width, height) of the same shape inside a box, each at least 1 px."""
    scale = min(box_width / width, box_height / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def display_tile(linear_rgb: NDArray, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture as seen from farther away: (H, W, 3) linear light to (h, w, 3) uint8 of `size` (w, h).

    Clipped before it is reduced, as a screen would, so that one bright texel does not spread over a whole tile pixel.
    """
    return _encoded(_resized(np.clip(linear_rgb, 0.0, 1.0).astype(np.float32, copy=False), size))


def layer_tile(rgba_straight: NDArray, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A layer over a checkerboard: (H, W, 4) straight RGBA in linear light to (h, w, 3) uint8 of `size` (w, h)."""
    rgba_premul = _resized(premultiplied(np.clip(single(rgba_straight), 0.0, 1.0)), size)
    return _encoded(rgba_premul[..., :3] + (1.0 - rgba_premul[..., 3:]) * _checkerboard(size)[..., None])


def disparity_levels(disparity: NDArray, disparity_min: float, disparity_max: float) -> NDArray[np.uint8]:
    """Disparities as 8-bit levels, 0 at `disparity_min` to 255 at `disparity_max`; all 0 where the two are equal."""
    span = disparity_max - disparity_min or 1.0
    return byte_levels((disparity - disparity_min) / span)


def disparity_palette() -> NDArray[np.uint8]:
    """Colours of the 256 disparity levels, far (dark) to near (light): (256, 3) uint8, magma, perceptually uniform."""
    levels = np.arange(256, dtype=np.uint8)[:, None]
    return np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_MAGMA)[:, 0, ::-1], np.uint8)


def encode_jpeg(picture: NDArray[np.uint8], *, quality: int = 80) -> bytes:
    """JPEG bytes of a (h, w, 3) uint8 picture, without metadata."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


class ContactSheet:
    """One scene on one page, filled tile by tile, so that no array of a big stack needs to stay in memory.

    All-in-focus, disparity and layers stand above a grid of traced images: blur downwards (at most 4), focus across (at
    most 5, evenly chosen). Tiles that are never added stay white.
    """

    def __init__(
        self, title: str, *, width: int, height: int, num_layers: int, stack: Stack, disparity_unit: str = "normalised"
    ):
        self._frame = (width, height)
        self._stack = stack
        self._unit = disparity_unit
        self._rows = evenly(len(stack.blur_parameters), _ROWS_MAX)
        self._columns = evenly(len(stack.focus_disparities), _COLUMNS)
        self._disparity_range = (0.0, 0.0)

        # Two focus settings or one leave room for wider tiles.
        self._pitch = _span(1 if len(self._columns) > 2 else 2) + _GAP
        self._large = self._tile_size(_span(2))
        self._small = self._tile_size(self._pitch - _GAP)
        self._layer_slots = _slots(num_layers, self._frame, _span(1), self._large[1] + _CAPTION)

        self._grid_top = _HEADER + self._large[1] + _CAPTION + _GAP
        page_height = self._grid_top + len(self._rows) * (self._small[1] + _CAPTION) + _MARGIN // 2
        self._page = Image.new("RGB", (_span(_COLUMNS) + 2 * _MARGIN, page_height), _PAPER)
        self._draw = ImageDraw.Draw(self._page)

        facts = f"{width} x {height} px · {num_layers} layers · disparity {disparity_unit}"
        self._draw.text((_MARGIN, _HEADER - 10), title, _INK, ImageFont.load_default(19), anchor="ls")
        self._draw.text(
            (self._page.width - _MARGIN, _HEADER - 10), facts, _FAINT, ImageFont.load_default(13), anchor="rs"
        )

    def add_image(self, linear_rgb: NDArray) -> None:
        """The all-in-focus image: (H, W, 3), linear light."""
        x, y = _MARGIN, _HEADER
        self._paste(display_tile(linear_rgb, self._large), x, y)
        self._caption(x, y + self._large[1], "all in focus")

    def add_disparity(self, disparity: NDArray) -> None:
        """The composite disparity (H, W); its range scales the colours and gives the blur radii of later captions."""
        near, far = float(disparity.max()), float(disparity.min())
        self._disparity_range = (far, near)
        levels = disparity_levels(disparity, far, near)
        x, y = _MARGIN + _span(2) + _GAP, _HEADER
        # Coloured before it is reduced: a mean of two depths would be a third one.
        self._paste(_resized(disparity_palette()[levels], self._large), x, y)

        label = "disparity" if self._unit == "normalised" else f"disparity in {self._unit}"
        end = self._caption(x, y + self._large[1], f"{label}   {far:.3g}")
        ramp = np.tile(disparity_palette(), (_BAR, 1, 1))
        self._paste(ramp[:, ::2], round(end) + 7, y + self._large[1] + 8)
        self._caption(round(end) + 14 + ramp.shape[1] // 2, y + self._large[1], f"{near:.3g}")

    def add_layer(self, layer_index: int, rgba_straight: NDArray, disparity: float) -> None:
        """A layer's part inside the frame: (H, W, 4) straight RGBA in linear light, 0 is the nearest."""
        x, y, size = self._layer_slots[layer_index]
        x, y = x + _MARGIN + 2 * (_span(2) + _GAP), y + _HEADER
        self._paste(layer_tile(rgba_straight, size), x, y)
        self._caption(x, y + size[1], f"d {disparity:.3g}")

    def add_bokeh(self, blur_index: int, focus_index: int, linear_rgb: NDArray) -> None:
        """A traced image (H, W, 3) in linear light; one that the grid does not show is left out."""
        if blur_index not in self._rows or focus_index not in self._columns:
            return
        x = _MARGIN + self._columns.index(focus_index) * self._pitch
        y = self._grid_top + self._rows.index(blur_index) * (self._small[1] + _CAPTION)
        self._paste(display_tile(linear_rgb, self._small), x, y)

        blur_parameter = self._stack.blur_parameters[blur_index]
        focus_disparity = self._stack.focus_disparities[focus_index]
        radius_px = max(abs(signed_defocus_px(d, blur_parameter, focus_disparity)) for d in self._disparity_range)
        self._caption(
            x, y + self._small[1], f"K {blur_parameter:.4g} px · d_f {focus_disparity:.3g} · r to {radius_px:.3g} px"
        )

    def picture(self) -> NDArray[np.uint8]:
        """The page as it stands: (h, w, 3) uint8, 1280 px wide."""
        return np.asarray(self._page)

    def _tile_size(self, width: int) -> tuple[int, int]:
        return fitted_size(*self._frame, width, min(round(width * _TALLEST), _span(2)))

    def _paste(self, tile: NDArray[np.uint8], x: int, y: int) -> None:
        self._page.paste(Image.fromarray(tile), (x, y))

    def _caption(self, x: int, y: int, text: str) -> float:
        """Writes under a tile that ends at y; returns where the text ends."""
        font = ImageFont.load_default(12)
        self._draw.text((x, y + 16), text, _INK, font, anchor="ls")
        return x + font.getlength(text)


def _span(columns: int) -> int:
    return columns * _COLUMN + (columns - 1) * _GAP


def evenly(count: int, at_most: int) -> list[int]:
    """Indices of at most `at_most` of `count` things, evenly spread, with the first and the last."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, at_most))})


def _slots(
    count: int, frame: tuple[int, int], box_width: int, box_height: int
) -> list[tuple[int, int, tuple[int, int]]]:
    """(x, y, size) of `count` captioned tiles inside a box, as large as they fit."""
    best = (0, 0)
    columns = 1
    for n in range(1, count + 1):
        rows = -(-count // n)
        room = (box_width - (n - 1) * _GAP) // n, box_height // rows - _CAPTION
        size = fitted_size(*frame, room[0], max(1, room[1]))
        if size > best:
            best, columns = size, n
    width, height = best
    return [(i % columns * (width + _GAP), i // columns * (height + _CAPTION), (width, height)) for i in range(count)]


def _resized(image: NDArray, size: tuple[int, int]) -> NDArray:
    # Small pictures are enlarged with their pixels showing.
    shrinks = size[0] <= image.shape[1] and size[1] <= image.shape[0]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST)


def _encoded(linear_rgb: NDArray) -> NDArray[np.uint8]:
    # Reducing may overshoot [0, 1] by a rounding error.
    return np.round(display_from_linear(np.clip(linear_rgb, 0.0, 1.0)) * 255.0).astype(np.uint8)


def _checkerboard(size: tuple[int, int]) -> NDArray[np.float32]:
    """Linear light of the board: (h, w)."""
    x, y = np.arange(size[0]) // _CHECKER_PX, np.arange(size[1]) // _CHECKER_PX
    light, dark = linear_from_display(np.array(_CHECKER_DISPLAY, np.float32))
    return np.where(np.add.outer(y, x) % 2 == 0, light, dark).astype(np.float32)
