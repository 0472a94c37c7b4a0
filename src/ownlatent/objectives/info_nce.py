"""MoCo's contrast of queries with keys."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ownlatent.objectives.precision import product, widen


def info_nce(
    query: Tensor, key: Tensor, temperature: float, negatives: Tensor | None = None
) -> Tensor:
    r"""InfoNCE: each query finds its key among negatives (MoCo, equation 1).

    .. math::
        -\log \frac{\exp(q \cdot k_+ / \tau)}
        {\exp(q \cdot k_+ / \tau) + \sum_- \exp(q \cdot k_- / \tau)}

    averaged over the batch. With ``negatives`` (MoCo v1 and v2) they are the queue, the same for
    all queries. Without, they are the other keys of the batch (MoCo v3, which also multiplies the
    loss by 2 tau; that factor is the method's). ln N where all vectors of a batch of N agree.

    Args:
        query: float ``[N, D]``; normalised here.
        key: float ``[N, D]``, key i the positive of query i; normalised and detached here.
        temperature: tau, above 0.
        negatives: float ``[K, D]``, keys of earlier batches, normalised when they were enqueued
            and **not again here**; detached here. ``None``: the batch's other keys.

    Returns:
        A scalar; float32 at least.
    """
    q, k = F.normalize(widen(query), dim=-1), F.normalize(widen(key.detach()), dim=-1)
    if negatives is None:
        logits, positives = product(q, k.T), torch.arange(len(q), device=q.device)
    else:
        own, queue = (q * k).sum(-1, keepdim=True), product(q, widen(negatives.detach()).T)
        logits = torch.cat([own, queue], dim=1)
        positives = torch.zeros(len(q), dtype=torch.long, device=q.device)
    return F.cross_entropy(logits / temperature, positives)
