"""Features in the plane: exact t-SNE, and a grid on which pictures do not cover one another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

_EXAGGERATED, _STEPS = 150, 500
_AXES = 50  # principal axes kept: what is beyond them is mostly noise, and costs time


def tsne(features: Floats, *, perplexity: float = 30.0, steps: int = _STEPS) -> Floats:
    """t-SNE (van der Maaten and Hinton, 2008) of directions, started from their principal axes.

    All pairs are computed, which suits up to some thousand points. Nothing is random, so the same
    features give the same layout.

    Args:
        features: ``[N, D]``, N at least 8; only their directions count.
        perplexity: about how many neighbours a point keeps close, at most ``(N - 1) / 3``.
        steps: of gradient descent; 500 settle a thousand points.

    Returns:
        ``[N, 2]``, centred, its longest direction along the first axis.
    """
    directions = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    points = _principal(directions, _AXES)
    joint = _affinities(_squared_distances(points), min(perplexity, (len(points) - 1) / 3))
    joint = joint.astype(np.float32)
    placed = points[:, :2] / max(float(points[:, 0].std()), 1e-12) * 1e-4
    if placed.shape[1] < 2:
        placed = np.hstack([placed, np.zeros_like(placed)])
    placed = placed.astype(np.float32)
    speed, gain = np.zeros_like(placed), np.ones_like(placed)
    rate = max(len(points) / 12 / 4, 50.0)  # Belkina et al., 2019, as scikit-learn has it
    for step in range(steps):
        early = step < _EXAGGERATED
        near = 1 / (1 + _squared_distances(placed))
        np.fill_diagonal(near, 0)
        pull = ((12 if early else 1) * joint - near / near.sum()) * near
        slope = 4 * (pull.sum(axis=1)[:, None] * placed - pull @ placed)
        turned = np.sign(slope) == np.sign(speed)
        gain = np.maximum(np.where(turned, gain * 0.8, gain + 0.2), 0.01)
        speed = (0.5 if early else 0.8) * speed - rate * gain * slope
        placed = placed + speed
    return _principal(placed.astype(np.float64), 2)


def gridded(points: Floats, wanted: int = 180) -> tuple[int, list[tuple[int, int, int]]]:
    """Put points ``[N, 2]`` into the cells of a square grid, one to a cell.

    A cell takes the point nearest to its middle. Points left over then fill free cells beside
    their own, nearest first, until ``wanted`` are shown; the rest are not. So a point stands at
    most a cell and a half from where the layout put it, along either axis.

    Returns:
        cells along a side, and (row, column, index) of each point shown, row 0 being the top.
    """
    wanted = min(wanted, len(points))
    side = math.ceil(math.sqrt(1.4 * wanted))
    low, high = points.min(axis=0), points.max(axis=0)
    extent = max(float((high - low).max()), 1e-12)
    places = ((points - (low + high) / 2) / extent + 0.5) * side  # proportions kept
    home = np.minimum(places.astype(int), side - 1)

    taken: dict[tuple[int, int], int] = {}
    for reach in (0, 1):
        shown = set(taken.values())
        offers = [
            (math.dist(places[index], (column + 0.5, up + 0.5)), index, (column, up))
            for index, (x, y) in enumerate(home.tolist())
            if index not in shown
            for column in range(max(x - reach, 0), min(x + reach + 1, side))
            for up in range(max(y - reach, 0), min(y + reach + 1, side))
        ]
        for _, index, cell in sorted(offers):
            if len(taken) < wanted and cell not in taken and index not in shown:
                taken[cell] = index
                shown.add(index)
    return side, sorted((side - 1 - up, column, i) for (column, up), i in taken.items())


def _squared_distances(points: Floats) -> Floats:
    squares = np.einsum("nd,nd->n", points, points)
    distances: Floats = squares[:, None] + squares - 2 * points @ points.T
    np.maximum(distances, 0, out=distances)
    return distances


def _principal(points: Floats, count: int) -> Floats:
    """The first principal axes; each one's largest loading is positive, to be the same anywhere."""
    centred = (points - points.mean(axis=0)).astype(np.float64)
    left, sigma, right = np.linalg.svd(centred, full_matrices=False)
    largest = np.abs(right).argmax(axis=1)
    signs = np.sign(right[np.arange(len(right)), largest])
    axes: Floats = (left * sigma * np.where(signs == 0, 1, signs))[:, :count]
    return axes


def _affinities(distances: Floats, perplexity: float) -> Floats:
    """Joint probabilities ``[N, N]``: each row's bandwidth is found by bisection for the entropy
    ``log(perplexity)``, then the conditional probabilities are made symmetric."""
    count = len(distances)
    inside = distances / max(float(distances.mean()), 1e-300)
    off = ~np.eye(count, dtype=bool)
    low, high = np.zeros(count), np.full(count, np.inf)
    beta = np.ones(count)
    least = np.where(off, inside, np.inf).min(axis=1, keepdims=True)
    for _ in range(60):
        weights = np.exp(-(inside - least) * beta[:, None]) * off
        total = weights.sum(axis=1)
        entropy = np.log(total) + beta * ((inside - least) * weights).sum(axis=1) / total
        wide = entropy > math.log(perplexity)
        low, high = np.where(wide, beta, low), np.where(wide, high, beta)
        beta = np.where(np.isinf(high), beta * 2, (low + high) / 2)
    conditional = weights / total[:, None]
    joint: Floats = (conditional + conditional.T) / (2 * count)
    return joint
