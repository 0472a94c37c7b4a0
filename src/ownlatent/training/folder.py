"""A run's folder: who is at work in it, what was asked, and how it ended."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ownlatent.errors import UsageError

STATES = ("running", "finished", "stopped", "collapsed", "diverged", "failed")


class RunFolder:
    """Reads and writes what a run leaves besides its weights. Entered, it is locked.

    The lock is the system's: a process that is killed lets go of it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock: IO[str] | None = None

    def __enter__(self) -> "RunFolder":
        """Raises UsageError where another process is at work here."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = (self.path / ".lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            lock.close()
            raise UsageError(
                f"{self.path} is in use by {holder}; wait for it, or choose another --out."
            ) from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
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
        if not self.path.exists():
            return
        if self.busy():
            raise UsageError(f"{self.path} is in use by a run; choose another --out.")
        if self.path.is_dir() and not any(self.path.iterdir()):
            return
        if (self.path / "config.json").is_file() and self.state()["state"] != "finished":
            raise UsageError(
                f"{self.path} holds an unfinished run; go on with it by `ownlatent resume "
                f"{self.path}`, or choose another --out."
            )
        raise UsageError(f"{self.path} already holds something; choose another --out or remove it.")

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
        try:
            config: dict[str, Any] = json.loads((self.path / "config.json").read_text())
            _ = config["asked"], config["plan"], config["data"], config["machine"]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(f"{self.path} is not a run folder: it has no config.json.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{self.path}/config.json is damaged; restore it.") from error
        return config

    def write_config(self, config: dict[str, Any]) -> None:
        self.write("config.json", config)

    def state(self) -> dict[str, Any]:
        """``{"state", "message"}``; a run that says "running" while no process is at work was
        killed."""
        try:
            state: dict[str, Any] = json.loads((self.path / "state.json").read_text())
            word = str(state["state"])
        except (OSError, ValueError, KeyError, TypeError):
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
        rows = []
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and "step" in row:
                rows.append(row)
        return rows

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
