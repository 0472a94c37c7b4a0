"""TensorBoard: event files in ``tensorboard/`` of the run."""

import json
from pathlib import Path
from typing import Any

from ownlatent.tracking.tracker import Facts


class TensorBoard:
    """``note`` is None: the folder is found by its name."""

    note: dict[str, str] | None = None

    def __init__(self, folder: Path, note: dict[str, str] | None, start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.last = start
        # What it has of steps after ``start`` is hidden from the reader.
        purge = start + 1 if start else None
        self._writer: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=purge)

    def settings(self, values: dict[str, Any]) -> None:
        text = json.dumps(values, indent=2)
        self._writer.add_text("configuration", f"```\n{text}\n```", self.last)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # or a kill would lose two minutes
        self.last = step

    def facts(self, values: Facts) -> None:
        for name, value in values.items():
            self._writer.add_text(name, str(value), self.last)

    def close(self, state: str | None) -> None:
        self._writer.close()
