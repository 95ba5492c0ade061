"""The networks are those of the papers: parameters, names, order of channels, what they see."""

import pytest
import torch
import torch.nn.functional as F

from renderers.neural import layers
from renderers.neural.bokehme.network import ARNet, ErrorMapNet, IUNet
from renderers.neural.deepfocus.network import DeepFocus
from renderers.neural.layers import resized


def inputs(
    height: int, width: int, *, batch: int = 1, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(batch, 3, height, width, generator=generator)
    defocus = torch.rand(batch, 1, height, width, generator=generator) * 2 - 1
    return image, defocus, torch.rand(batch, generator=generator)


@pytest.fixture(autouse=True)
def same_weights_every_time():
    torch.manual_seed(0)


@pytest.mark.parametrize("network, parameters", [(ARNet, 923_664), (IUNet, 240_076), (DeepFocus, 924_324)])
def test_the_number_of_parameters_is_that_of_the_release(network, parameters):
    assert sum(p.numel() for p in network().parameters()) == parameters


@pytest.mark.parametrize("network, width, first, last", [(ARNet, 128, 17, 16), (IUNet, 64, 20, 12)])
def test_names_and_shapes_are_those_of_the_released_checkpoints(network, width, first, last):
    expected = {"conv0.conv": (width, first, 3, 3), "conv1.conv": (last, width, 3, 3)}
    expected |= {f"block_stack.blocks.{i}.{j}.conv": (width, width, 3, 3) for i in range(3) for j in range(2)}
    state = {name: tuple(value.shape) for name, value in network().state_dict().items()}
    assert state == {f"{k}.weight": v for k, v in expected.items()} | {f"{k}.bias": v[:1] for k, v in expected.items()}


def test_arnet_is_what_its_table_says():
    """A transcription of the table, one functional call a row."""
    network = ARNet()
    image, defocus, gamma = inputs(13, 18)
    w = network.state_dict()

    def conv(x, name):
        return F.conv2d(x, w[f"{name}.conv.weight"], w[f"{name}.conv.bias"], padding=1)

    x = F.interpolate(torch.cat([image, defocus], 1), (12, 18), mode="bilinear", align_corners=True)
    # Channel c 4 + 2 dy + dx of the half-size picture is channel c at (2 y + dy, 2 x + dx).
    x = torch.stack([x[:, c, dy::2, dx::2] for c in range(4) for dy in range(2) for dx in range(2)], 1)
    x = torch.cat([x, gamma.reshape(1, 1, 1, 1).expand(1, 1, 6, 9)], 1)
    x = F.elu(conv(x, "conv0"))
    for i in range(3):
        block = f"block_stack.blocks.{i}"
        x = F.elu(conv(F.elu(conv(x, f"{block}.0")), f"{block}.1")) + x
    x = F.pixel_shuffle(conv(x, "conv1"), 2)
    x = F.interpolate(x, (13, 18), mode="bilinear", align_corners=True)
    picture, logit = network(image, defocus, gamma)
    # The same operations in the same order, but for the layout of memory: float32 rounding of values around 0.1.
    torch.testing.assert_close(picture, x[:, :3], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(logit, x[:, 3:], atol=1e-6, rtol=1e-5)


def test_iunet_sees_the_coarse_picture_between_image_and_gamma():
    network = IUNet()
    image, defocus, gamma = inputs(12, 16)
    coarse = torch.rand(1, 3, 5, 7)
    seen = {}
    network.conv0.register_forward_hook(lambda module, args, output: seen.update(x=args[0]))
    network(image, defocus, coarse, gamma)
    at_half = F.interpolate(coarse, (6, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(seen["x"][:, 16:19], at_half)
    torch.testing.assert_close(seen["x"][:, :16], F.pixel_unshuffle(torch.cat([image, defocus], 1), 2))
    assert (seen["x"][:, 19] == gamma).all()


@pytest.mark.parametrize("size", [(7, 9), (8, 9), (2, 3), (16, 16)])
def test_any_size_comes_out_as_it_went_in(size):
    image, defocus, gamma = inputs(*size)
    picture, logit = ARNet()(image, defocus, gamma)
    assert picture.shape == (1, 3, *size) and logit.shape == (1, 1, *size)
    assert IUNet()(image, defocus, picture, gamma).shape == (1, 3, *size)
    assert ErrorMapNet()(image, defocus, gamma).shape == (1, 1, *size)


def test_pictures_keep_their_bits_under_mixed_precision():
    image, defocus, gamma = inputs(8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        picture, logit = ARNet()(image, defocus, gamma)
        fine = IUNet()(image, defocus, picture, gamma)
        blurred = DeepFocus()(image, defocus, defocus.abs())
    for out in (picture, logit, fine, blurred):
        assert out.dtype == torch.float32
        # A picture rounded to bfloat16 would be its own rounding.
        assert not torch.equal(out, out.bfloat16().float())


def test_pictures_of_a_batch_do_not_see_each_other():
    network = ARNet()
    image, defocus, gamma = inputs(10, 12, batch=3)
    together, _ = network(image, defocus, gamma)
    for i in range(3):
        alone, _ = network(image[i : i + 1], defocus[i : i + 1], gamma[i : i + 1])
        # Other sizes of matrix products: another order of float32 sums.
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)


def test_resizing_keeps_corner_pixels():
    x = torch.rand(1, 2, 5, 7)
    y = resized(x, (9, 4))
    corners = (slice(None), slice(None), slice(None, None, 4), slice(None, None, 6))
    assert y.shape == (1, 2, 9, 4)
    # Corners interpolate at whole pixels; the step between samples rounds in float32.
    torch.testing.assert_close(y[:, :, ::8, ::3], x[corners], atol=1e-6, rtol=0)


# DeepFocus


def test_deepfocus_takes_channels_in_the_order_of_tensorflow():
    network = DeepFocus()
    image, defocus, _ = inputs(8, 12)
    disparity, diameter = defocus + 1.0, defocus.abs()
    seen = {}
    network.layers[0].register_forward_hook(lambda module, args, output: seen.update(x=args[0]))
    network(image, disparity, diameter)
    planes = torch.cat([image, disparity, diameter], 1) - 0.5
    for dy in range(2):
        for dx in range(2):
            block = seen["x"][:, (dy * 2 + dx) * 5 :][:, :5]
            torch.testing.assert_close(block, planes[:, :, dy::2, dx::2])


def test_deepfocus_adds_outputs_and_not_sums():
    """The inputs of layers 3, 5 and 7 are h2 + h0, h4 + h2, h6 + h4, with h the activated outputs of layers."""
    network = DeepFocus()
    image, defocus, _ = inputs(8, 12)
    xs, hs = [], []

    def keep(module, args, output):
        xs.append(args[0])
        hs.append(F.elu(output))

    for layer in network.layers:
        layer.register_forward_hook(keep)
    out = network(image, defocus.abs(), defocus.abs())
    for i, (a, b) in {3: (2, 0), 5: (4, 2), 7: (6, 4)}.items():
        torch.testing.assert_close(xs[i], hs[a] + hs[b])
    for i in (1, 2, 4, 6):
        torch.testing.assert_close(xs[i], hs[i - 1])
    assert out.shape == image.shape and 0.0 <= out.min() and out.max() <= 1.0


@pytest.mark.parametrize("network", [ARNet, ErrorMapNet, DeepFocus])
def test_tiles_give_the_picture_of_the_whole(network, monkeypatch):
    """Tiles overlap by what an output depends on: only the order of float32 sums may differ."""
    torch.manual_seed(3)
    net = network().eval()
    image, plane = torch.rand(1, 3, 76, 122), torch.rand(1, 1, 76, 122)
    last = plane if network is DeepFocus else torch.tensor([0.3])
    with torch.inference_mode():
        whole = net(image, plane, last)
        monkeypatch.setattr(layers, "TILE", 16)
        tiled = net(image, plane, last)
    for a, b in zip(*(part if isinstance(part, tuple) else (part,) for part in (tiled, whole)), strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=0.0, atol=2e-6)


def test_a_tile_reaches_no_farther_than_it_says(monkeypatch):
    """One cell less of overlap, and the borders of tiles show."""
    torch.manual_seed(3)
    net, x = ARNet().eval(), torch.rand(1, 17, 40, 40)
    with torch.inference_mode():
        whole = net._body(x)
        monkeypatch.setattr(layers, "TILE", 16)
        for reach, equal in ((8, True), (7, False)):
            # The change at the far end of eight random 3 x 3 kernels is small, and far above rounding.
            assert torch.allclose(layers.in_tiles(net._body, x, reach), whole, rtol=0.0, atol=2e-6) is equal


def test_training_sees_no_tiles(monkeypatch):
    monkeypatch.setattr(layers, "TILE", 4)
    net = ErrorMapNet()
    logit = net(torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32), torch.tensor([0.3]))
    logit.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
