"""Multinomial logistic regression at many L2 strengths, solved as one batched problem."""

import math
import warnings
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def principal_axes(x: Tensor) -> Tensor:
    """Orthogonal matrix ``[D, D]`` whose columns are the principal axes of the rows of ``x``."""
    covariance = x.T @ x
    try:
        axes: Tensor = torch.linalg.eigh(covariance)[1]
    except RuntimeError:  # LAPACK's, met with collapsed features, most of them nearly constant
        axes = torch.linalg.eigh(covariance.double())[1].to(x)
    return axes


def fit(
    x: Tensor,
    targets: Tensor,
    classes: int,
    strengths: Sequence[float],
    *,
    axes: Tensor | None = None,
    tolerance: float = 1e-5,
    max_steps: int = 500,
) -> tuple[Tensor, Tensor]:
    """Minimise ``mean cross-entropy + strength / 2 * ||weight||^2`` for every strength at once.

    scikit-learn's ``LogisticRegression(C=1 / (N * strength))`` has the same minimum; as there, the
    bias is not penalised.

    Along its principal axes the data's covariance is diagonal, and the Hessian nearly so; dividing
    the gradient by that diagonal undoes most of the bad conditioning. Conjugate gradients
    (Polak-Ribiere+) so preconditioned need tens of steps where plain L-BFGS needs hundreds. A step
    costs two matrix products over all strengths; the search along it costs none, since the logits
    are linear in the step. A solved strength leaves the batch.

    Args:
        x: float ``[N, D]``, best standardised.
        targets: int64 ``[N]`` in ``0 .. classes - 1``.
        classes: number of classes, K.
        strengths: S positive numbers.
        axes: orthogonal ``[D, D]``, by default the principal axes of ``x``. Any give the same
            minimum, those of similar data about as fast, so related fits can share them.
        tolerance: stop when the decrease that a preconditioned step promises is below this
            fraction of the objective, which is about what is left to gain.
        max_steps: warn and stop here.

    Returns:
        Weights ``[S, D, K]`` and biases ``[S, K]``: the logits are ``x @ weight + bias``.
    """
    axes = principal_axes(x) if axes is None else axes
    n, d = x.shape
    # One more column, of ones, carries the bias; made here so that x is copied once.
    z = x @ F.pad(axes, (0, 1))
    z[:, -1] = 1
    truth = F.one_hot(targets, classes).to(z)[:, None]  # [N, 1, K]
    penalty = torch.tensor(strengths, device=z.device, dtype=z.dtype)[:, None, None]
    penalty = penalty * (torch.arange(d + 1, device=z.device) < d)[:, None]  # [S, D+1, 1]
    spread = z.square().mean(dim=0)[:, None]  # [D+1, 1]: the covariance's diagonal

    solution = z.new_zeros(len(strengths), d + 1, classes)
    active = torch.arange(len(strengths), device=z.device)
    weight, logits = solution.clone(), z.new_zeros(n, len(strengths), classes)
    direction, old_gradient = solution.clone(), solution.clone()
    old_slope = z.new_ones(len(strengths))
    for _ in range(max_steps):
        log_p = logits.log_softmax(dim=-1)
        p = log_p.exp()
        gradient = (z.T @ ((p - truth) / n).flatten(1)).view(-1, *p.shape[1:])
        gradient = gradient.transpose(0, 1) + penalty * weight
        objective = _dot(penalty * weight, weight) / 2 - (truth * log_p).sum(-1).mean(dim=0)
        # The Hessian's diagonal, had p (1 - p) been the same for every sample.
        uncertainty = (p * (1 - p)).mean(dim=0)[:, None].clamp_min(1e-12)
        scaled = gradient / (uncertainty * spread + penalty)
        slope = _dot(gradient, scaled)

        solution[active] = weight
        going = slope > tolerance * objective
        if not bool(going.any()):
            break
        if not bool(going.all()):
            active, weight, logits = active[going], weight[going], logits[:, going]
            gradient, scaled, slope = gradient[going], scaled[going], slope[going]
            direction, old_gradient, old_slope = (
                tensor[going] for tensor in (direction, old_gradient, old_slope)
            )
            penalty = penalty[going]

        beta = (_dot(gradient - old_gradient, scaled) / old_slope).clamp_min(0)
        direction = beta[:, None, None] * direction - scaled
        change = (z @ direction.transpose(0, 1).flatten(1)).view_as(logits)
        step = _search(
            logits,
            change,
            truth,
            linear=_dot(penalty * weight, direction),
            quadratic=_dot(penalty * direction, direction),
        )
        weight = weight + step[:, None, None] * direction
        logits = logits + step[:, None] * change
        old_gradient, old_slope = gradient, slope
    else:
        warnings.warn(
            f"Logistic regression stopped after {max_steps} steps, short of its minimum, at "
            f"strength {', '.join(f'{strengths[i]:g}' for i in active.tolist())}.",
            stacklevel=2,
        )
    # A constant added to every class's bias changes nothing; leave none, as scikit-learn does.
    bias = solution[:, -1]
    return axes @ solution[:, :-1], bias - bias.mean(dim=1, keepdim=True)


def _search(
    logits: Tensor, change: Tensor, truth: Tensor, *, linear: Tensor, quadratic: Tensor
) -> Tensor:
    """Step ``[S]`` that nearly minimises the objective along a direction, by guarded Newton.

    ``logits`` and ``change`` are ``[N, S, K]``; the penalty adds ``linear * step +
    quadratic / 2 * step^2``. A step is taken where the slope is a tenth of what it was and the
    objective no higher. Where the direction does not descend the step is 0, which makes the next
    direction the preconditioned gradient.
    """
    at_truth = (truth * change).sum(-1).mean(dim=0)
    step, low = torch.zeros_like(linear), torch.zeros_like(linear)
    high = torch.full_like(linear, math.inf)
    first = None
    for _ in range(30):
        log_p = (logits + step[:, None] * change).log_softmax(dim=-1)
        p = log_p.exp()
        expected = (p * change).sum(-1)
        variance = (p * change.square()).sum(-1) - expected.square()
        slope = expected.mean(dim=0) - at_truth + linear + step * quadratic
        loss = -(truth * log_p).sum(-1).mean(dim=0)
        value = loss + (linear + step * quadratic / 2) * step
        start_slope, start_value = first = first or (slope.abs(), value)
        # The slack is float32's resolution: near the minimum the objective hardly moves.
        lower = value <= start_value + 1e-6 * start_value.abs()
        taken = lower & (slope.abs() <= 0.1 * start_slope)
        if bool(taken.all()):
            break
        low = torch.where(slope < 0, step, low)
        high = torch.where(slope < 0, high, step)
        newton = step - slope / (variance.mean(dim=0) + quadratic)
        newton = torch.where((newton > low) & (newton < high), newton, (low + high) / 2)
        step = torch.where(taken, step, newton)
    return torch.where(taken, step, low)  # the objective falls all the way to `low`


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each pair of ``[D, K]`` matrices: ``[S]``."""
    return (a * b).sum(dim=(1, 2))
