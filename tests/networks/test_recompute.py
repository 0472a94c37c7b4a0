"""Activation checkpointing changes memory, and no number."""

import copy
from typing import Any

import pytest
import torch

from ownlatent.errors import UsageError
from ownlatent.methods import BYOL
from ownlatent.networks import backbone, group_batch_norm, recompute

NETS = [("small-resnet", 16, 0.0), ("resnet18", 32, 0.0), ("small-vit", 16, 0.2)]


def trained(name: str, size: int, drop_path: float, again: bool, groups: int) -> dict[str, Any]:
    torch.manual_seed(0)
    net, _ = backbone(name, 3, size, drop_path=drop_path) if drop_path else backbone(name, 3, size)
    if again:
        assert recompute(net, name) > 1
    method = BYOL(net, hidden=32, dim=16)
    if groups > 1:
        group_batch_norm(method, groups=groups)
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    for step in range(2):
        torch.manual_seed(step)
        views = [torch.randn(8, 3, size, size) for _ in range(2)]
        optimizer.zero_grad()
        method(views).loss.backward()
        optimizer.step()
        method.after_step(step, 2)
    gradients = {f"{n}.grad": p.grad for n, p in method.named_parameters() if p.grad is not None}
    return {**method.state_dict(), **gradients}


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("name", "size", "drop_path"), NETS)
def test_the_same_bits(name: str, size: int, drop_path: float, groups: int) -> None:
    """Weights, gradients, target, running statistics and their counts; random depth too."""
    plain, again = (trained(name, size, drop_path, each, groups) for each in (False, True))
    assert plain.keys() == again.keys()
    for key, value in plain.items():
        assert torch.equal(value, again[key]), key


def test_less_is_kept_for_the_backward_pass() -> None:
    def kept(again: bool) -> int:
        net, _ = backbone("resnet18", 3, 32)
        if again:
            recompute(net, "resnet18")
        sizes: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.data_ptr()] = tensor.nbytes
            return tensor

        x = torch.randn(4, 3, 32, 32)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            loss = net(x).sum()
        weights = {p.data_ptr() for p in net.parameters()}
        del loss
        return sum(size for place, size in sizes.items() if place not in weights)

    # Of a block's two convolutions, norms and the sum, its input alone; the stem stays.
    assert kept(True) < 0.5 * kept(False)


def test_a_copy_computes_with_its_own_weights() -> None:
    net, _ = backbone("small-resnet", 3, 16)
    recompute(net, "small-resnet")
    other = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert other(torch.randn(2, 3, 16, 16)).abs().max() == 0


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(UsageError, match="no sequence of blocks"):
        recompute(torch.nn.Linear(2, 2), "mlp")
