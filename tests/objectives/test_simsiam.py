"""SimSiam's loss against the official code's numbers and its formula in float64."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ownlatent.objectives import byol, simsiam


def test_symmetrised_loss_and_gradients_are_the_official_codes(agrees: Callable) -> None:
    def loss(p1: Tensor, z2: Tensor, p2: Tensor, z1: Tensor) -> Tensor:
        return (simsiam(p1, z2) + simsiam(p2, z1)) / 2

    agrees("simsiam", loss)


def test_value_is_the_mean_negative_cosine() -> None:
    rng = np.random.default_rng(3)
    p, z = rng.normal(size=(7, 12)), 4 * rng.normal(size=(7, 12))
    cosines = [
        sum(p[i, k] * z[i, k] for k in range(12))
        / math.sqrt(sum(v * v for v in p[i]))
        / math.sqrt(sum(v * v for v in z[i]))
        for i in range(7)
    ]
    loss = simsiam(torch.from_numpy(p), torch.from_numpy(z)).item()
    assert loss == pytest.approx(-sum(cosines) / 7, rel=1e-12)
    assert 2 + 2 * loss == pytest.approx(byol(torch.from_numpy(p), torch.from_numpy(z)).item())


def test_gradient_stops_at_the_target() -> None:
    torch.manual_seed(0)
    p = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    z = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    simsiam(p, z).backward()
    assert z.grad is None
    assert torch.autograd.gradcheck(lambda x: simsiam(x, z.detach()), (p,))


def test_collapse_reaches_minus_one() -> None:
    z = torch.full((5, 8), 0.3)
    assert simsiam(z, z).item() == pytest.approx(-1, abs=1e-6)
