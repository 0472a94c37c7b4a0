"""VICReg's three terms."""

import torch.nn.functional as F
from torch import Tensor

from ownlatent.objectives.precision import product, widen


def vicreg(
    a: Tensor,
    b: Tensor,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> Tensor:
    r"""Invariance, variance and covariance (VICReg, equations 1 to 6, as the official code).

    .. math::
        \lambda \, s(a, b) + \tfrac{\mu}{2} [v(a) + v(b)] + \nu \, [c(a) + c(b)]

    s is the mean squared difference over **all** elements,
    :math:`v(z) = \frac1D \sum_j \max(0, 1 - \sqrt{\mathrm{Var}(z_j) + 10^{-4}})` and
    :math:`c(z) = \frac1D \sum_{i \ne j} \mathrm{Cov}(z)_{ij}^2`, with N - 1 in Var and Cov. The
    paper writes the variance term as a sum, v(a) + v(b), twice what its code computes, and s summed
    over dimensions, D times as much; this is the code's form, to which the default weights belong.

    Args:
        a: float ``[N, D]``, the projections of one view, not normalised; N at least 2.
        b: float ``[N, D]``, those of the other. Gradients flow through both; nothing is detached.
        invariance: lambda.
        variance: mu.
        covariance: nu.

    Returns:
        A scalar; float32 at least.
    """
    a, b = widen(a), widen(b)
    spread = (_variance(a) + _variance(b)) / 2
    redundancy = _covariance(a) + _covariance(b)
    return invariance * F.mse_loss(a, b) + variance * spread + covariance * redundancy


def _variance(z: Tensor) -> Tensor:
    return F.relu(1 - (z.var(dim=0) + 1e-4).sqrt()).mean()


def _covariance(z: Tensor) -> Tensor:
    n, d = z.shape
    z = z - z.mean(dim=0)
    return (product(z.T, z) / (n - 1)).fill_diagonal_(0).square().sum() / d
