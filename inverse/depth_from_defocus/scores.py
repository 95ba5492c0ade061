"""How far an estimated disparity is from the true one, and the picture rendered by it from the blurred one."""

from collections.abc import Mapping

import numpy as np

from evaluation import metrics
from inverse.depth_from_defocus.fit import Fit
from inverse.depth_from_defocus.problem import Pair
from scenes.arrays import Plane

# Absolute relative errors and ratios are of disparities raised to this part of their range: infinity has none.
_FLOOR = 0.1


def scores(pair: Pair, fit: Fit, true: Plane) -> Mapping[str, float]:
    """abs_rel, depth_rmse and delta (below 1.25) of disparity; rmse, ssim and psnr of the picture.

    abs_rel and delta are those of Eigen et al. 2014, |d - d*| / d* and max(d / d*, d* / d) < 1.25: the ratio of two
    depths is that of their disparities. Both are at least a tenth of the range. depth_rmse is of disparity normalized
    to the range. Pictures are compared in display values clipped to [0, 1].
    """
    estimate, truth = (pair.normalized(d) for d in (fit.disparity, true))
    above = [np.maximum(d, _FLOOR) for d in (estimate, truth)]
    rendered, blurred = (np.clip(p, 0.0, 1.0).astype(np.float32) for p in (fit.rendered, pair.blurred))
    return {
        "abs_rel": float(np.mean(np.abs(above[0] - above[1]) / above[1])),
        "depth_rmse": metrics.rmse(estimate, truth),
        "delta": float(np.mean(np.maximum(above[0] / above[1], above[1] / above[0]) < 1.25)),
        "rmse": metrics.rmse(rendered, blurred),
        "ssim": metrics.ssim(rendered, blurred, data_range=1.0),
        "psnr": metrics.psnr(rendered, blurred, data_range=1.0),
    }
