"""Diagnostics of features: by hand where figures are ours, and through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import ownlatent as ol
from ownlatent.cli import main
from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.evaluation.diagnose import diagnose, doubles, purity
from ownlatent.networks import backbone
from ownlatent.preprocessing import Preprocessing


def test_purity_by_hand() -> None:
    rows = torch.tensor([[1, 2], [0, 3], [3, 0], [2, 1]])
    labels = torch.tensor([0, 0, 1, -1])
    # 0: same, other; 1: same, unlabelled; 2: unlabelled, other; 3 has no label itself.
    assert purity(rows, labels) == pytest.approx(2 / 4)


def test_doubles_are_named_once_nearest_first() -> None:
    cosines = torch.tensor([[0.995, 0.2], [0.995, 0.3], [0.999, 0.1], [0.999, 0.1]])
    rows = torch.tensor([[1, 2], [0, 3], [3, 0], [2, 1]])
    assert [pair[:2] for pair in doubles(cosines, rows, 0.99)] == [(2, 3), (0, 1)]
    assert doubles(cosines, rows, 0.9999) == []


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty images, of which two are one; and a network at random."""
    folder = tmp_path_factory.mktemp("diagnose")
    images = np.random.default_rng(0).integers(0, 120, (40, 3, 16, 16), dtype=np.uint8)
    images[7] = images[3]
    images[7, 0, 0, 0] ^= 1
    np.savez(folder / "data.npz", images=images, labels=np.arange(40) % 4)
    torch.manual_seed(0)
    net, _ = backbone("small-resnet", 3, 16)
    settings = Preprocessing(3, 16, 1.0, (0.25,) * 3, (0.15,) * 3)
    encoder = Encoder(net, "small-resnet", settings, {"view_size": 12})
    EncoderFolder.write(folder / "run" / "encoder", {"online": encoder})
    return folder


def test_figures_are_those_of_the_features(place: Path) -> None:
    report = diagnose(place / "run", place / "data.npz", images=30, augmentations=4, double=0.9999)
    encoder = ol.load_encoder(place / "run")
    with torch.inference_mode():
        features = encoder(torch.from_numpy(np.load(place / "data.npz")["images"]))
    assert report["features"] == list(features.shape)
    assert report["rankme"] == pytest.approx(ol.diagnostics.rankme(features).item(), rel=1e-4)
    (pair,) = report["doubles"]["nearest"]
    assert pair[:2] == ["row:3", "row:7"]
    z = torch.nn.functional.normalize(features, dim=1)
    near = (z @ z.T).fill_diagonal_(-1).topk(10).values.mean(1)
    assert report["outliers"][0][0] == f"row:{int(near.argmin())}"
    assert 1 <= report["lidar"] <= 30 and 0 < report["alignment"] < 4
    assert report == diagnose(
        place / "run", place / "data.npz", images=30, augmentations=4, double=0.9999
    )
    other = diagnose(place / "run", place / "data.npz", images=30, augmentations=4, seed=1)
    assert other["lidar"] != report["lidar"] and other["rankme"] == report["rankme"]
    assert json.loads((place / "run" / "diagnostics.json").read_text()) == other


def test_on_the_command_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(place / "data.npz"), "--images", "10", "--augmentations", "2"]
    main(["diagnose", str(place / "run"), *words])
    shown = capsys.readouterr().out
    for word in ("RankMe", "LiDAR", "purity", "doubles", "least like"):
        assert word in shown


def test_mistakes_are_one_sentence(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ol.UsageError, match="augmentations"):
        diagnose(place / "run", place / "data.npz", augmentations=1)
    np.save(tmp_path / "few.npy", np.zeros((3, 3, 16, 16), np.uint8))
    with pytest.raises(ol.UsageError, match="number of images must be at least 12"):
        diagnose(place / "run", tmp_path / "few.npy")
