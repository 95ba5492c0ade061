"""RevealNet: what to change of the layers of reveal0, learned from composited layers. No ray is traced to train it.

The layers of a scene get other disparities and slants in every sample, are put over each other, and the picture is cut
into layers as at inference. At every pixel beside an edge the true layers then say what the near surface covers, and
what is behind it. The last steps look at pictures as well: the layers found, through a random lens, against the true.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor, nn

from bokehdata.format import DatasetError
from bokehdata.torch_data import Crop
from renderers import RENDERERS
from renderers.classical.drbokeh import DefocusedLayer
from renderers.classical.layers_over import blur_premultiplied
from renderers.differentiable.layers_over import refocus_layers
from renderers.layering.reveal0 import LAYERS_MAX
from renderers.neural.reveal.inference import refocus
from renderers.neural.reveal.layers import BLACK, CHANGE, EDGE_HINTS, HINTS, Layers, changed, hints, projected
from renderers.neural.reveal.network import RevealNet
from renderers.neural.reveal.rims import rims
from renderers.neural.tensors import picture_from_tensor, tensor_from_plane
from scenes.arrays import Picture, Plane
from scenes.color import display_from_linear, linear_from_display
from scenes.layered import LayeredScene
from scenes.lens import ThinLens
from training.losses import picture_l1
from training.measurements import shown_psnr
from training.model import Model, Samples
from training.module import Batch, PictureBatch, PlaneBatch, Training
from training.presets import Preset

# Weights of the terms of the loss, by what of the answer they are of.
WEIGHTS = {"alpha": 1.0, "near": 1.0, "seen": 1.0, "hidden": 0.8, "choice": 0.05}
RENDER_WEIGHT = 5.0

# Hidden colours are compared at this many sizes, each half of the one before.
_SCALES = 4

# Steps of disparity between layers lie within a factor of this. Slants take up this part of the smaller one beside a
# layer, and another part of it behind the last: a ground may go far back.
_STEP_RATIO, _SLANT, _GROUND_SLANT = 4.0, 0.4, 1.0

# The largest blur of the random lens, pixels: lights of what is beyond reach that far into a crop.
LENS_RADIUS_PX = (3.0, 20.0)

# Below this, errors count by their square.
_QUADRATIC = 0.02

# An error of a matte counts as much as the colours differ that it is between, and this much where they are alike. Where
# nothing is in front, that is black.
_ALIKE = 0.1

_EPSILON = 1e-6


@dataclass(frozen=True, kw_only=True)
class RevealPreset(Preset):
    """Settings of RevealNet; the rows of its ablation change them.

    learned      what the network may change, of `renderers.neural.reveal.layers.CHANGE`
    projects     whether the layers are projected once more, with hidden colours, before they are compared
    edge_hints   whether the network is shown what only the disparity gives
    rendered     part of the steps, the last ones, that compare pictures through a lens too
    """

    learned: tuple[str, ...] = tuple(CHANGE)
    projects: bool = True
    edge_hints: bool = True
    rendered: float = 0.2


class RevealBatch(Batch):
    """Colours are display values at the reference gamma, not clipped. L is LAYERS_MAX; layers that are not used are 0.

    image          all-in-focus
    colour         of the layers that reveal0 finds
    alpha          of them
    disparity      of them
    place          their numbers at rims, of the near one, that behind, and the farthest
    distance_px    to the edge, as in `renderers.neural.reveal.rims`
    true_colour    of what is in front of the edge, and of what is `behind`
    true_alpha     of the same two
    truth          the true layers through the lens
    lens           K and focus, for these disparities
    """

    image: PictureBatch
    colour: Float32[Tensor, "batch 3*L height width"]
    alpha: Float32[Tensor, "batch L height width"]
    disparity: Float32[Tensor, "batch L height width"]
    place: PictureBatch
    distance_px: PlaneBatch
    true_colour: Float32[Tensor, "batch 6 height width"]
    true_alpha: Float32[Tensor, "batch 2 height width"]
    truth: PictureBatch
    lens: Float32[Tensor, "batch 2"]


class WholeBatch(Batch):
    """A picture of a dataset, as at inference.

    image       display values, not clipped
    truth       display values, clipped as it is shown and compared
    disparity   as given
    lens        K and focus
    """

    image: PictureBatch
    truth: PictureBatch
    disparity: PlaneBatch
    lens: Float32[Tensor, "batch 2"]


def whole_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of a WholeBatch."""
    lens = crop.case.lens()
    return {
        "image": crop.image,
        "truth": np.clip(crop.truth, 0.0, 1.0),
        "disparity": crop.refocusing.disparity_given,
        "lens": np.array([lens.blur_parameter, lens.focus_disparity], np.float32),
    }


