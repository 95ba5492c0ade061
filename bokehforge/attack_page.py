"""The page of an attack: pictures, what the attack changed, what the classifiers say. One file, without a script."""

import html
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from bokehdata.pages import filled, webp_uri
from inverse.attacks.measuring import BOKEH, SHARP, Made, Row
from inverse.attacks.pgd import METHODS
from runtime.files import replacing
from scenes.arrays import Picture

# Cells of a strip: the picture, what changed in it, what changed in the depth. Grey is no change.
_CELLS = 3


def strip(made: Made) -> Picture:
    """(H, 3 W, 3) in [0, 1]: the picture, its change, and that of its depth, each change to its own largest."""
    before, depth = made.before
    changed = np.repeat((made.depth - depth)[..., None], 3, axis=2)
    return np.concatenate([made.picture, _about_grey(made.picture - before), _about_grey(changed)], axis=1)


def largest_change(made: Made) -> float:
    """Of a display value, from the bokeh picture."""
    return float(np.abs(made.picture - made.before[0]).max())


def _about_grey(change: Picture) -> Picture:
    return (0.5 + 0.5 * change / max(float(np.abs(change).max()), 1e-9)).astype(np.float32)


def write_strip(path: Path, made: Made) -> None:
    """A strip as PNG, 8 bits, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        Image.fromarray((np.clip(strip(made), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)).save(aside)


def page(title: str, tables: str, rows: Sequence[Row], strips: Mapping[str, Path]) -> str:
    """The page.

    tables   Markdown of `bokehforge.attack_tables`
    rows     with the key of each as "key"
    strips   files of strips by the key of their row; rows without are not shown
    """
    template = resources.files("bokehforge").joinpath("attack.html").read_text("utf-8")
    shown = [row for row in rows if row["key"] in strips]
    return (
        filled(template, title=title)
        .replace("<!-- tables -->", "".join(_tables(tables)))
        .replace("<!-- pictures -->", "".join(_sections(shown, strips)))
    )


def _tables(markdown: str) -> Iterator[str]:
    """Headings, paragraphs and tables of our own Markdown."""
    for block in markdown.strip().split("\n\n"):
        lines = block.splitlines()
        if block.startswith("#"):
            level = len(block) - len(block.lstrip("#"))
            yield f"<h{level}>{_inline(block.lstrip('# '))}</h{level}>"
        elif block.startswith("|"):
            head, _, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
            yield "<div class=scroll><table><thead><tr>" + "".join(f"<th>{_inline(c)}</th>" for c in head)
            yield "</tr></thead><tbody>"
            yield from (f"<tr>{''.join(f'<td>{_inline(c)}</td>' for c in cells)}</tr>" for cells in body)
            yield "</tbody></table></div>"
        else:
            yield f"<p class=faint>{_inline(block)}</p>"


def _inline(text: str) -> str:
    return html.escape(text).replace("`", "")


def _sections(rows: Sequence[Row], strips: Mapping[str, Path]) -> Iterator[str]:
    """A section of every renderer and classifier, with a row of figures for every picture."""
    for renderer in dict.fromkeys(row["renderer"] for row in rows):
        of = [row for row in rows if row["renderer"] == renderer]
        for i, name in enumerate(dict.fromkeys(row["classifier"] for row in of if row["classifier"])):
            title = f"{html.escape(renderer)} against {html.escape(name)}"
            yield f"<details{' open' if i == 0 else ''}><summary>{title}</summary>"
            for image in dict.fromkeys(row["image"] for row in of):
                yield "<div class=strip>"
                for method in (SHARP, BOKEH, *METHODS):
                    against = "" if method in (SHARP, BOKEH) else name
                    row = next(
                        (r for r in of if (r["image"], r["classifier"], r["method"]) == (image, against, method)), None
                    )
                    if row is not None:
                        yield _figures(row, name, strips[row["key"]])
                yield "</div>"
            yield "</details>"


def _figures(row: Row, name: str, path: Path) -> str:
    with Image.open(path) as file:
        picture = file.convert("RGB")
    side = picture.width // _CELLS
    cells = [picture.crop((side * i, 0, side * (i + 1), picture.height)) for i in range(_CELLS)]
    said = row["said"][name]
    verdict = f'<b class="{"right" if said == row["label"] else "wrong"}">{html.escape(said)}</b>'
    if row["method"] in (SHARP, BOKEH):
        of = f" of {html.escape(row['label'])}" if row["method"] == SHARP else ""
        return _figure(cells[0], f"{row['method']}{of}: {verdict}")
    change = f"picture, at most {row['largest_change']:.3f}"
    return (
        _figure(cells[0], f"{row['method']}: {verdict}")
        + _figure(cells[1], change)
        + _figure(cells[2], f"depth, at most {row['eps']:g}")
    )


def _figure(picture: Image.Image, caption: str) -> str:
    return f'<figure><img src="{webp_uri(picture)}" alt=""><figcaption>{caption}</figcaption></figure>'
