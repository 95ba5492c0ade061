"""AMPN is the network of its paper: counted, and exact where its pyramid and its mask are."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from renderers import RENDERERS
from renderers.base import RendererError
from renderers.neural.ampn.inference import NETWORKS, refocus, sharp_where
from renderers.neural.ampn.network import AMPN, CoordinateAttention, Generator
from renderers.neural.layers import padded_to_multiple
from renderers.neural.pyramid import composed, decomposed, expanded, reduced
from scenes.lens import ThinLens
from training.models.ampn import PRESETS, AmpnTraining
from training.perceptual import gradients_at_scales


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.fixture(scope="module")
def ampn() -> AMPN:
    torch.manual_seed(0)
    return AMPN().eval()


@pytest.fixture(autouse=True)
def same_weights_every_time():
    torch.manual_seed(0)


# Table 3 prints 5.4, 5.2, 2.8, 5.2 and 2.8 M; without attention 102 x 2 parameters fewer cannot make 0.2 M.
@pytest.mark.parametrize(
    "name, parameters",
    {
        "ampn": 5_385_317,
        "ampn-no-refinement": 5_229_846,
        "ampn-no-g2": 2_771_766,
        "ampn-no-attention": 5_385_113,
        "ampn-no-g1": 2_772_548,
    }.items(),
)
def test_the_number_of_parameters_is_that_of_table_3(name, parameters):
    assert count(NETWORKS[name]()) == parameters


def test_the_parts_have_their_parameters(ampn):
    assert [count(g) for g in (ampn.mask_net, ampn.bokeh_net)] == [2_612_769, 2_613_347]
    assert count(CoordinateAttention(3)) == 102 and count(ampn.refine) == 155_267
    assert [count(tune) for tune in ampn.tune] == [1763, 1763]
    stages = [count(stage) for stage in ampn.mask_net.decoder]
    assert stages == [450_336 + 2 * 79_856, 95_600 + 27_200, 37_304 + 11_240, 15_672, 3_848]
    assert count(ampn.mask_net.head) == 145 and count(ampn.bokeh_net.head) == 435
    # Another reading of the printed multiplications: N at half the size.
    assert count(AMPN(refine_width=52, refine_stride=1)) == pytest.approx(5.33e6, rel=1e-3)


def test_multiplications_are_those_counted_by_hand(ampn):
    """1.98 + 2.02 + 15.2 + 3.4 GMAC for 1024 x 1536 px, 0.44 of the pyramid beside them."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        ampn(torch.rand(1, 3, 128, 256))
    gmac = counter.get_total_flops() / 2 / (128 * 256) * 1024 * 1536 / 1e9
    # Separable filters of the pyramid take 10 products in place of 25.
    assert gmac == pytest.approx(22.6 + 0.44 * 10 / 25, abs=0.1)


def test_removing_a_generator_changes_no_other_name(ampn):
    names = ampn.state_dict().keys()
    refinement = ("refine.", "attend_coarse.", "attend_refined.")
    for name, gone in (("ampn-no-g1", "mask_net."), ("ampn-no-refinement", refinement)):
        assert NETWORKS[name]().state_dict().keys() == {key for key in names if not key.startswith(gone)}


# The pyramid


