"""The BYOL paper's InfoNCE (equation 6) in float64: BYOL and its contrastive part."""

import math

import numpy as np
import pytest
import torch

from ownlatent.objectives import byol, byol_contrast, nt_xent


def info_nce(
    q: np.ndarray, other: np.ndarray, same: np.ndarray, alpha: float, beta: float
) -> float:
    """Equation 6 as printed, to be maximised."""
    n = len(q)

    def s(u: np.ndarray, v: np.ndarray) -> float:
        return float(u @ v / np.linalg.norm(u) / np.linalg.norm(v))

    positive = sum(s(q[i], other[i]) for i in range(n))
    negative = sum(
        math.log(
            sum(math.exp(s(q[i], same[j]) / alpha) for j in range(n) if j != i)
            + sum(math.exp(s(q[i], other[j]) / alpha) for j in range(n))
        )
        for i in range(n)
    )
    return 2 / n * positive - beta * 2 * alpha / n * negative


@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 1.0), (0.3, 0.5), (1.0, 0.1), (0.01, 1.0)])
@pytest.mark.parametrize(("n", "d"), [(6, 8), (3, 40)])
def test_with_byol_it_is_two_minus_the_papers_loss(
    n: int, d: int, alpha: float, beta: float
) -> None:
    rng = np.random.default_rng(n)
    arrays = [scale * rng.normal(size=(n, d)) for scale in (1, 2, 0.5)]
    q, other, same = map(torch.from_numpy, arrays)
    loss = byol(q, other) + beta * byol_contrast(q, other, same, alpha)
    assert loss.item() == pytest.approx(2 - info_nce(*arrays, alpha, beta), rel=1e-12)


def test_without_predictor_and_target_it_is_simclrs_scaled_by_two_alpha() -> None:
    # appendix F.5; values only, as the targets are detached here
    torch.manual_seed(0)
    a, b = torch.randn(2, 5, 7, dtype=torch.float64).unbind()
    views = [byol(x, y) - 2 + byol_contrast(x, y, x, 0.2) for x, y in ((a, b), (b, a))]
    assert (sum(views) / 2).item() == pytest.approx(2 * 0.2 * nt_xent(a, b, 0.2).item(), rel=1e-12)


def test_only_the_prediction_has_a_gradient() -> None:
    torch.manual_seed(0)
    q, other, same = (torch.randn(4, 5, dtype=torch.float64, requires_grad=True) for _ in range(3))
    byol_contrast(q, other, same, 0.3).backward()
    assert other.grad is None and same.grad is None
    fixed = other.detach(), same.detach()
    assert torch.autograd.gradcheck(lambda x: byol_contrast(x, *fixed, 0.3), (q,))


def test_one_image_is_its_own_positive() -> None:
    q = torch.tensor([[3.0, 4.0]], requires_grad=True)
    other = torch.tensor([[1.0, 0.0]])
    loss = byol_contrast(q, other, torch.ones(1, 2), 0.1)
    loss.backward()
    assert loss.item() == pytest.approx(2 * 0.6, rel=1e-6)  # cancels BYOL's -2 cos
    assert q.grad is not None and q.grad.isfinite().all()


def test_constant_vectors_give_the_log_of_the_candidates() -> None:
    z = torch.full((8, 16), 0.7)
    expected = 2 * 0.1 * (math.log(15) + 1 / 0.1)
    assert byol_contrast(z, z, z, 0.1).item() == pytest.approx(expected, rel=1e-6)
