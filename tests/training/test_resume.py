"""A run that is killed, stopped or fails ends bit for bit as one that never was."""

import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ownlatent as ol
from ownlatent.data import decode_canvases, open_source
from ownlatent.demo import TEST
from ownlatent.training.checkpoint import Checkpoints
from ownlatent.training.folder import RunFolder
from ownlatent.training.keeper import Keeper

STEPS = 14
OPTIONS: dict[str, Any] = {
    "backbone": "small-resnet",
    "size": 16,
    "batch_size": 32,
    "hidden": 32,
    "dim": 16,
    "log_every": 3,
    "precision": "fp32",
    "checkpoint_steps": 4,
    "steps": STEPS,
    "labelled": True,
}
CLOCKS = {"seconds", "images_per_second", "data_wait", "overhead"}

# A process that is killed at a given step, or while it writes that step's checkpoint.
WORKER = """
import json, os, signal, sys
import torch
torch.set_num_threads(1)
import ownlatent as ol
from ownlatent.training import checkpoint
from ownlatent.training.keeper import Keeper

out, data, options, writing, at = json.loads(sys.argv[1])
after, write = Keeper.after, checkpoint._write

def struck(self, done):
    if done == at:
        os.kill(os.getpid(), signal.SIGKILL)
    after(self, done)

def written(path, content):
    write(path, content)
    if path.name == "state.pt" and path.parent.name == f"step-{at}.tmp":
        os.kill(os.getpid(), signal.SIGKILL)

if writing:
    checkpoint._write = written
else:
    Keeper.after = struck
if os.path.exists(out):
    ol.resume(out)
else:
    ol.pretrain(data, out=out, **options)
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As many threads as the worker has: sums come out the same to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = decode_canvases(open_source(TEST)).pixels[:160].numpy()
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, images=images, labels=np.arange(160) % 5)
    return path


def kill(out: Path, data: Path, options: dict[str, Any], at: int, writing: bool = False) -> None:
    """Begin the run, or go on with it, in another process that is killed."""
    job = json.dumps([str(out), str(data), options, writing, at])
    command = [sys.executable, "-c", WORKER, job]
    died = subprocess.run(command, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert RunFolder(out).state()["state"] == "killed"


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ol.pretrain(data, out=tmp_path_factory.mktemp("runs") / "whole", **OPTIONS).folder


def same(a: Any, b: Any, where: str = "") -> None:
    """Every number of two nested states is the same, but for clocks."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            if key not in CLOCKS:
                same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for index, (one, two) in enumerate(zip(a, b, strict=True)):
            same(one, two, f"{where}/{index}")
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b), where
    else:
        assert a == b, where