@pytest.mark.parametrize("size", [(64, 96), (37, 51), (6, 129)])
def test_a_pyramid_adds_up_to_its_picture(size):
    x = padded_to_multiple(torch.rand(1, 3, *size), 8)
    differences, small = decomposed(x, 2)
    assert small.shape[-2:] == (x.shape[-2] // 4, x.shape[-1] // 4)
    torch.testing.assert_close(composed(differences, small), x, atol=1e-6, rtol=0)


def test_the_filter_of_the_pyramid_keeps_constants_and_is_binomial():
    flat = torch.full((1, 1, 16, 16), 0.7)
    torch.testing.assert_close(reduced(flat), flat[..., ::2, ::2])
    torch.testing.assert_close(expanded(flat), torch.full((1, 1, 32, 32), 0.7))
    point = torch.zeros(1, 1, 16, 16)
    point[..., 8, 8] = 256.0
    weights = torch.tensor([1.0, 6.0, 1.0])
    # Every other pixel of (1, 4, 6, 4, 1) in both directions.
    torch.testing.assert_close(reduced(point)[0, 0, 3:6, 3:6], weights[:, None] * weights)


@pytest.mark.parametrize("size, multiple", [((37, 51), 128), ((5, 9), 32), ((16, 16), 16)])
def test_a_small_picture_is_mirrored_until_it_is_large_enough(size, multiple):
    x = torch.rand(1, 2, *size)
    padded = padded_to_multiple(x, multiple)
    rows, columns = (-(-side // multiple) * multiple - side for side in size)
    np.testing.assert_array_equal(padded, np.pad(x, ((0, 0), (0, 0), (0, rows), (0, columns)), mode="reflect"))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_short_training_begins_with_the_picture(name):
    network = NETWORKS[name]()
    network.start_from_identity()
    image = torch.rand(1, 3, 128, 160)
    with torch.inference_mode():
        for mask in (torch.zeros(1, 1, 128, 160), torch.rand(1, 1, 128, 160)):
            # The first attention takes 0.7 % twice.
            torch.testing.assert_close(network.eval()(image, mask), image, atol=0.015, rtol=0.0)


# Mask and pyramid in the network


def test_the_mask_keeps_the_image_and_the_rest_is_rendered(ampn):
    image = torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        kept = ampn(image, torch.ones(1, 1, 128, 128))
        rendered = ampn(image, torch.zeros(1, 1, 128, 128))
        torch.testing.assert_close(kept, image, atol=1e-6, rtol=0)
        half = torch.zeros(1, 1, 128, 128)
        half[..., 64:] = 1.0
        both = ampn(image, half)
    torch.testing.assert_close(both[..., 72:], image[..., 72:], atol=1e-6, rtol=0)
    assert (rendered - image).abs().mean() > 0.01 < (both - image)[..., :56].abs().mean()


def test_with_gains_of_one_and_no_blur_the_pyramid_gives_the_image_back():
    network = AMPN(bokeh_net=False).eval()
    for tune in network.tune:
        torch.nn.init.zeros_(tune[-1].weight)
        torch.nn.init.ones_(tune[-1].bias)
    image = torch.rand(1, 3, 128, 192)
    with torch.inference_mode():
        torch.testing.assert_close(network(image, torch.zeros(1, 1, 128, 192)), image, atol=1e-5, rtol=0)


def test_a_mask_given_is_as_the_one_found(ampn):
    image = torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        found = ampn.mask(decomposed(image, 2)[1])
        given = F.interpolate(found, scale_factor=4, mode="nearest")
        torch.testing.assert_close(ampn(image, given), ampn(image), atol=1e-6, rtol=0)
        without = AMPN(mask_net=False).eval()
        without.load_state_dict({k: v for k, v in ampn.state_dict().items() if not k.startswith("mask_net.")})
        torch.testing.assert_close(without(image, given), ampn(image), atol=1e-6, rtol=0)


def test_closing_the_aperture_leads_to_the_image(ampn):
    image, mask = torch.rand(1, 3, 128, 128), torch.rand(1, 1, 128, 128)
    with torch.inference_mode():
        away = [float((ampn(image, mask, t) - image).abs().mean()) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert away == sorted(away, reverse=True) and away[0] > 0.01 and away[-1] < 1e-6


def test_attention_multiplies_rows_and_columns():
    attention, x = CoordinateAttention(3).eval(), torch.rand(2, 3, 6, 9)
    with torch.inference_mode():
        gain = attention(x) / x
    # An outer product has rank 1: every 2 x 2 minor is 0.
    torch.testing.assert_close(gain[..., 1:, 1:] * gain[..., :1, :1], gain[..., 1:, :1] * gain[..., :1, 1:])
    for layer in (attention.rows, attention.columns):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    torch.testing.assert_close(attention(x), x * 0.25)


def test_generators_give_maps_of_the_size_of_their_picture():
    assert Generator(4, 3)(torch.rand(2, 4, 64, 96)).shape == (2, 3, 64, 96)


def test_the_picture_keeps_its_bits_under_mixed_precision(ampn):
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        out = ampn(torch.rand(1, 3, 64, 64))
    assert out.dtype == torch.float32 and not torch.equal(out, out.bfloat16().float())


# Pictures


PHOTO = np.random.default_rng(0).random((40, 56, 3)).astype(np.float32)
FLAT = np.zeros((40, 56), np.float32)


def rendered(ampn, **settings) -> np.ndarray:
    return refocus({"ampn": ampn}, PHOTO, FLAT, ThinLens(9.0, 0.0), gamma=2.2, arch="cpu", **settings)


def test_nothing_but_mask_and_f_stop_is_read(ampn):
    another = refocus({"ampn": ampn}, PHOTO, FLAT + 1, ThinLens(2.0, 0.3), gamma=4.0, arch="cpu")
    np.testing.assert_array_equal(rendered(ampn), another)
    np.testing.assert_allclose(rendered(ampn, f_stop=1.0), PHOTO, atol=1e-6)
    np.testing.assert_allclose(rendered(ampn, mask=np.ones_like(FLAT)), PHOTO, atol=1e-6)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"f_stop": 1.5}, "the f-stop is 1.5"),
        ({"f_stop": float("nan")}, "the f-stop is nan"),
        ({"mask": np.ones((40, 55), np.float32)}, r"the mask is \(40, 55\)"),
        ({"mask": FLAT + 2}, "from 0 to 1"),
        ({"mask": FLAT + np.nan}, "from 0 to 1"),
    ],
)
def test_settings_that_do_not_fit_are_named(ampn, settings, message):
    with pytest.raises(RendererError, match=message):
        rendered(ampn, **settings)


