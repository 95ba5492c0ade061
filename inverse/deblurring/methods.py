"""What deblurs a picture, by name: networks with their weights, and what they are compared with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inverse.deblurring.inference import NETWORKS, deblurred, read_network, shipped
from inverse.deblurring.wiener import wiener
from renderers.base import RendererError
from runtime.backend import Backend
from runtime.files import sha256_of
from scenes.arrays import Picture

# (H, W, 3) display values to the same, not clipped where they were not.
Deblur = Callable[[Picture], Picture]

# Rivals of the networks: the picture as it is, and a filter.
WITHOUT_NETWORK: Mapping[str, Deblur] = {"identity": lambda blurred: blurred, "wiener": wiener}

NAMES = (*WITHOUT_NETWORK, *NETWORKS)


@dataclass(frozen=True)
class Deblurrer:
    """A method.

    name      in tables
    method    one of NAMES
    weights   file of its network; None for a method without one
    """

    name: str
    method: str
    weights: Path | None = None

    def digest(self) -> str | None:
        """sha256 of its weights; None without any, RendererError where the file cannot be read."""
        if self.weights is None:
            return None
        try:
            return sha256_of(self.weights)
        except OSError as error:
            advice = f"train them with `bokehforge train --model {self.method}`, or give a file"
            if self.method == "ifan-shared-vh":
                advice = "give the released file by that name with --checkpoint"
            raise RendererError(f"{self.weights}: there are no such weights ({error.strerror}); {advice}") from error

    def ready(self, arch: Backend = "cpu") -> Deblur:
        """What deblurs; RendererError for weights that cannot be used."""
        if self.weights is None:
            return WITHOUT_NETWORK[self.method]
        return partial(deblurred, read_network(self.method, self.weights, arch))


def deblurrer(name: str) -> Deblurrer:
    """One of NAMES, with the weights that ship where it is a network; RendererError for another name."""
    if name not in NAMES:
        raise RendererError(f"there is no deblurrer {name!r}; there are {', '.join(NAMES)}")
    return Deblurrer(name, name, shipped(name) if name in NETWORKS else None)


def with_weights(told: str) -> Deblurrer:
    """A network by a file of its weights, `FILE` or `NAME=FILE`; the file is named after the network.

    RendererError where it is not.
    """
    name, equals, file = told.partition("=")
    # A folder of the path may have the sign in its name.
    if not equals or "/" in name:
        name, file = "", told
    path = Path(file)
    if path.stem not in NETWORKS:
        raise RendererError(f"{path}: must be named after its network, one of {', '.join(NETWORKS)}")
    return Deblurrer(name or path.stem, path.stem, path)


def chosen(names: Sequence[str], weights: Sequence[str]) -> list[Deblurrer]:
    """Methods by name, and networks by their weights, `ifan-small` where nothing is named.

    RendererError for what is not there, and for two of one name.
    """
    found = [*map(deblurrer, names), *map(with_weights, weights)] or [deblurrer("ifan-small")]
    counted = [method.name for method in found]
    if twice := [name for name in counted if counted.count(name) > 1]:
        raise RendererError(f"two deblurrers are called {twice[0]}; rename one with NAME=FILE")
    return found
