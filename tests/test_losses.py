"""The losses are the equations, and no input makes their gradients anything but finite."""

import math

import numpy as np
import pytest
import torch

from evaluation.metrics import ssim
from renderers.neural.bokehme.inference import fused
from training.losses import (
    dissimilarity,
    error_map_bce,
    error_map_entropy,
    fusion_loss,
    gradient_l1,
    picture_l1,
    where_it_counts,
)
from training.models.arnet import arnet_loss
from training.models.deepfocus import deepfocus_loss


@pytest.fixture
def pictures() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(2, 3, 5, 6, generator=generator, dtype=torch.float64) for _ in range(3)]


def numpy_l1(p: np.ndarray, t: np.ndarray) -> float:
    return float(np.abs(p - t).mean())


def numpy_gradient_l1(p: np.ndarray, t: np.ndarray) -> float:
    def along(axis):
        return numpy_l1(np.diff(p, axis=axis), np.diff(t, axis=axis))

    return along(2) + along(3)


def test_losses_are_their_equations(pictures):
    together, rendered, truth = pictures
    f, r, t = (x.numpy() for x in pictures)
    logit = torch.linspace(-3, 3, 60, dtype=torch.float64).reshape(2, 1, 5, 6)
    target = torch.linspace(0, 1, 60, dtype=torch.float64).reshape(2, 1, 5, 6)
    eq11 = numpy_l1(f, t) + numpy_gradient_l1(f, t) + numpy_l1(r, t) + numpy_gradient_l1(r, t)
    p, e = 1 / (1 + np.exp(-logit.numpy())), target.numpy()
    bce = -(e * np.log(p) + (1 - e) * np.log(1 - p)).mean()
    # float64 on both sides.
    assert float(fusion_loss(together, rendered, truth)) == pytest.approx(eq11, rel=1e-12)
    assert float(arnet_loss(together, rendered, truth, logit, target)) == pytest.approx(eq11 + 0.1 * bce, rel=1e-12)


def test_a_constant_offset_costs_its_size_and_has_no_gradient(pictures):
    truth = pictures[0]
    assert float(picture_l1(truth + 0.25, truth)) == pytest.approx(0.25, rel=1e-12)
    assert float(gradient_l1(truth + 0.25, truth)) == pytest.approx(0.0, abs=1e-15)


def test_the_error_map_can_do_no_better_than_its_entropy():
    target = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    entropy = error_map_entropy(target)
    assert float(error_map_bce(torch.logit(target), target)) == pytest.approx(float(entropy), rel=1e-12)
    for shift in (-0.1, 0.1):
        assert error_map_bce(torch.logit(target) + shift, target) > entropy
    assert float(error_map_entropy(torch.tensor([0.0, 1.0]))) == 0.0


def test_the_networks_picture_counts_where_the_scatter_is_wrong(pictures):
    rendered, truth = pictures[:2]
    error_map = torch.rand(rendered.shape[0], 1, *rendered.shape[2:], dtype=rendered.dtype)
    assert where_it_counts(rendered, truth, error_map, 1.0) is rendered
    judged = where_it_counts(rendered, truth, error_map, 0.25)
    expected = (rendered - truth) * error_map.clamp(min=0.25)
    torch.testing.assert_close(judged - truth, expected)


def test_dissimilarity_is_one_minus_the_metric():
    generator = torch.Generator().manual_seed(0)
    p, t = (torch.rand(1, 3, 24, 31, generator=generator, dtype=torch.float64) for _ in range(2))
    metric = ssim(p[0].permute(1, 2, 0).numpy(), t[0].permute(1, 2, 0).numpy(), data_range=1.0)
    assert float(dissimilarity(p, t)) == pytest.approx(1.0 - metric, rel=1e-9)
    assert float(dissimilarity(t, t)) == pytest.approx(0.0, abs=1e-12)


def test_deepfocus_loss_is_a_sum_of_logarithms(pictures):
    p, t = pictures[0], pictures[1]
    f, g = p.numpy(), t.numpy()
    along = [math.log10(numpy_l1(np.diff(f, axis=a), np.diff(g, axis=a))) for a in (2, 3)]
    # 1e-8 is added to each error so that equal pictures have a loss.
    assert float(deepfocus_loss(p, t)) == pytest.approx(math.log10(numpy_l1(f, g)) + sum(along) / 2, rel=1e-6)


def test_losses_agree_with_finite_differences(pictures):
    together, rendered, truth = pictures
    together.requires_grad_(), rendered.requires_grad_()
    logit = torch.linspace(-3, 3, 60, dtype=torch.float64).reshape(2, 1, 5, 6).requires_grad_()
    target = torch.rand(2, 1, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    # Random pictures meet no kink of an absolute value within the step of the check.
    assert torch.autograd.gradcheck(lambda f, r, e: arnet_loss(f, r, truth, e, target), (together, rendered, logit))
    assert torch.autograd.gradcheck(lambda p: deepfocus_loss(p, truth), (rendered,))
    seen, wanted = (torch.rand(1, 1, 12, 13, dtype=torch.float64) for _ in range(2))
    assert torch.autograd.gradcheck(lambda p: dissimilarity(p, wanted), (seen.requires_grad_(),))


@pytest.mark.parametrize("logit", [0.0, 100.0, -100.0, 1e4])
@pytest.mark.parametrize("value", [0.0, 1.0, 50.0])
def test_gradients_are_finite_where_everything_is_equal_or_saturated(logit, value):
    """At focus prediction, truth and scatter are one; a saturated error map meets targets of exactly 0 and 1."""
    rendered = torch.full((1, 3, 8, 8), value, requires_grad=True)
    logits = torch.full((1, 1, 8, 8), logit, requires_grad=True)
    truth = torch.full((1, 3, 8, 8), value)
    target = torch.cat([torch.zeros(1, 1, 8, 4), torch.ones(1, 1, 8, 4)], -1)
    together = fused(truth, rendered, torch.sigmoid(logits))
    loss = arnet_loss(together, rendered, truth, logits, target) + deepfocus_loss(rendered, truth)
    loss.backward()
    assert torch.isfinite(loss)
    for tensor in (rendered, logits):
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all()


def test_a_wrong_and_saturated_error_map_still_learns():
    logit = torch.tensor([60.0], requires_grad=True)
    error_map_bce(logit, torch.tensor([0.0])).backward()
    # sigmoid(60) - 0: its own derivative is 0 in float32, and would be the end of learning.
    assert logit.grad is not None and float(logit.grad) == pytest.approx(1.0, abs=1e-6)
