"""The forms of benchmarks/tutorial.py against the text's equations, in numpy."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ownlatent.methods import METHODS
from ownlatent.views.recipe import RECIPES

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def tutorial(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The script; what it registers is taken out again."""
    methods, recipes = dict(METHODS), dict(RECIPES)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("tutorial", BENCHMARKS / "tutorial.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "tutorial", module)
    spec.loader.exec_module(module)
    yield module
    for table, before in ((METHODS, methods), (RECIPES, recipes)):
        table.clear()
        table.update(before)


class Flat(nn.Module):
    num_features = 12

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def test_losses_are_the_equations(tutorial: Any) -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 5, 7))
    delta = a - b
    d = (delta**2).mean(1)  # D = (1/d) sum Delta^2
    expected = {
        "tutorial-half-square": np.mean(d**2 / 2),
        "tutorial-distance": np.mean(np.sqrt((delta**2).sum(1))),
        "tutorial-mse": np.mean(delta**2),
    }
    for name, value in expected.items():
        method = METHODS[name](Flat())  # type: ignore[call-arg]
        loss = method.loss(torch.from_numpy(a), torch.from_numpy(b))
        assert loss.item() == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("inputs", ["batch", "layer", "instance", "none"])
def test_the_pair_is_the_normalised_input_and_its_noisy_copy(tutorial: Any, inputs: str) -> None:
    x = 3 + 2 * torch.randn(6, 3, 2, 2)
    over = {"batch": (0, 2, 3), "layer": (1, 2, 3), "instance": (2, 3)}.get(inputs)
    phi = (
        x
        if over is None
        else (x - x.mean(over, keepdim=True))
        / (x.var(over, correction=0, keepdim=True) + 1e-5).sqrt()
    )
    method = tutorial.CodeMSE(Flat(), dim=4, inputs=inputs, alpha=0.5)
    torch.manual_seed(1)
    loss = method([x, x]).loss
    torch.manual_seed(1)
    omega = torch.randn(x.shape)
    f = method.online.projector
    expected = (f(phi.flatten(1)) - f((phi + 0.5 * omega).flatten(1))).square().mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()  # both branches: a bias cancels in the difference, a weight does not
    assert f.bias.grad.abs().max() < 1e-6 and f.weight.grad.abs().max() > 1e-3


def test_a_constant_is_at_the_minimum(tutorial: Any) -> None:
    """What theory says of all three: nothing is lost by giving every image the same output."""
    for name in tutorial.FORMS:
        if name == "tutorial-cosine":
            continue
        method = METHODS[name](Flat())  # type: ignore[call-arg]
        nn.init.zeros_(method.online.projector.weight)
        assert method([torch.randn(4, 3, 2, 2)] * 2).loss.item() == 0
