"""Open any folder that has pictures and their truth: our datasets, folders of BLB, plain folders, pairs, archives."""

from bokehdata.cases import Case, stack_cases
from bokehdata.format import DATASET_FILE, DatasetError, reading
from bokehdata.pairs import layout_of
from bokehdata.pairs.pair import OnMisfit, refuse
from bokehdata.plain import is_plain, plain_cases
from bokehdata.reader import Dataset
from bokehdata.shards import archives, shard_cases
from runtime.copies import local_folder
from runtime.storage import Place, Url


def open_cases(root: Place, on_misfit: OnMisfit = refuse) -> list[Case]:
    """Every case of a folder, or of what is at a URL, in a fixed order.

    DatasetError for a folder of another layout or without pictures.

    on_misfit   told of every file of a set of pairs that is left out, and why; by default DatasetError for the first
    """
    root = readable(root)
    if isinstance(root, Url):
        cases = stack_cases(Dataset(root))
    elif not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    elif is_plain(root):
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


def readable(root: Place) -> Place:
    """Where to read what is at a place: a path, and a dataset of ours, where they are; of other URLs, a copy."""
    with reading(root):
        return root if isinstance(root, Url) and (root / DATASET_FILE).is_file() else local_folder(root)
