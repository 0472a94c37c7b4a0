"""Trackers hold what the log holds, over kills and resumes, and never end a run."""

import json
import os
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
from ownlatent.cli import main
from ownlatent.tracking import TRACKERS, require, trackers
from ownlatent.tracking.tensorboard import TensorBoard
from ownlatent.training.folder import RunFolder
from ownlatent.training.keeper import Keeper

HERE = [name for name, known in TRACKERS.items() if known.missing() is None]
OPTIONS: dict[str, Any] = {
    "backbone": "small-resnet", "size": 8, "batch_size": 16, "hidden": 8, "dim": 4, "steps": 14,
    "log_every": 2, "checkpoint_steps": 4, "precision": "fp32",
}  # fmt: skip
CLOCKS = {"seconds", "images_per_second", "data_wait", "overhead"}
KILLED_AT = 11  # rows of steps 2 to 10 are out, and the checkpoint is of step 8
WORKER = """
import json, os, signal, sys
import torch
torch.set_num_threads(1)
import ownlatent as ol
from ownlatent.training.keeper import Keeper

out, data, options, at = json.loads(sys.argv[1])
after = Keeper.after

def struck(self, done):
    if done == at:
        os.kill(os.getpid(), signal.SIGKILL)
    after(self, done)

Keeper.after = struck
ol.pretrain(data, out=out, **options)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with images and a store for MLflow, and no network."""
    folder = tmp_path_factory.mktemp("tracked")
    images = np.random.default_rng(0).integers(0, 256, (64, 12, 12, 3), dtype=np.uint8)
    np.savez(folder / "images.npz", images=images, labels=np.arange(64) % 2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.delenv("WANDB_API_KEY", raising=False)
        patch.setenv("WANDB_MODE", "offline")
        yield folder
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    """Killed, resumed, finished and evaluated."""
    out, data = place / "run", str(place / "images.npz")
    job = json.dumps([str(out), data, OPTIONS | {"track": HERE}, KILLED_AT])
    died = subprocess.run([sys.executable, "-c", WORKER, job], capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert [row["step"] for row in RunFolder(out).log()] == [2, 4, 6, 8, 10]
    ol.resume(out)
    ol.evaluate(out, data=data, protocols=["knn"], baselines=False)
    return out


Series = dict[str, dict[int, float]]


def logged(run: Path) -> Series:
    """The numbers of ``log.jsonl``, by name and step."""
    found: Series = {}
    for row in RunFolder(run).log():
        for name, value in row.items():
            if name != "step" and not isinstance(value, str):
                found.setdefault(name, {})[row["step"]] = value
    return found


def same(found: Series, run: Path, tolerance: float = 0.0) -> None:
    expected = logged(run)
    assert list(expected["loss"]) == [2, 4, 6, 8, 10, 12, 14]
    for name, values in expected.items():
        assert list(found[name]) == list(values), name  # each step once, none left out
        if name not in CLOCKS:  # step 10 was done twice
            assert list(found[name].values()) == pytest.approx(list(values.values()), tolerance)


def once(pairs: list[tuple[int, float]]) -> dict[int, float]:
    assert len({step for step, _ in pairs}) == len(pairs), pairs
    return dict(pairs)


def test_tensorboard(run: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard")).Reload()
    tags = events.Tags()
    found = {n: once([(e.step, e.value) for e in events.Scalars(n)]) for n in tags["scalars"]}
    same(found, run, 1e-6)  # it keeps single precision
    texts = {tag: events.Tensors(tag)[-1].tensor_proto.string_val[0] for tag in tags["tensors"]}
    configuration = json.loads(texts["configuration/text_summary"].decode().strip("`\n"))
    assert configuration == RunFolder(run).config()
    verdict = json.loads((run / "verdict.json").read_text())["verdict"]
    assert texts["verdict/text_summary"].decode() == verdict


def wandb_files(run: Path) -> tuple[Series, dict[str, Any], dict[str, Any], set[str]]:
    """What ``wandb sync`` would send: history, summary, configuration and ids of the run."""
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    rows: dict[str, list[tuple[int, float]]] = {}
    summary: dict[str, Any] = {}
    config: dict[str, Any] = {}
    ids = set()
    for file in sorted((run / "wandb").glob("offline-run-*/*.wandb")):
        store = DataStore()
        store.open_for_scan(str(file))
        while (content := store.scan_data()) is not None:
            record = Record()
            record.ParseFromString(content)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                ids.add(record.run.run_id)
            for item in record.history.item if kind == "history" else ():
                name = item.key or ".".join(item.nested_key)
                value = (record.history.step.num, json.loads(item.value_json))
                rows.setdefault(name, []).append(value)
            for item in record.summary.update if kind == "summary" else ():
                summary[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
            configured = {"config": record.config, "run": record.run.config}.get(kind)
            for item in configured.update if configured is not None else ():
                config[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
    return {name: once(pairs) for name, pairs in rows.items()}, summary, config, ids


def test_wandb_offline(run: Path) -> None:
    pytest.importorskip("wandb")
    found, summary, config, ids = wandb_files(run)
    same(found, run)
    assert ids == {json.loads((run / "tracking.json").read_text())["wandb"]["run"]}
    expected = RunFolder(run).config()
    assert {name: config[name] for name in expected} == expected
    assert summary["verdict"] == json.loads((run / "verdict.json").read_text())["verdict"]
    check_results({k: v for k, v in summary.items() if k.startswith("accuracy/")}, run)


def test_mlflow(run: Path, place: Path) -> None:
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    from mlflow import MlflowClient

    note = json.loads((run / "tracking.json").read_text())["mlflow"]
    client = MlflowClient(tracking_uri=note["store"])
    kept = client.get_run(note["run"])
    histories = {name: client.get_metric_history(note["run"], name) for name in kept.data.metrics}
    found = {name: once([(m.step, m.value) for m in each]) for name, each in histories.items()}
    same(found, run)
    config = RunFolder(run).config()
    assert kept.data.params["plan.total_steps"] == "14"
    assert kept.data.params["asked.backbone"] == "small-resnet"
    assert kept.data.params["data.fingerprint"] == config["data"]["fingerprint"]
    assert kept.data.tags["verdict"] == json.loads((run / "verdict.json").read_text())["verdict"]
    assert kept.info.status == "FINISHED"
    assert len(client.search_runs([kept.info.experiment_id])) == 1
    check_results({k: v for k, v in kept.data.metrics.items() if k.startswith("accuracy/")}, run)


def check_results(found: dict[str, float], run: Path) -> None:
    """Those of the encoder in ``evaluation.json``, though MLflow has fewer signs in names."""
    results = json.loads((run / "evaluation.json").read_text())["results"]
    assert len(found) == len(results) > 0
    assert sorted(found.values()) == sorted(row["accuracy"] for row in results)


def test_a_stop_is_told_and_gone_on_from(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here nothing is lost, so that only what is not sent again keeps each step at one row."""
    pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    from mlflow import MlflowClient

    out, after = tmp_path / "run", Keeper.after

    def stopping(self: Keeper, done: int) -> None:
        if done == KILLED_AT:
            os.kill(os.getpid(), signal.SIGTERM)
        after(self, done)

    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "after", stopping)
        with pytest.raises(ol.Stopped):
            ol.pretrain(place / "images.npz", out=out, track=("wandb", "mlflow"), **OPTIONS)
    note = json.loads((out / "tracking.json").read_text())["mlflow"]
    client = MlflowClient(tracking_uri=note["store"])
    assert client.get_run(note["run"]).info.status == "KILLED"
    assert list(wandb_files(out)[0]["loss"]) == [2, 4, 6, 8, 10]
    ol.resume(out)
    assert client.get_run(note["run"]).info.status == "FINISHED"
    same(wandb_files(out)[0], out)


# --- failures -------------------------------------------------------------------------------------


def test_a_tracker_that_fails_leaves_the_run_alone(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls = []

    class Broken:
        last, note = 0, None

        def __init__(self, folder: Path, note: Any, start: int) -> None: ...

        def settings(self, values: Any) -> None: ...

        def scalars(self, step: int, values: Any) -> None:
            calls.append(step)
            raise ConnectionError("no route to host")

    monkeypatch.setattr(TensorBoard, "scalars", Broken.scalars)
    whole = ol.pretrain(
        place / "images.npz", out=tmp_path / "run", track=("tensorboard",), **OPTIONS
    )
    said = capsys.readouterr().err
    assert said.count("Warning: tensorboard no longer follows this run (no route to host).") == 1
    assert calls == [2] and len(whole.log) == 7
    assert RunFolder(whole.folder).state()["state"] == "finished"


def test_a_server_that_is_away(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = ol.pretrain(place / "images.npz", out=tmp_path / "run", track=("mlflow",), **OPTIONS)
    assert capsys.readouterr().err.count("Warning: mlflow no longer follows this run") == 1
    assert len(run.log) == 7 and not (run.folder / "tracking.json").exists()


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_named_before_anything_is_done(
    name: str,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda package: None)
    command = ["pretrain", str(place / "images.npz"), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--track", name])
    said = capsys.readouterr().err.strip()
    extra = {"tensorboard": "track"}.get(name, name)
    assert ended.value.code == 2 and len(said.splitlines()) == 1
    assert said.endswith(f"pip install 'ownlatent[{extra}]'.")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_called_wandb_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs leave one in the working directory, which Python would import as an empty package."""
    (tmp_path / "wandb_of_this_test").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    known = TRACKERS["wandb"]._replace(packages=("wandb_of_this_test",))
    assert known.missing() == "wandb_of_this_test"


def test_an_unknown_tracker_is_named() -> None:
    with pytest.raises(ol.UsageError, match=r"'neptune'.*tensorboard, wandb, mlflow"):
        require(["neptune"])


def test_none_is_none(place: Path, tmp_path: Path) -> None:
    run = ol.pretrain(place / "images.npz", out=tmp_path / "run", track=(), **OPTIONS)
    assert not any((run.folder / name).exists() for name in ("tensorboard", "wandb"))
    assert os.listdir(run.folder / "encoder")
