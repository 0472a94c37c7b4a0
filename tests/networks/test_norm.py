"""Batch norm over a group, against torch's own batch norm."""

import pytest
import torch
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
