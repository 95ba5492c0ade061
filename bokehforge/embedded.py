"""Depth that phones store with their photographs."""

from dataclasses import dataclass
from pathlib import Path

from scenes.arrays import Plane


@dataclass(frozen=True, eq=False)
class EmbeddedDepth:
    """A map that was found with a photograph."""

    disparity: Plane


def embedded_depth(path: Path) -> EmbeddedDepth | None:
    """The map of a photograph; None where it has none."""
    return None
