"""Archives of samples: many pictures in a few files, for storage and code that want it so."""

from collections.abc import Callable
from pathlib import Path

from bokehdata.cases import Case
from bokehdata.format import DatasetError
from bokehdata.shards.parquet import DATA_FOLDER, parquet_cases
from bokehdata.shards.webdataset import tar_cases
from bokehdata.shards.writing import shards_of

_READERS: dict[str, Callable[[Path], list[Case]]] = {".tar": tar_cases, ".parquet": parquet_cases}


def archives(root: Path) -> list[Path]:
    """The archives of a folder, sorted; [] for a folder of something else."""
    folders = [folder for folder in (root, root / DATA_FOLDER) if folder.is_dir()]
    found = (path for folder in folders for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in found if path.suffix in _READERS and path.is_file())


def shard_cases(root: Path) -> list[Case]:
    """Every sample of the archives of a folder, in their order.

    DatasetError for an archive that is missing by `shards.jsonl`, that cannot be read, or that holds something else.
    """
    found = archives(root)
    for shard in shards_of(root):
        if root / shard["file"] not in found:
            raise DatasetError(f"{root / shard['file']}: is missing; export again to restore it")
    cases = [case for path in found for case in _READERS[path.suffix](path)]
    names = set()
    for case in cases:
        if case.name in names:
            raise DatasetError(
                f"{case.files()[0]}: has {case.name} a second time; put each export in a folder of its own"
            )
        names.add(case.name)
    return cases
