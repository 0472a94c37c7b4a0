"""SwAV's swapped prediction."""

from torch import Tensor

from ownlatent.objectives.precision import widen


def swav(scores: Tensor, codes: Tensor, temperature: float = 0.1) -> Tensor:
    r"""Cross-entropy of one view's scores with the other's codes (SwAV, equation 2).

    .. math:: - \sum_k q_k \log \mathrm{softmax}(s / \tau)_k

    averaged over the batch; ln K where all scores of a sample agree. The mean over pairs of crops
    is the method's.

    Args:
        scores: float ``[B, K]``, cosines of one view's projections and the prototypes.
        codes: float ``[B, K]``, the other view's assignment (:func:`sinkhorn`), rows summing to 1;
            detached here.
        temperature: tau, above 0.

    Returns:
        A scalar; float32 at least.
    """
    log_probabilities = (widen(scores) / temperature).log_softmax(dim=-1)
    return -(widen(codes.detach()) * log_probabilities).sum(-1).mean()
