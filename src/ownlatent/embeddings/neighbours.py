"""Every sample's neighbours among all others, in blocks."""

from collections.abc import Callable

import numpy as np

from ownlatent.embeddings.store import Near, Store
from ownlatent.errors import UsageError

Progress = Callable[[int, int], None]
"""Called with samples done and in all."""
_ROWS = 1024


def neighbours(store: Store, k: int, progress: Progress | None = None) -> Near:
    """The ``k`` samples most like each one, itself left out, the nearest first: ``[N, k]``.

    All are compared with all, and N times k are kept.

    Raises:
        UsageError: there are not more than ``k`` samples.
    """
    if not 1 <= k < len(store):
        raise UsageError(
            f"The neighbours must be from 1 to {len(store) - 1}, as {store.path} holds "
            f"{len(store)} samples; got {k}."
        )
    vectors = store.vectors()
    rows = np.empty((len(store), k), np.int64)
    similarity = np.empty((len(store), k), np.float32)
    for start in range(0, len(store), _ROWS):
        part = slice(start, min(start + _ROWS, len(store)))
        found = store.near(vectors[part], k + 1, exact=True)
        own = np.arange(part.start, part.stop)[:, None]
        # A sample with many copies may not be among its own nearest: then the last one goes.
        strange = found.rows != own
        strange[strange.all(axis=1), -1] = False
        rows[part] = found.rows[strange].reshape(-1, k)
        similarity[part] = found.similarity[strange].reshape(-1, k)
        if progress is not None:
            progress(part.stop, len(store))
    return Near(rows, similarity)
