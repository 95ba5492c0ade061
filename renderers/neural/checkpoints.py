"""Checkpoints of networks: safetensors as `training` writes them, or files of torch with tensors only.

The latter are such as the authors' releases of BokehMe, {"model": state dict}.
"""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from renderers.base import RendererError

Network = TypeVar("Network", bound=nn.Module)


def loaded(network: Network, path: Path, device: str = "cpu") -> Network:
    """The network with the weights of a checkpoint, ready to render; RendererError where they cannot be used."""
    state = read_state(path)
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise RendererError(f"{path}: is not a checkpoint of {type(network).__name__} ({reason})") from error
    # Channels last is the order in which convolutions run fastest on CPUs.
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing in torch's stubs
    return network.eval().requires_grad_(False).to(device)


def in_half_floats(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same parameters with kernels and matrices as half floats; biases and statistics, which are few, as they are.

    `loaded` makes float32 of them again. ValueError for a value that half floats do not hold.
    """
    halves = {}
    for name, value in state.items():
        halves[name] = value.half() if value.is_floating_point() and value.ndim > 1 else value
        if not torch.isfinite(halves[name]).all():
            raise ValueError(f"{name} holds values that half floats do not")
    return halves


def read_state(path: Path) -> dict[str, Tensor]:
    """The parameters in a checkpoint by name: tensors only, nothing in the file is executed."""
    if not path.is_file():
        raise RendererError(f"{path}: there are no such weights; train them with `bokehforge train`, or give a file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise RendererError(f"{path}: is not a whole checkpoint ({str(error).splitlines()[0]})") from error
    return state["model"] if isinstance(state, dict) and "model" in state else state