@dataclass(frozen=True, eq=False)
class TrueLayer:
    """A layer of a window: straight alpha (H, W, 4) float32 in linear light, and its disparity (H, W)."""

    rgba: NDArray[np.float32]
    disparity: Plane


def reveal_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of a RevealBatch; DatasetError for a picture whose layers are not known."""
    scene = crop.case.layers()
    if scene is None:
        raise DatasetError(f"{crop.case.name}: has no layers, which reveal is trained on; add layers/")
    true = rearranged(scene, crop.window, rng=crop.rng)
    linear, disparity = composite(true)
    given = disparity if crop.corruption is None else crop.corruption.apply(disparity)
    found = rims(linear, given)
    colour, alpha = true_rims(true, found.place, found.disparity)
    lens = _random_lens(true, crop.rng)
    return {
        "image": display_from_linear(linear),
        "colour": _stacked(display_from_linear(found.colour)),
        "alpha": _stacked(found.alpha[..., None]),
        "disparity": _stacked(found.disparity[..., None]),
        "place": found.place.transpose(1, 2, 0).astype(np.float32),
        "distance_px": found.distance_px,
        "true_colour": np.concatenate(list(display_from_linear(colour)), axis=-1),
        "true_alpha": alpha.transpose(1, 2, 0),
        "truth": display_from_linear(through(lens, true)),
        "lens": np.array([lens.blur_parameter, lens.focus_disparity], np.float32),
    }


def rearranged(scene: LayeredScene, window: tuple[slice, slice], *, rng: np.random.Generator) -> list[TrueLayer]:
    """Some of the layers of a scene, near to far, with other disparities from 0 to 1 and slants. The last is opaque."""
    last = len(scene.layers) - 1
    kept = [i for i in range(last) if rng.uniform() < 0.85] + [last]
    seen = [scene.frame_rgba(i)[window].astype(np.float32) for i in kept]
    steps = np.exp(rng.uniform(0.0, np.log(_STEP_RATIO), len(kept)))
    centres = np.cumsum(steps[::-1])[::-1]
    height, width = seen[0].shape[:2]
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, width), np.linspace(-0.5, 0.5, height))
    layers = []
    for i, (rgba, centre) in enumerate(zip(seen, centres, strict=True)):
        room = min(steps[max(i - 1, 0)], steps[i])
        room *= _SLANT if i < len(kept) - 1 else _GROUND_SLANT
        across = rng.uniform(-0.5, 0.5, 2) * room * (rng.uniform() < 0.5)
        layers.append((rgba, centre + across[0] * x + across[1] * y))
    nearest = max(float(plane.max()) for _, plane in layers)
    return [TrueLayer(rgba, (plane / nearest).astype(np.float32)) for rgba, plane in layers]


def composite(layers: list[TrueLayer]) -> tuple[Picture, Plane]:
    """The picture of layers in linear light, and the disparity of the nearest with alpha >= 0.5 at every pixel."""
    linear, disparity = np.zeros_like(layers[-1].rgba[..., :3]), layers[-1].disparity.copy()
    for layer in reversed(layers):
        alpha = layer.rgba[..., 3:]
        linear = linear * (1.0 - alpha) + layer.rgba[..., :3] * alpha
        np.copyto(disparity, layer.disparity, where=alpha[..., 0] >= 0.5)
    return linear, disparity


def true_rims(
    layers: list[TrueLayer], place: NDArray[np.int64], disparity: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Colours (2, H, W, 3) in linear light and alphas (2, H, W) of what is in front of edges, and of what is behind.

    Layers are told apart where their disparity is half between those that the rims have; all that is not in front is
    behind where there is no choice.
    """
    near, behind, farthest = (np.take_along_axis(disparity, place[i : i + 1], 0)[0] for i in range(3))
    front = 0.5 * (near + behind)
    back = np.where(place[1] == place[2], -np.inf, 0.5 * (behind + farthest))
    light, left = np.zeros((2, *front.shape, 3), np.float32), np.ones((2, *front.shape), np.float32)
    for layer in layers:
        is_front = layer.disparity > front
        for i, holds in enumerate((is_front, ~is_front & (layer.disparity > back))):
            part = holds * layer.rgba[..., 3] * left[i]
            light[i] += part[..., None] * layer.rgba[..., :3]
            left[i] -= part
    return light / np.maximum(1.0 - left, _EPSILON)[..., None], 1.0 - left


