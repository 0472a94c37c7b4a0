"""Canvases in a file: decoded by whoever comes first, mapped by everyone after."""

import errno
import fcntl
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ownlatent.data.canvas import CanvasShape
from ownlatent.data.decoding import Decoded, Sink
from ownlatent.data.pixels import Pixels
from ownlatent.data.placement import gigabytes, require_disk
from ownlatent.data.source import SourceFailed
from ownlatent.errors import UsageError


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/ownlatent``, or ``~/.cache/ownlatent``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ownlatent"


def map_or_decode(
    folder: Path, key: str, shape: CanvasShape, count: int, fill: Callable[[Sink], Decoded]
) -> tuple[Tensor, Decoded]:
    """Canvases under ``folder/key``, decoded by ``fill`` unless they are already complete there.

    A set is written as ``key.tmp`` and renamed when all of it has reached the disk, so the name
    alone says that it is complete. One process decodes while others that want the same set wait.

    Raises:
        UsageError: the folder cannot be written, or the disk has too little room for ``count``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f"{key}.lock"):
            if not (folder / key).is_dir():
                _write(folder, key, shape.bytes * count, fill)
    except SourceFailed:
        raise
    except OSError as error:
        need = gigabytes(shape.bytes * count)
        reason = "is full" if error.errno == errno.ENOSPC else f"cannot be written ({error})"
        raise UsageError(
            f"the cache folder {folder} {reason}: choose another with {need} free"
        ) from error
    decoded = _read_rows(folder / key)
    return _map_pixels(folder / key, shape, len(decoded.rows)), decoded


def as_tensor(array: Pixels) -> Tensor:
    """A tensor over the same memory. A read-only map stays one: writing to it would crash."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among the processes that lock this file."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go when the file closes, even by a kill
        yield


@contextmanager
def put_as_a_whole(path: Path) -> Iterator[Path]:
    """A folder to fill, which is called ``path`` at the end; after an error nothing is left."""
    building = path.with_suffix(".tmp")
    shutil.rmtree(building, ignore_errors=True)  # what a killed process left
    building.mkdir()
    try:
        yield building
        building.rename(path)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


@contextmanager
def on_disk(path: Path, mode: str = "wb") -> Iterator[Any]:
    """A file to write, which at the end has reached the disk."""
    with path.open(mode) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _write(folder: Path, key: str, size: int, fill: Callable[[Sink], Decoded]) -> None:
    with put_as_a_whole(folder / key) as building:
        require_disk(size, folder)
        with on_disk(building / "pixels.bin") as file:

            def write(canvases: Pixels) -> None:
                file.write(np.ascontiguousarray(canvases).data)

            decoded = fill(write)
        with on_disk(building / "rows.npz") as file:
            np.savez(file, rows=decoded.rows, digests=decoded.digests)
        with on_disk(building / "skipped.json", "w") as file:
            json.dump(decoded.skipped, file)


def _read_rows(entry: Path) -> Decoded:
    with np.load(entry / "rows.npz") as saved:
        rows, digests = saved["rows"], saved["digests"]
    skipped = [(name, why) for name, why in json.loads((entry / "skipped.json").read_text())]
    return Decoded(rows, digests, skipped)


def _map_pixels(entry: Path, shape: CanvasShape, count: int) -> Tensor:
    size = (count, shape.channels, shape.height, shape.width)
    return as_tensor(np.memmap(entry / "pixels.bin", dtype=shape.dtype, mode="r", shape=size))
