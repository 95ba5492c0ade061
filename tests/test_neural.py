"""BokehMe's inference does what its release does, whatever the weights: sizes, calls, clipping, masks, fusion."""

import math
from importlib import import_module

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import renderers
from bokehdata.opening import open_cases
from evaluation.metrics import psnr
from evaluation.regions import region_masks
from raytrace import gen
from renderers import RENDERERS
from renderers.base import RendererError
from renderers.neural.bokehme.inference import (
    ABLATIONS,
    FULL,
    fused,
    near_focus,
    normalized_gamma,
    render_neurally,
    upsampled,
)
from renderers.neural.bokehme.network import ARNet
from renderers.neural.checkpoints import loaded
from renderers.neural.deepfocus.inference import WholePicture, deepfocus_inputs, refocus
from renderers.neural.deepfocus.network import DeepFocus
from renderers.neural.layers import resized
from renderers.neural.renderer import shipped
from scenes.lens import ThinLens


class Spy:
    """A network that records what it is given and answers with a constant picture."""

    def __init__(self, value: float = 0.5, logit: float = 0.0):
        self.calls: list[tuple[torch.Tensor, ...]] = []
        self.value, self.logit = value, logit

    def __call__(self, image, defocus, *others):
        self.calls.append((image, defocus, *others))
        return torch.full_like(image, self.value)


class ArnetSpy(Spy):
    def __call__(self, image, defocus, *others):
        picture = super().__call__(image, defocus, *others)
        return picture, torch.full_like(picture[:, :1], self.logit)


def ramp(height: int = 32, width: int = 48, largest: float = 3.7) -> torch.Tensor:
    return torch.linspace(-0.5, largest, width).expand(1, 1, height, width).contiguous()


GAMMA = torch.tensor([0.3])


@pytest.mark.parametrize("largest, calls", [(0.4, 1), (1.0, 1), (1.2, 1), (2.0, 2), (3.7, 2), (4.0, 3)])
def test_iunet_is_called_once_for_every_doubling_and_once_at_full_size(largest, calls):
    iunet = Spy()
    render_neurally(ArnetSpy(), iunet, torch.rand(1, 3, 32, 48), ramp(largest=largest), ramp(), GAMMA)
    assert len(iunet.calls) == calls == math.floor(math.log2(max(largest, 1.0))) + 1
    assert iunet.calls[-1][0].shape[-2:] == (32, 48)


@pytest.mark.parametrize("size", [(32, 48), (31, 45), (33, 20)])
def test_sizes_and_defocus_shrink_together(size):
    """ARNet sees the picture 1 / a as large and its defocus within [-1, 1]: a radius keeps its part of the picture."""
    arnet, iunet, defocus = ArnetSpy(), Spy(), ramp(*size, largest=3.7)
    picture, error = render_neurally(arnet, iunet, torch.rand(1, 3, *size), defocus, defocus, GAMMA)
    image_small, defocus_small, _ = arnet.calls[0]
    assert image_small.shape[-2:] == (int(size[0] / 3.7), int(size[1] / 3.7))
    # Corners are kept, so that the largest value is; it rounds in float32.
    assert float(defocus_small.abs().max()) == pytest.approx(1.0, abs=1e-6)
    assert iunet.calls[0][0].shape[-2:] == (int(size[0] * 2 / 3.7), int(size[1] * 2 / 3.7))
    assert picture.shape[-2:] == error.shape[-2:] == size


def test_a_blur_radius_is_the_same_part_of_the_picture_at_every_size():
    """A picture q times as large has blur disks q times as large: so ARNet and every step of IUNet are told."""
    arnet, iunet, defocus = ArnetSpy(), Spy(), torch.full((1, 1, 64, 96), 8.0)
    render_neurally(arnet, iunet, torch.rand(1, 3, 64, 96), defocus, defocus, GAMMA, ABLATIONS["B2"])
    assert [call[0].shape[-1] for call in (*arnet.calls, *iunet.calls)] == [12, 24, 48, 96, 96]
    for image, told, *_ in (*arnet.calls, *iunet.calls):
        # Resizing sums bilinear weights in float32.
        torch.testing.assert_close(told / image.shape[-1], torch.full_like(told, 8.0 / 96.0), atol=1e-6, rtol=0.0)


