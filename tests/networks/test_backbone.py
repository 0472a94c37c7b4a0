"""Backbones by name, their stems, and starting weights."""

from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from ownlatent.errors import UsageError
from ownlatent.networks import backbone, initial_weights, load_weights


def test_small_images_get_the_small_stem() -> None:
    small, line = backbone("resnet18", size=32)
    assert isinstance(small.maxpool, nn.Identity)
    assert (small.conv1.kernel_size, small.conv1.stride) == ((3, 3), (1, 1))
    assert "3x3" in line and "512 features" in line
    large, line = backbone("resnet18", size=224)
    assert (large.conv1.kernel_size, large.conv1.stride) == ((7, 7), (2, 2))
    assert "standard" in line
    assert small(torch.zeros(2, 3, 32, 32)).shape == (2, 512)


@pytest.mark.parametrize("name", ["resnet18", "resnet50x2", "vgg11", "vit_tiny_patch16_224"])
def test_a_standard_stem_is_the_models_own_at_any_size(name: str) -> None:
    net, line = backbone(name, size=64, stem="standard")
    as_published, _ = backbone(name, size=224)
    shapes = {k: v.shape for k, v in as_published.state_dict().items() if k != "pos_embed"}
    assert {k: v.shape for k, v in net.state_dict().items() if k != "pos_embed"} == shapes
    assert "standard stem" in line


def test_a_stem_of_no_kind_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="stem is auto or standard; got 'deep'"):
        backbone("resnet18", stem="deep")


@pytest.mark.parametrize("name", ["small-resnet", "resnet10t", "mobilenetv3_small_050"])
def test_any_channels_in_one_vector_out(name: str) -> None:
    net, _ = backbone(name, channels=5, size=32)
    assert net.training
    assert net.eval()(torch.zeros(2, 5, 32, 32)).shape == (2, net.num_features)


def test_a_vit_is_built_for_the_size() -> None:
    net, line = backbone("vit_tiny_patch16_224", size=32)
    assert net.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 192)
    assert "4-pixel patches" in line


def test_an_unknown_name_meets_the_nearest() -> None:
    with pytest.raises(UsageError, match="resnet18"):
        backbone("resnet-18")


def test_a_size_that_does_not_fit_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="cannot take"):
        backbone("swin_tiny_patch4_window7_224", size=50)


def test_torchvision_weights_fill_a_timm_backbone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = torchvision.models.resnet18(weights=None)
    torch.save(source.state_dict(), tmp_path / "r18.pth")
    net, _ = backbone("resnet18", size=224)
    line = load_weights(net, tmp_path / "r18.pth")
    assert "120 of 120" in line
    source.fc = nn.Identity()
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(net.eval()(x), source.eval()(x))


def test_timm_weights_and_what_does_not_match(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(timm.create_model("resnet18").state_dict(), tmp_path / "r18.safetensors")
    net, _ = backbone("resnet18", size=32)
    line = load_weights(net, tmp_path / "r18.safetensors")
    assert "119 of 120" in line and "conv1.weight" in line
    other, _ = backbone("small-resnet", size=32)
    with pytest.raises(UsageError, match="fits only"):
        load_weights(other, tmp_path / "r18.safetensors")


def cached(folder: Path, repository: str, state: dict[str, torch.Tensor]) -> None:
    """Weights as huggingface_hub leaves them in its cache."""
    place = folder / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    (place / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(state, place / "snapshots" / ("0" * 40) / "model.safetensors")


def test_timms_own_weights_come_from_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TIMM_USE_OLD_CACHE", "0")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.file_download, "HF_HUB_CACHE", str(tmp_path), raising=False)
    net, _ = backbone("resnet10t", size=224)
    with pytest.raises(UsageError, match=r"weights of resnet10t are not on this machine.*--init"):
        initial_weights(net, "resnet10t", "pretrained")
    torch.manual_seed(0)
    source = timm.create_model("resnet10t")
    cached(tmp_path, "timm/resnet10t.c3_in1k", source.state_dict())
    for asked in ("pretrained", Path("pretrained:c3_in1k")):
        net, _ = backbone("resnet10t", size=224)
        assert "of resnet10t" in initial_weights(net, "resnet10t", asked).replace("from", "of")
        source.reset_classifier(0)
        x = torch.randn(2, 3, 64, 64)
        torch.testing.assert_close(net.eval()(x), source.eval()(x), atol=1e-5, rtol=1e-5)


def test_weights_that_timm_has_not_are_one_sentence() -> None:
    net, _ = backbone("small-resnet", size=32)
    with pytest.raises(UsageError, match="no pretrained weights of small-resnet; give a file"):
        initial_weights(net, "small-resnet", "pretrained")
    with pytest.raises(UsageError, match="no pretrained weights 'b' of resnet10t; it has c3_in1k"):
        initial_weights(net, "resnet10t", "pretrained:b")


class Hostile:
    def __reduce__(self):  # type: ignore[no-untyped-def]
        return (open, ("pwned", "w"))


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Hostile()}, "bad.pth")
    net, _ = backbone("small-resnet", size=32)
    with pytest.raises(UsageError):
        load_weights(net, "bad.pth")
    assert not Path("pwned").exists()
    with pytest.raises(UsageError, match="no weights"):
        load_weights(net, "missing.pth")
