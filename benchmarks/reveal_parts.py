"""What each part of the answer of RevealNet is worth: `reveal` with the rest of it left out, for the benchmark.

    bokehforge benchmark --data datasets/blb-levels --limit 50 --out results/parts --renderers reveal0 reveal \\
        nothing=benchmarks/reveal_parts.py:nothing alpha=benchmarks/reveal_parts.py:alpha \\
        unmixed=benchmarks/reveal_parts.py:unmixed hidden=benchmarks/reveal_parts.py:hidden

One network, the one that ships, is told to leave out; `--ablation` of the training has networks that never learned it.

    nothing   the layers of `reveal0`, projected: put over each other they are the picture
    alpha     mattes alone
    unmixed   mattes, and colours of what is seen: all but what is hidden
    hidden    what is hidden alone, its colour and which surface it is
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from renderers.layering.reveal import shipped_network
from renderers.neural.reveal.inference import refocus
from renderers.neural.reveal.layers import CHANGE
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA
from scenes.lens import ThinLens


class _Part(nn.Module):
    """A network that answers 0 but for some of `CHANGE`."""

    def __init__(self, network: nn.Module, kept: tuple[str, ...]):
        super().__init__()
        self.network = network
        keeps = [float(name in kept) for name, channels in CHANGE.items() for _ in range(channels)]
        self.keeps = nn.Buffer(torch.tensor(keeps)[:, None, None])

    def forward(self, hints: Tensor) -> Tensor:
        return self.network(hints) * self.keeps


def _renderer(*kept: str) -> Callable[..., Picture]:
    def render(image: Picture, disparity: Plane, lens: ThinLens, *, gamma: float = REFERENCE_GAMMA) -> Picture:
        """(H, W, 3) display values."""
        return refocus({"reveal": _Part(shipped_network(), kept)}, image, disparity, lens, gamma=gamma, arch="cpu")

    return render


nothing = _renderer()
alpha = _renderer("alpha")
unmixed = _renderer("alpha", "near", "seen")
hidden = _renderer("hidden", "choice")
