"""CoCNet is the network of its paper: counted, and as a sum of filtered pictures."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from renderers import RENDERERS
from renderers.neural.cocnet.inference import NETWORKS, refocus, relative_depth
from renderers.neural.cocnet.network import CoCNet, filtered_per_pixel
from scenes.lens import ThinLens
from training.losses import dissimilarity
from training.models import MODELS
from training.models.cocnet import PRESETS, CocnetTraining


@pytest.fixture(autouse=True)
def same_weights_every_time():
    torch.manual_seed(0)


# Table I prints 7.34, 5.18, 1.91, 1.37, 7.34, 7.07 and 7.61 M.
@pytest.mark.parametrize(
    "name, parameters",
    {
        "cocnet-b3": 7_339_612,
        "cocnet-b2": 5_181_852,
        "cocnet-b3-less": 1_905_852,
        "cocnet-b2-less": 1_366_108,
        "cocnet-b3-l2": 7_339_612,
        "cocnet-b3-dir": 7_072_897,
        "cocnet-b3-depth": 7_609_459,
        # Not printed: the same sums with every width halved.
        "cocnet-b3-less-l2": 1_905_852,
        "cocnet-b3-less-dir": 1_771_617,
        "cocnet-b3-less-depth": 2_041_683,
    }.items(),
)
def test_the_number_of_parameters_is_that_of_table_1(name, parameters):
    assert sum(p.numel() for p in NETWORKS[name]().parameters()) == parameters


@pytest.mark.parametrize("name, gmac", {"cocnet-b3": 323.9, "cocnet-b2": 244.2, "cocnet-b3-less": 89.1}.items())
def test_multiplications_are_those_counted_by_hand(name, gmac):
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        NETWORKS[name]()(torch.rand(1, 3, 64, 96))
    # The filters, 3 x 121 at full size and a quarter of it at each next one, are not seen by the counter.
    per_pixel = counter.get_total_flops() / 2 / (64 * 96) + 363 * sum(4.0**-j for j in range(5))
    assert per_pixel * 1024**2 / 1e9 == pytest.approx(gmac, abs=0.05)


# The filter


def by_loops(picture: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    channels, height, width = picture.shape
    reach = int(kernels.shape[1] ** 0.5) // 2
    out = np.zeros_like(picture)
    for c, y, x in np.ndindex(channels, height, width):
        for i in range(-reach, reach + 1):
            for j in range(-reach, reach + 1):
                there = picture[c, min(max(y + i, 0), height - 1), min(max(x + j, 0), width - 1)]
                out[c, y, x] += kernels[c, (i + reach) * (2 * reach + 1) + j + reach, y, x] * there
    return out


def test_the_filter_is_a_sum_over_offsets_of_every_pixel():
    picture, kernels = torch.rand(2, 3, 7, 9, dtype=torch.float64), torch.randn(2, 3, 9, 7, 9, dtype=torch.float64)
    expected = np.stack([by_loops(p.numpy(), k.numpy()) for p, k in zip(picture, kernels, strict=True)])
    np.testing.assert_allclose(filtered_per_pixel(picture, kernels).numpy(), expected, atol=1e-12)


def test_a_kernel_for_all_pixels_is_a_correlation():
    picture, kernel = torch.rand(1, 3, 20, 24), torch.randn(3, 1, 11, 11)
    kernels = kernel.reshape(1, 3, 121, 1, 1).expand(-1, -1, -1, 20, 24)
    expected = F.conv2d(F.pad(picture, (5, 5, 5, 5), mode="replicate"), kernel, groups=3)
    # 121 products of numbers around 1, summed in another order.
    torch.testing.assert_close(filtered_per_pixel(picture, kernels), expected, atol=1e-5, rtol=1e-5)


def test_gradients_of_the_filter_agree_with_finite_differences():
    picture = torch.rand(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    kernels = torch.randn(1, 2, 9, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(filtered_per_pixel, (picture, kernels))


# The sum of templates


def with_weights(network: CoCNet, weights: list[float]) -> CoCNet:
    """The network with the same weights of its templates everywhere."""
    network.start_from_identity()
    with torch.no_grad():
        network.weights[-1].bias.copy_(torch.tensor(weights))
    return network


def with_kernel(network: CoCNet, kernel: torch.Tensor) -> CoCNet:
    """The network with the same kernel (11, 11) of its first template everywhere."""
    with torch.no_grad():
        network.heads[0].weight.zero_()
        network.heads[0].bias.copy_(kernel.reshape(-1).repeat(3))
    return network


def test_without_weights_the_picture_comes_out_as_it_went_in():
    image = torch.rand(1, 3, 48, 64)
    assert torch.equal(with_weights(CoCNet(), [0.0] * 5)(image), image)


def test_a_template_that_is_the_picture_is_added_by_its_weight():
    delta = torch.zeros(11, 11)
    delta[5, 5] = 1.0
    image = torch.rand(1, 3, 48, 64)
    network = with_kernel(with_weights(CoCNet(), [0.5, 0, 0, 0, 0]), delta)
    torch.testing.assert_close(network(image), 1.5 * image)


def test_a_box_less_the_picture_blurs_it():
    kernel = torch.full((11, 11), 1.0 / 121.0)
    kernel[5, 5] -= 1.0
    image = torch.rand(1, 3, 48, 64)
    network = with_kernel(with_weights(CoCNet(), [1.0, 0, 0, 0, 0]), kernel)
    box = F.avg_pool2d(F.pad(image, (5, 5, 5, 5), mode="replicate"), 11, stride=1)
    torch.testing.assert_close(network(image), box, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("template", range(5))
def test_template_j_reaches_11_pixels_of_a_picture_2_to_the_j_times_smaller(template):
    """A light in the middle, blurred by a box, is as wide as the box at that scale, and the next pixels are dark."""
    network = CoCNet()
    with torch.no_grad():
        network.heads[template].weight.zero_()
        network.heads[template].bias.fill_(1.0)
    image = torch.zeros(1, 3, 256, 256)
    image[..., 128, 128] = 1.0
    with torch.inference_mode():
        drawn = network._templates(image, network._features(image))[template][0, 0, 128] > 0.0
    # Bilinear enlargement adds up to a pixel of the small picture on each side.
    assert 11 * 2**template <= drawn.sum() <= 13 * 2**template


def test_direct_templates_have_no_kernels():
    network, seen = CoCNet(direct=True), []
    for layer in network.modules():
        layer.register_forward_hook(lambda module, args, output: seen.append(output.shape[1]))
    network(torch.rand(1, 3, 32, 32))
    assert max(seen) == 512 // 2


def test_depth_is_a_second_frame_with_kernels_of_its_own():
    network = with_weights(CoCNet(depth=True), [1.0, 0, 0, 0, 0])
    kernels = torch.zeros(2, 3, 11, 11)
    kernels[1, :, 5, 5] = 0.25
    with torch.no_grad():
        network.heads[0].weight.zero_()
        network.heads[0].bias.copy_(kernels.reshape(-1))
    image, depth = torch.rand(1, 3, 32, 48), torch.rand(1, 1, 32, 48)
    torch.testing.assert_close(network(image, depth), image + 0.25 * depth)


# Pictures


@pytest.mark.parametrize("size", [(299, 299), (37, 51), (5, 9)])
def test_any_size_comes_out_as_it_went_in(size):
    seen = []
    network = CoCNet(groups=2, width=4)
    network.encoders[0].register_forward_hook(lambda module, args, output: seen.append(args[0].shape[-2:]))
    with torch.inference_mode():
        assert network(torch.rand(1, 3, *size)).shape == (1, 3, *size)
    # Multiples of 16, and 32 at least.
    assert seen == [tuple(max(-(-side // 16) * 16, 32) for side in size)]


def test_tiles_of_kernels_give_the_picture_of_the_whole(monkeypatch):
    network, image = CoCNet(width=4), torch.rand(1, 3, 80, 112)
    with torch.inference_mode():
        whole = network(image)
        monkeypatch.setattr("renderers.neural.cocnet.network._TILE", 16)
        torch.testing.assert_close(network(image), whole, atol=1e-5, rtol=1e-5)


def test_the_picture_keeps_its_bits_under_mixed_precision():
    with torch.autocast("cpu", torch.bfloat16):
        out = CoCNet(groups=2, width=4)(torch.rand(1, 3, 32, 32))
    assert out.dtype == torch.float32 and not torch.equal(out, out.bfloat16().float())


def test_depth_alone_reads_the_disparity_and_nothing_reads_the_lens():
    told = {name for name in NETWORKS if RENDERERS[name].information == "disparity"}
    assert told == {"cocnet-b3-depth", "cocnet-b3-less-depth"}
    rng = np.random.default_rng(0)
    image, flat = rng.random((33, 40, 3)).astype(np.float32), np.zeros((33, 40), np.float32)
    ramp = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (33, 1))
    for name in ("cocnet-b2-less", "cocnet-b3-depth"):
        networks = {name: NETWORKS[name]().eval()}
        a = refocus(networks, image, flat, ThinLens(20.0, 0.0), gamma=2.2, arch="cpu")
        b = refocus(networks, image, ramp, ThinLens(5.0, 0.7), gamma=4.0, arch="cpu")
        assert np.array_equal(a, b) is (name == "cocnet-b2-less")


def test_depth_grows_with_distance():
    disparity = torch.tensor([[[[2.0, 4.0, 3.0]]]])
    torch.testing.assert_close(relative_depth(disparity), torch.tensor([[[[1.0, 0.0, 0.5]]]]))
    assert (relative_depth(torch.full((1, 1, 2, 2), 3.0)) == 0.0).all()


# Training


def test_the_losses_are_those_of_table_1():
    rendered, truth = torch.rand(1, 3, 20, 20), torch.rand(1, 3, 20, 20)
    structure = dissimilarity(rendered, truth)
    losses = {"cocnet-b3-less": F.l1_loss, "cocnet-b3-l2": F.mse_loss, "cocnet-b3-less-l2": F.mse_loss}
    for name, pixels in losses.items():
        training = CocnetTraining(name, PRESETS["smoke"], 20)
        assert float(training.loss(rendered, truth)) == pytest.approx(float(pixels(rendered, truth) + structure))
    assert {name for name in NETWORKS} <= MODELS.keys()


@pytest.mark.slow
def test_it_learns_one_pair_by_heart():
    """300 steps make of one picture another one, blurred, with more than 35 dB; 39 when this was written."""
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    image = F.interpolate(image, (32, 32), mode="bilinear")
    truth = F.avg_pool2d(F.pad(image, (4, 4, 4, 4), mode="replicate"), 9, stride=1)
    training = CocnetTraining("cocnet-b3-less", PRESETS["smoke"], 300)
    optimizer = torch.optim.Adam(training.network.parameters(), 1e-3)
    for _ in range(300):
        optimizer.zero_grad()
        training.loss(training.network(image), truth).backward()
        optimizer.step()
    with torch.inference_mode():
        assert -10 * torch.log10(F.mse_loss(training.network(image), truth)) > 35.0
