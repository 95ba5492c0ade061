"""MPIB: counted; its planes against convolutions by hand; what a small network begins with, and learns from."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.data import default_collate

from bokehdata.cases import MemoryCase
from bokehdata.torch_data import CropSettings, sample_of
from renderers import RENDERERS, renderer
from renderers.neural.d2f.layers import raw_kernel
from renderers.neural.mpib.inference import NETWORKS, base_size, guided_planes
from renderers.neural.mpib.network import AUPNet, MPINet, SmallMPINet, plane_masks
from renderers.neural.mpib.planes import (
    Depths,
    composite_disparity,
    disk,
    even_depths,
    fitted_depths,
    hard_planes,
    refocused,
)
from scenes.color import linear_from_display
from scenes.lens import ThinLens
from training.models import MODELS
from training.models.mpib import mpib_planes


@pytest.fixture(autouse=True)
def same_weights_every_time():
    torch.manual_seed(0)


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# The networks


def test_the_number_of_parameters_is_that_of_the_release():
    """Without the 513,000 of the classifier that nothing uses."""
    network = MPINet()
    assert count(network.decoder) == 3_259_010
    assert count(network.encoder) == 11_692_648 - 513_000
    assert count(network) == 14_951_658 - 513_000
    assert count(AUPNet()) == 40_513
    # 2.3 MB.
    assert count(SmallMPINet()) == 576_306


@pytest.mark.parametrize("size", [(64, 96), (40, 70)])
def test_every_plane_has_a_weight_and_an_alpha_at_every_pixel(size):
    network = MPINet().eval()
    with torch.inference_mode():
        omega, alpha = network(torch.rand(1, 3, *size), torch.rand(1, 1, *size))
    for made in (omega, alpha):
        assert made.shape == (1, 32, *size) and 0.0 <= made.min() and made.max() <= 1.0


def test_alpha_is_doubled_plane_by_plane():
    network = AUPNet().eval()
    image, disparity, alpha = torch.rand(1, 3, 32, 48), torch.rand(1, 1, 32, 48), torch.rand(1, 3, 16, 24)
    with torch.inference_mode():
        doubled = network(image, disparity, alpha)
        alone = network(image, disparity, alpha[:, 1:2])
    assert doubled.shape == (1, 3, 32, 48)
    torch.testing.assert_close(doubled[:, 1:2], alone)


def test_a_disparity_is_in_the_plane_of_its_part_of_the_range():
    disparity = torch.tensor([0.0, 0.24, 0.25, 0.5, 0.99, 1.0]).reshape(1, 1, 1, 6)
    assert hard_planes(disparity, 4)[0].argmax(0).tolist() == [[0, 0, 1, 2, 3, 3]]
    assert (hard_planes(disparity, 4).sum(1) == 1.0).all()
    # The masks that condition the decoder overlap at their ends.
    assert plane_masks(disparity, 4).sum(1).tolist() == [[[1, 1, 2, 2, 1, 1]]]


@pytest.mark.parametrize(
    "height, width, blur, expected",
    [(768, 768, 50.0, (448, 448)), (300, 600, 4.0, (288, 576)), (20, 37, 9.0, (32, 32))],
)
def test_the_network_sees_a_blur_of_at_most_30_px(height, width, blur, expected):
    assert base_size(height, width, blur) == expected


def test_alpha_is_doubled_until_the_size_of_the_picture():
    calls = []

    def planes(image, disparity):
        return torch.full((1, 2, *image.shape[-2:]), 0.25), torch.full((1, 2, *image.shape[-2:]), 0.75)

    def upsampling(image, disparity, alpha):
        calls.append((tuple(image.shape[-2:]), tuple(alpha.shape[-2:])))
        return torch.full((1, 2, *image.shape[-2:]), 0.5)

    image, disparity = torch.rand(1, 3, 301, 451), torch.rand(1, 1, 301, 451)
    omega, alpha = guided_planes(planes, upsampling, image, disparity, 100.0)
    # 64 x 128 px, doubled twice; then from half of the picture to all of it, which is made even.
    assert calls == [((128, 256), (64, 128)), ((256, 512), (128, 256)), ((302, 452), (151, 226))]
    assert omega.shape == alpha.shape == (1, 2, 301, 451)


# The planes


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float32)


GAMMA = torch.tensor([2.2])


@pytest.mark.parametrize("radius, area", {1: 1.41, 2: 2.34, 5: 5.20, 10: 10.11, 30: 30.02}.items())
def test_kernels_have_the_areas_of_the_release(radius, area):
    kernel = disk(radius)
    assert float(kernel.sum()) == pytest.approx(1.0, abs=1e-5) and kernel.shape[-1] == 2 * radius + 1
    assert math.sqrt(float(raw_kernel(2 * radius + 1).sum()) / math.pi) == pytest.approx(area, abs=0.005)


def test_a_plane_is_sharp_within_half_a_part_and_blurred_by_what_is_beyond():
    depths = even_depths(32, 1, GAMMA)
    radius = depths.radius_px(torch.tensor([64.0]), torch.tensor([8.5 / 32]))[0]
    assert radius[7:10].tolist() == [1.0, 0.0, 1.0] and radius[31] == round(64.0 * (23.0 / 32 - 1.0 / 64))


def test_fitted_planes_lie_where_their_pixels_do():
    disparity = torch.tensor([[0.1, 0.1, 0.15, 0.9]]).reshape(1, 1, 1, 4)
    behind = torch.tensor([[0.0, 0.0, 0.0, 1.0]]).reshape(1, 1, 1, 4) * hard_planes(torch.full_like(disparity, 0.2), 2)
    depths = fitted_depths(hard_planes(disparity, 2), behind, disparity, torch.full_like(disparity, 0.2))
    torch.testing.assert_close(depths.disparity, numbers(0.1375, 0.9))
    torch.testing.assert_close(depths.slack, numbers(0.05, 0.0))


def two_planes(near: torch.Tensor, *, behind: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """omega and alpha of a far and a near plane: the near one where `near`, the far one elsewhere or everywhere."""
    far = torch.ones_like(near) if behind else 1.0 - near
    alpha = torch.stack([far, near])[None]
    omega = torch.stack([near, torch.zeros_like(near)])[None]
    return omega, alpha


def test_a_blurred_plane_covers_one_in_focus_by_its_kernel():
    """White before black: 1 - A k is left of what is behind, also where that is hidden in the picture."""
    near = torch.zeros(41, 60)
    near[:, :30] = 1.0
    image, background = near.expand(1, 3, -1, -1), torch.zeros(1, 3, 41, 60)
    omega, alpha = two_planes(near, behind=True)
    shown = linear_from_display(refocused(image, background, omega, alpha, numbers(0, 6), GAMMA))[0, 0, 20]
    columns = disk(6).sum(0)
    expected = [float(columns[: max(0, min(13, 29 - x + 7))].sum()) for x in range(60)]
    torch.testing.assert_close(shown, torch.tensor(expected), atol=1e-5, rtol=0.0)


def test_what_no_plane_holds_does_not_darken_the_picture():
    near = torch.zeros(20, 30)
    near[:, :15] = 1.0
    image = torch.full((1, 3, 20, 30), 0.4)
    shown = refocused(image, image, *two_planes(near, behind=False), numbers(5, 3), GAMMA)
    torch.testing.assert_close(shown, image, atol=1e-5, rtol=0.0)


def test_an_opaque_plane_in_focus_hides_all_behind_it_however_bright():
    near = torch.zeros(20, 30)
    near[:, :15] = 1.0
    image = torch.full((1, 3, 20, 30), 9.0)
    image[..., :15] = 0.4
    shown = refocused(image, image, *two_planes(near, behind=True), numbers(8, 0), GAMMA)
    torch.testing.assert_close(shown[..., :15], image[..., :15], atol=1e-6, rtol=0.0)


def test_without_blur_hard_planes_are_the_picture():
    image, disparity = torch.rand(2, 3, 20, 30) * 2.0, torch.rand(2, 1, 20, 30)
    alpha = hard_planes(disparity, 8)
    gamma = torch.tensor([1.0, 4.0])
    shown = refocused(image, torch.rand_like(image), torch.zeros_like(alpha), alpha, torch.zeros(2, 8), gamma)
    # Two powers in float32.
    torch.testing.assert_close(shown, image, atol=1e-5, rtol=1e-5)
    swapped = refocused(torch.rand_like(image), image, torch.ones_like(alpha), alpha, torch.zeros(2, 8), gamma)
    torch.testing.assert_close(swapped, image, atol=1e-5, rtol=1e-5)


def test_the_disparity_shown_is_that_of_the_nearest_plane():
    depths = Depths(numbers(0.2, 0.8), numbers(0.0, 0.0))
    alpha = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.5, 1.0]]).reshape(1, 2, 1, 3)
    torch.testing.assert_close(composite_disparity(alpha, depths).flatten(), torch.tensor([0.2, 0.5, 0.8]))


def test_gradients_reach_weights_and_alpha_of_every_plane():
    omega, alpha = (torch.rand(1, 4, 24, 30, requires_grad=True) for _ in range(2))
    image, background = torch.rand(1, 3, 24, 30), torch.rand(1, 3, 24, 30)
    refocused(image, background, omega, alpha, numbers(11, 3, 0, 5), GAMMA).sum().backward()
    for made in (omega, alpha):
        assert made.grad is not None and torch.isfinite(made.grad).all() and (made.grad.abs().amax((0, 2, 3)) > 0).all()


# The small network


def masks(disparity: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    seen = hard_planes(disparity, SmallMPINet.planes)
    behind = torch.zeros_like(seen)
    behind[:, 1, 5:9] = 1.0
    return seen, behind


def test_the_small_network_begins_with_hard_planes_and_leaves_empty_ones_empty():
    network = SmallMPINet().eval()
    image, disparity = torch.rand(2, 3, 37, 50), torch.rand(2, 1, 37, 50).clamp(min=0.5)
    seen, behind = masks(disparity)
    omega, alpha = network(image, disparity, seen, behind)
    assert torch.equal(omega, behind) and torch.equal(alpha, (seen + behind).clamp(max=1.0))
    torch.nn.init.normal_(network.decoder.head.weight)
    _, alpha = network(image, disparity, seen, behind)
    assert not torch.equal(alpha, (seen + behind).clamp(max=1.0)) and 0.0 <= alpha.min() and alpha.max() <= 1.0
    assert (alpha[:, 2:8] == 0.0).all() and (alpha[:, 0] == 0.0).all()


def test_the_first_step_reaches_the_head_of_the_small_network():
    network = SmallMPINet()
    image, disparity = torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64)
    omega, alpha = network(image, disparity, *masks(disparity))
    (omega + alpha).square().sum().backward()
    assert network.decoder.head.weight.grad is not None and network.decoder.head.weight.grad.abs().max() > 0.0


def half_disk(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, -1.0, 1.0)
    return 1.0 - (np.arccos(t) - t * np.sqrt(1.0 - t * t)) / math.pi


def test_the_small_network_begins_with_the_truth_of_two_half_planes(tmp_path):
    """A white foreground of 12 px blur before black in focus: part of the lens, on both sides of the edge."""
    save_file(SmallMPINet().state_dict(), tmp_path / "mpib-small.safetensors")
    image = np.zeros((40, 80, 3), np.float32)
    image[:, :40] = 1.0
    disparity = np.where(image[..., 0] > 0.5, np.float32(0.9), np.float32(0.1))
    small = renderer("mpib-small", [tmp_path / "mpib-small.safetensors"])
    expected = half_disk((40 - np.arange(20, 60) - 0.5) / 12.0)
    errors = [
        np.abs(linear_from_display(method(image, disparity, ThinLens(15.0, 0.1)))[20, 20:60, 0] - expected).max()
        for method in (small, RENDERERS["scatter"])
    ]
    assert errors[0] < 0.01 and errors[1] > 0.1


def test_light_above_white_becomes_a_disk(tmp_path):
    save_file(SmallMPINet().state_dict(), tmp_path / "mpib-small.safetensors")
    image, disparity = np.full((64, 64, 3), 0.1, np.float32), np.ones((64, 64), np.float32)
    image[32, 32] = 30.0
    small = renderer("mpib-small", [tmp_path / "mpib-small.safetensors"])
    out = small(image, disparity, ThinLens(8.0, 0.0))
    rho = np.hypot(*(np.indices((64, 64)) - 32))
    assert out[rho < 7].min() > 1.5 and out[rho > 10].max() < 0.11


# Training


def case(width: int = 96) -> MemoryCase:
    rng = np.random.default_rng(0)
    image = rng.random((80, width, 3), np.float32)
    disparity = np.full((80, width), 0.2, np.float32)
    disparity[20:60, 30:70] = 0.6
    disparity[0, 0] = 1.0
    return MemoryCase(
        name="two", scene="two", blur_parameter=20.0, focus_disparity=0.4, planes=(image, image, disparity)
    )


def sample(planes, case: MemoryCase, crop_px: int) -> dict[str, torch.Tensor]:
    """The planes of a crop, without its name."""
    made = sample_of(case, CropSettings(crop_px, 8, 0.0, turned=False), planes, rng=np.random.default_rng(1))
    return {name: plane for name, plane in made.items() if isinstance(plane, torch.Tensor)}


def test_samples_are_normalized_by_the_whole_picture_and_have_its_background():
    made = sample(mpib_planes, case(), 64)
    # 0.2 to 1 becomes 0 to 1: K and focus with it.
    torch.testing.assert_close(made["lens"], torch.tensor([16.0, 0.25]))
    levels = made["disparity"].unique()
    torch.testing.assert_close(levels[levels < 0.9], torch.tensor([0.0, 0.5]))
    near, painted = made["disparity"] > 0.4, made["painted"] > 0.5
    # Rims are 8 px deep here, and 20 px are half of the near thing.
    assert int((made["disparity_behind"][near & painted] == 0.0).sum()) > 200
    changed = (made["background"] - made["image"]).abs().amax(0, keepdim=True) > 1e-5
    assert not (changed & ~painted).any() and (changed & near).any()


def test_what_lies_beyond_a_crop_is_not_judged():
    (model,) = MODELS["mpib-small"]
    preset = model.presets["smoke"]
    training = model.build(preset, 20, {})
    made = sample(mpib_planes, case(), preset.crop_px)
    batch = default_collate([made, made])
    losses = []
    for strip in (slice(0, 0), slice(0, 12), slice(12, 15)):
        truth = batch["truth"].clone()
        truth[..., strip] = 0.0
        losses.append(float(training.objective({**batch, "truth": truth})["loss"].detach()))
    assert losses[0] == pytest.approx(losses[1], abs=1e-6) and abs(losses[2] - losses[0]) > 0.01


def test_networks_and_their_renderers_have_the_same_names():
    assert {path.stem for name in ("mpib", "mpib-small") for path in RENDERERS[name].checkpoints} == set(NETWORKS)
    assert {stage.name for name in ("mpib", "mpib-small") for stage in MODELS[name]} == set(NETWORKS)
