"""Encoders from elsewhere give the features that their own libraries give."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image

import ownlatent as ol
from ownlatent.foreign import ForeignEncoder, find_encoder


@pytest.fixture(scope="module")
def image() -> Image.Image:
    rows = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    return Image.fromarray(rows).resize((320, 280))  # smoother than noise


def test_a_state_dict_of_torchvision(tmp_path: Path, image: Image.Image) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(weights=None)
    torch.save(theirs.state_dict(), tmp_path / "net.pth")
    found = find_encoder(tmp_path / "net.pth", "resnet18")
    encoder = found.load()
    theirs.fc = torch.nn.Identity()
    x = encoder.preprocess(encoder.preprocess.tensors(image)[0])
    with torch.inference_mode():
        torch.testing.assert_close(encoder(image), theirs.eval()(x), rtol=1e-4, atol=1e-5)
    assert found.title() == "resnet18 (net.pth)"
    random = found.blank(0)(image)
    assert not torch.allclose(random, encoder(image))
    assert torch.equal(random, found.blank(0)(image))


def test_a_folder_of_hugging_face_and_its_preprocessing(tmp_path: Path, image: Image.Image) -> None:
    torch.manual_seed(1)
    theirs = timm.create_model("resnet18", num_classes=7)
    given = {"crop_pct": 0.95, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.3)}
    theirs.pretrained_cfg.update(given, input_size=(3, 96, 96), interpolation="bicubic")
    timm.models.save_for_hf(theirs, tmp_path / "folder", safe_serialization=True)
    found = find_encoder(tmp_path / "folder")
    encoder = found.load()
    settings = encoder.preprocessing
    assert (settings.size, settings.crop) == (96, 0.95)
    assert (settings.mean, settings.std) == (given["mean"], given["std"])
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=theirs))
    theirs.reset_classifier(0)
    with torch.inference_mode():
        expected = theirs.eval()(transform(image)[None])
        got = encoder(image)
    # They round sizes and pixels between resizing and cropping; we resample once.
    assert torch.nn.functional.cosine_similarity(got, expected).item() > 0.995
    assert found.title() == "folder (Hugging Face)"


def test_a_name_of_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    create = timm.create_model

    def without_network(name: str, pretrained: bool = False, **options):
        asked.append((name, pretrained))
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", without_network)
    found = find_encoder("resnet18.a1_in1k")
    assert isinstance(found, ForeignEncoder) and found.title() == "resnet18.a1_in1k (timm)"
    found.load()
    assert asked == [("resnet18.a1_in1k", True)]


def test_evaluated_like_our_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "net.pth")
    pixels = np.random.default_rng(0).integers(0, 256, (24, 3, 16, 16), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=pixels, labels=np.arange(24) % 2)
    report = ol.evaluate(
        tmp_path / "net.pth", tmp_path / "data.npz", backbone="resnet18", protocols=["linear"]
    )
    features = [row["features"] for row in report["results"]]
    assert features == ["resnet18 (net.pth)", "random initialisation", "raw pixels"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.npz", "net.pth"]


def test_mistakes_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.pth").write_bytes(b"nonsense")
    with pytest.raises(ol.UsageError, match="--backbone resnet50"):
        find_encoder(tmp_path / "net.pth")
    with pytest.raises(ol.UsageError, match="did you mean"):
        find_encoder(tmp_path / "net.pth", "resnet81")
    with pytest.raises(ol.UsageError, match="without executing code"):
        find_encoder(tmp_path / "net.pth", "resnet18").load()
    with pytest.raises(ol.UsageError, match="leave --backbone out"):
        find_encoder(tmp_path, "resnet18")
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ol.UsageError, match="transformers"):
        find_encoder(tmp_path)
    with pytest.raises(ol.UsageError, match="There is no encoder"):
        find_encoder("no/such/place")

    def offline(*args, **options):
        raise OSError("unreachable")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ol.UsageError, match="could not be fetched"):
        find_encoder("resnet18").load()
    with pytest.raises(ol.UsageError, match="--network"):
        find_encoder("resnet18").load("target")
