"""Negatives that are learned against the network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ownlatent.networks import gather, own
from ownlatent.objectives.precision import product, widen


class Adversaries(nn.Module):
    """K vectors whose directions are negatives, with a momentum of their own.

    They are buffers: the network's optimizer, its rate and its clipping are not theirs. They begin
    as random directions; the official code first fills them with a pass of keys.
    """

    vectors: Tensor  # [K, dim], of any length: only their directions count
    velocity: Tensor

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("vectors", F.normalize(torch.randn(count, dim), dim=1))
        self.register_buffer("velocity", torch.zeros(count, dim))

    def ascend(self, gradient: Tensor, lr: float, decay: float, momentum: float = 0.9) -> None:
        """A step up the loss: ``v <- m v + g - decay w``, then ``w <- w + lr v`` (equation 5)."""
        self.velocity.mul_(momentum).add_(gradient).sub_(self.vectors, alpha=decay)
        self.vectors.add_(self.velocity, alpha=lr)


def contrast(
    query: Tensor, key: Tensor, vectors: Tensor, temperature: float, memory_temperature: float
) -> tuple[Tensor, Tensor]:
    r"""What the network descends and the adversaries ascend (equations 2, 6 and 7).

    .. math::
        L_\tau = -\frac1N \sum_i \log \frac{e^{q_i k_i / \tau}}
        {\sum_j e^{q_i k_j / \tau} + \sum_k e^{q_i n_k / \tau}}, \qquad
        \frac{\partial L_\tau}{\partial n_k} = \frac{1}{N \tau} \sum_i p(n_k | q_i) \, q_i

    with n_k = w_k / |w_k|, and the gradient taken on to w_k.

    Args:
        query, key: float ``[B, D]`` of this process; normalised here, the key detached. The keys of
            all processes are negatives too, as in the official code.
        vectors: float ``[K, D]``, w.
        temperature: tau of the network's loss.
        memory_temperature: tau of the adversaries' gradient, which is lower.

    Returns:
        the loss, and the gradient ``[K, D]`` of this process's queries by w, detached.
    """
    q, k = F.normalize(widen(query), dim=1), gather(F.normalize(widen(key.detach()), dim=1))
    n = F.normalize(widen(vectors), dim=1)
    against = product(q, n.T)
    logits = torch.cat([product(q, k.T), against], dim=1)
    positives = own(torch.arange(len(k), device=q.device))
    loss = F.cross_entropy(logits / temperature, positives)
    with torch.no_grad():
        p = (logits / memory_temperature).softmax(1)[:, len(k) :]
        gradient = product(p.T, q) / len(q) - (p * against).mean(0)[:, None] * n
        length = widen(vectors).norm(dim=1, keepdim=True)
    return loss, gradient / (length * memory_temperature)
