"""The bokeh stack: which lens settings a scene is traced with."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from scenes.aperture import Aperture, Disk, cat_eye_of
from scenes.color import REFERENCE_GAMMA
from scenes.lens import ThinLens
from scenes.mounted_lens import MountedLens
from scenes.thick_lens import ThickLens

Pixel = Literal["point", "box", "box+tent"]

# The tracer's. Pictures of views that were shifted by parts of a pixel have the third.
TRACED_PIXELS: tuple[Pixel, ...] = ("point", "box")


@dataclass(frozen=True)
class Stack:
    """Lens settings of one scene: every blur parameter x every focus disparity x every gamma.

    blur_parameters     K, pixels per unit of disparity, >= 0; indexed by KK in file names
    focus_disparities   d_f; indexed by FF in file names
    gammas              powers of linear = display ** gamma, each > 0; files of the reference gamma carry no suffix
    aperture            one shape for the whole stack
    pixel               "point": all rays go through the pixel's centre; "box": rays are averaged over the pixel's area;
                        "box+tent": the averages over areas are averaged again by a tent, two pixels wide
    mounts              real lenses that the pictures are made through, one for each blur parameter, which is their
                        paraxial one; () for thin lenses
    inv_m_per_unit      what a disparity of 1 is in 1/m, for real lenses
    input_blur_index    KK of the pictures that stand in for the all-in-focus one, as in pairs of photographs, the
                        others being their truths; None for the all-in-focus picture
    dual_pixel          there are two more pictures of every setting, through the left and the right half of the
                        aperture (`scenes.dual_pixel`); thin lenses with one stop only
    """

    blur_parameters: tuple[float, ...]
    focus_disparities: tuple[float, ...]
    gammas: tuple[float, ...] = (REFERENCE_GAMMA,)
    aperture: Aperture = field(default_factory=Disk)
    pixel: Pixel = "point"
    mounts: tuple[MountedLens, ...] = ()
    inv_m_per_unit: float = 1.0
    input_blur_index: int | None = None
    dual_pixel: bool = False

    def __post_init__(self):
        if self.dual_pixel and (self.mounts or cat_eye_of(self.aperture) > 0.0):
            raise ValueError("dual_pixel is True; only thin lenses with one stop have halves, without cat_eye")

    def lens(self, blur_index: int, focus_index: int) -> ThinLens:
        """The lens of file names with KK = blur_index and FF = focus_index."""
        return ThinLens(self.blur_parameters[blur_index], self.focus_disparities[focus_index], self.aperture)

    def traced_lens(self, blur_index: int, focus_index: int, width_px: int, height_px: int) -> ThinLens | ThickLens:
        """What the picture is traced through: the lens itself, or the real one of the same paraxial blur.

        raises   ValueError for a real lens that cannot take the picture
        """
        lens = self.lens(blur_index, focus_index)
        if not self.mounts:
            return lens
        return self.mounts[blur_index].in_camera(lens, self.inv_m_per_unit, width_px, height_px)

    def lenses(self) -> Iterator[tuple[int, int, ThinLens]]:
        """(KK, FF, lens) of every setting, blur outermost."""
        for k in range(len(self.blur_parameters)):
            for f in range(len(self.focus_disparities)):
                yield k, f, self.lens(k, f)
