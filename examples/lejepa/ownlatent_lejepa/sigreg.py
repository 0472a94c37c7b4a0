"""SIGReg: sketched isotropic Gaussian regularisation."""

import torch
from torch import Tensor

from ownlatent.objectives.precision import product, widen


def sigreg(z: Tensor, slices: Tensor, reach: float = 3.0, knots: int = 17) -> Tensor:
    r"""How far the embeddings are from a standard normal, slice by slice (algorithm 1).

    .. math::
        N \int |\hat\varphi(t) - e^{-t^2/2}|^2 e^{-t^2/2} dt, \qquad
        \hat\varphi(t) = \frac1N \sum_n e^{i t \langle a, z_n \rangle}

    the statistic of Epps and Pulley, averaged over the slices a. The integrand is even: of the
    trapezoids over [-reach, reach] the right half is computed, and counts twice.

    Args:
        z: float ``[N, D]``, of all processes.
        slices: float ``[D, M]``, columns of length 1.
        reach, knots: the integral's end, and points from 0 to there: 3 and 17 in the official
            code; the paper's listing has 17 from -5 to 5, which is 5 and 9.

    Returns:
        A scalar; float32 at least.
    """
    t = torch.linspace(0, reach, knots, dtype=torch.float64, device=z.device)
    normal = (-t.square() / 2).exp()
    weights = torch.full_like(t, 2 * reach / (knots - 1))
    weights[[0, -1]] /= 2
    x = product(widen(z), slices.to(widen(z)))[..., None] * t.to(widen(z))
    error = (x.cos().mean(0) - normal.to(x)).square() + x.sin().mean(0).square()
    return len(z) * (error * (weights * normal).to(x)).sum(-1).mean()
