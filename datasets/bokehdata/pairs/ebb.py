"""EBB! ("Everything is better with bokeh!", Ignatov et al. 2020): 4694 pairs at f/16 and f/1.8, numbered from 0.

    Training/original/0.jpg      as it is distributed, and as DMSHN reads it
    Training/bokeh/0.jpg
    train/original/0.jpg         as PyNET reads it, `test` likewise
    train/original_depth/0.png   depth by MegaDepth, a view of the pair: its unit and direction are not published
    train/bokeh/0.jpg

The root holds one part or several of any names; a part is a root too. Inputs of a part without `bokeh` have no public
truth and are not read. `disparity/` and `settings.json` in a part are read as in a plain folder; `bokehforge export`
writes them. Bokehlicious lays Val294 out as `validation/in` and `validation/gt`.
"""

from pathlib import Path

from bokehdata.cases import Case
from bokehdata.pairs.pair import OnMisfit, pairs_of, parts

# Folders of the inputs and of the truths.
_FOLDERS = (("original", "bokeh"), ("in", "gt"))
_DEPTH = "original_depth"
_F_NUMBERS = (16.0, 1.8)


def is_ebb(root: Path) -> bool:
    """Whether a folder is laid out so."""
    return bool(parts(root, _is_part))


def ebb_pairs(root: Path, on_misfit: OnMisfit) -> list[Case]:
    """The pairs by part and number."""
    return [
        pair
        for prefix, part in parts(root, _is_part)
        for pair in pairs_of(part, prefix, _folders(part), on_misfit, views=[_DEPTH], f_numbers=_F_NUMBERS)
    ]


def _is_part(folder: Path) -> bool:
    return (
        any(all((folder / name).is_dir() for name in names) for names in _FOLDERS)
        and not (
            # RealBokeh has the same folders and says more of them.
            folder / "metadata"
        ).is_dir()
    )


def _folders(part: Path) -> tuple[str, str]:
    return next(names for names in _FOLDERS if (part / names[0]).is_dir())
