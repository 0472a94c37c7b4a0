"""Multi-crop for every method: which view predicts which."""

from collections.abc import Callable, Sequence

from torch import Tensor

GLOBAL = 2
"""The first two views are global: they give targets. Those after them are local: they predict."""


def mean_over_pairs(
    loss: Callable[[int, int], Tensor], views: Sequence[object], *, symmetric: bool = False
) -> Tensor:
    """Mean of ``loss(i, j)`` over views i that predict global views j, never themselves.

    With two views these are (1, 0) and (0, 1); each local view adds two.

    Args:
        loss: of view i and global view j.
        views: of which only the number counts.
        symmetric: ``loss(i, j) == loss(j, i)``, so that the two global views need only one call.
    """
    count = len(views)
    pairs = [(i, j) for i in range(count) for j in range(GLOBAL) if i != j]
    if not symmetric:
        return sum((loss(i, j) for i, j in pairs[1:]), loss(*pairs[0])) / len(pairs)
    total = 2 * loss(0, 1)
    return sum((loss(i, j) for i, j in pairs[2:]), total) / len(pairs)
