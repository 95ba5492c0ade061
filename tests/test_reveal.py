"""RevealNet: it begins with reveal0, its layers are the picture, no lens is known to it, and it learns."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.data import default_collate

from benchmarks import reveal_answers, reveal_parts
from bokehdata.cases import MemoryCase
from bokehdata.format import DatasetError
from bokehdata.torch_data import CropSettings, sample_of
from renderers import RENDERERS, renderer
from renderers.base import RendererError
from renderers.classical.layers_over import layers_over
from renderers.layering import reveal, reveal0
from renderers.layering.filling import depth_image
from renderers.neural.checkpoints import in_half_floats
from renderers.neural.reveal.inference import NETWORKS, analysed, refocus, tensors
from renderers.neural.reveal.layers import CHANGE, HINTS, Layers, changed, hints, projected
from renderers.neural.reveal.network import MULTIPLE, RevealNet
from renderers.neural.reveal.rims import REACH_PX, rims
from renderers.neural.tensors import tensor_from_plane
from scenes.aperture import Polygon
from scenes.billboard import Billboard, Scene
from scenes.color import display_from_linear, linear_from_display
from scenes.layered_depth import LayeredDepthImage
from scenes.lens import ThinLens
from scenes.recipe import load_recipe
from training.models import MODELS
from training.models.reveal import (
    ROWS,
    TrueLayer,
    composite,
    layers_of,
    rearranged,
    rendered_loss,
    reveal_planes,
    rim_losses,
    true_rims,
)
from training.on_the_fly import OnTheFly

(REVEAL,) = MODELS["reveal"]

HEIGHT, WIDTH = 48, 64


@pytest.fixture(autouse=True)
def same_weights_every_time():
    torch.manual_seed(0)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def things(height: int = HEIGHT, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """(display values, disparity): a near square over a middle one, before a slanted wall; all textured."""
    disparity = np.linspace(0.1, 0.2, width, dtype=np.float32)[None].repeat(height, axis=0)
    disparity[height // 4 : height // 2, width // 4 : -8] = 0.5
    disparity[height // 3 : -8, 8 : width // 2] = 0.9
    return np.ascontiguousarray(0.2 + 0.7 * noise(height, width, 3)), np.ascontiguousarray(disparity)


def changing() -> RevealNet:
    """With last weights that are not 0, so that it changes something, and no signal lost on the way."""
    network = RevealNet().eval()
    for part in network.modules():
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
    torch.nn.init.normal_(network.head.weight, std=0.1)
    return network


# The network


def test_weights_take_less_than_5_mb_as_they_ship():
    network = RevealNet()
    assert sum(p.numel() for p in network.parameters()) == 961_067
    shipped = in_half_floats(network.state_dict())
    assert sum(value.numel() * value.element_size() for value in shipped.values()) < 2e6


def test_the_network_has_the_name_of_its_weights():
    assert {path.stem for path in RENDERERS["reveal"].checkpoints} == set(NETWORKS) == {REVEAL.name}


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (5, 70)])
def test_any_size_is_seen_whole(size):
    change = changing()(torch.rand(2, sum(HINTS.values()), *size))
    assert change.shape == (2, sum(CHANGE.values()), *size) and torch.isfinite(change).all()


def test_tiles_do_not_show():
    """Their overlap is what an output depends on."""
    network, seen = changing(), torch.rand(1, sum(HINTS.values()), 150, 420)
    with torch.inference_mode():
        whole, tiled = network(seen), network(seen, tile=6 * MULTIPLE)
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=0.0)


def test_every_weight_is_trained():
    training = REVEAL.build(REVEAL.presets["smoke"], 20, {})
    training.network.load_state_dict(changing().state_dict())
    training.objective(batch())["loss"].backward()
    for name, parameter in training.network.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0.0, name


# Rims


def test_a_pixel_beside_an_edge_knows_what_is_in_front_and_what_is_behind():
    _, disparity = things()
    found = rims(noise(HEIGHT, WIDTH, 3), disparity)
    assert len(found.colour) == 3
    near, behind, farthest = found.place
    # Inside the near square, left: the wall is behind; it may be the middle square that ends there.
    assert (near[30, 10], farthest[30, 10]) == (0, 2) and found.distance_px[30, 10] == pytest.approx(2.5)
    # Beside it, the near square may spill over the wall.
    assert (near[30, 5], behind[30, 5]) == (0, 2) and found.distance_px[30, 5] == pytest.approx(-2.5)
    # Over the middle square, where the near one is closer than the wall.
    assert (near[20, 33], behind[20, 33]) == (0, 1)


def test_farther_away_than_the_reach_nothing_is_beside_an_edge():
    disparity = np.full((20, 200), 0.1, np.float32)
    disparity[:, :20] = 0.9
    found = rims(np.repeat(disparity[..., None], 3, axis=2), disparity)
    beside = np.flatnonzero(found.distance_px[10])
    assert beside.min() == 0 and beside.max() == 20 + REACH_PX
    layers = tensors(found)
    weight = layers.weight[0, 0, 10]
    assert weight[20] == 1.0 and 0.0 < weight[20 + REACH_PX - 1] < 0.1 and (weight[20 + REACH_PX + 1 :] == 0.0).all()


def test_mattes_of_lights_are_not_changed():
    """A lamp spills over its rim; an error of its matte would be as large as the lamp is bright."""
    picture, disparity = things()
    lit = picture.copy()
    lit[30, 9] = 5.0
    dark, light = (tensors(rims(linear_from_display(p), disparity)) for p in (picture, lit))
    assert dark.weight[0, 0, 30, 9] > 0.5 and light.weight[0, 0, 30, 9] == 0.0
    asked = 0.5 * torch.ones(1, sum(CHANGE.values()), HEIGHT, WIDTH)
    found, _ = changed(light, -asked, tensor_from_plane(lit))
    assert found.alpha[0, 0, 0, 30, 9] == light.alpha[0, 0, 0, 30, 9] > 0.0
    assert found.alpha[0, 0, 0, 32, 9] < light.alpha[0, 0, 0, 32, 9]


def test_a_slope_has_no_rims():
    disparity = np.linspace(0.0, 1.0, WIDTH, dtype=np.float32)[None].repeat(HEIGHT, axis=0)
    found = rims(noise(HEIGHT, WIDTH, 3), np.ascontiguousarray(disparity))
    assert (found.distance_px == 0.0).all()


# Layers


def shown(layers: Layers, colour: torch.Tensor) -> torch.Tensor:
    """The layers, put over each other far to near in linear light: display values at the reference gamma."""
    picture = torch.zeros_like(colour[:, 0])
    for i in reversed(range(colour.shape[1])):
        picture = torch.lerp(picture, colour[:, i] ** 2.2, layers.alpha[:, i])
    return picture ** (1.0 / 2.2)


def test_projected_layers_are_the_picture_and_no_colour_is_below_0():
    image, disparity = things()
    image[10, 10] = 7.0
    found = tensors(rims(image**2.2, disparity))
    picture = torch.from_numpy(image).permute(2, 0, 1)[None]
    with torch.no_grad():
        layers, _ = changed(found, torch.randn(1, sum(CHANGE.values()), HEIGHT, WIDTH), picture)
        colour = projected(layers.colour, layers.alpha, picture)
    assert colour.min() >= 0.0
    torch.testing.assert_close(shown(layers, colour), picture, atol=1e-5, rtol=1e-5)
    # Without the projection they are not.
    assert (shown(layers, layers.colour) - picture).abs().max() > 0.1


def test_the_layers_are_the_picture_to_half_floats():
    image, disparity = things()
    linear = np.zeros_like(image)
    for layer in reversed(analysed(changing(), image, disparity).layers):
        rgba = layer.rgba.astype(np.float32)
        linear = linear * (1.0 - rgba[..., 3:]) + rgba[..., :3] * rgba[..., 3:]
    np.testing.assert_allclose(display_from_linear(linear), image, atol=1e-3)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_layers_of_another_gamma_are_those_of_reveal0_before_it_is_trained(gamma):
    """Pixels of an edge were mixed at the gamma of the photograph: layers have one colour at every gamma."""
    image, disparity = things()
    lens = ThinLens(12.0, 0.3)
    shown = display_from_linear(
        layers_over(image, disparity, lens, gamma=gamma, scene=analysed(RevealNet(), image, disparity)), gamma
    )
    np.testing.assert_allclose(shown, RENDERERS["reveal0"](image, disparity, lens, gamma=gamma), atol=5e-3)


def test_before_it_is_trained_it_is_reveal0():
    """Where the layers of reveal0 are the picture they are kept, bit for bit but for two powers."""
    image, disparity = things()
    found = analysed(RevealNet(), image, disparity)
    expected = reveal0.analyse(image**2.2, disparity)
    assert len(found.layers) == len(expected.layers)
    for layer, wanted in zip(found.layers, expected.layers, strict=True):
        np.testing.assert_allclose(layer.rgba[..., 3], wanted.rgba[..., 3], atol=1e-3)
        np.testing.assert_array_equal(layer.disparity, wanted.disparity)
        opaque = wanted.rgba[..., 3] > 0.0
        colour, expected_colour = (
            display_from_linear(x.rgba[opaque][:, :3].astype(np.float32)) for x in (layer, wanted)
        )
        np.testing.assert_allclose(colour, expected_colour, atol=1e-3)
    lens = ThinLens(12.0, 0.3)
    shown = display_from_linear(layers_over(image, disparity, lens, gamma=2.2, scene=found))
    np.testing.assert_allclose(shown, RENDERERS["reveal0"](image, disparity, lens), atol=5e-3)


def spilling() -> tuple[np.ndarray, Layers]:
    """Display values and layers of a thing of 0.9 before a wall of 0.4, which it spills light over."""
    image, disparity = np.full((40, 80, 3), 0.4, np.float32), np.full((40, 80), 0.1, np.float32)
    image[:, :40], disparity[:, :40] = 0.9, 0.9
    image[:, 40:46] = 0.6
    return image, tensors(rims(image**2.2, disparity))


def asking(**parts: float) -> torch.Tensor:
    """A change (1, 11, 40, 80) of some of its parts beside the edge of `spilling`."""
    change = {name: torch.zeros(1, size, 40, 80) for name, size in CHANGE.items()}
    for name, asked in parts.items():
        change[name][..., 40:46] = asked
    return torch.cat(list(change.values()), 1)


def test_what_is_hidden_follows_what_is_seen():
    """Where the network gives the light on the wall to what is in front, it is gone behind too."""
    image, found = spilling()
    assert found.colour[0, 1, 0, 20, 30] > 0.5
    spilled = (0.6**2.2 - 0.4**2.2) / (0.9**2.2 - 0.4**2.2)
    layers, _ = changed(found, asking(alpha=spilled, seen=-0.2), tensor_from_plane(image))
    torch.testing.assert_close(layers.colour[0, 1, 0, 20, 20:46], torch.full((26,), 0.4), atol=0.03, rtol=0.0)


def test_what_the_picture_contradicts_does_not_spread_behind_an_edge():
    """The wall is as bright as it is seen, whatever the network says."""
    image, found = spilling()
    kept, _ = changed(found, asking(), tensor_from_plane(image))
    layers, _ = changed(found, asking(seen=0.2), tensor_from_plane(image))
    torch.testing.assert_close(layers.colour[0, 1, :, 20, :40], kept.colour[0, 1, :, 20, :40], atol=0.01, rtol=0.0)


def test_a_lamp_does_not_go_on_behind_what_covers_it():
    """A matte grows over the wall beside a lamp: what it hides is wall."""
    image, disparity = np.full((40, 80, 3), 0.2, np.float32), np.full((40, 80), 0.1, np.float32)
    image[:, :32], disparity[:, :32] = 0.9, 0.9
    image[:, 36:39] = 20.0
    found = tensors(rims(image**2.2, disparity))
    change = torch.zeros(1, sum(CHANGE.values()), 40, 80)
    change[:, 0, :, 32:36] = 0.8
    layers, _ = changed(found, change, tensor_from_plane(image))
    assert layers.alpha[0, 0, 0, 20, 34] > 0.7
    assert layers.colour[0, 1, :, 20, :36].max() <= 1.0


def test_hints_of_a_batch_are_those_of_a_photograph():
    """In a batch every picture has as many layers, unused ones of disparity 0."""
    made = batch()
    layers = layers_of(made)
    used = int(layers.place.max()) + 1
    assert used < layers.disparity.shape[1]
    stacks = (stack[:, :used] for stack in (layers.colour, layers.alpha, layers.disparity))
    alone = Layers(*stacks, layers.place, layers.distance_px)
    torch.testing.assert_close(hints(made["image"], alone), hints(made["image"], layers))


def test_pictures_of_a_batch_are_changed_one_by_one():
    """In one of them the near thing is not seen any more."""
    image, disparity = np.full((40, 80, 3), 0.2, np.float32), np.full((40, 80), 0.1, np.float32)
    image[:, 30:50], disparity[:, 30:50] = 0.9, 0.9
    alone = tensors(rims(image**2.2, disparity))
    change = torch.zeros(2, sum(CHANGE.values()), 40, 80)
    change[1, 0, :, 30:50] = -1.0
    picture = tensor_from_plane(image)
    both = Layers(*(torch.cat([plane, plane]) for plane in vars(alone).values()))
    two, _ = changed(both, change, torch.cat([picture, picture]))
    for i in range(2):
        one, _ = changed(alone, change[i : i + 1], picture)
        torch.testing.assert_close(two.colour[i : i + 1], one.colour)
    assert two.alpha[1, 0].max() == 0.0


# Rendering


@pytest.fixture(scope="module")
def entry(tmp_path_factory):
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "reveal.safetensors"
    save_file(changing().state_dict(), file)
    return renderer("reveal", [file])


@pytest.mark.parametrize("size", [(4, 4), (37, 51), (33, 64)])
def test_odd_sizes_are_rendered(entry, size):
    image, disparity = things(64, 64)
    cut = (slice(size[0]), slice(size[1]))
    refocused = entry(np.ascontiguousarray(image[cut]), np.ascontiguousarray(disparity[cut]), ThinLens(9.0, 0.2))
    assert refocused.shape == (*size, 3) and np.isfinite(refocused).all()


def test_the_layers_depend_on_no_lens(tmp_path):
    """Nor on the unit of disparity. A radius that shows every step is as good as any larger one."""
    image, disparity = things()
    save_file(changing().state_dict(), tmp_path / "reveal.safetensors")
    linear, weights = linear_from_display(image), tmp_path / "reveal.safetensors"
    before = reveal.analyse(linear, disparity, weights=weights)
    for again in (
        reveal.analyse(linear, disparity, reach_px=50.0, weights=weights),
        reveal.analyse(linear, np.float32(4.0) * disparity, weights=weights),
    ):
        for a, b in zip(before.layers, again.layers, strict=True):
            np.testing.assert_array_equal(a.rgba, b.rgba)


def test_every_aperture_shapes_the_blur_of_the_same_layers(entry):
    image, disparity = things()
    lens = ThinLens(10.0, 0.2, Polygon(3))
    triangle, disk = entry(image, disparity, lens), entry(image, disparity, ThinLens(10.0, 0.2))
    assert np.abs(triangle - disk).max() > 0.02


@pytest.mark.parametrize(
    ("part", "kept"),
    [
        (reveal_parts.nothing, ()),
        (reveal_parts.alpha, ("alpha",)),
        (reveal_parts.unmixed, ("alpha", "near", "seen")),
        (reveal_parts.hidden, ("hidden", "choice")),
    ],
)
def test_a_part_of_the_answer_leaves_out_the_others(part, kept, monkeypatch):
    """As if the network had never said anything else."""
    network, lens = changing(), ThinLens(9.0, 0.2)
    monkeypatch.setattr(reveal_parts, "shipped_network", lambda: network)
    shown = part(*things(), lens)
    first = 0
    with torch.no_grad():
        for name, channels in CHANGE.items():
            if name not in kept:
                network.head.weight[first : first + channels] = 0.0
            first += channels
    expected = refocus({"reveal": network}, *things(), lens, gamma=2.2, arch="cpu")
    np.testing.assert_allclose(shown, expected, atol=1e-5)


def test_without_weights_it_says_what_to_do(tmp_path):
    with pytest.raises(RendererError, match="reveal.safetensors"):
        renderer("reveal", [tmp_path / "reveal.safetensors"])(*things(), ThinLens(9.0, 0.2))


# Training


def scene() -> Scene:
    """A soft disk and a comb of thin teeth before a wall, 96 px."""
    side = 96
    y, x = np.mgrid[:side, :side]
    disk = np.clip(0.5 + (26.0 - np.hypot(y - 40, x - 40)) / 6.0, 0.0, 1.0)
    comb = ((x % 6 < 2) & (y > 50)).astype(np.float64)
    layers = []
    for i, (alpha, disparity) in enumerate(((disk, 0.9), (comb, 0.5), (np.ones((side, side)), 0.1))):
        colour = 0.1 + 0.8 * noise(1, 1, 3, seed=i) + 0.1 * noise(side, side, 3, seed=10 + i)
        layers.append(Billboard(np.concatenate([colour, alpha[..., None]], -1).astype(np.float16), disparity))
    return Scene(tuple(layers), side, side, 0)


def case(true: Scene | None = None) -> MemoryCase:
    true = true or scene()
    picture = display_from_linear(true.composite())
    return MemoryCase(
        name="comb",
        scene="comb",
        blur_parameter=10.0,
        focus_disparity=0.1,
        planes=(picture, picture, true.composite_disparity()),
        true_layers=true,
    )


def sample(seed: int) -> dict[str, torch.Tensor]:
    """The whole of the picture, without its name."""
    made = sample_of(case(), CropSettings(96, 0, 0.0, turned=False), reveal_planes, rng=np.random.default_rng(seed))
    return {name: plane for name, plane in made.items() if isinstance(plane, torch.Tensor)}


def batch(augmentation: float = 0.0, seeds: tuple[int, ...] = (0, 1)) -> Any:
    settings = CropSettings(64, 8, augmentation)
    return default_collate(
        [sample_of(case(), settings, reveal_planes, rng=np.random.default_rng(seed)) for seed in seeds]
    )


def test_rearranged_layers_lie_near_to_far_and_never_meet():
    window = (slice(0, 96), slice(0, 96))
    slanted = 0
    for seed in range(40):
        layers = rearranged(scene(), window, rng=np.random.default_rng(seed))
        planes = [layer.disparity for layer in layers]
        assert all(near.min() > far.max() for near, far in zip(planes, planes[1:], strict=False))
        assert max(plane.max() for plane in planes) == 1.0 and min(plane.min() for plane in planes) >= 0.0
        assert layers[-1].rgba[..., 3].min() == 1.0
        slanted += any(np.ptp(plane) > 0.01 for plane in planes)
    assert 10 < slanted < 40


def test_the_true_layers_say_what_is_in_front_and_what_is_behind():
    side = np.ones((9, 9), np.float32)
    wall = TrueLayer(np.stack([0.2 * side, 0.3 * side, 0.4 * side, side], -1), 0.1 * side)
    veil = TrueLayer(np.stack([0.9 * side, 0.8 * side, 0.7 * side, 0.25 * side], -1), 0.9 * side)
    glass = TrueLayer(np.stack([0.5 * side, 0.5 * side, 0.5 * side, 0.5 * side], -1), 0.5 * side)
    disparity = np.stack([0.9 * side, 0.5 * side, 0.1 * side])
    place = np.stack([np.zeros((9, 9), int), np.full((9, 9), 2), np.full((9, 9), 2)])
    colour, alpha = true_rims([veil, glass, wall], place, disparity)
    # Without a choice: what is nearer than half between 0.9 and 0.1 is in front, all else behind.
    np.testing.assert_allclose(alpha[:, 4, 4], [0.25, 1.0], atol=1e-6)
    np.testing.assert_allclose(colour[0, 4, 4], [0.9, 0.8, 0.7], atol=1e-5)
    np.testing.assert_allclose(colour[1, 4, 4], [0.35, 0.4, 0.45], atol=1e-5)
    place[1] = 1
    colour, alpha = true_rims([veil, glass, wall], place, disparity)
    np.testing.assert_allclose(alpha[:, 4, 4], [0.25, 0.5], atol=1e-6)
    np.testing.assert_allclose(colour[1, 4, 4], 0.5, atol=1e-5)


def test_a_sample_is_a_picture_of_its_layers():
    """What reveal0 sees is the composite of the rearranged layers, and the truth is their blur."""
    made = sample(3)
    true = rearranged(scene(), (slice(0, 96), slice(0, 96)), rng=np.random.default_rng(3).spawn(1)[0])
    linear, _ = composite(true)
    np.testing.assert_allclose(made["image"].permute(1, 2, 0), display_from_linear(linear), atol=1e-6)
    blurred = (made["truth"] - made["image"]).abs()
    assert blurred.max() > 0.05 and made["truth"].shape == made["image"].shape
    # Two samples of one picture are two scenes.
    assert (made["disparity"] - sample(4)["disparity"]).abs().max() > 0.01


def test_a_picture_without_layers_is_named():
    without = replace(case(), true_layers=None)
    with pytest.raises(DatasetError, match="comb: has no layers, which reveal is trained on"):
        sample_of(without, CropSettings(64, 8), reveal_planes, rng=np.random.default_rng(0))


def test_the_true_mattes_and_colours_have_no_loss():
    """A change that gives what is true leaves what is undecided alone; reveal0's own loses."""
    made = batch()
    layers = layers_of(made)
    true_alpha, true_colour = _true(made)
    before, asked = changed(layers, torch.zeros(2, 11, 64, 64), made["image"])
    lost = rim_losses(before, asked, true_colour, true_alpha, layers.weight)
    assert all(float(term) > 0.0 for name, term in lost.items() if name != "choice")
    change = torch.zeros(2, 11, 64, 64)
    is_near, weight = layers.distance_px > 0.0, layers.weight.clamp(min=1e-3)
    change[:, :1] = (true_alpha[:, :1] - layers.at(layers.alpha, 0)) / weight
    change[:, 1:4] = (true_colour[:, :3] - layers.at(layers.colour, 0)) / weight
    change[:, 4:7] = (true_colour[:, 3:] - layers.at(layers.colour, 1)) / weight * ~is_near
    change[:, 10:] = (true_alpha[:, 1:] - layers.at(layers.alpha, 1)) / weight
    first, _ = changed(layers, change, made["image"])
    change[:, 7:10] = (true_colour[:, 3:] - first.at(first.colour, 1)) / weight * is_near
    found, asked = changed(layers, change, made["image"])
    for name, term in rim_losses(found, asked, true_colour, true_alpha, layers.weight).items():
        assert float(term) < 1e-4 + 0.02 * float(lost[name]), name


