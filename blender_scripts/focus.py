"""Where the focus distances of a scene lie, and the bokeh stack that follows."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blender_scripts.extent import IGNORED_SHARE, disparity_extent
from blender_scripts.refusal import Refusal
from scenes.arrays import Plane
from scenes.lens import disparity_from_distance

# Below this ratio of nearest to farthest disparity, focus and blur have no meaning, as for a wall seen straight on.
_LEAST_DISPARITY_RATIO = 1.02

_EXTREMES = f"a share of {IGNORED_SHARE:g} of the pixels beyond each end left out"


@dataclass(frozen=True)
class FocusRule:
    """How the focus distances of every scene are chosen. All but named distances are evenly spaced in disparity.

    spans        "seen": from the farthest to the nearest pixel, the background included, as in BLB
                 "surfaces": from the farthest to the nearest surface, without the background and skies
                 "range": between two distances; "distances": at the distances themselves
    distances_m  of the last two, > 0; 65504 and more mean infinity
    """

    spans: Literal["seen", "surfaces", "range", "distances"] = "seen"
    distances_m: tuple[float, ...] = ()

    def describe(self) -> dict[str, Any]:
        """What pictures depend on, as plain values. Datasets with BLB's rule were begun before there were others."""
        if self.spans == "seen":
            return {}
        return {"focus": self.spans, **({"focus_m": list(self.distances_m)} if self.distances_m else {})}

    def sentence(self) -> str:
        """The rule in words, for dataset.yaml."""
        return {
            "seen": f"evenly spaced in disparity between the farthest and the nearest pixel, {_EXTREMES}",
            "surfaces": f"evenly spaced in disparity between the farthest and the nearest surface, {_EXTREMES}",
            "range": "evenly spaced in disparity between two given distances",
            "distances": "given distances",
        }[self.spans]

    def ends(self, disparity: Plane, is_surface: NDArray[np.bool_]) -> tuple[float, float]:
        """(farthest, nearest) focus disparity of a scene.

        disparity    (H, W) of the pinhole picture in 1/m, 0 for the background
        is_surface   (H, W), what "surfaces" spans
        raises       Refusal where all that is spanned is at one distance
        """
        if self.distances_m:
            given = [disparity_from_distance(z) for z in self.distances_m]
            return min(given), max(given)
        if self.spans == "seen":
            far, near = disparity_extent(disparity)
            if near <= far * _LEAST_DISPARITY_RATIO:
                raise Refusal("everything the camera sees is at one distance")
            return far, near
        far, near = disparity_extent(disparity[is_surface]) if is_surface.any() else (0.0, 0.0)
        if near <= far * _LEAST_DISPARITY_RATIO:
            raise Refusal(
                "all surfaces that the camera sees are at one distance; --blb-focus counts the background too, "
                "--focus-range and --focus-distances say where to focus"
            )
        return far, near

    def disparities(self, far: float, near: float, count: int) -> tuple[float, ...]:
        """The focus disparities between two ends, from far to near; one alone is the farthest."""
        if self.spans == "distances":
            return tuple(sorted(disparity_from_distance(z) for z in self.distances_m))
        steps = np.linspace(0.0, 1.0, count) if count > 1 else np.array([0.0])
        return tuple(far + (near - far) * float(t) for t in steps)
