"""How many were right, and how sure that makes us."""

from dataclasses import dataclass, field
from math import nan, sqrt
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from ownlatent.errors import UsageError


def wilson(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927), within ``[0, 1]``.

    Args:
        correct: successes, ``0 <= correct <= n``.
        n: trials, at least 1.
        confidence: two-sided coverage, between 0 and 1.

    Returns:
        The interval's two ends as fractions. Unlike the normal approximation it keeps its
        coverage near 0 and 1 and is never empty.

    Raises:
        UsageError: the counts are impossible or the confidence is not between 0 and 1.
    """
    if not 0 <= correct <= n or n < 1:
        raise UsageError(f"An interval needs 0 <= correct <= n and n >= 1; got {correct} of {n}.")
    if not 0 < confidence < 1:
        raise UsageError(f"Give a confidence between 0 and 1, such as 0.95; got {confidence}.")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = correct / n
    centre = p + z * z / (2 * n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # Exact ends where nothing or everything is right, which rounding would miss by an ulp.
    low = 0.0 if correct == 0 else (centre - half) / scale
    high = 1.0 if correct == n else (centre + half) / scale
    return low, high


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Top-1 accuracy on a test set, with what is needed to compare it."""

    correct: int
    n_test: int
    n_train: int
    n_classes: int  # classes among the training labels
    protocol: str
    mean_per_class: float = nan  # accuracy of each class of the test set, averaged over these
    confusion: list[list[int]] = field(default_factory=list, repr=False)
    """``[class, class it was taken for, how often]``, of those that occur."""

    @property
    def accuracy(self) -> float:
        """Fraction of the test samples that were right."""
        return self.correct / self.n_test

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of ``accuracy``: the test set's sampling error, not the seed's."""
        return wilson(self.correct, self.n_test)


def counted(found: Tensor, truth: Tensor) -> dict[str, Any]:
    """What an :class:`Accuracy` holds of predictions.

    Args:
        found, truth: int64 ``[M]``, the same numbers for the same classes.
    """
    right = (found == truth).double()
    _, of = torch.unique(truth, return_inverse=True)
    sizes = torch.bincount(of)
    each = torch.zeros(len(sizes), dtype=right.dtype, device=right.device)
    each = each.scatter_add_(0, of, right) / sizes
    pairs, counts = torch.unique(torch.stack([truth, found]), dim=1, return_counts=True)
    return {
        "correct": int(right.sum()), "n_test": len(truth), "mean_per_class": each.mean().item(),
        "confusion": torch.cat([pairs, counts[None]]).T.tolist(),
    }  # fmt: skip
