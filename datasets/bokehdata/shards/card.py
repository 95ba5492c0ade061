"""The card of a dataset on Hugging Face: README.md, whose YAML header the site and `datasets` read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bokehdata.cases import Case
from bokehdata.documents import read_yaml, yaml_text
from bokehdata.format import DATASET_FILE, writing
from bokehdata.shards.parquet import DATA_FOLDER
from runtime.command import counted
from runtime.files import write_whole
from runtime.storage import Place

CARD_FILE = "README.md"

# Upper ends of the site's classes of size.
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

_TEXT = """
# {title}

{pictures} of lens blur with their all-in-focus pictures, from {scenes}. Made with bokehforge.

    from datasets import load_dataset

    rows = load_dataset("{title}", split="train")
    rows[0]["image"], rows[0]["truth"], rows[0]["disparity"]

| column | what it is |
|---|---|
| `image`, `truth` | all in focus, and blurred: display values, as a screen shows them |
| `image_file`, `truth_file` | the file itself where it holds more: OpenEXR in linear light, with highlights above 1 |
| `disparity` | 32-bit floating point; larger is nearer, 0 is infinity; null where nobody knows it |
| `blur_parameter`, `focus_disparity` | K and d_f: a point of disparity d has the blur radius K (d - d_f), in pixels |
| `gamma` | blur happened in linear light, display ** gamma |
| `aperture` | its shape, JSON |
| `noise_rmse` | of the truth against the converged picture, in display values |
| `level`, `focus_index` | which blur parameter, from 1 on, and which focus of its scene |
| `name`, `scene`, `number` | rows of one scene share the all-in-focus picture and the disparity |
| `origins` | what the picture shows, by content, JSON: rows that share one belong to one split |
| `schema`, `is_linear` | for bokehforge, which reads these files as it reads a dataset |

{licence}
{header}"""


def write_card(out: Path, source: Place, cases: Sequence[Case]) -> None:
    """Write the card of the Parquet files in a folder, from the `dataset.yaml` of the data, where they have one."""
    header = read_yaml(source / DATASET_FILE) if (source / DATASET_FILE).is_file() else {}
    with writing(out / CARD_FILE):
        write_whole(out / CARD_FILE, card(source.resolve().name, cases, header))


def card(title: str, cases: Sequence[Case], header: Mapping[str, Any]) -> str:
    """The text of a card; `header` is the content of `dataset.yaml`, {} where there is none."""
    told = header.get("licence")
    about = {
        "license": "cc0-1.0" if told and "CC0-1.0" in str(told) else "other" if told else "unknown",
        "pretty_name": title,
        "task_categories": ["image-to-image", "depth-estimation"],
        "tags": ["bokeh", "depth-of-field", "lens-blur", "refocusing"],
        "size_categories": [next((name for end, name in _SIZES if len(cases) < end), "1M<n<10M")],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": f"{DATA_FOLDER}/*.parquet"}]}],
    }
    made = f"\nIt was made so (`{DATASET_FILE}`):\n\n```yaml\n{yaml_text(header)}```\n" if header else ""
    text = _TEXT.format(
        title=title,
        pictures=counted(len(cases), "picture"),
        scenes=counted(len({case.scene for case in cases}), "scene"),
        licence=f"Licence: {told}."
        if told
        else "Licence: that of the pictures that it was made from, which is not known here.",
        header=made,
    )
    return f"---\n{yaml_text(about)}---\n{text}"
