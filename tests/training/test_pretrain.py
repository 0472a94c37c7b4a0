"""A run from images to encoder, small enough for a test."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import ownlatent as ol
from ownlatent.data import decode_canvases, open_source
from ownlatent.demo import TEST
from ownlatent.training.probe import OnlineProbe

OPTIONS = {
    "backbone": "small-resnet",
    "size": 16,
    "batch_size": 32,
    "hidden": 32,
    "dim": 16,
    "log_every": 2,
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return decode_canvases(open_source(TEST)).pixels[:160].numpy()


@pytest.fixture(scope="module")
def finished(images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> ol.Run:
    return ol.pretrain(images, out=tmp_path_factory.mktemp("runs") / "a", steps=6, **OPTIONS)


def test_what_a_run_leaves(finished: ol.Run) -> None:
    rows = finished.log
    assert [row["step"] for row in rows] == [2, 4, 6]
    for row in rows:
        assert 0 < row["loss"] < 8
        assert 0 <= row["data_wait"] <= 1 and row["images_per_second"] > 0
        assert row["feature_std"] > 0 and row["effective_rank"] > 1
    assert rows[-1]["tau"] > rows[0]["tau"]
    config = finished.config
    assert config["plan"]["total_steps"] == 6
    assert len(config["data"]["fingerprint"]) == 64
    assert "torch" in config["versions"]
    assert not (finished.folder / "encoder.tmp").exists()


def test_a_run_is_a_function_of_its_seed(
    images: np.ndarray, finished: ol.Run, tmp_path: Path
) -> None:
    again = ol.pretrain(images, out=tmp_path / "b", steps=6, **OPTIONS)
    other = ol.pretrain(images, out=tmp_path / "c", steps=6, **OPTIONS | {"seed": 1})
    first = finished.encoder().state_dict()
    assert all(torch.equal(v, first[k]) for k, v in again.encoder().state_dict().items())
    assert [r["loss"] for r in again.log] == [r["loss"] for r in finished.log]
    assert [r["loss"] for r in other.log] != [r["loss"] for r in finished.log]


def test_the_first_step_moves_nothing_but_buffers(images: np.ndarray, tmp_path: Path) -> None:
    """Warm-up begins at a learning rate of 0 (METHODS.md §12.20)."""
    run = ol.pretrain(images, out=tmp_path / "a", steps=1, **OPTIONS | {"weight_decay": 0.1})
    torch.manual_seed(0)
    from ownlatent.networks import backbone

    fresh, _ = backbone("small-resnet", 3, 16)
    trained = run.encoder().backbone
    for p, q in zip(fresh.parameters(), trained.parameters(), strict=True):
        assert torch.equal(p, q)


def test_accumulation_averages_the_micro_batches_gradients(
    images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One optimizer step per batch, and the EMA once per optimizer step (METHODS.md §12.3)."""
    from ownlatent.methods import BYOL

    calls: list[int] = []
    after_step = BYOL.after_step
    monkeypatch.setattr(
        BYOL, "after_step", lambda self, s, *more: (calls.append(s), after_step(self, s, *more))[0]
    )
    run = ol.pretrain(images, out=tmp_path / "a", steps=4, accumulate=4, **OPTIONS)
    assert calls == [0, 1, 2, 3]
    assert run.log[-1]["step"] == 4


def test_labels_bring_an_online_probe(tmp_path: Path) -> None:
    run = ol.pretrain(TEST, out=tmp_path / "a", steps=2, **OPTIONS)
    assert 0 <= run.log[-1]["probe_accuracy"] <= 1


def test_the_probe_cannot_reach_the_features() -> None:
    """METHODS.md §12.23: detached features, and an optimizer of its own."""
    features = torch.randn(8, 4, requires_grad=True)
    probe = OnlineProbe(4, 3)
    loss, accuracy = probe(features, torch.tensor([0, 1, 2, -1, 0, 1, 2, -1]))
    loss.backward()
    assert features.grad is None
    assert probe.classifier.weight.grad is not None
    assert 0 <= accuracy <= 1


def test_labels_do_not_change_what_is_learned(images: np.ndarray, tmp_path: Path) -> None:
    labels = np.arange(len(images)) % 3
    np.savez(tmp_path / "labelled.npz", images=images, labels=labels)
    np.savez(tmp_path / "plain.npz", images=images)
    runs = [
        ol.pretrain(tmp_path / f"{name}.npz", out=tmp_path / name, steps=4, **OPTIONS)
        for name in ("labelled", "plain")
    ]
    assert "probe_accuracy" in runs[0].log[-1] and "probe_accuracy" not in runs[1].log[-1]
    first, second = (run.encoder().state_dict() for run in runs)
    assert all(torch.equal(v, second[k]) for k, v in first.items())


@pytest.mark.parametrize("optimizer", ["lars", "sgd", "adamw"])
def test_every_optimizer_learns_something(
    images: np.ndarray, tmp_path: Path, optimizer: str
) -> None:
    rate = {"lars": 2.0, "sgd": 1.0, "adamw": 0.02}[optimizer]
    run = ol.pretrain(
        images, out=tmp_path / "a", steps=30, optimizer=optimizer, base_lr=rate, **OPTIONS
    )
    assert run.log[-1]["loss"] < 0.9 * run.log[0]["loss"]


def test_divergence_names_its_step_and_keeps_an_encoder(images: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ol.Diverged, match=r"at step \d+; take a lower --base-lr"):
        ol.pretrain(images, out=tmp_path / "a", steps=12, optimizer="sgd", base_lr=1e20, **OPTIONS)
    assert (tmp_path / "a" / "encoder" / "config.json").is_file()


def test_a_folder_in_use_is_left_alone(images: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ol.UsageError, match="choose another --out"):
        ol.pretrain(images, out=tmp_path, steps=1, **OPTIONS)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(ol.UsageError, match=r"'epoch'.*epochs"):
        ol.pretrain(TEST, out=tmp_path / "a", epoch=3)


def test_reference_views_train_too(images: np.ndarray, tmp_path: Path) -> None:
    run = ol.pretrain(images, out=tmp_path / "a", steps=2, reference=True, **OPTIONS)
    assert json.loads((run.folder / "config.json").read_text())["asked"]["reference"] is True
