"""The page of a benchmark: one self-contained HTML file that a browser opens without a server or a network.

`report.html` is its program. A case's pictures lie in a JSON block that the browser parses when the case is opened.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from PIL import Image

from bokehdata.pages import PAGE_BYTES_MAX, data_uri, filled, json_for_script, webp_uri
from bokehdata.preview import disparity_palette
from evaluation.pictures import ALL_IN_FOCUS, ERROR_MAX, TRUTH, error_file, picture_file
from evaluation.plots import colour, error_versus_blur, error_versus_time
from evaluation.results import PICTURES_FOLDER
from evaluation.tables import GIVEN, rankings, weights_used
from runtime.command import counted

DEFAULT_CASES = 24

_THUMBNAIL_PX = 240

# Enough for what a table prints, and a third of the bytes.
_SIGNIFICANT = 6

_ROW_FIELDS = ("rmse", "rmse_s", "psnr", "ssim", "ssim_uniform7", "zncc", "lpips", "seconds")
_REGION_FIELDS = ("rmse", "rmse_s", "psnr", "ssim", "zncc", "lpips")


def page(document: Mapping[str, Any], folder: Path, cases: int = DEFAULT_CASES) -> str:
    """The page of a `results.json`.

    folder   of the results, with the pictures
    cases    show at most this many, the worst ones of every renderer first; fewer where the page would pass 250 MB
    """
    template = resources.files("evaluation").joinpath("report.html").read_text("utf-8")
    shown, left_out = _cards(document, folder, cases)
    fields = {
        "title": document["data"]["name"],
        "protocol": document["protocol"]["name"],
        "source": document["protocol"]["source"],
        "facts": _facts(document),
        "note": _note(document, len(shown), left_out),
        "error_max": str(ERROR_MAX),
        "palette": disparity_palette().tobytes().hex(),
    }
    return (
        filled(template, **fields)
        .replace("<!-- plots -->\n", "".join(_plots(document, region) for region in ("all", *_regions(document))))
        .replace("<!-- numbers -->", json_for_script(_numbers(document)))
        .replace("<!-- cases -->", "\n".join(shown))
    )


def _regions(document: Mapping[str, Any]) -> list[str]:
    """The regions beside the whole frame that there are numbers of."""
    found = {name for row in document["rows"] for name in row.get("regions", {})} - {"all"}
    return [name for name in document["regions"] if name in found]


def _plots(document: Mapping[str, Any], region: str) -> str:
    """The plots of a region, which the page shows when the region is chosen."""
    plots = error_versus_blur(document, region) + error_versus_time(document, region)
    return f'<section class="plots" data-region="{html.escape(region)}" aria-label="Plots" hidden>\n{plots}</section>\n'


def _numbers(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the table is made of; `report.html` reads exactly these keys."""
    images = list(dict.fromkeys(row["image"] for row in document["rows"]))
    index = {image: i for i, image in enumerate(images)}
    names = [renderer["name"] for renderer in document["renderers"]]
    rows = []
    for row in document["rows"]:
        entry = {
            "renderer": names.index(row["renderer"]),
            "image": index[row["image"]],
            "level": row["level"],
            "corruption": row["corruption"],
        }
        if "error" in row:
            entry["error"] = row["error"]
        else:
            entry.update(_scores(row), seconds=_short(row["seconds"]), blur=_short(row["blur_parameter"]))
            if row.get("at_true_blur_parameter"):
                entry["true"] = _scores(row["at_true_blur_parameter"])
        rows.append(entry)
    return {
        "images": images,
        "renderers": [
            {
                "name": r["name"],
                "given": GIVEN.get(r.get("information", ""), ""),
                "memory": r["peak_memory_bytes"],
                "failed": r["failed"],
                "colour": colour(i),
            }
            for i, r in enumerate(document["renderers"])
        ],
        "given": ["", *GIVEN.values()],
        "regions": _regions(document),
        "region": document["protocol"]["region"],
        "lpips": document["lpips"]["available"],
        "rows": rows,
    }


def _scores(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "all": [_short(row.get(name)) for name in _ROW_FIELDS[:-1]],
        "regions": {
            region: [_short(scores.get(name)) for name in _REGION_FIELDS] for region, scores in row["regions"].items()
        },
    }


def _short(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.{_SIGNIFICANT}g}")


