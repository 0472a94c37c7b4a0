"""VICReg's loss against the official code's numbers and its formula in float64."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from ownlatent.objectives import vicreg


def formula(a: np.ndarray, b: np.ndarray, weights: tuple[float, float, float]) -> float:
    n, d = a.shape
    invariance = sum((a[i, j] - b[i, j]) ** 2 for i in range(n) for j in range(d)) / (n * d)
    variance = covariance = 0.0
    for z in (a, b):
        mean = z.sum(axis=0) / n
        for i in range(d):
            for j in range(d):
                c = sum((z[s, i] - mean[i]) * (z[s, j] - mean[j]) for s in range(n)) / (n - 1)
                if i == j:
                    variance += max(0.0, 1 - math.sqrt(c + 1e-4)) / d / 2
                else:
                    covariance += c * c / d
    return weights[0] * invariance + weights[1] * variance + weights[2] * covariance


def test_loss_and_gradients_are_the_official_codes(agrees: Callable) -> None:
    agrees("vicreg", vicreg)


@pytest.mark.parametrize(
    "weights", [(25.0, 25.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
)
def test_each_term_is_its_formula(weights: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(8)
    a, b = 0.7 * rng.normal(size=(7, 5)), 1 + rng.normal(size=(7, 5))
    loss = vicreg(torch.from_numpy(a), torch.from_numpy(b), *weights)
    assert loss.item() == pytest.approx(formula(a, b, weights), rel=1e-12)


def test_default_weights_are_the_papers() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 6, 4).unbind()
    assert vicreg(a, b).item() == vicreg(a, b, 25, 25, 1).item()


def test_gradient_flows_through_both_views() -> None:
    torch.manual_seed(1)
    a, b = (torch.randn(5, 3, dtype=torch.float64).mul(0.5).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(vicreg, (a, b))


def test_constant_vectors_pay_the_hinge_and_keep_a_finite_gradient() -> None:
    # the square root of a variance of 0 has no gradient without the 1e-4 beneath it
    z = torch.full((8, 16), 0.7, requires_grad=True)
    loss = vicreg(z, z)
    loss.backward()
    assert loss.item() == pytest.approx(25 * (1 - 0.01), rel=1e-5)
    assert z.grad is not None and z.grad.isfinite().all()
