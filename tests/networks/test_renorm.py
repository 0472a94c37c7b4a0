"""Layer, instance and no norm where batch norm stood: the formulas, and what they are fed."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ownlatent.config import Pretrain
from ownlatent.data import decode_canvases, open_source
from ownlatent.encoder import Encoder, EncoderFolder, load_encoder
from ownlatent.errors import UsageError
from ownlatent.networks import backbone, mlp, replace_batch_norm
from ownlatent.preprocessing import Preprocessing
from ownlatent.training.session import prepare

OTHERS = ["group", "layer", "instance", "none"]


def formula(x: Tensor, norm: str, scale: Tensor, offset: Tensor, epsilon: float) -> Tensor:
    """Wu & He, 2018, equation 1 in numpy and float64, over the sets of their figure 2."""
    values = x.detach().double().numpy()
    over = {"layer": tuple(range(1, x.ndim)), "instance": tuple(range(2, x.ndim))}[norm]
    mean, var = values.mean(over, keepdims=True), values.var(over, keepdims=True)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    scaled = (values - mean) / np.sqrt(var + epsilon) * scale.detach().numpy().reshape(shape)
    return torch.from_numpy(scaled + offset.detach().numpy().reshape(shape)).float()


def batch_norm(layer: _BatchNorm) -> _BatchNorm:
    nn.init.uniform_(layer.weight)
    nn.init.uniform_(layer.bias)
    return layer


@pytest.mark.parametrize("norm", ["layer", "instance"])
def test_maps_are_the_formula_with_batch_norms_parameters(norm: str) -> None:
    torch.manual_seed(0)
    before = batch_norm(nn.BatchNorm2d(6, eps=1e-3))
    net = replace_batch_norm(nn.Sequential(before), norm)
    x = 2 + 3 * torch.randn(4, 6, 5, 7)
    expected = formula(x, norm, before.weight, before.bias, 1e-3)
    torch.testing.assert_close(net(x), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net.eval()(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["layer", "instance"])
def test_a_heads_vectors_take_layer_norm(norm: str) -> None:
    torch.manual_seed(0)
    before = batch_norm(nn.BatchNorm1d(12))
    net = replace_batch_norm(nn.Sequential(before), norm)
    x = torch.randn(4, 12)
    expected = formula(x, "layer", before.weight, before.bias, 1e-5)
    torch.testing.assert_close(net(x), expected, atol=1e-5, rtol=1e-5)


def test_without_a_norm_a_convolution_has_the_bias_that_batch_norm_had() -> None:
    torch.manual_seed(0)
    conv, before = nn.Conv2d(3, 5, 3, bias=False), batch_norm(nn.BatchNorm2d(5))
    net = replace_batch_norm(nn.Sequential(conv, before), "none")
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(net(x), F.conv2d(x, conv.weight, before.bias))
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "1.bias"]


def test_without_a_norm_no_layer_has_two_biases_or_a_frozen_one() -> None:
    for first in (nn.Linear(4, 5), nn.Conv2d(4, 5, 1)):
        norm = nn.BatchNorm1d(5) if isinstance(first, nn.Linear) else nn.BatchNorm2d(5)
        net = replace_batch_norm(nn.Sequential(first, batch_norm(norm)), "none")
        assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias"]
        x = torch.randn(3, 4, *[2] * (first.weight.ndim - 2))
        torch.testing.assert_close(net(x), first(x))
    for last in ("plain", "scale"):
        head = replace_batch_norm(mlp(4, 5, 6, last_norm=last), "none")  # type: ignore[arg-type]
        assert [name for name, _ in head.named_parameters()] == ["0.weight", "1.bias", "3.weight"]


def test_a_byol_head_without_norms_is_its_linear_layers() -> None:
    torch.manual_seed(0)
    head = mlp(8, 16, 4, bias=True)
    first, last = head[0], head[-1]
    x = torch.randn(5, 8)
    replace_batch_norm(head, "none")
    torch.testing.assert_close(head(x), last(F.relu(first(x))))


# a plain one; activations inside the norm; depthwise; a batch norm after a convolution with bias
@pytest.mark.parametrize("name", ["small-resnet", "resnet10t", "regnetx_002", "vgg11_bn"])
@pytest.mark.parametrize("norm", ["layer", "instance", "none"])
def test_in_train_mode_an_image_does_not_see_the_others(name: str, norm: str) -> None:
    torch.manual_seed(0)
    size = 64 if norm == "instance" else 32
    net, line = backbone(name, size=size, norm=norm)
    assert {"layer": "layer norm", "instance": "instance norm", "none": "no norm"}[norm] in line
    assert not any(isinstance(module, _BatchNorm) for module in net.modules())
    x = torch.randn(4, 3, size, size)
    together = net(x)
    other = net(torch.cat([x[:1], 5 * x[1:] + 1]))
    torch.testing.assert_close(together[:1], other[:1], atol=1e-4, rtol=1e-4)
    assert together.std(0).mean() > 1e-5
    together.square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("norm", OTHERS)
def test_what_remains_keeps_name_value_and_activation(norm: str) -> None:
    net, _ = backbone("regnetx_002", size=64)
    before = {k: v.clone() for k, v in net.named_parameters()}
    activations = [type(m) for m in net.modules() if isinstance(m, nn.ReLU)]
    replace_batch_norm(net, norm)
    after = dict(net.named_parameters())
    assert all(torch.equal(v, before[k]) for k, v in after.items())
    gone = set(before) - set(after)
    assert all(k.endswith("bn.weight") for k in gone) and bool(gone) == (norm == "none")
    assert [type(m) for m in net.modules() if isinstance(m, nn.ReLU)] == activations


def test_instance_norm_refuses_maps_of_one_pixel() -> None:
    with pytest.raises(UsageError, match=r"maps of one pixel.*take larger views or --norm layer"):
        backbone("small-resnet", size=8, norm="instance")
    canvases = decode_canvases(open_source(torch.randint(0, 256, (16, 3, 12, 12)).byte()))
    asked = {"data": "x", "backbone": "small-resnet", "size": 12, "batch_size": 8, "steps": 1}
    prepare(Pretrain(**asked, norm="instance"), canvases)
    with pytest.raises(UsageError, match="maps of one pixel"):  # local crops of 7 pixels
        prepare(Pretrain(**asked, norm="instance", crops=1), canvases)


def test_the_names_are_said() -> None:
    with pytest.raises(UsageError, match="batch, group, layer, instance, none; got 'weight'"):
        replace_batch_norm(nn.Sequential(), "weight")


@pytest.mark.parametrize("norm", ["layer", "instance", "none"])
def test_a_run_has_it_in_backbone_heads_and_target(norm: str) -> None:
    canvases = decode_canvases(open_source(torch.randint(0, 256, (16, 3, 16, 16)).byte()))
    asked = {"data": "x", "backbone": "small-resnet", "size": 16, "batch_size": 8, "steps": 1}
    run = prepare(Pretrain(**asked, norm=norm, precision="fp32"), canvases)  # type: ignore[arg-type]
    assert not any(isinstance(module, _BatchNorm) for module in run.method.modules())
    views = [torch.randn(8, 3, 16, 16) for _ in range(2)]
    torch.testing.assert_close(run.method.embed(views[0])[1][:1], run.method.embed(views[0][:1])[1])
    run.method(views).loss.backward()
    assert all(p.grad is not None for p in run.method.parameters() if p.requires_grad)


@pytest.mark.parametrize("norm", ["layer", "instance", "none"])
def test_a_saved_encoder_comes_back(norm: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    net, _ = backbone("resnet10t", size=32, norm=norm)
    preprocessing = Preprocessing(3, 32, 1.0, (0.5,) * 3, (0.2,) * 3)
    encoder = Encoder(net, "resnet10t", preprocessing, {"view_size": 32}, {"norm": norm}).eval()
    EncoderFolder.write(tmp_path / "encoder", {"online": encoder})
    images = torch.randint(0, 256, (2, 3, 32, 32)).byte()
    torch.testing.assert_close(load_encoder(tmp_path)(images), encoder(images))
