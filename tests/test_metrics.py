"""Metrics are what their definitions say, and what independent libraries compute."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import pearsonr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from evaluation import metrics
from evaluation.scoring import score

# The double-precision path and a library's differ by the order of their sums only.
FLOAT64 = 1e-11
# Single precision in the pictures: the mean of 10^4 pixels stays far inside the digits of any table.
FLOAT32 = 1e-6


def pictures(
    seed: int, *, size: tuple[int, int] = (61, 83), noise: float = 0.05, dtype: type = np.float64
) -> tuple[NDArray[Any], NDArray[Any]]:
    """A smooth picture and a noisy, slightly darker version of it: (prediction, truth) in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / 10.0
    truth = np.stack([0.5 + 0.4 * np.sin(x + c) * np.cos(y * (1 + 0.1 * c)) for c in range(3)], axis=-1)
    prediction = np.clip(0.95 * truth + noise * rng.standard_normal(truth.shape), 0.0, 1.0)
    return prediction.astype(dtype), truth.astype(dtype)


PIXELWISE = {
    "rmse": metrics.rmse,
    "rmse_s": metrics.rmse_s,
    "zncc": metrics.zncc,
    "psnr": lambda p, g: metrics.psnr(p, g, data_range=1.0),
}
SIMILARITY = {
    "ssim": lambda p, g: metrics.ssim(p, g, data_range=1.0),
    "ssim_uniform7": lambda p, g: metrics.ssim_uniform7(p, g, data_range=1.0),
}


def test_rmse_and_psnr_are_those_of_numpy_and_scikit_image():
    p, g = pictures(0)
    assert metrics.rmse(p, g) == pytest.approx(float(np.sqrt(np.mean((p - g) ** 2))), rel=FLOAT64)
    for data_range in (1.0, 255.0):
        library = peak_signal_noise_ratio(g, p, data_range=data_range)
        assert metrics.psnr(p, g, data_range=data_range) == pytest.approx(library, rel=FLOAT64)


def test_rmse_s_is_the_smallest_over_a_scan_of_scales():
    p, g = pictures(1)
    scan = [float(np.sqrt(np.mean((s * p - g) ** 2))) for s in np.linspace(0.9, 1.2, 30001)]
    # The scan's step of 1e-5 leaves an error of its square, as the curve is flat at its minimum.
    assert metrics.rmse_s(p, g) == pytest.approx(min(scan), abs=1e-8)
    assert metrics.rmse_s(p, g) < metrics.rmse(p, g)


def test_zncc_is_pearsons_correlation():
    p, g = pictures(2)
    assert metrics.zncc(p, g) == pytest.approx(pearsonr(p.ravel(), g.ravel())[0], rel=FLOAT64)
    assert metrics.zncc(p, g) == pytest.approx(np.corrcoef(p.ravel(), g.ravel())[0, 1], rel=FLOAT64)


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_ssim_is_wangs_as_scikit_image_computes_it(data_range):
    p, g = (data_range * picture for picture in pictures(3))
    library = structural_similarity(
        g, p, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=data_range, channel_axis=-1
    )
    assert metrics.ssim(p, g, data_range=data_range) == pytest.approx(library, rel=FLOAT64)


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_uniform_ssim_is_scikit_images_default(data_range):
    p, g = (data_range * picture for picture in pictures(4))
    library = structural_similarity(g, p, data_range=data_range, channel_axis=-1)
    assert metrics.ssim_uniform7(p, g, data_range=data_range) == pytest.approx(library, rel=FLOAT64)


def test_metrics_are_those_of_torchmetrics():
    torch = pytest.importorskip("torch")
    image = pytest.importorskip("torchmetrics.functional.image")
    p, g = pictures(5)
    tensor_p, tensor_g = (torch.from_numpy(a).permute(2, 0, 1)[None] for a in (p, g))
    psnr = image.peak_signal_noise_ratio(tensor_p, tensor_g, data_range=1.0)
    assert metrics.psnr(p, g, data_range=1.0) == pytest.approx(float(psnr), rel=1e-6)
    # It pads by reflection and keeps the border: whole windows are the inner part of its map.
    _, full = image.structural_similarity_index_measure(
        tensor_p, tensor_g, data_range=1.0, sigma=1.5, return_full_image=True
    )
    b = metrics.SSIM_BORDER
    inner = full[..., b:-b, b:-b].mean()
    # Its Gaussian weights are rounded to single precision.
    assert metrics.ssim(p, g, data_range=1.0) == pytest.approx(float(inner), abs=1e-6)


