"""Checkpoints of networks: safetensors as `training` writes them, or files of torch with tensors only.

The latter are such as the authors' releases of BokehMe, {"model": state dict}.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from renderers.base import RendererError
from runtime.documents import shown

Network = TypeVar("Network", bound=nn.Module)
State = dict[str, Tensor]


def loaded(
    network: Network, path: Path, device: str = "cpu", renamed: Callable[[State], State] | None = None
) -> Network:
    """The network with the weights of a checkpoint, ready to render; RendererError where they cannot be used.

    renamed   gives parameters that have others' names those of the network
    """
    state = read_state(path)
    try:
        if renamed is not None:
            state = renamed(state)
        network.load_state_dict(state, strict=True)
    except (RuntimeError, TypeError, AttributeError) as error:  # the last two for names that are not text
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
    """The parameters in a checkpoint by name: finite tensors only, nothing in the file is executed.

    RendererError where it cannot be read, or holds something else.
    """
    if not path.is_file():
        raise RendererError(f"{path}: there are no such weights; train them with `bokehforge train`, or give a file")
    try:
        is_ours = path.suffix == ".safetensors"
        state = load_file(path) if is_ours else torch.load(path, map_location="cpu", weights_only=True)
    # Both raise many types for a file that is cut off, or is none of their own. What torch says would have the user
    # switch its safety off.
    except Exception as error:
        raise RendererError(f"{path}: is not a whole checkpoint of tensors; train it again, or get another") from error
    state = state["model"] if isinstance(state, dict) and "model" in state else state
    if not isinstance(state, dict):
        raise RendererError(f"{path}: is not a mapping of names to tensors")
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise RendererError(f"{path}: {shown(name)} is not a tensor")
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise RendererError(f"{path}: {shown(name)} holds NaN or infinity")
    return state
