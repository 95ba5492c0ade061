"""Pairs as EBokehNet lays them out (Seizinger et al. 2023), and the Bokeh Effect Transformation set of NTIRE 2023.

    train/4400_src.jpg, 4400_tgt.jpg                       EBB!
    train/00001.src.jpg, 00001.tgt.jpg, 00001.alpha.png    NTIRE: the alpha of what is in focus, a view
    train/meta.txt                                         lines "00001, Canon50mmf16.0BS, Sony50mmf1.8BS, 40": the two
                                                           lenses and a disparity; `metadata` of the pairs

The input of NTIRE is not always the sharper one: lens is turned into lens.
"""

import re
from pathlib import Path

from bokehdata.cases import Case
from bokehdata.pairs.pair import OnMisfit, PhotoPair, fits, number_of, parts, pictures, place_of

_NAME = re.compile(r"(.+)[._](src|tgt|alpha)")
_F_NUMBER = re.compile(r"f(\d+(?:\.\d+)?)BS")
_META_FILE = "meta.txt"
_META_KEYS = ("source_lens", "target_lens", "disparity")


def is_ebokehnet(root: Path) -> bool:
    """Whether a folder is laid out so."""
    return bool(parts(root, _is_part))


def ebokehnet_pairs(root: Path, on_misfit: OnMisfit) -> list[Case]:
    """The pairs by part and number."""
    return [pair for prefix, part in parts(root, _is_part) for pair in _pairs(part, prefix, on_misfit)]


def _is_part(folder: Path) -> bool:
    return any((match := _NAME.fullmatch(path.stem)) and match[2] == "src" for path in folder.iterdir())


def _pairs(part: Path, prefix: str, on_misfit: OnMisfit) -> list[Case]:
    found: dict[str, dict[str, Path]] = {}
    for stem, path in pictures(part).items():
        if match := _NAME.fullmatch(stem):
            found.setdefault(match[1], {})[match[2]] = path
    metadata = _metadata(part / _META_FILE, on_misfit)
    cases: list[Case] = []
    for name, files in sorted(found.items(), key=lambda item: place_of(item[0])):
        if "src" not in files or "tgt" not in files:
            there, missing = ("src", "tgt") if "src" in files else ("tgt" if "tgt" in files else "alpha", "src")
            on_misfit(files[there], f"has no {missing} beside it")
        elif fits(files["src"], files["tgt"], on_misfit):
            said = metadata.get(name, {})
            pair = PhotoPair(
                name=f"{prefix}{name}",
                scene=f"{prefix}{name}",
                number=number_of(name),
                image_file=files["src"],
                truth_file=files["tgt"],
                view_files={"alpha": files["alpha"]} if "alpha" in files else {},
                f_numbers=(_f_number(said.get("source_lens", "")), _f_number(said.get("target_lens", ""))),
                metadata=said,
            )
            cases.append(pair)
    return cases


def _metadata(path: Path, on_misfit: OnMisfit) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    said = {}
    for line in filter(str.strip, path.read_text("utf-8", errors="replace").splitlines()):
        name, *values = (value.strip() for value in line.split(","))
        if len(values) == len(_META_KEYS):
            said[name] = dict(zip(_META_KEYS, values, strict=True))
        else:
            on_misfit(path, f"has the line {line!r}; it needs an id, two lenses and a disparity")
    return said


def _f_number(lens: str) -> float | None:
    match = _F_NUMBER.search(lens)
    return float(match[1]) if match else None
