"""IFAN is the network of its paper: counted part by part, filtered as printed, and taught by what it says."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from bokehdata.cases import StackCase
from bokehdata.format import BokehSetting, DatasetError
from bokehdata.opening import open_cases
from bokehdata.pairs.pair import PhotoPair
from bokehdata.torch_data import CropSettings, sample_of
from inverse.deblurring.ifan import IFAN, Reblurring, adaptive_convolution
from inverse.deblurring.inference import NETWORKS, in_tiles, read_network
from inverse.deblurring.losses import disparity_loss, eighth, shifted
from inverse.deblurring.pairs import begins_blurred, views_of_blurred
from training.models import MODELS
from training.models.ifan import PRESETS, IfanTraining, deblurring_planes, varied


@pytest.fixture(autouse=True)
def same_weights_every_time():
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny(**options) -> IFAN:
    """A small one whose filters count: of random ones, which are near 0, three steps leave nothing."""
    network = IFAN(widths=(4, 4, 8, 20), steps=3, **options)
    with torch.no_grad():
        network.filters.bias.uniform_(-0.3, 0.7)
        network.filters.weight *= 2.0
        network.disparity_head[-1].weight *= 4.0
    return network.eval()


def parameters(*parts: nn.Module) -> int:
    return sum(p.numel() for part in parts for p in part.parameters())


def test_every_part_has_as_many_parameters_as_in_the_release():
    with torch.device("meta"):
        network = IFAN()
        reblurring = Reblurring(network)
    counted = {
        "feature extractor": parameters(network.extractor),
        "filter encoder": parameters(network.filter_encoder),
        "disparity map estimator": parameters(network.disparity_head),
        "conv4_4": parameters(network.joined),
        "filter predictor": parameters(network.disparity_features, network.predictor, network.filters),
        "reconstructor": parameters(network.deep, network.enlarged, network.decoders, network.last),
    }
    assert counted == {
        "feature extractor": 923_520,
        "filter encoder": 923_520,
        "disparity map estimator": 1_329_409,
        "conv4_4": 1_623_296,
        "filter predictor": 3_294_464,
        "reconstructor": 2_382_787,
    }
    assert parameters(network) == sum(counted.values()) == 10_476_996
    assert network.filters.out_channels == 15_232
    assert parameters(reblurring) == 19_139_685


def test_the_small_one_ships_in_two_and_a_half_megabytes():
    with torch.device("meta"):
        assert 2 * parameters(NETWORKS["ifan-small"]()) < 2.5e6


def test_the_network_of_the_paper_deblurs_a_picture_of_64_px():
    with torch.device("meta"):
        network = IFAN()
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, 0.01)
    nn.init.zeros_(network.last[0].weight)
    nn.init.zeros_(network.last[0].bias)
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        # With nothing to add the picture is what it was.
        assert torch.equal(network(image), image)


@pytest.mark.parametrize("size", [(64, 60), (20, 64)])
def test_sides_are_multiples_of_eight(size):
    with pytest.raises(ValueError, match="must be multiples of 8"):
        tiny()(torch.rand(1, 3, *size))


# The filters


def by_loops(
    features: NDArray, filters: NDArray, steps: int, *, shared_vh: bool = False, ends_linear: bool = False
) -> NDArray:
    """The order of the channels in numbers: of step n, channel c and tap t."""
    channels, height, width = features.shape
    e = features
    for n in range(steps):
        for first, axis in ((0, 0), (0 if shared_vh else 3 * channels, 1)):
            filtered = np.zeros_like(e)
            for c, y, x in np.ndindex(*e.shape):
                for t in range(3):
                    at = [y, x]
                    at[axis] = min(max(at[axis] + t - 1, 0), (height, width)[axis] - 1)
                    filtered[c, y, x] += filters[6 * channels * n + first + 3 * c + t, y, x] * e[c, at[0], at[1]]
            e = filtered
        e = e + filters[6 * channels * steps + channels * n :][:channels]
        if n < steps - 1 or not ends_linear:
            e = np.where(e > 0.0, e, 0.1 * e)
    return e


@pytest.mark.parametrize("options", [{}, {"shared_vh": True}, {"ends_linear": True}], ids=str)
def test_features_are_filtered_by_columns_then_rows_in_the_order_of_the_release(options):
    rng = np.random.default_rng(0)
    features, filters = rng.normal(size=(2, 5, 4)), rng.normal(size=(3 * 7 * 2, 5, 4))
    found = adaptive_convolution(torch.from_numpy(features)[None], torch.from_numpy(filters)[None], **options)
    np.testing.assert_allclose(found[0].numpy(), by_loops(features, filters, 3, **options), rtol=1e-10, atol=1e-12)


def test_middle_taps_leave_features_that_are_not_negative():
    features = torch.rand(2, 3, 6, 5)
    taps = torch.tensor([0.0, 1.0, 0.0]).repeat(2 * 4 * 3)
    filters = torch.cat([taps, torch.zeros(4 * 3)])[None, :, None, None].expand(2, -1, 6, 5)
    assert torch.equal(adaptive_convolution(features, filters), features)


def test_the_fault_of_the_released_weights_is_a_choice():
    image = torch.rand(1, 3, 32, 32)
    ours, shared = tiny(), tiny(shared_vh=True)
    shared.load_state_dict(ours.state_dict())
    assert not torch.allclose(ours(image), shared(image), atol=1e-4)
    # Where rows are predicted as columns are, there is no difference.
    with torch.no_grad():
        for values in (ours.filters.weight, ours.filters.bias):
            taps = values[: 6 * 3 * 20].view(3, 2, 60, -1)
            taps[:, 1] = taps[:, 0]
    torch.testing.assert_close(ours(image), shared(image), rtol=0, atol=1e-6)


def test_filters_a_few_channels_at_a_time_are_those_of_all_at_once():
    network, image = tiny(), torch.rand(2, 3, 40, 24)
    at_once, filters = network.with_filters(image)
    assert filters is not None and filters.shape == (2, 3 * 7 * 20, 5, 3)
    with torch.inference_mode():
        torch.testing.assert_close(network(image), at_once, rtol=0, atol=1e-5)


def test_a_picture_in_tiles_is_that_of_the_whole():
    """Of a size that is no multiple of 8, and of none of the tile."""
    network, image = tiny(), torch.rand(1, 3, 100, 245)
    with torch.inference_mode():
        whole = in_tiles(network, image, 1024)
        assert whole.shape == image.shape and (whole - image).abs().max() > 0.1
        torch.testing.assert_close(in_tiles(network, image, 64), whole, rtol=0, atol=1e-5)


def test_a_run_begins_with_the_picture_as_it_is():
    network = tiny()
    network.start_from_identity()
    reblurring = Reblurring(network, steps=3)
    reblurring.start_from_identity()
    image, small = torch.rand(1, 3, 32, 24), torch.rand(1, 3, 4, 3)
    shown, filters = network.with_filters(image)
    assert torch.equal(shown, image)
    assert torch.equal(reblurring(small, filters), small)


# What it is taught


def test_a_view_is_shifted_by_its_disparity():
    """The right view at x + disparity is the left view at x; 0 is what no view shows."""
    right = torch.arange(12.0).expand(1, 1, 3, 12)
    disparity = torch.full((1, 1, 3, 12), 1.5)
    expected = torch.cat([torch.arange(10) + 1.5, torch.tensor([5.5, 0.0])]).expand(1, 1, 3, 12)
    torch.testing.assert_close(shifted(right, disparity), expected, rtol=0, atol=1e-4)


def test_samples_without_views_do_not_teach_the_disparity():
    views = torch.rand(2, 3, 4, 6)
    disparity = torch.zeros(2, 1, 4, 6, requires_grad=True)
    both = disparity_loss(disparity, views.flip(-1), views, torch.ones(2))
    one = disparity_loss(disparity, views.flip(-1), views, torch.tensor([1.0, 0.0]))
    first = F.mse_loss(views[:1].flip(-1), views[:1])
    # Zeros beyond the frame do not show without a shift.
    torch.testing.assert_close(one, first / 2.0)
    one.backward()
    assert both > one and disparity.grad[0].abs().sum() > 0 and disparity.grad[1].abs().sum() == 0


def test_an_eighth_is_a_mean_and_with_nearest_one_of_its_pixels():
    picture = torch.rand(1, 3, 16, 24)
    torch.testing.assert_close(eighth(picture), F.interpolate(picture, scale_factor=1 / 8, mode="area"))
    assert torch.equal(eighth(picture, nearest=True), F.interpolate(picture, scale_factor=1 / 8))


def test_the_paper_halves_its_rate_twice():
    training = IfanTraining("ifan-small", PRESETS["paper"], 600_000)
    rates = [training._relative_rate(step) for step in (0, 499_999, 500_000, 549_999, 550_000, 599_999)]
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    (group,) = training.configure_optimizers()["optimizer"].param_groups
    assert (group["betas"], group["weight_decay"], group["decoupled_weight_decay"]) == ((0.9, 0.999), 0.01, True)
    # What blurs again is trained and clipped with the network.
    assert training.reblurring is not None
    assert len(group["params"]) == sum(1 for part in (training.network, training.reblurring) for _ in part.parameters())


def test_fine_tuning_goes_on_at_a_tenth_of_the_rate():
    model = MODELS["ifan-small"][0]
    preset = PRESETS["paper"].__class__(**{**vars(PRESETS["paper"]), **model.ablations["fine-tuning"]})
    training = model.build(preset, 20_000, {})
    assert training.preset.learning_rate == pytest.approx(1e-5)
    assert {training._relative_rate(step) for step in (0, 10_000, 19_999)} == {1.0}
    assert training.reblurring is None


class Told(nn.Module):
    """In place of the network: what it says of a picture is told by one of its colours."""

    def with_filters(self, image: torch.Tensor):
        return image + 0.1, "filters"

    def disparity(self, view: torch.Tensor) -> torch.Tensor:
        return 8.0 * eighth(view)[:, :1]


class ToldAgain(nn.Module):
    def forward(self, sharp: torch.Tensor, filters: str) -> torch.Tensor:
        assert filters == "filters"
        return 0.5 * sharp


def test_ifan_is_taught_the_sharp_picture_the_views_and_the_blur():
    """Each of weight 1; the disparity is that of the right view."""
    training = IfanTraining("ifan-small", PRESETS["cpu"], 10)
    training.network, training.reblurring = Told(), ToldAgain()
    names = ("blurred", "sharp", "left", "right")
    batch = {name: torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(i)) for i, name in enumerate(names)}
    found = training.objective({**batch, "has_views": torch.tensor([1.0, 0.0])})
    blurred, sharp, left, right = (batch[name] for name in names)
    expected = {
        "deblurred": (blurred + 0.1 - sharp).square().mean(),
        # The second of the pair has no views.
        "disparity": 0.5 * (shifted(eighth(right), 8.0 * eighth(right)[:, :1]) - eighth(left))[:1].square().mean(),
        "reblurred": (0.5 * eighth(sharp) - eighth(blurred)).square().mean(),
    }
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-5), name
    assert float(found["loss"]) == pytest.approx(sum(map(float, expected.values())), rel=1e-5)


def test_the_right_view_is_moved_to_the_left_one():
    left, right = torch.zeros(1, 3, 6, 16), torch.zeros(1, 3, 6, 16)
    right[..., 8], left[..., 6] = 1.0, 1.0
    two = torch.full((1, 1, 6, 16), 2.0)
    assert float(disparity_loss(two, left, right, torch.ones(1))) < 1e-10
    assert float(disparity_loss(-two, left, right, torch.ones(1))) > 0.1


def test_one_training_picture_in_twenty_has_noise():
    flat = {"blurred": np.full((8, 8, 3), 0.5, np.float32)}
    inner = (slice(0, 8), slice(0, 8))
    noisy = [np.ptp(varied(flat, inner, np.random.default_rng(n))["blurred"]) > 0.0 for n in range(400)]
    assert 8 <= sum(noisy) <= 36


def released_name(name: str) -> str:
    """Of a parameter of ours: what the authors' code calls it."""
    module, _, rest = name.partition(".")
    part = rest.replace("blocks", "stem")
    # Of a residual block: the first convolution, and the second behind an activation.
    part = re.sub(r"(stem\.\d)\.1\.", r"\1.2.", re.sub(r"(stem\.\d)\.0\.0\.", r"\1.0.", part))
    n, _, after = part.partition(".")
    m, _, last = after.partition(".")
    return (
        "Network."
        + {
            "extractor": lambda: f"conv{int(n) + 1}_{int(m) + 1}.{last}",
            "filter_encoder": lambda: f"kconv{int(n) + 1}_{int(m) + 1}.{last}",
            "disparity_head": lambda: f"DME.{part}",
            "disparity_features": lambda: f"conv_DME.{part}",
            "joined": lambda: f"conv4_4.{part}",
            "predictor": lambda: f"F.{part}",
            "filters": lambda: f"F.3.{part}",
            "deep": lambda: f"conv_res.{part}",
            "enlarged": lambda: f"upconv{3 - int(n)}_u.{after}",
            "decoders": lambda: f"upconv{3 - int(n)}_{int(m) + 1}.{last}",
            "last": lambda: f"out_res.{part}",
        }[module]()
    )


