"""A run's folder: who is at work in it, what was asked, and how it ended."""

import contextlib
import fcntl
import json
import os
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ownlatent.checks import damaged, read_json, require_options, require_within, with_tuples
from ownlatent.config import BOUNDS, Plan, Pretrain
from ownlatent.errors import UsageError

STATES = ("running", "finished", "stopped", "collapsed", "diverged", "failed")
_NEEDED = (
    ("asked", "data", str),
    ("asked", "method", str),
    ("asked", "backbone", str),
    ("asked", "seed", int),
    ("data", "images", int),
    ("data", "fingerprint", str),
    ("machine", "device", str),
    ("machine", "threads", int),
    ("versions", "torch", str),
)


def stored_options(config: dict[str, Any], path: Path) -> Pretrain:
    """What the person of a stored run asked for, with the run's folder as it is called now."""
    known = {field.name for field in fields(Pretrain)}
    return Pretrain(**{k: v for k, v in config["asked"].items() if k in known} | {"out": path})


def stored_plan(config: dict[str, Any]) -> Plan:
    """What that came to."""
    return Plan(**with_tuples(config["plan"]))


class RunFolder:
    """Reads and writes what a run leaves besides its weights. Entered, it is locked.

    The lock is the system's: a process that is killed lets go of it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock: IO[str] | None = None

    def __enter__(self) -> "RunFolder":
        """Raises UsageError where another process is at work here."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("a+")
        except OSError as error:
            raise self._unwritable(error.strerror) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            lock.close()
            raise UsageError(
                f"{self.path} is in use by {holder}; wait for it, or choose another --out."
            ) from error
        with contextlib.suppress(OSError):  # on a full disk there is no name, but the lock holds
            lock.truncate(0)
            os.write(lock.fileno(), f"process {os.getpid()}".encode())
        self._lock = lock
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            (self.path / ".lock").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def refuse_if_taken(self) -> None:
        """Raises UsageError where the folder cannot be a new run's."""
        try:
            empty = not self.path.exists() or not any(self.path.iterdir())
        except OSError as error:
            raise self._unwritable(error.strerror) from error
        if empty:
            above = next(
                each for each in (self.path, *self.path.absolute().parents) if each.exists()
            )
            if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
                raise self._unwritable(f"{above} is not a folder that can be written to")
            return
        if self.busy():
            raise UsageError(f"{self.path} is in use by a run; choose another --out.")
        if (self.path / "config.json").is_file() and self.state()["state"] != "finished":
            raise UsageError(
                f"{self.path} holds an unfinished run; go on with it by `ownlatent resume "
                f"{self.path}`, or choose another --out."
            )
        raise UsageError(f"{self.path} already holds something; choose another --out or remove it.")

    def _unwritable(self, why: str | None) -> UsageError:
        return UsageError(f"{self.path} cannot be a run's folder ({why}); choose another --out.")

    def busy(self) -> bool:
        """Whether a process is at work here now."""
        try:
            with (self.path / ".lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def config(self) -> dict[str, Any]:
        """``config.json``.

        Raises:
            UsageError: there is none, or it is damaged.
        """
        path = self.path / "config.json"
        if not path.is_file():
            raise UsageError(f"{self.path} is not a run folder: it has no config.json.")
        config = read_json(path)
        try:
            require_options(stored_options(config, self.path), BOUNDS)
            # What a view's size counts is not always pixels.
            require_options(stored_plan(config), BOUNDS | {"size": (1, 2**20)})
            for group, name, kind in _NEEDED:
                if not isinstance(config[group][name], kind):
                    raise TypeError(f"{name} of {group} is {config[group][name]!r}")
            require_within("threads", config["machine"]["threads"], 1, 1024)
        except (KeyError, TypeError, AttributeError, UsageError) as error:
            raise damaged(path, str(error)) from error
        return config

    def write_config(self, config: dict[str, Any]) -> None:
        self.write("config.json", config)

    def state(self) -> dict[str, Any]:
        """``{"state", "message"}``; a run that says "running" while no process is at work was
        killed."""
        try:
            state = read_json(self.path / "state.json")
        except UsageError:
            state = {}
        word = state.get("state")
        if word not in STATES:
            return {"state": "unknown", "message": ""}
        if word == "running" and not self.busy():
            word = "killed"
        return {"state": word, "message": str(state.get("message", ""))}

    def write_state(self, state: str, message: str = "") -> None:
        self.write("state.json", {"state": state, "message": message})

    def log(self) -> list[dict[str, Any]]:
        """The whole rows of ``log.jsonl``; a line cut off by a kill is left out."""
        try:
            lines = (self.path / "log.jsonl").read_text().splitlines()
        except (OSError, UnicodeDecodeError):
            return []
        return [row for row in map(_row, lines) if row]

    def cut_log(self, step: int) -> None:
        """Forget the rows after ``step``."""
        rows = [row for row in self.log() if row["step"] <= step]
        self._replace("log.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file; a reader finds the old one or the new one, never a part."""
        self._replace(name, json.dumps(content, indent=2) + "\n")

    def _replace(self, name: str, text: str) -> None:
        fresh = self.path / f"{name}.tmp"
        fresh.write_text(text)
        fresh.replace(self.path / name)


def _row(line: str) -> dict[str, Any]:
    """A row of the log; empty where the line is none."""
    try:
        row = json.loads(line)
        numbers = [type(row[name]) in (int, float) for name in ("loss", "seconds")]
        whole = type(row["step"]) is int and all(numbers)
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return row if whole else {}
