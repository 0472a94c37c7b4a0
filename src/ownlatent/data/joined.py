"""The indices of many shards laid end to end; of large data a file that processes share."""

import json
import shutil
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ownlatent.data.cache import locked, on_disk, put_as_a_whole
from ownlatent.data.tars import Index

SHARED = 1_000_000
"""Samples from which the index is a file: 40 bytes a sample would be 40 MB in each process."""
_SUMS = "sums.json"


class Joined(NamedTuple):
    """One index of all samples.

    Attributes:
        starts: int64 ``[S + 1]``, where each shard's samples begin.
        bases: int64 ``[S + 1]``, where each shard's keys begin.
        samples: the arrays of all shards; its ``ends`` count from their shard's base.
    """

    starts: NDArray[np.int64]
    bases: NDArray[np.int64]
    samples: Index


def join(indices: Sequence[Index]) -> Joined:
    """Copy the shards' arrays behind one another."""
    starts, bases = (
        np.cumsum([0] + [len(getattr(each, name)) for each in indices], dtype=np.int64)
        for name in ("offsets", "keys")
    )
    fields = (np.concatenate(parts) for parts in zip(*indices, strict=True))
    return Joined(starts, bases, Index(*fields))


def share(path: Path, joined: Joined) -> Joined:
    """Write it as the folder ``path`` and map that: the pages are those of every process that does,
    and the kernel may drop them. Where it cannot be written, it stays in this process's memory."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock")):
            known = mapped(path)  # of a process that was faster
            if known is None:
                _write(path, joined)
                known = mapped(path)
            return known or joined
    return joined


def mapped(path: Path) -> Joined | None:
    """What `share` wrote; None where that is not there, or damaged: every byte is looked at."""
    try:
        sums = json.loads((path / _SUMS).read_text())
        # Copy on write: a mistake here would not reach the file.
        arrays = {
            name: np.load(path / f"{name}.npy", mmap_mode="c").view(np.ndarray)
            for name in ("starts", "bases", *Index._fields)
        }
        if {name: _sum(array) for name, array in arrays.items()} != sums:
            return None
        return Joined(arrays.pop("starts"), arrays.pop("bases"), Index(**arrays))
    except Exception:  # NumPy has many types for a damaged header
        return None


def _write(path: Path, joined: Joined) -> None:
    shutil.rmtree(path, ignore_errors=True)  # a damaged one
    arrays = {"starts": joined.starts, "bases": joined.bases, **joined.samples._asdict()}
    with put_as_a_whole(path) as building:
        for name, array in arrays.items():
            with on_disk(building / f"{name}.npy") as file:
                np.save(file, array)
        with on_disk(building / _SUMS, "w") as file:
            json.dump({name: _sum(array) for name, array in arrays.items()}, file)


def _sum(array: NDArray[Any]) -> list[Any]:
    """What tells an array from another: type, length and a checksum."""
    return [array.dtype.str, *array.shape, zlib.crc32(array.data)]
