"""The negatives that turn BYOL's loss into InfoNCE."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ownlatent.objectives.precision import product, widen


def byol_contrast(
    prediction: Tensor,
    other: Tensor,
    same: Tensor,
    temperature: float,
    *,
    stop_gradient: bool = True,
) -> Tensor:
    r"""The contrastive part of the BYOL paper's generalised InfoNCE (equation 6).

    .. math::
        \frac{2\alpha}{B} \sum_i \ln\Bigl(\sum_{j \ne i} \exp\frac{S(v_i, v_j)}{\alpha}
        + \sum_j \exp\frac{S(v_i, v'_j)}{\alpha}\Bigr)

    S is the cosine of the prediction of its first view and the target of its second (equation 7),
    and alpha the temperature. Equation 6 stands in section 5 and again as equation 8 in appendix
    F.4; the paper maximises it, so ``byol(prediction, other) + beta * byol_contrast(...)`` is 2
    minus the paper's InfoNCE of one view: BYOL at beta = 0. Table 18 sweeps alpha and beta.

    Args:
        prediction: float ``[B, D]``, the predictor's output for view v.
        other: float ``[B, D]``, the targets of the other view v', the positives among them;
            normalised here like the rest.
        same: float ``[B, D]``, the targets of the prediction's own view v; each image's own is
            left out.
        temperature: alpha, above 0.
        stop_gradient: detach the targets. Without it, and with a prediction that is the projection
            itself, this and the distance make 2 alpha times SimCLR's loss, plus a constant.

    Returns:
        A scalar; float32 at least.
    """
    q = F.normalize(widen(prediction), dim=-1)
    if stop_gradient:
        other, same = other.detach(), same.detach()
    others, sames = (F.normalize(widen(targets), dim=-1) for targets in (other, same))
    negatives = product(q, sames.T).fill_diagonal_(float("-inf"))
    logits = torch.cat([negatives, product(q, others.T)], dim=1) / temperature
    return 2 * temperature * logits.logsumexp(dim=1).mean()