def test_iunet_paints_wherever_the_dilated_blur_is_within_its_range_at_that_size():
    """Blur of 1.5 units spreads over everything: IUNet knows up to 1, which it is in a picture 0.6 times as large."""
    defocus, dilated = torch.full((1, 1, 32, 48), 0.2), torch.full((1, 1, 32, 48), 1.5)
    defocus[..., 0] = 3.2

    class Counting(Spy):
        def __call__(self, *inputs):
            super().__call__(*inputs)
            return torch.full_like(inputs[0], float(len(self.calls)))

    picture, _ = render_neurally(ArnetSpy(0.0), Counting(), torch.rand(1, 3, 32, 48), defocus, dilated, GAMMA)
    # Kept of the first step, at 2 / 3.2 of the size, where the blur is 0.94 units; not of the one at full size.
    torch.testing.assert_close(picture, torch.ones_like(picture), atol=1e-6, rtol=0.0)


def test_iunet_sees_clipped_defocus_but_in_b2():
    for name, largest in (("B2", 3.7), ("B3", 1.0), ("B5", 1.0)):
        iunet = Spy()
        render_neurally(ArnetSpy(), iunet, torch.rand(1, 3, 32, 48), ramp(), ramp(), GAMMA, ABLATIONS[name])
        assert float(iunet.calls[-1][1].max()) == pytest.approx(largest, abs=1e-6)


def test_b1_has_no_iunet():
    iunet = Spy()
    picture, _ = render_neurally(
        ArnetSpy(0.25), iunet, torch.rand(1, 3, 32, 48), ramp(), ramp(), GAMMA, ABLATIONS["B1"]
    )
    assert not iunet.calls
    # Bilinear weights sum to 1 up to float32 rounding.
    torch.testing.assert_close(picture, torch.full_like(picture, 0.25), atol=1e-6, rtol=0)


def test_negative_light_is_never_passed_on():
    iunet = Spy(-0.2)
    picture, _ = render_neurally(ArnetSpy(-0.3), iunet, torch.rand(1, 3, 32, 48), ramp(), ramp(), GAMMA)
    assert (picture == 0.0).all()
    assert all((call[2] == 0.0).all() for call in iunet.calls)


@pytest.mark.parametrize("name", ["B3", "B4", "B5"])
def test_iunet_replaces_what_its_ablation_says(name):
    """Far from focus by one measure, near by the other: the mask tells which one counts."""
    size = (40, 40)  # too small for soft rims: 0.005 (40 + 40) rounds to 0
    defocus, dilated = torch.full((1, 1, *size), 0.5), torch.full((1, 1, *size), 1.5)
    coarse = torch.zeros(1, 3, 20, 20)
    out = upsampled(Spy(1.0), torch.rand(1, 3, *size), defocus, dilated, coarse, GAMMA, ABLATIONS[name])
    assert float(out.mean()) == {"B3": 1.0, "B4": 1.0, "B5": 0.0}[name]


def test_the_mask_has_the_rims_of_opencv():
    """A Gaussian of radius round(0.005 (h + w)), sigma 0.3 (radius - 1) + 0.8, over replicated borders."""
    defocus = torch.from_numpy(np.random.default_rng(0).uniform(-2, 2, (1, 1, 120, 200)).astype(np.float32))
    hard = (defocus.abs() < 1).float()[0, 0].numpy()
    expected = cv2.GaussianBlur(hard, (5, 5), 0.3 * (2 - 1) + 0.8, borderType=cv2.BORDER_REPLICATE)
    # float32 sums of 25 taps.
    np.testing.assert_allclose(near_focus(defocus)[0, 0].numpy(), expected, atol=1e-6)


def test_fusion_takes_the_scatter_where_no_error_is_expected():
    classical, rendered = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    torch.testing.assert_close(fused(classical, rendered, torch.zeros(1, 1, 4, 4)), classical)
    torch.testing.assert_close(fused(classical, rendered, torch.ones(1, 1, 4, 4)), rendered)


def test_gamma_1_to_5_is_0_to_1_and_others_are_clipped():
    assert normalized_gamma(torch.tensor([1.0, 2.2, 5.0, 0.5, 9.0])).tolist() == pytest.approx([0, 0.3, 1, 0, 1])


