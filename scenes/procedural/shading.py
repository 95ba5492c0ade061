"""Light on drawn shapes: relief from a matte, a key light with sky and bounce, and soft contact shadows."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.procedural.noise import Field
from scenes.procedural.sketch import overlap

# Shapes are inflated at this size. The relief is smooth, and large blurs are cheap.
_RELIEF_SIDE = 160


def key_light(*, rng: np.random.Generator) -> NDArray:
    """A unit vector towards the light: from above, left or right, somewhat in front."""
    side = rng.choice([-1.0, 1.0]) * rng.uniform(0.35, 0.8)
    light = np.array([side, -rng.uniform(0.5, 0.9), rng.uniform(0.45, 0.8)])
    return (light / np.linalg.norm(light)).astype(np.float32)


def inflated(alpha: Field, *, roundness: float = 1.0, smoothing: float = 0.03) -> Field:
    """Height in pixels of a body inflated from its matte: round near the edge, flat past `roundness` of the radius."""
    height, width = alpha.shape
    scale = min(1.0, _RELIEF_SIDE / max(height, width))
    rows, columns = max(3, round(height * scale)), max(3, round(width * scale))
    small = cv2.resize(alpha, (columns, rows), interpolation=cv2.INTER_AREA)
    solid = np.pad(small > 0.5, 1).astype(np.uint8)
    # Not DIST_MASK_PRECISE: its last bits depend on the number of threads.
    distance = cv2.distanceTransform(solid, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    radius = max(float(distance.max()) * roundness, 1.0)
    inward = np.clip(distance / radius, 0.0, 1.0)
    relief = radius * np.sqrt(np.maximum(1.0 - (1.0 - inward) ** 2, 0.0))
    relief = blurred(relief.astype(np.float32), smoothing * max(rows, columns))
    return cv2.resize(relief, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(height / rows)


def normals(relief: Field) -> tuple[Field, Field, Field]:
    """Unit normals (x right, y down, z to the viewer) of a height in pixels."""
    gx = cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=0.125)
    gy = cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=0.125)
    nz = 1.0 / np.sqrt(gx * gx + gy * gy + 1.0)
    return -gx * nz, -gy * nz, nz


def lit(
    colour: NDArray, normal: tuple[Field, Field, Field], light: NDArray, *, gloss: float = 0.0, sharpness: float = 40.0
) -> NDArray:
    """Linear light from a surface: key light, blue sky from above, warm bounce from below, and a highlight.

    colour      (h, w, 3) or (3,) linear albedo
    gloss       strength of the highlight (Blinn 1977), 0 matte
    sharpness   its exponent
    """
    nx, ny, nz = normal
    key = np.maximum(nx * light[0] + ny * light[1] + nz * light[2] + np.float32(0.12), 0.0) / np.float32(1.12)
    sky = np.float32(0.5) - np.float32(0.5) * ny
    light_rgb = (
        key[..., None] * np.array([1.0, 0.95, 0.86], np.float32)
        + sky[..., None] * np.array([0.22, 0.25, 0.30], np.float32)
        + (np.float32(1.0) - sky)[..., None] * np.array([0.13, 0.11, 0.09], np.float32)
    )
    shaded = light_rgb * colour
    if gloss > 0.0:
        half = light + np.array([0.0, 0.0, 1.0], np.float32)
        half /= np.linalg.norm(half)
        facing = np.maximum(nx * half[0] + ny * half[1] + nz * half[2], 0.0)
        shaded += (np.float32(gloss) * facing ** np.float32(sharpness))[..., None]
    return shaded


def blurred(field: NDArray, sigma: float) -> NDArray:
    """Gaussian blur. Wide blurs work on a smaller copy, so that the cost does not grow with the width."""
    if sigma < 0.2:
        return field
    factor = 2 ** max(0, math.floor(math.log2(max(sigma / 4.0, 1.0))))
    if factor == 1:
        return cv2.GaussianBlur(field, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    height, width = field.shape[:2]
    small = cv2.resize(field, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def cast_shadow(image: NDArray, alpha: Field, left: int, top: int, *, softness: float, strength: float) -> None:
    """Darken a linear RGB image in place under a matte laid at (left, top), blurred by `softness` pixels."""
    pad = math.ceil(2.5 * softness)
    grown = np.pad(alpha, pad)
    window, shade = overlap(image, np.clip(blurred(grown, softness), 0.0, 1.0), left - pad, top - pad)
    light = 1.0 - np.float32(strength) * shade
    for channel in range(3):
        window[..., channel] *= light
