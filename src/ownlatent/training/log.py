"""What a run leaves for its reader: JSON lines, trackers, and the progress line."""

import json
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ownlatent.tracking import Trackers
from ownlatent.training.folder import RunFolder
from ownlatent.training.interrupt import Stopped
from ownlatent.training.verdict import HEALTHY

_SHOWN = {
    "loss": "loss {:.3f}",
    "images_per_second": "{:.0f} samples/s",
    "data_wait": "data wait {:.0%}",
    "feature_std": "std {:.3f}",
    "effective_rank": "rank {:.0f}",
    "probe_accuracy": "probe {:.1%}",
    "verdict": "{}",
}


class Log:
    """Writes ``log.jsonl``, sends the same to trackers, and shows progress: a bar on a terminal,
    plain lines elsewhere. Processes but the first stay silent."""

    def __init__(
        self,
        folder: RunFolder,
        total_steps: int,
        *,
        active: bool,
        track: Sequence[str] | None = None,
        start: int = 0,
    ) -> None:
        """``track``: see :class:`Trackers`. ``start``: the step from which a run goes on."""
        self._active, self._folder = active, folder
        self._verdict, self._judged = HEALTHY, ""
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._total = total_steps
        if not active:
            return
        self._file = (folder.path / "log.jsonl").open("a")
        self._trackers = Trackers(folder.path, track, folder.config(), folder.log(), start)
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task("pretraining", total=total_steps, completed=start)

    def __enter__(self) -> "Log":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._active:
            self._file.close()
            stopped = isinstance(error, Stopped)
            self._trackers.close("stopped" if stopped else "failed" if error else "finished")

    def write(self, row: dict[str, Any]) -> None:
        """Record one logging interval; ``row["step"]`` counts the steps done."""
        if not self._active:
            return
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        self._trackers.scalars(row)
        text = "  ".join(form.format(row[name]) for name, form in _SHOWN.items() if name in row)
        if self._bar is not None:
            self._bar.update(self._task, completed=row["step"], description=text)
        else:
            left = row["seconds"] / row["step"] * (self._total - row["step"])
            step = f"step {row['step']:.0f}/{self._total}"
            print(f"{step}  {text}  {left:.0f} s left", file=sys.stderr, flush=True)

    def judged(self, summary: dict[str, Any]) -> None:
        """Keep a verdict as ``verdict.json``, and say so where it is another than before."""
        if not self._active:
            return
        self._folder.write("verdict.json", summary)
        if summary["verdict"] != self._judged:
            self._judged = summary["verdict"]
            self._trackers.facts({"verdict": summary["verdict"], "verdict.why": summary["why"]})
        if summary["verdict"] != self._verdict:
            self._verdict = summary["verdict"]
            self._console.print(
                f"{self._verdict.upper()}: {summary['why']} {summary['advice']}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
