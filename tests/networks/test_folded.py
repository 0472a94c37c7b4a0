"""Batch norms folded away: the same values, fewer layers."""

import pytest
import timm
import torch
from torch import nn

from ownlatent.networks import backbone
from ownlatent.networks.folded import folded


def trained_looking(net: nn.Module) -> nn.Module:
    """Statistics and scales that are not those of a new network."""
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value, low in ((module.running_mean, -0.5), (module.running_var, 0.5)):
                assert value is not None
                value.copy_(torch.rand(value.shape, generator=generator) + low)
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.uniform_(-0.5, 0.5, generator=generator)
    return net.eval()


@pytest.mark.parametrize("name", ["small-resnet", "resnet18", "vgg11_bn", "efficientnet_b0"])
def test_the_same_values(name: str) -> None:
    torch.manual_seed(0)
    if name in ("small-resnet", "resnet18"):
        net, _ = backbone(name, 3, 32)
    else:
        net = timm.create_model(name, num_classes=0)
    net = trained_looking(net)
    x = torch.randn(4, 3, 32, 32)
    made = folded(net)
    count = [sum(isinstance(m, nn.BatchNorm2d) for m in each.modules()) for each in (net, made)]
    with torch.no_grad():
        torch.testing.assert_close(made(x), net(x), rtol=1e-3, atol=1e-4)
    assert not made.training and count[0] > 0
    if "resnet" in name:  # norms of timm's that hold activations stay
        assert count[1] == 0


def test_what_cannot_be_traced_is_copied() -> None:
    class Turns(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(x) if x.sum() > 0 else -self.norm(x)

    net, x = Turns().eval(), torch.rand(2, 3, 4, 4)
    made = folded(net)
    assert made is not net and torch.equal(made(x), net(x))
