"""DMSHN is the network of its release: counted, named, and level by level."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from renderers.neural.dmshn.network import DMSHN, StackedDMSHN


@pytest.fixture(scope="module")
def network() -> DMSHN:
    torch.manual_seed(0)
    return DMSHN().eval()


def test_the_number_of_parameters_is_that_of_the_release(network):
    assert sum(p.numel() for p in network.parameters()) == 5_424_393 == 3 * 1_808_131
    assert sum(p.numel() for p in StackedDMSHN().parameters()) == 10_848_786


def test_multiplications_are_those_of_the_release(network):
    """513.0 GMAC for 1024 x 1536 px."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.rand(1, 3, 64, 96))
    assert counter.get_total_flops() / 2 * 16**2 / 1e9 == pytest.approx(513.0, abs=0.1)


def test_names_and_shapes_are_those_of_the_release(network):
    state = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(state) == 3 * 2 * (3 * 5 * 2)
    assert state["encoder_lv1.layer1.weight"] == (32, 3, 3, 3)
    assert state["encoder_lv2.layer9.weight"] == (128, 64, 3, 3)
    assert state["encoder_lv3.layer11.2.bias"] == (128,)
    assert state["decoder_lv3.layer13.0.weight"] == (128, 128, 3, 3)
    assert state["decoder_lv2.layer16.weight"] == (128, 64, 4, 4)
    assert state["decoder_lv1.layer20.weight"] == (64, 32, 4, 4)
    assert state["decoder_lv1.layer24.weight"] == (3, 32, 3, 3)
    assert all(name.startswith(("net1.", "net2.")) for name in StackedDMSHN().state_dict())


def test_a_level_is_given_what_the_one_below_found(network):
    """A transcription of the figure, one call a line."""
    image = torch.rand(1, 3, 32, 48)

    def scaled(x, factor):
        return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)

    with torch.inference_mode():
        half = scaled(image, 0.5)
        features3 = network.encoder_lv3(scaled(half, 0.5))
        found3 = network.decoder_lv3(features3)
        features2 = network.encoder_lv2(half + scaled(found3, 2))
        found2 = network.decoder_lv2(features2 + scaled(features3, 2))
        features1 = network.encoder_lv1(image + scaled(found2, 2))
        expected = network.decoder_lv1(features1 + scaled(features2, 2))
        torch.testing.assert_close(network(image), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(37, 51), (16, 16), (5, 9)])
def test_any_size_comes_out_as_it_went_in(network, size):
    with torch.inference_mode():
        assert network(torch.rand(1, 3, *size)).shape == (1, 3, *size)


def test_the_second_network_is_given_the_picture_of_the_first():
    torch.manual_seed(0)
    stacked, image = StackedDMSHN().eval(), torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(stacked(image), stacked.net2(stacked.net1(image)))


def test_the_picture_keeps_its_bits_under_mixed_precision(network):
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        out = network(torch.rand(1, 3, 32, 32))
    assert out.dtype == torch.float32 and not torch.equal(out, out.bfloat16().float())
