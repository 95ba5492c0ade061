"""Deblurring without a network: Wiener's filter (1949) for one disk over the whole picture.

It knows nothing of depth. What is in focus is sharpened too, and what is far out of focus stays blurred.
"""

import cv2
import numpy as np

from scenes.arrays import Picture
from scenes.color import display_from_linear, linear_from_display

# Radius of the disk as a part of the picture's longer side, and the power of noise as a part of that of the picture:
# the best of a grid on the scenes that `ifan-small` is trained on.
RADIUS, NOISE = 0.0015, 0.3


def wiener(blurred: Picture, radius: float = RADIUS, noise: float = NOISE) -> Picture:
    """A picture (H, W, 3) of display values, clipped to [0, 1] before and after; returns the same size.

    radius   of the disk, part of the longer side
    noise    power of noise over power of the picture, > 0
    """
    linear = linear_from_display(np.clip(blurred, 0.0, 1.0))
    height, width = linear.shape[:2]
    radius_px = max(radius * max(height, width), 0.5)
    # Mirrored beyond the frame, as far as the filter rings.
    border = min(int(np.ceil(8.0 * radius_px)), height - 1, width - 1)
    padded = cv2.copyMakeBorder(linear, border, border, border, border, cv2.BORDER_REFLECT_101)
    transfer = np.fft.rfft2(_disk(padded.shape[0], padded.shape[1], radius_px))
    inverse = np.conj(transfer) / (np.abs(transfer) ** 2 + noise)
    # The mean of the picture stays.
    inverse *= 1.0 + noise
    sharp = np.fft.irfft2(np.fft.rfft2(padded, axes=(0, 1)) * inverse[..., None], s=padded.shape[:2], axes=(0, 1))
    inner = sharp[border : border + height, border : border + width]
    return display_from_linear(np.clip(inner, 0.0, 1.0).astype(np.float32))


def _disk(height: int, width: int, radius_px: float) -> np.ndarray:
    """A disk around pixel (0, 0) of a picture that repeats, its edge a pixel wide: (H, W), its sum is 1."""
    y, x = (np.minimum(np.arange(side), side - np.arange(side)) for side in (height, width))
    disk = np.clip(radius_px + 0.5 - np.hypot(y[:, None], x[None]), 0.0, 1.0)
    return disk / disk.sum()
