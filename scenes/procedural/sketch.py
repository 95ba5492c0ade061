"""Anti-aliased drawing and compositing.

`Sketch` is a transparent sheet for many small opaque strokes. OpenCV blends an opaque anti-aliased stroke equally into
all four channels. On a sheet that starts at zero this is exactly the "over" of premultiplied colours (Porter and Duff
1984). Points are (x, y) in pixels with pixel centres at +0.5.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.procedural.outlines import Points
from scenes.procedural.palette import Colour

# Fractional bits of OpenCV's coordinates.
_SHIFT = 5

_LINEAR_OF_BYTE = (np.arange(256) / 255.0).astype(np.float32) ** np.float32(2.2)


class Sketch:
    """A (height, width) sheet; colours are display values in [0, 1].

    supersample   sheet pixels per pixel; with 2, strokes half a pixel wide get half coverage
    """

    def __init__(self, height: int, width: int, *, supersample: int = 1):
        self.height, self.width, self._scale = height, width, supersample
        self._sheet = np.zeros((height * supersample, width * supersample, 4), np.uint8)

    def polygon(self, points: Points, colour: Colour) -> None:
        """Fill a closed outline of (n, 2) points."""
        cv2.fillPoly(self._sheet, [self._fixed(points)], _bytes(colour), cv2.LINE_AA, _SHIFT)

    def polygons(self, outlines: Sequence[Points], colour: Colour) -> None:
        """Fill outlines by the even-odd rule: an outline inside another is a hole."""
        cv2.fillPoly(self._sheet, [self._fixed(p) for p in outlines], _bytes(colour), cv2.LINE_AA, _SHIFT)

    def disk(self, centre: Points, radius: float, colour: Colour) -> None:
        """Fill a disk."""
        x, y = self._fixed(np.asarray(centre))
        r = max(1, round(radius * self._scale * 2**_SHIFT))
        cv2.circle(self._sheet, (int(x), int(y)), r, _bytes(colour), cv2.FILLED, cv2.LINE_AA, _SHIFT)

    def stroke(self, points: Points, colour: Colour, width: float) -> None:
        """A line of constant width through (n, 2) points, at least one sheet pixel wide."""
        self.strokes([points], colour, width)

    def strokes(self, lines: Sequence[Points], colour: Colour, width: float) -> None:
        """Several lines of one colour and width."""
        thickness = max(1, round(width * self._scale))
        fixed = [self._fixed(p) for p in lines]
        cv2.polylines(self._sheet, fixed, False, _bytes(colour), thickness, cv2.LINE_AA, _SHIFT)

    def ribbon(self, points: Points, widths: NDArray, colour: Colour) -> None:
        """A line whose width changes along it; `widths` has one value per point."""
        self.polygon(ribbon_outline(points, widths), colour)

    def tapers(self, lines: NDArray, widths: NDArray, colours: NDArray) -> None:
        """Many pointed fibres at once, drawn in order: (n, k, 2) points, (n,) widths at the root, (n, 3) colours."""
        n, k = lines.shape[:2]
        along = np.diff(lines, axis=1, append=2.0 * lines[:, -1:] - lines[:, -2:-1])
        normal = np.stack([-along[..., 1], along[..., 0]], axis=-1)
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
        offset = normal * widths[:, None, None] * np.linspace(0.5, 0.05, k)[:, None]
        self.facets(np.concatenate([lines + offset, (lines - offset)[:, ::-1]], axis=1), colours)

    def facets(self, outlines: NDArray, colours: NDArray) -> None:
        """Many closed outlines of k points each, drawn in order: (n, k, 2) points, (n, 3) colours."""
        outlines = self._fixed(outlines)
        for outline, colour in zip(
            outlines, np.clip(colours * 255.0 + 0.5, 0.0, 255.0).astype(int).tolist(), strict=True
        ):
            cv2.fillPoly(self._sheet, [outline], (*colour, 255), cv2.LINE_AA, _SHIFT)

    def text(self, text: str, origin: Points, height: float, colour: Colour, *, font: int, weight: float) -> None:
        """Letters of OpenCV's Hershey fonts, `height` pixels tall, from their lower left corner."""
        scale = text_scale(font, height) * self._scale
        x, y = (np.asarray(origin) * self._scale).round().astype(int)
        thickness = max(1, round(weight * height * self._scale))
        cv2.putText(self._sheet, text, (int(x), int(y)), font, scale, _bytes(colour), thickness, cv2.LINE_AA)

    def rgba(self) -> NDArray:
        """(height, width, 4) straight alpha, colour in linear light."""
        sheet = self._sheet
        if self._scale > 1:
            sheet = cv2.resize(sheet, (self.width, self.height), interpolation=cv2.INTER_AREA)
        alpha = sheet[..., 3]
        # OpenCV blends display values, so they are divided by alpha before they become linear: round(255 c / a).
        display = (sheet[..., :3].astype(np.uint16) * 255 + alpha[..., None] // 2) // np.maximum(alpha, 1)[..., None]
        rgba = np.empty(sheet.shape, np.float32)
        rgba[..., :3] = _LINEAR_OF_BYTE[np.minimum(display, 255)]
        np.multiply(alpha, np.float32(1.0 / 255.0), out=rgba[..., 3])
        return rgba

    def _fixed(self, points: Points) -> NDArray:
        return np.round((np.asarray(points) * self._scale - 0.5) * 2**_SHIFT).astype(np.int32)


def mask(height: int, width: int, outline: Points) -> NDArray:
    """Coverage of a closed outline: (height, width) in [0, 1]."""
    return masks(height, width, [outline])


def masks(height: int, width: int, outlines: Sequence[Points]) -> NDArray:
    """Coverage of outlines by the even-odd rule: (height, width) in [0, 1]."""
    sheet = np.zeros((height, width), np.uint8)
    fixed = [np.round((np.asarray(p) - 0.5) * 2**_SHIFT).astype(np.int32) for p in outlines]
    cv2.fillPoly(sheet, fixed, (255,), cv2.LINE_AA, _SHIFT)
    return sheet.astype(np.float32) * np.float32(1.0 / 255.0)


def ribbon_outline(points: Points, widths: NDArray) -> Points:
    """The closed outline of a line with a width at every point."""
    points = np.asarray(points, np.float64)
    along = np.gradient(points, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=-1)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    offset = normal * np.asarray(widths)[:, None] / 2.0
    return np.concatenate([points + offset, (points - offset)[::-1]])


def text_scale(font: int, height: float) -> float:
    """OpenCV's font scale for capitals `height` pixels tall."""
    return height / cv2.getTextSize("H", font, 1.0, 1)[0][1]


def text_width(text: str, font: int, height: float) -> float:
    """Width in pixels of a line of text `height` pixels tall."""
    return cv2.getTextSize(text, font, 1.0, 1)[0][0] * text_scale(font, height)


def paste(image: NDArray, rgba: NDArray, left: int, top: int, *, opacity: float = 1.0) -> None:
    """Composite a straight-alpha patch over a linear RGB image in place. Parts outside the image are cut off."""
    window, part = overlap(image, rgba, left, top)
    alpha = part[..., 3] * np.float32(opacity)
    for channel in range(3):
        window[..., channel] += (part[..., channel] - window[..., channel]) * alpha


def lay(lower: NDArray, upper: NDArray, left: int, top: int) -> None:
    """Composite a straight-alpha patch over a straight-alpha picture in place. Parts outside are cut off."""
    window, part = overlap(lower, upper, left, top)
    front, behind = part[..., 3:], window[..., 3:] * (1.0 - part[..., 3:])
    alpha = front + behind
    window[..., :3] = (part[..., :3] * front + window[..., :3] * behind) / np.maximum(alpha, np.float32(1e-6))
    window[..., 3:] = alpha


def overlap(image: NDArray, patch: NDArray, left: int, top: int) -> tuple[NDArray, NDArray]:
    """Views of the region where an image and a patch laid on it at (left, top) overlap. It may be empty."""
    y0, x0 = max(top, 0), max(left, 0)
    y1 = max(min(top + patch.shape[0], image.shape[0]), y0)
    x1 = max(min(left + patch.shape[1], image.shape[1]), x0)
    return image[y0:y1, x0:x1], patch[max(y0 - top, 0) : max(y1 - top, 0), max(x0 - left, 0) : max(x1 - left, 0)]


def extended(rgba: NDArray) -> NDArray:
    """The picture with the colour of the nearest covered texel under alpha 0, so that filters cause no dark halo."""
    bare = (rgba[..., 3] <= 0.0).astype(np.uint8)
    if not bare.any():
        return rgba
    _, label = cv2.distanceTransformWithLabels(bare, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    label = np.asarray(label, np.int32)
    colour_of_label = np.zeros((int(label.max()) + 1, 3), np.float32)
    covered = bare == 0
    colour_of_label[label[covered]] = rgba[covered, :3]
    filled = rgba.copy()
    np.copyto(filled[..., :3], colour_of_label[label], where=~covered[..., None])
    return filled


def _bytes(colour: Colour) -> tuple[int, int, int, int]:
    r, g, b = (int(min(max(float(c) * 255.0 + 0.5, 0.0), 255.0)) for c in colour)
    return r, g, b, 255