def _random_lens(layers: list[TrueLayer], rng: np.random.Generator) -> ThinLens:
    """One that is focused within the range of the layers, and whose largest blur is one of LENS_RADIUS_PX."""
    low, high = float(layers[-1].disparity.min()), float(layers[0].disparity.max())
    focus = rng.uniform(low, high)
    reach = max(high - focus, focus - low, _EPSILON)
    return ThinLens(float(np.exp(rng.uniform(*np.log(LENS_RADIUS_PX)))) / reach, focus)


def through(lens: ThinLens, layers: list[TrueLayer]) -> Picture:
    """The layers, blurred and put over each other in linear light."""
    picture, left = np.zeros_like(layers[-1].rgba[..., :3]), np.ones_like(layers[-1].rgba[..., 3:])
    for layer in layers:
        defocus_px = np.asarray(lens.defocus_px(layer.disparity), np.float32)
        blurred = blur_premultiplied(DefocusedLayer(layer.rgba, defocus_px), lens.aperture)
        picture += left * blurred[..., :3]
        left *= 1.0 - blurred[..., 3:]
    return picture


def _stacked(layers: NDArray[np.float32]) -> NDArray[np.float32]:
    """(L, H, W, C) as (H, W, C LAYERS_MAX): the layers of a pixel one after the other."""
    missing = LAYERS_MAX - len(layers)
    padded = np.pad(layers, ((0, missing), (0, 0), (0, 0), (0, 0)))
    return np.concatenate(list(padded), axis=-1)


def layers_of(batch: RevealBatch) -> Layers:
    """The layers of a batch."""
    size = batch["image"].shape[-2:]
    planes = (batch["colour"], batch["alpha"], batch["disparity"])
    colour, alpha, disparity = (plane.reshape(len(plane), LAYERS_MAX, -1, *size) for plane in planes)
    return Layers(colour, alpha, disparity, batch["place"].long(), batch["distance_px"])


