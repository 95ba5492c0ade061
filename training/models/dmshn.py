"""DMSHN (Dutta et al. 2021) and its stacked form, in one stage, as CoCNet's "DMSHN-os" is trained.

The release goes on with the multi-scale SSIM for a second stage, which is left out.
"""

from dataclasses import replace

from torch import Tensor
from torch.nn.functional import l1_loss

from renderers.neural.dmshn.inference import NETWORKS
from training.losses import dissimilarity
from training.model import Model
from training.models.pairs import PAIRS, PairBatch, PairTraining, for_pairs
from training.presets import Preset, PresetName


class DmshnTraining(PairTraining[PairBatch]):
    """L1 and 1 - SSIM."""

    def loss(self, rendered: Tensor, truth: Tensor) -> Tensor:
        return l1_loss(rendered, truth) + dissimilarity(rendered, truth)


PRESETS: dict[PresetName, Preset] = {
    "smoke": for_pairs(Preset.smoke()),
    "cpu": replace(for_pairs(Preset.cpu()), crop_px=192, batch=2),
    # As CoCNet's, beside which it is a rival in that paper's table.
    "paper": for_pairs(Preset(crop_px=1024, batch=2, learning_rate=2e-4, epochs=60)),
}


def _model(name: str) -> Model[Preset]:
    return Model(
        name=name,
        presets=PRESETS,
        build=lambda preset, steps, weights: DmshnTraining(NETWORKS[name](), preset, steps),
        samples=PAIRS,
        information="picture",
    )


DMSHN = {name: _model(name) for name in NETWORKS}
