"""Barlow Twins' loss against the official code's numbers and equation 1 in float64."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ownlatent.errors import UsageError
from ownlatent.objectives import barlow_twins


def terms(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The sums over the diagonal and the rest of the cross-correlation."""
    n, d = a.shape
    a = (a - a.mean(0)) / np.sqrt(((a - a.mean(0)) ** 2).mean(0) + 1e-5)
    b = (b - b.mean(0)) / np.sqrt(((b - b.mean(0)) ** 2).mean(0) + 1e-5)
    diagonal = rest = 0.0
    for i in range(d):
        for j in range(d):
            c = sum(a[s, i] * b[s, j] for s in range(n)) / n
            if i == j:
                diagonal += (1 - c) ** 2
            else:
                rest += c**2
    return diagonal, rest


def pair(n: int = 9, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    a = 2 + rng.normal(size=(n, d))
    return a, a + 0.5 * rng.normal(size=(n, d))


def test_loss_and_gradients_are_the_official_codes(agrees: Callable) -> None:
    agrees("barlow_twins", barlow_twins)


@pytest.mark.parametrize("weight", [0.0051, 0.1, 1, 0.0])
def test_value_is_equation_1(weight: float) -> None:
    a, b = pair()
    diagonal, rest = terms(a, b)
    loss = barlow_twins(torch.from_numpy(a), torch.from_numpy(b), weight)
    assert loss.item() == pytest.approx(diagonal + weight * rest, rel=1e-10)


def test_default_is_the_official_weight() -> None:
    a, b = map(torch.from_numpy, pair())
    assert barlow_twins(a, b).item() == barlow_twins(a, b, 0.0051).item()


def test_mean_weighs_both_terms_as_means() -> None:
    a, b = pair()
    diagonal, rest = terms(a, b)
    loss = barlow_twins(torch.from_numpy(a), torch.from_numpy(b), "mean").item()
    assert loss == pytest.approx(6 * (diagonal / 6 + rest / 30), rel=1e-10)
    assert np.isfinite(barlow_twins(torch.randn(4, 1), torch.randn(4, 1), "mean").item())


def test_at_zero_the_matrix_is_not_made() -> None:
    # 200,000 x 200,000 would be 160 GB
    z = torch.randn(4, 200_000, generator=torch.Generator().manual_seed(0))
    assert barlow_twins(z, z, 0.0).item() == pytest.approx(0, abs=1e-2)
    assert barlow_twins(z, -z, 0).item() == pytest.approx(4 * 200_000, rel=1e-2)


def test_gradient_flows_through_both_views() -> None:
    a, b = (torch.from_numpy(x).requires_grad_() for x in pair(5, 3))
    assert torch.autograd.gradcheck(lambda a, b: barlow_twins(a, b, 0.5), (a, b))


def test_scale_and_offset_of_a_dimension_do_not_matter() -> None:
    a, b = map(torch.from_numpy, pair())
    assert barlow_twins(100 * a + 7, b).item() == pytest.approx(barlow_twins(a, b).item(), rel=1e-4)


def test_constant_vectors_cost_one_a_dimension() -> None:
    z = torch.full((8, 16), 0.7)
    assert barlow_twins(z, z).item() == pytest.approx(16, rel=1e-4)


def test_an_unknown_word_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match='a number or "mean"'):
        barlow_twins(torch.randn(4, 3), torch.randn(4, 3), "sum")  # type: ignore[arg-type]
