"""What the networks train on: beside the picture and its truth, what the classical half of BokehMe makes of them."""

import math

import numpy as np
from numpy.typing import NDArray

from bokehdata.torch_data import Crop
from renderers.neural.bokehme.dilated_defocus import dilated_defocus_px
from renderers.neural.bokehme.error_map import improved_error_map
from renderers.neural.bokehme.inference import classical_half, without_highlights


def bokehme_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """image, truth, classical (display values), excess (linear light), defocus_px, dilated_px, error_map.

    As at inference, the classical picture and both defocuses come from the disparity that is given; the truth and the
    error map come from the true one. The image is not clipped; the classical picture is that of the image clipped at
    white, and `excess` the scatter of the light above. The truth is clipped, as it is shown and compared.
    """
    lens = crop.lens
    defocus_px = np.asarray(lens.defocus_px(crop.disparity_given), np.float32)
    base, excess = without_highlights(crop.image, crop.disparity_given, lens, crop.gamma)
    return {
        "image": crop.image,
        "truth": np.clip(crop.truth, 0.0, 1.0),
        "classical": classical_half(base, crop.disparity_given, lens, crop.gamma),
        "excess": np.zeros_like(base) if excess is None else excess,
        "defocus_px": defocus_px,
        "dilated_px": dilated_defocus_px(defocus_px),
        "error_map": improved_error_map(crop.disparity, lens),
    }


def margin_for(blur_radius_max_px: float) -> int:
    """Margin of a crop in which its planes are what they are in the whole picture.

    The scatter reaches floor(r) + 1 pixels, and an edge that the crop's error map sees lies as far and is told from a
    slope by the pixel beyond it.
    """
    return math.ceil(blur_radius_max_px) + 3
