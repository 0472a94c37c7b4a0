"""LanceDB's index of a large store: neighbours without reading every vector."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ownlatent.embeddings.lance import reading

LARGE = 100_000
"""Rows from which a Lance store has an index. Below, comparing with all takes at most 40 ms."""
MOST = 100
"""Neighbours that it is asked for; more are found by comparing with all."""
NAME = "LanceDB's IVF-HNSW-SQ index"
_PROBES, _REFINED = 20, 5
"""Of 200,000 clustered vectors of 512 these find 99 of the 100 nearest or more; without refining
95 (IVF-PQ of 64 bytes: 91, and 55), in as much time: benchmarks/search.py."""

Ask = Callable[[NDArray[np.float32], int], tuple[NDArray[np.int64], NDArray[np.float32]] | None]
"""Rows and cosines ``[k]`` for a query ``[D]``; None where it finds fewer than ``k``."""


def build(table: Any) -> None:
    """Index the vectors of a table of LanceDB.

    Codes of a byte per number find the candidates along a graph (Malkov and Yashunin, 2018), and
    the vectors themselves put these in order.
    """
    from lancedb.index import HnswSq

    table.create_index("vector", config=HnswSq(distance_type="cosine"))


def asking(table: Any) -> Ask | None:
    """What asks the table's index; None where it has none that covers every row."""
    names = [index.name for index in table.list_indices() if index.columns == ["vector"]]
    if not names:
        return None
    covered = table.index_stats(names[0])
    if covered is None or covered.num_unindexed_rows or covered.distance_type != "cosine":
        return None
    held: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []

    def ask(query: NDArray[np.float32], k: int) -> Any:
        if not held:
            own = [batch.column("_rowid").to_numpy() for batch in reading(table, ["id"], own=True)]
            row_ids = np.concatenate(own).astype(np.int64)
            order = np.argsort(row_ids)
            held.append((row_ids[order], order))
        row_ids, order = held[0]
        found = (
            table.search(query, vector_column_name="vector")
            .distance_type("cosine").nprobes(_PROBES).refine_factor(_REFINED)
            .limit(k).select(["_distance"]).with_row_id(True).to_arrow()
        )  # fmt: skip
        if len(found) < k:
            return None
        rows = order[np.searchsorted(row_ids, found["_rowid"].to_numpy().astype(np.int64))]
        return rows, 1 - found["_distance"].to_numpy()

    return ask
