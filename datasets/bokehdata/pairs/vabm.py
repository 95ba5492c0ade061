"""Two sets as VABM lays them out (Chen et al. 2024), in `train` and `test`.

    input/0.jpg, target/0.jpg                      EBB!, f/16 and f/1.8
    input/1.JPG, 1_8/1.JPG, 2_8/1.JPG, 8/1.JPG     VABD, f/16 and f/1.8, f/2.8, f/8: three pairs of one scene
    depth/0.png, focal/0.png                       of either: depth by a network, and a mask of what is in focus; views

The unit and the direction of the depth are not published.
"""

from pathlib import Path

from bokehdata.cases import Case
from bokehdata.pairs.pair import OnMisfit, pairs_of, parts

_INPUT, _INPUT_F_NUMBER = "input", 16.0
# F-number of each folder of truths.
_TARGET = {"target": 1.8}
_VABD = {"1_8": 1.8, "2_8": 2.8, "8": 8.0}
_VIEWS = ("depth", "focal")


def is_vabm(root: Path) -> bool:
    """Whether a folder is laid out so."""
    return bool(parts(root, _is_part))


def vabm_pairs(root: Path, on_misfit: OnMisfit) -> list[Case]:
    """The pairs by part, f-number and number."""
    return [
        pair
        for prefix, part in parts(root, _is_part)
        for folder, f_number in (_TARGET | _VABD).items()
        if (part / folder).is_dir()
        for pair in pairs_of(
            part,
            prefix,
            (_INPUT, folder),
            on_misfit,
            views=_VIEWS,
            ending="" if folder in _TARGET else f"_f{f_number:g}",
            f_numbers=(_INPUT_F_NUMBER, f_number),
        )
    ]


def _is_part(folder: Path) -> bool:
    return (folder / _INPUT).is_dir() and any((folder / name).is_dir() for name in (_TARGET | _VABD))
