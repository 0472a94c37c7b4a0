"""What can happen to a run from outside: a full disk, a hostile pickle, damaged files."""

import errno
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ownlatent as ol
from ownlatent.cli import main
from ownlatent.training.checkpoint import Checkpoints, DamagedCheckpoint
from ownlatent.training.folder import RunFolder
from ownlatent.training.keeper import Keeper

STEPS = 8
OPTIONS = (
    f"--backbone small-resnet --size 8 --batch-size 8 --set hidden=8 dim=4 --steps {STEPS} "
    "--log-every 2 --precision fp32 --checkpoint-steps 2"
).split()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "images.npz"
    images = np.random.default_rng(0).integers(0, 256, (24, 12, 12, 3), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(24) % 3)
    return path


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    main(["pretrain", str(data), "--out", str(out), *OPTIONS])
    return out


@pytest.fixture(scope="module")
def unfinished(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As if the run had been killed after its checkpoints of steps 6 and 8, of 10."""
    out = shutil.copytree(whole, tmp_path_factory.mktemp("runs") / "unfinished")
    config = RunFolder(out).config()
    config["plan"]["total_steps"] = STEPS + 2
    RunFolder(out).write_config(config)
    RunFolder(out).write_state("running")
    return out


# --- a full disk ----------------------------------------------------------------------------------


def fails_full(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with exit code 1 and one sentence."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(command)
    said = capsys.readouterr().err
    assert ended.value.code == 1 and "Traceback" not in said, said
    assert said.count("The disk is full; the checkpoint of step 4 is untouched: free some") == 1
    assert "ownlatent resume" in said.splitlines()[-1]


def goes_on(out: Path, whole: Path) -> None:
    """The last checkpoint loads, and the run ends as one that always had room."""
    assert Checkpoints(out / "checkpoints").steps()[-1] == 4
    assert Checkpoints(out / "checkpoints").load(4)["step"] == 4
    assert not list((out / "checkpoints").glob("*.tmp"))
    main(["resume", str(out)])
    assert RunFolder(out).state()["state"] == "finished"
    files = [run / "encoder" / "online.safetensors" for run in (out, whole)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_full_disk_ends_with_the_last_checkpoint(
    data: Path,
    whole: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flush, out = os.fsync, tmp_path / "run"

    def full(descriptor: int) -> None:
        flush(descriptor)
        if "step-6.tmp" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        fails_full(["pretrain", str(data), "--out", str(out), *OPTIONS], capsys)
    assert RunFolder(out).state()["state"] == "failed"
    goes_on(out, whole)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 80 MB: a checkpoint takes 13."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here ({done.stderr.strip()}); simulated above")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_really_is_full(
    data: Path,
    whole: Path,
    small_disk: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody else fills it while the run is at work."""
    out, other, after = small_disk / "run", small_disk / "other", Keeper.after

    def filling(self: Keeper, done: int) -> None:
        if done == 5:
            with other.open("wb", buffering=0) as file:
                while True:
                    try:
                        file.write(bytes(4096))
                    except OSError:
                        break
        after(self, done)

    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "after", filling)
        fails_full(["pretrain", str(data), "--out", str(out), *OPTIONS], capsys)
    assert RunFolder(out).state()["state"] in ("failed", "killed")
    fails_full(["resume", str(out)], capsys)  # too early
    other.unlink()
    goes_on(out, whole)


def test_a_full_memory_is_a_sentence(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Keeper, done: int) -> None:
        torch.empty(2**60)

    monkeypatch.setattr(Keeper, "after", full)
    with pytest.raises(SystemExit) as ended:
        main(["pretrain", str(data), "--out", str(tmp_path / "run"), *OPTIONS])
    said = capsys.readouterr().err
    assert ended.value.code == 1 and "Traceback" not in said
    assert "The memory is full; nothing was lost" in said and "--batch-size" in said
    assert RunFolder(tmp_path / "run").state()["state"] == "failed"


def test_a_bug_is_not_hidden(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Keeper, done: int) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Keeper, "after", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["pretrain", str(data), "--out", str(tmp_path / "run"), *OPTIONS])
    assert RunFolder(tmp_path / "run").state() == {"state": "failed", "message": "a bug"}


# --- hostile pickles ------------------------------------------------------------------------------


class Payload:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def zipped(payload: Payload, path: Path) -> None:
    torch.save({"step": 8, "method": payload}, path)


def plain(payload: Payload, path: Path) -> None:
    path.write_bytes(pickle.dumps({"step": 8, "method": payload}))