def test_released_weights_load_under_their_own_names(tmp_path):
    network = NETWORKS["ifan-small"]().eval()
    state = {released_name(name): value for name, value in network.state_dict().items()}
    assert {
        "Network.kconv4_3.0.bias",
        "Network.conv4_4.1.stem.1.2.weight",
        "Network.F.3.weight",
        "Network.upconv3_u.0.weight",
        "Network.upconv1_2.stem.0.0.weight",
        "Network.out_res.0.bias",
    } <= state.keys()
    # What blurs again is in the file too.
    torch.save({**state, "reblur.0.weight": torch.zeros(1)}, tmp_path / "ifan-small.pytorch")
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        found = read_network("ifan-small", tmp_path / "ifan-small.pytorch")(image)
        torch.testing.assert_close(found, network(image))


# Its data


def stack_case(blur_parameters: tuple[float, float], *, dual_pixel: bool = True) -> StackCase:
    stack = SimpleNamespace(blur_parameters=blur_parameters, dual_pixel=dual_pixel)
    given, truth = BokehSetting(0, 0, 2.2), BokehSetting(1, 0, 2.2)
    folder = SimpleNamespace(
        stack=lambda: stack, bokeh=lambda *setting: np.full((8, 8, 3), len(setting[-1]), np.float32)
    )
    return StackCase(name="a", scene="a", folder=folder, setting=truth, input_setting=given)


