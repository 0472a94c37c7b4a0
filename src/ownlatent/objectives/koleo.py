"""KoLeo: vectors that spread over the sphere."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ownlatent.objectives.precision import product, widen


def koleo(features: Tensor, eps: float = 1e-8) -> Tensor:
    r"""Kozachenko and Leonenko's estimate of minus the entropy, as far as it depends on the vectors
    (Sablayrolles et al., 2018, equation 3; DINOv2, section 4).

    .. math::
        -\frac1N \sum_i \log (\lVert x_i - x_{n(i)} + \epsilon \rVert + \epsilon)

    where x is of length 1 and n(i) is the nearest other vector, the one of the largest product.
    The epsilon under the norm is that of torch's PairwiseDistance, which the official code uses:
    two equal vectors cost -ln(eps sqrt(D) + eps), and their gradient is finite.

    Args:
        features: float ``[N, D]``, of one view of N images, N at least 2: views of one image are
            not to be driven apart. Normalised here; the gradient reaches both of a pair.
        eps: DINOv2's.

    Returns:
        A scalar; float32 at least.
    """
    x = F.normalize(widen(features), dim=-1, eps=eps)
    with torch.no_grad():
        nearest = product(x, x.T).fill_diagonal_(-1).argmax(1)
    return -(F.pairwise_distance(x, x[nearest], eps=eps) + eps).log().mean()
