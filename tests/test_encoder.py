"""The encoder folder: save, load, preprocessing, and images of any size."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F
from PIL import Image
from torch import nn

import ownlatent as ol
from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.networks import Middle, backbone, without_batch_statistics
from ownlatent.preprocessing import Preprocessing

RGB = Preprocessing(channels=3, size=24, crop=1.0, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))


def encoder(preprocessing: Preprocessing = RGB) -> Encoder:
    net, _ = backbone("small-resnet", preprocessing.channels, preprocessing.size)
    return Encoder(net, "small-resnet", preprocessing, {"method": "byol"})


def test_saved_and_loaded_it_gives_the_same_features(tmp_path: Path) -> None:
    online, target = encoder(), encoder()
    EncoderFolder.write(tmp_path / "encoder", {"online": online, "target": target})
    images = torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8)
    for path in (tmp_path, tmp_path / "encoder"):
        loaded = ol.load_encoder(path)
        assert not loaded.training
        torch.testing.assert_close(loaded(images), online.eval()(images), rtol=0, atol=0)
    features = ol.load_encoder(tmp_path, network="target")(images)
    torch.testing.assert_close(features, target.eval()(images), rtol=0, atol=0)
    assert features.shape == (4, loaded.num_features) and features.dtype == torch.float32
    with pytest.raises(ol.UsageError, match="online, target"):
        ol.load_encoder(tmp_path, network="teacher")


@pytest.mark.parametrize("crop", [1.0, 0.5])
@pytest.mark.parametrize(("height", "width"), [(48, 80), (24, 24), (40, 16)])
def test_preprocessing_is_torchvisions(height: int, width: int, crop: float) -> None:
    """Central square, antialiased bicubic resize, clamp, normalise (METHODS.md §1, test)."""
    settings = Preprocessing(3, 16, crop, RGB.mean, RGB.std)
    image = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    out = encoder(settings).preprocess(image)
    side = int(crop * min(height, width))  # these sizes leave whole pixels on either side
    cropped = F.center_crop(image.float() / 255, [side, side])
    expected = F.resize(cropped, [16, 16], F.InterpolationMode.BICUBIC, antialias=True).clamp(0, 1)
    expected = F.normalize(expected, RGB.mean, RGB.std)
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=0)


def test_a_squeezed_canvas_is_seen_in_its_true_shape() -> None:
    wide = torch.zeros(1, 3, 40, 40, dtype=torch.uint8)
    wide[..., 10:30] = 255  # the central half of an image twice as wide as high
    out = encoder().preprocess(wide, torch.tensor([[40, 80]]))
    white = (1 - torch.tensor(RGB.mean)) / torch.tensor(RGB.std)
    torch.testing.assert_close(out[0, :, 12, 12], white)
    assert torch.allclose(out[0, :, :, 2:-2], white[:, None, None])


def test_images_of_any_kind_and_size() -> None:
    net = encoder().eval()
    rng = np.random.default_rng(0)
    pil = [Image.fromarray(rng.integers(0, 256, (h, 30, 3), dtype=np.uint8)) for h in (20, 50)]
    features = net(pil)
    assert features.shape == (2, net.num_features)
    torch.testing.assert_close(net(pil[1])[0], features[1])
    as_tensor = torch.from_numpy(np.array(pil[0])).movedim(-1, 0)
    torch.testing.assert_close(net([as_tensor])[0], features[0])
    gray = Image.fromarray(rng.integers(0, 256, (30, 30), dtype=np.uint8))
    assert net(gray).shape == (1, net.num_features)
    deep = as_tensor.to(torch.int32).mul(257).to(torch.uint16)
    torch.testing.assert_close(net([deep])[0], features[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.zeros(2, 3, 8, 8), "uint8 or uint16"),
        (torch.zeros(2, 4, 8, 8, dtype=torch.uint8), "3 channels; got 4"),
        (["a.jpg"], "PIL images; got str"),
    ],
)
def test_what_it_cannot_take_is_one_sentence(images: object, says: str) -> None:
    with pytest.raises(ol.UsageError, match=says):
        encoder()(images)


def test_damage_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ol.UsageError, match="no encoder"):
        ol.load_encoder(tmp_path)
    EncoderFolder.write(tmp_path / "encoder", {"online": encoder()})
    weights = tmp_path / "encoder" / "online.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    with pytest.raises(ol.UsageError, match="damaged"):
        ol.load_encoder(tmp_path)
    weights.write_bytes(whole)
    (tmp_path / "encoder" / "config.json").write_text('{"format": ')
    with pytest.raises(ol.UsageError, match="damaged"):
        ol.load_encoder(tmp_path)


def test_writing_replaces_the_folder_whole(tmp_path: Path) -> None:
    EncoderFolder.write(tmp_path / "encoder", {"online": encoder(), "target": encoder()})
    EncoderFolder.write(tmp_path / "encoder", {"online": encoder()})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["encoder"]
    assert json.loads((tmp_path / "encoder/config.json").read_text())["networks"] == ["online"]


def test_random_initialisation_is_the_seeds(tmp_path: Path) -> None:
    EncoderFolder.write(tmp_path / "encoder", {"online": encoder()})
    folder = EncoderFolder.find(tmp_path)
    first, again, other = (folder.blank(seed).backbone.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(v, again[k]) for k, v in first.items())
    assert any(not torch.equal(v, other[k]) for k, v in first.items())


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("small-resnet", {"norm": "group"}),
    ("small-vit", {"frozen_patches": True}),
    ("small-vit", {"norm": "group", "frozen_patches": False}),
    ("resnet10t", {"stem": "standard"}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_a_backbone_of_options_is_rebuilt(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    net, _ = backbone(name, 3, 24, **options)
    EncoderFolder.write(tmp_path / "encoder", {"online": Encoder(net, name, RGB, options=options)})
    loaded = ol.load_encoder(tmp_path)
    images = torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8)
    expected = Encoder(net, name, RGB).eval()(images)
    torch.testing.assert_close(loaded(images), expected, rtol=0, atol=0)
    frozen = [k for k, p in loaded.backbone.named_parameters() if not p.requires_grad]
    assert frozen == [k for k, p in net.named_parameters() if not p.requires_grad]
    config = json.loads((tmp_path / "encoder/config.json").read_text())
    assert config["backbone_options"] == loaded.options == options


def test_a_folder_from_before_there_were_options_loads(tmp_path: Path) -> None:
    online = encoder()
    EncoderFolder.write(tmp_path / "encoder", {"online": online})
    file = tmp_path / "encoder/config.json"
    config = json.loads(file.read_text())
    del config["backbone_options"], config["middle"]
    file.write_text(json.dumps(config))
    images = torch.randint(0, 256, (2, 3, 24, 24), dtype=torch.uint8)
    torch.testing.assert_close(ol.load_encoder(tmp_path)(images), online.eval()(images))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_backbone_with_the_heads_first_layer_is_rebuilt(
    bias: bool, norm: str, tmp_path: Path
) -> None:
    """SimCLR v2's middle beside the backbone it stands on."""
    options = {"norm": norm}
    net, _ = backbone("small-resnet", 3, 24, **options)
    first = nn.Sequential(nn.Linear(net.num_features, 40, bias=bias), nn.BatchNorm1d(40), nn.ReLU())
    first.train()(10 * torch.randn(8, net.num_features))  # its statistics are worth saving
    if norm == "group":
        without_batch_statistics(first)
    encoders = {
        name: Encoder(each, "small-resnet", RGB, options=options)
        for name, each in {"online": net, "middle": Middle(net, first)}.items()
    }
    EncoderFolder.write(tmp_path / "encoder", encoders)
    config = json.loads((tmp_path / "encoder/config.json").read_text())
    assert config["middle"] == {"middle": {"hidden": 40, "bias": bias}}
    images = torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8)
    online, middle = (ol.load_encoder(tmp_path, network=name) for name in encoders)
    assert (online.num_features, middle.num_features) == (net.num_features, 40)
    assert config["num_features"] == net.num_features
    assert middle(images).shape == (4, 40)
    expected = first.eval()(online(images))
    torch.testing.assert_close(middle(images), expected)
    assert EncoderFolder.find(tmp_path).blank(0, "middle").num_features == 40


