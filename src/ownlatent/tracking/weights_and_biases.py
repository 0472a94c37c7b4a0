"""Weights & Biases; offline, its files are in ``wandb/`` of the run."""

import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from ownlatent.tracking.tracker import Facts


class WeightsAndBiases:
    """Online where its own settings say so or name a key, else offline.

    Offline, what a killed process had not written is lost, so a run that goes on is written anew
    from its log, and the file before is removed: ``wandb sync`` then has one file to send.
    """

    def __init__(self, folder: Path, note: dict[str, str] | None, start: int) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        mode: Any = None if "WANDB_MODE" in os.environ or wandb.api.api_key else "offline"
        self.note: dict[str, str] | None = note or {"run": uuid.uuid4().hex[:8]}
        self._before = list((folder / "wandb").glob("offline-run-*"))
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "ownlatent"),
            id=self.note["run"],
            name=folder.resolve().name,
            dir=folder,
            mode=mode,
            resume="allow",
            settings=wandb.Settings(console="off", silent=True),
        )
        self.last = self._run.step - 1  # 0 where nothing is there yet, and always offline
        self._whole = False

    def settings(self, values: dict[str, Any]) -> None:
        self._run.config.update(values, allow_val_change=True)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)
        self.last = step
        self._whole = self._run.offline

    def facts(self, values: Facts) -> None:
        self._run.summary.update(dict(values))

    def close(self, state: str | None) -> None:
        self._run.finish(exit_code=0 if state in ("finished", None) else 1)
        for folder in self._before if self._whole else ():
            shutil.rmtree(folder, ignore_errors=True)