def _cards(document: Mapping[str, Any], folder: Path, cases: int) -> tuple[list[str], int]:
    """(list items of the cases, how many cases with pictures are not among them)."""
    pictures = folder / PICTURES_FOLDER
    rows: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in document["rows"]:
        rows.setdefault(row["image"], {})[row["renderer"]] = row
    available = [image for image in document["pictures"] if picture_file(pictures, image, TRUTH).is_file()]
    shown, size = [], 0
    for image in _worst_first(available, rows, cases):
        card = _card(image, rows[image], pictures)
        size += len(card)
        if shown and size > PAGE_BYTES_MAX:
            break
        shown.append(card)
    return shown, len(available) - len(shown)


def _worst_first(
    available: Sequence[str], rows: Mapping[str, Mapping[str, Mapping[str, Any]]], count: int
) -> list[str]:
    """Every renderer's worst picture, then every one's second worst, and so on."""
    renderers = dict.fromkeys(name for of_image in rows.values() for name in of_image)

    def error(image: str, renderer: str) -> float:
        return rows[image].get(renderer, {}).get("rmse", -1.0)

    orders = [sorted(available, key=lambda image: error(image, name), reverse=True) for name in renderers]
    worst = dict.fromkeys(image for rank in zip(*orders, strict=True) for image in rank)
    return list(worst)[:count]


def _card(image: str, rows: Mapping[str, Mapping[str, Any]], pictures: Path) -> str:
    """A case in the strip, with all that the page needs to open it."""
    truth = picture_file(pictures, image, TRUTH)
    entry = {"name": image, "pictures": {}, "errors": {}, "facts": _case_facts(next(iter(rows.values())))}
    for name in (ALL_IN_FOCUS, TRUTH):
        entry["pictures"][name] = data_uri(picture_file(pictures, image, name).read_bytes(), "webp")
    for name in rows:
        if error_file(pictures, image, name).is_file():
            entry["pictures"][name] = data_uri(picture_file(pictures, image, name).read_bytes(), "webp")
            entry["errors"][name] = data_uri(error_file(pictures, image, name).read_bytes(), "webp")
    name = html.escape(image)
    return (
        f'<li><button type="button" data-case="{name}"><img src="{_thumbnail(truth)}" alt="" loading="lazy">'
        f'<span class="line"><span>{name}</span><span class="worst faint"></span></span></button>\n'
        f'<script type="application/json">{json_for_script(entry)}</script></li>'
    )


def _case_facts(row: Mapping[str, Any]) -> str:
    """A case in words."""
    parts = [] if "width" not in row else [f"{row['width']} × {row['height']} px"]
    if row["true_blur_parameter"] is not None:
        parts.append(f"K {row['true_blur_parameter']:.4g} px")
    if row["focus_disparity"] is not None:
        parts.append(f"d_f {row['focus_disparity']:.3g}")
    if row.get("blur_radius_px"):
        parts.append(f"radius to {row['blur_radius_px']:.3g} px")
    if row["noise_rmse"] is not None:
        parts.append(f"noise of the truth {row['noise_rmse']:.2g}")
    return " · ".join(parts)


def _facts(document: Mapping[str, Any]) -> str:
    renderers, images = len(document["renderers"]), document["data"]["images"]
    scenes = len({row["scene"] for row in document["rows"]})
    machine = document["machine"]
    return (
        f"{counted(renderers, 'renderer')} on {counted(images, 'image')} of {counted(scenes, 'scene')}, "
        f"data {document['data']['sha256'][:12]}. "
        f"Compared as {document['rules']['space']}. Times on {machine['processor']}, {machine['cores']} cores."
    )


def _note(document: Mapping[str, Any], shown: int, left_out: int) -> str:
    return " ".join(_remarks(document, shown, left_out))


def _remarks(document: Mapping[str, Any], shown: int, left_out: int) -> Iterator[str]:
    """What a reader must know to read the numbers right."""
    if not document["complete"]:
        yield "The benchmark has not finished: some rows are missing."
    yield from rankings(document)
    yield from weights_used(document)
    if not document["lpips"]["available"]:
        yield f"LPIPS was not computed: {document['lpips']['reason']}."
    if any(row.get("rmse") == 0.0 for row in document["rows"]):
        yield "Pictures equal to their truth have an infinite PSNR and are left out of its mean."
    if not shown:
        yield "No pictures were kept (--pictures of the benchmark)."
    elif left_out:
        yield f"The worst {shown} of {shown + left_out} images with pictures are shown (--cases)."
    yield "Pictures are reduced and compressed for the page; the numbers are those of the full ones."


def _thumbnail(path: Path) -> str:
    with Image.open(path) as picture:
        picture.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
        return webp_uri(picture)