@pytest.mark.parametrize("write", [zipped, plain])
def test_a_hostile_checkpoint_is_not_executed(
    write: Callable[[Payload, Path], None],
    unfinished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The manifest's hash is right: who can write the one can write the other."""
    out, mark = shutil.copytree(unfinished, tmp_path / "run"), tmp_path / "executed"
    checkpoint = out / "checkpoints" / "step-8"
    write(Payload(mark), checkpoint / "state.pt")
    manifest = json.loads((checkpoint / "checkpoint.json").read_text())
    manifest["sha256"] = hashlib.sha256((checkpoint / "state.pt").read_bytes()).hexdigest()
    (checkpoint / "checkpoint.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedCheckpoint, match="does not load"):
        Checkpoints(out / "checkpoints").load(8)
    ol.resume(out)  # from step 6
    assert "step-8 does not load" in capsys.readouterr().err
    assert RunFolder(out).state()["state"] == "finished" and not mark.exists()
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()  # it is hostile indeed


# --- damaged files --------------------------------------------------------------------------------

FUZZ = '''
import collections, hashlib, json, os, random, shutil, sys, traceback
from pathlib import Path

import torch
torch.set_num_threads(1)
import ownlatent as ol
from ownlatent.report.run import report
from ownlatent.training import pretraining
from ownlatent.training.checkpoint import Checkpoints, DamagedCheckpoint
from ownlatent.training.folder import RunFolder
from ownlatent.training.runs import listing, runs

pretraining.train = lambda *parts: None  # to resume is to load and to save
source, place, data = map(Path, sys.argv[1:])
VALUES = [None, True, -1, 0, 7, 1e308, float("nan"), 10**30, "x", "", [], {}, [1], {"a": 1}]


def truncate(content, random):
    return content[: random.randrange(len(content))]

def flip(content, random):
    changed = bytearray(content)
    for _ in range(random.randint(1, 8)):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)

def splice(content, random):
    a, b, n = (random.randrange(len(content)) for _ in range(3))
    n = min(n, 200)
    return content[:b] + content[a : a + n] + content[b + random.choice([0, n]) :]

def swap(content, random):
    """Another value, often of another type, somewhere in the JSON."""
    lines = content.splitlines() if content.count(b"}\\n{") else [content]
    at = random.randrange(len(lines))
    value = top = json.loads(lines[at])
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = random.choice(list(keys))
        if isinstance(value[key], (dict, list)) and value[key] and random.random() < 0.8:
            value = value[key]
        else:
            value[key] = random.choice(VALUES)
            break
    lines[at] = json.dumps(top).encode()
    return b"\\n".join(lines)

def load(run):
    encoder = ol.load_encoder(run)
    if encoder.preprocessing.size <= 32:
        encoder(torch.zeros(1, encoder.preprocessing.channels, 9, 9, dtype=torch.uint8))

def look(run):
    RunFolder(run).config(), RunFolder(run).state(), RunFolder(run).log()

def listed(run):
    listing(runs(run.parent))

def resume(run):
    ol.resume(run)

def page(run):
    report(run, data)

def checkpoint(run):
    Checkpoints(run / "checkpoints").load(8)

def rehashed(run):
    """As if the hash were of the damaged file."""
    step = run / "checkpoints" / "step-8"
    manifest = json.loads((step / "checkpoint.json").read_text())
    manifest["sha256"] = hashlib.sha256((step / "state.pt").read_bytes()).hexdigest()
    (step / "checkpoint.json").unlink()  # a link, too
    (step / "checkpoint.json").write_text(json.dumps(manifest))
    checkpoint(run)

binary, text = [truncate, flip, splice], [truncate, flip, splice, swap, swap, swap]
PLAN = [
    ("encoder/online.safetensors", binary, load, 60),
    ("encoder/config.json", text, load, 100),
    ("config.json", text, look, 150),
    ("config.json", text, listed, 30),
    ("config.json", text, resume, 30),
    ("config.json", text, page, 12),
    ("state.json", text, listed, 30),
    ("log.jsonl", text, listed, 30),
    ("log.jsonl", text, resume, 12),
    ("log.jsonl", text, page, 12),
    ("verdict.json", text, listed, 30),
    ("evaluation.json", text, listed, 30),
    ("evaluation.json", text, page, 12),
    ("checkpoints/step-8/checkpoint.json", text, checkpoint, 60),
    ("checkpoints/step-8/state.pt", binary, checkpoint, 30),
    ("checkpoints/step-8/state.pt", binary, rehashed, 60),
]
outcomes = collections.Counter()
for name, ways, act, count in PLAN:
    content = (source / name).read_bytes()
    for seed in range(count):
        draw = random.Random(f"{name} {act.__name__} {seed}")
        way = ways[seed % len(ways)]
        changed = way(content, draw)
        run = place / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(source, run, copy_function=os.link)
        (run / name).unlink()
        (run / name).write_bytes(changed)
        print(name, way.__name__, act.__name__, seed, file=sys.stderr, flush=True)
        try:
            act(run)
            outcomes[act.__name__, "success"] += 1
        except (ol.UsageError, DamagedCheckpoint):
            outcomes[act.__name__, "refused"] += 1
        except BaseException:
            sys.exit(traceback.format_exc())
print(json.dumps([[*key, count] for key, count in outcomes.items()]))
'''


def test_damaged_files_are_refused_and_never_end_the_process(
    unfinished: Path, data: Path, tmp_path: Path
) -> None:
    """Each of some 700 mutations of a run's files is read, or refused by the errors for that."""
    source = shutil.copytree(unfinished, tmp_path / "source")
    ol.evaluate(source, data, protocols=["knn"], baselines=False)
    (tmp_path / "place").mkdir()
    command = [sys.executable, "-c", FUZZ, *map(str, (source, tmp_path / "place", data))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    outcomes = {tuple(key): count for *key, count in json.loads(done.stdout.splitlines()[-1])}
    for act in ("load", "look", "resume", "page", "checkpoint"):
        assert outcomes[act, "refused"] > 0, outcomes
    assert outcomes["listed", "success"] > 0 and ("listed", "refused") not in outcomes