HOSTILE: list[dict[str, Any]] = [
    {"backbone_options": value}
    for value in (
        None,
        [],
        "norm",
        {"norm": "layer"},
        {"norm": ["group"]},
        {"norm": None},
        {"frozen_patches": 1},
        {"frozen_patches": "yes"},
        {"name": "resnet18"},
        {"drop_path": 0.5},
        {"stem": 1},
        {"stem": "deep"},
        {"frozen_patches": True},  # of a ResNet
    )
] + [
    {"middle": value}
    for value in (
        None,
        [],
        {"online": None},
        {"online": {}},
        {"online": {"hidden": 8}},
        {"online": {"hidden": True, "bias": True}},
        {"online": {"hidden": 8.0, "bias": True}},
        {"online": {"hidden": 8, "bias": 1}},
        {"online": {"hidden": 0, "bias": True}},
        {"online": {"hidden": 10**15, "bias": True}},
        {"online": {"hidden": 8, "bias": True, "norm": "group"}},
        {"target": {"hidden": 8, "bias": True}},
        {"online": {"hidden": 8, "bias": True}},  # its weights are a backbone's
    )
]


@pytest.mark.parametrize("change", HOSTILE, ids=json.dumps)
def test_settings_that_cannot_be_are_one_sentence(change: dict[str, Any], tmp_path: Path) -> None:
    EncoderFolder.write(tmp_path / "encoder", {"online": encoder()})
    file = tmp_path / "encoder/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ol.UsageError, match=r"damaged|has no patches to freeze"):
        ol.load_encoder(tmp_path)
