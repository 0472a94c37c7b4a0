"""The list of runs: what it says of each, and that nothing damaged ends it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ownlatent as ol
from ownlatent.cli import main
from ownlatent.training.folder import RunFolder
from ownlatent.training.runs import Listed, listing, runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that was evaluated, a killed one, and two that are damaged."""
    folder = tmp_path_factory.mktemp("runs")
    images = np.random.default_rng(0).integers(0, 256, (24, 12, 12, 3), dtype=np.uint8)
    np.savez(folder / "images.npz", images=images, labels=np.arange(24) % 3)
    options = {"backbone": "small-resnet", "size": 8, "batch_size": 8, "hidden": 8, "dim": 4}
    good = folder / "below" / "good"
    ol.pretrain(folder / "images.npz", out=good, steps=3, precision="fp32", **options)
    shutil.copytree(good, folder / "killed")
    RunFolder(folder / "killed").write_state("running")
    for name in ("config.json", "log.jsonl"):
        bad = shutil.copytree(good, folder / f"no-{name[:3]}")
        (bad / name).write_bytes(b"\xff\x00")
    ol.evaluate(good, folder / "images.npz")
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Listed]:
    return {Path(run.path).name: run for run in runs(folder)}


def test_what_is_said_of_a_run(folder: Path, found: dict[str, Listed]) -> None:
    good = found["good"]
    assert (good.state, good.step, good.steps) == ("finished", 3, 3)
    log = RunFolder(good.path).log()
    assert good.loss == log[-1]["loss"]
    assert good.verdict == json.loads((Path(good.path) / "verdict.json").read_text())["verdict"]
    results = json.loads((Path(good.path) / "evaluation.json").read_text())["results"]
    linear = [row for row in results if row["protocol"] == "linear probe"]
    assert good.linear == linear[0]["accuracy"] and linear[0]["features"] == "BYOL (online)"
    files = sum(f.stat().st_size for f in Path(good.path).rglob("*") if f.is_file())
    assert good.bytes == files and 0 <= good.age < 3600
    assert found["killed"].state == "killed" and found["killed"].linear is None


def test_damage_is_listed(found: dict[str, Listed]) -> None:
    assert len(found) == 4
    assert found["no-con"].state == "damaged" and found["no-con"].steps is None
    assert "config.json is damaged" in listing(list(found.values()))
    assert found["no-log"].state == "finished" and found["no-log"].loss is None


@pytest.mark.parametrize("json_too", [False, True])
def test_on_the_command_line(
    folder: Path, json_too: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["runs", str(folder), *(["--json"] if json_too else [])])
    text = capsys.readouterr().out
    if json_too:
        assert {run["state"] for run in json.loads(text)} == {"finished", "killed", "damaged"}
    else:
        head, *lines = text.splitlines()
        assert head.split()[:3] == ["run", "state", "verdict"] and len(lines) == 5
        assert "3/3" in lines[0] and "%" in lines[0] and "MB" in lines[0]


def test_a_folder_without_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["runs", str(tmp_path)])
    assert "no runs" in capsys.readouterr().out


def test_listing_needs_no_torch(folder: Path) -> None:
    code = (
        "import sys; from ownlatent.cli import main; main(['runs', sys.argv[1]]);"
        "print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
