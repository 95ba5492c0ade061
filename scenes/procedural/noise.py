"""Random fields with the statistics of natural surfaces: power falling as 1/f^slope, down to the pixel.

All fields are float32 with zero mean and about unit variance. They are drawn from coarse to fine, so that the same
generator state gives the same large features at every resolution.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray

# Side of the periodic lattice of `noise_at`: large enough to hide the repetition, small enough for the cache.
_LATTICE = 128


def fractal(
    height: int, width: int, *, rng: np.random.Generator, slope: float = 2.0, cells: float = 4.0, stretch: float = 1.0
) -> Field:
    """A (height, width) field whose power falls as 1/f^slope.

    cells     features of the coarsest octave along the longer side
    stretch   how many times longer features are along x than along y (below 1: along y)
    """
    longer = max(height, width)
    octaves = max(1, math.ceil(math.log2(max(longer / cells, 1.0)))) + 1
    # An octave at frequency f spreads its variance over an area f^2 of the spectrum.
    gain = 2.0 ** ((2.0 - slope) / 2.0)
    along_x, along_y = max(stretch, 1.0), max(1.0 / stretch, 1.0)
    field = np.zeros((1, 1), np.float32)
    for k in range(octaves):
        scale = cells * 2.0**k / longer
        rows = min(height, max(2, math.ceil(height * scale / along_y)))
        columns = min(width, max(2, math.ceil(width * scale / along_x)))
        field = cv2.resize(field, (columns, rows), interpolation=cv2.INTER_CUBIC)
        field += rng.standard_normal((rows, columns), np.float32) * np.float32(gain**k)
    if field.shape != (height, width):
        field = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
    return standardized(field)


def fractal_curve(n: int, *, rng: np.random.Generator, slope: float = 2.6, cells: float = 4.0) -> Field:
    """A curve of n samples, zero mean and unit variance, with power 1/f^slope: skylines, ridges, wavering stems."""
    octaves = max(1, math.ceil(math.log2(max(n / cells, 1.0)))) + 1
    x = np.linspace(0.0, 1.0, n)
    curve = np.zeros(n)
    for k in range(octaves):
        knots = rng.standard_normal(math.ceil(cells * 2**k) + 1)
        curve += np.interp(x, np.linspace(0.0, 1.0, len(knots)), knots) * 2.0 ** (k * (1.0 - slope) / 2.0)
    return standardized(curve)


def noise_at(
    u: Field, v: Field, footprint: Field | float, *, rng: np.random.Generator, octaves: int = 6, gain: float = 1.0
) -> Field:
    """Noise at arbitrary coordinates, one feature per unit in its coarsest octave.

    gain        amplitude of an octave relative to the one before: 1 is power 1/f^2, less is smoother
    footprint   size of a pixel in units of u and v; finer octaves fade out instead of aliasing
    """
    lattice = rng.standard_normal((_LATTICE, _LATTICE), np.float32)
    # One more row and column let bilinear lookups wrap around.
    lattice = np.pad(lattice, ((0, 1), (0, 1)), mode="wrap")
    total = np.zeros_like(u)
    for k in range(octaves):
        shift = rng.uniform(0.0, _LATTICE, 2)
        x, y = (_wrapped(c * np.float32(2.0**k) + np.float32(s)) for c, s in zip((u, v), shift, strict=True))
        octave = cv2.remap(lattice, x, y, cv2.INTER_LINEAR)
        octave *= np.clip(2.0 - 2.0**k * 2.0 * np.asarray(footprint, np.float32), 0.0, 1.0)
        octave *= np.float32(gain**k)
        total += octave
    # Bilinear lookups remove about half of the lattice's variance.
    return total * np.float32(1.5 / math.sqrt(sum(gain ** (2 * k) for k in range(octaves))))


def _wrapped(x: Field) -> Field:
    """x modulo the lattice, several times faster than np.mod."""
    x -= np.floor(x * np.float32(1.0 / _LATTICE)) * np.float32(_LATTICE)
    return x


def standardized(field: NDArray) -> Field:
    """The field with zero mean and unit variance, as float32."""
    field = field - np.float32(field.mean(dtype=np.float64))
    return (field / np.float32(max(field.std(dtype=np.float64), 1e-6))).astype(np.float32, copy=False)


def smoothstep(low: float | np.floating, high: float | np.floating, x: Field) -> Field:
    """The cubic that rises from 0 at `low` to 1 at `high`. It falls if `low` > `high`."""
    t = np.clip((x - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
