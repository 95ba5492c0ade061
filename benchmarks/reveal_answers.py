"""What a network that answers without error would be worth to `reveal`, part by part: renderers for the benchmark.

    bokehforge benchmark --data datasets/blb-levels --limit 50 --no-lpips --out results/oracles --renderers reveal \\
        true-mattes=benchmarks/reveal_answers.py:mattes true-seen=benchmarks/reveal_answers.py:seen \\
        true-all=benchmarks/reveal_answers.py:everything

The answers are those that training compares with, from the true layers, in the layers of `reveal0` and within the
reach of RevealNet, so not at rims of lamps. The colours that follow from them and the projection are those of `reveal`.

    mattes       alpha
    seen         mattes, colours of what is in front, and colours of what is seen behind it
    everything   these, colours of what is hidden, and which surface it is
"""

from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

from renderers.neural.reveal.inference import refocus, tensors
from renderers.neural.reveal.layers import CHANGE, Layers, changed
from renderers.neural.reveal.rims import Rims, rims
from renderers.neural.tensors import tensor_from_plane
from scenes.arrays import Picture, Plane, single
from scenes.color import REFERENCE_GAMMA, display_from_linear, storable_light
from scenes.layered import LayeredScene
from scenes.lens import ThinLens, blur_radius_max_px
from training.models.reveal import TrueLayer, true_rims

# Of what shows less than this of itself, no colour is known.
_KNOWN = 0.02


class _Answer(nn.Module):
    """In place of the network: one answer, whatever it is shown."""

    def __init__(self, change: Tensor):
        super().__init__()
        self.change = nn.Parameter(change, requires_grad=False)

    def forward(self, _hints: Tensor) -> Tensor:
        return self.change


@torch.no_grad()
def true_answer(found: Rims, picture: Picture, scene: LayeredScene, told: Collection[str]) -> Tensor:
    """(1, 11, H, W): what is missing of the truth in the parts that are told, 0 in the others."""
    layers = tensors(found)
    true = [TrueLayer(single(scene.frame_rgba(i)), scene.frame_disparity(i)) for i in range(len(scene.layers))]
    light, opacity = true_rims(true, found.place, found.disparity)
    colour = torch.from_numpy(display_from_linear(light)).permute(0, 3, 1, 2)
    alpha = torch.from_numpy(opacity)[:, None]

    def missing(of: Layers, i: int) -> Tensor:
        return torch.where(alpha[i] > _KNOWN, colour[i] - of.at(of.colour, i), 0.0)

    matte, choice = (alpha[i] - layers.at(layers.alpha, i) for i in (0, 1))
    parts = {
        "alpha": matte,
        "near": missing(layers, 0),
        "seen": missing(layers, 1),
        "hidden": 0.0 * colour[:1],
        "choice": choice,
    }

    def answer() -> Tensor:
        return torch.cat([parts[name] if name in told else 0.0 * parts[name] for name in CHANGE], 1)

    # What is hidden has followed what is seen when its answer is added.
    parts["hidden"] = missing(changed(layers, answer(), tensor_from_plane(picture))[0], 1)
    return answer()


def _renderer(*told: str) -> Callable[..., Picture]:
    def render(
        image: Picture, disparity: Plane, lens: ThinLens, *, gamma: float = REFERENCE_GAMMA, scene: LayeredScene
    ) -> Picture:
        """(H, W, 3) display values."""
        reach_px = blur_radius_max_px(lens, disparity)
        found = rims(storable_light(image), disparity, reach_px)
        answer = _Answer(true_answer(found, image, scene, told))
        return refocus({"reveal": answer}, image, disparity, lens, gamma=gamma, arch="cpu")

    return render


mattes = _renderer("alpha")
seen = _renderer("alpha", "near", "seen")
everything = _renderer(*CHANGE)