def test_the_blurred_picture_of_a_stack_is_that_of_the_larger_opening():
    assert begins_blurred(stack_case((8.5, 1.5)))
    assert not begins_blurred(stack_case((1.5, 8.5)))
    # The views are of the picture given: not of the blurred one, where the sharp one is given.
    assert views_of_blurred(stack_case((8.5, 1.5))).keys() == {"left", "right"}
    assert views_of_blurred(stack_case((1.5, 8.5))) == {}
    assert views_of_blurred(stack_case((8.5, 1.5), dual_pixel=False)) == {}


def write_dpdd(root: Path, parts: dict[str, int], *, views: bool = True, size: tuple[int, int] = (40, 48)) -> Path:
    """A small set in the layout of DPDD: sharp noise, blurred by a mean of 5 px, and views 2 px apart."""
    import cv2

    rng = np.random.default_rng(3)
    for part, count in parts.items():
        for n in range(count):
            sharp = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
            blurred = cv2.blur(sharp, (5, 5))
            shown = {"c/source": blurred, "c/target": sharp}
            if views:
                shown |= {"l/source": np.roll(blurred, -1, 1), "r/source": np.roll(blurred, 1, 1)}
            for place, picture in shown.items():
                folder = root / f"{part}_{place}"
                folder.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(folder / f"{n:04d}.png"), picture)
    return root


