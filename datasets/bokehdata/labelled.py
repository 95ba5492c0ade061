"""Pictures and what they are pictures of: what classifiers are measured on.

Every folder of `bokehdata.opening` whose scenes have labels, such as those of the recipe `objects`; and pictures that
a table gives labels to, without a truth:

    labels.csv      name,label: a picture of images/ or of the folder itself, by its file or its stem, and any text
    images.csv      the table of the NIPS 2017 development set: ImageId and TrueLabel, from 1, of images/IMAGEID.png.
                    As a label it is the index of ImageNet's 1000 classes from 0, which torchvision's classifiers have
    disparity/      where it is known: files of the same stems, as in a plain folder
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from bokehdata.cases import Case
from bokehdata.format import DatasetError
from bokehdata.opening import open_cases
from bokehdata.plain import DISPARITY_FOLDER, PictureFile, files_of
from scenes.arrays import Picture

# Columns of a table: of the name and of the label.
_OURS, _NIPS = ("name", "label"), ("ImageId", "TrueLabel")
_IMAGES_FOLDER = "images"


@dataclass(frozen=True, kw_only=True)
class LabelledPicture(PictureFile):
    """A picture without a truth."""

    def truth(self) -> Picture:
        raise DatasetError(f"{self.image_file}: has no truth; it is a picture with a label alone")


def open_labelled(root: Path, *, required: bool = True) -> list[Case]:
    """One case of every scene; DatasetError for a table that does not fit.

    required   whether a case without a label is a DatasetError too
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    for table in sorted(root.glob("*.csv")):
        if (rows := _rows(table)) is not None:
            return _pictures(root, table, rows)
    # The first truth of a scene stands for it: its picture and its label are those of the others.
    cases = list({case.scene: case for case in reversed(open_cases(root))}.values())[::-1]
    for case in cases:
        if required and case.label is None:
            raise DatasetError(
                f"{root}: {case.name} has no label; make scenes of the recipe objects, or add labels.csv"
            )
    return cases


def _rows(table: Path) -> dict[str, str] | None:
    """Labels by name; None for a table of something else."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = next((c for c in (_OURS, _NIPS) if set(c) <= set(reader.fieldnames or ())), None)
            if columns is None:
                return None
            rows = {row[columns[0]]: row[columns[1]] for row in reader}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{table}: cannot be read as a table ({error})") from error
    if columns == _OURS:
        return rows
    if wrong := next((name for name, label in rows.items() if not (label or "").isdecimal() or int(label) < 1), None):
        raise DatasetError(f"{table}: TrueLabel of {wrong} is {rows[wrong]!r}; it must be a number from 1")
    return {name: str(int(label) - 1) for name, label in rows.items()}


def _pictures(root: Path, table: Path, labels: dict[str, str]) -> list[Case]:
    folder = root / _IMAGES_FOLDER
    pictures = files_of(folder if folder.is_dir() else root)
    disparities = files_of(root / DISPARITY_FOLDER) if (root / DISPARITY_FOLDER).is_dir() else {}
    cases: list[Case] = []
    for name, label in labels.items():
        stem = name if name in pictures else Path(name).stem
        if not label or stem not in pictures:
            what = "has no label" if stem in pictures else f"there is no such picture in {folder}"
            raise DatasetError(f"{table}: {name}: {what}")
        cases.append(
            LabelledPicture(
                name=stem,
                scene=stem,
                label=label,
                image_file=pictures[stem],
                disparity_file=disparities.get(stem),
            )
        )
    if not cases:
        raise DatasetError(f"{table}: lists no picture")
    return cases
