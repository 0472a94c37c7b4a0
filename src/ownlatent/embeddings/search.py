"""``ownlatent search``: the samples of a store most like a query."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ownlatent.checks import require_within
from ownlatent.embeddings.encoders import embed_queries, encoder_of
from ownlatent.embeddings.store import Store, open_store
from ownlatent.errors import UsageError


class Hit(NamedTuple):
    """A sample that was found."""

    rank: int
    """From 1."""
    similarity: float
    """Cosine to the query."""
    label: str | None
    path: str
    """Its name in the store."""
    id: int
    row: int


class Found(NamedTuple):
    """What was found for one query, the most similar first."""

    query: str
    hits: list[Hit]


def search(
    store: Store | str | Path,
    query: Any = None,
    *,
    like: str | int | Sequence[str | int] | None = None,
    k: int = 20,
    run: str | Path | None = None,
    network: str | None = None,
    backbone: str | None = None,
    exact: bool = False,
    device: str = "cpu",
) -> list[Found]:
    """The ``k`` samples most like each query, by the cosine of their vectors.

    Args:
        store: what ``ownlatent embed`` wrote, or it opened.
        query: what the store's encoder takes: image files, PIL images or uint8 tensors
            ``[C, H, W]``, one or a list; sentences; sounds; rows.
        like: instead, samples of the store by path or id, one or several; they are not found
            themselves.
        k: 1 or more; fewer are found in a smaller store.
        run: where the store's encoder is, if it has moved.
        network, backbone: with ``run``; see :func:`ownlatent.evaluate`.
        exact: compare with all, although there is an index.
        device: where queries are embedded.

    Raises:
        UsageError: the store or the query cannot be read, the encoder is gone or another one, or no
            sample is called what ``like`` says.
    """
    store = store if isinstance(store, Store) else open_store(store)
    require_within("k", k, 1, 10**9)
    if (query is None) == (like is None):
        raise UsageError("Search for a query, or for what is like a sample of the store.")
    if like is not None:
        asked = list(like) if isinstance(like, Sequence) and not isinstance(like, str) else [like]
        own = [row_of(store, each) for each in asked]
        vectors = store.vectors()[own]
        names = [store.names[row] for row in own]
    else:
        encoder = encoder_of(store, run, network=network, backbone=backbone, device=device)
        vectors, names = embed_queries(encoder, query)
        own = [-1] * len(names)
    near = store.near(vectors, min(k + (like is not None), len(store)), exact=exact)
    found = []
    for name, itself, rows, cosines in zip(names, own, *near, strict=True):
        others = [(row, c) for row, c in zip(rows.tolist(), cosines.tolist(), strict=True)
                  if row != itself]  # fmt: skip
        hits = [
            Hit(rank, cosine, store.labels[row], store.names[row], int(store.ids[row]), row)
            for rank, (row, cosine) in enumerate(others[:k], start=1)
        ]
        found.append(Found(name, hits))
    return found


def row_of(store: Store, sample: str | int) -> int:
    """The row of a sample, by path or by id.

    Raises:
        UsageError: there is none.
    """
    if isinstance(sample, str) and sample in store.names:
        return store.names.index(sample)
    try:
        rows = np.flatnonzero(store.ids == int(sample))
    except (ValueError, OverflowError):
        rows = np.array([], np.int64)
    if not len(rows):
        raise UsageError(
            f"{store.path} holds no sample {sample!r}; name one by its path in the store, such as "
            f"{store.names[0]!r}, or by its id."
        )
    return int(rows[0])
