"""Tables of attacks from their rows, in the layouts of AdvBokeh's Tables II and III, the paper's numbers beside them.

A number has its 95 % interval over pictures (`evaluation.intervals`). The paper attacks ImageNet's classifiers on the
1000 pictures of the NIPS 2017 development set, through a CoCNet that EBB! has trained. Its numbers are printed for the
architecture that ours is a narrow one of, through a network; they are not a target.
"""

from collections.abc import Iterable, Sequence

from evaluation.intervals import Scenes
from inverse.attacks.measuring import BOKEH, SHARP, Row
from inverse.attacks.pgd import METHODS

_KINDS = (SHARP, BOKEH, *METHODS)

# The paper's name of an architecture, by the beginning of ours.
_FAMILIES = {"resnet": "ResNet50", "vgg": "VGG", "densenet": "DenseNet", "mobilenet": "MobileNetV2"}

# Table II: accuracies of sharp, bokeh, gda, sm-gda, bg-gda; then PSNR, SSIM and LPIPS of the three attacks.
_TABLE_II = {
    "ResNet50": (
        (0.923, 0.864, 0.046, 0.054, 0.038),
        ((26.560, 0.8846, 0.0307), (26.597, 0.8842, 0.0302), (26.505, 0.8832, 0.0313)),
    ),
    "VGG": (
        (0.890, 0.807, 0.045, 0.048, 0.041),
        ((26.482, 0.8830, 0.0318), (26.556, 0.8850, 0.0302), (26.378, 0.8813, 0.0327)),
    ),
    "DenseNet": (
        (0.946, 0.885, 0.048, 0.060, 0.038),
        ((26.547, 0.8842, 0.0314), (26.582, 0.8848, 0.0303), (26.472, 0.8828, 0.0322)),
    ),
    "MobileNetV2": (
        (0.885, 0.797, 0.024, 0.038, 0.020),
        ((26.550, 0.8847, 0.0305), (26.573, 0.8846, 0.0300), (26.484, 0.8832, 0.0311)),
    ),
}
# Table III: accuracies of the second on pictures made against the first: gda, sm-gda, bg-gda.
_TABLE_III = {
    ("ResNet50", "VGG"): (0.695, 0.714, 0.684),
    ("ResNet50", "DenseNet"): (0.771, 0.798, 0.744),
    ("ResNet50", "MobileNetV2"): (0.675, 0.717, 0.669),
    ("VGG", "ResNet50"): (0.754, 0.789, 0.731),
    ("VGG", "DenseNet"): (0.796, 0.832, 0.789),
    ("VGG", "MobileNetV2"): (0.664, 0.711, 0.648),
    ("DenseNet", "ResNet50"): (0.712, 0.759, 0.684),
    ("DenseNet", "VGG"): (0.691, 0.714, 0.684),
    ("DenseNet", "MobileNetV2"): (0.675, 0.720, 0.668),
    ("MobileNetV2", "ResNet50"): (0.766, 0.786, 0.758),
    ("MobileNetV2", "VGG"): (0.676, 0.704, 0.665),
    ("MobileNetV2", "DenseNet"): (0.803, 0.831, 0.800),
}


def tables(rows: Sequence[Row]) -> str:
    """Both tables of every renderer in the rows, as Markdown."""
    parts = []
    for renderer in dict.fromkeys(row["renderer"] for row in rows):
        table = _Tables([row for row in rows if row["renderer"] == renderer], renderer)
        parts += [f"## Through `{renderer}`", table.facts(), "### Attack", table.attack()]
        if len(table.classifiers) > 1:
            parts += ["### Transfer", table.transfer()]
    return "\n\n".join(parts) + "\n"


