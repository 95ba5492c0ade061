"""Networks as ONNX files, for other programs: of any batch, height and width, with what they take and give.

torch's older exporter writes them. It needs no package but onnx and takes seconds; the newer one needs onnxscript and
takes twenty times as long for the same. The old one traces: what Python decides by sizes is fixed as it is for the
example. The sizes of the example are odd, so that the steps for odd sizes are there; even ones pass them unchanged.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from torch import nn

from renderers.base import Renderer, RendererError
from renderers.neural.bokehme.network import ARNet, IUNet
from renderers.neural.checkpoints import loaded
from renderers.neural.renderer import FOLDER
from renderers.neural.reveal.layers import CHANGE, HINTS
from renderers.neural.reveal.network import RevealNet
from renderers.neural.training_record import metadata_of, read_record
from runtime.files import sha256_of

# The first in which all that the networks need is exact, and which onnxruntime-web has.
OPSET = 18

# Of the example that is traced: odd, and none twice, half or double of another.
_EXAMPLE = {"batch": 2, "height": 35, "width": 37, "coarse_height": 11, "coarse_width": 13}

_LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Port:
    """A tensor, float32, that a network takes or gives.

    shape     a number, or the name of a size that is free; equal names are equal sizes
    meaning   colour space, unit, range
    """

    name: str
    shape: tuple[int | str, ...]
    meaning: str

    @property
    def free(self) -> dict[int, str]:
        """The names of the free sizes by axis."""
        return {axis: size for axis, size in enumerate(self.shape) if isinstance(size, str)}

    def example(self) -> torch.Tensor:
        """Zeros of a shape that fits."""
        return torch.zeros([_EXAMPLE[size] if isinstance(size, str) else size for size in self.shape])


@dataclass(frozen=True)
class Interface:
    """What a network is called with, in the order of its `forward`, and what it gives."""

    network: type[nn.Module]
    purpose: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def _listed(channels: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in channels.items())


def _planes(name: str, channels: int, meaning: str, prefix: str = "") -> Port:
    return Port(name, ("batch", channels, f"{prefix}height", f"{prefix}width"), meaning)


_IMAGE = _planes("image", 3, "all-in-focus picture: red, green, blue display values in [0, 1]")
_DEFOCUS = "signed defocus K (d - d_f) in units of 10 px, positive nearer than focus; within"
_GAMMA = Port("gamma", ("batch",), "(gamma - 1) / 4 in [0, 1], where linear light is display ** gamma")

INTERFACES = {
    "arnet": Interface(
        ARNet,
        "BokehMe's adaptive rendering network (Peng et al. 2022): a refocused picture, and where to trust it",
        (_IMAGE, _planes("defocus", 1, f"{_DEFOCUS} [-1.2, 1.2]"), _GAMMA),
        (
            _planes("picture", 3, "refocused picture: red, green, blue display values, not bounded"),
            _planes("error_logit", 1, "logit of the error map: how much of this picture replaces the scattered one"),
        ),
    ),
    "iunet": Interface(
        IUNet,
        "BokehMe's iterative upsampling network (Peng et al. 2022): a coarse refocused picture at a finer size",
        (
            _IMAGE,
            _planes("defocus", 1, f"{_DEFOCUS} [-1, 1], clipped"),
            _planes("coarse", 3, "refocused picture of about half the size, display values", "coarse_"),
            _GAMMA,
        ),
        (_planes("picture", 3, "refocused picture: red, green, blue display values, not bounded"),),
    ),
    "reveal": Interface(
        RevealNet,
        "RevealNet: what to change of the layers of a picture beside edges, for any lens",
        (_planes("hints", sum(HINTS.values()), f"{_listed(HINTS)}; renderers.neural.reveal.layers.hints makes them"),),
        (_planes("change", sum(CHANGE.values()), f"{_listed(CHANGE)}; for renderers.neural.reveal.layers.changed"),),
    ),
}


def exported(renderer: Renderer, name: str) -> Iterator[tuple[str, bytes]]:
    """The ONNX files of a renderer's networks: names of the networks, and content.

    name     of the renderer, for messages
    raises   RendererError for a renderer whose networks have no interface, and for weights that cannot be used
    """
    if not renderer.checkpoints or any(file.stem not in INTERFACES for file in renderer.checkpoints):
        raise RendererError(f"{name} has no networks with an ONNX form; bokehme and reveal have them")
    for file in renderer.checkpoints:
        interface = INTERFACES[file.stem]
        network = loaded(interface.network(), file)
        yield file.stem, onnx_model(network, interface, _origin(file)).SerializeToString(deterministic=True)


def onnx_model(network: nn.Module, interface: Interface, origin: dict[str, str]) -> onnx.ModelProto:
    """The model of a network of an interface, with that and `origin` in its metadata. Equal networks, equal models."""
    ports = (*interface.inputs, *interface.outputs)
    content = io.BytesIO()
    with torch.inference_mode(), warnings.catch_warnings():
        # That it is the older exporter, and what it fixes.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            tuple(port.example() for port in interface.inputs),
            content,  # pyright: ignore[reportArgumentType]  # missing in torch's stubs
            dynamo=False,
            opset_version=OPSET,
            input_names=[port.name for port in interface.inputs],
            output_names=[port.name for port in interface.outputs],
            dynamic_axes={port.name: port.free for port in ports},
        )
    model = onnx.load_from_string(content.getvalue())
    model.doc_string = interface.purpose
    for value, port in zip((*model.graph.input, *model.graph.output), ports, strict=True):
        # Its own names of the sizes of outputs are made of operators.
        value.CopyFrom(onnx.helper.make_tensor_value_info(port.name, onnx.TensorProto.FLOAT, port.shape, port.meaning))
    onnx.helper.set_model_props(model, {**{port.name: _described(port) for port in ports}, **origin})
    onnx.checker.check_model(model, full_check=True)
    return model


def _described(port: Port) -> str:
    return f"({', '.join(map(str, port.shape))}) float32: {port.meaning}"


def _origin(weights: Path) -> dict[str, str]:
    """Where weights are from; a licence is known for those that ship."""
    record = read_record(weights)
    licence = {"licence": _LICENCE} if weights.is_relative_to(FOLDER) else {}
    return {"weights_sha256": sha256_of(weights), **licence, **(metadata_of(record) if record else {})}
