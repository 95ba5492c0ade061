"""What Cycles leaves in its multi-layer EXR."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from scenes.color import HALF_MAX


@dataclass(frozen=True, eq=False)
class Passes:
    """One render.

    rgba_premul   (H, W, 4) float32, linear light, premultiplied
    depth         (H, W) float32 planar depth through the pixel centre; 65504 for the background and beyond. Of the
                  pinhole only: with depth of field each value belongs to one ray through some point of the lens
    """

    rgba_premul: NDArray[np.float32]
    depth: NDArray[np.float32]


def read_passes(path: Path) -> Passes:
    """The passes of the first view layer of a file that `rendering.render` wrote."""
    with OpenEXR.File(str(path), separate_channels=True) as file:
        channels = {name: channel.pixels for part in file.parts for name, channel in part.channels.items()}

    def plane(suffix: str) -> NDArray[np.float32]:
        return next(pixels for name, pixels in channels.items() if name.endswith(f".{suffix}"))

    # Background is 1e10.
    depth = np.minimum(plane("Depth.Z"), np.float32(HALF_MAX))
    rgba_premul = np.stack([plane(f"Combined.{c}") for c in "RGBA"], axis=-1)
    return Passes(rgba_premul, depth)
