"""Weights of lightly and solo-learn, by the names that their own BYOL gives them.

``golden/foreign_names.json`` holds names and shapes from their code; values are drawn here, and
what they mean is torchvision's network of the same parts.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import ownlatent as ol
from ownlatent.foreign import find_encoder
from ownlatent.networks import backbone, load_weights
from ownlatent.networks.translate import match

NAMES = json.loads((Path(__file__).parent / "golden" / "foreign_names.json").read_text())


def drawn(kind: str) -> dict[str, Tensor]:
    made = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in NAMES[kind].items():
        value = torch.randn(shape, generator=made)
        if name.endswith("num_batches_tracked"):
            value = torch.tensor(5)
        elif name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
            value = 0.7 + 0.3 * value.abs()
        elif value.ndim == 4:
            value = value * (2 / value[0].numel()) ** 0.5
        else:
            value = 0.1 * value
        state[name] = value
    return state


def theirs(kind: str, state: dict[str, Tensor]) -> nn.Module:
    """torchvision's ResNet-18 as that library builds it, with its online weights."""
    net: Any = torchvision.models.resnet18()
    net.fc = nn.Identity()
    inner = {k.removeprefix("backbone."): v for k, v in state.items() if k.startswith("backbone.")}
    if kind == "lightly-tutorial":
        net = nn.Sequential(*list(net.children())[:-1], nn.Flatten())
    net.load_state_dict(inner)
    return net.eval()


@pytest.mark.parametrize("kind", ["lightly-tutorial", "lightly-benchmark", "solo-learn"])
def test_features_are_theirs(kind: str, tmp_path: Path) -> None:
    state = drawn(kind)
    torch.save({"epoch": 3, "state_dict": state, "hyper_parameters": {"lr": 0.1}},
               tmp_path / "last.ckpt")  # fmt: skip
    encoder = find_encoder(tmp_path / "last.ckpt", "resnet18").load()
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = theirs(kind, state)(x)
        ours = encoder.backbone(x)
    assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()
    line = encoder.provenance["weights"]
    assert line.startswith("120 of 120 tensors from last.ckpt under backbone.*; left there: ")
    left = {
        "lightly-tutorial": "projection_head_momentum (",
        "solo-learn": "momentum_backbone (120",
    }
    assert left.get(kind, "teacher_backbone (120)") in line


def test_solo_learns_small_stem_is_found_in_the_file(tmp_path: Path) -> None:
    """A 3x3 convolution padded by 2 (solo/methods/base.py): with all weights right and a padding of
    1, features differ by a quarter."""
    state = drawn("solo-learn-cifar")
    torch.save(state, tmp_path / "a.pth")
    encoder = find_encoder(tmp_path / "a.pth", "resnet18").load()
    assert (encoder.preprocessing.size, encoder.preprocessing.crop) == (32, 1.0)
    x = torch.randn(2, 3, 32, 32)
    net: Any = torchvision.models.resnet18()
    net.conv1, net.maxpool, net.fc = nn.Conv2d(3, 64, 3, 1, 2, bias=False), *[nn.Identity()] * 2
    net.load_state_dict({k[9:]: v for k, v in state.items() if k.startswith("backbone.")})
    with torch.inference_mode():
        expected, ours = net.eval()(x), encoder.backbone(x)
    assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()
    begun, _ = backbone("resnet18", 3, 32)  # a run has its own padding, and is told
    assert "padded by 1" in load_weights(begun, tmp_path / "a.pth")


def test_a_network_without_its_first_relu_is_refused(tmp_path: Path) -> None:
    """Each of its tensors fits, and features differ by 2 %: nn.Sequential of the children of
    lightly's ResNetGenerator leaves out what its ``forward`` does between them."""
    torch.save(drawn("lightly-generator"), tmp_path / "a.pth")
    with pytest.raises(ol.UsageError, match="no ReLU"):
        find_encoder(tmp_path / "a.pth", "resnet18").load()


def test_the_network_that_follows_is_taken_where_it_is_alone() -> None:
    state = drawn("solo-learn")
    net, _ = backbone("resnet18", 3, 64, stem="standard")
    found = match(net, state)
    assert found.prefix == "backbone."
    shuffled = dict(reversed(state.items()))
    assert match(net, shuffled).prefix == "backbone."
    named = {"backbone": "online_encoder", "momentum_backbone": "momentum_encoder"}
    parts = {k: k.split(".", 1) for k in state}  # in no order of the alphabet
    other = {f"{named.get(a, a)}.{b}": state[k] for k, (a, b) in parts.items()}
    assert match(net, other).prefix == "online_encoder."
    alone = {k: v for k, v in state.items() if not k.startswith("backbone.")}
    found = match(net, alone)
    assert found.prefix == "momentum_backbone." and len(found.tensors) == 120
    assert torch.equal(found.tensors["conv1.weight"], state["momentum_backbone.conv1.weight"])


def test_a_deeper_networks_weights_are_refused(tmp_path: Path) -> None:
    """ResNet-34's first blocks fit all of ResNet-18's; its features they would not give."""
    torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "a.pth")
    net, _ = backbone("resnet18", 3, 224)
    with pytest.raises(ol.UsageError, match=r"lacks, such as layer1\.2"):
        load_weights(net, tmp_path / "a.pth")
    with pytest.raises(ol.UsageError, match=r"lacks, such as layer1\.2"):
        find_encoder(tmp_path / "a.pth", "resnet18").load()


def test_an_encoder_that_lacks_a_tensor_is_not_measured(tmp_path: Path) -> None:
    state = torchvision.models.resnet18().state_dict()
    del state["layer3.0.conv1.weight"]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ol.UsageError, match=r"119 of the 120 tensors.*layer3\.0\.conv1"):
        find_encoder(tmp_path / "a.pth", "resnet18").load()
    net, _ = backbone("resnet18", 3, 224)  # to begin from it is another matter
    assert "fresh: layer3.0.conv1.weight" in load_weights(net, tmp_path / "a.pth")


class Config:
    """Stands for what a training script leaves in its checkpoint."""


def test_a_checkpoint_with_objects_is_one_sentence(tmp_path: Path) -> None:
    torch.save({"state_dict": drawn("solo-learn"), "hyper_parameters": Config()},
               tmp_path / "a.ckpt")  # fmt: skip
    with pytest.raises(ol.UsageError, match=r"holds .*Config\).*\"state_dict\" alone"):
        find_encoder(tmp_path / "a.ckpt", "resnet18").load()