@pytest.mark.parametrize("views", [True, False])
def test_a_sample_of_dpdd_is_to_be_deblurred(tmp_path, views):
    (case,) = open_cases(write_dpdd(tmp_path, {"train": 1}, views=views))
    assert isinstance(case, PhotoPair) and not begins_blurred(case)
    for seed in range(6):
        settings = CropSettings(32, 55, turned=False)
        sample = sample_of(case, settings, deblurring_planes, rng=np.random.default_rng(seed))
        roughness = {name: float(sample[name].diff(dim=-1).square().mean()) for name in ("blurred", "sharp")}
        assert roughness["blurred"] < 0.5 * roughness["sharp"]
        assert float(sample["has_views"]) == views
        assert not views or float((sample["left"] - sample["right"]).abs().mean()) > 0.01


def test_what_varies_a_sample_is_alike_in_all_its_pictures():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.3, 0.7, (60, 70, 3)).astype(np.float32)
    window, inner = {"blurred": first, "sharp": first, "left": first, "right": first}, (slice(14, 46), slice(20, 52))
    seen = {"plain": 0, "grey": 0}
    for seed in range(60):
        made = varied(window, inner, np.random.default_rng(seed))
        parts = [made[name][inner] for name in window]
        assert all(np.array_equal(part, parts[0]) for part in parts)
        seen["grey"] += np.array_equal(parts[0][..., 0], parts[0][..., 2])
        seen["plain"] += np.array_equal(np.sort(parts[0], None), np.sort(first[inner], None))
    # Three tenths are grey; a third is neither grey nor smaller nor noisy. Four deviations of 60.
    assert abs(seen["grey"] - 18) < 15 and abs(seen["plain"] - 20) < 15


def test_a_mirror_swaps_the_views():
    """A mirrored scene is seen through the other half of the lens."""
    window = {name: np.full((8, 8, 3), i / 4.0, np.float32) for i, name in enumerate(("left", "right"), 1)}
    ramp = np.tile(np.linspace(0.0, 1.0, 8, dtype=np.float32)[None, :, None], (8, 1, 3))
    swapped = []
    for seed in range(12):
        made = varied({**window, "sharp": ramp}, (slice(0, 8), slice(0, 8)), np.random.default_rng(seed))
        is_mirrored = made["sharp"][4, 0].mean() > made["sharp"][4, 7].mean()
        assert (made["left"].mean() > made["right"].mean()) == is_mirrored
        swapped.append(is_mirrored)
    assert 0 < sum(swapped) < 12


def test_scenes_on_the_fly_do_not_say_which_picture_is_sharp(random_scene):
    from bokehdata.cases import MemoryCase

    planes = (np.zeros((8, 8, 3), np.float32),) * 2 + (np.zeros((8, 8), np.float32),)
    with pytest.raises(DatasetError, match="write the scenes to disk first"):
        begins_blurred(MemoryCase(name="a", scene="a", planes=planes))
