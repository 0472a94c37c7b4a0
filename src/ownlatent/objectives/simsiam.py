"""SimSiam's negative cosine."""

import torch.nn.functional as F
from torch import Tensor

from ownlatent.objectives.precision import widen


def simsiam(prediction: Tensor, target: Tensor) -> Tensor:
    r"""Negative cosine of prediction and target (SimSiam, equations 1 and 3).

    .. math:: \mathcal{D}(p, z) = - \frac{p}{\lVert p \rVert_2} \cdot \frac{z}{\lVert z \rVert_2}

    averaged over the batch: -1 when they agree. The paper's loss (equation 4) is half the sum over
    the two views, which makes a quarter of the gradient of BYOL's.

    Args:
        prediction: float ``[B, D]``, the predictor's output.
        target: float ``[B, D]``, the projector's output; it is detached here, without which the
            loss collapses to -1 at once.

    Returns:
        A scalar; float32 at least.
    """
    p, z = widen(prediction), widen(target.detach())
    return -(F.normalize(p, dim=-1) * F.normalize(z, dim=-1)).sum(-1).mean()
