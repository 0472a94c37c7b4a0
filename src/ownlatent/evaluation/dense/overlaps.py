"""Mean intersection over union, and how sure a test set makes us of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

DRAWS = 1000
"""Of the images, for an interval."""


def confusion(found: Tensor, truth: Tensor, classes: int, void: int) -> Tensor:
    """How often a pixel of each true class was found to be of each: int64 ``[N, K, K]``.

    Args:
        found: int64 ``[N, H, W]`` in ``0 .. K-1``.
        truth: int64 ``[N, H, W]``, the same or ``void``, which is not counted.
    """
    counted = truth != void
    pairs = truth.where(counted, 0) * classes + found
    rows = torch.arange(len(found)).view(-1, 1, 1) * classes**2
    counts = torch.bincount((pairs + rows)[counted].flatten(), minlength=len(found) * classes**2)
    return counts.view(len(found), classes, classes)


def iou(counts: Tensor) -> Tensor:
    """Of each class ``true positives / (true positives + false positives + false negatives)``.

    Args:
        counts: int ``[..., K, K]``, true classes by row.

    Returns:
        float64 ``[..., K]``; NaN for a class that is neither there nor found.
    """
    right = counts.diagonal(dim1=-2, dim2=-1).double()
    either = counts.sum(-1) + counts.sum(-2) - right
    return right / either.where(either > 0, torch.nan)


@dataclass(frozen=True)
class Segmentation:
    """What a test set says of a segmentation."""

    classes: list[float]
    """IoU of each; NaN where a class is neither there nor found."""
    mean: float
    """Over classes that are there or found (VOC's mIoU)."""
    accuracy: float
    """Share of the pixels that are right."""
    interval: tuple[float, float]
    """95 % of the mean, by drawing images again (percentile bootstrap)."""
    counts: Tensor

    @classmethod
    def of(cls, counts: Tensor, seed: int = 0) -> "Segmentation":
        """From one confusion matrix per image, int64 ``[N, K, K]``."""
        n = len(counts)
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(0, n, (DRAWS, n), generator=generator)
        weights = torch.zeros(DRAWS, n, dtype=torch.float64).scatter_add_(
            1, drawn, torch.ones(DRAWS, n, dtype=torch.float64)
        )
        means = iou((weights @ counts.flatten(1).double()).view(DRAWS, *counts.shape[1:]))
        ends = torch.tensor([0.025, 0.975], dtype=torch.float64)
        low, high = means.nanmean(-1).nanquantile(ends).tolist()
        whole = counts.sum(0)
        each = iou(whole)
        return cls(
            classes=each.tolist(),
            mean=each.nanmean().item(),
            accuracy=(whole.diagonal().sum() / whole.sum()).item(),
            interval=(low, high),
            counts=whole,
        )
