"""Vectors in the plane, by the neighbours each has: a layout for up to some hundred thousand."""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ownlatent.embeddings.store import Near

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]

# The curve 1 / (1 + a d^(2b)) that is nearest to 1 up to a distance of 0.1 and exp(0.1 - d) beyond.
_A, _B = 1.577, 0.895
_NEGATIVES = 5  # samples that push, for each that pulls
_WIDE = 10.0  # the first axes are laid out from -10 to 10
_FAR = 4.0  # the longest step along an axis


def layout(
    vectors: Floats, near: Near, *, seed: int = 0, progress: Progress | None = None
) -> Floats:
    """UMAP's layout (McInnes, Healy and Melville, 2018) of neighbours that are known exactly.

    A sample's neighbours have weights exp(-(d - nearest) / scale), the scale being such that they
    sum to log2(k); a pair's is w + w' - w w'. From their principal axes, samples are pulled
    together as often as their weight says and pushed from five drawn at random. One thread and one
    seed give one layout.

    Args:
        vectors: ``[N, D]``, of unit length.
        near: of each, k others, the nearest first.
        seed: of the draws.
        progress: called with passes done and in all.

    Returns:
        ``[N, 2]``, in [-1, 1], the longest direction along the first axis.
    """
    count = len(vectors)
    heads, tails, weights = graph(near)
    placed = _principal(vectors)
    generator = np.random.default_rng(seed)
    placed *= _WIDE / max(float(np.abs(placed).max()), 1e-12)
    placed += generator.normal(0, 1e-4, placed.shape)
    passes = 500 if count <= 10_000 else 200
    # A pair whose weight would have it drawn less than once is left out.
    kept = weights >= weights.max() / passes
    heads, tails, weights = heads[kept], tails[kept], weights[kept]
    every = (weights.max() / weights).astype(np.float64)
    placed, due = placed.astype(np.float64), every.copy()
    start = int(generator.integers(2**31))
    for done in range(passes):
        _pass(placed, heads, tails, every, due, done, 1 - done / passes, start)
        if progress is not None:
            progress(done + 1, passes)
    placed = _principal(placed.astype(np.float32))
    return (placed / max(float(np.abs(placed).max()), 1e-12)).astype(np.float32)


def graph(near: Near) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs ``[E]`` of samples, in both directions, and how much each pair belongs together."""
    count, k = near.rows.shape
    apart = np.sqrt(np.maximum(2 - 2 * near.similarity.astype(np.float64), 0))
    least = np.where(apart > 0, apart, np.inf).min(axis=1, keepdims=True)
    beyond = np.maximum(apart - np.where(np.isfinite(least), least, 0), 0)
    low, high = np.zeros((count, 1)), np.full((count, 1), np.inf)
    scale = np.ones((count, 1))
    for _ in range(64):
        wide = np.exp(-beyond / scale).sum(axis=1, keepdims=True) > math.log2(k)
        low, high = np.where(wide, low, scale), np.where(wide, scale, high)
        scale = np.where(np.isinf(high), scale * 2, (low + high) / 2)
    # As UMAP has it, copies do not bring a scale to nothing.
    scale = np.maximum(scale, 1e-3 * np.maximum(apart.mean(axis=1, keepdims=True), 1e-12))
    one_way = np.exp(-beyond / scale).reshape(-1)
    own = np.repeat(np.arange(count), k)
    other = near.rows.reshape(-1)
    pairs, place = np.unique(np.minimum(own, other) * count + np.maximum(own, other),
                             return_inverse=True)  # fmt: skip
    # w + w' - w w' is 1 - (1 - w)(1 - w').
    apartness = np.ones(len(pairs))
    np.multiply.at(apartness, place.reshape(-1), 1 - one_way)
    heads, tails = np.divmod(pairs, count)
    weights = 1 - apartness
    return (np.concatenate([heads, tails]), np.concatenate([tails, heads]),
            np.concatenate([weights, weights]))  # fmt: skip


def _principal(vectors: Floats) -> NDArray[np.float64]:
    """The first two principal axes, ``[N, 2]``; the largest loading of each is positive."""
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    best = axes[:, :-3:-1]
    largest = best[np.abs(best).argmax(axis=0), np.arange(best.shape[1])]
    found = centred @ (best * np.where(largest < 0, -1, 1))
    if found.shape[1] < 2:
        found = np.hstack([found, np.zeros_like(found)])
    return np.asarray(found, np.float64)


def _pull(
    placed: Any, heads: Any, tails: Any, every: Any, due: Any, done: int, rate: float, start: int
) -> None:
    """One pass over all pairs: moves ``placed`` and the passes in which pairs are ``due``."""
    count = len(placed)
    for pair in range(len(heads)):
        if due[pair] > done + 1:
            continue
        due[pair] += every[pair]
        i, j = heads[pair], tails[pair]
        squared = 0.0
        for axis in range(2):
            squared += (placed[i, axis] - placed[j, axis]) ** 2
        if squared > 0:
            slope = -2 * _A * _B * squared ** (_B - 1) / (1 + _A * squared**_B)
            for axis in range(2):
                step = min(max(slope * (placed[i, axis] - placed[j, axis]), -_FAR), _FAR) * rate
                placed[i, axis] += step
                placed[j, axis] -= step
        # Knuth's generator of 31 bits, begun anew for each pair and pass.
        state = (start + 7919 * done + 104729 * pair) & 0x7FFFFFFF
        for _ in range(_NEGATIVES):
            state = (1103515245 * state + 12345) & 0x7FFFFFFF
            other = (state >> 8) % count
            if other == i:
                continue
            squared = 0.0
            for axis in range(2):
                squared += (placed[i, axis] - placed[other, axis]) ** 2
            if squared > 0:
                slope = 2 * _B / ((0.001 + squared) * (1 + _A * squared**_B))
                for axis in range(2):
                    push = slope * (placed[i, axis] - placed[other, axis])
                    placed[i, axis] += min(max(push, -_FAR), _FAR) * rate


def _compiled(function: Any) -> Any:
    """Compiled when first called; kept beside this file or in the user's cache where it can be."""
    try:
        return numba.njit(function, cache=True, nogil=True)
    except RuntimeError:  # neither place can be written
        return numba.njit(function, nogil=True)


_pass = _compiled(_pull)
