"""BYOL's regression of normalised vectors."""

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from ownlatent.errors import UsageError
from ownlatent.objectives.precision import widen


def byol(
    prediction: Tensor,
    target: Tensor,
    normalise: Literal["l2", "layer", "batch", "none"] = "l2",
) -> Tensor:
    r"""Squared distance of the normalised prediction and target (BYOL, equation 2).

    .. math:: \lVert \bar q - \bar z' \rVert_2^2 = 2 - 2 \cos(q, z')

    summed over dimensions and averaged over the batch: 0 when they agree, 2 when orthogonal, 4 at
    worst. A mean over elements instead would be D times smaller, which LARS hides on weights but
    not on biases and normalisation parameters.

    The other normalisations are the ablation of the paper's appendix F.6 (table 20): ``"layer"``
    standardises each vector over its dimensions, ``"batch"`` each dimension over the batch, both
    divided by :math:`\sqrt D` to keep the scale of unit vectors (biased variance, epsilon 1e-5,
    nothing learnt); ``"none"`` compares the vectors as they are.

    Args:
        prediction: float ``[B, D]``, the predictor's output.
        target: float ``[B, D]``; it is detached here, so no gradient reaches it.
        normalise: ``"l2"``, ``"layer"``, ``"batch"`` (B at least 2) or ``"none"``.

    Returns:
        A scalar; float32 at least.

    Raises:
        UsageError: ``normalise`` is none of the four.
    """
    prediction, target = widen(prediction), widen(target.detach())
    if normalise == "l2":
        cosine = (F.normalize(prediction, dim=-1) * F.normalize(target, dim=-1)).sum(-1)
        return 2 - 2 * cosine.mean()
    difference = _standardised(prediction, normalise) - _standardised(target, normalise)
    return difference.square().sum(-1).mean()


def _standardised(x: Tensor, normalise: str) -> Tensor:
    if normalise == "none":
        return x
    standardised: Tensor
    if normalise == "layer":
        standardised = F.layer_norm(x, x.shape[-1:])
    elif normalise == "batch":
        standardised = F.batch_norm(x, None, None, training=True)
    else:
        raise UsageError(f'normalise must be "l2", "layer", "batch" or "none"; got {normalise!r}.')
    return standardised / math.sqrt(x.shape[-1])
