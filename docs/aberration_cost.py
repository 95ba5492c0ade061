"""What a real lens costs renderers that know thin ones: a table in Markdown for docs/results.md.

python docs/aberration_cost.py results/real results/thin

The two results are of one recipe, without and with `lens: {thin: true}`: the same scenes, the same seed. Each row is a
renderer's mean PSNR on either, in the region that stands for the protocol, and real minus thin with its 95 % interval
over scenes.
"""

import sys
from pathlib import Path
from typing import Any

from evaluation.intervals import Scenes
from evaluation.results import read_results
from evaluation.tables import headline, in_words, value


def main(real: str, thin: str) -> None:
    documents = [read_results(Path(folder)) for folder in (real, thin)]
    region = headline(documents[0])
    scenes = Scenes({row["image"]: row["scene"] for document in documents for row in document["rows"]})
    print(f"PSNR, {in_words(region)}\n\n| renderer | real | thin | real - thin, dB |")
    print("|---|---:|---:|---:|")
    for renderer in dict.fromkeys(row["renderer"] for row in documents[0]["rows"]):
        of_real, of_thin = (_psnr(document, renderer, region) for document in documents)
        # A benchmark with --limit may have measured others on one side.
        both = of_real.keys() & of_thin.keys()
        of_real, of_thin = ({image: psnr[image] for image in sorted(both)} for psnr in (of_real, of_thin))
        difference = scenes.difference(of_real, of_thin)
        if difference is None:
            continue
        means = " | ".join(f"{scenes.mean(values).mean:.2f}" for values in (of_real, of_thin))
        print(f"| `{renderer}` | {means} | {difference.mean:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}] |")


def _psnr(document: dict[str, Any], renderer: str, region: str) -> dict[str, float]:
    """By picture, of those that the renderer could render."""
    rows = (row for row in document["rows"] if row["renderer"] == renderer and "error" not in row)
    return {row["image"]: psnr for row in rows if (psnr := value(row, "psnr", region)) is not None}


if __name__ == "__main__":
    main(*sys.argv[1:])
