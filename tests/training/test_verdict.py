"""The verdict: collapse is found soon, in any of its forms, and a healthy run is left in peace."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ownlatent as ol
from ownlatent.data import decode_canvases, open_source
from ownlatent.demo import TEST
from ownlatent.training.checkpoint import Checkpoints
from ownlatent.training.verdict import Spread, judge

OPTIONS: dict[str, Any] = {
    "backbone": "small-resnet",
    "size": 12,
    "batch_size": 32,
    "hidden": 128,
    "dim": 64,
    "tau": 0.97,
    "base_lr": 0.8,
    "precision": "fp32",
    "log_every": 20,
}


# What the paper's table 5b shows to collapse, and a target that is the network itself.
BROKEN: list[dict[str, Any]] = [{"predictor": False}, {"targets": "shared"}]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return decode_canvases(open_source(TEST)).pixels[:1024].numpy()


def verdicts(run: ol.Run) -> list[str]:
    return [c["verdict"] for c in json.loads((run.folder / "verdict.json").read_text())["checks"]]


@pytest.mark.parametrize("broken", BROKEN)
def test_collapse_is_found(broken: dict[str, Any], images: np.ndarray, tmp_path: Path) -> None:
    run = ol.pretrain(images, out=tmp_path / "run", steps=200, **OPTIONS | broken)
    assert verdicts(run)[-1] == "collapsed"
    assert run.log[-1]["verdict"] == "collapsed" and "verdict" not in run.log[0]


def test_collapse_can_stop_a_run(images: np.ndarray, tmp_path: Path) -> None:
    options = OPTIONS | BROKEN[0] | {"steps": 900, "on_collapse": "stop"}
    with pytest.raises(ol.Collapsed, match=r"nearly parallel.*--base-lr"):
        ol.pretrain(images, out=tmp_path / "a", **options)
    run = ol.Run(tmp_path / "a")
    assert 100 < run.log[-1]["step"] <= 400
    assert json.loads((run.folder / "state.json").read_text())["state"] == "collapsed"
    assert (run.folder / "encoder" / "config.json").is_file()


def test_a_healthy_run_is_left_in_peace(images: np.ndarray, tmp_path: Path) -> None:
    run = ol.pretrain(images, out=tmp_path / "run", steps=200, on_collapse="stop", **OPTIONS)
    assert verdicts(run) == ["healthy"] * 3
    summary = json.loads((run.folder / "verdict.json").read_text())
    assert summary["at_chance"] == "not applicable"
    assert [check["step"] for check in summary["checks"]] == [0, 100, 200]
    for spectra in summary["spectra"].values():
        for values in spectra.values():
            assert values[0] == 1.0 and values == sorted(values, reverse=True)


def test_too_large_a_rate_diverges(images: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ol.Diverged, match="lower --base-lr"):
        ol.pretrain(images, out=tmp_path / "run", steps=200, **OPTIONS | {"base_lr": 1e6})
    folder = ol.Run(tmp_path / "run").folder
    summary = json.loads((folder / "verdict.json").read_text())
    assert summary["verdict"] == "diverged"
    replay = json.loads((folder / "diverged.json").read_text())
    assert len(replay["images"]) == 32 and replay["step"] == summary["checks"][-1]["step"]


def test_nothing_that_is_not_finite_is_saved(images: np.ndarray, tmp_path: Path) -> None:
    options = OPTIONS | {"base_lr": 1e6, "checkpoint_steps": 1, "keep": 1}
    with pytest.raises(ol.Diverged):
        ol.pretrain(images, out=tmp_path / "run", steps=200, **options)
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    state = checkpoints.load(checkpoints.steps()[-1])
    assert all(bool(t.isfinite().all()) for k, t in state["method"].items() if "weight" in k)


def test_checks_leave_the_run_as_it_is(
    images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batch norm's running statistics above all."""
    from ownlatent.training import verdict

    states = []
    for every in (3, 1000):
        monkeypatch.setattr(verdict, "EVERY", every)
        options = OPTIONS | {"log_every": 3}
        run = ol.pretrain(images, out=tmp_path / str(every), steps=9, **options)
        states.append(Checkpoints(run.folder / "checkpoints").load(9)["method"])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def spread(features: Tensor, noise: float = 0.1) -> Spread:
    return Spread.of(features, features + noise * torch.randn_like(features))


def test_words_for_known_spectra() -> None:
    """Gaussians whose spread and number of directions are known."""
    torch.manual_seed(0)
    round_ = torch.randn(256, 64)
    shifted = round_ + 40  # nearly parallel: spread |noise| / |mean| = 1/40
    line = torch.randn(256, 1) * torch.randn(64) + 1e-3 * round_
    before = {"features": spread(round_), "embeddings": spread(round_)}
    assert before["embeddings"].std == pytest.approx(1, abs=0.05)
    assert spread(shifted).std == pytest.approx(1 / 40, rel=0.1)
    # 64 equal singular values but for the sample's own scatter.
    assert 50 < before["features"].effective_rank <= 64

    def word(features: Tensor, embeddings: Tensor, loss: float = 1.0, chance: Any = None) -> str:
        now = {"features": spread(features), "embeddings": spread(embeddings)}
        return judge(before, now, loss, chance)[0]

    assert word(round_, round_) == "healthy"
    assert word(round_, shifted) == "collapsed"
    assert word(shifted, round_) == "collapsed"
    assert word(round_, line) == "dimensional collapse"
    assert word(line, round_) == "dimensional collapse"
    assert word(round_, torch.zeros(256, 64)) == "collapsed"
    # All near one point, though their directions differ: what no objective with norms can do.
    assert word(round_, 0.01 * round_) == "collapsed"
    assert word(round_, 0.1 * round_) == word(0.001 * round_, round_) == "healthy"
    assert word(round_, round_, loss=math.nan) == "diverged"
    assert word(round_ * math.inf, round_) == "diverged"
    # SwAV's loss over 3,000 prototypes while it only guesses: ln 3000 = 8.006.
    assert word(round_, round_, loss=8.0, chance=math.log(3000)) == "at chance"
    assert word(round_, round_, loss=7.0, chance=math.log(3000)) == "healthy"
