"""The masked autoencoder's error against its formula in loops.

tests/networks/test_masked.py has the official code's numbers, for the whole network.
"""

import math

import numpy as np
import pytest
import torch

from ownlatent.objectives import mae


def formula(p: np.ndarray, x: np.ndarray, masked: np.ndarray, normalise: bool) -> float:
    errors = []
    for b, i in zip(*np.nonzero(masked), strict=True):
        patch = x[b, i]
        if normalise:
            mean = sum(patch) / len(patch)
            variance = sum((v - mean) ** 2 for v in patch) / (len(patch) - 1)
            patch = (patch - mean) / math.sqrt(variance + 1e-6)
        errors.append(sum((a - v) ** 2 for a, v in zip(p[b, i], patch, strict=True)) / len(patch))
    return sum(errors) / len(errors)


@pytest.mark.parametrize("normalise", [True, False])
def test_value_is_the_mean_over_masked_patches(normalise: bool) -> None:
    rng = np.random.default_rng(4)
    p, x, masked = rng.normal(size=(3, 7, 5)), rng.normal(size=(3, 7, 5)), rng.random((3, 7)) < 0.6
    loss = mae(*map(torch.from_numpy, (p, x, masked)), normalise)
    assert loss.item() == pytest.approx(formula(p, x, masked, normalise), rel=1e-12)


def test_only_masked_predictions_have_a_gradient() -> None:
    torch.manual_seed(0)
    p, x = torch.randn(2, 2, 6, 4, dtype=torch.float64).unbind()
    masked = torch.rand(2, 6) < 0.5
    p.requires_grad_()
    x.requires_grad_()
    mae(p, x, masked).backward()
    assert p.grad is not None and x.grad is None
    assert torch.equal(p.grad.abs().sum(-1) > 0, masked)


def test_a_flat_patch_is_finite() -> None:
    p = torch.zeros(1, 2, 4, requires_grad=True)
    assert mae(p, torch.full((1, 2, 4), 0.5), torch.ones(1, 2, dtype=torch.bool)).item() == 0.0
