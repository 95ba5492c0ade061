"""From a checkpoint to a renderer: BokehMe and DeepFocus behind the protocol of `renderers.base`.

torch is imported at the first call, and weights are read then. A checkpoint is a safetensors file as `training` writes
it, or a file of torch with tensors only, such as the authors' releases of BokehMe ({"model": state dict}).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from renderers.base import Image, RendererError, require_picture
from renderers.dilated_defocus import dilated_defocus_px
from renderers.scatter import scatter
from scenes.billboard import Scene
from scenes.color import REFERENCE_GAMMA, display_from_linear, linear_from_display
from scenes.lens import ThinLens, signed_defocus_px

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

    def __call__(
        self,
        image: Image,
        disparity: NDArray[np.float32],
        lens: ThinLens,
        *,
        gamma: float = REFERENCE_GAMMA,
        scene: Scene | None = None,
    ) -> Image:
        require_picture(image, disparity)
        _require_size(image)
        if lens.blur_parameter == 0.0:
            return image.copy()
        import torch

        from renderers.bokehme import ABLATIONS, DEFOCUS_UNIT_PX, FULL, fused, normalised_gamma, render_neurally

        defocus_px = np.asarray(signed_defocus_px(disparity, lens.blur_parameter, lens.focus_disparity), np.float32)
        arnet, iunet = self._networks
        with torch.inference_mode():
            rendered, error = render_neurally(
                arnet,
                iunet,
                _tensor(image, self.device),
                _tensor(defocus_px, self.device) / DEFOCUS_UNIT_PX,
                _tensor(dilated_defocus_px(defocus_px), self.device) / DEFOCUS_UNIT_PX,
                normalised_gamma(torch.tensor([gamma], device=self.device)),
                ABLATIONS[self.ablation] if self.ablation else FULL,
            )
            if self.ablation:
                return _picture(rendered.clamp(0.0, 1.0))
            linear = scatter(linear_from_display(np.ascontiguousarray(image), gamma), disparity, lens)
            # Clipped before it is mixed, as in training, so that a light that bleeds is worth no more than white.
            classical = np.clip(display_from_linear(linear, gamma), 0.0, 1.0)
            return _picture(fused(_tensor(classical, self.device), rendered, error).clamp(0.0, 1.0))

    @cached_property
    def _networks(self) -> "tuple[ARNet, IUNet]":
        from renderers.networks import ARNet, IUNet

        return loaded(ARNet(), self.arnet, self.device), loaded(IUNet(), self.iunet, self.device)


@dataclass(frozen=True)
class DeepFocusRenderer:
    """DeepFocus; round apertures only.

    weights    a checkpoint
    adaptive   DeepFocus†: pictures are made smaller until no blur radius exceeds 12 px
    device     of torch
    """

    weights: Path = WEIGHTS / "deepfocus.safetensors"
    adaptive: bool = False
    device: str = "cpu"

    layered = False

    def __call__(
        self,
        image: Image,
        disparity: NDArray[np.float32],
        lens: ThinLens,
        *,
        gamma: float = REFERENCE_GAMMA,
        scene: Scene | None = None,
    ) -> Image:
        require_picture(image, disparity)
        _require_size(image)
        if lens.blur_parameter == 0.0:
            return image.copy()
        import torch

        from renderers.deepfocus import refocus

        defocus_px = np.asarray(signed_defocus_px(disparity, lens.blur_parameter, lens.focus_disparity), np.float32)
        planes = (_tensor(plane, self.device) for plane in (image, disparity, defocus_px))
        with torch.inference_mode():
            return _picture(refocus(self._network, *planes, adaptive=self.adaptive))

    @cached_property
    def _network(self) -> "DeepFocus":
        from renderers.networks import DeepFocus

        return loaded(DeepFocus(), self.weights, self.device)


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


def _tensor(plane: NDArray, device: str) -> "Tensor":
    """(H, W) or (H, W, C) as (1, C, H, W)."""
    import torch

    chw = np.atleast_3d(plane).transpose(2, 0, 1)[None]
    return torch.from_numpy(np.ascontiguousarray(chw, np.float32)).to(device)


def _picture(tensor: "Tensor") -> Image:
    return np.ascontiguousarray(tensor[0].permute(1, 2, 0).float().cpu().numpy())
