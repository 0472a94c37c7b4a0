"""Barlow Twins' redundancy reduction."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from ownlatent.errors import UsageError
from ownlatent.objectives.precision import product, widen


def barlow_twins(a: Tensor, b: Tensor, off_diagonal: float | Literal["mean"] = 0.0051) -> Tensor:
    r"""Distance of the views' cross-correlation from the identity (Barlow Twins, equation 1).

    .. math::
        \sum_i (1 - C_{ii})^2 + \lambda \sum_i \sum_{j \ne i} C_{ij}^2, \qquad
        C = \hat a^\top \hat b / N

    where each dimension is standardised over the batch (biased variance with epsilon 1e-5, the
    official code's batch norm without affine). Both terms are **sums**, so the loss grows with D:
    it is about D where the vectors of a view do not differ.

    Args:
        a: float ``[N, D]``, the projections of one view, not standardised; N at least 2.
        b: float ``[N, D]``, those of the other. Gradients flow through both; nothing is detached.
        off_diagonal: lambda; 0.0051 is the official code's for D = 8192, where the paper says
            0.005. ``"mean"`` is 1 / (D - 1), which makes the loss D times the mean of the diagonal
            terms plus the mean of the others: a heuristic for other D, not the paper's. At 0 there
            is no off-diagonal term, and the D x D matrix is not made.

    Returns:
        A scalar; float32 at least.

    Raises:
        UsageError: ``off_diagonal`` is a word other than ``"mean"``.
    """
    n, d = a.shape
    if isinstance(off_diagonal, str):
        if off_diagonal != "mean":
            raise UsageError(f'off_diagonal must be a number or "mean"; got {off_diagonal!r}.')
        off_diagonal = 1 / max(d - 1, 1)
    a = F.batch_norm(widen(a), None, None, training=True)
    b = F.batch_norm(widen(b), None, None, training=True)
    invariance = (1 - (a * b).mean(dim=0)).square().sum()
    if off_diagonal == 0:
        return invariance
    correlation = product(a.T, b) / n
    return invariance + off_diagonal * correlation.fill_diagonal_(0).square().sum()