@pytest.mark.parametrize("name", [*PIXELWISE, *SIMILARITY])
@pytest.mark.parametrize("noise", [1e-3, 0.05])
def test_single_precision_loses_nothing_that_a_table_shows(name, noise):
    metric = {**PIXELWISE, **SIMILARITY}[name]
    p, g = pictures(6, noise=noise, dtype=np.float32)
    exact = metric(p.astype(np.float64), g.astype(np.float64))
    assert metric(p, g) == pytest.approx(exact, abs=FLOAT32, rel=FLOAT32)


def test_equal_pictures_score_perfectly():
    p, _ = pictures(7, dtype=np.float32)
    assert metrics.rmse(p, p) == 0.0
    assert metrics.rmse_s(p, p) < 1e-9  # the scale is 1 to the last digit or the one before
    assert metrics.psnr(p, p, data_range=1.0) == math.inf
    assert metrics.ssim(p, p, data_range=1.0) == 1.0
    assert metrics.ssim_uniform7(p, p, data_range=1.0) == 1.0
    assert metrics.zncc(p, p) == pytest.approx(1.0, abs=1e-12)


def test_known_differences_have_known_scores():
    _, g = pictures(8)
    assert metrics.rmse(g + 0.1, g) == pytest.approx(0.1, rel=1e-12)
    assert metrics.psnr(g + 0.1, g, data_range=1.0) == pytest.approx(20.0, abs=1e-9)
    # The correlation does not see gain and offset, RMSE-s does not see gain.
    assert metrics.zncc(0.5 * g + 0.1, g) == pytest.approx(1.0, abs=1e-12)
    assert metrics.zncc(1.0 - g, g) == pytest.approx(-1.0, abs=1e-12)
    assert metrics.rmse_s(0.5 * g, g) == pytest.approx(0.0, abs=1e-9)


def test_constant_pictures_have_a_score_too():
    _, g = pictures(9)
    grey = np.full_like(g, 0.5)
    assert metrics.zncc(grey, grey) == 1.0
    assert metrics.zncc(grey, g) == 0.0
    assert metrics.rmse_s(np.zeros_like(g), g) == pytest.approx(float(np.sqrt(np.mean(g**2))), rel=FLOAT64)


def test_ssim_of_a_picture_smaller_than_its_window_is_refused():
    p, g = pictures(10, size=(10, 40))
    with pytest.raises(ValueError, match="at least 11 pixels"):
        metrics.ssim(p, g, data_range=1.0)
    assert metrics.ssim_map(*pictures(10, size=(11, 40)), data_range=1.0).shape == (1, 30, 3)


def test_scores_of_a_region_are_those_of_its_pixels(executor):
    p, g = pictures(11, dtype=np.float32)
    mask = np.zeros(p.shape[:2], bool)
    mask[20:50, 10:60] = True
    scores, regions = score(p, g, {"part": mask, "none": mask & False}, lpips=None, pool=executor)
    assert scores["rmse"] == metrics.rmse(p, g)
    assert scores["lpips"] is None
    part = regions["part"]
    assert part["share"] == mask.mean()
    assert part["rmse"] == pytest.approx(
        float(np.sqrt(np.mean(np.square(p[mask] - g[mask], dtype=np.float64)))), rel=1e-9
    )
    assert part["psnr"] == metrics.psnr(p[mask], g[mask], data_range=1.0)
    # The mask is inside the border, so every one of its windows counts.
    inside = metrics.ssim_map(p, g, data_range=1.0).mean(axis=2)[15:45, 5:55]
    assert part["ssim"] == pytest.approx(float(inside.mean(dtype=np.float64)), rel=1e-6)
    nothing = dict.fromkeys(("rmse", "rmse_s", "psnr", "zncc", "ssim", "lpips"))
    assert regions["none"] == {"share": 0.0, **nothing}


def test_scores_clip_both_pictures_as_a_screen_does(executor):
    p, g = pictures(12, dtype=np.float32)
    g[:10] = 0.0
    p[:10] = -3.0
    g[-10:] = 7.0
    p[-10:] = 2.0
    scores, _ = score(p, g, {}, lpips=None, pool=executor)
    clipped, _ = score(p.clip(0, 1), g.clip(0, 1), {}, lpips=None, pool=executor)
    assert scores == clipped
    assert scores["rmse"] != metrics.rmse(p, g)


def test_a_picture_of_another_size_is_refused(executor):
    p, g = pictures(13)
    with pytest.raises(ValueError, match="the truth"):
        score(p[:-1], g, {}, lpips=None, pool=executor)


@pytest.fixture
def executor():
    with ThreadPoolExecutor(2) as pool:
        yield pool
