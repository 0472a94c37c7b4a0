"""The demo: it may replace an earlier demo, and nothing else."""

from pathlib import Path

import pytest

import ownlatent as ol
from ownlatent.demo import TEST, demo
from ownlatent.training.folder import RunFolder


def test_another_run_is_not_replaced(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    options = {"backbone": "small-resnet", "size": 12, "hidden": 16, "dim": 8, "batch_size": 32}
    ol.pretrain(TEST, out=mine, steps=1, **options)
    with pytest.raises(ol.UsageError, match="something else than a demo"):
        demo(mine)
    assert (mine / "encoder" / "config.json").is_file()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "log.jsonl").write_text("{}")
    with pytest.raises(ol.UsageError, match="something else than a demo"):
        demo(tmp_path / "notes")
    with RunFolder(tmp_path / "busy"), pytest.raises(ol.UsageError, match="in use"):
        demo(tmp_path / "busy")
