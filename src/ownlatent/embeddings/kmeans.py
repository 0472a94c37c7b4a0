"""k-means on the sphere: centres to which samples are nearest by cosine."""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.embeddings.neighbours import Progress

_COSINES = 2**24
"""Held at once: 64 MiB."""
_STEPS = 50


class Centres(NamedTuple):
    """Where k-means has ended."""

    centres: NDArray[np.float32]
    """Of unit length, ``[k, D]``."""
    of: NDArray[np.int64]
    """The centre of each sample, ``[N]``."""
    similarity: NDArray[np.float32]
    """Of each to it, ``[N]``."""


def kmeans(
    vectors: NDArray[np.float32], k: int, *, seed: int = 0, progress: Progress | None = None
) -> Centres:
    """Centres that samples have the greatest mean cosine to (Dhillon and Modha, 2001).

    The first centres are drawn as greedy k-means++'s (Arthur and Vassilvitskii, 2007): each a
    sample, by its squared distance to those there are, the best of a few draws. Then samples go to
    their nearest centre and centres to the mean of their samples, until no sample moves, 50 times
    at most. A centre that no sample is nearest to goes to the one that is farthest from its own.

    Args:
        vectors: ``[N, D]``, of unit length.
        k: from 1 to N.
        seed: of the draws.
        progress: called with steps done and in all.
    """
    samples = torch.from_numpy(vectors)
    centres = _begin(samples, k, torch.Generator().manual_seed(seed))
    of, similarity = _nearest(samples, centres)
    for step in range(_STEPS):
        sums = torch.zeros_like(centres).index_add_(0, of, samples)
        empty = torch.bincount(of, minlength=k) == 0
        if bool(empty.any()):
            lone = similarity.argsort()[: int(empty.sum())]
            sums[empty] = samples[lone]
        # Samples that cancel leave no direction: their centre stays.
        length = sums.norm(dim=1, keepdim=True)
        centres = torch.where(length > 1e-6, sums / length.clamp_min(1e-6), centres)
        before = of
        of, similarity = _nearest(samples, centres)
        if progress is not None:
            progress(step + 1, _STEPS)
        if torch.equal(of, before):
            break
    return Centres(centres.numpy(), of.numpy(), similarity.numpy())


def _begin(samples: Tensor, k: int, generator: torch.Generator) -> Tensor:
    chosen = [int(torch.randint(len(samples), (1,), generator=generator))]
    apart = (1 - samples @ samples[chosen[0]]).clamp_min(0)  # half the squared distance
    apart[chosen[0]] = 0
    tries = 2 + int(math.log(k))
    for _ in range(1, k):
        # By the cumulative sum, as multinomial takes 2**24 samples at most.
        reach = apart.double().cumsum(0)
        if reach[-1] > 0:
            drawn = torch.rand(tries, generator=generator, dtype=torch.float64) * reach[-1]
            rows = torch.searchsorted(reach, drawn, right=True).clamp_max(len(reach) - 1)
        else:  # every sample is a copy of a centre
            taken = set(chosen)
            rows = torch.tensor([next(row for row in range(len(samples)) if row not in taken)])
        left = torch.minimum(apart[:, None], (1 - samples @ samples[rows].T).clamp_min(0))
        best = int(left.double().sum(0).argmin())
        chosen.append(int(rows[best]))
        apart = left[:, best].clone()
        apart[chosen[-1]] = 0
    return samples[chosen].clone()


def _nearest(samples: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    of = torch.empty(len(samples), dtype=torch.int64)
    similarity = torch.empty(len(samples))
    step = max(1, _COSINES // len(centres))
    for start in range(0, len(samples), step):
        part = slice(start, start + step)
        similarity[part], of[part] = (samples[part] @ centres.T).max(dim=1)
    return of, similarity
