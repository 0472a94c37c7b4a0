"""Checkpoints: everything a run needs to go on as if it had never stopped.

One is written as ``step-N.tmp``, each file and the folder flushed to disk, and then renamed: the
name ``step-N`` alone says that it is whole. Older ones go last, so that at every moment one loads.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ownlatent.errors import UsageError

_FORMAT = 1
_STATE, _MANIFEST, _LATEST = "state.pt", "checkpoint.json", "latest"


class DamagedCheckpoint(Exception):
    """A checkpoint that does not load, and why. Nothing in it was executed."""


class Checkpoints:
    """The checkpoints of one run, in ``folder``.

    Args:
        folder: made with the first checkpoint.
        keep: how many of the newest to keep, at least 1.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write the state after ``step`` optimizer steps: tensors, numbers, strings, containers.

        Raises:
            OSError: it could not be written; the older checkpoints are untouched.
        """
        path, building = self.folder / f"step-{step}", self.folder / f"step-{step}.tmp"
        self._sweep()
        building.mkdir(parents=True)
        try:
            buffer = io.BytesIO()
            torch.save(state, buffer)
            content = buffer.getbuffer()
            manifest = {
                "format": _FORMAT,
                "step": step,
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            _write(building / _STATE, content)
            _write(building / _MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
            _flush_folder(building)
            if path.exists():  # the same step, reached again after a resume
                shutil.rmtree(path)
            building.rename(path)
            _write(self.folder / f"{_LATEST}.tmp", f"{path.name}\n".encode())
            (self.folder / f"{_LATEST}.tmp").rename(self.folder / _LATEST)
            _flush_folder(self.folder)
        except OSError:
            self._sweep()
            raise
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self.folder / f"step-{old}")
        return path

    def steps(self) -> list[int]:
        """The steps of the whole checkpoints, oldest first."""
        names = [path.name for path in self.folder.glob("step-*") if path.is_dir()]
        return sorted(int(n[5:]) for n in names if n[5:].isdecimal())

    def load(self, step: int) -> dict[str, Any]:
        """The state saved after ``step`` steps, on the CPU. Loading never executes code.

        Raises:
            DamagedCheckpoint: a file is missing or changed, or holds more than data.
        """
        path = self.folder / f"step-{step}"
        try:
            manifest = json.loads((path / _MANIFEST).read_text())
            if manifest["format"] != _FORMAT:
                raise DamagedCheckpoint(f"{path} was written by another version of ownlatent")
            content = (path / _STATE).read_bytes()
            if hashlib.sha256(content).hexdigest() != manifest["sha256"]:
                raise DamagedCheckpoint(f"{path} has changed since it was written")
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except DamagedCheckpoint:
            raise
        # The reader meets damage with errors of many types; all mean the same here.
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DamagedCheckpoint(f"{path} does not load ({reason})") from error
        if not isinstance(state, dict) or manifest.get("step") != step:
            raise DamagedCheckpoint(f"{path} holds no checkpoint of step {step}")
        return state

    def newest(self) -> Iterator[tuple[int, dict[str, Any] | DamagedCheckpoint]]:
        """Step and state of each checkpoint, newest first; damage in place of a state."""
        for step in reversed(self.steps()):
            try:
                yield step, self.load(step)
            except DamagedCheckpoint as damage:
                yield step, damage

    def _sweep(self) -> None:
        """Remove what a killed or failed writing left."""
        for leftover in self.folder.glob("*.tmp"):
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()


def require_room(folder: Path, state: dict[str, Any], keep: int) -> None:
    """Raises UsageError where the disk cannot hold a run's checkpoints.

    There are ``keep`` of them and one being written; half of one more is left for encoder and logs.
    """
    one = sum(tensor.nbytes for tensor in _tensors(state))
    need, free = round(one * (keep + 1.5)), shutil.disk_usage(folder).free
    if need > free:
        raise UsageError(
            f"The checkpoints need {need / 1e6:,.0f} MB and {free / 1e6:,.0f} MB are free under "
            f"{folder}: free some space, choose another --out, or take a smaller --keep."
        )


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def _write(path: Path, content: bytes | memoryview) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
