"""CoCNet (Huang et al. 2021), a model for every row of its Table I and of the narrow ablation."""

from dataclasses import dataclass, replace
from typing import Generic

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from bokehdata import corruptions
from bokehdata.torch_data import Crop
from renderers.neural.cocnet.inference import NETWORKS, relative_depth
from renderers.neural.cocnet.network import CoCNet
from training.losses import dissimilarity
from training.model import Model, Samples
from training.models.pairs import PAIRS, AnyPairBatch, PairBatch, PairTraining, for_pairs, pair_planes
from training.module import PlaneBatch
from training.presets import Preset, PresetName


@dataclass(frozen=True, kw_only=True)
class CocnetPreset(Preset):
    """Settings of CoCNet.

    from_identity   whether the last layer begins at 0, so that the first picture is the one given; not in the paper
    """

    from_identity: bool = False


class DepthBatch(PairBatch):
    """disparity   that is given, larger is nearer"""

    disparity: PlaneBatch


def depth_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of a DepthBatch."""
    return {**pair_planes(crop), "disparity": crop.disparity_given}


class CocnetTraining(PairTraining[AnyPairBatch], Generic[AnyPairBatch]):
    """L1 and 1 - SSIM; for "-l2" the mean square error and 1 - SSIM."""

    def __init__(self, name: str, preset: CocnetPreset, steps: int):
        network = NETWORKS[name]()
        assert isinstance(network, CoCNet)
        if preset.from_identity:
            network.start_from_identity()
        super().__init__(network, preset, steps)
        self._pixel_loss = mse_loss if name.endswith("-l2") else l1_loss

    def loss(self, rendered: Tensor, truth: Tensor) -> Tensor:
        return self._pixel_loss(rendered, truth) + dissimilarity(rendered, truth)


class CocnetDepthTraining(CocnetTraining[DepthBatch]):
    """The variant that is given a depth map."""

    def render(self, network: nn.Module, batch: DepthBatch) -> Tensor:
        return network(batch["image"], relative_depth(batch["disparity"]))


def _model(name: str) -> Model[CocnetPreset]:
    with_depth = name.endswith("-depth")
    training = CocnetDepthTraining if with_depth else CocnetTraining
    return Model(
        name=name,
        presets=PRESETS,
        build=lambda preset, steps, weights: training(name, preset, steps),
        samples=Samples(DepthBatch, depth_planes, corruptions.REACH_PX) if with_depth else PAIRS,
        information="disparity" if with_depth else "picture",
        ablations={"128px": {"crop_px": 128, "batch": 4}},
    )


PRESETS: dict[PresetName, CocnetPreset] = {
    "smoke": for_pairs(CocnetPreset.smoke()),
    "cpu": replace(for_pairs(CocnetPreset.cpu()), crop_px=192, batch=2, from_identity=True),
    # Adam at 2e-4, batches of 2 pictures of 1024 x 1024 px. The paper squeezes whole pictures to that size and does not
    # say for how long it trains: here crops of that size, for 60 epochs.
    "paper": for_pairs(CocnetPreset(crop_px=1024, batch=2, learning_rate=2e-4, epochs=60)),
}
COCNET = {name: _model(name) for name in NETWORKS}
