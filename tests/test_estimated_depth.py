"""`--depth MODEL.onnx`: a network of the user's own, which gets the picture as such networks are trained."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bokehdata.images import read_png, write_png
from bokehforge import estimated
from bokehforge.cli import main
from runtime.command import OptionError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

HEIGHT, WIDTH = 24, 32

IMAGE = np.random.default_rng(0).uniform(0.0, 1.0, (HEIGHT, WIDTH, 3)).astype(np.float32)

FREE = ("batch", 3, "height", "width")


def model(path: Path, nodes, given=FREE, taken=("d",) * 4, kind=onnx.TensorProto.FLOAT, inputs=("image",)) -> Path:
    """A model of one line: `nodes` makes "depth" of "image"."""
    helper = onnx.helper
    graph = helper.make_graph(
        nodes,
        "depth",
        [helper.make_tensor_value_info(name, kind, given) for name in inputs],
        [helper.make_tensor_value_info("depth", onnx.TensorProto.FLOAT, [None] * len(taken))],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    onnx.save(made, path)
    return path


def mean_of_channels(path: Path, **given) -> Path:
    """What is bright is near."""
    node = onnx.helper.make_node("ReduceMean", ["image"], ["depth"], axes=[1], keepdims=1)
    return model(path, [node], **given)


def disparity(path: Path, image=IMAGE, **options):
    words = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "side_px": 512, **options}
    return estimated.estimated_disparity(path, image, **words)


def test_a_model_of_the_picture_s_size_gets_the_normalized_picture(tmp_path):
    """(I - mean) / std, channel by channel, clipped to [0, 1] first."""
    path = mean_of_channels(tmp_path / "m.onnx", given=(1, 3, HEIGHT, WIDTH))
    mean, std = (0.1, 0.2, 0.3), (0.5, 1.0, 2.0)
    found = disparity(path, 1.5 * IMAGE, mean=mean, std=std)
    expected = ((np.minimum(1.5 * IMAGE, 1.0) - np.float32(mean)) / np.float32(std)).mean(axis=2)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_channels_are_red_green_and_blue(tmp_path):
    indices = onnx.numpy_helper.from_array(np.array([0]), "red")
    constant = onnx.helper.make_node("Constant", [], ["red"], value=indices)
    node = onnx.helper.make_node("Gather", ["image", "red"], ["depth"], axis=1)
    path = model(tmp_path / "m.onnx", [constant, node], given=(1, 3, HEIGHT, WIDTH))
    np.testing.assert_allclose(disparity(path), (IMAGE[..., 0] - 0.5) / 0.25, atol=1e-5)


@pytest.mark.parametrize("side_px, size", [(56, (42, 56)), (28, (28, 28)), (300, (224, 294))])
def test_a_model_of_any_size_gets_the_picture_s_proportions_in_patches_of_14(tmp_path, monkeypatch, side_px, size):
    seen = []
    resize = estimated.cv2.resize
    monkeypatch.setattr(estimated.cv2, "resize", lambda i, s, **w: seen.append(s[::-1]) or resize(i, s, **w))
    found = disparity(mean_of_channels(tmp_path / "m.onnx"), side_px=side_px)
    assert seen[0] == size and found.shape == (HEIGHT, WIDTH)


def test_outputs_without_a_channel_are_read(tmp_path):
    node = onnx.helper.make_node("ReduceMean", ["image"], ["depth"], axes=[1], keepdims=0)
    path = model(tmp_path / "m.onnx", [node], given=(1, 3, HEIGHT, WIDTH), taken=("d",) * 3)
    np.testing.assert_allclose(disparity(path), (IMAGE.mean(axis=2) - 0.5) / 0.25, atol=1e-5)


def node(kind: str, *inputs: str, **attributes):
    return onnx.helper.make_node(kind, inputs or ["image"], ["depth"], **attributes)


MISFITS = {
    "two inputs": ([node("Add", "a", "b")], {"inputs": ("a", "b")}, "takes 2 inputs; a model of depth takes one"),
    "grey": ([node("Identity")], {"given": (1, 1, 24, 32)}, "takes 1 channels; it must be 3"),
    "flat": ([node("Identity")], {"given": (3, 32)}, "of shape [3, 32]; it must be float of (1, 3, H, W)"),
    "batches": ([node("Identity")], {"given": (4, 3, 24, 32)}, "it must be float of (1, 3, H, W)"),
    "bytes": (
        [node("Cast", to=onnx.TensorProto.FLOAT)],
        {"kind": onnx.TensorProto.UINT8, "given": (1, 3, 24, 32)},
        "takes tensor(uint8) of shape [1, 3, 24, 32]; it must be float",
    ),
    "coloured": ([node("Identity")], {}, "gives float32 of shape (1, 3, 392, 518); it must be float of (1, H, W)"),
    "infinite": ([node("ReduceLogSum", axes=[1])], {}, "gives NaN or infinity for this picture"),
    "fails": ([node("Reshape", "image", "to")], {}, "fails at 518 x 392 px"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_model_of_another_kind_is_named(tmp_path, name):
    nodes, given, message = MISFITS[name]
    if name == "fails":
        to = onnx.numpy_helper.from_array(np.array([7, 7]), "to")
        nodes = [onnx.helper.make_node("Constant", [], ["to"], value=to), *nodes]
    path = model(tmp_path / "mine.onnx", nodes, **given)
    with pytest.raises(OptionError) as refused:
        disparity(path, side_px=518)
    assert str(refused.value).startswith(f"{path}: ") and message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_no_model_is_named(tmp_path, capfd):
    (tmp_path / "mine.onnx").write_bytes(b"none")
    with pytest.raises(OptionError, match="mine.onnx: is no ONNX model that can be loaded"):
        disparity(tmp_path / "mine.onnx")
    with pytest.raises(OptionError, match="absent.onnx: no such file"):
        disparity(tmp_path / "absent.onnx")
    assert capfd.readouterr() == ("", ""), "the library is silent"


def test_a_model_needs_a_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(OptionError, match=r"needs the package onnxruntime: pip install 'bokehforge\[onnx\]'"):
        disparity(tmp_path / "mine.onnx")


# ---------- the commands


def command(tmp_path: Path, *words: str) -> int:
    write_png(tmp_path / "photo.png", IMAGE)
    mean_of_channels(tmp_path / "mine.onnx", given=(1, 3, HEIGHT, WIDTH))
    return main([words[0], str(tmp_path / "photo.png"), "--depth", str(tmp_path / "mine.onnx"), *words[1:]])


def test_a_photograph_is_refocused_by_what_the_model_says(tmp_path):
    out, map_file = tmp_path / "out.png", tmp_path / "map.npy"
    lens = ["--renderer", "scatter", "--focus", "3,4", "--max-radius", "5", "--out", str(out)]
    assert command(tmp_path, "render", *lens) == 0
    found = out.read_bytes()
    # ImageNet's numbers, unless said.
    normalized = (IMAGE - np.float32((0.485, 0.456, 0.406))) / np.float32((0.229, 0.224, 0.225))
    np.save(map_file, normalized.mean(axis=2))
    assert main(["render", str(tmp_path / "photo.png"), "--disparity", str(map_file), *lens]) == 0
    expected = read_png(out)
    out.write_bytes(found)
    np.testing.assert_allclose(read_png(out), expected, atol=2e-3)


def test_layers_tell_which_model_and_how_it_was_used(tmp_path):
    options = ["--depth-mean", "0.5", "0.5", "0.5", "--out", str(tmp_path / "a.layers")]
    assert command(tmp_path, "layers", *options) == 0
    document = (tmp_path / "a.layers/scene.yaml").read_text()
    assert "model_sha256" in document and "[0.5, 0.5, 0.5]" in document and "disparity_unit: relative" in document


@pytest.mark.parametrize(
    "options, culprit",
    [
        (["--depth-std", "0", "1", "1"], "--depth-mean and --depth-std must be numbers, the latter above 0"),
        (["--depth-side", "5"], "--depth-side is 5; it must be at least 14"),
        (["--f-number", "2", "--focal-length", "50"], "--f-number needs --depth in metres"),
        (["--blur", "1", "--focus", "2m"], "is for --depth in metres"),
    ],
)
def test_what_a_model_cannot_do_is_named(tmp_path, capsys, options, culprit):
    words = ["--renderer", "scatter", "--out", str(tmp_path / "out.png")]
    words += [] if "--focus" in options else ["--focus", "1,1"]
    words += [] if {"--blur", "--f-number"} & set(options) else ["--blur", "1"]
    assert command(tmp_path, "render", *words, *options) == 2
    message = capsys.readouterr().err
    assert culprit in message and message.strip().count("\n") == 0
