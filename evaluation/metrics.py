"""Image metrics, as `methods` of the field define them: pure functions of a prediction and the truth.

Both are (H, W, C) float32 or float64 of one shape and type, finite. They are compared as given: bring them into the
space you mean (the benchmark: display-referred, clipped to [0, 1]) and pass its range where a metric needs it.
RMSE, RMSE-s, PSNR and ZNCC take any other shape as well, such as the (n, C) pixels of a region.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

_GAUSSIAN_SIZE, _GAUSSIAN_SIGMA = 11, 1.5
_UNIFORM_SIZE = 7

# Pixels along each side whose windows would leave the picture.
SSIM_BORDER = _GAUSSIAN_SIZE // 2
SSIM_UNIFORM7_BORDER = _UNIFORM_SIZE // 2


def rmse(prediction: NDArray, truth: NDArray) -> float:
    """Root mean square error over all pixels and channels."""
    return _norm(prediction, truth) / math.sqrt(prediction.size)


def rmse_s(prediction: NDArray, truth: NDArray) -> float:
    """Scale-invariant RMSE (Sun et al. 2019): min over s of RMSE(s p, g), at s = sum(p g) / sum(p^2).

    One scale for all channels. A black prediction has no scale: its RMSE.
    """
    energy = _dot(prediction, prediction)
    if energy == 0.0:
        return rmse(prediction, truth)
    # The error is flat at its minimum, so that rounding s to the type of the picture does not show.
    scale = prediction.dtype.type(_dot(prediction, truth) / energy)
    return rmse(scale * prediction, truth)


def psnr(prediction: NDArray, truth: NDArray, *, data_range: float) -> float:
    """20 log10(data_range / RMSE) in dB; infinite for equal pictures."""
    error = rmse(prediction, truth)
    return 20.0 * math.log10(data_range / error) if error > 0.0 else math.inf


def zncc(prediction: NDArray, truth: NDArray) -> float:
    """Zero-mean normalized cross-correlation in [-1, 1], all channels pooled: Pearson's correlation.

    1 for any gain > 0 and offset between the two. A constant picture has no correlation: 1 if both are equal, else 0.
    """
    p = prediction - prediction.dtype.type(prediction.mean(dtype=np.float64))
    g = truth - truth.dtype.type(truth.mean(dtype=np.float64))
    deviations = _norm(p) * _norm(g)
    if deviations == 0.0:
        return float(np.array_equal(prediction, truth))
    return _dot(p, g) / deviations


def ssim(prediction: NDArray, truth: NDArray, *, data_range: float) -> float:
    """Structural similarity (Wang et al. 2004): the mean of `ssim_map`."""
    return float(ssim_map(prediction, truth, data_range=data_range).mean(dtype=np.float64))


def ssim_map(prediction: NDArray, truth: NDArray, *, data_range: float) -> NDArray:
    """SSIM in Gaussian windows of 11 x 11, sigma 1.5, per channel: (H - 10, W - 10, C), whole windows only.

    C1 = (0.01 data_range)^2, C2 = (0.03 data_range)^2, variances of the population. At least 11 pixels each way.
    """
    weights = cv2.getGaussianKernel(_GAUSSIAN_SIZE, _GAUSSIAN_SIGMA, cv2.CV_64F)
    return _similarity(prediction, truth, weights, 1.0, data_range)


def ssim_uniform7(prediction: NDArray, truth: NDArray, *, data_range: float) -> float:
    """SSIM in uniform windows of 7 x 7 with variances of the sample, as scikit-image computes it unasked.

    The Val294 evaluations of DMSHN and its successors report this one.
    """
    weights = np.full(_UNIFORM_SIZE, 1.0 / _UNIFORM_SIZE)
    unbiased = _UNIFORM_SIZE**2 / (_UNIFORM_SIZE**2 - 1)
    return float(_similarity(prediction, truth, weights, unbiased, data_range).mean(dtype=np.float64))


def _similarity(p: NDArray, g: NDArray, weights: NDArray, unbiased: float, data_range: float) -> NDArray:
    """((2 mp mg + C1)(2 spg + C2)) / ((mp^2 + mg^2 + C1)(sp^2 + sg^2 + C2)) over the windows inside the picture.

    With 2 spg = sp^2 + sg^2 - var(p - g) both factors become 1 - (a small fraction) for similar pictures, so that
    float32 loses nothing where it matters: the mean stays within 1e-7 of float64, and equal pictures give exactly 1.
    """
    border = len(weights) // 2
    height, width = p.shape[:2]
    if min(height, width) < len(weights):
        raise ValueError(f"SSIM needs at least {len(weights)} pixels each way; the picture is {p.shape}")

    def local_mean(values: NDArray) -> NDArray:
        mean = cv2.sepFilter2D(values, -1, weights, weights)
        return mean.reshape(p.shape)[border : height - border, border : width - border]

    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    # Variances do not depend on the origin; half the range keeps their cancellation small.
    half = p.dtype.type(data_range / 2.0)
    p, g = p - half, g - half
    difference = p - g
    mean_p, mean_difference = local_mean(p), local_mean(difference)
    mean_g = mean_p - mean_difference
    variances = local_mean(p * p + g * g) - (mean_p * mean_p + mean_g * mean_g)
    variance_of_difference = local_mean(difference * difference) - mean_difference * mean_difference
    luminance = mean_difference**2 / ((mean_p + half) ** 2 + (mean_g + half) ** 2 + c1)
    structure = unbiased * variance_of_difference / (unbiased * variances + c2)
    return (1.0 - luminance) * (1.0 - structure)


def _norm(a: NDArray, b: NDArray | None = None) -> float:
    """Euclidean norm of a, or of a - b; OpenCV sums float32 in double precision."""
    a = np.ascontiguousarray(a).reshape(-1)
    return cv2.norm(a) if b is None else cv2.norm(a, np.ascontiguousarray(b).reshape(-1))


def _dot(a: NDArray, b: NDArray) -> float:
    """Sum of a b, in double precision: (|a|^2 + |b|^2 - |a - b|^2) / 2."""
    return (_norm(a) ** 2 + _norm(b) ** 2 - _norm(a, b) ** 2) / 2.0
