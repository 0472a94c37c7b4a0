"""Images laid out by their features: a map of thumbnails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ownlatent.report.layout import gridded, tsne
from ownlatent.report.sheet import Picture

KINDS = 10  # labels with a colour of their own


@dataclass(frozen=True)
class Tile:
    """A thumbnail in its cell; rows and columns count from 1, from the top left."""

    row: int
    column: int
    image: Picture
    label: str | None
    kind: int | None  # place in the map's ``kinds``; None: no label, or one without a colour


@dataclass(frozen=True)
class Map:
    """Thumbnails on a grid, and what their frames stand for: (label, how many are shown)."""

    columns: int
    tiles: list[Tile]
    kinds: list[tuple[str, int]]
    others: int  # labelled tiles beyond the ten commonest labels
    laid_out: int  # images that the layout was made of


def thumbnails(
    features: NDArray[np.floating[Any]],
    image: Callable[[int], Picture],
    label: Callable[[int], str | None],
) -> Map | None:
    """Lay images out by t-SNE and show about 180 of them.

    Args:
        features: ``[N, D]``.
        image, label: what image i looks like, and is called.

    Returns:
        ``None`` for fewer than 8 images, or features that are not finite or all alike.
    """
    if len(features) < 8 or not np.isfinite(features).all() or not np.ptp(features, axis=0).any():
        return None
    _, cells = gridded(tsne(features))
    top, left = min(row for row, _, _ in cells), min(column for _, column, _ in cells)
    labels = [label(index) for _, _, index in cells]
    kinds = _kinds(labels)
    numbers = {name: number for number, (name, _) in enumerate(kinds)}
    tiles = [
        Tile(row - top + 1, column - left + 1, image(index), name, numbers.get(name or ""))
        for (row, column, index), name in zip(cells, labels, strict=True)
    ]
    coloured = sum(count for _, count in kinds)
    return Map(
        columns=max(tile.column for tile in tiles),
        tiles=tiles,
        kinds=kinds,
        others=sum(name is not None for name in labels) - coloured,
        laid_out=len(features),
    )


def _kinds(labels: Sequence[str | None]) -> list[tuple[str, int]]:
    """The commonest labels with how often they occur, in the order of their names."""
    counted = Counter(name for name in labels if name is not None)
    return sorted(sorted(counted.items(), key=lambda each: (-each[1], each[0]))[:KINDS])
