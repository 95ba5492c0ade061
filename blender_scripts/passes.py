"""Read the multi-layer EXR files of Cycles."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import OpenEXR

from scenes.arrays import Plane, Rgba
from scenes.color import HALF_MAX


@dataclass(frozen=True, eq=False)
class Passes:
    """One render.

    rgba_premul   linear light, premultiplied
    depth         planar depth in metres through the pixel centre, at most 65504, the value of the background. It is
                  valid for the pinhole only: with depth of field a value belongs to one ray through some lens point
    """

    rgba_premul: Rgba
    depth: Plane


def read_passes(path: Path) -> Passes:
    """The passes of the first view layer of a file that `rendering.render` wrote."""
    with OpenEXR.File(str(path), separate_channels=True) as file:
        channels = {name: channel.pixels for part in file.parts for name, channel in part.channels.items()}

    def plane(suffix: str) -> Plane:
        return next(pixels for name, pixels in channels.items() if name.endswith(f".{suffix}"))

    # Cycles writes 1e10 for the background.
    depth = np.minimum(plane("Depth.Z"), np.float32(HALF_MAX))
    rgba_premul = np.stack([plane(f"Combined.{c}") for c in "RGBA"], axis=-1)
    return Passes(rgba_premul, depth)
