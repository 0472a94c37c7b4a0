"""BYOL's regression of normalised vectors."""

import torch.nn.functional as F
from torch import Tensor


def byol(prediction: Tensor, target: Tensor) -> Tensor:
    r"""Squared distance of the normalised prediction and target (BYOL, equation 2).

    .. math:: \lVert \bar q - \bar z' \rVert_2^2 = 2 - 2 \cos(q, z')

    summed over dimensions and averaged over the batch: 0 when they agree, 2 when orthogonal, 4 at
    worst. A mean over elements instead would be D times smaller, which LARS hides on weights but
    not on biases and normalisation parameters.

    Args:
        prediction: float ``[B, D]``, the predictor's output.
        target: float ``[B, D]``; it is detached here, so no gradient reaches it.

    Returns:
        A scalar; float32 at least.
    """
    if prediction.dtype.itemsize < 4:
        prediction, target = prediction.float(), target.float()
    cosine = (F.normalize(prediction, dim=-1) * F.normalize(target.detach(), dim=-1)).sum(-1)
    return 2 - 2 * cosine.mean()
