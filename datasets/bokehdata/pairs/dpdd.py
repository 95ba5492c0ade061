"""DPDD (Abuolaim and Brown 2020): 500 scenes at f/4 and f/22 by a dual-pixel sensor, in `train`, `val` and `test`.

    train_c/source/1P0A0917.png      at f/4, what is out of focus is blurred
    train_c/target/1P0A0916.png      at f/22, all in focus
    train_l/source/1P0A0917_L.png    the views of the left and the right half of every pixel, at f/4
    train_r/source/1P0A0917_R.png

The set is made for deblurring. Here, as in every set, the input is the sharp picture and the truth the blurred one; the
views are of the truth. A target has a name of its own: both folders are in the order of the scenes.
"""

from pathlib import Path

from bokehdata.cases import Case
from bokehdata.pairs.pair import OnMisfit, PhotoPair, fits, pictures
from runtime.command import counted

_PARTS = ("train", "val", "test")
_SIDES = {"left": ("l", "_L"), "right": ("r", "_R")}
_F_NUMBERS = (22.0, 4.0)


def is_dpdd(root: Path) -> bool:
    """Whether a folder is laid out so."""
    return any(_combined(root, part, "source").is_dir() for part in _PARTS)


def dpdd_pairs(root: Path, on_misfit: OnMisfit) -> list[Case]:
    """The pairs by part and name of the blurred picture."""
    return [pair for part in _PARTS for pair in _pairs(root, part, on_misfit)]


def _pairs(root: Path, part: str, on_misfit: OnMisfit) -> list[Case]:
    blurred, sharp = (pictures(_combined(root, part, name)) for name in ("source", "target"))
    if len(blurred) != len(sharp):
        # Pictures are matched by their place, so that one missing file would shift all behind it.
        on_misfit(
            _combined(root, part, "target"),
            f"holds {counted(len(sharp), 'picture')}, source holds {len(blurred)}; none is read",
        )
        return []
    folders = {side: root / f"{part}_{letter}" / "source" for side, (letter, _) in _SIDES.items()}
    views = {side: found for side, folder in folders.items() if (found := pictures(folder))}
    cases: list[Case] = []
    for (stem, truth), image in zip(blurred.items(), sharp.values(), strict=True):
        named = {side: (stem + _SIDES[side][1], stem) for side in views}
        found = {side: views[side].get(names[0]) or views[side].get(names[1]) for side, names in named.items()}
        for side in [side for side, path in found.items() if path is None]:
            on_misfit(folders[side], f"holds no {named[side][0]}, the {side} view of {truth.name}")
        kept = {side: path for side, path in found.items() if path is not None}
        if len(kept) == len(views) and all(fits(truth, path, on_misfit) for path in (image, *kept.values())):
            pair = PhotoPair(
                name=f"{part}/{stem}",
                scene=f"{part}/{stem}",
                image_file=image,
                truth_file=truth,
                view_files=kept,
                f_numbers=_F_NUMBERS,
            )
            cases.append(pair)
    return cases


def _combined(root: Path, part: str, name: str) -> Path:
    return root / f"{part}_c" / name
