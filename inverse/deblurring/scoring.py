"""DPDD's protocol (Abuolaim and Brown 2020), as IFAN is measured: pictures clipped to [0, 1] and not quantised.

PSNR is the mean over pictures of the PSNR of each; SSIM has uniform windows of 7 x 7 px, scikit-image's default, and a
data range of 1; LPIPS is AlexNet's, version 0.1.
"""

import math

import numpy as np

from evaluation import metrics
from evaluation.lpips import SIDE_MIN, Lpips
from scenes.arrays import Picture

# Whether more is better.
METRICS = {"psnr": True, "ssim": True, "lpips": False}

Scores = dict[str, float | None]


def scores(shown: Picture, sharp: Picture, lpips: Lpips | None) -> Scores:
    """Of METRICS, for pictures of one size; None for the PSNR of equal ones, and for LPIPS that is not available."""
    shown, sharp = np.clip(shown, 0.0, 1.0), np.clip(sharp, 0.0, 1.0)
    psnr = metrics.psnr(shown, sharp, data_range=1.0)
    measures = lpips is not None and min(sharp.shape[:2]) >= SIDE_MIN
    return {
        "psnr": psnr if math.isfinite(psnr) else None,
        "ssim": metrics.ssim_uniform7(shown, sharp, data_range=1.0),
        "lpips": lpips(shown, sharp) if measures and lpips is not None else None,
    }