class RevealTraining(Training[RevealBatch, WholeBatch]):
    """L1 of mattes and of light premultiplied by them, squares of what is hidden; in the end also of pictures."""

    criterion = "rendered_psnr"
    preset: RevealPreset

    def __init__(self, preset: RevealPreset, steps: int):
        network = RevealNet()
        shown = [float(preset.edge_hints or name not in EDGE_HINTS) for name, n in HINTS.items() for _ in range(n)]
        learned = [float(name in preset.learned) for name, n in CHANGE.items() for _ in range(n)]
        super().__init__(network, preset, steps)
        self._shown = nn.Buffer(torch.tensor(shown)[:, None, None], persistent=False)
        self._learned = nn.Buffer(torch.tensor(learned)[:, None, None], persistent=False)
        self._of_reveal0: dict[str, float] = {}
        self._leave_out()

    def start_from(self, weights: Path) -> None:
        super().start_from(weights)
        self._leave_out()

    @torch.no_grad()
    def _leave_out(self) -> None:
        """Weights of what is not shown or learned are 0. They get no gradients: it is absent at inference too."""
        for network in {self.network, self.validated}:
            assert isinstance(network, RevealNet) and network.head.bias is not None
            of_blocks, at_full_size = network.first
            of_blocks.weight *= self._shown.repeat_interleave(4, dim=0)
            at_full_size.weight[:, : len(self._shown)] *= self._shown
            network.head.weight *= self._learned[..., None]
            network.head.bias *= self._learned[:, 0, 0]

    def objective(self, batch: RevealBatch) -> dict[str, Tensor]:
        layers = layers_of(batch)
        change = self.network(hints(batch["image"], layers) * self._shown) * self._learned
        found, alphas = changed(layers, change, batch["image"])
        if self.preset.projects:
            colour = projected(found.colour, found.alpha, batch["image"])
            found = Layers(colour, found.alpha, found.disparity, found.place, found.distance_px)
        terms = rim_losses(found, alphas, batch["true_colour"], batch["true_alpha"], layers.weight)
        loss = torch.stack([WEIGHTS[name] * terms[name] for name in self.preset.learned]).sum()
        if self.global_step >= (1.0 - self.preset.rendered) * self.steps:
            terms["rendered"] = rendered_loss(found, batch["truth"], batch["lens"])
            loss = loss + RENDER_WEIGHT * terms["rendered"]
        return {"loss": loss, **terms}

    def measurements(self, batch: WholeBatch) -> tuple[dict[str, float], list[Tensor]]:
        image, disparity = picture_from_tensor(batch["image"]), batch["disparity"][0, 0].cpu().numpy()
        blur_parameter, focus = (float(number) for number in batch["lens"][0])
        lens, gamma, (name,) = ThinLens(blur_parameter, focus), float(batch["gamma"][0]), batch["name"]
        shown = refocus({"reveal": self.validated}, image, disparity, lens, gamma=gamma, arch="cpu")
        rendered = tensor_from_plane(shown)
        truth = batch["truth"].cpu()
        if name not in self._of_reveal0:
            before = RENDERERS["reveal0"](image, disparity, lens, gamma=gamma)
            self._of_reveal0[name] = shown_psnr(tensor_from_plane(before), truth)
        numbers = {"rendered_psnr": shown_psnr(rendered, truth), "reveal0_psnr": self._of_reveal0[name]}
        return numbers, [batch["image"].cpu(), rendered, truth]


def rim_losses(
    found: Layers, alphas: Tensor, true_colour: Tensor, true_alpha: Tensor, weight: Tensor
) -> dict[str, Tensor]:
    """Means over the pixels of rims; those of what is hidden over the near side.

    alphas        (B, 2, H, W) that are asked for, not clipped: beyond 0 and 1 they would have no slope
    true_colour   (B, 6, H, W) of the near surface and of that behind
    true_alpha    (B, 2, H, W)
    weight        (B, 1, H, W) of the pixels: `Layers.weight`, before anything is changed
    """
    is_near = found.distance_px > 0.0
    near, behind = (found.at(found.colour, i) for i in (0, 1))
    matte, choice = (found.at(found.alpha, i) for i in (0, 1))
    true_near, true_behind = true_colour.split(3, 1)
    true_matte, true_choice = true_alpha.split(1, 1)
    contrast = _ALIKE + (true_near - true_behind).square().mean(1, keepdim=True).sqrt()
    covered = weight * is_near * (true_choice > 0.5)
    undecided = weight * is_near * found.has_choice
    return {
        "alpha": _l1(alphas[:, :1] - true_matte, weight * contrast),
        "near": _l1(matte * near - true_matte * true_near, weight),
        "seen": _l1((1.0 - matte) * choice * behind - (1.0 - true_matte) * true_choice * true_behind, weight),
        "hidden": _squared_light(behind, true_behind, covered),
        "choice": _l1(alphas[:, 1:] - true_choice, undecided),
    }


