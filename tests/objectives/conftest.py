"""Compare a loss with a reference implementation's numbers, kept in golden/."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

Loss = Callable[..., Tensor]


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        (Path(__file__).parent / "golden" / f"{name}.json").read_text()
    )["cases"]
    return found


def inputs(case: dict[str, Any], dtype: torch.dtype) -> dict[str, Tensor]:
    rng = np.random.default_rng(case["seed"])
    return {
        name: torch.tensor(rng.standard_normal(shape), dtype=dtype)
        for name, shape in case["shapes"].items()
    }


@pytest.fixture
def codes_cases() -> list[tuple[dict[str, Any], Tensor]]:
    return [(case, inputs(case, torch.float64)["scores"].tanh()) for case in cases("sinkhorn")]


@pytest.fixture(params=[(torch.float64, 1e-9), (torch.float32, 1e-5)], ids=["float64", "float32"])
def agrees(request: pytest.FixtureRequest) -> Callable[[str, Loss], None]:
    """Check value and gradients of every case; inputs without a reference gradient get none."""
    dtype, tolerance = request.param

    def check(name: str, loss: Loss) -> None:
        for case in cases(name):
            x = {key: value.requires_grad_() for key, value in inputs(case, dtype).items()}
            value = loss(**x, **case["options"])
            assert value.item() == pytest.approx(case["value"], rel=tolerance)
            value.backward()
            for key, tensor in x.items():
                if key not in case["gradients"]:
                    assert tensor.grad is None, f"{key} is detached"
                    continue
                expected = case["gradients"][key]
                assert tensor.grad is not None
                assert tensor.grad.norm().item() == pytest.approx(expected["norm"], rel=tolerance)
                gradient = tensor.grad.flatten()
                for index, entry in expected["entries"]:
                    # an entry is a sum of terms as large as the largest
                    room = tolerance * gradient.abs().max().item()
                    assert gradient[index].item() == pytest.approx(entry, rel=tolerance, abs=room)

    return check


@pytest.fixture
def golden() -> Callable[[str], list[tuple[dict[str, Any], dict[str, Tensor]]]]:
    """Cases of a file with their inputs in float64, for what is more than one value."""
    return lambda name: [(case, inputs(case, torch.float64)) for case in cases(name)]
