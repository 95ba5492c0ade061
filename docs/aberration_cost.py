"""What a real lens costs renderers that know thin ones: a table in Markdown for docs/results.md.

python docs/aberration_cost.py results/real results/thin

The two results are of one recipe, without and with `lens: {thin: true}`: the same scenes, the same seed. Each row is a
renderer's mean PSNR on either, and real minus thin with its 95 % interval over scenes.
"""

import sys
from pathlib import Path

from evaluation.intervals import Scenes
from evaluation.results import Row, read_results


def main(real: str, thin: str) -> None:
    rows = [_by_picture(read_results(Path(folder))["rows"]) for folder in (real, thin)]
    scenes = Scenes({picture: row["scene"] for part in rows for (_, picture), row in part.items()})
    print("| renderer | real | thin | real - thin, dB |")
    print("|---|---:|---:|---:|")
    for renderer in dict.fromkeys(name for name, _ in rows[0]):
        of_real, of_thin = ({p: row["psnr"] for (name, p), row in part.items() if name == renderer} for part in rows)
        difference = scenes.difference(of_real, of_thin)
        if difference is None:
            continue
        means = " | ".join(f"{scenes.mean(values).mean:.2f}" for values in (of_real, of_thin))
        print(f"| `{renderer}` | {means} | {difference.mean:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}] |")


def _by_picture(rows: list[Row]) -> dict[tuple[str, str], Row]:
    """The rows that have scores, by renderer and picture."""
    return {(row["renderer"], row["image"]): row for row in rows if row.get("psnr") is not None}


if __name__ == "__main__":
    main(*sys.argv[1:])
