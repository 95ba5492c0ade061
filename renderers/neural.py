"""From a checkpoint to a renderer: BokehMe and DeepFocus behind the protocol of `renderers.base`.

torch is imported, and weights are read, at the first call. A checkpoint is a safetensors file as `training` writes
it, or a file of torch with tensors only, such as the authors' releases of BokehMe ({"model": state dict}).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from renderers.base import Image, Renderer, RendererError, require_picture
from scenes.color import REFERENCE_GAMMA
from scenes.layered import LayeredScene
from scenes.lens import ThinLens

if TYPE_CHECKING:
    from torch import Tensor, nn

    from renderers.networks import ARNet, DeepFocus, IUNet

Network = TypeVar("Network", bound="nn.Module")

WEIGHTS = Path(__file__).parent / "weights"

# Networks see each pixel's surroundings over two pixels at least.
_SIDE_MIN_PX = 4


@dataclass(frozen=True)
class BokehMe:
    """BokehMe: scatter, replaced by networks where an error map says so. The networks know round apertures only.

    arnet, iunet   checkpoints; the ones that come with the project by default
    ablation       "B1" to "B5": the networks alone, upsampled as `renderers.bokehme.ABLATIONS` says; None for all of it
    device         of torch: "cpu", "cuda", ...
    """

    arnet: Path = WEIGHTS / "arnet.safetensors"
    iunet: Path = WEIGHTS / "iunet.safetensors"
    ablation: str | None = None
    device: str = "cpu"

    # The true layers of a picture are of no use to it.
    layered = False

    @property
    def checkpoints(self) -> tuple[Path, ...]:
        """The files that its pictures depend on."""
        return self.arnet, self.iunet

    def __call__(
        self,
        image: Image,
        disparity: NDArray[np.float32],
        lens: ThinLens,
        *,
        gamma: float = REFERENCE_GAMMA,
        scene: LayeredScene | None = None,
    ) -> Image:
        require_picture(image, disparity)
        _require_size(image)
        if lens.blur_parameter == 0.0:
            return image.copy()
        from renderers.bokehme import ABLATIONS, refocus, refocus_neurally

        if self.ablation is None:
            return refocus(*self._networks, image, disparity, lens, gamma, self.device)
        return refocus_neurally(*self._networks, image, disparity, lens, gamma, self.device, ABLATIONS[self.ablation])

    @cached_property
    def _networks(self) -> "tuple[ARNet, IUNet]":
        from renderers.networks import ARNet, IUNet

        return loaded(ARNet(), self.arnet, self.device), loaded(IUNet(), self.iunet, self.device)


@dataclass(frozen=True)
class DeepFocusRenderer:
    """DeepFocus; round apertures only.

    deepfocus  its checkpoint
    adaptive   DeepFocus†: pictures are made smaller until no blur radius exceeds 12 px
    device     of torch
    """

    deepfocus: Path = WEIGHTS / "deepfocus.safetensors"
    adaptive: bool = False
    device: str = "cpu"

    layered = False

    @property
    def checkpoints(self) -> tuple[Path, ...]:
        """The files that its pictures depend on."""
        return (self.deepfocus,)

    def __call__(
        self,
        image: Image,
        disparity: NDArray[np.float32],
        lens: ThinLens,
        *,
        gamma: float = REFERENCE_GAMMA,
        scene: LayeredScene | None = None,
    ) -> Image:
        require_picture(image, disparity)
        _require_size(image)
        if lens.blur_parameter == 0.0:
            return image.copy()
        from renderers.deepfocus import refocus

        return refocus(self._network, image, disparity, lens, self.device, adaptive=self.adaptive)

    @cached_property
    def _network(self) -> "DeepFocus":
        from renderers.networks import DeepFocus

        return loaded(DeepFocus(), self.deepfocus, self.device)


def with_weights(renderer: Renderer, files: Sequence[Path]) -> Renderer:
    """A neural renderer with checkpoints of one's own in place of those of the same names, such as arnet.safetensors.

    Other renderers, and checkpoints of other networks, are left alone. RendererError for a file that is not there, or
    whose name is not that of a network.
    """
    for file in files:
        if file.stem not in ("arnet", "iunet", "deepfocus"):
            raise RendererError(f"{file}: weights are called arnet, iunet or deepfocus, as training writes them")
        if not file.is_file():
            raise RendererError(f"{file}: no such file")
    if not isinstance(renderer, BokehMe | DeepFocusRenderer):
        return renderer
    names = {field.name for field in fields(renderer)}
    return replace(renderer, **{file.stem: file for file in files if file.stem in names})


def loaded(network: Network, path: Path, device: str = "cpu") -> Network:
    """The network with the weights of a checkpoint, ready to render; RendererError where they cannot be used."""
    state = read_state(path)
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise RendererError(f"{path}: is not a checkpoint of {type(network).__name__} ({reason})") from error
    import torch

    # Channels last is the order in which convolutions run fastest on CPUs.
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing in torch's stubs
    return network.eval().requires_grad_(False).to(device)


def read_state(path: Path) -> "dict[str, Tensor]":
    """The parameters in a checkpoint by name: tensors only, nothing in the file is executed."""
    if not path.is_file():
        raise RendererError(f"{path}: there are no such weights; train them with `bokehforge train`, or give a file")
    from pickle import UnpicklingError

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise RendererError(f"{path}: is not a whole checkpoint ({str(error).splitlines()[0]})") from error
    return state["model"] if isinstance(state, dict) and "model" in state else state


def _require_size(image: Image) -> None:
    if min(image.shape[:2]) < _SIDE_MIN_PX:
        raise RendererError(f"the image is {image.shape}; networks need at least {_SIDE_MIN_PX} px each way")
