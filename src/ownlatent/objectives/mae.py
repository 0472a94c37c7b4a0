"""The masked autoencoder's error."""

from torch import Tensor

from ownlatent.objectives.precision import widen


def mae(prediction: Tensor, patches: Tensor, masked: Tensor, normalise: bool = True) -> Tensor:
    r"""Mean squared error of the masked patches' pixels (He et al., 2021, section 3).

    .. math::
        \frac{1}{|M|} \sum_{i \in M} \frac1P \lVert \hat x_i - x_i \rVert^2

    over the masked patches M of all images. With ``normalise`` a patch is first brought to mean 0
    and variance 1 of its own P values (variance over P - 1, plus 1e-6), as the official code does.

    Args:
        prediction: float ``[B, L, P]``, for all L patches.
        patches: float ``[B, L, P]``, their pixels; detached here.
        masked: bool ``[B, L]``, which were hidden.
        normalise: the paper's normalised pixels (table 1d).

    Returns:
        A scalar; float32 at least.
    """
    target = widen(patches).detach()
    if normalise:
        variance, mean = target.var(-1, keepdim=True), target.mean(-1, keepdim=True)
        target = (target - mean) / (variance + 1e-6).sqrt()
    error = (widen(prediction) - target).square().mean(-1)
    return error[masked].mean()
