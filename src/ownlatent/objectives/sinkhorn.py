"""SwAV's balanced assignment of samples to prototypes."""

import torch
from torch import Tensor

from ownlatent.errors import UsageError
from ownlatent.objectives.precision import widen


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    r"""Codes of a batch: soft assignments that use all prototypes alike (SwAV, equations 3 to 5).

    .. math:: Q = \mathrm{Diag}(u) \exp(C^\top Z / \epsilon) \, \mathrm{Diag}(v)

    Each iteration gives every prototype the same mass over the batch, then every sample a mass of
    1: the official code's order, so rows sum to 1 and columns only approach B / K. It is
    computed on logarithms (log-softmax over one axis, then the other). The exponential overflows
    float32 below epsilon = 0.0113 and float16 below 0.09, and with the maximum subtracted a far
    prototype would be 0 / 0.

    Args:
        scores: float ``[B, K]``, cosines of samples and prototypes. With a queue, its scores are
            among the rows, and the caller keeps the rows of the batch.
        epsilon: above 0; smaller makes sharper codes. The paper's 0.05, or 0.03 if stuck at ln K.
        iterations: 1 at least; the paper's 3.

    Returns:
        ``[B, K]``, float32 at least, without a gradient.

    Raises:
        UsageError: there are no iterations.
    """
    if iterations < 1:
        raise UsageError(f"iterations must be at least 1; got {iterations}.")
    logs = widen(scores) / epsilon
    for _ in range(iterations):
        logs = logs.log_softmax(dim=0).log_softmax(dim=1)
    return logs.exp()
