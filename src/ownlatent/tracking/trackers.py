"""The trackers of a run, behind one face: what one of them fails at ends it, and nothing else."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ownlatent.checks import read_json
from ownlatent.errors import UsageError
from ownlatent.tracking.tracker import Facts, Opening, Tracker

_NOTES = "tracking.json"


class _Known(NamedTuple):
    """Where a tracker is, what it needs, and the extra that brings that."""

    module: str
    name: str
    packages: tuple[str, ...]
    extra: str

    def open(self) -> Opening:
        opening: Opening = getattr(import_module(f"ownlatent.tracking.{self.module}"), self.name)
        return opening

    def missing(self) -> str | None:
        """The first package that is not there; a folder of its name is none."""
        specs = {name: find_spec(name) for name in self.packages}
        return next((name for name, s in specs.items() if s is None or s.origin is None), None)


TRACKERS = {
    "tensorboard": _Known("tensorboard", "TensorBoard", ("tensorboard",), "track"),
    "wandb": _Known("weights_and_biases", "WeightsAndBiases", ("wandb",), "wandb"),
    "mlflow": _Known("mlflow", "MLflow", ("mlflow", "sqlalchemy"), "mlflow"),
}


def require(names: Sequence[str] | None) -> None:
    """
    Raises:
        UsageError: there is no such tracker, or its package is not installed.
    """
    for name in names or ():
        if name not in TRACKERS:
            raise UsageError(f"There is no tracker {name!r}; there are {', '.join(TRACKERS)}.")
        known = TRACKERS[name]
        missing = known.missing()
        if missing is not None:
            raise UsageError(
                f"The tracker {name} needs the package {missing}: pip install "
                f"'ownlatent[{known.extra}]'."
            )


class Trackers:
    """Sends a run's log where it is to go; used by one process.

    A run that goes on has the same run in each tracker; what a tracker lacks of the log is sent,
    and what it has is not sent again.

    Args:
        folder: the run's.
        names: of the trackers; None: TensorBoard, where it is installed.
        settings: the run's configuration.
        rows: of its log, up to ``start``.
        start: the steps done before.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str] | None,
        settings: dict[str, Any],
        rows: list[dict[str, Any]],
        start: int = 0,
    ) -> None:
        if names is None:
            names = ("tensorboard",)
            if TRACKERS["tensorboard"].missing():
                print(
                    "No TensorBoard log: pip install 'ownlatent[track]' to have one.",
                    file=sys.stderr,
                )
                names = ()
        self._open: dict[str, Tracker] = {}
        notes = _notes(folder)
        for name in names:
            with self._guarded(name):
                tracker = TRACKERS[name].open()(folder, notes.get(name), start)
                self._open[name] = tracker
                if tracker.note is not None and tracker.note != notes.get(name):
                    notes[name] = tracker.note
                    _keep_notes(folder, notes)
                tracker.settings(settings)
                for row in rows:
                    if row["step"] > tracker.last:
                        tracker.scalars(row["step"], _numbers(row))

    def scalars(self, row: dict[str, Any]) -> None:
        """Send one row of the log; ``row["step"]`` counts the steps done."""
        self._each(lambda tracker: tracker.scalars(row["step"], _numbers(row)), row["step"])

    def facts(self, values: Facts) -> None:
        """Send what is true of the run as a whole."""
        self._each(lambda tracker: tracker.facts(values))

    def close(self, state: str) -> None:
        """Leave all of them; see :meth:`Tracker.close`."""
        self._each(lambda tracker: tracker.close(state))
        self._open = {}

    def _each(self, act: Callable[[Tracker], None], step: int | None = None) -> None:
        for name, tracker in list(self._open.items()):
            if step is None or step > tracker.last:
                with self._guarded(name):
                    act(tracker)

    @contextlib.contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # networks, servers and disks fail with many types
            self._open.pop(name, None)
            why = " ".join(str(error).split())[:200] or type(error).__name__
            print(f"Warning: {name} no longer follows this run ({why}).", file=sys.stderr)


def send_results(folder: Path, results: Facts) -> None:
    """Send the results of a run, measured after its end, to the trackers that keep its facts.

    Args:
        folder: the run's; one without trackers is left as it is.
    """
    notes = _notes(folder)
    for name, note in notes.items():
        try:
            tracker = TRACKERS[name].open()(folder, note, 0)
            tracker.facts(results)
            tracker.close(None)
        except Exception as error:
            why = " ".join(str(error).split())[:200] or type(error).__name__
            print(f"Warning: {name} does not have these results ({why}).", file=sys.stderr)


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in row.items() if k != "step" and not isinstance(v, str)}


def _notes(folder: Path) -> dict[str, dict[str, str]]:
    """What finds the run again in each tracker; nothing where that is lost."""
    path = folder / _NOTES
    if not path.exists():
        return {}
    try:
        held = read_json(path)
    except UsageError:
        return {}
    return {
        name: note
        for name, note in held.items()
        if name in TRACKERS and isinstance(note, dict) and isinstance(note.get("run"), str)
    }


def _keep_notes(folder: Path, notes: dict[str, dict[str, str]]) -> None:
    fresh = folder / f"{_NOTES}.tmp"
    fresh.write_text(json.dumps(notes, indent=2) + "\n")
    fresh.replace(folder / _NOTES)
