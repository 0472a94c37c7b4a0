"""The command line: help, exit codes, and sentences instead of tracebacks."""

import subprocess
import sys
from pathlib import Path

import pytest

from ownlatent.cli import main
from ownlatent.demo import TEST

COMMANDS = (
    "pretrain",
    "resume",
    "evaluate",
    "embed",
    "search",
    "duplicates",
    "outliers",
    "select",
    "classify",
    "clusters",
    "views",
    "attention",
    "report",
    "demo",
    "runs",
    "doctor",
    "completion",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert "--" in capsys.readouterr().out


def test_nothing_heavy_is_imported_for_help() -> None:
    heavy = ("torch", "numpy", "timm", "sklearn", "PIL")
    code = f"import sys, ownlatent.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pretrain", "nowhere"], "nowhere"),
        (["pretrain", TEST, "--backbone", "resnet-18"], "resnet18"),
        (["pretrain", TEST, "--batch-size", "9999"], "more than the 4000 images"),
        (["pretrain", TEST, "--size", "2"], "at least 8"),
        (["pretrain", TEST, "--views", "byoll"], "cifar-byol"),
        (["pretrain", TEST, "--init", "w.pth"], "no weights"),
        (["evaluate", "nowhere", "--data", TEST], "no encoder"),
        (["views", TEST, "--images", "0"], "at least 1"),
        (["report", "nowhere", "--data", TEST], "no encoder"),
    ],
)
def test_mistakes(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    message = capsys.readouterr().err.strip()
    assert says in message and "Traceback" not in message
    assert len(message.splitlines()) == 1
    assert not list(tmp_path.iterdir())  # nothing is written before the mistake is found


def test_a_contact_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["views", TEST, "--out", str(tmp_path / "sheet.png"), "--images", "3", "--draws", "2"])
    assert capsys.readouterr().out.strip().endswith("sheet.png")
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_from_pretraining_to_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    options = "--backbone small-resnet --size 16 --steps 2 --batch-size 32 --set hidden=32 dim=16"
    main(["pretrain", TEST, "--out", out, *options.split()])
    assert capsys.readouterr().out.strip().endswith("encoder")
    main(["evaluate", out, "--data", TEST, "--limit", "300", "--protocols", "knn"])
    assert "raw pixels" in capsys.readouterr().out
    main(["report", out, "--data", TEST])
    page = Path(capsys.readouterr().out.strip()).read_text()
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert "BYOL" in page
