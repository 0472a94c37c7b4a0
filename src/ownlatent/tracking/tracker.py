"""What a tracker does; each stands in a file of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

Facts = Mapping[str, "str | float"]


class Tracker(Protocol):
    """One run in one tool, open for writing. Any error it raises ends the tracker, not the run.

    Attributes:
        last: the last step that the tool has; rows after it are to be sent.
        note: what finds the run again, as JSON would hold it; None where its folder does.
    """

    last: int
    note: dict[str, str] | None

    def settings(self, values: dict[str, Any]) -> None:
        """The run's configuration, nested."""

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """A row of the log."""

    def facts(self, values: Facts) -> None:
        """What is true of the run as a whole: its verdict, its results."""

    def close(self, state: str | None) -> None:
        """Leave it as "finished", "stopped" or "failed"; None: as it was."""


class Opening(Protocol):
    """How a tracker's run is opened: a new one where there is no note."""

    def __call__(self, folder: Path, note: dict[str, str] | None, start: int) -> Tracker: ...


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names; lists stay as they are."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