class _Tables:
    """The tables of the rows of one renderer."""

    def __init__(self, rows: Sequence[Row], renderer: str):
        self._rows = {(row["image"], row["classifier"], row["method"]): row for row in rows}
        self.classifiers = list(dict.fromkeys(name for row in rows for name in row["said"]))
        images = list(dict.fromkeys(row["image"] for row in rows))
        self._images = images
        self._scenes = Scenes({image: image for image in images})
        self._is_network = renderer.startswith("cocnet")

    def facts(self) -> str:
        """Pictures, and the bounds of the attacks, in a sentence."""
        made = {(r["method"], r["eps"], r["steps"]) for r in self._rows.values() if r["classifier"]}
        attacks = ", ".join(f"{method} {eps:g} in {steps} steps" for method, eps, steps in sorted(made))
        return f"{len(self._images)} pictures; largest change of a depth in [0, 1]: {attacks or 'none'}."

    def attack(self) -> str:
        """Table II: what each classifier says of pictures made against itself, and what they look like."""
        lines = [
            "| classifier | picture | accuracy | paper | fooled | PSNR, SSIM, LPIPS to sharp | paper | to bokeh |",
            "|---|---|---:|---:|---:|---:|---:|---:|",
        ]
        for name in self.classifiers:
            for i, kind in enumerate(_KINDS):
                rows = self._of(kind, name)
                if not rows:
                    continue
                printed = _TABLE_II.get(self._paper(name) or "")
                similar = printed[1][i - 2] if printed and i >= 2 else None
                cells = (
                    *(f"`{name}`", kind, self._shown(_right(rows, name), 3)),
                    f"{printed[0][i]:.3f}" if printed else "",
                    self._fooled(rows, name) if i >= 2 else "",
                    self._similarity(rows, "to_sharp") if kind != SHARP else "",
                    "{:.2f}, {:.4f}, {:.4f}".format(*similar) if similar else "",
                    self._similarity(rows, "to_bokeh") if i >= 2 else "",
                )
                lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)

    def transfer(self) -> str:
        """Table III: what the others say of pictures made against one."""
        lines = [f"| made against | said by | {' | '.join(_KINDS)} |", f"|---|---|{'---:|' * len(_KINDS)}"]
        for made in self.classifiers:
            for name in self.classifiers:
                if name == made or not any(self._of(method, made) for method in METHODS):
                    continue
                printed = _TABLE_III.get((self._paper(made) or "", self._paper(name) or ""))
                cells = []
                for i, kind in enumerate(_KINDS):
                    rows = self._of(kind, made)
                    beside = f" ({printed[i - 2]:.3f})" if printed and rows and i >= 2 else ""
                    cells.append(self._shown(_right(rows, name), 3) + beside if rows else "-")
                lines.append(f"| `{made}` | `{name}` | {' | '.join(cells)} |")
        return "\n".join(lines)

    def _of(self, kind: str, made: str) -> list[Row]:
        """The rows of a kind; those of attacks, made against a classifier."""
        against = "" if kind in (SHARP, BOKEH) else made
        return [row for image in self._images if (row := self._rows.get((image, against, kind)))]

    def _fooled(self, rows: Iterable[Row], name: str) -> str:
        """Share of what is wrong now among what was right as bokeh."""
        right = _right((self._rows[row["image"], "", BOKEH] for row in rows), name)
        now = _right(rows, name)
        return self._shown({image: 1.0 - now[image] for image in now if right[image]}, 3)

    def _similarity(self, rows: Sequence[Row], to: str) -> str:
        parts = []
        for metric, digits in (("psnr", 2), ("ssim", 4), ("lpips", 4)):
            values = [row[to][metric] for row in rows if row[to][metric] is not None]
            parts.append(f"{sum(values) / len(values):.{digits}f}" if values else "-")
        return ", ".join(parts)

    def _shown(self, values: dict[str, float], digits: int) -> str:
        if not values:
            return "-"
        return self._scenes.mean(values).text(digits)

    def _paper(self, name: str) -> str | None:
        if not self._is_network:
            return None
        return next((paper for ours, paper in _FAMILIES.items() if name.startswith(ours)), None)


def _right(rows: Iterable[Row], name: str) -> dict[str, float]:
    """By picture, 1 where the classifier says its label."""
    return {row["image"]: float(row["said"][name] == row["label"]) for row in rows}
