"""AMPN (Georgiadis et al. 2022), a model for every row of its Table 3."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from bokehdata import corruptions
from bokehdata.torch_data import Crop
from evaluation.lpips import Lpips, LpipsUnavailable
from renderers.neural.ampn.inference import NETWORKS, sharp_where
from renderers.neural.ampn.network import AMPN
from renderers.neural.trunks import MobileNetV2, load_trunk
from training.losses import dissimilarity
from training.model import Model, Samples
from training.models.pairs import PAIRS, AnyPairBatch, PairBatch, PairTraining, for_pairs, pair_planes
from training.module import PlaneBatch
from training.perceptual import gradients_at_scales
from training.presets import Preset, PresetName


@dataclass(frozen=True, kw_only=True)
class AmpnPreset(Preset):
    """Settings of AMPN.

    from_identity   whether it begins with the picture given; not in the paper
    """

    from_identity: bool = False


class MaskBatch(PairBatch):
    """mask   1 where the truth is sharp"""

    mask: PlaneBatch


def mask_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of a MaskBatch."""
    return {**pair_planes(crop), "mask": sharp_where(crop.refocusing.defocus_px)}


class AmpnTraining(PairTraining[AnyPairBatch], Generic[AnyPairBatch]):
    """10 L1 + 2 LPIPS + (1 - SSIM) of the final picture."""

    def __init__(self, name: str, preset: AmpnPreset, steps: int, weights: Mapping[str, Path]):
        network = NETWORKS[name]()
        assert isinstance(network, AMPN)
        if preset.from_identity:
            network.start_from_identity()
        if given := weights.get(MobileNetV2.torchvision):
            for trunk in network.trunks:
                load_trunk(trunk, given)
        super().__init__(network, preset, steps)
        try:
            self._distance = Lpips().distance
        except LpipsUnavailable as error:
            self._distance = gradients_at_scales
            self.notes = (f"differences of neighbours at four sizes stand in for LPIPS in the loss: {error}",)

    def loss(self, rendered: Tensor, truth: Tensor) -> Tensor:
        perceived = self._distance(rendered, truth)
        return 10.0 * l1_loss(rendered, truth) + 2.0 * perceived + dissimilarity(rendered, truth)

    def measurements(self, batch: AnyPairBatch) -> tuple[dict[str, float], list[Tensor]]:
        numbers, pictures = super().measurements(batch)
        # Nothing but the last step of the network makes its mask one: a mean near 0 or 1 is a run that failed.
        if isinstance(self.validated, AMPN) and self.validated.mask_net is not None:
            mask = self.validated.found(batch["image"])
            numbers["mask_mean"] = float(mask.mean())
            pictures.append(mask)
        return numbers, pictures


class AmpnMaskTraining(AmpnTraining[MaskBatch]):
    """The row without G1, with masks of what the truth has in focus."""

    def render(self, network: nn.Module, batch: MaskBatch) -> Tensor:
        return network(batch["image"], batch["mask"])


PRESETS: dict[PresetName, AmpnPreset] = {
    "smoke": for_pairs(AmpnPreset.smoke()),
    "cpu": replace(for_pairs(AmpnPreset.cpu()), crop_px=256, from_identity=True),
    # Adam at 2e-4, batches of 8, 500 epochs. The paper trains on whole pictures of 1536 x 1024 px.
    "paper": for_pairs(AmpnPreset(crop_px=1024, batch=8, learning_rate=2e-4, epochs=500)),
}


def _model(name: str) -> Model[AmpnPreset]:
    masked = name == "ampn-no-g1"
    training = AmpnMaskTraining if masked else AmpnTraining
    return Model(
        name=name,
        presets=PRESETS,
        build=lambda preset, steps, weights: training(name, preset, steps, weights),
        samples=Samples(MaskBatch, mask_planes, corruptions.REACH_PX) if masked else PAIRS,
        information="refocusing" if masked else "picture",
        trunk=MobileNetV2.torchvision,
    )


AMPN_ROWS = {name: _model(name) for name in NETWORKS}
