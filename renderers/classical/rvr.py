"""RVR (Zhang et al. 2019): far to near C <- C (1 - k*M) + k*(M I) over disjoint slices; the result is C itself.

    M_i = 1(S_i <= S < S_i + 1),     S_i as in `renderers.classical.sterefo`

Where several blurred masks meet, their accumulated weight N stays below 1 and the picture darkens. RVR-dagger of the
BokehMe comparison (Peng et al. 2022, section 4.2) divides by N. Neither paper says whether masks overlap and how far
slices are apart. Both are calibrated on how much better RVR-dagger is than RVR in Table 1 of that comparison.
"""

import numpy as np
from numpy.typing import NDArray

from renderers.classical.composite import Composite
from renderers.classical.sterefo import hard_disks, slice_defocus_px
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.lens import Lens

# Calibrated by `benchmarks/rvr_gap.py` (docs/results.md): masks that overlap by half give less than half of the
# published gap, disjoint ones four fifths. Finer slices are closer by less than 0.1 dB, coarser ones are not as close.
OVERLAPPING = False
SLICE_PX = 1.0


def rvr(linear: Picture, disparity: Plane, lens: Lens, *, arch: Backend = "cpu") -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32, dark where slices meet."""
    return sliced(linear, disparity, lens, arch).accumulated[..., :3]


def rvr_normalized(linear: Picture, disparity: Plane, lens: Lens, *, arch: Backend = "cpu") -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32."""
    return sliced(linear, disparity, lens, arch).normalized()


def sliced(
    linear: Picture,
    disparity: Plane,
    lens: Lens,
    arch: Backend = "cpu",
    *,
    overlapping: bool = OVERLAPPING,
    slice_px: float = SLICE_PX,
) -> Composite:
    """Colour C and weight N of all slices.

    overlapping   whether a pixel belongs to the slices on both of its sides, as in SteReFo, or to the farther one
    slice_px      distance of neighbouring slices, pixels of blur radius
    """
    defocus_px = lens.defocus_px(disparity)
    slices = slice_defocus_px(defocus_px, slice_px)
    composite = Composite(linear, hard_disks(slices, lens.aperture), arch)
    slice_index = np.floor((defocus_px - slices[0]) / slice_px).clip(0, len(slices) - 1)
    for i in range(len(slices)):
        members = np.abs(defocus_px - slices[i]) < slice_px if overlapping else slice_index == i
        composite.add(i, members.astype(np.float32))
    return composite
