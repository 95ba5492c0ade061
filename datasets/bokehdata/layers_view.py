"""One self-contained HTML page that shows the layers of a photograph, and what is behind each of them.

The page needs no server, no network and no program.
"""

import html
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from bokehdata.format import writing
from bokehdata.kinds.layers import LayersFolder
from bokehdata.pages import filled, webp_uri
from bokehdata.preview import disparity_levels, disparity_palette, display_tile, fitted_size, layer_tile
from runtime.command import counted
from runtime.files import write_whole
from scenes.arrays import Plane
from scenes.color import byte_levels
from scenes.layered_depth import LayeredDepthImage

_RAMP_PX = 128


def write_layers_page(folder: LayersFolder, out_html: Path, *, side_px: int) -> int:
    """Write the page; returns its size in bytes. DatasetError for a file that cannot be read or written.

    side_px   longest side of the pictures, never enlarged
    """
    layers, given = folder.layers(), folder.disparity()
    size = fitted_size(layers.width, layers.height, min(side_px, layers.width), min(side_px, layers.height))
    low, high = float(given.min()), float(given.max())
    template = resources.files("bokehdata").joinpath("layers.html").read_text("utf-8")
    head, tail = template.split("<!-- layers -->\n")
    head = filled(
        head,
        title=folder.name,
        layers=counted(len(layers.layers), "layer"),
        analysis=str(folder.scene_document.get("analysis")),
        reach="any blur" if np.isinf(folder.reach_px) else f"blur radii up to {folder.reach_px:g} px",
        width=str(layers.width),
        height=str(layers.height),
        unit="Disparity in 1/m" if folder.is_metric else "Disparity",
        low=f"{low - folder.disparity_shift:.3g}",
        high=f"{high - folder.disparity_shift:.3g}",
        picture=webp_uri(Image.fromarray(display_tile(folder.image(), size))),
        disparity=_coloured(given, low, high, size),
        ramp=_coloured(np.linspace(low, high, _RAMP_PX, dtype=np.float32)[None], low, high, (_RAMP_PX, 1)),
    )
    sections = [_section(folder, layers, i, (low, high), size) for i in range(len(layers.layers))]
    page = (head + "".join(sections) + filled(tail, side_px=str(side_px))).encode()
    with writing(out_html):
        write_whole(out_html, page)
    return len(page)


def _section(
    folder: LayersFolder, layers: LayeredDepthImage, number: int, span: tuple[float, float], size: tuple[int, int]
) -> str:
    """A layer: over a checkerboard, its alpha, its disparity, and what is seen where nearer ones are taken away."""
    rgba, disparity = layers.frame_rgba(number), layers.frame_disparity(number)
    alpha = rgba[..., 3].astype(np.float32)
    seen = disparity[alpha > 0.0] - folder.disparity_shift
    ends = dict.fromkeys(f"{d:.3g}" for d in (seen.min(), seen.max())) if seen.size else ()
    where = f"disparity {' to '.join(ends)}" if ends else "nowhere in the picture"
    levels = cv2.resize(byte_levels(alpha), size, interpolation=cv2.INTER_AREA)
    rest = LayeredDepthImage(layers.layers[number:], layers.width, layers.height, layers.overscan).composite()
    figures = (
        (webp_uri(Image.fromarray(layer_tile(rgba, size))), "Over a checkerboard"),
        (webp_uri(Image.fromarray(levels)), f"Alpha, {100.0 * float(alpha.mean()):.3g} % of the picture"),
        (_coloured(disparity, *span, size), "Disparity, where it is hidden too"),
        (webp_uri(Image.fromarray(display_tile(rest, size))), "What is seen without nearer layers"),
    )
    shown = "\n".join(
        f'    <figure><img src="{uri}" alt="{html.escape(text)} of layer {number:02d}">'
        f"<figcaption>{html.escape(text)}</figcaption></figure>"
        for uri, text in figures
    )
    place = "the nearest, " if number == 0 else "the farthest, " if number == len(layers.layers) - 1 else ""
    return (
        f'  <section>\n  <h2>Layer {number:02d} <span class="faint">{place}{html.escape(where)}</span></h2>\n'
        f'  <div class="row">\n{shown}\n  </div>\n  </section>\n'
    )


def _coloured(disparity: Plane, low: float, high: float, size: tuple[int, int]) -> str:
    """Texels as they are: a mean of two disparities would be a third one."""
    reduced = np.asarray(cv2.resize(disparity, size, interpolation=cv2.INTER_NEAREST), np.float32)
    return webp_uri(Image.fromarray(disparity_palette()[disparity_levels(reduced, low, high)]))
