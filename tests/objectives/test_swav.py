"""SwAV's loss against the official code's numbers and equation 2 in float64."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ownlatent.objectives import sinkhorn, swav


def formula(scores: np.ndarray, codes: np.ndarray, temperature: float) -> float:
    total = 0.0
    for s, q in zip(scores, codes, strict=True):
        denominator = sum(math.exp(v / temperature) for v in s)
        total -= sum(
            c * math.log(math.exp(v / temperature) / denominator) for v, c in zip(s, q, strict=True)
        )
    return total / len(scores)


def test_loss_and_gradients_are_the_official_codes(agrees: Callable) -> None:
    def loss(a: Tensor, b: Tensor, temperature: float) -> Tensor:
        a, b = a.tanh(), b.tanh()
        return (swav(a, sinkhorn(b), temperature) + swav(b, sinkhorn(a), temperature)) / 2

    agrees("swav", loss)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_value_is_the_cross_entropy(temperature: float) -> None:
    rng = np.random.default_rng(2)
    scores, codes = rng.uniform(-1, 1, size=(5, 7)), rng.dirichlet(np.ones(7), size=5)
    loss = swav(torch.from_numpy(scores), torch.from_numpy(codes), temperature)
    assert loss.item() == pytest.approx(formula(scores, codes, temperature), rel=1e-12)


def test_default_temperature_is_the_official_one() -> None:
    scores, codes = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0)).unbind()
    assert swav(scores, codes).item() == swav(scores, codes, 0.1).item()


def test_gradient_stops_at_the_codes() -> None:
    torch.manual_seed(0)
    scores = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    codes = torch.rand(4, 6, dtype=torch.float64, requires_grad=True)
    swav(scores, codes).backward()
    assert codes.grad is None
    assert torch.autograd.gradcheck(lambda x: swav(x, codes.detach(), 0.5), (scores,))


def test_uniform_scores_give_log_k() -> None:
    scores = torch.full((6, 3000), 0.4)
    assert swav(scores, sinkhorn(scores)).item() == pytest.approx(math.log(3000), rel=1e-5)