def test_true_colours_mend_a_soft_edge_and_the_rest_what_is_hidden_behind_it():
    """Against the true layers through the same lens: above, a soft disk before a wall; below, teeth go on behind it."""
    true, lens = scene(), ThinLens(8.0, 0.5)
    picture, disparity = display_from_linear(true.composite()), true.composite_disparity()
    layers = (true.frame_rgba(i).astype(np.float32) for i in range(3))
    stack = [depth_image(c[..., :3], c[..., 3], true.frame_disparity(i)) for i, c in enumerate(layers)]
    frame = LayeredDepthImage(tuple(stack), true.width, true.height, 0)
    truth = RENDERERS["layers-over"](picture, disparity, lens, scene=frame)
    told = (reveal_answers.seen, reveal_answers.everything)
    shown = [RENDERERS["reveal0"](picture, disparity, lens), *(by(picture, disparity, lens, scene=true) for by in told)]
    above, below = (
        [float(np.square(made - truth)[rows, 8:88].mean()) for made in shown] for rows in np.s_[8:46, 46:88]
    )
    assert above[1] < 0.5 * above[0]
    # With the teeth, but smooth colours on them, it would be a third.
    assert below[2] < 0.29 * min(below[:2])


def test_an_error_of_a_matte_counts_more_between_colours_that_differ():
    layers = layers_of(batch())
    true_alpha = torch.stack([layers.at(layers.alpha, i)[:, 0] for i in (0, 1)], 1)
    differ = torch.rand(2, 1, 64, 64) < 0.5
    true_colour = torch.cat([torch.full((2, 3, 64, 64), 0.3), (0.3 + 0.5 * differ).expand(-1, 3, -1, -1)], 1)
    wrong = (where * torch.tensor([0.2, 0.0])[:, None, None] for where in (differ, ~differ))
    lost = [float(rim_losses(layers, true_alpha + by, true_colour, true_alpha, layers.weight)["alpha"]) for by in wrong]
    assert lost[0] > 4.0 * lost[1] > 0.0


