"""DeepLens is the network of its paper: counted, and told of the blur what the size of its picture makes of it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bokehdata.cases import MemoryCase
from bokehdata.torch_data import CropSettings, sample_of
from renderers.neural.deeplens import network
from renderers.neural.deeplens.inference import RADIUS_MAX_PX, halvings, refocus
from renderers.neural.deeplens.network import BlurNet, FeatureNet, KernelNet, UpsamplingNet, weighted_mean
from scenes.color import display_from_linear
from scenes.lens import ThinLens
from training.losses import picture_l1
from training.models.deeplens import DEEPLENS, DeeplensBlurTraining, at_two_sizes, deeplens_planes


def count(*networks: torch.nn.Module) -> int:
    return sum(p.numel() for network in networks for p in network.parameters())


@pytest.fixture(autouse=True)
def same_weights_every_time():
    torch.manual_seed(0)


# The networks


def test_the_number_of_parameters_is_that_of_the_release():
    """Gains and offsets of batch norm are counted, its statistics are not."""
    assert count(FeatureNet()) == 40_275
    assert count(KernelNet()) == 521_055
    upsampling = UpsamplingNet()
    assert count(upsampling) == 1_474_781
    assert count(upsampling.features) == 41_085
    assert count(upsampling.weights, upsampling.out) == 47_232
    small = (upsampling.down, upsampling.bottom, upsampling.up, upsampling.last_small, upsampling.large)
    assert count(*small) == 1_386_464


def test_a_picture_is_a_weighted_mean_of_pictures():
    features, weights = torch.rand(2, 93, 5, 7), torch.rand(2, 31, 5, 7)
    picture = weighted_mean(weights, features)
    k = features.reshape(2, 31, 3, 5, 7)
    expected = (weights[:, :, None] * k).sum(1) / weights.sum(1)[:, None]
    torch.testing.assert_close(picture, expected, atol=1e-6, rtol=1e-5)
    # Shares add up to 1: what all pictures agree on comes out.
    torch.testing.assert_close(weighted_mean(weights, torch.full_like(features, 0.7))[0, 0], torch.full((5, 7), 0.7))
    # Picture k is channels 3 k, 3 k + 1 and 3 k + 2.
    alone = torch.zeros(2, 31, 5, 7)
    alone[:, 4] = 1.0
    torch.testing.assert_close(weighted_mean(alone, features), features[:, 12:15])
    assert torch.isfinite(weighted_mean(torch.zeros_like(alone), features)).all()


@pytest.mark.parametrize("net, pictures", [(FeatureNet(), 31), (FeatureNet(6), 32)])
def test_the_first_pictures_of_a_bank_are_those_that_go_in(net, pictures):
    x = torch.rand(1, 3 if pictures == 31 else 6, 16, 24)
    bank = net(x)
    assert bank.shape == (1, 3 * pictures, 16, 24) and bank.min() >= 0.0
    assert torch.equal(bank[:, : x.shape[1]], x)


@pytest.mark.parametrize("channels", [3, 6])
def test_filtered_pictures_are_blurred_ones_at_first(channels):
    """All of them can be taken from the first step on: a picture that nothing takes is never learned."""
    colours = torch.tensor([0.2, 0.5, 0.9]).reshape(1, 3, 1, 1)
    bank = FeatureNet(channels)(colours.expand(1, 3, 16, 16).repeat(1, channels // 3, 1, 1))
    pictures = bank.unflatten(1, (-1, 3))
    torch.testing.assert_close(pictures, colours[None].expand_as(pictures), atol=1e-5, rtol=0.0)
    point = torch.zeros(1, channels, 33, 33)
    point[..., 16, 16] = 1.0
    last = FeatureNet(channels)(point)[:, -3:].detach()
    assert float(last.sum()) == pytest.approx(3.0, rel=1e-4) and 0.0 < float(last.max()) < 0.1


def test_weights_are_above_0_at_first():
    net = KernelNet()
    weights = net(torch.rand(2, 3, 16, 16), torch.rand(2, 1, 16, 16) * 2.0 - 1.0)
    assert (weights.amax((0, 2, 3)) > 0.0).all()


def test_filtered_pictures_go_on_as_in_a_mirror():
    x = torch.rand(1, 3, 8, 8)
    mirror = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="symmetric")
    np.testing.assert_array_equal(network._mirrored(x, 2), mirror)


def test_filtered_pictures_see_seven_pixels():
    net, x = FeatureNet(), torch.rand(1, 3, 32, 32)
    # Every path carries some light.
    for parameter in net.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    changed = x.clone()
    changed[..., 16, 16] += 1.0
    seen = (net(changed) - net(x)).abs().amax((0, 1)) > 0.0
    rows = torch.nonzero(seen.any(1)).flatten()
    assert (int(rows.min()), int(rows.max())) == (16 - 7, 16 + 7)


def test_the_deep_half_of_the_kernel_net_sees_the_defocus_alone():
    net, seen = KernelNet().eval(), {}
    for part in ("stem", "shallow", "res3", "res4"):
        net.get_submodule(part).register_forward_hook(lambda module, args, out, part=part: seen.update({part: args[0]}))
    image, defocus = torch.rand(1, 3, 32, 48), torch.rand(1, 1, 32, 48) * 2.0 - 1.0
    weights = net(image, defocus)
    assert weights.shape == (1, 31, 32, 48) and weights.min() >= 0.0
    assert torch.equal(seen["stem"], defocus)
    assert torch.equal(seen["shallow"], torch.cat([image - 0.5, defocus], 1))
    assert seen["res3"].shape == (1, 256, 4, 6) and seen["res4"].shape == (1, 320, 32, 48)


def test_sums_of_the_upsampling_go_straight_into_the_next_convolution():
    net, outputs, inputs = UpsamplingNet().eval(), {}, {}
    for name in ("down.0", "down.1", "down.2", "up.0", "up.1", "up.2", "last_small", "large"):

        def keep(module, args, out, name=name):
            inputs[name], outputs[name] = args[0], out

        net.get_submodule(name).register_forward_hook(keep)
    small, refocused, defocus = torch.rand(1, 3, 16, 24), torch.rand(1, 3, 16, 24), torch.rand(1, 1, 16, 24)
    with torch.inference_mode():
        picture = net(small, refocused, defocus, torch.rand(1, 3, 32, 48))
    assert picture.shape == (1, 3, 32, 48)
    torch.testing.assert_close(inputs["down.0"], torch.cat([small, refocused, defocus], 1))
    steps = (("up.0", "down.2", "up.1"), ("up.1", "down.1", "up.2"), ("up.2", "down.0", "last_small"))
    for layer, skip, following in steps:
        enlarged = F.interpolate(outputs[layer], scale_factor=2.0, mode="bilinear", align_corners=False)
        torch.testing.assert_close(inputs[following], enlarged + outputs[skip])
    enlarged = F.interpolate(outputs["last_small"], scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(inputs["large"], enlarged)


def test_tiles_of_the_upsampling_give_the_picture_of_the_whole(monkeypatch):
    net = UpsamplingNet().eval()
    planes = torch.rand(1, 3, 32, 48), torch.rand(1, 3, 32, 48), torch.rand(1, 1, 32, 48), torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        whole = net(*planes)
        monkeypatch.setattr(network, "_TILE", 20)
        torch.testing.assert_close(net(*planes), whole, rtol=0.0, atol=2e-6)


def test_pictures_keep_their_bits_under_mixed_precision():
    image, defocus = torch.rand(2, 3, 16, 16), torch.rand(2, 1, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        small = BlurNet()(image, defocus)
        large = UpsamplingNet()(image, small, defocus, torch.rand(2, 3, 32, 32))
    for picture in (small, large):
        assert picture.dtype == torch.float32 and not torch.equal(picture, picture.bfloat16().float())


# On pictures


class Given:
    """Networks that record what they are given: the blur leaves the picture, the upsampling gives the sharp one."""

    def __init__(self):
        self.blurred: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.enlarged: list[tuple[torch.Tensor, ...]] = []

    def networks(self) -> dict:
        return {"deeplens-blur": self._blur, "deeplens-upsampling": self._enlarge}

    def _blur(self, image, defocus):
        self.blurred.append((image, defocus))
        return image

    def _enlarge(self, small, refocused, defocus, image):
        self.enlarged.append((small, refocused, defocus, image))
        return image


@pytest.mark.parametrize(
    "size, radius_px, steps",
    [
        # BLB's levels, K = 10 to 50 at 1920 px: by the longer side, then by the radius.
        *[((1080, 1920), radius, steps) for radius, steps in ((10, 2), (32, 2), (32.1, 3), (50, 3), (64, 3), (65, 4))],
        ((480, 640), 8.0, 0),
        ((480, 641), 8.0, 1),
        ((480, 640), 8.1, 1),
        # No shorter side is made smaller than 16 px.
        ((37, 51), 100.0, 1),
        ((31, 51), 100.0, 0),
    ],
)
def test_a_picture_is_halved_until_its_blur_is_small_enough(size, radius_px, steps):
    assert halvings(size, radius_px) == steps


@pytest.mark.parametrize("size", [(120, 160), (101, 131)])
def test_a_radius_keeps_its_part_of_the_picture(size):
    """At every size the defocus is in the unit of the smallest: 8 px of it."""
    given, lens = Given(), ThinLens(20.0, 0.25)
    disparity = np.tile(np.linspace(0.0, 1.0, size[1], dtype=np.float32), (size[0], 1))
    image = np.random.default_rng(0).random((*size, 3), np.float32)
    refocus(given.networks(), image, disparity, lens, gamma=2.2, arch="cpu")
    steps = 1 + (15.0 > 2.0 * RADIUS_MAX_PX)
    ((blurred, defocus),) = given.blurred
    assert blurred.shape[-1] * 2**steps == -(-size[1] // (8 * 2**steps)) * 8 * 2**steps
    told_px = [defocus] + [planes[2] for planes in given.enlarged]
    assert len(given.enlarged) == steps
    for told in told_px:
        # Halving takes means: half a pixel of the smallest size is half of 2^steps.
        assert float(told.max()) * RADIUS_MAX_PX * 2**steps == pytest.approx(15.0, abs=20.0 * 2**steps / size[1])
        assert float(told.min()) * RADIUS_MAX_PX * 2**steps == pytest.approx(-5.0, abs=20.0 * 2**steps / size[1])
    assert [planes[3].shape[-1] for planes in given.enlarged] == [blurred.shape[-1] * 2**i for i in range(1, steps + 1)]


@pytest.mark.parametrize("gamma", [1.0, 2.2, 4.0])
@pytest.mark.parametrize("size", [(64, 96), (51, 77)])
def test_networks_see_gamma_22_and_the_picture_has_its_own(gamma, size):
    given, rng = Given(), np.random.default_rng(1)
    linear = rng.uniform(0.0, 1.0, (*size, 3)).astype(np.float32)
    disparity = rng.uniform(0.0, 1.0, size).astype(np.float32)
    image = display_from_linear(linear, gamma)
    shown = refocus(given.networks(), image, disparity, ThinLens(14.0, 0.0), gamma=gamma, arch="cpu")
    np.testing.assert_allclose(shown, image, atol=2e-6)
    seen = given.enlarged[-1][3][0, :, : size[0], : size[1]].permute(1, 2, 0)
    np.testing.assert_allclose(seen, display_from_linear(linear), atol=2e-6)


def test_blur_beyond_the_largest_is_cut_off():
    given = Given()
    planes = np.ones((31, 51, 3), np.float32), np.ones((31, 51), np.float32)
    refocus(given.networks(), *planes, ThinLens(100.0, 0.0), gamma=2.2, arch="cpu")
    assert float(given.blurred[0][1].max()) == 1.0


def test_light_above_white_becomes_a_disk():
    given, image = Given(), np.full((64, 64, 3), 0.2, np.float32)
    image[32, 32] = 100.0
    shown = refocus(given.networks(), image, np.ones((64, 64), np.float32), ThinLens(6.0, 0.0), gamma=2.2, arch="cpu")
    assert given.enlarged == [] and float(given.blurred[0][0].max()) == 1.0
    # A disk of 6 px has 113 pixels.
    assert 90 < np.count_nonzero(shown[..., 0] > 0.5) < 140


# Training


def batch_of(size: int, radius_px: float) -> dict:
    picture = torch.rand(2, 3, size, size)
    defocus = torch.linspace(-0.5, 1.0, size).expand(2, 1, size, size) * radius_px
    return {
        "image": picture,
        "truth": picture,
        "highlights": torch.zeros_like(picture),
        "defocus_px": defocus.contiguous(),
        "gamma": torch.ones(2),
        "name": ["a", "b"],
    }


@pytest.mark.parametrize("size, radius_px, large_px", [(96, 12.0, 96), (96, 24.0, 64), (64, 3.0, 64), (50, 16.0, 48)])
def test_batches_are_reduced_to_the_blur_that_is_learned(size, radius_px, large_px):
    large, small = at_two_sizes(batch_of(size, radius_px))
    assert large.image.shape[-1] == large_px and small.image.shape[-1] == large_px // 2
    largest_px = radius_px * large_px / size
    assert largest_px <= 2.0 * RADIUS_MAX_PX
    # What is left of the largest value by means over pixels.
    assert float(large.defocus.max()) * 2.0 * RADIUS_MAX_PX == pytest.approx(largest_px, rel=0.03)
    # Values that are cut off at 1 do not tell of what is smaller.
    assert float(large.defocus.min()) * 2.0 * RADIUS_MAX_PX == pytest.approx(-0.5 * largest_px, rel=0.05)
    torch.testing.assert_close(F.avg_pool2d(large.truth, 2), small.truth)


def test_the_unit_of_training_is_that_of_inference():
    """A radius of 8 px at half the size is 1 in both."""
    large, small = at_two_sizes(batch_of(64, 16.0))
    given = Given()
    disparity = np.tile(np.linspace(-0.5, 1.0, 64, dtype=np.float32), (64, 1))
    refocus(given.networks(), np.ones((64, 64, 3), np.float32), disparity, ThinLens(16.0, 0.0), gamma=2.2, arch="cpu")
    ((_, told),) = given.blurred
    torch.testing.assert_close(told[0], small.defocus[0], atol=1e-6, rtol=0.0)
    torch.testing.assert_close(given.enlarged[0][2][0], small.defocus[0], atol=1e-6, rtol=0.0)
    assert large.defocus.shape[-1] == 64


def test_samples_are_those_of_gamma_22_whatever_the_gamma():
    rng = np.random.default_rng(0)
    linear, disparity = rng.random((40, 48, 3), np.float32), rng.random((40, 48), np.float32)
    linear[10, 10] = 50.0
    samples = []
    for gamma in (1.0, 2.2, 5.0):
        picture = display_from_linear(linear, gamma)
        case = MemoryCase(
            name="x",
            scene="x",
            blur_parameter=8.0,
            focus_disparity=0.4,
            gamma=gamma,
            planes=(picture, picture, disparity),
        )
        samples.append(sample_of(case, CropSettings(32, 11, 0.0), deeplens_planes, rng=np.random.default_rng(3)))
    for sample in samples[1:]:
        for name in ("image", "truth", "highlights", "defocus_px"):
            torch.testing.assert_close(sample[name], samples[0][name], atol=2e-5, rtol=1e-4)


def test_the_blur_net_learns_one_batch_by_heart():
    """Forty steps on a box blur of the part that is out of focus: less than half of the error of the picture itself."""
    batch = batch_of(32, 16.0)
    blurred = F.avg_pool2d(F.pad(batch["image"], (4, 4, 4, 4), mode="reflect"), 9, stride=1)
    batch["truth"] = torch.where(batch["defocus_px"].abs() > 3.0, blurred, batch["image"])
    _, small = at_two_sizes(batch)
    training = DeeplensBlurTraining(DEEPLENS[0].presets["smoke"], 40)
    optimizer = torch.optim.Adam(training.network.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        loss = training.objective(batch)["loss"]
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5 * float(picture_l1(small.image, small.truth))


@pytest.mark.parametrize("preset", ["smoke", "cpu", "paper"])
def test_stages_are_trained_on_all_the_blur_that_they_are_used_at(preset):
    for stage in DEEPLENS:
        # Pictures of K = 24, reduced to radii of 16 px.
        assert stage.presets[preset].blur_parameter_max >= 2.0 * RADIUS_MAX_PX
        assert stage.presets[preset].crop_px > stage.presets[preset].blur_parameter_max
