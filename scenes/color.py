"""Transfer between display values and linear light, and between straight and premultiplied alpha.

The transfer is the pure power law of the bokeh papers, `linear = display ** gamma`. It is a rendering control, not the
response of a camera: gamma 2.2 is the reference, and training data use 1 to 5 (BokehMe, section 3.3).
"""

import numpy as np
from numpy.typing import NDArray

from scenes.arrays import single

REFERENCE_GAMMA = 2.2

# The largest finite half float. No stored value exceeds it. As a distance it means infinity, as BLB's sky has it.
HALF_MAX = 65504.0


def linear_from_display(display, gamma: float = REFERENCE_GAMMA):
    """Linear light of display values: any shape, >= 0, not clipped above 1."""
    return display**gamma


def display_from_linear(linear, gamma: float = REFERENCE_GAMMA):
    """Display values of linear light: any shape, >= 0, not clipped above 1."""
    return linear ** (1.0 / gamma)


def regraded(display, gamma: float, other: float):
    """Display values at `gamma` as those of the same light at another gamma: any shape, >= 0."""
    return display if gamma == other else display ** (gamma / other)


def storable_light(display: NDArray) -> NDArray[np.float32]:
    """Linear light of display values at the reference gamma, cut at the largest half float, as layers store it."""
    return np.minimum(linear_from_display(display), np.float32(HALF_MAX))


def byte_levels(values: NDArray) -> NDArray[np.uint8]:
    """Values of any shape, clipped to [0, 1], as levels from 0 to 255."""
    return np.rint(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)


def premultiplied(rgba_straight: NDArray) -> NDArray[np.float32]:
    """Premultiplied RGBA, (..., 4) float32, of (..., 4) straight RGBA in linear light."""
    rgba = single(rgba_straight)
    # Channel by channel: NumPy is several times slower where it stretches one channel over three.
    for channel in range(3):
        rgba[..., channel] *= rgba[..., 3]
    return rgba


def display_rmse(linear_a: NDArray, linear_b: NDArray, gamma: float = REFERENCE_GAMMA) -> float:
    """Root mean square difference of two linear images as displayed: clipped to [0, 1], then ** (1 / gamma)."""
    difference = np.clip(linear_a, 0.0, 1.0) ** (1.0 / gamma) - np.clip(linear_b, 0.0, 1.0) ** (1.0 / gamma)
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))