def _l1(difference: Tensor, weight: Tensor) -> Tensor:
    """The mean of (B, C, H, W), absolute and quadratic near 0, with weights (B, 1, H, W), which may all be 0."""
    values = F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none", beta=_QUADRATIC)
    return (values.mean(1, keepdim=True) * weight).sum() / weight.sum().clamp(min=1.0)


def _squared_light(colour: Tensor, true_colour: Tensor, weight: Tensor) -> Tensor:
    """Mean squares of differences (B, 3, H, W) of light, and of its means over squares of pixels.

    The mean of all that may be hidden has the least: a lens adds up light, and blurs texture. A light that is truly
    above white counts as white.
    """
    most = torch.where(true_colour < 1.0, torch.inf, 1.0)
    light, true_light = (linear_from_display(torch.minimum(x, most).clamp(min=BLACK)) for x in (colour, true_colour))
    difference, total = light - true_light, light.new_zeros(())
    for scale in range(_SCALES):
        if scale:
            held = F.avg_pool2d(weight, 2)
            difference = F.avg_pool2d(difference * weight, 2) / held.clamp(min=_EPSILON)
            weight = held
        total = total + (difference.square().mean(1, keepdim=True) * weight).sum() / weight.sum().clamp(min=_EPSILON)
    return total / _SCALES


def rendered_loss(found: Layers, truth: Tensor, lens: Tensor) -> Tensor:
    """L1 and gradient L1 of the layers of the first crop through its lens (B, 2), K and focus, against its truth.

    The first alone, as its blur takes as long as the rest of a step. Its border, the largest radius wide, is left out:
    there light comes from beyond it.
    """
    border = int(min(LENS_RADIUS_PX[1], truth.shape[-1] // 4))
    inner = (..., *[slice(border, -border)] * 2)
    blur_parameter, focus = lens[0].tolist()
    used = [i for i in range(found.alpha.shape[1]) if found.alpha[0, i].detach().max() > 0.0]
    colour, alpha, disparity = (stack[:1, used] for stack in (found.colour, found.alpha, found.disparity))
    seen = refocus_layers(linear_from_display(colour), alpha, blur_parameter * (disparity - focus))
    shown = display_from_linear(seen.clamp(min=_EPSILON))
    return picture_l1(shown[inner].clamp(max=1.0), truth[:1][inner].clamp(max=1.0))


# Rows of the ablation, for `--ablation`.
ROWS: dict[str, dict[str, Any]] = {
    "alpha": {"learned": ("alpha",)},
    "mattes": {"learned": ("alpha", "near")},
    "unmixing": {"learned": ("alpha", "near", "seen")},
    "no-choice": {"learned": ("alpha", "near", "seen", "hidden")},
    "no-hidden-colour": {"learned": ("alpha", "near", "seen", "choice")},
    "no-projection": {"projects": False},
    "no-edge-hints": {"edge_hints": False},
    "no-corruption": {"augmentation": 0.0},
    "no-render-loss": {"rendered": 0.0},
}

_CPU = replace(
    RevealPreset.cpu(),
    crop_px=192,
    batch=4,
    learning_rate=2e-3,
    steps=6000,
    blur_parameter_max=24.0,
    validation_pictures=24,
)

REVEAL = Model(
    name="reveal",
    presets={
        "smoke": replace(RevealPreset.smoke(), learning_rate=3e-4),
        "cpu": _CPU,
        # There is no paper: what this would be trained with on a GPU.
        "paper": RevealPreset(crop_px=256, batch=16, learning_rate=1e-4, epochs=50, blur_parameter_max=24.0),
    },
    build=lambda preset, steps, weights: RevealTraining(preset, steps),
    samples=Samples(RevealBatch, reveal_planes, traced=False),
    validation_samples=Samples(WholeBatch, whole_planes),
    ablations=ROWS,
)