def test_settings_are_those_of_the_entry():
    assert RENDERERS["ampn"].with_controls(f_stop=0.5).options == {"f_stop": 0.5}
    with pytest.raises(RendererError, match="no setting mask; the settings of this renderer are none"):
        RENDERERS["cocnet-b3"].with_controls(mask=FLAT)
    with pytest.raises(RendererError, match="no setting f_stop"):
        RENDERERS["scatter"].with_controls(f_stop=0.5)


def test_without_g1_what_is_in_focus_stays_sharp():
    np.testing.assert_allclose(sharp_where(np.array([0.0, -1.0, 1.5, -1.75, 2.0, 9.0])), [1, 1, 0.5, 0.25, 0, 0])
    networks = {"ampn-no-g1": NETWORKS["ampn-no-g1"]().eval()}
    disparity = FLAT.copy()
    disparity[:, 32:] = 1.0
    out = refocus(networks, PHOTO, disparity, ThinLens(20.0, 1.0), gamma=2.2, arch="cpu")
    # A mask of a quarter of the size reaches a few pixels across its border.
    np.testing.assert_allclose(out[:, 40:], PHOTO[:, 40:], atol=1e-5)
    assert np.abs(out - PHOTO)[:, :24].mean() > 0.01


# Training


def test_the_loss_weighs_pixels_perception_and_structure(monkeypatch):
    from training.losses import dissimilarity

    training = AmpnTraining("ampn-no-g2", PRESETS["smoke"], 20, {})
    p, t = torch.rand(1, 3, 40, 40), torch.rand(1, 3, 40, 40)
    monkeypatch.setattr(training, "_distance", gradients_at_scales)
    expected = 10 * F.l1_loss(p, t) + 2 * gradients_at_scales(p, t) + dissimilarity(p, t)
    assert float(training.loss(p, t)) == pytest.approx(float(expected))


def test_without_lpips_the_run_says_what_stands_in(monkeypatch):
    from evaluation.lpips import LpipsUnavailable

    def absent():
        raise LpipsUnavailable("the weights are not installed")

    monkeypatch.setattr("training.models.ampn.Lpips", absent)
    training = AmpnTraining("ampn-no-g2", PRESETS["smoke"], 20, {})
    assert training._distance is gradients_at_scales
    assert "stand in for LPIPS in the loss: the weights are not installed" in training.notes[0]
