"""RVR (Zhang et al. 2019): far to near C <- C (1 - k*M) + k*(M I) over disjoint slices; the result is C itself.

    M_i = 1(S_i <= S < S_i + 1),     S_i as in `renderers.sterefo`

Where several blurred masks meet, their accumulated weight N stays below 1 and the picture darkens. RVR-dagger of the
BokehMe comparison (Peng et al. 2022, section 4.2) divides by N. Disjoint masks are our reading: neither paper says.
"""

import numpy as np
from numpy.typing import NDArray

from renderers.slices import Composite
from renderers.sterefo import hard_disks, slice_defocus_px
from scenes.lens import ThinLens, signed_defocus_px


def rvr(linear: NDArray[np.float32], disparity: NDArray[np.float32], lens: ThinLens) -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32, dark where slices meet."""
    return _composite(linear, disparity, lens).accumulated[..., :3]


def rvr_normalised(linear: NDArray[np.float32], disparity: NDArray[np.float32], lens: ThinLens) -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32."""
    return _composite(linear, disparity, lens).normalised()


def _composite(linear: NDArray[np.float32], disparity: NDArray[np.float32], lens: ThinLens) -> Composite:
    defocus_px = signed_defocus_px(disparity, lens.blur_parameter, lens.focus_disparity)
    slices = slice_defocus_px(defocus_px)
    composite = Composite(linear, hard_disks(slices, lens.aperture))
    slice_index = np.floor(defocus_px - slices[0]).clip(0, len(slices) - 1)
    for i in range(len(slices)):
        composite.add(i, (slice_index == i).astype(np.float32))
    return composite
