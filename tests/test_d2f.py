"""D2F is the network of its paper: counted, and its layers are closed forms where these are known."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from renderers import RENDERERS
from renderers.base import RendererError
from renderers.neural.d2f import fusion
from renderers.neural.d2f.inference import NETWORKS, doubled, halved, refocus
from renderers.neural.d2f.layers import Layering, blurred, kernel, kernel_sizes, raw_kernel, rendered, uniform_sizes
from renderers.neural.d2f.network import DefocusNet, FusionNet, SmallDefocusNet, radiance_of
from renderers.neural.d2f.rows import FUSION_ROWS, RENDERING_ROWS
from renderers.neural.trunks import MobileNetV2
from scenes.lens import ThinLens
from training.losses import dissimilarity
from training.models.d2f import (
    D2F,
    STAGE1_ROWS,
    STAGE2_ROWS,
    D2fDefocusTraining,
    D2fFusionTraining,
    gradients_where_flat,
    poisson_loss,
)

SIZES = (1, 3, 5, 7, 11, 15, 19, 23, 27, 33, 39, 45, 53, 61, 69)
ORDERS = ("printed", "near-on-top", "signed")


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.fixture(autouse=True)
def same_weights_every_time():
    torch.manual_seed(0)


def picture(side: int = 96) -> torch.Tensor:
    return torch.rand(1, 3, side, side)


def plain(image: torch.Tensor, defocus: torch.Tensor | float, **layering) -> torch.Tensor:
    """The layers of a picture without radiance; D of one value or a map."""
    if not isinstance(defocus, torch.Tensor):
        defocus = torch.full_like(image[:, :1], defocus)
    with torch.no_grad():
        return rendered(image, torch.ones_like(image), defocus, Layering(SIZES, **layering))


# Networks


def test_the_parameters_are_those_counted_by_hand():
    network = DefocusNet()
    assert count(network.encoder) == 22_979_904
    assert count(network) - count(network.radiance) == 51_598_401
    assert count(network.radiance) == 2_273 and count(FusionNet()) == 488_849
    assert count(DefocusNet(MobileNetV2, 64, 3).radiance) == 19_681
    # Both stages of d2f-small in single precision: 14.8 MB, 7.4 in half.
    assert count(SmallDefocusNet()) == 3_213_218


@pytest.mark.parametrize("size", [(64, 96), (37, 51), (9, 130)])
def test_maps_are_of_the_size_of_the_picture(size):
    image = torch.rand(1, 3, *size)
    with torch.inference_mode():
        defocus, radiance = SmallDefocusNet().eval()(image)
        mask = FusionNet().eval()(image, defocus)
    assert defocus.shape == radiance.shape == mask.shape == (1, 1, *size)
    assert 0.0 <= defocus.min() and defocus.max() <= 1.0 and radiance.min() > 0.0


def test_the_mask_of_stage_2_begins_at_what_is_in_focus():
    defocus = torch.linspace(0, 1, 64).expand(1, 1, 16, 64)
    with torch.inference_mode():
        mask = FusionNet().eval()(torch.rand(1, 3, 16, 64), defocus)
    torch.testing.assert_close(mask, torch.sigmoid(20 * (0.25 - defocus)))


def test_maps_keep_their_bits_under_mixed_precision():
    image = torch.rand(1, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        defocus, radiance = SmallDefocusNet().eval()(image)
        out = rendered(image, radiance_of(image, radiance), defocus, Layering(SIZES[:5]))
    for tensor in (defocus, radiance, out):
        assert tensor.dtype == torch.float32 and not torch.equal(tensor, tensor.bfloat16().float())


# Kernels


def test_kernels_grow_from_none_to_69_pixels():
    assert kernel_sizes() == SIZES and sum(size**2 for size in SIZES) == 17_975
    assert uniform_sizes() == tuple(range(1, 58, 4))
    for layers, largest in itertools.product((11, 13, 15, 17, 19), (49, 59, 69, 79, 89)):
        sizes = kernel_sizes(layers, largest)
        assert len(sizes) == layers and (sizes[0], sizes[-1]) == (1, largest) and all(size % 2 for size in sizes)
        assert list(sizes) == sorted(sizes)


def test_a_soft_disk_is_that_of_equation_13():
    np.testing.assert_allclose(raw_kernel(3)[0], [0.622, 0.731, 0.622], atol=5e-4)
    np.testing.assert_allclose(raw_kernel(3)[1], [0.731, 0.818, 0.731], atol=5e-4)
    sums = [round(float(raw_kernel(size).sum()), 1) for size in SIZES]
    assert sums[:5] == [0.7, 6.2, 17.2, 33.9, 85.1] and sums[-1] == 3634.8
    assert (kernel(1) == 1.0).all() and raw_kernel(5, soft=False).sum() == 13.0
    assert all(float(kernel(size).sum()) == pytest.approx(1.0, abs=1e-6) for size in SIZES)


@pytest.mark.parametrize("size", [19, 33])
def test_fourier_transforms_blur_as_sums_do(size):
    x = torch.rand(2, 4, 40, 53)
    padded = F.pad(x, (size // 2,) * 4, mode="replicate")
    expected = F.conv2d(padded, kernel(size).expand(4, 1, size, size), groups=4)
    torch.testing.assert_close(blurred(x, kernel(size)), expected, atol=1e-6, rtol=1e-5)


# Layers


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("defocus, error", [(0.0, 2e-6), (0.03, 5e-4)])
def test_what_is_in_focus_stays_as_it_is(order, defocus, error):
    image = picture()
    assert (plain(image, defocus, order=order) - image).abs().max() <= error


@pytest.mark.parametrize("layer", [1, 3, 6, 10, 14])
def test_between_two_layers_the_one_in_front_is_seen(layer):
    """D = (l + 1/2) / L lies in the masks of layers l and l + 1, and the product gives it to one of them."""
    image = picture(160)
    for order, drawn in (("printed", layer + 1), ("near-on-top", layer)):
        expected = blurred(image, kernel(SIZES[drawn - 1]))
        out = plain(image, (layer + 0.5) / 15, order=order)
        # Of the standard deviation of the picture: 0.12 % for l = 1, 0.03 % from l = 3 on.
        assert float((out - expected).std() / image.std()) < (1.5e-3 if layer < 3 else 5e-4)


@pytest.mark.parametrize("order", ORDERS)
def test_a_constant_picture_stays_constant(order):
    defocus = torch.rand(1, 1, 64, 64)
    flat = torch.full((1, 3, 64, 64), 0.7)
    torch.testing.assert_close(plain(flat, defocus, order=order), flat, atol=2e-6, rtol=0)


def test_a_constant_radiance_does_not_count():
    image, defocus = picture(64), torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        out = rendered(image, torch.full_like(image, 2.5), defocus, Layering(SIZES))
    torch.testing.assert_close(out, plain(image, defocus), atol=1e-5, rtol=0)


def edge() -> tuple[torch.Tensor, torch.Tensor]:
    """White in focus on the left, black at D = 0.8 on the right."""
    near = torch.zeros(1, 1, 128, 192)
    near[..., :96] = 1.0
    return near.expand(-1, 3, -1, -1).contiguous(), 0.8 * (1.0 - near)


@pytest.mark.parametrize("order", ["near-on-top", "signed"])
def test_a_sharp_subject_hides_the_blur_behind_it(order):
    image, defocus = edge()
    sharp_side = plain(image, defocus, order=order)[0, 0, 64, :96]
    torch.testing.assert_close(sharp_side, torch.ones(96), atol=1e-3, rtol=0)


def test_in_the_printed_order_the_background_bleeds_over_it():
    image, defocus = edge()
    row = plain(image, defocus, order="printed", one_sided=False)[0, 0, 64]
    assert float(row[95]) == pytest.approx(0.34, abs=0.01) and float(row[86:96].max()) < 0.55


def test_signed_layers_let_what_is_nearer_spill_over_the_focus():
    """With the focus behind, the edge of what is near is soft on the sharp side."""
    image, defocus = edge()
    row = plain(image, defocus - 0.8, order="signed")[0, 0, 64, 96:]
    assert 0.3 < float(row[1]) < 0.6 and float(row[40]) < 1e-3
    assert all(a >= b - 1e-6 for a, b in itertools.pairwise(row.tolist()))


def test_layers_are_scaled_by_their_radius():
    assert Layering(SIZES).scaled(1.0).sizes == SIZES
    assert Layering(SIZES).scaled(0.5).sizes == (1, 3, 3, 5, 7, 9, 11, 13, 15, 17, 21, 23, 27, 31, 35)
    assert set(Layering(SIZES).scaled(0.0).sizes) == {1}


def test_gradients_reach_the_defocus():
    image, sizes = torch.rand(1, 3, 6, 7, dtype=torch.float64), (1, 3, 5)
    defocus = (0.2 + 0.6 * torch.rand(1, 1, 24, 24)).requires_grad_()
    out = rendered(torch.rand(1, 3, 24, 24), torch.ones(1, 3, 24, 24), defocus, Layering(SIZES))
    (out**2).sum().backward()
    assert torch.isfinite(defocus.grad).all() and (defocus.grad != 0.0).any()
    # Along one direction, in single precision.
    d = torch.rand(1, 1, 6, 7) * 0.8
    direction, step = torch.randn(1, 1, 6, 7), 1e-3

    def total(x):
        return rendered(image.float(), torch.ones(1, 3, 6, 7), x, Layering(sizes)).square().sum()

    slope = torch.autograd.functional.jvp(total, d, direction)[1]
    difference = (total(d + step * direction) - total(d - step * direction)) / (2 * step)
    assert float(slope) == pytest.approx(float(difference), rel=0.05, abs=0.02)


# Radiance


def test_highlights_count_by_the_fifth_power_of_their_colour():
    image = torch.tensor([0.99, 0.2, 0.0]).reshape(1, 3, 1, 1).expand(1, 3, 1, 2).clone()
    image[0, :, 0, 1] = 0.5
    predicted = torch.full((1, 1, 1, 2), 0.7)
    bright, dark = radiance_of(image, predicted)[0, :, 0].T
    torch.testing.assert_close(bright, torch.tensor([3 * 0.99**5, 1e-3, 1e-3]))
    torch.testing.assert_close(dark, torch.full((3,), 0.7))
    assert (radiance_of(image, predicted, "none") == 1.0).all()
    assert float(radiance_of(image, predicted, "grey")[0, 0, 0, 1]) == pytest.approx(0.5)


def test_a_light_makes_a_brighter_disk_where_it_counts_more():
    image = torch.full((1, 3, 96, 96), 0.2)
    image[..., 48, 48] = 1.0
    defocus, contrasts = torch.ones(1, 1, 96, 96), []
    for kind in ("none", "net"):
        radiance = radiance_of(image, torch.full((1, 1, 96, 96), 0.2), kind)
        with torch.no_grad():
            contrasts.append(float(rendered(image, radiance, defocus, Layering(SIZES))[0, 0, 48, 48]) - 0.2)
    assert 0.0 < contrasts[0] < 0.2 * contrasts[1]


# Fusion


def halves() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    sharp, soft = torch.rand(1, 3, 48, 64), torch.rand(1, 3, 48, 64)
    defocus = torch.zeros(1, 1, 48, 64)
    defocus[..., 32:] = 1.0
    return sharp, soft, defocus


@pytest.mark.parametrize("blend", [fusion.naive, fusion.laplacian_pyramid, fusion.poisson])
def test_every_fusion_gives_either_picture_where_only_one_is_wanted(blend):
    sharp, soft, defocus = halves()
    torch.testing.assert_close(blend(sharp, soft, torch.ones_like(defocus)), soft, atol=1e-5, rtol=0)
    # The Poisson equation is solved to 1e-6 of its right side.
    torch.testing.assert_close(blend(sharp, soft, torch.zeros_like(defocus)), sharp, atol=1e-3, rtol=0)


def test_poisson_fusion_has_the_laplacian_of_the_sharp_picture_where_it_shows():
    sharp, soft, defocus = halves()
    out = fusion.poisson(sharp, soft, defocus)
    assert torch.equal(out[..., 32:], soft[..., 32:])
    inner = (slice(None), slice(None), slice(1, -1), slice(1, 31))
    torch.testing.assert_close(fusion.laplacian(out)[inner], fusion.laplacian(sharp)[inner], atol=1e-3, rtol=0)


def test_naive_fusion_is_a_ramp_about_a_quarter():
    defocus = torch.tensor([0.1, 0.2, 0.25, 0.3, 0.4]).reshape(1, 1, 1, 5)
    out = fusion.naive(torch.ones(1, 1, 1, 5), torch.zeros(1, 1, 1, 5), defocus)
    torch.testing.assert_close(out.flatten(), torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0]))


def test_the_poisson_loss_sees_a_constant_at_the_border_alone():
    x = torch.rand(1, 3, 16, 16)
    assert float(poisson_loss(x, x)) == 0.0
    # Beyond the frame is 0: 4 corners miss two neighbours, 4 x 14 pixels one.
    assert float(poisson_loss(x + 0.5, x)) == pytest.approx(0.5 * (4 * 1.0**2 + 56 * 0.5**2) / 256, rel=1e-4)


# Pictures


@pytest.fixture(scope="module")
def networks() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    return {"stage1": SmallDefocusNet().eval(), "stage2": FusionNet().eval()}


PHOTO = np.random.default_rng(0).random((45, 51, 3)).astype(np.float32)


def shown(networks, blur_parameter: float = 5.0, disparity: float = 0.0, **settings) -> np.ndarray:
    plane, lens = np.full((45, 51), disparity, np.float32), ThinLens(blur_parameter, 0.2)
    return refocus(networks, PHOTO, plane, lens, gamma=2.2, arch="cpu", **settings)


def test_lens_and_disparity_are_not_read_but_focus_and_blur_are(networks):
    np.testing.assert_array_equal(shown(networks), shown(networks, 9.0, 0.7))
    blurs = [shown(networks, blur=blur, fusion="none") for blur in (0.0, 8.0, 68.0)]
    roughness = [np.abs(np.diff(out, axis=1)).mean() for out in blurs]
    assert roughness == sorted(roughness, reverse=True) and roughness[0] > 1.5 * roughness[2]
    # Random weights find D near 0.5 everywhere: with the focus there, it is sharp.
    sharp = shown(networks, focus="0.5")
    assert np.abs(sharp - PHOTO).mean() < 0.5 * np.abs(shown(networks, focus=0.0) - PHOTO).mean()


@pytest.mark.parametrize(
    "settings",
    [
        *({"sizes": "uniform"}, {"radiance": "grey"}, {"fusion": "naive"}, {"fusion": "none"}),
        *({"soft": False}, {"order": "printed"}, {"sizes": "kernels-to-49-px"}),
    ],
)
def test_rows_of_the_tables_are_other_pictures(networks, settings):
    assert not np.array_equal(shown(networks, **settings), shown(networks))


@pytest.mark.parametrize("name", ["d2f", "d2f-small"])
def test_rows_that_are_measured_before_stage_2_need_stage_1_alone(networks, name):
    for row, options in {**RENDERING_ROWS, **FUSION_ROWS}.items():
        renderer = RENDERERS[f"{name}-{row}"]
        assert [file.stem for file in renderer.checkpoints] == [f"{name}-defocus"]
        alone = shown({"stage1": networks["stage1"]}, **renderer.options)
        np.testing.assert_array_equal(alone, shown(networks, **{"fusion": "naive", **options}))


@pytest.mark.parametrize(
    "settings, message", [({"focus": "x"}, "focus is x"), ({"focus": 1.5}, "1.5"), ({"blur": -1.0}, "blur is -1")]
)
def test_settings_that_do_not_fit_are_named(networks, settings, message):
    with pytest.raises(RendererError, match=message):
        shown(networks, **settings)


def test_halving_and_doubling_keep_the_size_of_odd_pictures():
    x = torch.rand(1, 3, 45, 51)
    assert halved(x).shape[-2:] == (23, 26) and doubled(halved(x), x.shape).shape == x.shape
    flat = torch.full((1, 1, 6, 8), 0.3)
    torch.testing.assert_close(doubled(halved(flat), flat.shape), flat)


# Training


def presets(row: str | None = None, stage: int = 0, rows=STAGE1_ROWS):
    from dataclasses import replace

    return replace(D2F[stage].presets["smoke"], **(rows[row] if row else {}))


def test_gradients_of_the_defocus_cost_less_at_edges_of_the_picture():
    step = torch.zeros(1, 1, 32, 32)
    step[..., 16:] = 1.0
    flat, edges = (
        gradients_where_flat(step, image.expand(-1, 3, -1, -1)) for image in (torch.zeros(1, 1, 32, 32), step)
    )
    # Three colours change by 1.
    assert float(edges / flat) == pytest.approx(np.exp(-3.0), rel=1e-5)
    assert float(flat) == pytest.approx(np.mean([1 / 31, 1 / 15, 1 / 7, 1 / 3]), rel=1e-5)
    assert float(gradients_where_flat(torch.ones(1, 1, 32, 32), torch.rand(1, 3, 32, 32))) == 0.0


def test_rows_leave_terms_of_the_loss_out():
    p, t = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    l1, structure = float(F.l1_loss(p, t)), float(dissimilarity(p, t))
    plain_loss = D2fDefocusTraining("d2f-small-defocus", presets("l1"), 20, {}).loss(p, t)
    assert float(plain_loss) == pytest.approx(l1)
    with_structure = D2fDefocusTraining("d2f-small-defocus", presets("l1-ssim-grad"), 20, {}).loss(p, t)
    assert float(with_structure) == pytest.approx(l1 + structure)
    total = D2fDefocusTraining("d2f-small-defocus", presets(), 20, {})
    if total._perceived is not None:
        assert "VGG16 stand" in total.notes[0]
        assert float(total.loss(p, t)) == pytest.approx(l1 + structure + 0.1 * float(total._perceived(p, t)), rel=1e-5)


def test_stage_1_is_frozen_behind_stage_2(tmp_path):
    from safetensors.torch import save_file

    save_file(SmallDefocusNet().state_dict(), tmp_path / "stage1.safetensors")
    training = D2fFusionTraining(
        "d2f-small-defocus",
        presets("l1-poisson", 1, STAGE2_ROWS),
        20,
        {"d2f-small-defocus": tmp_path / "stage1.safetensors"},
    )
    batch = {"image": torch.rand(2, 3, 32, 32), "truth": torch.rand(2, 3, 32, 32)}
    training.objective(batch)["loss"].backward()
    assert all(p.grad is None for p in training._frozen[0].parameters())
    assert any(p.grad is not None and (p.grad != 0).any() for p in training.network.parameters())
    assert count(training) == 488_849


def test_rows_are_settings_of_the_preset():
    for stage, rows in ((0, STAGE1_ROWS), (1, STAGE2_ROWS)):
        assert D2F[stage].ablations is rows
        for row in rows:
            assert presets(row, stage, rows) != D2F[stage].presets["smoke"]
    assert set(NETWORKS) == {f"{name}-{stage}" for name in ("d2f", "d2f-small") for stage in ("defocus", "fusion")}
