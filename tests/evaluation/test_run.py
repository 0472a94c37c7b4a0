"""Evaluating a run: which network, which images, and what is held against it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import ownlatent as ol
from ownlatent.data import decode_canvases, open_source
from ownlatent.demo import TEST
from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.evaluation.knn import knn
from ownlatent.kinds.raw_pixels import RawPixels
from ownlatent.networks import backbone
from ownlatent.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks at random: nothing here depends on their being any good."""
    folder = tmp_path_factory.mktemp("run")
    settings = Preprocessing(3, 32, 1.0, (0.5,) * 3, (0.25,) * 3)
    made = {}
    for seed, name in enumerate(("online", "target")):
        torch.manual_seed(10 + seed)
        net, _ = backbone("small-resnet", 3, 32)
        made[name] = Encoder(net, "small-resnet", settings, {"method": "byol"})
    EncoderFolder.write(folder / "encoder", made)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    canvases = decode_canvases(open_source(TEST))
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, images=canvases.pixels[:600].numpy(), labels=canvases.labels[:600].numpy())
    return path


def accuracies(report: dict, features: str) -> dict[str, float]:  # type: ignore[type-arg]
    return {r["protocol"]: r["accuracy"] for r in report["results"] if r["features"] == features}


def test_baselines_protocols_and_what_a_result_carries(run: Path, data: Path) -> None:
    report = ol.evaluate(run, data, seed=3)
    kinds = {r["features"] for r in report["results"]}
    assert kinds == {"BYOL (online)", "random initialisation", "raw pixels"}
    for result in report["results"]:
        assert result["low"] < result["accuracy"] < result["high"]
        assert result["n_train"] + result["n_test"] == 600
        assert result["seed"] == 3 and result["details"]
    kept = [json.loads((run / f"{name}.json").read_text()) for name in ("evaluation", "confusion")]
    assert kept[0] | kept[1] == report
    own = [row for row in report["results"] if row["features"].startswith("BYOL")]
    for row in own:
        cells = report["confusion"][row["protocol"]]
        assert sum(count for *_, count in cells) == row["n_test"]
        right = sum(count for true, taken, count in cells if true == taken)
        assert right == pytest.approx(row["accuracy"] * row["n_test"])
    assert ol.evaluate(run, data, seed=3) == report


def test_the_online_network_unless_asked(run: Path, data: Path) -> None:
    """METHODS.md §12.21."""
    canvases = decode_canvases(open_source(data))
    held = 500

    def score(network: str) -> float:
        net = ol.load_encoder(run, network=network)
        with torch.inference_mode():
            x = net(canvases.pixels)
        y = canvases.labels
        return knn(x[:held], y[:held], x[held:], y[held:], k=20, temperature=0.07).accuracy

    train, test = data.with_name("train.npz"), data.with_name("test.npz")
    pixels, labels = canvases.pixels.numpy(), canvases.labels.numpy()
    np.savez(train, images=pixels[:held], labels=labels[:held])
    np.savez(test, images=pixels[held:], labels=labels[held:])
    options = {"test": test, "protocols": ["knn"], "baselines": False}
    name = "kNN (k=20, T=0.07)"
    plain = accuracies(ol.evaluate(run, train, **options), "BYOL (online)")
    target = accuracies(ol.evaluate(run, train, network="target", **options), "BYOL (target)")
    assert plain[name] == score("online") and target[name] == score("target")
    assert plain != target  # in one setting or the other: two networks may tie in one


def test_overlap_of_test_and_training_images_is_counted(run: Path, data: Path) -> None:
    report = ol.evaluate(run, data, test=data, protocols=["knn"], baselines=False)
    assert report["data"]["test_images_in_train"] == 600


def test_limit_takes_the_first_images(run: Path, data: Path) -> None:
    report = ol.evaluate(run, data, test=data, limit=250, protocols=["knn"], baselines=False)
    assert {r["n_train"] for r in report["results"]} == {250}


def test_raw_pixels_are_the_pixels() -> None:
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    mean, std = (0.1, 0.2, 0.3), (0.5, 1.0, 2.0)
    features = RawPixels(mean, std)(images).view(2, 3, 64)
    for channel in range(3):
        expected = (images[:, channel].flatten(1).float() / 255 - mean[channel]) / std[channel]
        torch.testing.assert_close(features[:, channel], expected)
    large = RawPixels([0.0], [1.0])(torch.full((1, 1, 100, 60), 51, dtype=torch.uint8))
    torch.testing.assert_close(large, torch.full((1, 1024), 0.2))


def test_mistakes_are_one_sentence(run: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ol.UsageError, match="knn, linear"):
        ol.evaluate(run, data, protocols=["svm"])
    with pytest.raises(ol.UsageError, match="no encoder"):
        ol.evaluate(tmp_path, data)
    images = np.zeros((20, 3, 32, 32), np.uint8)
    np.savez(tmp_path / "x.npz", images=images)
    with pytest.raises(ol.UsageError, match="label"):
        ol.evaluate(run, tmp_path / "x.npz")


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    lines = [f"{n},{'uvw'[n % 3]},{'abc'[n % 3]}" for n in range(60)]
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("\n".join(["n,x,label", *lines]) + "\n")
    options = {"backbone": "mlp-small", "steps": 1, "batch_size": 8, "hidden": 16, "dim": 8}
    run = ol.pretrain(train, out=tmp_path / "run", **options).folder
    fewer = [line for line in lines if not line.endswith("a")]  # so that b and c are 0 and 1
    test.write_text("\n".join(["n,x,label", *fewer]) + "\n")
    report = ol.evaluate(run, train, test=test, protocols=["linear"], seed=1)
    raw = accuracies(report, "raw features")["linear probe"]
    assert raw == 1 and report["data"]["test"] == 40
    test.write_text("\n".join(["n,x,label", *lines]).replace(",c", ",C") + "\n")
    with pytest.raises(ol.UsageError, match=r"test data have 'C' where .* have 'a', 'b', 'c'"):
        ol.evaluate(run, train, test=test)


def test_canvases_decoded_before_give_the_same(run: Path, data: Path) -> None:
    canvases = decode_canvases(open_source(data))
    options = {"protocols": ["knn"], "baselines": False}
    assert ol.evaluate(run, canvases, **options) == ol.evaluate(run, data, **options)
    with pytest.raises(ol.UsageError, match="no labels"):
        ol.evaluate(run, replace(canvases, labels=None), **options)


def test_too_few_labels_are_said_before_anything_is_embedded(run: Path, data: Path) -> None:
    with pytest.raises(ol.UsageError, match=r"20 nearest.*1-shot sees 10"):
        ol.evaluate(run, data, protocols=["linear", "knn@1-shot"])


def test_a_limit_must_leave_every_class(run: Path, tmp_path: Path) -> None:
    canvases = decode_canvases(open_source(TEST))
    assert canvases.labels is not None
    order = canvases.labels.argsort()[:400]
    path = tmp_path / "sorted.npz"
    np.savez(path, images=canvases.pixels[order].numpy(), labels=canvases.labels[order].numpy())
    with pytest.raises(ol.UsageError, match="The first 30 samples have 1 of"):
        ol.evaluate(run, path, limit=30)
