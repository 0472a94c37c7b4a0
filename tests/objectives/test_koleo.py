"""KoLeo against DINOv2's numbers and its formula in loops."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from ownlatent.objectives import koleo


def formula(features: np.ndarray) -> float:
    x = [row / math.sqrt(sum(v * v for v in row)) for row in features]
    total = 0.0
    for i, a in enumerate(x):
        near = min(math.dist(a, b) for j, b in enumerate(x) if j != i)
        total -= math.log(near)
    return total / len(x)


def test_loss_and_gradients_are_the_official_codes(agrees: Callable) -> None:
    agrees("koleo", koleo)


def test_value_is_the_log_distance_to_the_nearest_other() -> None:
    x = np.random.default_rng(3).normal(size=(9, 4))
    assert koleo(torch.from_numpy(x)).item() == pytest.approx(formula(x), rel=1e-6)  # the epsilons


def test_gradient_reaches_both_of_a_pair() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(koleo, (x,))


def test_equal_vectors_have_a_finite_cost_and_gradient() -> None:
    x = torch.ones(4, 16, dtype=torch.float64, requires_grad=True)
    loss = koleo(x)
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-8 * math.sqrt(16) + 1e-8), rel=1e-9)
    assert x.grad is not None and x.grad.isfinite().all()
