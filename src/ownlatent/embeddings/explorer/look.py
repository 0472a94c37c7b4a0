"""What the explorer shows of every sample: its place on the map, its cluster, how odd it is."""

import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ownlatent.checks import SEED, require_within
from ownlatent.embeddings.clusters import clusters
from ownlatent.embeddings.explorer.layout import layout
from ownlatent.embeddings.neighbours import neighbours
from ownlatent.embeddings.outliers import NEIGHBOURS
from ownlatent.embeddings.store import Near, Store

CLUSTERS = 10
"""As many as there are colours."""
_FORM = 1  # of the file, and of how its numbers come about
_DRAWN = 15  # neighbours that the map is drawn by

Bar = Callable[[str], Callable[[int, int], None]]
"""Makes what is called with things done and in all, for a work by its name."""


class Look(NamedTuple):
    """One number, or two, for each of N samples."""

    points: NDArray[np.float32]
    """Places ``[N, 2]`` in [-1, 1]."""
    clusters: NDArray[np.int32]
    """``[N]``, the largest cluster being 0."""
    oddity: NDArray[np.float32]
    """``[N]``: 1 minus the mean cosine to the ten nearest others, as of ``outliers``."""


def look(
    store: Store, *, clusters: int = CLUSTERS, seed: int = 0, bar: Bar | None = None
) -> tuple[Look, Path | None]:
    """Take the look at a store from the file beside it, or compute it and leave it there.

    The file's name ends in ``.explore.npz``; it serves for as long as the ids and vectors, the
    number of clusters and the seed are the same.

    Returns:
        the look, and the file; None where it cannot be written, and then it is made each time.

    Raises:
        UsageError: the store cannot be read, or an option is out of bounds.
    """
    require_within("clusters", clusters, 1, 1000)
    require_within("seed", seed, *SEED)
    clusters = min(clusters, len(store))
    key = _key(store, clusters, seed)
    file = store.path.with_name(store.path.name + ".explore.npz")
    known = _read(file, key, len(store))
    if known is not None:
        return known, file
    made = _look(store, clusters, seed, bar)
    fresh = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        with fresh.open("wb") as held:
            np.savez(held, key=np.array(key), **made._asdict())
        fresh.replace(file)
    except OSError:  # a folder that is read alone, a full disk
        fresh.unlink(missing_ok=True)
        return made, None
    return made, file


def _look(store: Store, number: int, seed: int, bar: Bar | None) -> Look:
    vectors, count = store.vectors(), len(store)
    near = Near(np.empty((count, 0), np.int64), np.empty((count, 0), np.float32))
    if count > 1:
        near = neighbours(store, min(_DRAWN, count - 1), bar and bar("comparing"))
    if count > 3:
        points = layout(vectors, near, seed=seed, progress=bar and bar("laying out"))
    else:
        points = np.zeros((count, 2), np.float32)
        points[:, 0] = np.linspace(-1, 1, count) if count > 1 else 0
    found = clusters(store, number, seed=seed, progress=bar and bar("clustering"))
    nearest = near.similarity[:, :NEIGHBOURS].astype(np.float64)
    oddity = (1 - nearest.mean(axis=1)).clip(min=0) if count > 1 else np.zeros(1)
    return Look(points, found.of.astype(np.int32), oddity.astype(np.float32))


def _key(store: Store, number: int, seed: int) -> str:
    stamp = hashlib.blake2b(f"{_FORM} {number} {seed} {store.dim}".encode(), digest_size=16)
    stamp.update(np.ascontiguousarray(store.ids).data)
    stamp.update(store.vectors().data)
    return stamp.hexdigest()


def _read(file: Path, key: str, count: int) -> Look | None:
    """What the file holds, if it is of this key and whole."""
    try:
        with np.load(file, allow_pickle=False) as held:
            if str(held["key"]) != key:
                return None
            known = Look(held["points"], held["clusters"], held["oddity"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    fits = known.points.shape == (count, 2) and known.clusters.shape == known.oddity.shape
    return known if fits and len(known.clusters) == count else None
