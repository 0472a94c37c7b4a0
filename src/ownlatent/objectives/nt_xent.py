"""SimCLR's normalised, temperature-scaled cross-entropy."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ownlatent.objectives.precision import product, widen


def nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    r"""NT-Xent: each view finds the other among all views of the batch (SimCLR, equation 1).

    .. math::
        \ell_{i,j} = -\log \frac{\exp(\cos(z_i, z_j) / \tau)}
        {\sum_{k \ne i} \exp(\cos(z_i, z_k) / \tau)}

    averaged over the 2N anchors, as in the paper; the official code adds the means of both views
    and is twice as large. An anchor is never compared with itself. The loss is ln(2N - 1) where all
    vectors agree and 0 for a batch of one image, which has no negatives.

    Args:
        a: float ``[N, D]``, the projections of one view; normalised here.
        b: float ``[N, D]``, those of the other; the two may be swapped. Gradients flow through
            both, as anchors, positives and negatives: nothing is detached.
        temperature: tau, above 0.

    Returns:
        A scalar; float32 at least.
    """
    z = F.normalize(torch.cat([widen(a), widen(b)]), dim=-1)
    logits = (product(z, z.T) / temperature).fill_diagonal_(float("-inf"))
    positives = torch.arange(len(z), device=z.device).roll(len(a))
    return F.cross_entropy(logits, positives)
