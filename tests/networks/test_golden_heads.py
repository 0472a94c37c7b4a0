"""Every method's heads are those of the official code: layers at full size, numbers of small ones.

The fixture holds only facts and numbers, each with the file and the commit they came from.
"""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ownlatent.methods import METHODS, Method, preset
from ownlatent.networks import Direction, WeightNorm

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "golden" / "heads.json").read_text()
)["cases"]
RUN = [case for case in CASES if "small" in case]


def label(case: dict[str, Any]) -> str:
    return f"{case['method']} {case['preset']} {case['part']}"


class Backbone(nn.Module):
    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


def build(case: dict[str, Any], inputs: int, **options: Any) -> Method:
    recipe: Any = preset(case["method"], case["preset"]).options
    make: Any = METHODS[case["method"]]
    method: Method = make(Backbone(inputs), **recipe | options)
    return method


def head(method: Any, part: str) -> nn.Sequential:
    if part == "scores":  # SwAV's head, and the prototypes that its directions are compared with
        return nn.Sequential(method.online.projector, Direction(), method.prototypes)
    found: nn.Sequential = method.predictor if part == "predictor" else method.online.projector
    return found


def leaves(part: nn.Module) -> list[Any]:
    """Layers in order; that a vector is brought to length 1 shows in the numbers."""
    found = [m for m in part.modules() if not list(m.children())]
    return [m for m in found if not isinstance(m, Direction)]


def grad(parameter: nn.Parameter | None) -> str | None:
    if parameter is None:
        return None
    return "trained" if parameter.requires_grad else "frozen"


def facts(part: nn.Module) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for m in leaves(part):
        if isinstance(m, WeightNorm):
            outputs, inputs = m.direction.shape
            sizes = {"in": inputs, "out": outputs, "length": grad(m.length), "bias": None}
            out.append({"layer": "WeightNorm"} | sizes)
        elif isinstance(m, nn.Linear):
            sizes = {"in": m.in_features, "out": m.out_features, "bias": grad(m.bias)}
            out.append({"layer": "Linear"} | sizes)
        elif isinstance(m, nn.BatchNorm1d):
            affine = {"scale": grad(m.weight), "offset": grad(m.bias)}
            numbers = {"eps": m.eps, "momentum": m.momentum}
            out.append({"layer": "BatchNorm", "out": m.num_features} | affine | numbers)
        else:
            out.append({"layer": type(m).__name__})
    return out


def parameters(part: nn.Module) -> Iterator[nn.Parameter]:
    for m in leaves(part):
        if isinstance(m, WeightNorm):
            yield from (m.direction, m.length)
        elif isinstance(m, nn.Linear | nn.BatchNorm1d):
            yield from m.parameters()


@pytest.mark.parametrize("case", CASES, ids=label)
def test_layers_biases_and_norms(case: dict[str, Any]) -> None:
    with torch.device("meta"):
        ours = facts(head(build(case, case["inputs"]), case["part"]))
    expected = [dict(layer) for layer in case["layers"]]
    for layer, after in pairwise(expected):
        # SimSiam's last linear layer has a bias that is never trained; batch norm takes it away.
        if layer.get("bias") == "frozen" and after["layer"] == "BatchNorm":
            layer["bias"] = None
    for layer in ours:  # an offset that is fixed at 0 is none
        if layer.get("offset") == "frozen":
            layer["offset"] = None
    assert ours == expected


def test_simclrs_fixed_offset_is_zero() -> None:
    case = next(case for case in CASES if case["method"] == "simclr")
    assert not head(build(case, 8), "projector")[-1].bias.any()


@pytest.mark.parametrize("case", RUN, ids=label)
def test_outputs_and_gradients(case: dict[str, Any]) -> None:
    small = case["small"]
    method = build(case, small["inputs"], **small["options"]).double().train()
    part, rng = head(method, case["part"]), np.random.default_rng(small["seed"])
    ours = list(parameters(part))

    def draw(*shape: int) -> Tensor:
        return torch.tensor(rng.standard_normal(shape))

    with torch.no_grad():
        for p in ours:
            p.copy_(draw(*p.shape) / p.shape[-1] ** 0.5)
    if case["part"] == "scores":
        method.after_step(0, 1)  # prototypes back to length 1, as before an official forward
    x = draw(8, leaves(part)[0].in_features).requires_grad_()
    y = part(x)
    y.backward(draw(*y.shape))
    assert y.flatten().tolist() == pytest.approx(small["output"], rel=1e-5, abs=1e-9)
    assert x.grad is not None
    assert x.grad.norm().item() == pytest.approx(small["input_gradient_norm"], rel=1e-5)
    assert len(ours) == len(small["gradient_norms"])
    for p, norm in zip(ours, small["gradient_norms"], strict=True):
        if norm is None:
            assert p.grad is None
        else:
            assert p.grad is not None
            assert p.grad.norm().item() == pytest.approx(norm, rel=1e-5, abs=1e-9)


def test_every_method_is_compared() -> None:
    assert {case["method"] for case in CASES} == set(METHODS) - {"mae"}  # test_masked.py
