"""A few samples that stand for all: which to label first."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ownlatent.checks import SEED, require_within
from ownlatent.embeddings.kmeans import kmeans
from ownlatent.embeddings.neighbours import Progress
from ownlatent.embeddings.store import Store
from ownlatent.errors import UsageError

How = Literal["typical", "farthest"]


def select(
    store: Store,
    n: int,
    *,
    how: How = "typical",
    seed: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.int64]:
    """Rows of ``n`` samples unlike each other, ``[n]``; the first ones matter most.

    Args:
        how: "typical": the sample in the middle of each of ``n`` clusters, the largest cluster
            first, as few labels are best spent on (Hacohen et al., 2022). "farthest": the most
            typical sample, then again and again the one farthest from all those chosen (Gonzalez,
            1985; as the core-sets of Sener and Savarese, 2018), which covers every corner, and so
            finds the rare and the odd. Of 2,000 CIFAR-10 images (JPEG) 50 labels of typical ones
            made a classifier right on 29.8 ± 2.1 % of the rest (six seeds), of random ones on 27.6
            ± 3.9 %, of the farthest on 17.3 %; 200 labels 37.2, 36.4 and 35.7 %.
        seed: of the clusters' first centres.

    Raises:
        UsageError: there are fewer samples, or an option is out of bounds.
    """
    require_within("n", n, 1, len(store))
    require_within("seed", seed, *SEED)
    if how == "typical":
        return _typical(store.vectors(), n, seed, progress)
    if how == "farthest":
        return _farthest(store.vectors(), n, progress)
    raise UsageError(f"Samples are selected as typical or farthest; got {how!r}.")


def _typical(
    vectors: NDArray[np.float32], n: int, seed: int, progress: Progress | None
) -> NDArray[np.int64]:
    found = kmeans(vectors, n, seed=seed, progress=progress)
    sizes = np.bincount(found.of, minlength=n)
    order = np.lexsort((-found.similarity, -sizes[found.of], found.of))  # by cluster, best first
    firsts = order[np.unique(found.of[order], return_index=True)[1]]
    chosen = firsts[np.argsort(-sizes[found.of[firsts]], kind="stable")]
    if len(chosen) < n:  # copies share a centre, so some clusters are empty
        left = np.setdiff1d(np.arange(len(vectors)), chosen)
        lone = left[np.argsort(found.similarity[left], kind="stable")]
        chosen = np.concatenate([chosen, lone[: n - len(chosen)]])
    return chosen


def _farthest(vectors: NDArray[np.float32], n: int, progress: Progress | None) -> NDArray[np.int64]:
    samples = torch.from_numpy(vectors)
    chosen = [int((samples @ samples.mean(0)).argmax())]
    nearest = samples @ samples[chosen[0]]
    while len(chosen) < n:
        nearest[chosen[-1]] = torch.inf
        chosen.append(int(nearest.argmin()))
        nearest = torch.maximum(nearest, samples @ samples[chosen[-1]])
        if progress is not None:
            progress(len(chosen), n)
    return np.array(chosen)
