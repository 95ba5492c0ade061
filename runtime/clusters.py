"""Which engine a command asks for by its options --engine and --address."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from runtime.command import OptionError
from runtime.engines import Cluster

EngineName = Literal["processes", "ray"]


@contextmanager
def cluster(name: EngineName, address: str | None, workers: int | None) -> Iterator[Cluster | None]:
    """The Ray cluster that a command is to use, connected in this context; None for processes of this machine.

    address   of a cluster that runs: HOST:PORT, or "auto" to find that of this machine; None starts one here
    workers   at most so many, None for as many as find room

    EngineError where it cannot be had; OptionError for an address without Ray.
    """
    if name == "ray":
        from runtime.ray_engine import Ray

        with Ray(address, workers) as ray:
            yield ray
    elif address is not None:
        raise OptionError(f"--address is {address}; it needs --engine ray")
    else:
        yield None
