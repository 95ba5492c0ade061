"""Rows of an attack: one picture, attacked through one renderer against one classifier, and what all classifiers say.

A row: image, label, renderer, classifier (that is attacked, "" for none), method ("sharp", "bokeh", or that of an
attack), eps, steps; `said`, the label that each classifier gives to the picture; `to_sharp` and `to_bokeh`, PSNR (null
for equal pictures), SSIM and LPIPS (null where it is not installed) against the sharp and against the bokeh picture;
`loss`, the cross-entropy before and after the attack.

The paper's caption compares the attacked picture with the sharp one, and its text with the bokeh one. Both are here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bokehdata.cases import Case, StackCase, known_disparity
from evaluation.lpips import Lpips
from evaluation.metrics import psnr, ssim
from inverse.attacks.classifiers import Attacked
from inverse.attacks.pgd import Attack, attacked_depth
from inverse.attacks.through import Through
from inverse.deblurring.pairs import begins_blurred
from renderers.base import RendererError
from renderers.neural.tensors import picture_from_tensor, tensor_from_plane
from scenes.arrays import Picture, Plane
from scenes.lens import ThinLens

Row = dict[str, Any]

SHARP, BOKEH = "sharp", "bokeh"


@dataclass(frozen=True, eq=False)
class Subject:
    """A picture to attack: what all its rows have in common.

    picture     (1, 3, H, W) display values in [0, 1]: the sharp picture, of `dpdd-like` too
    disparity   (1, 1, H, W)
    lens        of the blurred picture, None where it is not known
    """

    name: str
    label: str
    picture: Tensor
    disparity: Tensor
    lens: ThinLens | None

    @classmethod
    def of(cls, case: Case, disparity: Plane | None = None) -> "Subject":
        """The subject of a case; DatasetError where it has no disparity and none is given."""
        assert case.label is not None
        plane = known_disparity(case) if disparity is None else disparity
        picture = tensor_from_plane(sharp_picture(case))
        return cls(case.name, case.label, picture, tensor_from_plane(plane), lens_of_blur(case))


def sharp_picture(case: Case) -> Picture:
    """(H, W, 3) display values in [0, 1]: the sharp picture of a case, whichever of its two that is."""
    is_truth = isinstance(case, StackCase) and begins_blurred(case)
    return np.clip(case.truth() if is_truth else case.image(), 0.0, 1.0)


def lens_of_blur(case: Case) -> ThinLens | None:
    """The lens of the blurred picture of a case, None where it is not known."""
    if case.blur_parameter is None or case.focus_disparity is None:
        return None
    if isinstance(case, StackCase) and case.input_setting is not None and begins_blurred(case):
        return case.lens(case.folder.stack().blur_parameters[case.input_setting.blur_index])
    return case.lens()


@dataclass(frozen=True, eq=False)
class Made:
    """A row and what it was measured on.

    picture   (H, W, 3) display values in [0, 1]
    depth     (H, W) in [0, 1] that it is rendered with, larger is farther
    before    the bokeh picture and the depth that are not attacked
    """

    row: Row
    picture: Picture
    depth: Plane
    before: tuple[Picture, Plane]


@dataclass(frozen=True, eq=False)
class Bench:
    """Every classifier, and what pictures are compared by.

    lpips   None where it is not installed
    seed    of random starts
    """

    classifiers: Sequence[Attacked]
    lpips: Lpips | None = None
    seed: int = 0

    def plain(self, subject: Subject, renderer: Through, kind: Literal["sharp", "bokeh"]) -> Made:
        """The row of the sharp or of the bokeh picture."""
        depth, render = renderer.of(subject.picture, subject.disparity, _lenses(subject))
        bokeh = _rendered(render, depth)
        row = {"classifier": "", "method": kind, "eps": 0.0, "steps": 0}
        return self._made(subject, renderer, row, (subject.picture if kind == SHARP else bokeh, depth), (bokeh, depth))

    def attacked(self, subject: Subject, renderer: Through, against: Attacked, attack: Attack) -> Made:
        """The row of an attack; RendererError for a label that the classifier does not know."""
        depth, render = renderer.of(subject.picture, subject.disparity, _lenses(subject))
        bokeh, index = _rendered(render, depth), against.index(subject.label)
        with torch.no_grad():
            before = against.logits(bokeh)
        if index >= before.shape[1]:
            raise RendererError(f"{against.name} has {before.shape[1]} classes; {subject.name} has the label {index}")
        label = torch.tensor([index])
        generator = torch.Generator().manual_seed(self.seed)
        moved = attacked_depth(render, against.logits, depth, label, attack, generator=generator)
        picture = _rendered(render, moved)
        with torch.no_grad():
            losses = [float(F.cross_entropy(logits, label)) for logits in (before, against.logits(picture))]
        row = {"classifier": against.name, "method": attack.method, "eps": attack.eps, "steps": attack.steps}
        return self._made(subject, renderer, {**row, "loss": losses}, (picture, moved), (bokeh, depth))

    def _made(
        self,
        subject: Subject,
        renderer: Through,
        row: Row,
        after: tuple[Tensor, Tensor],
        before: tuple[Tensor, Tensor],
    ) -> Made:
        """A row of a picture and its depth, beside those that are not attacked."""
        with torch.no_grad():
            said = {c.name: c.label(int(c.logits(after[0]).argmax(1))) for c in self.classifiers}
        picture, bokeh, sharp = (picture_from_tensor(x) for x in (after[0], before[0], subject.picture))
        moved, depth = (picture_from_tensor(x)[..., 0] for x in (after[1], before[1]))
        measured = {
            "image": subject.name,
            "label": subject.label,
            "renderer": renderer.name,
            **row,
            "said": said,
            "to_sharp": self._similarity(picture, sharp),
            "to_bokeh": self._similarity(picture, bokeh),
        }
        return Made(measured, picture, moved, (bokeh, depth))

    def _similarity(self, picture: Picture, other: Picture) -> Mapping[str, float | None]:
        ratio = psnr(picture, other, data_range=1.0)
        return {
            "psnr": ratio if math.isfinite(ratio) else None,
            "ssim": ssim(picture, other, data_range=1.0),
            "lpips": None if self.lpips is None else self.lpips(picture, other),
        }


def label_of(case: Case, judge: Attacked) -> str:
    """What a classifier says of the sharp picture of a case."""
    with torch.no_grad():
        return judge.label(int(judge.logits(tensor_from_plane(sharp_picture(case))).argmax(1)))


def use_threads(count: int) -> None:
    """CPU threads of everything that is computed here, in this process."""
    torch.set_num_threads(count)


def _rendered(render: Callable[[Tensor], Tensor], depth: Tensor) -> Tensor:
    with torch.no_grad():
        return render(depth).clamp(0.0, 1.0)


def _lenses(subject: Subject) -> list[ThinLens] | None:
    return None if subject.lens is None else [subject.lens]
