"""Open any folder that has pictures and their truth: our datasets, folders of BLB, plain folders."""

from pathlib import Path

from bokehdata.cases import Case, stack_cases
from bokehdata.format import DatasetError
from bokehdata.plain import is_plain, plain_cases
from bokehdata.reader import Dataset


def open_cases(root: Path) -> list[Case]:
    """Every case of a folder in a fixed order; DatasetError for a folder of another layout or without pictures."""
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    cases = plain_cases(root) if is_plain(root) else stack_cases(Dataset(root))
    if not cases:
        raise DatasetError(f"{root}: holds no picture with its truth")
    return cases
