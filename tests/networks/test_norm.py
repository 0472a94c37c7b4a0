"""Batch norm over a group, against torch's own batch norm."""

import copy
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import nn

from ownlatent.networks import GroupBatchNorm, group_batch_norm


@pytest.mark.parametrize("shape", [(12, 5), (12, 5, 3, 4)])
@pytest.mark.parametrize("groups", [1, 3])
def test_equals_torch_on_each_group(shape: tuple[int, ...], groups: int) -> None:
    torch.manual_seed(0)
    plain = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(5).double()
    nn.init.uniform_(plain.weight)
    nn.init.uniform_(plain.bias)
    grouped = GroupBatchNorm(type(plain)(5).double(), groups)
    grouped.load_state_dict(plain.state_dict())
    x = (3 + 2 * torch.randn(shape, dtype=torch.float64)).requires_grad_()
    y = x.detach().clone().requires_grad_()
    expected = torch.cat([plain(part) for part in x.chunk(groups)])
    out = grouped(y)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    seed = torch.randn_like(out)
    expected.backward(seed)
    out.backward(seed)
    torch.testing.assert_close(y.grad, x.grad, rtol=1e-8, atol=1e-11)
    torch.testing.assert_close(grouped.weight.grad, plain.weight.grad)
    if groups == 1:
        torch.testing.assert_close(grouped.running_mean, plain.running_mean)
        torch.testing.assert_close(grouped.running_var, plain.running_var)
        assert grouped.num_batches_tracked == plain.num_batches_tracked
    plain.eval(), grouped.eval()
    plain.load_state_dict(grouped.state_dict())
    torch.testing.assert_close(grouped(y), plain(y))


def test_conversion_keeps_parameters_and_names() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4), nn.ReLU()))
    before = {k: v.data_ptr() for k, v in net.state_dict().items()}
    group_batch_norm(net, groups=2)
    assert isinstance(net[1][0], GroupBatchNorm)
    assert {k: v.data_ptr() for k, v in net.state_dict().items()} == before


def test_half_precision_keeps_float32_statistics() -> None:
    norm = GroupBatchNorm(nn.BatchNorm1d(4), 1)
    x = (100 + torch.randn(256, 4)).bfloat16()
    out = norm(x)
    assert out.dtype == torch.bfloat16
    exact = (x.double() - x.double().mean(0)) / (x.double().var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(out.double(), exact, atol=0.02, rtol=0.01)


@pytest.fixture
def alone() -> Iterator[dist.ProcessGroup]:
    """A group of this process only; more of them are in test_invariance.py."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield dist.group.WORLD
    dist.destroy_process_group()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(64, 8), (16, 8, 5, 6)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_over_processes_in_every_precision(
    dtype: torch.dtype, shape: tuple[int, ...], affine: bool, alone: dist.ProcessGroup
) -> None:
    """Outputs, gradients and running statistics, of data far from 0, against float64."""
    torch.manual_seed(0)
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    layer = kind(8, affine=affine)
    if affine:
        nn.init.uniform_(layer.weight)
        nn.init.uniform_(layer.bias)
    plain = copy.deepcopy(layer).double()
    spanning = GroupBatchNorm(layer.to(torch.promote_types(dtype, torch.float32)), 1, alone)
    # Whole numbers around 40 are the same in all three precisions.
    x = (40 + 5 * torch.randn(shape)).round().to(dtype)
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    y, exact = x.clone().requires_grad_(), x.double().requires_grad_()
    seed = torch.randn(shape).to(dtype)
    out, expected = spanning(y), plain(exact)
    out.backward(seed)
    expected.backward(seed.double())
    near = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 0.02}[dtype]
    assert out.dtype == y.grad.dtype == dtype
    assert (out.double() - expected).abs().max() < near * expected.abs().max()
    assert (y.grad.double() - exact.grad).abs().max() < near * exact.grad.abs().max()
    if affine:
        for name in ("weight", "bias"):
            mine, theirs = (getattr(each, name).grad.double() for each in (spanning, plain))
            torch.testing.assert_close(mine, theirs, rtol=near, atol=near, msg=name)
    for name in ("running_mean", "running_var"):
        mine = getattr(spanning, name).double()
        torch.testing.assert_close(mine, getattr(plain, name), rtol=1e-5, atol=1e-5, msg=name)
