"""What the trainings of image-only networks share: pairs of a sharp picture and the one to make of it."""

from dataclasses import replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from bokehdata.torch_data import Crop
from training.measurements import shown_psnr
from training.model import Samples
from training.module import Batch, PictureBatch, Training
from training.presets import Preset

Settings = TypeVar("Settings", bound=Preset)

# A network that is told no lens learns that of the pictures, whatever their blur parameter.
BLUR_PARAMETER_MAX = 1000.0


class PairBatch(Batch):
    """image   all-in-focus display values, clipped at white as the network gets them
    truth   display values, clipped as it is shown and compared
    """

    image: PictureBatch
    truth: PictureBatch


def pair_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of a PairBatch."""
    return {"image": np.clip(crop.image, 0.0, 1.0), "truth": np.clip(crop.truth, 0.0, 1.0)}


PAIRS = Samples(PairBatch, pair_planes, margin_px=0)


def for_pairs(preset: Settings) -> Settings:
    """The preset for pictures of any blur parameter; what is given beside them, such as a mask, is the true one."""
    return replace(preset, blur_parameter_max=BLUR_PARAMETER_MAX, augmentation=0.0)


AnyPairBatch = TypeVar("AnyPairBatch", bound=PairBatch)


class PairTraining(Training[AnyPairBatch, AnyPairBatch], Generic[AnyPairBatch]):
    """A network from picture to picture. A model derives a class that says what is minimised."""

    criterion = "rendered_psnr"

    def render(self, network: nn.Module, batch: AnyPairBatch) -> Tensor:
        """The network's picture (B, 3, H, W)."""
        return network(batch["image"])

    def loss(self, rendered: Tensor, truth: Tensor) -> Tensor:
        """What is minimised."""
        raise NotImplementedError

    def objective(self, batch: AnyPairBatch) -> dict[str, Tensor]:
        return {"loss": self.loss(self.render(self.network, batch), batch["truth"])}

    def measurements(self, batch: AnyPairBatch) -> tuple[dict[str, float], list[Tensor]]:
        rendered = self.render(self.validated, batch)
        return {"rendered_psnr": shown_psnr(rendered, batch["truth"])}, [batch["image"], rendered, batch["truth"]]
