"""LARS against its definition (METHODS.md §1, Optimiser), written out in NumPy float64."""

import numpy as np
import pytest
import torch
from torch import nn

from ownlatent.networks import mlp
from ownlatent.optim import LARS, optimizer, parameter_groups


def numpy_step(p, g, m, *, lr, momentum, decay, trust, adapt):  # type: ignore[no-untyped-def]
    g = g + decay * p
    if adapt and np.linalg.norm(p) > 0 and np.linalg.norm(g) > 0:
        g = g * trust * np.linalg.norm(p) / np.linalg.norm(g)
    m = momentum * m + g
    return p - lr * m, m


@pytest.mark.parametrize("adapt", [True, False])
def test_trajectory(adapt: bool) -> None:
    generator = np.random.default_rng(0)
    values = [generator.normal(size=shape) for shape in ((4, 3), (2, 3, 3, 3), (5,))]
    params = [torch.tensor(v, requires_grad=True) for v in values]
    lars = LARS([{"params": params, "adapt": adapt}], lr=0.0, weight_decay=1e-2, trust=2e-3)
    buffers = [np.zeros_like(v) for v in values]
    for lr in (0.0, 0.5, 2.0, 1.0, 0.1):  # a schedule: the rate stays outside the buffer
        lars.param_groups[0]["lr"] = lr
        for i, param in enumerate(params):
            gradient = generator.normal(size=values[i].shape)
            param.grad = torch.tensor(gradient)
            values[i], buffers[i] = numpy_step(
                values[i],
                gradient,
                buffers[i],
                lr=lr,
                momentum=0.9,
                decay=1e-2,
                trust=2e-3,
                adapt=adapt,
            )
        lars.step()
        for param, value in zip(params, values, strict=True):
            np.testing.assert_allclose(param.detach().numpy(), value, rtol=1e-12, atol=1e-14)


def test_ratio_is_one_where_a_norm_is_zero() -> None:
    zero_weight = torch.zeros(3, requires_grad=True)
    zero_gradient = torch.ones(3, requires_grad=True)
    lars = LARS([zero_weight, zero_gradient], lr=0.5, momentum=0.0)
    zero_weight.grad, zero_gradient.grad = torch.full((3,), 2.0), torch.zeros(3)
    lars.step()
    assert zero_weight.tolist() == [-1.0] * 3  # the plain gradient step, not 0 and not NaN
    assert zero_gradient.tolist() == [1.0] * 3


def test_a_rescaled_gradient_changes_nothing_but_what_is_not_adapted() -> None:
    def moved(scale: float, adapt: bool) -> torch.Tensor:
        weight = torch.arange(1.0, 5.0, requires_grad=True)
        weight.grad = scale * torch.tensor([1.0, -1.0, 2.0, 0.5])
        LARS([{"params": [weight], "adapt": adapt}], lr=1.0).step()
        return weight.detach() - torch.arange(1.0, 5.0)

    torch.testing.assert_close(moved(4.0, True), moved(1.0, True))
    torch.testing.assert_close(moved(4.0, False), 4 * moved(1.0, False))


def test_zero_decay_does_not_turn_adaptation_off() -> None:
    """METHODS.md §12.8 (iv): in one library weight_decay=0 silently makes LARS plain SGD."""
    weight = torch.ones(4, requires_grad=True)
    weight.grad = torch.full((4,), 100.0)
    LARS([weight], lr=1.0, weight_decay=0.0).step()
    assert weight.tolist() == pytest.approx([1 - 1e-3] * 4)


def test_parameters_without_gradient_stay() -> None:
    used, unused = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    used.grad = torch.ones(2)
    LARS([used, unused], lr=0.1, weight_decay=1.0).step()
    assert unused.tolist() == [1.0, 1.0]


def test_the_step_reads_nothing_back_from_the_device() -> None:
    """Each read would show as a local-scalar op, the CPU's name for a host synchronisation."""
    weights = [torch.randn(8, 8, requires_grad=True) for _ in range(5)]
    for weight in weights:
        weight.grad = torch.randn(8, 8)
    lars = LARS(weights, lr=0.1, weight_decay=1e-4)
    lars.step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        lars.step()
    names = {event.key for event in profile.key_averages()}
    assert names
    assert not {n for n in names if "local_scalar" in n or "is_nonzero" in n or n == "aten::item"}


def model() -> nn.Module:
    return nn.ModuleDict(
        {
            "conv": nn.Conv2d(3, 4, 3),
            "bn": nn.BatchNorm2d(4),
            "norm": nn.LayerNorm([4, 2]),  # its affine parameters have two dimensions
            "head": mlp(4, 8, 2, bias=True),
            "frozen": nn.Linear(2, 2).requires_grad_(False),
        }
    )


def test_biases_and_normalisation_skip_decay_and_adaptation() -> None:
    net = model()
    plain, excluded = parameter_groups(net, 1e-6)
    names = {id(p): n for n, p in net.named_parameters()}
    assert {names[id(p)] for p in plain["params"]} == {
        "conv.weight",
        "head.0.weight",
        "head.3.weight",
    }
    assert {names[id(p)] for p in excluded["params"]} == {
        "conv.bias",
        "bn.weight",
        "bn.bias",
        "norm.weight",
        "norm.bias",
        "head.0.bias",
        "head.1.weight",
        "head.1.bias",
    }
    assert (plain["weight_decay"], plain["adapt"]) == (1e-6, True)
    assert (excluded["weight_decay"], excluded["adapt"]) == (0.0, False)


@pytest.mark.parametrize("name", ["lars", "sgd", "adamw"])
def test_every_optimizer_keeps_the_exclusion(name: str) -> None:
    made = optimizer(name, parameter_groups(model(), 0.1), lr=1.0)
    assert [group["weight_decay"] for group in made.param_groups] == [0.1, 0.0]