def test_the_least_loss_of_what_is_hidden_is_that_of_its_mean_light():
    """Squares of 16 px are dark or bright: its median is dark, and the mean of display values is not that of light."""
    layers, (true_alpha, _) = layers_of(made := batch()), _true(made)
    is_bright = (torch.rand(2, 1, 4, 4) < 0.3).repeat_interleave(16, 2).repeat_interleave(16, 3)
    behind = torch.where(is_bright, 0.9, 0.1).expand(-1, 3, -1, -1)
    true_colour, asked = torch.cat([behind, behind], 1), np.linspace(0.1, 0.9, 33)

    def lost(value: float) -> float:
        of_one_colour = replace(layers, colour=torch.full_like(layers.colour, value))
        return float(rim_losses(of_one_colour, true_alpha, true_colour, true_alpha, layers.weight)["hidden"])

    weight = layers.weight * (layers.distance_px > 0.0) * (true_alpha[:, 1:] > 0.5)
    part = float((weight * is_bright).sum() / weight.sum())
    assert 0.1 < part < 0.4
    mean = (part * 0.9**2.2 + (1.0 - part) * 0.1**2.2) ** (1.0 / 2.2)
    assert asked[np.argmin([lost(value) for value in asked])] == pytest.approx(mean, abs=0.05)


