"""What the trainings of BokehMe's networks share (Peng et al. 2022): the classical half in samples, and the fusion."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bokehdata.torch_data import Crop
from renderers.neural.bokehme.error_map import improved_error_map
from renderers.neural.bokehme.inference import (
    DEFOCUS_UNIT_PX,
    classical_half,
    highlights,
    normalized_gamma,
)
from training.measurements import shown_psnr
from training.module import Batch, PictureBatch, PlaneBatch
from training.presets import Preset

# Pixels whose error map exceeds this are "near edges": the networks are to be better than the scatter there.
NEAR_EDGE = 0.1


@dataclass(frozen=True, kw_only=True)
class BokehmePreset(Preset):
    """Settings of a network whose picture is fused with the scatter.

    elsewhere   weight of the errors of its own picture where the scatter makes none; 1 in the paper
    """

    elsewhere: float = 1.0


class SeenBatch(Batch):
    """What the networks see.

    image        all-in-focus display values, not clipped
    defocus_px   signed, of the disparity given
    """

    image: PictureBatch
    defocus_px: PlaneBatch


class FusionBatch(SeenBatch):
    """And what their pictures are fused with and compared to.

    truth        display values, clipped as it is shown and compared
    classical    the scatter of the image clipped at white, display values
    highlights   the blur of the light above white, linear light
    error_map    where the scatter is expected to be wrong
    """

    truth: PictureBatch
    classical: PictureBatch
    highlights: PictureBatch
    error_map: PlaneBatch


def fusion_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of a FusionBatch.

    As at inference, the classical picture, the highlights and the defocus come from the disparity that is given; the
    error map comes from the true one.
    """
    known, gamma = crop.refocusing, crop.case.gamma
    base = np.minimum(crop.image, np.float32(1.0))
    return {
        "image": crop.image,
        "defocus_px": known.defocus_px,
        "truth": np.clip(crop.truth, 0.0, 1.0),
        "classical": classical_half(base, known.disparity_given, known.lens, gamma),
        "highlights": highlights(crop.image, known.disparity_given, known.lens, gamma),
        "error_map": improved_error_map(known.disparity, known.lens),
    }


def seen(batch: SeenBatch) -> tuple[Tensor, Tensor, Tensor]:
    """What ARNet and the error map take: the image clipped at white, the defocus in units of 10 px, gamma in [0, 1]."""
    return batch["image"].clamp(max=1.0), batch["defocus_px"] / DEFOCUS_UNIT_PX, normalized_gamma(batch["gamma"])


def with_highlights(picture: Tensor, highlights: Tensor, gamma: Tensor) -> Tensor:
    """A picture of the light below white with linear light added: clipped where some is added, else unchanged.

    picture, highlights   (B, 3, H, W)
    gamma                 (B)
    """
    gamma = gamma.reshape(-1, 1, 1, 1)
    # The slope of a root is infinite at black.
    lit = (picture.clamp(min=1e-3) ** gamma + highlights) ** (1.0 / gamma)
    return torch.where(highlights > 0.0, lit.clamp(max=1.0), picture)


def classical_picture(batch: FusionBatch) -> Tensor:
    """The whole picture without a network, (B, 3, H, W)."""
    return with_highlights(batch["classical"], batch["highlights"], batch["gamma"])


def picture_numbers(batch: FusionBatch, pictures: dict[str, Tensor]) -> dict[str, float]:
    """PSNR of each picture over all pixels and over those near edges, by name."""
    near = batch["error_map"] > NEAR_EDGE
    numbers = {}
    for name, picture in pictures.items():
        numbers[f"{name}_psnr"] = shown_psnr(picture, batch["truth"])
        numbers[f"{name}_psnr_near_edges"] = shown_psnr(picture, batch["truth"], near)
    return numbers
