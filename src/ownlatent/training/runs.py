"""``ownlatent runs``: the runs below a folder, one line each. It needs no torch, and is quick."""

import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ownlatent.checks import read_json
from ownlatent.columns import columns
from ownlatent.errors import UsageError
from ownlatent.training.folder import RunFolder

_MARKS = ("state.json", "log.jsonl", "checkpoints")
"""What a run leaves, and its ``encoder/`` does not have."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One run as a list shows it; None where it is not known.

    Attributes:
        state: of :data:`ownlatent.training.folder.STATES`, or "killed", or "damaged".
        verdict: the last, on the features.
        step, steps: done, and of the whole run.
        loss: at the last line of the log.
        linear, knn: the best accuracy of the encoder in ``evaluation.json``, in [0, 1].
        age: seconds since the run began.
        bytes: on disk.
        problem: what is damaged.
    """

    path: str
    state: str
    verdict: str | None
    step: int
    steps: int | None
    loss: float | None
    linear: float | None
    knn: float | None
    age: float
    bytes: int
    problem: str | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def runs(folder: str | Path = "runs") -> list[Listed]:
    """The runs in and below ``folder``, by path.

    Raises:
        UsageError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}; give the one that your runs are in.")
    return [_listed(path) for path in _find(folder)]


def listing(found: list[Listed]) -> str:
    """A line per run, and what is wrong with those that are damaged below."""
    rows = [("run", "state", "verdict", "step", "loss", "linear", "kNN", "age", "size")]
    for run in found:
        of = "" if run.steps is None else f"/{run.steps:,}"
        rows.append(
            (
                run.path,
                run.state,
                run.verdict or "-",
                f"{run.step:,}{of}",
                "-" if run.loss is None else f"{run.loss:.3f}",
                "-" if run.linear is None else f"{run.linear:.1%}",
                "-" if run.knn is None else f"{run.knn:.1%}",
                _span(run.age),
                f"{run.bytes / 1e6:,.0f} MB",
            )
        )
    return "\n".join([columns(rows), *(run.problem for run in found if run.problem)])


def _find(folder: Path) -> Iterator[Path]:
    for path, below, files in os.walk(folder):
        if any(mark in files or mark in below for mark in _MARKS):
            below.clear()  # there are no runs in a run
            yield Path(path)
        below.sort()


def _listed(path: Path) -> Listed:
    run, problems = RunFolder(path), []
    steps: int | None = None
    try:
        steps = run.config()["plan"]["total_steps"]
    except UsageError as error:
        problems.append(str(error))
    state = run.state()["state"]
    if state == "unknown":
        problems.append(f"{path}/state.json is damaged or missing; restore it.")
    log = run.log()
    loss = log[-1]["loss"] if log else None
    verdict = _optional(path / "verdict.json", problems)
    results = _optional(path / "evaluation.json", problems)
    config = path / "config.json"
    began = (config if config.exists() else path).stat().st_mtime
    return Listed(
        path=str(path),
        state="damaged" if problems else state,
        verdict=str(verdict["verdict"]) if "verdict" in verdict else None,
        step=log[-1]["step"] if log else 0,
        steps=steps,
        loss=loss if loss is not None and math.isfinite(loss) else None,
        linear=_best(results, "linear"),
        knn=_best(results, "kNN"),
        age=max(0.0, time.time() - began),
        bytes=_size(path),
        problem=problems[0] if problems else None,
    )


def _optional(path: Path, problems: list[str]) -> dict[str, Any]:
    """A JSON object that a run may not have yet."""
    if not path.exists():
        return {}
    try:
        return read_json(path)
    except UsageError as error:
        problems.append(str(error))
        return {}


def _best(evaluation: dict[str, Any], protocol: str) -> float | None:
    """The encoder's best accuracy; its rows come first, and baselines have other names."""
    results = evaluation.get("results")
    rows = [row for row in results if isinstance(row, dict)] if isinstance(results, list) else []
    own = [row for row in rows if row.get("features") == rows[0].get("features")]
    found = [row.get("accuracy") for row in own if str(row.get("protocol")).startswith(protocol)]
    return max((each for each in found if isinstance(each, float)), default=None)


def _size(path: Path) -> int:
    total = 0
    for folder, _, files in os.walk(path):
        for file in files:
            try:
                total += os.lstat(os.path.join(folder, file)).st_size
            except OSError:  # a run at work removes its older checkpoints
                continue
    return total


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
