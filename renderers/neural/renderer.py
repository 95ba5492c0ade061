"""What all neural renderers share: checks, the pinhole, loading of weights, devices.

A network is a folder here with two modules. `network.py` has the networks, on tensors. `inference.py` has

    NETWORKS = {"arnet": ARNet, ...}                     the classes by name
    refocus(networks, image, disparity, lens, *, gamma, arch, ...) -> picture

with `networks` loaded and on the device of `arch`, and everything else as in `renderers.base.Renderer`. Weights that
ship lie beside them as NAME.safetensors, with a card. torch is imported, and weights are read, at the first call.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from renderers.base import Cost, Information, RendererError, require_controls, require_inputs
from runtime.backend import Backend, BackendError
from scenes.aperture import Disk
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA
from scenes.layered import LayeredScene
from scenes.lens import ThinLens

if TYPE_CHECKING:
    from torch import nn

FOLDER = Path(__file__).parent

# Networks see each pixel's surroundings over two pixels at least.
_SIDE_MIN_PX = 4


# Of the picture that multiplications are counted on: a multiple of the steps that networks work in.
_COUNTED_SIDE_PX = 256


@dataclass(frozen=True)
class NeuralRenderer:
    """A renderer made of networks.

    folder        in `renderers/neural`, with `inference.py`
    networks      names of its networks, those of their checkpoints
    options       keyword arguments of its `refocus`
    information   what the method is given
    controls      keyword arguments of its `refocus` that a user may set
    any_aperture  whether its networks know of no lens, so that apertures need not be round
    given         checkpoints in place of those that lie in the folder, by the name of their network
    arch          where it runs
    """

    folder: str
    networks: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    information: Information = "disparity"
    controls: tuple[str, ...] = ()
    any_aperture: bool = False
    given: Mapping[str, Path] = field(default_factory=dict)
    arch: Backend = "cpu"

    @property
    def checkpoints(self) -> tuple[Path, ...]:
        """The files that its pictures depend on, one for each network."""
        return tuple(self.given.get(name, shipped(self.folder, name)) for name in self.networks)

    @property
    def modules(self) -> tuple[str, ...]:
        """This one, and the inference of its folder."""
        return __name__, f"renderers.neural.{self.folder}.inference"

    def on(self, arch: Backend) -> Self:
        """The same renderer on the device of torch that a backend has; BackendError where torch lacks it."""
        if arch != "cpu":
            _require_device(arch)
        return replace(self, arch=arch)

    def with_checkpoints(self, files: Sequence[Path]) -> Self:
        """The same renderer with those of the files whose names are those of its networks."""
        own = {file.stem: file for file in files if file.stem in self.networks}
        return replace(self, given={**self.given, **own}) if own else self

    def with_controls(self, **values: Any) -> Self:
        """The same renderer with settings of its own, such as a mask; RendererError for one that it does not have."""
        require_controls(self.controls, values)
        return replace(self, options={**self.options, **values})

    def __call__(
        self,
        image: Picture,
        disparity: Plane,
        lens: ThinLens,
        *,
        gamma: float = REFERENCE_GAMMA,
        scene: LayeredScene | None = None,
    ) -> Picture:
        require_inputs(image, disparity, gamma)
        if min(image.shape[:2]) < _SIDE_MIN_PX:
            raise RendererError(f"the image is {image.shape}; networks need at least {_SIDE_MIN_PX} px each way")
        if lens.is_pinhole:
            return image.copy()
        if not (self.any_aperture or isinstance(lens.aperture, Disk)):
            raise RendererError(f"{self.folder} was trained on round apertures, and the lens has {lens.aperture}")
        return self._refocus(self._loaded, image, disparity, lens, gamma=gamma, arch=self.arch, **self.options)

    def cost(self) -> Cost:
        """Of its networks; RendererError where weights are missing."""
        from torch.utils.flop_counter import FlopCounterMode

        parameters = sum(weight.numel() for network in self._loaded.values() for weight in network.parameters())
        if self.information != "picture":
            return Cost(parameters, None)
        picture = np.full((_COUNTED_SIDE_PX, _COUNTED_SIDE_PX, 3), 0.5, np.float32)
        with FlopCounterMode(display=False) as counter:
            self(picture, picture[..., 0], ThinLens(1.0, 0.0))
        # Every multiplication is counted with its addition.
        return Cost(parameters, counter.get_total_flops() / 2 / _COUNTED_SIDE_PX**2)

    @cached_property
    def _module(self) -> Any:
        return import_module(self.modules[-1])

    @property
    def _refocus(self) -> Callable[..., Picture]:
        return self._module.refocus

    @cached_property
    def _loaded(self) -> "dict[str, nn.Module]":
        import torch

        from renderers.neural.checkpoints import loaded
        from renderers.neural.tensors import device_of

        networks = {}
        for name, file in zip(self.networks, self.checkpoints, strict=True):
            # Without values: drawing the random ones of fifty million parameters takes longer than reading a file.
            with torch.device("meta"):
                network = self._module.NETWORKS[name]()
            networks[name] = loaded(network.to_empty(device="cpu"), file, device_of(self.arch))
        return networks


def shipped(folder: str, network: str) -> Path:
    """Where the weights of a network lie that come with the project."""
    return FOLDER / folder / f"{network}.safetensors"


def _require_device(arch: Backend) -> None:
    import torch

    from renderers.neural.tensors import device_of

    try:
        torch.zeros(1, device=device_of(arch))
    except (RuntimeError, AssertionError) as error:
        raise BackendError(f"torch has no device for the backend {arch!r} ({error}); use --arch cpu") from error
