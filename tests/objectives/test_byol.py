"""BYOL's loss against its formulas (equation 2, appendix F.6) in float64, and METHODS.md §12.6."""

import numpy as np
import pytest
import torch

from ownlatent.errors import UsageError
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


def standardised(x: np.ndarray, normalise: str) -> np.ndarray:
    """n_BN and n_LN of appendix F.6, with the usual epsilon beneath the root."""
    if normalise == "none":
        return x
    out = np.empty_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            over = x[i] if normalise == "layer" else x[:, j]
            mean = sum(over) / len(over)
            variance = sum((v - mean) ** 2 for v in over) / len(over)
            out[i, j] = (x[i, j] - mean) / np.sqrt(variance + 1e-5) / np.sqrt(x.shape[1])
    return out


@pytest.mark.parametrize("normalise", ["layer", "batch", "none"])
def test_other_normalisations_are_the_ablations(normalise: str) -> None:
    generator = np.random.default_rng(1)
    q, z = 2 + generator.normal(size=(5, 12)), 3 * generator.normal(size=(5, 12))
    distance = standardised(q, normalise) - standardised(z, normalise)
    loss = byol(torch.from_numpy(q), torch.from_numpy(z), normalise)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(np.mean(np.sum(distance**2, axis=1)), rel=1e-10)


@pytest.mark.parametrize("normalise", ["l2", "layer", "batch", "none"])
def test_every_normalisation_stops_at_the_target_and_is_zero_on_agreement(normalise: str) -> None:
    torch.manual_seed(0)
    q = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    z = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    byol(q, z, normalise).backward()  # type: ignore[arg-type]
    assert z.grad is None
    fixed = z.detach()
    assert torch.autograd.gradcheck(lambda x: byol(x, fixed, normalise), (q,))  # type: ignore[arg-type]
    assert byol(fixed, fixed, normalise).item() == pytest.approx(0, abs=1e-12)  # type: ignore[arg-type]
    constant = torch.full((4, 6), 0.3)
    assert byol(constant, constant, normalise).item() == pytest.approx(0, abs=1e-6)  # type: ignore[arg-type]


def test_layer_normalised_vectors_have_length_one() -> None:
    # the scale of the paper's sqrt(d): opposite vectors are at 4, as with l2
    x = torch.randn(3, 256, generator=torch.Generator().manual_seed(0))
    assert byol(x, -x, "layer").item() == pytest.approx(4, rel=1e-4)


def test_an_unknown_normalisation_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match='"l2", "layer", "batch" or "none"'):
        byol(torch.ones(2, 3), torch.ones(2, 3), "l1")  # type: ignore[arg-type]
