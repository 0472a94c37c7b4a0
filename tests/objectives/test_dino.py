"""DINO's loss against the official code's numbers and its formula in float64."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ownlatent.objectives import dino


def softmax(row: np.ndarray) -> list[float]:
    terms = [math.exp(v) for v in row]
    return [t / sum(terms) for t in terms]


def formula(s: np.ndarray, t: np.ndarray, center: np.ndarray, ts: float, tt: float) -> float:
    total = 0.0
    for i in range(len(s)):
        p_t, p_s = softmax((t[i] - center) / tt), softmax(s[i] / ts)
        total -= sum(a * math.log(b) for a, b in zip(p_t, p_s, strict=True))
    return total / len(s)


def test_loss_and_gradients_are_the_official_codes(agrees: Callable) -> None:
    def loss(
        s1: Tensor, s2: Tensor, t1: Tensor, t2: Tensor, center: Tensor, **temperatures: Any
    ) -> Tensor:
        # each student crop learns from the teacher's other crop
        first, second = dino(s2, t1, center, **temperatures), dino(s1, t2, center, **temperatures)
        return (first + second) / 2

    agrees("dino", loss)


@pytest.mark.parametrize(("ts", "tt"), [(0.1, 0.04), (0.3, 0.2)])
def test_value_is_the_cross_entropy(ts: float, tt: float) -> None:
    rng = np.random.default_rng(7)
    s, t, center = rng.normal(size=(4, 9)), rng.normal(size=(4, 9)), rng.normal(size=9)
    expected = formula(s, t, center, ts, tt)
    tensors = [torch.from_numpy(x) for x in (s, t, center)]
    assert dino(*tensors, ts, tt).item() == pytest.approx(expected, rel=1e-12)
    # a schedule's temperatures are tensors, and the centre may keep its batch dimension
    tensors[2] = tensors[2][None]
    temperatures = (torch.tensor(ts).double(), torch.tensor(tt, dtype=torch.float64))
    assert dino(*tensors, *temperatures).item() == pytest.approx(expected, rel=1e-7)


def test_default_temperatures_are_the_official_ones() -> None:
    s, t = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0)).unbind()
    assert dino(s, t, torch.zeros(4)).item() == dino(s, t, torch.zeros(4), 0.1, 0.04).item()


def test_only_the_student_has_a_gradient() -> None:
    torch.manual_seed(0)
    s, t = (torch.randn(4, 6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    center = torch.randn(6, dtype=torch.float64, requires_grad=True)
    temperature = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    dino(s, t, center, 0.5, temperature).backward()
    assert t.grad is None and center.grad is None and temperature.grad is None
    assert torch.autograd.gradcheck(lambda x: dino(x, t.detach(), center.detach(), 0.5, 0.3), (s,))


def test_uniform_outputs_give_log_k() -> None:
    z = torch.full((4, 512), 0.3)
    assert dino(z, z, torch.zeros(512)).item() == pytest.approx(math.log(512), rel=1e-5)