def test_a_hidden_colour_that_is_too_bright_is_darkened_and_a_lamp_may_be_as_bright_as_it_is():
    layers, (true_alpha, _) = layers_of(made := batch()), _true(made)
    for true, expected in ((0.3, True), (3.0, False)):
        colour = torch.full_like(layers.colour, 1.3, requires_grad=True)
        true_colour = torch.full((2, 6, 64, 64), true)
        lost = rim_losses(replace(layers, colour=colour), true_alpha, true_colour, true_alpha, layers.weight)["hidden"]
        (slope,) = torch.autograd.grad(lost, colour)
        assert slope.min() >= 0.0 and bool(slope.max() > 0.0) == expected


def _true(made: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return made["true_alpha"], made["true_colour"]


def test_the_rendered_loss_sees_the_layers_through_the_lens():
    made = batch()
    found, _ = changed(layers_of(made), torch.zeros(2, 11, 64, 64), made["image"])
    through = float(rendered_loss(found, made["truth"], made["lens"]))
    sharp = float(rendered_loss(found, made["truth"], made["lens"] * torch.tensor([0.0, 1.0])))
    assert through < 0.5 * sharp


def test_a_few_steps_lower_the_loss():
    preset = replace(REVEAL.presets["smoke"], rendered=0.0)
    training = REVEAL.build(preset, 60, {})
    optimizer = training.configure_optimizers()["optimizer"]
    made, losses = batch(seeds=(1, 3)), []
    for _ in range(60):
        loss = training.objective(made)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.9 * losses[0]


@pytest.mark.parametrize("row", ROWS)
def test_what_a_row_of_the_ablation_leaves_out_is_absent_at_inference(row):
    preset = replace(REVEAL.presets["smoke"], rendered=0.0)
    preset = replace(preset, **ROWS[row])
    training = REVEAL.build(preset, 20, {})
    optimizer = training.configure_optimizers()["optimizer"]
    made = batch()
    for _ in range(2):
        loss = training.objective(made)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seen = hints(made["image"], layers_of(made))
    with torch.no_grad():
        change = dict(zip(CHANGE, training.network(seen).split(list(CHANGE.values()), 1), strict=True))
        for name, plane in change.items():
            assert (plane.abs().max() > 0.0) == (name in preset.learned), name
        if not preset.edge_hints:
            seen[:, -5:] = torch.rand_like(seen[:, -5:])
            torch.testing.assert_close(training.network(seen)[:, :1], change["alpha"])


def test_weights_that_a_run_begins_with_lose_what_it_does_not_learn(tmp_path):
    save_file(changing().state_dict(), tmp_path / "reveal.safetensors")
    made = batch()
    shown = hints(made["image"], layers_of(made))
    with torch.no_grad():
        training = REVEAL.build(replace(REVEAL.presets["smoke"], **ROWS["mattes"]), 20, {})
        training.start_from(tmp_path / "reveal.safetensors")
        for network in (training.network, training.validated):
            said = network(shown).split(list(CHANGE.values()), 1)
            kept = [name for name, plane in zip(CHANGE, said, strict=True) if plane.abs().max() > 0.0]
            assert kept == ["alpha", "near"]
        training = REVEAL.build(replace(REVEAL.presets["smoke"], **ROWS["no-edge-hints"]), 20, {})
        training.start_from(tmp_path / "reveal.safetensors")
        said = training.validated.eval()(shown)
        shown[:, -5:] = torch.rand_like(shown[:, -5:])
        torch.testing.assert_close(training.validated(shown), said)


def test_scenes_on_the_fly_are_not_traced_for_it_and_are_the_same_again():
    recipe = replace(load_recipe("bokehme-small"), size_px=64)
    streams = [
        OnTheFly(recipe, CropSettings(32, 4), seed=3, planes=reveal_planes, traced=REVEAL.samples.traced)
        for _ in range(2)
    ]
    first, second = (next(iter(stream)) for stream in streams)
    assert not REVEAL.samples.traced
    for name, plane in first.items():
        assert np.array_equal(plane, second[name]), name
