"""Exported networks: onnxruntime computes what torch does, at every size, and the files say what they are."""

import hashlib

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bokehforge.cli import main
from renderers.neural.bokehme.inference import DEFOCUS_UNIT_PX, render_neurally
from renderers.neural.bokehme.network import ARNet, IUNet
from renderers.neural.checkpoints import loaded
from renderers.neural.renderer import shipped

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from renderers.neural.onnx_export import INTERFACES, OPSET, onnx_model  # noqa: E402

# Two compilers sum in two orders. What is wrong in a size or a border is 100 times as large.
TOLERANCE = 1e-4

# Batch, height, width: even, odd each way, as small as networks take, a multiple of RevealNet's steps, and one beside.
SIZES = [(1, 32, 48), (2, 33, 48), (1, 32, 45), (3, 35, 37), (1, 4, 5), (1, 48, 80), (1, 49, 79)]


def random_network(name: str) -> nn.Module:
    torch.manual_seed(14)
    network = INTERFACES[name].network()
    if name == "reveal":
        # Before it is trained it gives 0.
        nn.init.normal_(network.head.weight, std=0.05)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def sessions() -> dict:
    """Every network with random weights, and the session of onnxruntime that has its file."""
    return {name: (network := random_network(name), session_of(network, name)) for name in INTERFACES}


def session_of(network: nn.Module, name: str):
    content = onnx_model(network, INTERFACES[name], {}).SerializeToString()
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def run(session, *inputs: torch.Tensor) -> list[torch.Tensor]:
    names = [port.name for port in session.get_inputs()]
    given = dict(zip(names, (x.contiguous().numpy() for x in inputs), strict=True))
    return [torch.from_numpy(output) for output in session.run(None, given)]


def random_inputs(name: str, batch: int, height: int, width: int, coarse: tuple[int, int]) -> list[torch.Tensor]:
    sizes = {"batch": batch, "height": height, "width": width, "coarse_height": coarse[0], "coarse_width": coarse[1]}
    rng = torch.Generator().manual_seed(height * width)
    shapes = ([sizes.get(size, size) for size in port.shape] for port in INTERFACES[name].inputs)
    return [torch.rand(shape, generator=rng) for shape in shapes]


@pytest.mark.parametrize("batch, height, width", SIZES)
@pytest.mark.parametrize("name", INTERFACES)
def test_onnxruntime_computes_what_torch_does(sessions, name, batch, height, width):
    network, session = sessions[name]
    # IUNet's coarse picture: of half the size, as most are, of any other, and of the same.
    for coarse in [(height // 2, width // 2), (height // 3 + 1, width // 3 + 2), (height, width)]:
        inputs = random_inputs(name, batch, height, width, coarse)
        expected = network(*inputs)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for found, wanted in zip(run(session, *inputs), expected, strict=True):
            assert wanted.abs().max() > 0.02
            torch.testing.assert_close(found, wanted, rtol=0.0, atol=TOLERANCE)


def test_the_networks_part_of_bokehme_can_be_made_of_the_files(tmp_path):
    """ARNet at a third of the size, IUNet in steps of two from there: the weights that ship, a size that is odd."""
    assert main(["onnx", "bokehme", "--out", str(tmp_path)]) == 0
    networks = {
        "arnet": loaded(ARNet(), shipped("bokehme", "arnet")),
        "iunet": loaded(IUNet(), shipped("bokehme", "iunet")),
    }
    files = {name: onnxruntime.InferenceSession(str(tmp_path / f"{name}.onnx")) for name in networks}
    rng = torch.Generator().manual_seed(3)
    image = torch.rand((1, 3, 91, 67), generator=rng)
    defocus = torch.linspace(-30.0, 12.0, 67).expand(1, 1, 91, 67) / DEFOCUS_UNIT_PX
    inputs = image, defocus, defocus.trunc(), torch.tensor([0.3])
    with torch.inference_mode():
        expected = render_neurally(networks["arnet"], networks["iunet"], *inputs)
    found = render_neurally(
        lambda *given: tuple(run(files["arnet"], *given)), lambda *given: run(files["iunet"], *given)[0], *inputs
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0.0, atol=TOLERANCE)


def test_a_file_says_what_it_is(tmp_path, capsys):
    assert main(["onnx", "bokehme", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count(f", opset {OPSET}\n") == 2
    for name in ("arnet", "iunet"):
        model = onnx.load(tmp_path / f"{name}.onnx")
        assert [(of.domain, of.version) for of in model.opset_import] == [("", OPSET)]
        said = {entry.key: entry.value for entry in model.metadata_props}
        assert said["weights_sha256"] == hashlib.sha256(shipped("bokehme", name).read_bytes()).hexdigest()
        assert said["licence"] == "Apache-2.0" and "bokehme-small" in said["training"]
        for port in (*model.graph.input, *model.graph.output):
            assert said[port.name].endswith(port.doc_string) and len(port.doc_string) > 20
        assert said["picture"].startswith("(batch, 3, height, width) float32: ")
        assert "in units of 10 px, positive nearer than focus" in said["defocus"] and DEFOCUS_UNIT_PX == 10.0


def test_equal_weights_give_equal_files(tmp_path):
    for folder in ("a", "b"):
        assert main(["onnx", "bokehme", "--out", str(tmp_path / folder)]) == 0
    for name in ("arnet.onnx", "iunet.onnx"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_weights_of_one_s_own_are_exported_without_a_licence_of_ours(tmp_path):
    network = random_network("reveal")
    save_file(network.state_dict(), tmp_path / "reveal.safetensors")
    assert main(["onnx", "reveal", "--weights", str(tmp_path / "reveal.safetensors"), "--out", str(tmp_path)]) == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "reveal.onnx"))
    said = session.get_modelmeta().custom_metadata_map
    assert "licence" not in said and "training" not in said
    assert said["hints"].startswith("(batch, 16, height, width) float32: picture 3, near 3, behind 3, alpha 2, steps 3")
    (hints,) = random_inputs("reveal", 1, 21, 22, (1, 1))
    torch.testing.assert_close(run(session, hints)[0], network(hints), rtol=0.0, atol=TOLERANCE)


@pytest.mark.parametrize(
    "words, message",
    [
        (["scatter"], "scatter has no networks with an ONNX form; bokehme and reveal have them"),
        (["d2f"], "d2f has no networks with an ONNX form; bokehme and reveal have them"),
        (["blur"], "no renderer 'blur'; there are identity, scatter"),
        (["bokehme", "--weights", "absent/arnet.safetensors"], "absent/arnet.safetensors: no such file"),
        (["bokehme", "--weights", "mine.safetensors"], "mine.safetensors: weights are called ampn"),
    ],
)
def test_what_cannot_be_exported_is_named(tmp_path, capsys, words, message):
    assert main(["onnx", *words, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_all_files_are_written_or_none(tmp_path, capsys):
    """The second network's weights are broken: the first is not written either."""
    save_file({"conv0.conv.weight": torch.zeros(1)}, tmp_path / "iunet.safetensors")
    words = ["onnx", "bokehme", "--weights", str(tmp_path / "iunet.safetensors"), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert f"{tmp_path}/iunet.safetensors: is not a checkpoint of IUNet" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path, capsys, full_disk):
    (tmp_path / "arnet.onnx").write_bytes(b"of yesterday")
    with full_disk(100_000):
        assert main(["onnx", "bokehme", "--out", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("arnet.onnx", b"of yesterday")]
