"""The network of depth from defocus, trained as in Dr.Bokeh's section 4.3: by the blurred picture alone.

The disparity that it finds is rendered by the differentiable renderer, and compared with the blurred picture; the true
disparity is for validation. The layers of a scene get other disparities and slants in every sample. Its lens is focused
on the nearest or on the farthest that there is: a blur radius does not tell the side of the focus.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from bokehdata.format import DatasetError
from bokehdata.torch_data import Crop
from inverse.depth_from_defocus.losses import Loss, shown
from inverse.depth_from_defocus.network import DefocusDepthNet
from inverse.depth_from_defocus.renderings import drbokeh
from scenes.color import REFERENCE_GAMMA, display_from_linear
from scenes.lens import ThinLens
from training.model import Model, Samples
from training.models.reveal import composite, rearranged, through
from training.module import Batch, PictureBatch, PlaneBatch, Training
from training.presets import Preset

# The largest blur of a sample, pixels. So far from its border a crop is rendered from what is not there.
RADIUS_PX = (3.0, 12.0)


class DefocusDepthBatch(Batch):
    """Display values at the reference gamma, not clipped.

    image       all-in-focus
    truth       through the lens
    disparity   normalized, true
    lens        K in pixels and the disparity in focus, 0 or 1
    """

    image: PictureBatch
    truth: PictureBatch
    disparity: PlaneBatch
    lens: Float32[Tensor, "batch 2"]


def defocus_depth_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of a DefocusDepthBatch; DatasetError for a picture whose layers are not known."""
    scene = crop.case.layers()
    if scene is None:
        raise DatasetError(f"{crop.case.name}: has no layers, which defocus-depth is trained on; add layers/")
    layers = rearranged(scene, crop.window, rng=crop.rng)
    linear, disparity = composite(layers)
    # What is hidden may be nearer or farther than all that is seen, and is blurred too.
    low = min(float(layer.disparity.min()) for layer in layers)
    wide = max(max(float(layer.disparity.max()) for layer in layers) - low, 1e-3)
    layers = [replace(layer, disparity=(layer.disparity - low) / np.float32(wide)) for layer in layers]
    focus = float(crop.rng.integers(2))
    lens = ThinLens(math.exp(crop.rng.uniform(*np.log(RADIUS_PX))), focus)
    return {
        "image": display_from_linear(linear),
        "truth": display_from_linear(through(lens, layers)),
        "disparity": ((disparity - low) / wide).astype(np.float32),
        "lens": np.array([lens.blur_parameter, focus], np.float32),
    }


class DefocusDepthTraining(Training[DefocusDepthBatch, DefocusDepthBatch]):
    """The loss of Eq. 13. `constant_rmse` is that of the mean of the true disparity, which no estimate has."""

    criterion = "depth_rmse"
    larger_is_better = False

    def __init__(self, preset: Preset, steps: int):
        super().__init__(DefocusDepthNet(), preset, steps)
        self._loss = Loss(smoothness=0.5)

    def objective(self, batch: DefocusDepthBatch) -> dict[str, Tensor]:
        image, (blur_parameter, focus) = batch["image"], batch["lens"].unbind(1)
        disparity = self.network(image, batch["truth"], blur_parameter, focus).float()
        linear = image.clamp(min=0.0) ** REFERENCE_GAMMA
        relative = disparity - focus.view(-1, 1, 1, 1)
        pictures = zip(linear.split(1), relative.split(1), blur_parameter.tolist(), strict=True)
        rendered = torch.cat([drbokeh(*picture) for picture in pictures])
        margin = min(math.ceil(RADIUS_PX[1]), image.shape[-1] // 4)
        inside = (..., slice(margin, -margin), slice(margin, -margin))
        planes = shown(rendered, REFERENCE_GAMMA), batch["truth"].clamp(0.0, 1.0), disparity, image.clamp(0.0, 1.0)
        rmse = (disparity.detach() - batch["disparity"]).square().mean().sqrt()
        return {"loss": self._loss(*(plane[inside] for plane in planes)), "depth_rmse": rmse}

    def measurements(self, batch: DefocusDepthBatch) -> tuple[dict[str, float], list[Tensor]]:
        true = batch["disparity"]
        disparity = self.validated(batch["image"], batch["truth"], *batch["lens"].unbind(1))
        numbers = {
            "depth_rmse": float((disparity - true).square().mean().sqrt()),
            "constant_rmse": float((true.mean() - true).square().mean().sqrt()),
        }
        return numbers, [batch["image"], batch["truth"], disparity, true]


DEFOCUS_DEPTH = Model(
    name="defocus-depth",
    presets={
        "smoke": Preset.smoke(),
        # Adam and its rate as in the released experiment, warmer for a network that is this small.
        "cpu": replace(Preset.cpu(), steps=3000, learning_rate=1e-3, batch=4, augmentation=0.0, validate_every=250),
        # The released experiment; it does not say its epochs.
        "paper": Preset(crop_px=256, batch=22, learning_rate=2e-4, epochs=50),
    },
    build=lambda preset, steps, weights: DefocusDepthTraining(preset, steps),
    samples=Samples(DefocusDepthBatch, defocus_depth_planes, traced=False),
)
