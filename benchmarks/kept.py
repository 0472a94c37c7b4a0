"""Runs that benchmarks keep: made once, gone on with where they stopped, passed over when done."""

import shutil
from pathlib import Path
from typing import Any

import ownlatent as ol
from ownlatent.training.folder import RunFolder


def keep(folder: Path, data: Any, **options: Any) -> None:
    """See that the run is there and has ended; one that diverges has ended too."""
    state = RunFolder(folder).state()["state"]
    if state in ("finished", "diverged"):
        return
    try:
        if (folder / "checkpoints").is_dir():
            ol.resume(folder, data)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            ol.pretrain(data, out=folder, **options)
    except ol.Diverged as error:
        print(error)
