"""Group norm and standardised weights: no image sees another."""

import copy

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers import StdConv2d
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ownlatent.networks import EMA, backbone, mlp, without_batch_statistics


def formula(weight: torch.Tensor) -> torch.Tensor:
    """In numpy, float64, and the order of the paper: less the mean, over the deviation."""
    rows = weight.detach().double().numpy().reshape(len(weight), -1)
    rows = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-6)
    return torch.from_numpy(rows).float().view_as(weight)


def test_a_linear_layer_is_the_formula() -> None:
    layer = nn.Linear(7, 5)
    net = without_batch_statistics(nn.Sequential(layer))
    x = torch.randn(3, 7)
    raw = net.state_dict()["0.weight"]
    torch.testing.assert_close(net(x), x @ formula(raw).T + layer.bias)
    torch.testing.assert_close(layer.weight.mean(1), torch.zeros(5), atol=1e-6, rtol=0)


def test_a_convolution_is_the_formula_and_timms() -> None:
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
    with torch.no_grad():
        conv.weight.add_(0.3)
    timms = StdConv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=True, eps=1e-6)
    timms.load_state_dict(conv.state_dict())
    net = without_batch_statistics(nn.Sequential(conv))
    x = torch.randn(2, 4, 9, 9)
    raw = net.state_dict()["0.weight"]
    expected = F.conv2d(x, formula(raw), conv.bias, stride=2, padding=1, groups=2)
    torch.testing.assert_close(net(x), expected)
    torch.testing.assert_close(net(x), timms(x))


def group_norm(x: torch.Tensor, layer: nn.Module, groups: int) -> torch.Tensor:
    """Wu & He, 2018, equation 1: mean and deviation of a group's channels and places."""
    cut = x.view(len(x), groups, -1)
    var, mean = torch.var_mean(cut, 2, correction=0, keepdim=True)
    plain = ((cut - mean) / (var + layer.eps).sqrt()).view_as(x)
    shape = [1, -1] + [1] * (x.ndim - 2)
    return plain * layer.weight.view(shape) + layer.bias.view(shape)


@pytest.mark.parametrize(
    ("channels", "groups"), [(64, 16), (24, 12), (40, 10), (7, 7), (34, 2), (4, 4), (17, 1)]
)
def test_groups_are_the_largest_divisor_up_to_16(channels: int, groups: int) -> None:
    before = nn.BatchNorm2d(channels, eps=1e-3)
    nn.init.uniform_(before.weight)
    nn.init.uniform_(before.bias)
    (norm,) = without_batch_statistics(nn.Sequential(before)).children()
    assert isinstance(norm, nn.GroupNorm) and norm.num_groups == groups
    x = torch.randn(3, channels, 4, 4)
    torch.testing.assert_close(norm(x), group_norm(x, before, groups), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("channels", "groups"), [(512, 16), (128, 16), (48, 6), (16, 2), (15, 1), (8, 1), (4, 1)]
)
def test_a_heads_groups_are_of_8_channels_at_least(channels: int, groups: int) -> None:
    before = nn.BatchNorm1d(channels)
    nn.init.uniform_(before.bias)
    (norm,) = without_batch_statistics(nn.Sequential(before)).children()
    x = torch.randn(3, channels)
    torch.testing.assert_close(norm(x), group_norm(x, before, groups))


# a plain one; activations inside the norm; depthwise and squeeze; padding of its own kind
NAMES = ["small-resnet", "resnet10t", "regnetx_002", "mobilenetv3_small_050", "tf_mixnet_s"]


@pytest.mark.parametrize("name", NAMES)
def test_in_train_mode_an_image_does_not_see_the_others(name: str) -> None:
    torch.manual_seed(0)
    net, _ = backbone(name, size=32, norm="group")
    assert not any(isinstance(module, _BatchNorm) for module in net.modules())
    x = torch.randn(4, 3, 32, 32)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    together = net.train()(x)
    other = net(torch.cat([x[:1], 5 * x[1:] + 1]))
    torch.testing.assert_close(together[:1], other[:1], atol=1e-4, rtol=1e-4)
    assert together.std(0).mean() > 1e-3
    plain, _ = backbone(name, size=32)
    assert not torch.allclose(plain(x)[:1], plain(torch.cat([x[:1], 5 * x[1:] + 1]))[:1], atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_keep_their_names_values_and_order(name: str) -> None:
    net, _ = backbone(name, size=32)
    before = {k: v.clone() for k, v in net.named_parameters()}
    activations = [type(m) for m in net.modules() if type(m).__module__.endswith("activation")]
    without_batch_statistics(net)
    assert list(before) == [k for k, _ in net.named_parameters()]
    assert set(net.state_dict()) == set(before)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    kept = [type(m) for m in net.modules() if type(m).__module__.endswith("activation")]
    assert kept == activations


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    net, _ = backbone("small-resnet", size=16, norm="group")
    net(torch.randn(2, 3, 16, 16)).square().sum().backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, key
        if parameter.ndim > 1:  # standardising takes out the mean and the scale of each unit
            flat, own = parameter.grad.flatten(1), parameter.detach().flatten(1)
            size = flat.norm(dim=1)
            assert (flat.sum(1).abs() <= 1e-3 * size).all()
            # (w - mean).gradient is epsilon / (var + epsilon) of what it would be
            assert ((flat * own).sum(1).abs() <= 1e-2 * size * own.norm(dim=1)).all()


def test_a_head_keeps_its_last_layer() -> None:
    head = mlp(32, 16, 8)
    without_batch_statistics(head, keep=[head[-1]])
    assert type(head[-1]) is nn.Linear and isinstance(head[1], nn.GroupNorm)
    x = torch.randn(4, 32)
    torch.testing.assert_close(head(x)[:1], head(x[:1]))
    hidden = F.linear(x, formula(head.state_dict()["0.weight"]), head[0].bias)
    hidden = F.relu(F.group_norm(hidden, 2))
    torch.testing.assert_close(head(x), hidden @ head.state_dict()["3.weight"].T)


def test_twice_is_once_and_a_fan_in_of_one_stays() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 1, groups=4), nn.Conv2d(4, 2, 1))
    without_batch_statistics(without_batch_statistics(net))
    assert type(net[0]) is nn.Conv2d
    torch.testing.assert_close(net[1].weight, formula(net.state_dict()["1.weight"]))


def test_copies_targets_and_saved_weights_are_the_same_network() -> None:
    net, _ = backbone("small-resnet", size=16, norm="group")
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(copy.deepcopy(net)(x), net(x), rtol=0, atol=0)
    other, _ = backbone("small-resnet", size=16, norm="group")
    target = EMA(net, start=other)
    target.update(net, 0.0)  # the target becomes the online network
    torch.testing.assert_close(target(x), net(x))
    other.load_state_dict(net.state_dict())
    torch.testing.assert_close(other(x), net(x), rtol=0, atol=0)
    double = copy.deepcopy(net).double()
    assert double(x.double()).dtype == torch.float64


def test_the_activation_inside_a_timm_norm_stays() -> None:
    net = timm.create_model("regnetx_002", num_classes=0)
    without_batch_statistics(net)
    out = net.stem(torch.randn(2, 3, 32, 32))
    assert out.min() == 0 and out.max() > 0
