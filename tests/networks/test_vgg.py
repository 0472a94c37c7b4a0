"""VGG: torchvision's features, at small sizes the form of CIFAR runs, and weights for both."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from timm.models.vgg import ConvMlp
from torch import Tensor, nn

from ownlatent.networks import backbone, load_weights
from ownlatent.networks.vgg import timm_names


def rounding_up(net: Any, x: Tensor) -> Tensor:
    """torchvision's convolutions, their pools rounding up, and the mean over the map."""
    for layer in net.features:
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = True
    return net.features(x).mean((2, 3))


@pytest.mark.parametrize("name", ["vgg11", "vgg16_bn"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_small_images_with_torchvisions_weights(name: str, suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)(weights=None)
    theirs.classifier = nn.Sequential()
    theirs.to_empty(device="cpu")
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.05)
    for buffer in theirs.buffers():
        buffer.fill_(1)
    path = tmp_path / f"weights{suffix}"
    torch.save(theirs.state_dict(), path) if suffix == ".pth" else save_file(
        theirs.state_dict(), path
    )
    for size in (20, 32, 64):
        net, line = backbone(name, size=size)
        total = len(net.state_dict())
        assert f"{total} of {total}" in load_weights(net, path)
        assert net.num_features == 512 and "512 features" in line
        x = torch.randn(2, 3, size, size)
        if size % 32 == 0:  # torchvision's network as it is
            expected = theirs.eval().features(x).mean((2, 3))
            torch.testing.assert_close(net.eval()(x), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net.eval()(x), rounding_up(theirs, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [8, 9, 12, 20, 33, 50])
def test_no_side_is_too_small(size: int) -> None:
    net, _ = backbone("vgg11_bn", channels=1, size=size)
    out = net(torch.randn(2, 1, size, size))
    assert out.shape == (2, 512) and out.isfinite().all()
    assert net(torch.randn(2, 1, 8, 8)).shape == (2, 512)  # a local crop


def test_large_images_with_torchvisions_weights(tmp_path: Path) -> None:
    """The linear layers too; narrower ones, for they hold nine tenths of the parameters."""
    torch.manual_seed(0)
    with torch.device("meta"):
        theirs = torchvision.models.vgg11(weights=None)
    theirs.classifier[0], theirs.classifier[3] = nn.Linear(512 * 49, 32), nn.Linear(32, 16)
    theirs.classifier[6] = nn.Linear(16, 10)
    theirs.to_empty(device="cpu")
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.02)
    torch.save(theirs.state_dict(), tmp_path / "vgg.pth")
    net, _ = backbone("vgg11", size=32)
    net.pre_logits = ConvMlp(512, 16, 7, mlp_ratio=2, drop_rate=0.0)
    assert "20 of 20" in load_weights(net, tmp_path / "vgg.pth")
    x = torch.randn(2, 3, 224, 224)
    maps = theirs.eval().avgpool(theirs.features(x)).flatten(1)
    expected = theirs.classifier[:5](maps)  # all but the last layer
    assert expected.std() > 1e-3
    torch.testing.assert_close(net.eval()(x), expected, atol=1e-5, rtol=1e-5)


def test_large_images_keep_timms_form() -> None:
    with torch.device("meta"):
        import timm

        net = timm.create_model("vgg11", num_classes=0)
    shapes = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    with torch.device("meta"):
        theirs = timm_names(net, torchvision.models.vgg11(weights=None).state_dict())
    fitting = {k for k, v in theirs.items() if shapes.get(k) == tuple(v.shape)}
    assert fitting == set(shapes)


def test_other_networks_names_stay() -> None:
    net, _ = backbone("small-resnet", size=32)
    state = {"classifier.0.weight": torch.zeros(2, 2)}
    assert timm_names(net, state) is state
