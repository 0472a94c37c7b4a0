"""The solver reaches scikit-learn's minimum, at every strength."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from ownlatent.evaluation import logistic

STRENGTHS = (1.0, 1e-6, 1e-2, 100.0, 1e-4)  # in no order, and far apart


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    x = (x[:900] - x[:900].mean(0)) / np.maximum(x[:900].std(0), 1e-3)
    return torch.from_numpy(x).float(), torch.from_numpy(y[:900])


def objective(x, targets, weight, bias, strength):
    """The definition, in float64."""
    logits = x.double() @ weight.double() + bias.double()
    loss = torch.nn.functional.cross_entropy(logits, targets)
    return float(loss + strength / 2 * weight.double().square().sum())


def sklearn_fit(x, targets, strength, tol=1e-10):
    model = LogisticRegression(C=1 / (len(x) * strength), tol=tol, max_iter=20000)
    model.fit(x.double().numpy(), targets.numpy())
    return torch.from_numpy(model.coef_.T), torch.from_numpy(model.intercept_)


def test_objective_of_sklearn(digits):
    x, targets = digits
    weights, biases = logistic.fit(x, targets, 10, STRENGTHS)
    assert weights.shape == (5, 64, 10) and biases.shape == (5, 10)
    for weight, bias, strength in zip(weights, biases, STRENGTHS, strict=True):
        ours = objective(x, targets, weight, bias, strength)
        reference = objective(x, targets, *sklearn_fit(x, targets, strength), strength)
        assert -1e-6 <= (ours - reference) / reference <= 1e-4


def test_solution_of_sklearn_when_solved_further(digits):
    x, targets = digits[0].double(), digits[1]
    weights, biases = logistic.fit(x, targets, 10, (1e-3, 0.1), tolerance=1e-12)
    for weight, bias, strength in zip(weights, biases, (1e-3, 0.1), strict=True):
        coefficients, intercepts = sklearn_fit(x, targets, strength, tol=1e-12)
        torch.testing.assert_close(weight, coefficients, rtol=0, atol=2e-4)
        torch.testing.assert_close(bias, intercepts, rtol=0, atol=2e-4)


def test_a_strength_does_not_feel_the_others(digits):
    x, targets = digits
    together = logistic.fit(x, targets, 10, (1.0, 1e-4, 1e-2, 100.0), tolerance=1e-9)[0]
    alone = logistic.fit(x, targets, 10, (1e-2,), tolerance=1e-9)[0]
    torch.testing.assert_close(together[2], alone[0], rtol=0, atol=1e-3)


def test_any_axes_give_the_same_minimum(digits):
    x, targets = digits
    rotation = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)))[0]
    other = logistic.Axes(rotation, torch.ones(64))
    own = logistic.fit(x, targets, 10, (1e-2,), tolerance=1e-9)[0]
    borrowed = logistic.fit(x, targets, 10, (1e-2,), axes=other, tolerance=1e-9)[0]
    torch.testing.assert_close(own, borrowed, rtol=0, atol=1e-3)


def test_principal_axes_undo_bad_conditioning():
    """Spectrum from 1 to 1e-6, strength beneath it: plain gradients would need thousands of steps.

    The cap of 60 steps turns slow convergence into the solver's warning, an error here.
    """
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(2000, 40, generator=generator)
    targets = (latent[:, :4] + 0.5 * torch.randn(2000, 4, generator=generator)).argmax(1)
    spread = torch.logspace(0, -3, 40)
    rotation = torch.linalg.qr(torch.randn(40, 40, generator=generator))[0]
    x = latent * spread @ rotation
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weight, bias = logistic.fit(x, targets, 4, (1e-5,), max_steps=60)
    reference = objective(x, targets, *sklearn_fit(x, targets, 1e-5), 1e-5)
    assert objective(x, targets, weight[0], bias[0], 1e-5) <= reference * (1 + 1e-4)


def test_axes_where_single_precision_does_not_converge(monkeypatch):
    """LAPACK gives up on some covariances of collapsed features, in float32 and not in float64."""
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    expected = logistic.principal_axes(x)
    eigh = torch.linalg.eigh

    def fails_in_single(matrix):
        if matrix.dtype == torch.float32:
            raise torch.linalg.LinAlgError("did not converge")
        return eigh(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", fails_in_single)
    axes = logistic.principal_axes(x)
    assert axes.vectors.dtype == axes.variances.dtype == torch.float32
    torch.testing.assert_close(axes.vectors.abs(), expected.vectors.abs(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(axes.variances, expected.variances, rtol=1e-4, atol=1e-6)


def test_stopping_short_is_said(digits):
    with pytest.warns(UserWarning, match=r"after 2 steps.*1e-06"):
        logistic.fit(*digits, 10, (1e-6,), max_steps=2)


def test_wider_than_long():
    """D > N: separable, with a null space."""
    generator = torch.Generator().manual_seed(0)
    x, targets = torch.randn(30, 200, generator=generator), torch.arange(30) % 3
    weight, bias = logistic.fit(x, targets, 3, (1e-2,))
    reference = objective(x, targets, *sklearn_fit(x, targets, 1e-2), 1e-2)
    assert objective(x, targets, weight[0], bias[0], 1e-2) <= reference * (1 + 1e-4)


def steps(monkeypatch, *calls):
    """How many steps all strengths of some fits take together."""
    taken, search = [], logistic.search
    with monkeypatch.context() as patch:
        patch.setattr(
            logistic, "search", lambda *a, **k: taken.append(len(a[0])) or search(*a, **k)
        )
        for call in calls:
            call()
    return sum(taken)


def test_a_start_changes_the_way_and_not_the_minimum(digits, monkeypatch):
    x, targets = digits
    weight, bias = logistic.fit(x[:700], targets[:700], 10, (1e-2,))
    start = weight[0], bias[0]
    cold = logistic.fit(x, targets, 10, (1e-2,), tolerance=1e-9)
    warm = logistic.fit(x, targets, 10, (1e-2,), tolerance=1e-9, start=start)
    torch.testing.assert_close(warm[0], cold[0], rtol=0, atol=1e-3)
    anew = steps(monkeypatch, lambda: logistic.fit(x, targets, 10, (1e-2,)))
    assert steps(monkeypatch, lambda: logistic.fit(x, targets, 10, (1e-2,), start=start)) < anew


def test_a_grid_is_solved_from_its_neighbours(digits, monkeypatch):
    """Twenty-five strengths within fewer steps than seven of them take from nothing."""
    x, targets = digits
    grid = torch.logspace(-5, 1, 25).tolist()
    anew = [lambda s=s: logistic.fit(x, targets, 10, [s]) for s in grid[::4]]
    together = steps(monkeypatch, lambda: logistic.fit(x, targets, 10, grid))
    assert together < steps(monkeypatch, *anew)


def test_search_survives_saturation():
    """A sample confidently wrong has no curvature there: bare Newton swings between 0 and 2e6."""
    flat = torch.zeros(1)
    step = logistic.search(*confidently_wrong(), linear=flat, quadratic=flat + 1e-6)
    s = step.double().requires_grad_()
    value = torch.nn.functional.softplus(20 - 2 * s) + 5e-7 * s * s
    value.backward()
    assert value < 20 and s.grad.abs() <= 0.2  # 20 and -2 at the start


def test_search_never_climbs():
    """Where no step was good enough in time, and where the direction goes uphill."""
    (logits, change, truth), flat = confidently_wrong(), torch.zeros(1)
    far = logistic.search(logits, change, truth, linear=flat, quadratic=flat + 1e-30)
    assert torch.nn.functional.softplus(20 - 2 * far) + 5e-31 * far**2 <= 20
    assert logistic.search(logits, -change, truth, linear=flat, quadratic=flat + 1) == 0


def confidently_wrong():
    """Logits and their change ``[1, 2, 1]`` of one sample of the second class."""
    logits, change = torch.tensor([[[10.0], [-10.0]]]), torch.tensor([[[-1.0], [1.0]]])
    return logits, change, torch.tensor([[0.0], [1.0]])


def test_bias_is_not_penalised():
    """With a huge strength only the bias is left, and it fits the class frequencies."""
    x, targets = torch.randn(100, 3), torch.arange(100) % 10 // 7  # 70 and 30
    weight, bias = logistic.fit(x - x.mean(0), targets, 2, (1e4,), tolerance=1e-10)
    assert weight.abs().max() < 1e-3
    torch.testing.assert_close(bias[0].softmax(0), torch.tensor([0.7, 0.3]), rtol=0, atol=1e-4)
