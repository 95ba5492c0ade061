"""Open any folder that has pictures and their truth: our datasets, folders of BLB, plain folders, pairs, archives."""

from pathlib import Path

from bokehdata.cases import Case, stack_cases
from bokehdata.format import DATASET_FILE, DatasetError
from bokehdata.pairs import layout_of
from bokehdata.pairs.pair import OnMisfit, refuse
from bokehdata.plain import is_plain, plain_cases
from bokehdata.reader import Dataset
from bokehdata.shards import archives, shard_cases


def open_cases(root: Path, on_misfit: OnMisfit = refuse) -> list[Case]:
    """Every case of a folder in a fixed order; DatasetError for a folder of another layout or without pictures.

    on_misfit   told of every file of a set of pairs that is left out, and why; by default DatasetError for the first
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    if is_plain(root):
        cases = plain_cases(root)
    elif not (root / DATASET_FILE).is_file() and (layout := layout_of(root)):
        cases = layout.cases(root, on_misfit)
    elif not (root / DATASET_FILE).is_file() and archives(root):
        cases = shard_cases(root)
    else:
        cases = stack_cases(Dataset(root))
    if not cases:
        raise DatasetError(f"{root}: holds no picture with its truth")
    return cases
