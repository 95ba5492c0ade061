"""What is attacked: any function from pictures to logits, and the networks of this folder with their weights.

classifier("resnet18-small")                       one of ours, with the weights that ship
classifier("resnet50", Path("resnet50-0676ba61.pth"))   torchvision's, with a file of weights that the user has
classifier("my_models:phi")                        any callable: display values (B, 3, H, W) to logits (B, classes)
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from inverse.attacks.networks import IMAGENET_CLASSES, NETWORKS, SMALL, TORCHVISION, Classifier
from renderers.base import RendererError
from renderers.neural.checkpoints import loaded, read_state
from renderers.neural.trunks import normalized

WEIGHTS = Path(__file__).parent / "weights"

# The labels of the recipe `objects`, in the order of the logits of our networks.
OBJECTS = (
    *("branch", "creature", "dandelion", "fern", "flowers", "fruit", "lace", "letters", "portrait", "sign", "stones"),
    "vessel",
)

# What classifiers of ImageNet are given: the shorter side, pixels.
_IMAGENET_SIDE = 224

# DenseNet's files of 2017 have "norm.1" for what is "norm1" in its code.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)")


@dataclass(frozen=True)
class Attacked:
    """A classifier.

    name       for tables
    logits     of display values (B, 3, H, W) in [0, 1]: (B, classes); differentiable, its parameters frozen
    classes    labels by the index of their logit; None where labels are those indices, from 0
    file       that of its parameters, or of the code of a callable; None where a callable has none
    """

    name: str
    logits: Callable[[Tensor], Tensor]
    classes: tuple[str, ...] | None
    file: Path | None = None

    def index(self, label: str) -> int:
        """The logit of a label; RendererError for one that the classifier does not know."""
        if self.classes is None and label.isdecimal() and str(int(label)) == label:
            return int(label)
        if self.classes is not None and label in self.classes:
            return self.classes.index(label)
        known = "numbers from 0" if self.classes is None else ", ".join(self.classes)
        raise RendererError(f"{self.name} does not know the label {label!r}; it knows {known}")

    def label(self, index: int) -> str:
        """The label of a logit."""
        return str(index) if self.classes is None else self.classes[index]


def classifier(name: str, weights: Path | None = None) -> Attacked:
    """A classifier by its name, or a user's "file.py:callable" or "module:callable", here or installed.

    weights   of a network, instead of those that ship; torchvision's need them
    raises    RendererError for a name, a module or a file that cannot be used
    """
    if ":" in name:
        phi, file = _imported(name)
        return Attacked(name, phi, None, file)
    if name not in NETWORKS:
        raise RendererError(f"no classifier {name!r}; there are {', '.join(NETWORKS)}, or give module:callable")
    if name in TORCHVISION and weights is None:
        raise RendererError(f"{name} comes without weights; give torchvision's file: {name}=FILE.pth")
    if name in SMALL:
        path = WEIGHTS / f"{name}.safetensors" if weights is None else weights
        network = loaded(SMALL[name](len(OBJECTS)), path)
        return Attacked(name, partial(_logits, network), OBJECTS, path)
    assert weights is not None
    network = TORCHVISION[name](IMAGENET_CLASSES)
    load_torchvision(network, weights, name)
    return Attacked(name, partial(_logits_at, network, _IMAGENET_SIDE), None, weights)


def load_torchvision(network: Classifier, path: Path, name: str) -> None:
    """Give a network the weights of torchvision's file, and freeze it; RendererError for a file that is not of it."""
    state = {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in read_state(path).items()}
    # Old files do not count batches.
    kept = {key: value for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
    try:
        network.load_state_dict({**kept, **state})
    except RuntimeError as error:
        raise RendererError(f"{path}: does not hold the weights of torchvision's {name}") from error
    network.eval().requires_grad_(False)


def _logits(network: Classifier, picture: Tensor) -> Tensor:
    return network.logits(normalized(picture))


def _logits_at(network: Classifier, side: int, picture: Tensor) -> Tensor:
    """Of the picture resized to a square, differentiably."""
    return _logits(network, F.interpolate(picture, (side, side), mode="bilinear", align_corners=False, antialias=True))


def _imported(target: str) -> tuple[Callable[[Tensor], Tensor], Path | None]:
    """A callable, and the file of its module."""
    name, _, attribute = target.rpartition(":")
    path = Path(name) if name.endswith(".py") else Path(*name.split(".")).with_suffix(".py")
    try:
        module = _from_file(path) if path.is_file() else import_module(name)
        phi = getattr(module, attribute)
    # A module of the user may raise anything.
    except Exception as error:
        raise RendererError(f"{target}: cannot be imported ({type(error).__name__}: {error})") from error
    if not callable(phi):
        raise RendererError(f"{target}: is not callable; it must take pictures (B, 3, H, W) and return logits")
    if isinstance(phi, torch.nn.Module):
        phi.eval().requires_grad_(False)
    file = getattr(module, "__file__", None)
    return partial(_checked, target, phi), None if file is None else Path(file)


def _from_file(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path.resolve())
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    # Where classes of it look for it.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _checked(target: str, phi: Callable[[Tensor], Any], picture: Tensor) -> Tensor:
    """What a user's callable returns, of a copy: it may work in place."""
    try:
        logits = phi(picture.clone())
    # It may raise anything.
    except Exception as error:
        size = "x".join(map(str, picture.shape))
        raise RendererError(f"{target}: fails for a picture {size} ({type(error).__name__}: {error})") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(picture):
        given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise RendererError(f"{target}: returns {given}; it must return logits of shape (batch, classes)")
    if not bool(torch.isfinite(logits.detach()).all()):
        raise RendererError(f"{target}: returns logits that are not finite")
    if picture.requires_grad and not logits.requires_grad:
        raise RendererError(f"{target}: returns logits without a gradient; it must be differentiable in its pictures")
    return logits
