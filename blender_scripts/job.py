"""What is rendered, and how: the settings that all scenes of a dataset share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from blender_scripts.focus import FocusRule
from blender_scripts.lens_points import NestedLensPoints, nested_lens_points
from scenes.aperture import Aperture
from scenes.stack import Pixel

StackMethod = Literal["light-field", "direct"]


@dataclass(frozen=True)
class Sampling:
    """How the pictures of a scene are made.

    samples           per pixel and picture, the largest number if one of the next three is set. `direct`: an even
                      number of Cycles' samples. `light-field`: views of one sample each; None with `noise`
    noise_threshold   of Cycles' adaptive sampling; None for the same number of samples everywhere. `direct` only
    time_limit_s      approximate time for a picture (`direct`) or for the views of a scene (`light-field`), 0 for no
                      limit. The number of samples then depends on the machine
    denoise           use OpenImageDenoise, on every picture or view; the result is not ground truth
    stack             "direct" renders picture after picture; "light-field" makes all of them from the same views
    noise             estimated display RMSE at which views end; `light-field` only
    """

    samples: int | None
    noise_threshold: float | None = None
    time_limit_s: float = 0.0
    denoise: bool = False
    stack: StackMethod = "direct"
    noise: float | None = None

    @property
    def pixel(self) -> Pixel:
        """The pixel filter of the pictures."""
        return "box" if self.stack == "direct" else "box+tent"

    def describe(self) -> dict[str, Any]:
        ends = {"samples": self.samples, "noise_threshold": self.noise_threshold}
        if self.stack == "light-field":
            ends = {"stack": self.stack, "samples": self.samples, "noise": self.noise}
        return {**ends, "time_limit_s": self.time_limit_s, "denoised": self.denoise}


@dataclass(frozen=True)
class MadeBy:
    """Version of Blender, and name of the device on which it renders."""

    blender: str
    device: str


@dataclass(frozen=True)
class RenderJob:
    """Settings that all scenes of a dataset share.

    blur_radii_px   largest blur radius of each blur level
    focus_count     number of focus distances
    layers          number of depth layers, 0 for none
    keep_views      side of the square grid of views that is written, 0 for none
    view_samples    per pixel of each of these views, an even number
    focus           where the focus distances of a scene lie
    """

    root: Path
    width: int
    height: int
    blur_radii_px: tuple[float, ...]
    focus_count: int
    aperture: Aperture
    sampling: Sampling
    device: str
    layers: int
    seed: int
    keep_views: int = 0
    view_samples: int = 16
    focus: FocusRule = FocusRule()

    @property
    def pictures(self) -> int:
        """Number of pictures of one scene."""
        return 1 + len(self.blur_radii_px) * self.focus_count + self.layers

    def describe(self) -> dict[str, Any]:
        """Everything that pictures depend on except the scene and the machine, as plain values for dataset.yaml."""
        # Datasets without views were begun before there were any.
        views = {"keep_views": self.keep_views, "view_samples": self.view_samples} if self.keep_views else {}
        return {
            "seed": self.seed,
            "width": self.width,
            "height": self.height,
            "blur_radii_px": list(self.blur_radii_px),
            "focus_count": self.focus_count,
            "aperture": self.aperture.describe(),
            **self.sampling.describe(),
            "layers": self.layers,
            **views,
            **self.focus.describe(),
        }

    def lens_points(self) -> NestedLensPoints:
        """The lens points of a light field's views."""
        return nested_lens_points(self.aperture, self.blur_radii_px)

    def expected_views(self) -> int:
        """The number of views of a light field; with `noise`, the number that makes bright points filled disks."""
        return self.sampling.samples or self.lens_points().filling_views(max(self.blur_radii_px))
