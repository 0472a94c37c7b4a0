"""Samples least like all others."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ownlatent.embeddings.neighbours import Progress, neighbours
from ownlatent.embeddings.store import Store

NEIGHBOURS = 10


class Outliers(NamedTuple):
    """All samples, the oddest first."""

    rows: NDArray[np.int64]
    """``[N]``"""
    score: NDArray[np.float32]
    """Of each of these: 0 for one that has its like, 2 at most."""


def outliers(store: Store, *, k: int = NEIGHBOURS, progress: Progress | None = None) -> Outliers:
    """How odd each sample is: 1 minus its mean cosine to the ``k`` nearest others.

    The mean distance to the k nearest neighbours (Angiulli and Pizzuti, 2002), which ``diagnose``
    takes too; two copies of an oddity do not hide each other, as they would from the nearest one.

    Raises:
        UsageError: there are not more samples than neighbours.
    """
    near = neighbours(store, k, progress)
    score = (1 - near.similarity.mean(axis=1, dtype=np.float64)).clip(min=0).astype(np.float32)
    order = np.argsort(-score, kind="stable")
    return Outliers(order, score[order])
