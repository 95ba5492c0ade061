"""RVR (Zhang et al. 2019): far to near C <- C (1 - k*M) + k*(M I) over disjoint slices; the result is C itself.

    M_i = 1(S_i <= S < S_i + 1),     S_i as in `renderers.classical.sterefo`

Where several blurred masks meet, their accumulated weight N stays below 1 and the picture darkens. RVR-dagger of the
BokehMe comparison (Peng et al. 2022, section 4.2) divides by N. Disjoint masks are our reading: neither paper says.
"""

import numpy as np
from numpy.typing import NDArray

from renderers.classical.composite import Composite
from renderers.classical.sterefo import hard_disks, slice_defocus_px
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.lens import Lens


def rvr(linear: Picture, disparity: Plane, lens: Lens, *, arch: Backend = "cpu") -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32, dark where slices meet."""
    return _composite(linear, disparity, lens, arch).accumulated[..., :3]


def rvr_normalized(linear: Picture, disparity: Plane, lens: Lens, *, arch: Backend = "cpu") -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32."""
    return _composite(linear, disparity, lens, arch).normalized()


def _composite(linear: Picture, disparity: Plane, lens: Lens, arch: Backend) -> Composite:
    defocus_px = lens.defocus_px(disparity)
    slices = slice_defocus_px(defocus_px)
    composite = Composite(linear, hard_disks(slices, lens.aperture), arch)
    slice_index = np.floor(defocus_px - slices[0]).clip(0, len(slices) - 1)
    for i in range(len(slices)):
        composite.add(i, (slice_index == i).astype(np.float32))
    return composite
