"""Groups of samples that are nearly one."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.checks import require_within
from ownlatent.embeddings.neighbours import Progress
from ownlatent.embeddings.store import Store
from ownlatent.evaluation.diagnose import DOUBLE

_ROWS, _COLUMNS = 1024, 8192
_ROUNDING = 1e-6
"""Of a cosine in float32: copies reach a threshold of 1."""


class Group(NamedTuple):
    """Samples that are nearly one."""

    rows: list[int]
    """In the store's order: the first is the one to keep."""
    similarity: list[float]
    """Of each to the first, whose own is 1."""


def duplicates(
    store: Store, *, threshold: float = DOUBLE, progress: Progress | None = None
) -> list[Group]:
    """Groups of near doubles, the largest first: samples are in one where a chain of pairs, each
    with a cosine of ``threshold`` or more, leads from one to the other.

    The default was looked at with a small BYOL encoder on 8,000 CIFAR-10 images (JPEG): one pair of
    the 32 million reaches 0.99, as do all images saved again at quality 75 or 90, 99.7 % of those
    made a tenth brighter and 61 % of those saved at quality 50, but few that were cropped by a
    pixel (21 %) or flipped. An untrained network calls more alike (15 pairs).

    All are compared with all, once; memory grows with N alone, however many pairs there are.

    Raises:
        UsageError: the threshold is not above 0 and at most 1.
    """
    require_within("threshold", threshold, 0.01, 1)
    vectors = torch.from_numpy(store.vectors())
    found = _components(vectors, threshold - _ROUNDING, progress)
    order = np.argsort(found, kind="stable")
    starts = np.flatnonzero(np.diff(found[order], prepend=-1))
    groups = []
    for rows in np.split(order, starts[1:]):
        if len(rows) > 1:
            cosines = (store.vectors()[rows] @ store.vectors()[rows[0]]).clip(-1, 1)
            groups.append(Group(rows.tolist(), [1.0, *cosines[1:].tolist()]))
    return sorted(groups, key=lambda group: (-len(group.rows), group.rows[0]))


def spare(store: Store, group: Group, threshold: float = DOUBLE) -> list[int]:
    """Rows of a group that may go: each is a double of one that stays.

    In a long chain, such as a film's frames, the last is none of the first, and stays.
    """
    vectors, kept = store.vectors(), [group.rows[0]]
    going: list[int] = []
    for row in group.rows[1:]:
        double = (vectors[kept] @ vectors[row]).max() >= threshold - _ROUNDING
        (going if double else kept).append(row)
    return going


def _components(vectors: Tensor, least: float, progress: Progress | None) -> NDArray[np.int64]:
    """For each sample the first one of its group, int64 ``[N]``."""
    count = len(vectors)
    first = np.arange(count)
    for top in range(0, count, _ROWS):
        rows = slice(top, min(top + _ROWS, count))
        for left in range(top - top % _COLUMNS, count, _COLUMNS):
            columns = slice(max(left, top), min(left + _COLUMNS, count))
            near = (vectors[rows] @ vectors[columns].T >= least).numpy()
            if near.any():
                _join(near, rows, columns, first)
        if progress is not None:
            progress(rows.stop, count)
    return first


def _join(near: NDArray[np.bool_], rows: slice, columns: slice, first: NDArray[np.int64]) -> None:
    """Join the groups of all pairs in a block, by one pair for each row and column at a time: so
    a block of a million pairs takes a few passes (as Boruvka's)."""
    while True:
        apart = near & (first[rows, None] != first[None, columns])
        here = np.flatnonzero(apart.any(axis=1))
        if not len(here):
            return
        there = np.flatnonzero(apart.any(axis=0))
        pairs = [
            (rows.start + here, columns.start + apart[here].argmax(axis=1)),
            (rows.start + apart[:, there].argmax(axis=0), columns.start + there),
        ]
        for ones, others in pairs:
            for one, other in zip(ones.tolist(), others.tolist(), strict=True):
                a, b = first[one], first[other]
                if a != b:
                    first[first == max(a, b)] = min(a, b)
