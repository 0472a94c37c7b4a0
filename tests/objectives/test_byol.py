"""BYOL's loss against its formula (equation 2) in float64, and METHODS.md §12.6."""

import numpy as np
import pytest
import torch

from ownlatent.objectives import byol


def formula(prediction: np.ndarray, target: np.ndarray) -> float:
    q = prediction / np.linalg.norm(prediction, axis=1, keepdims=True)
    z = target / np.linalg.norm(target, axis=1, keepdims=True)
    return float(np.mean(np.sum((q - z) ** 2, axis=1)))


def test_value_is_the_squared_distance_of_normalised_vectors() -> None:
    generator = np.random.default_rng(0)
    q, z = generator.normal(size=(8, 256)), 5 * generator.normal(size=(8, 256))
    loss = byol(torch.from_numpy(q), torch.from_numpy(z))
    assert loss.item() == pytest.approx(formula(q, z), rel=1e-12)


@pytest.mark.parametrize(("target", "value"), [(1.0, 0.0), (-1.0, 4.0)])
def test_scale_is_two_minus_two_cosines(target: float, value: float) -> None:
    x = torch.eye(3, 256)
    assert byol(7 * x, target * x).item() == pytest.approx(value, abs=1e-6)
    assert byol(x, x.roll(1, dims=1)).item() == pytest.approx(2.0, abs=1e-6)


def test_gradient_is_the_formulas_and_none_reaches_the_target() -> None:
    torch.manual_seed(0)
    q = torch.randn(6, 16, dtype=torch.float64, requires_grad=True)
    z = torch.randn(6, 16, dtype=torch.float64, requires_grad=True)
    byol(q, z).backward()
    with torch.no_grad():
        n, t = q / q.norm(dim=1, keepdim=True), z / z.norm(dim=1, keepdim=True)
        # d(2 - 2 cos)/dq = -2 (t - n cos) / |q|, and a mean over 6 samples
        cos = (n * t).sum(1, keepdim=True)
        expected = -2 * (t - n * cos) / q.norm(dim=1, keepdim=True) / 6
    torch.testing.assert_close(q.grad, expected, rtol=1e-12, atol=1e-14)
    assert z.grad is None


def test_low_precision_inputs_are_compared_in_float32() -> None:
    torch.manual_seed(0)
    q, z = torch.randn(64, 256), torch.randn(64, 256)
    loss = byol(q.bfloat16(), z.bfloat16())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(byol(q.bfloat16().double(), z.bfloat16().double()).item())


def test_zero_vectors_give_a_finite_loss_and_gradient() -> None:
    q = torch.zeros(4, 8, requires_grad=True)
    byol(q, torch.ones(4, 8)).backward()
    assert q.grad is not None and q.grad.isfinite().all()