def alike(run: Path, other: Path, steps: int = STEPS) -> None:
    """Weights, target, optimizer, probe, verdicts, loss log and encoder are the same."""
    states = [Checkpoints(each / "checkpoints").load(steps) for each in (run, other)]
    assert {"method", "optimizer", "observer"} <= states[0].keys()
    same(*states)
    logs = [RunFolder(each).log() for each in (run, other)]
    assert len(logs[0]) == -(-steps // 3)
    same(*logs)
    files = [each / "encoder" / "online.safetensors" for each in (run, other)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_killed_at_three_random_steps(data: Path, whole: Path, tmp_path: Path) -> None:
    for at in sorted(random.sample(range(1, STEPS), 3)):
        kill(tmp_path / "killed", data, OPTIONS, at)
    ol.resume(tmp_path / "killed")
    assert RunFolder(tmp_path / "killed").state()["state"] == "finished"
    alike(tmp_path / "killed", whole)


def test_killed_while_a_checkpoint_is_written(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    kill(out, data, OPTIONS, 8, writing=True)
    assert (out / "checkpoints" / "step-8.tmp" / "state.pt").is_file()
    assert Checkpoints(out / "checkpoints").steps() == [4]
    ol.resume(out)
    assert not list((out / "checkpoints").glob("*.tmp"))
    alike(out, whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(
    number: signal.Signals,
    data: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, after = tmp_path / "stopped", Keeper.after
    before = signal.getsignal(number)
    with monkeypatch.context() as patch, pytest.raises(ol.Stopped) as stop:
        patch.setattr(
            Keeper,
            "after",
            lambda self, done: (done == 6 and signal.raise_signal(number), after(self, done)),
        )
        ol.pretrain(data, out=out, **OPTIONS)
    assert stop.value.number == number and f"ownlatent resume {out}" in str(stop.value)
    assert signal.getsignal(number) == before
    assert RunFolder(out).state()["state"] == "stopped"
    assert Checkpoints(out / "checkpoints").steps() == [4, 6]
    ol.resume(out)
    alike(out, whole)


def test_drop_path_goes_on_alike(data: Path, tmp_path: Path) -> None:
    """What draws from torch's own generator is reseeded at every step."""
    options = OPTIONS | {"backbone": "test_resnet", "drop_path": 0.5, "steps": 5}
    kill(tmp_path / "killed", data, options, 5)
    assert Checkpoints(tmp_path / "killed" / "checkpoints").steps() == [4]
    ol.resume(tmp_path / "killed")
    ol.pretrain(data, out=tmp_path / "whole", **options)
    alike(tmp_path / "killed", tmp_path / "whole", steps=5)
    ol.pretrain(data, out=tmp_path / "plain", **options | {"drop_path": 0.0})
    losses = [[row["loss"] for row in RunFolder(tmp_path / n).log()] for n in ("whole", "plain")]
    assert losses[0] != losses[1]  # drop-path was on


def unfinished(out: Path, steps: int) -> None:
    """As if the run had been stopped on its way to ``steps``."""
    config = RunFolder(out).config()
    config["plan"]["total_steps"] = steps
    RunFolder(out).write_config(config)


def test_every_checkpoint_kept_is_one_of_the_newest(whole: Path) -> None:
    checkpoints = Checkpoints(whole / "checkpoints")
    assert checkpoints.steps() == [12, 14]
    assert (checkpoints.folder / "latest").read_text() == "step-14\n"


def test_a_damaged_checkpoint_is_passed_over(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(whole, tmp_path / "damaged")
    state = out / "checkpoints" / "step-14" / "state.pt"
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    ol.resume(out)
    assert "step-14 has changed since it was written" in capsys.readouterr().err
    alike(out, whole)


def test_a_finished_run_is_left_alone(whole: Path) -> None:
    with pytest.raises(ol.UsageError, match="has finished"):
        ol.resume(whole)


def test_other_images_are_refused_unless_told(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = OPTIONS | {"steps": 6}
    ol.pretrain(data, out=out, **options)
    unfinished(out, 8)
    other = tmp_path / "other.npz"
    with np.load(data) as saved:
        np.savez(other, images=saved["images"][::-1], labels=saved["labels"])
    with pytest.raises(ol.UsageError, match=r"not those that .* began with.*--changed-data"):
        ol.resume(out, other)
    assert ol.resume(out, other, changed_data=True).log[-1]["step"] == 8


def test_an_array_must_be_given_again(data: Path, tmp_path: Path) -> None:
    with np.load(data) as saved:
        images = saved["images"]
    options = {k: v for k, v in OPTIONS.items() if k != "labelled"} | {"steps": 4}
    run = ol.pretrain(images, out=tmp_path / "run", **options)
    unfinished(run.folder, 6)
    with pytest.raises(ol.UsageError, match=r"data=array"):
        ol.resume(run.folder)
    assert ol.resume(run.folder, images).log[-1]["step"] == 6


def test_a_run_at_work_is_not_disturbed(tmp_path: Path, whole: Path) -> None:
    with RunFolder(tmp_path / "run"):
        with pytest.raises(ol.UsageError, match="in use"):
            ol.pretrain(TEST, out=tmp_path / "run", steps=1)
        with pytest.raises(ol.UsageError, match="in use by process"), RunFolder(tmp_path / "run"):
            pass
    with (
        RunFolder(whole),
        pytest.raises(ol.UsageError, match="in use"),
    ):
        ol.resume(whole)


def test_an_unfinished_run_is_not_overwritten(whole: Path, data: Path, tmp_path: Path) -> None:
    out = shutil.copytree(whole, tmp_path / "run")
    RunFolder(out).write_state("running")
    with pytest.raises(ol.UsageError, match=f"ownlatent resume {out}"):
        ol.pretrain(data, out=out, **OPTIONS)
