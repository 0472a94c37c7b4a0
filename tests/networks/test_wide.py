"""Wide ResNets: the papers' parameter counts, and k = 1 of the same construction is torchvision's.

Counts in millions: BYOL (Grill et al., 2020), tables 1 and 9, of the encoder.
"""

import pytest
import torch
import torchvision
from timm.models.resnet import Bottleneck
from torch import nn

from ownlatent.encoder import Encoder, EncoderFolder, load_encoder
from ownlatent.errors import UsageError
from ownlatent.networks import backbone
from ownlatent.networks.wide import WIDE_RESNETS, wide_resnet
from ownlatent.preprocessing import Preprocessing

PRINTED = [
    ("resnet50x2", 94, 4096),
    ("resnet50x4", 375, 8192),
    ("resnet101x2", 170, 4096),
    ("resnet152x2", 232, 4096),
    ("resnet200x2", 250, 4096),
]


@pytest.mark.parametrize(("name", "millions", "features"), PRINTED)
def test_parameters_are_as_printed(name: str, millions: int, features: int) -> None:
    with torch.device("meta"):
        net = wide_resnet(name, 3)
        out = net(torch.zeros(1, 3, 224, 224))
    assert round(sum(p.numel() for p in net.parameters()) / 1e6) == millions
    assert out.shape == (1, features)


def test_every_layer_has_k_times_torchvisions_channels() -> None:
    for depth in (18, 34, 50, 101, 152):
        plain: nn.Module = getattr(torchvision.models, f"resnet{depth}")
        for k in (2, 3, 4):
            with torch.device("meta"):
                ours = wide_resnet(f"resnet{depth}x{k}", 3).state_dict()
                theirs = plain(num_classes=1).state_dict()
            shapes = {
                key: tuple(k * n if axis < 2 else n for axis, n in enumerate(value.shape))
                for key, value in theirs.items()
                if not key.startswith("fc.")
            }
            shapes["conv1.weight"] = (64 * k, 3, 7, 7)
            assert {key: tuple(value.shape) for key, value in ours.items()} == shapes


def test_depth_200_has_its_blocks() -> None:
    """(3, 24, 36, 3): He et al., 2016b, table 5 and the TensorFlow official model."""
    with torch.device("meta"):
        net = wide_resnet("resnet200x2", 3)
    counts = [len(getattr(net, f"layer{stage}")) for stage in (1, 2, 3, 4)]
    assert counts == [3, 24, 36, 3] and isinstance(net.layer1[0], Bottleneck)


def test_the_forward_is_torchvisions() -> None:
    """The same widths through torchvision's own class, with our weights."""
    torch.manual_seed(0)
    ours = wide_resnet("resnet18x2", 3).eval()
    theirs = torchvision.models.resnet18(num_classes=1)
    theirs.inplanes = 128
    theirs.conv1, theirs.bn1 = nn.Conv2d(3, 128, 7, 2, 3, bias=False), nn.BatchNorm2d(128)
    block = torchvision.models.resnet.BasicBlock
    for stage in range(4):
        layer = theirs._make_layer(block, 128 * 2**stage, 2, stride=1 if stage == 0 else 2)
        setattr(theirs, f"layer{stage + 1}", layer)
    theirs.fc = nn.Identity()
    for layer in ours.modules():  # the last of each block begins at 0
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(x), theirs.eval()(x), atol=1e-5, rtol=1e-5)


def test_small_images_get_the_small_stem_and_encoders_come_back(tmp_path) -> None:  # type: ignore[no-untyped-def]
    net, line = backbone("resnet18x2", size=32, drop_path=0.1)
    assert "1024 features" in line and "3x3" in line
    assert net.conv1.weight.shape == (128, 3, 3, 3) and isinstance(net.maxpool, nn.Identity)
    preprocessing = Preprocessing(3, 32, 1.0, (0.5,) * 3, (0.2,) * 3)
    encoder = Encoder(net, "resnet18x2", preprocessing, {"view_size": 32}).eval()
    EncoderFolder.write(tmp_path / "encoder", {"online": encoder})
    images = torch.randint(0, 256, (2, 3, 32, 32)).byte()
    torch.testing.assert_close(load_encoder(tmp_path)(images), encoder(images))


@pytest.mark.parametrize("name", ["resnet50-2x", "resnet50_w2", "wide_resnet50x2", "ResNet50 (2x)"])
def test_other_spellings_are_told_the_name(name: str) -> None:
    with pytest.raises(UsageError, match="did you mean resnet50x2"):
        backbone(name)


def test_timms_wide_resnet_is_another_and_says_so() -> None:
    net, line = backbone("wide_resnet50_2", size=32)
    assert net.num_features == 2048 and "resnet50x2" in line
    assert len(WIDE_RESNETS) == 18
