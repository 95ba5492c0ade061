"""Encoders have the parameters and the names of torchvision's, and load its files."""

import pytest
import torch

from renderers.base import RendererError
from renderers.neural.trunks import MobileNetV2, ResNet10, ResNet18, ResNeXt50, load_trunk, normalized


@pytest.mark.parametrize(
    "trunk, parameters", [(ResNet18, 11_176_512), (ResNeXt50, 22_979_904), (MobileNetV2, 1_811_712)]
)
def test_the_number_of_parameters_is_that_of_torchvision_without_its_classifier(trunk, parameters):
    assert sum(p.numel() for p in trunk().parameters()) == parameters


def test_encoders_of_our_own_and_with_more_channels_are_counted_too():
    assert sum(p.numel() for p in ResNet18(channels_in=4).parameters()) == 11_179_648
    assert sum(p.numel() for p in ResNet10().parameters()) == 309_456


@pytest.mark.parametrize("trunk, first", [(ResNet18, 4), (ResNet10, 4), (ResNeXt50, 4), (MobileNetV2, 2)])
def test_maps_halve_from_one_to_the_next(trunk, first):
    network = trunk().eval()
    with torch.inference_mode():
        maps = network(torch.rand(1, 3, 64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (channels, 64 // (first * 2**i), 96 // (first * 2**i)) for i, channels in enumerate(network.channels)
    ]


@pytest.mark.parametrize(
    "trunk, shapes",
    [
        (
            ResNet18,
            {
                "conv1.weight": (64, 3, 7, 7),
                "bn1.running_mean": (64,),
                "layer1.1.conv2.weight": (64, 64, 3, 3),
                "layer2.0.conv1.weight": (128, 64, 3, 3),
                "layer4.0.downsample.0.weight": (512, 256, 1, 1),
                "layer4.0.downsample.1.bias": (512,),
            },
        ),
        (
            ResNeXt50,
            {
                "layer1.0.conv1.weight": (128, 64, 1, 1),
                "layer1.0.conv2.weight": (128, 4, 3, 3),
                "layer1.0.downsample.0.weight": (256, 64, 1, 1),
                "layer3.5.conv3.weight": (1024, 512, 1, 1),
                "layer4.2.bn3.weight": (2048,),
            },
        ),
        (
            MobileNetV2,
            {
                "features.0.0.weight": (32, 3, 3, 3),
                "features.0.1.bias": (32,),
                "features.1.conv.0.0.weight": (32, 1, 3, 3),
                "features.1.conv.1.weight": (16, 32, 1, 1),
                "features.2.conv.1.0.weight": (96, 1, 3, 3),
                "features.17.conv.2.weight": (320, 960, 1, 1),
                "features.17.conv.3.running_var": (320,),
            },
        ),
    ],
)
def test_names_and_shapes_are_those_of_torchvision(trunk, shapes):
    state = trunk().state_dict()
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def saved(trunk, path):
    """A file as torchvision's: with a classifier, and here without the counts of old ones."""
    torch.manual_seed(1)
    state = {k: torch.randn(v.shape) for k, v in trunk.state_dict().items() if v.is_floating_point()}
    torch.save({**state, "classifier.1.weight": torch.zeros(1000, 8)}, path)
    return state


def test_a_file_loads_without_its_classifier(tmp_path):
    trunk = MobileNetV2()
    state = saved(trunk, tmp_path / "mobilenet_v2.pth")
    load_trunk(trunk, tmp_path / "mobilenet_v2.pth")
    assert all(torch.equal(trunk.state_dict()[name], value) for name, value in state.items())


def test_what_is_seen_beside_the_picture_begins_at_zero(tmp_path):
    state = saved(MobileNetV2(), tmp_path / "mobilenet_v2.pth")
    trunk = MobileNetV2(4)
    load_trunk(trunk, tmp_path / "mobilenet_v2.pth")
    kernel = trunk.state_dict()["features.0.0.weight"]
    assert torch.equal(kernel[:, :3], state["features.0.0.weight"]) and (kernel[:, 3] == 0.0).all()


def test_a_file_of_another_network_is_named(tmp_path):
    saved(ResNet18(), tmp_path / "resnet18.pth")
    with pytest.raises(RendererError, match=r"resnet18\.pth: does not hold the weights of torchvision's mobilenet_v2"):
        load_trunk(MobileNetV2(), tmp_path / "resnet18.pth")
    with pytest.raises(RendererError, match="torchvision's resnext50_32x4d"):
        load_trunk(ResNeXt50(), tmp_path / "resnet18.pth")


def test_pictures_are_normalized_as_classifiers_see_them():
    image = torch.rand(1, 3, 4, 4)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (image - mean[:, None, None]) / deviation[:, None, None]
    torch.testing.assert_close(normalized(image), expected)
