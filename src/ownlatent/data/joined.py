"""The indices of many shards laid end to end; of large data a file that processes share."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ownlatent.data.cache import locked
from ownlatent.data.tars import KINDS, Index

SHARED = 1_000_000
"""Samples from which the index is a file: 31 bytes a sample would be 32 MB in each process."""


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
    building = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock")):
            if (known := mapped(path)) is not None:  # of a process that was faster
                return known
            for leftover in (building, path):
                shutil.rmtree(leftover, ignore_errors=True)
            building.mkdir()
            for name, array in _arrays(joined).items():
                with (building / f"{name}.npy").open("wb") as file:
                    np.save(file, array)
                    file.flush()
                    os.fsync(file.fileno())
            building.rename(path)
            return mapped(path) or joined
    except OSError:
        shutil.rmtree(building, ignore_errors=True)
        return joined


def mapped(path: Path) -> Joined | None:
    """What `share` wrote, nothing of it read yet; None where that is not there, or not whole."""
    try:
        # Copy on write: a mistake here would not reach the file.
        arrays = {
            name: np.load(path / f"{name}.npy", mmap_mode="c").view(np.ndarray)
            for name in ("starts", "bases", *Index._fields)
        }
    except (OSError, ValueError, EOFError):
        return None
    starts, bases = arrays.pop("starts"), arrays.pop("bases")
    samples = Index(**arrays)
    kinds = zip((starts, bases, *samples), ("<i8", "<i8", *KINDS), strict=True)
    if any(array.ndim != 1 or array.dtype != kind for array, kind in kinds):
        return None
    counts = {len(array) for name, array in arrays.items() if name != "keys"}
    whole = counts == {int(starts[-1])} and len(samples.keys) == int(bases[-1])
    return Joined(starts, bases, samples) if whole and len(starts) == len(bases) else None


def _arrays(joined: Joined) -> dict[str, NDArray[Any]]:
    return {"starts": joined.starts, "bases": joined.bases, **joined.samples._asdict()}
