"""Samples that belong together, in a folder each."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ownlatent.checks import SEED, require_within
from ownlatent.embeddings.kmeans import kmeans
from ownlatent.embeddings.lists import write_list
from ownlatent.embeddings.neighbours import Progress
from ownlatent.embeddings.store import Store
from ownlatent.errors import UsageError


class Clusters(NamedTuple):
    """Which cluster each sample is in, the largest cluster first."""

    of: NDArray[np.int64]
    """``[N]``, numbers from 0."""
    similarity: NDArray[np.float32]
    """Of each sample to the middle of its cluster, ``[N]``."""
    sizes: list[int]


def clusters(store: Store, k: int, *, seed: int = 0, progress: Progress | None = None) -> Clusters:
    """``k`` clusters of a store's samples; see :func:`ownlatent.embeddings.kmeans.kmeans`.

    Raises:
        UsageError: there are fewer samples, or an option is out of bounds.
    """
    require_within("k", k, 1, len(store))
    require_within("seed", seed, *SEED)
    found = kmeans(store.vectors(), k, seed=seed, progress=progress)
    sizes = np.bincount(found.of, minlength=k)
    order = np.argsort(-sizes, kind="stable")
    number = np.empty_like(order)
    number[order] = np.arange(k)
    return Clusters(number[found.of], found.similarity, sizes[order].tolist())


def write_clusters(store: Store, found: Clusters, out: str | Path, *, copy: bool = False) -> int:
    """Write ``out/clusters.csv`` (cluster, path, label, similarity) and, where samples are files,
    a link to each in ``out/<cluster>/``, below the folders it came from; how many there are.

    Args:
        out: a new or empty folder.
        copy: copies instead of links.

    Raises:
        UsageError: ``out`` holds something, or cannot be written.
    """
    out = Path(out)
    require_empty(out)
    width = len(str(len(found.sizes) - 1))
    order = np.lexsort((-found.similarity, found.of))
    placed = 0
    for row in order.tolist():
        file = store.file(row)
        if file is None:
            continue
        place = out / f"{found.of[row]:0{width}}" / store.names[row]
        place.parent.mkdir(parents=True, exist_ok=True)
        if copy:
            shutil.copyfile(file, place)
        else:
            os.symlink(file, place)
        placed += 1
    rows = (
        [found.of[row], store.names[row], store.labels[row], f"{found.similarity[row]:.6f}"]
        for row in order.tolist()
    )
    write_list(out / "clusters.csv", ["cluster", "path", "label", "similarity"], rows)
    return placed


def require_empty(out: Path) -> None:
    """Refuse a folder to write into that holds something."""
    try:
        held = out.exists() and (not out.is_dir() or any(out.iterdir()))
        out.mkdir(parents=True, exist_ok=True) if not held else None
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror}); choose another.") from error
    if held:
        raise UsageError(f"{out} holds something already; choose another --out or empty it.")
