"""How far an estimated disparity is from the true one, and the picture rendered by it from the blurred one."""

from collections.abc import Mapping

import numpy as np

from evaluation import metrics
from inverse.depth_from_defocus.fit import Fit
from inverse.depth_from_defocus.problem import Pair
from scenes.arrays import Plane

# Depths are compared up to that of this part of the nearest disparity: infinity has none.
_FLOOR = 0.1
_ABOVE_ZERO = 1e-6


def scores(pair: Pair, fit: Fit, true: Plane) -> Mapping[str, float]:
    """abs_rel and delta (below 1.25) of depth, depth_rmse of disparity; rmse, ssim and psnr of the picture.

    With depths z = 1 / d, abs_rel is the mean of |z - z*| / z*, and delta the part of pixels with
    max(z / z*, z* / z) < 1.25 (Eigen et al. 2014). Disparities below a tenth of the nearest that may occur count as
    that. Their unit does not matter, and where they are 0 does: it is infinity. depth_rmse is of disparity normalized
    to the range of the pair. Pictures are compared in display values clipped to [0, 1].
    """
    least = max(_FLOOR * pair.nearest, _ABOVE_ZERO)
    estimate, truth = (np.maximum(d, least) for d in (fit.disparity, true))
    rendered, blurred = (np.clip(p, 0.0, 1.0).astype(np.float32) for p in (fit.rendered, pair.blurred))
    return {
        "abs_rel": float(np.mean(np.abs(truth / estimate - 1.0))),
        "depth_rmse": metrics.rmse(pair.normalized(fit.disparity), pair.normalized(true)),
        "delta": float(np.mean(np.maximum(estimate / truth, truth / estimate) < 1.25)),
        "rmse": metrics.rmse(rendered, blurred),
        "ssim": metrics.ssim(rendered, blurred, data_range=1.0),
        "psnr": metrics.psnr(rendered, blurred, data_range=1.0),
    }
