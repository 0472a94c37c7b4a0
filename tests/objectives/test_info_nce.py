"""InfoNCE against the official MoCo and MoCo v3 code's numbers and its formula in float64."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ownlatent.objectives import info_nce


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def formula(candidates: list[list[np.ndarray]], query: np.ndarray, temperature: float) -> float:
    """Each query's own key stands first among its candidates."""
    losses = []
    for q, keys in zip(unit(query), candidates, strict=True):
        terms = [math.exp(sum(q * k) / temperature) for k in keys]
        losses.append(-math.log(terms[0] / sum(terms)))
    return sum(losses) / len(losses)


def test_loss_and_gradients_are_the_official_codes(agrees: Callable) -> None:
    def loss(
        query: Tensor, key: Tensor, temperature: float, negatives: Tensor | None = None
    ) -> Tensor:
        queue = None if negatives is None else F.normalize(negatives, dim=1)
        return info_nce(query, key, temperature, queue)

    agrees("info_nce", loss)


def test_value_with_a_queue_is_equation_1() -> None:
    rng = np.random.default_rng(5)
    q, k, queue = (
        rng.normal(size=(4, 6)),
        2 * rng.normal(size=(4, 6)),
        unit(rng.normal(size=(9, 6))),
    )
    expected = formula([[key, *queue] for key in unit(k)], q, 0.2)
    loss = info_nce(*map(torch.from_numpy, (q, k)), 0.2, torch.from_numpy(queue))
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_value_in_batch_takes_the_other_keys() -> None:
    rng = np.random.default_rng(6)
    q, k = rng.normal(size=(5, 6)), 2 * rng.normal(size=(5, 6))
    keys = unit(k)
    expected = formula([[keys[i], *np.delete(keys, i, 0)] for i in range(5)], q, 0.3)
    loss = info_nce(torch.from_numpy(q), torch.from_numpy(k), 0.3)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_the_queue_is_not_normalised_again() -> None:
    q, k = torch.eye(2, 3).double(), torch.eye(2, 3).double()
    loss = info_nce(q, k, 1.0, 2 * torch.eye(3)[:1].double())
    expected = (math.log(1 + math.exp(2 - 1)) + math.log(1 + math.exp(0 - 1))) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("queued", [True, False])
def test_only_the_query_has_a_gradient(queued: bool) -> None:
    torch.manual_seed(0)
    q, k, queue = (torch.randn(n, 5, dtype=torch.float64, requires_grad=True) for n in (3, 3, 7))
    negatives = queue if queued else None
    info_nce(q, k, 0.2, negatives).backward()
    assert k.grad is None and queue.grad is None
    assert torch.autograd.gradcheck(lambda x: info_nce(x, k.detach(), 0.2, negatives), (q,))


def test_constant_vectors_give_the_log_of_the_candidates() -> None:
    z = torch.full((8, 16), 0.7)
    assert info_nce(z, z, 0.2).item() == pytest.approx(math.log(8), rel=1e-6)
    queue = F.normalize(z[:5], dim=1)
    assert info_nce(z, z, 0.2, queue).item() == pytest.approx(math.log(6), rel=1e-6)