# The renderers


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict:
    """Random weights of every network, as safetensors."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    paths = {}
    modules = {entry.modules[-1] for entry in RENDERERS.values() if entry.checkpoints}
    for name, network in sorted(pair for module in modules for pair in import_module(module).NETWORKS.items()):
        paths[name] = folder / f"{name}.safetensors"
        save_file(network().state_dict(), paths[name])
    return paths


@pytest.fixture
def picture() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    disparity = np.repeat(np.repeat(rng.uniform(0, 1, (5, 7)), 8, 0), 8, 1)[:37, :51]
    return rng.uniform(0, 1.5, (37, 51, 3)).astype(np.float32), disparity.astype(np.float32)


def neural(weights) -> dict:
    """Every neural entry of RENDERERS, with random weights."""
    entries = {name: entry for name, entry in RENDERERS.items() if entry.checkpoints}
    assert {"bokehme", "bokehme-b1", "deepfocus-resized"} <= entries.keys()
    return {name: entry.with_checkpoints(list(weights.values())) for name, entry in entries.items()}


def test_only_k_times_disparity_matters(weights, picture):
    image, disparity = picture
    for renderer in neural(weights).values():
        a = renderer(image, disparity, ThinLens(20.0, 0.4))
        b = renderer(image, 2.0 * disparity, ThinLens(10.0, 0.8))
        # A factor of two is exact in floating point.
        np.testing.assert_array_equal(a, b)


def test_a_pinhole_returns_the_picture(weights, picture):
    for renderer in neural(weights).values():
        np.testing.assert_array_equal(renderer(*picture, ThinLens(0.0, 0.4)), picture[0])


def test_whatever_the_weights_the_output_is_a_picture(weights, picture):
    for renderer in neural(weights).values():
        out = renderer(*picture, ThinLens(45.0, 0.2), gamma=3.0)
        assert out.shape == picture[0].shape and out.dtype == np.float32 and np.isfinite(out).all()
        np.testing.assert_array_equal(out, renderer(*picture, ThinLens(45.0, 0.2), gamma=3.0))


def test_bokehme_is_the_scatter_where_its_error_map_is_zero(weights, picture, tmp_path):
    arnet = ARNet()
    arnet.load_state_dict(loaded(ARNet(), weights["arnet"]).state_dict())
    with torch.no_grad():
        # The last four channels before the shuffle become the error map.
        arnet.conv1.conv.weight[12:] = 0.0
        arnet.conv1.conv.bias[12:] = -200.0
    save_file(arnet.state_dict(), tmp_path / "arnet.safetensors")
    renderer = RENDERERS["bokehme"].with_checkpoints([tmp_path / "arnet.safetensors", weights["iunet"]])
    picture = np.minimum(picture[0], 1.0), picture[1]
    expected = np.clip(RENDERERS["scatter"](*picture, ThinLens(12.0, 0.5)), 0.0, 1.0)
    np.testing.assert_allclose(renderer(*picture, ThinLens(12.0, 0.5)), expected, atol=1e-6)


def test_highlights_keep_their_disks_where_the_networks_paint(weights):
    """A light far above white is a white disk, whatever the networks make of its surroundings."""
    image, disparity = np.full((64, 64, 3), 0.1, np.float32), np.ones((64, 64), np.float32)
    image[32, 32] = 30.0
    out = neural(weights)["bokehme"](image, disparity, ThinLens(8.0, 0.0))
    rho = np.hypot(*(np.indices((64, 64)) - 32))
    # 30^2.2 = 1778 over the 201 pixels of the disk.
    assert out[rho < 7].min() == 1.0 and np.ptp(out[rho > 10]) < 1.0


def test_the_ablations_are_networks_alone(weights, picture):
    """Networks end at white, so brighter light adds nothing to their pictures."""
    image, disparity = picture
    assert image.max() > 1.0
    for name in ABLATIONS:
        renderer = neural(weights)[f"bokehme-{name.lower()}"]
        clipped = renderer(np.minimum(image, 1.0), disparity, ThinLens(12.0, 0.5))
        np.testing.assert_array_equal(renderer(image, disparity, ThinLens(12.0, 0.5)), clipped)


def test_deepfocus_takes_the_diameter_and_relative_disparity():
    image = torch.rand(1, 3, 6, 6) * 4.0
    disparity = torch.linspace(2.0, 3.0, 36).reshape(1, 1, 6, 6)
    defocus_px = torch.linspace(-15.0, 15.0, 36).reshape(1, 1, 6, 6)
    whole = WholePicture(image.max(), disparity.min(), disparity.max())
    shown, normalized, diameter = deepfocus_inputs(image, disparity, defocus_px, whole)
    assert float(shown.max()) == 1.0
    assert (float(normalized.min()), float(normalized.max())) == (0.0, 1.0)
    assert float(diameter.max()) == pytest.approx(1.0)


@pytest.mark.parametrize("lamp, unit", [(0.8, 0.8), (1.0, 1.0), (30.0, 1.0)])
def test_deepfocus_sees_a_picture_in_units_of_its_peak_and_no_darker_for_a_lamp(lamp, unit):
    image, disparity = np.full((16, 16, 3), 0.4, np.float32), np.zeros((16, 16), np.float32)
    image[3, 3] = lamp
    network, seen = DeepFocus().eval(), []
    network.register_forward_pre_hook(lambda module, planes: seen.append(planes[0]))
    refocus({"deepfocus": network}, image, disparity, ThinLens(8.0, 0.5), gamma=2.2, arch="cpu")
    assert float(seen[0][0, 0, 9, 9]) == pytest.approx(0.4 / unit)
    assert float(seen[0][0, 0, 3, 3]) == pytest.approx(lamp / unit)


@pytest.mark.parametrize("adaptive, side, diameter_px", [(False, 40, 60.0), (True, 16, 24.0)])
def test_deepfocus_resized_never_sees_a_radius_above_12(adaptive, side, diameter_px):
    network, seen = DeepFocus(), {}
    network.register_forward_pre_hook(lambda module, args: seen.update(args=args))
    image, disparity = np.ones((40, 40, 3), np.float32), np.linspace(0, 1, 1600, dtype=np.float32).reshape(40, 40)
    lens = ThinLens(30.0, 0.0)
    out = refocus({"deepfocus": network}, image, disparity, lens, gamma=2.2, arch="cpu", adaptive=adaptive)
    assert out.shape == image.shape
    assert seen["args"][0].shape[-1] == side
    assert float(seen["args"][2].max()) * 30.0 == pytest.approx(diameter_px, rel=1e-5)


# Checkpoints


def test_the_authors_checkpoints_load(weights, tmp_path):
    """A file of torch with the key "model", as their release has it."""
    state = loaded(ARNet(), weights["arnet"]).state_dict()
    torch.save({"model": state}, tmp_path / "arnet.pth")
    again = loaded(ARNet(), tmp_path / "arnet.pth").state_dict()
    assert all(torch.equal(again[name], value) for name, value in state.items())


class Payload:
    def __reduce__(self):
        return print, ("executed",)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"model": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(RendererError, match=r"evil\.pth: is not a whole checkpoint"):
        loaded(ARNet(), tmp_path / "evil.pth")
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a whole checkpoint of tensors"),
        (b"junk", "is not a whole checkpoint of tensors"),
        (b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", "is not a whole checkpoint of tensors"),
        ([torch.zeros(1)], "is not a mapping of names to tensors"),
        ({"model": 3}, "is not a mapping of names to tensors"),
        ({"model": {"weight": 3}}, "'weight' is not a tensor"),
        ({3: torch.zeros(1)}, "is not a checkpoint of ARNet"),
        ({"weight": torch.tensor([1.0, float("nan")])}, "'weight' holds NaN or infinity"),
        ({}, "is not a checkpoint of ARNet"),
    ],
)
def test_bad_weights_are_one_line_without_advice_to_run_them(tmp_path, content, reason):
    path = tmp_path / "arnet.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(RendererError) as refusal:
        loaded(ARNet(), path)
    message = str(refusal.value)
    assert message.startswith(f"{path}: {reason}") and "\n" not in message and "weights_only" not in message


def test_what_is_no_checkpoint_of_a_network_is_named(weights, tmp_path):
    with pytest.raises(RendererError, match=r"iunet\.safetensors: is not a checkpoint of ARNet"):
        loaded(ARNet(), weights["iunet"])
    (tmp_path / "torn.safetensors").write_bytes(weights["arnet"].read_bytes()[:1000])
    with pytest.raises(RendererError, match=r"torn\.safetensors: is not a whole checkpoint"):
        loaded(ARNet(), tmp_path / "torn.safetensors")
    with pytest.raises(RendererError, match="there are no such weights"):
        loaded(ARNet(), tmp_path / "absent.safetensors")


def test_soft_rims_keep_their_bits_under_mixed_precision():
    defocus = torch.linspace(-3.0, 3.0, 300).expand(1, 1, 200, 300)
    with torch.autocast("cpu", torch.bfloat16):
        mask = near_focus(defocus)
    assert mask.dtype == torch.float32 and torch.equal(mask, near_focus(defocus))


def test_weights_of_ones_own_replace_those_of_their_name(weights, tmp_path):
    everything = [weights[name] for name in ("arnet", "iunet", "deepfocus")]
    assert renderers.renderer("bokehme").checkpoints == (shipped("bokehme", "arnet"), shipped("bokehme", "iunet"))
    assert renderers.renderer("bokehme", [weights["arnet"]]).checkpoints == (
        weights["arnet"],
        shipped("bokehme", "iunet"),
    )
    assert renderers.renderer("bokehme-b2", everything).checkpoints == (weights["arnet"], weights["iunet"])
    assert renderers.renderer("deepfocus", everything).checkpoints == (weights["deepfocus"],)
    assert renderers.renderer("scatter", everything) is RENDERERS["scatter"]
    with pytest.raises(RendererError, match=r"net\.safetensors: weights are called .*arnet, .*deepfocus, .*iunet"):
        renderers.renderer("bokehme", [tmp_path / "net.safetensors"])
    with pytest.raises(RendererError, match=r"arnet\.safetensors: no such file"):
        renderers.renderer("bokehme", [tmp_path / "arnet.safetensors"])


def test_a_picture_too_small_for_networks_is_refused(weights):
    image, disparity = np.ones((3, 9, 3), np.float32), np.ones((3, 9), np.float32)
    with pytest.raises(RendererError, match="at least 4 px"):
        neural(weights)["bokehme"](image, disparity, ThinLens(1.0, 0.0))


def test_importing_the_renderers_imports_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import renderers.neural.renderer, sys; raise SystemExit(bool({'torch', 'numba', 'taichi'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_full_is_the_strongest_ablation():
    assert ABLATIONS["B5"] == FULL and resized(torch.ones(1, 1, 2, 2), (3, 3)).shape[-1] == 3


# The weights that ship


def test_the_weights_that_ship_beat_the_scatter_on_scenes_never_trained_on(tmp_path):
    """Near depth boundaries and over whole pictures, at a blur that ARNet renders and at one that IUNet enlarges."""
    recipe = tmp_path / "held_out.yaml"
    recipe.write_text(
        "size_px: 160\nforegrounds: [2, 3]\nblur_parameters: [10, 20]\nfocus: layers\nfocus_count: 2\n"
        "gammas: [2.2]\nnoise: 0.01\n"
    )
    arguments = ["--recipe", str(recipe), "--out", str(tmp_path / "data"), "--scenes", "3", "--seed", "4242"]
    assert gen.main([*arguments, "--workers", "1", "--arch", "cpu"]) == 0
    gains: dict[tuple[float, str], list[float]] = {}
    for case in open_cases(tmp_path / "data"):
        image, disparity, truth = case.image(), case.disparity(), np.clip(case.truth(), 0.0, 1.0)
        lens = case.lens()
        near = region_masks(image, disparity, lens)["boundaries"]
        whole = np.ones_like(near)
        pictures = [
            np.clip(RENDERERS[name](image, disparity, lens, gamma=case.gamma), 0.0, 1.0)
            for name in ("scatter", "bokehme")
        ]
        for region, mask in (("boundaries", near), ("all", whole)):
            scatter, bokehme = (psnr(picture[mask], truth[mask], data_range=1.0) for picture in pictures)
            gains.setdefault((case.blur_parameter, region), []).append(bokehme - scatter)
    assert all(len(values) == 6 for values in gains.values()) and len(gains) == 4
    for key, values in gains.items():
        assert np.mean(values) > 2.0 and min(values) > 0.0, (key, values)
