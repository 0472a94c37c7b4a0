"""A run on images that are decoded anew for every batch is the run on canvases in memory."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ownlatent as ol
from ownlatent.data import streamed
from ownlatent.training.checkpoint import Checkpoints
from ownlatent.training.folder import RunFolder
from tests.data.test_shards import tar
from tests.training.test_resume import OPTIONS, WORKER, alike, one_thread  # noqa: F401

STEPS = 11
STREAM = OPTIONS | {"steps": STEPS, "batch_size": 16, "place": "stream"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 images in 3 classes, of several sizes and formats: 4 batches and a half an epoch."""
    root, rng = tmp_path_factory.mktemp("data") / "images", np.random.default_rng(0)
    for row in range(72):
        coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((30 + row % 5, 28))
        path = root / "abc"[row % 3] / f"{row:02d}.{('jpg', 'png')[row % 2]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return root


@pytest.fixture(scope="module")
def shard(folder: Path) -> Path:
    members = []
    for path in sorted(folder.rglob("*.*")):
        members.append((path.name, path.read_bytes()))
        members.append((f"{path.stem}.cls", str("abc".index(path.parent.name)).encode()))
    return tar(folder.parent / "train-0.tar", members)


def kill(out: Path, data: Any, at: int) -> None:
    job = json.dumps([str(out), str(data), STREAM, False, at])
    died = subprocess.run([sys.executable, "-c", WORKER, job], capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


@pytest.mark.parametrize("kind", ["folder", "shard"])
def test_streamed_killed_and_resumed_or_in_memory_are_the_same_bits(
    kind: str, folder: Path, shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pattern relative to where the run began.
    data = folder if kind == "folder" else "train-{0..0}.tar"
    monkeypatch.chdir(folder.parent)
    held = ol.pretrain(data, out=tmp_path / "held", **STREAM | {"place": "host"}).folder
    whole = ol.pretrain(data, out=tmp_path / "whole", **STREAM).folder
    alike(held, whole, STEPS)
    assert "anew" in RunFolder(whole).config()["data"]["summary"]
    if kind == "shard":
        assert shard.is_file()
        kill(tmp_path / "killed", data, 7)  # in the second epoch
        monkeypatch.chdir(tmp_path)
        ol.resume(tmp_path / "killed")
        alike(tmp_path / "killed", whole, STEPS)


def test_views_of_several_steps_at_once_are_ahead_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is made together or expected, across epochs: the same bits."""
    whole = ol.pretrain(folder, out=tmp_path / "whole", **STREAM).folder
    monkeypatch.setattr("ownlatent.training.feed._TOGETHER", 3 * 16 * 16 * 16)
    monkeypatch.setattr(streamed, "AHEAD", 0)
    alike(whole, ol.pretrain(folder, out=tmp_path / "three", **STREAM).folder, STEPS)


def test_changed_shards_stop_a_resume(shard: Path, tmp_path: Path) -> None:
    copy = tmp_path / "train-0.tar"
    copy.write_bytes(shard.read_bytes())
    out = ol.pretrain(copy, out=tmp_path / "run", **STREAM | {"steps": 4}).folder
    config = RunFolder(out).config()
    config["plan"]["total_steps"] = 6
    RunFolder(out).write_config(config)
    os.utime(copy)  # only touched: nothing is another
    file = io.BytesIO()
    Image.new("RGB", (30, 28)).save(file, "PNG")
    members = [(f"{n:02d}.png", file.getvalue()) for n in range(72)]
    members += [(f"{n:02d}.cls", b"1") for n in range(72)]
    other = tar(tmp_path / "other" / "train-0.tar", members)
    with pytest.raises(ol.UsageError, match="not those that"):
        ol.resume(out, other)
    assert ol.resume(out).log[-1]["step"] == 6


def test_a_shard_that_changes_during_a_run_ends_it_with_a_checkpoint_kept(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ownlatent.training.keeper import Keeper

    copy, after = tmp_path / "train-0.tar", Keeper.after
    copy.write_bytes(shard.read_bytes())

    def struck(self: Keeper, done: int) -> None:
        after(self, done)
        if done == 5:
            os.utime(copy, ns=(1, 1))

    monkeypatch.setattr(Keeper, "after", struck)
    monkeypatch.setattr(streamed, "AHEAD", 0)
    with pytest.raises(
        ol.RunFailed, match=r"train-0\.tar has changed.*step 8 is untouched.*resume"
    ):
        ol.pretrain(copy, out=tmp_path / "run", **STREAM)
    monkeypatch.setattr(Keeper, "after", after)
    ol.resume(tmp_path / "run")
    alike(tmp_path / "run", ol.pretrain(shard, out=tmp_path / "whole", **STREAM).folder, STEPS)
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps()[-1] == STEPS
    assert torch.get_num_threads() == 1
