"""Scales of the Val294 literature against the libraries that its public evaluations call."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from evaluation import metrics
from evaluation.scales import SCALES

DMSHN = SCALES["ebb-dmshn"]
HEIGHT, WIDTH = 40, 61


@pytest.fixture
def levels() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def display(levels: np.ndarray) -> np.ndarray:
    return levels.astype(np.float32) / np.float32(255)


def test_dmshn_gives_the_picture_as_pillow_resizes_it(levels):
    given = DMSHN.given(display(levels))
    resized = Image.fromarray(levels).resize((1536, 1024), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(np.rint(given * 255), np.asarray(resized))
    assert given.dtype == np.float32


def test_dmshn_compares_what_torch_brings_back_and_torchvision_saves(levels):
    rendered = np.random.default_rng(5).uniform(-0.1, 1.1, (1024, 1536, 3)).astype(np.float32)
    shown = torch.from_numpy(rendered.transpose(2, 0, 1))[None]
    back = torch.nn.functional.interpolate(shown, (HEIGHT, WIDTH), mode="bilinear")
    # The arithmetic of torchvision's save_image.
    saved = back.mul(255).add(0.5).clamp(0, 255).to(torch.uint8)[0].numpy().transpose(1, 2, 0)
    compared = DMSHN.finished(rendered, display(levels))
    off = np.rint(compared * 255).astype(int) - saved
    # A value on the border of two steps may be rounded to either: the two differ by some 1e-5 before.
    assert np.abs(off).max() <= 1 and (off != 0).mean() < 5e-3


def test_dmshn_scores_are_those_of_scikit_image_on_bytes(levels):
    truth = DMSHN.truth(display(levels))
    other = np.clip(levels.astype(int) + 9, 0, 255).astype(np.uint8)
    compared = DMSHN.finished(display(other), truth)
    psnr = metrics.psnr(compared, truth, data_range=1.0)
    assert psnr == pytest.approx(peak_signal_noise_ratio(levels, other), rel=1e-6)
    similarity = metrics.ssim_uniform7(compared, truth, data_range=1.0)
    assert similarity == pytest.approx(structural_similarity(levels, other, channel_axis=2), abs=1e-6)
    assert DMSHN.ssim == "ssim_uniform7"


def test_strict_changes_nothing(levels):
    strict, picture = SCALES["strict"], display(levels) * np.float32(1.3)
    truth = strict.truth(picture)
    assert strict.given(picture) is picture and truth is picture
    assert strict.finished(picture, truth) is picture
    assert strict.given_blur(WIDTH) == 1.0


def test_square1024_compares_squares_in_floating_point(levels):
    square = SCALES["square1024"]
    truth = square.truth(display(levels))
    given = square.given(display(levels))
    assert truth.shape == given.shape == (1024, 1024, 3)
    np.testing.assert_array_equal(truth, given)
    rendered = given + np.float32(0.1 / 255)
    assert square.finished(rendered, truth) is rendered


def test_a_disparity_goes_with_the_picture_and_gets_no_value_between_two_surfaces():
    disparity = np.where(np.arange(WIDTH) < 30, 0.2, 0.9).astype(np.float32)[None].repeat(HEIGHT, axis=0)
    given = DMSHN.given_disparity(disparity)
    assert given.shape == (1024, 1536) and set(np.unique(given)) == set(np.unique(disparity))
    assert DMSHN.given_blur(WIDTH) == 1536 / WIDTH
