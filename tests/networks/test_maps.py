"""Feature maps: what a backbone pools, and what dilation leaves as it was."""

import pytest
import timm
import torch
from torch import nn

import ownlatent as ol
from ownlatent.networks import Middle, backbone
from ownlatent.networks.maps import FeatureMap


def randomised(net: nn.Module) -> nn.Module:
    """Running statistics and scales that would show a mistake, and shortcuts that matter."""
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) / 10)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            nn.init.ones_(module.weight)
    return net.eval()


@pytest.mark.parametrize("name", ["resnet18", "resnet26", "resnet26d"])
def test_dilated_places_hold_what_the_strided_ones_did(name: str) -> None:
    torch.manual_seed(0)
    plain = randomised(timm.create_model(name, num_classes=0)).requires_grad_(False)
    x = torch.randn(1, 3, 96, 128)
    before = FeatureMap(plain)
    expected = before(x)
    assert (before.stride, before.channels) == (32, plain.num_features)
    after = FeatureMap(plain, dilate=True)
    got = after(x)
    assert after.stride == 16 and got.shape[2:] == (6, 8)
    if name == "resnet26d":  # its shortcut averaged 2 x 2 places, which are now apart
        return
    torch.testing.assert_close(got[:, :, ::2, ::2], expected, rtol=1e-4, atol=1e-5)


def test_pooled_maps_are_the_features() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 32, 32)
    for name in ("resnet18", "vgg11"):
        net, _ = backbone(name, 3, 32)
        net.eval().requires_grad_(False)
        found = FeatureMap(net, size=32)(x)
        torch.testing.assert_close(found.mean((2, 3)), net(x), rtol=1e-4, atol=1e-5)
    net, _ = backbone("small-resnet", 3, 32)
    net.eval().requires_grad_(False)
    found = nn.functional.adaptive_avg_pool2d(FeatureMap(net, size=32)(x), 2)
    torch.testing.assert_close(found.flatten(1), net(x))
    middle = Middle.blank(net, hidden=16, bias=False)
    assert FeatureMap(middle, size=32)(x).shape == (2, 384, 4, 4)


def test_tokens_lie_where_their_patches_are() -> None:
    torch.manual_seed(0)
    net, _ = backbone("vit_tiny_patch16_224", 3, 96)
    net.eval().requires_grad_(False)
    x = torch.zeros(1, 3, 64, 96)
    x[0, :, 32:48, 80:96] = 1  # patch of row 2, column 5
    maps = FeatureMap(net, size=96)
    assert maps.stride == 16
    net.blocks = nn.Identity()  # so that nothing mixes places
    change = (maps(x) - maps(torch.zeros_like(x))).abs().sum(1)[0]
    assert change.shape == (4, 6) and change.nonzero().tolist() == [[2, 5]]


def test_channels_that_come_last_are_moved() -> None:
    torch.manual_seed(0)
    net = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0).eval()
    assert FeatureMap(net)(torch.zeros(1, 3, 224, 224)).shape == (1, 768, 7, 7)


def test_networks_without_maps_are_refused() -> None:
    with pytest.raises(ol.UsageError, match="no feature map"):
        FeatureMap(nn.Flatten())
