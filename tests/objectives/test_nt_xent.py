"""NT-Xent against lightly's numbers and SimCLR's equation 1 in float64."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from ownlatent.objectives import nt_xent


def formula(a: np.ndarray, b: np.ndarray, temperature: float) -> float:
    z = np.concatenate([a, b])
    n = len(a)

    def similarity(i: int, k: int) -> float:
        return float(z[i] @ z[k] / np.linalg.norm(z[i]) / np.linalg.norm(z[k]) / temperature)

    total = 0.0
    for i in range(2 * n):
        positive = (i + n) % (2 * n)
        denominator = sum(math.exp(similarity(i, k)) for k in range(2 * n) if k != i)
        total -= math.log(math.exp(similarity(i, positive)) / denominator)
    return total / (2 * n)


def test_loss_and_gradients_are_lightlys(agrees: Callable) -> None:
    agrees("nt_xent", nt_xent)


@pytest.mark.parametrize(("n", "d", "temperature"), [(6, 10, 0.1), (3, 33, 0.5), (2, 4, 1.0)])
def test_value_is_equation_1_over_all_anchors(n: int, d: int, temperature: float) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(n, d)), 3 * rng.normal(size=(n, d))
    loss = nt_xent(torch.from_numpy(a), torch.from_numpy(b), temperature)
    assert loss.item() == pytest.approx(formula(a, b, temperature), rel=1e-12)


def test_views_may_be_swapped() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(6, 5).double(), torch.randn(6, 5).double()
    assert nt_xent(a, b, 0.2).item() == pytest.approx(nt_xent(b, a, 0.2).item(), rel=1e-14)


def test_gradient_flows_through_both_views() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 3, 4, dtype=torch.float64).unbind()
    pair = (a.clone().requires_grad_(), b.clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.3), pair)


def test_one_image_has_no_negatives_and_a_loss_of_zero() -> None:
    a = torch.randn(1, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    b = torch.ones(1, 4, requires_grad=True)
    loss = nt_xent(a, b, 0.1)
    loss.backward()
    assert loss.item() == 0
    assert a.grad is not None and (a.grad == 0).all()
    assert b.grad is not None and (b.grad == 0).all()


def test_an_anchor_is_masked_however_small_the_temperature() -> None:
    # a mask of -1e9 would lie above an off-diagonal logit of -1 / 1e-10
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    assert nt_xent(x, -x, 1e-10).item() == 0


def test_constant_vectors_give_the_log_of_the_candidates() -> None:
    z = torch.full((8, 16), 0.7)
    assert nt_xent(z, z, 0.5).item() == pytest.approx(math.log(15), rel=1e-6)
