"""Multinomial logistic regression at many L2 strengths, most of them begun where others ended."""

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_ENOUGH = 8
"""Rows for each column, from which more say nothing new about the axes."""
_COARSE = 4
"""Strengths begun from nothing, about."""
_PERFECT = 1e-3
"""Objective below which a fit is not held to a fraction of it: separable data have no end."""
_LOGITS = 2**28
"""Held at once: 1 GiB."""


class Axes(NamedTuple):
    """Directions along which the data's covariance is diagonal."""

    vectors: Tensor
    """Orthogonal ``[D, D]``, by column."""
    variances: Tensor
    """``[D]``, along each."""


def principal_axes(x: Tensor) -> Axes:
    """Principal axes of the rows of ``x``, centred ``[N, D]``; of a part where there are many."""
    x = x[:: max(1, len(x) // (_ENOUGH * x.shape[1]))]
    covariance = x.T @ x / len(x)
    try:
        variances, vectors = torch.linalg.eigh(covariance)
    except RuntimeError:  # LAPACK's, met with collapsed features, most of them nearly constant
        variances, vectors = (part.to(x) for part in torch.linalg.eigh(covariance.double()))
    return Axes(vectors, variances.clamp_min(0))


def fit(
    x: Tensor,
    targets: Tensor,
    classes: int,
    strengths: Sequence[float],
    *,
    axes: Axes | None = None,
    start: tuple[Tensor, Tensor] | None = None,
    tolerance: float = 1e-5,
    max_steps: int = 500,
) -> tuple[Tensor, Tensor]:
    """Minimise ``mean cross-entropy + strength / 2 * ||weight||^2`` for every strength.

    scikit-learn's ``LogisticRegression(C=1 / (N * strength))`` has the same minimum; as there, the
    bias is not penalised.

    Along its principal axes the data's covariance is diagonal, and the Hessian nearly so; dividing
    the gradient by that diagonal undoes most of the bad conditioning. Conjugate gradients
    (Polak-Ribiere+) so preconditioned need tens of steps where plain L-BFGS needs hundreds. A step
    costs two matrix products over all strengths, and reading the data is most of that; the search
    along it costs none, since the logits are linear in the step. A solved strength leaves.

    The minimum moves smoothly with the logarithm of the strength. So a few strengths, spread over
    all, are solved first, then those halfway between them from where a cubic through the four
    nearest says, and so on: the last half of them takes a step or none.

    Args:
        x: float ``[N, D]``, best standardised.
        targets: int64 ``[N]`` in ``0 .. classes - 1``.
        classes: number of classes, K.
        strengths: S positive numbers.
        axes: by default the principal axes of ``x``. Any give the same minimum, those of similar
            data about as fast, so related fits can share them.
        start: weight ``[D, K]`` and bias ``[K]`` to begin the first strengths from; by default 0.
        tolerance: stop when the decrease that a preconditioned step promises is below this
            fraction of the objective (or of a thousandth, if that is more), which is about what is
            left to gain.
        max_steps: warn and stop here.

    Returns:
        Weights ``[S, D, K]`` and biases ``[S, K]``: the logits are ``x @ weight + bias``.
    """
    problem = _Problem(x, targets, classes, principal_axes(x) if axes is None else axes)
    first = x.new_zeros(classes, x.shape[1] + 1)
    if start is not None:
        first = torch.cat([start[0].T, start[1][:, None]], 1)
    solved: dict[float, Tensor] = {}
    short: list[float] = []
    at_once = max(1, _LOGITS // (len(x) * classes))
    for level in _levels(sorted(set(strengths))):
        guesses = [_interpolated(solved, each) if solved else first for each in level]
        for begin in range(0, len(level), at_once):
            part = slice(begin, begin + at_once)
            found, done = problem.minimise(
                torch.stack(guesses[part]), level[part], tolerance, max_steps
            )
            solved.update(zip(level[part], found, strict=True))
            short += [each for each, its in zip(level[part], done, strict=True) if not its]
    if short:
        warnings.warn(
            f"Logistic regression stopped after {max_steps} steps, short of its minimum, at "
            f"strength {', '.join(f'{each:g}' for each in short)}.",
            stacklevel=2,
        )
    found = torch.stack([solved[strength] for strength in strengths])
    # A constant added to every class's bias changes nothing; leave none, as scikit-learn does.
    bias = found[..., -1]
    return found[..., :-1].transpose(1, 2), bias - bias.mean(dim=1, keepdim=True)


def _levels(strengths: list[float]) -> Iterator[list[float]]:
    """About four spread over all of them, the ends too; then those halfway between, and so on."""
    stride = 2 ** max(0, math.ceil(math.log2(len(strengths) / _COARSE)))
    yield sorted({*strengths[::stride], strengths[-1]})
    while stride > 1:
        between = strengths[stride // 2 : -1 : stride]
        if between:
            yield between
        stride //= 2


def _interpolated(solved: dict[float, Tensor], strength: float) -> Tensor:
    """Lagrange's polynomial through the four nearest, in the logarithm of the strength."""
    places = {each: math.log(each / strength) for each in solved}
    near = sorted(places, key=lambda each: abs(places[each]))[:4]
    guess = torch.zeros_like(solved[near[0]])
    for own in near:
        share = math.prod(
            places[other] / (places[other] - places[own]) for other in near if other != own
        )
        guess += share * solved[own]
    return guess


class _Problem:
    """One data set. Classes come before samples: with few of them, products and softmax are
    several times slower the other way round."""

    def __init__(self, x: Tensor, targets: Tensor, classes: int, axes: Axes) -> None:
        self._x, self._axes, self._classes = x, axes, classes
        self._truth = x.new_zeros(classes, len(x)).scatter_(0, targets[None], 1)

    def minimise(
        self, weight: Tensor, strengths: Sequence[float], tolerance: float, max_steps: int
    ) -> tuple[Tensor, list[bool]]:
        """The minima ``[S, K, D + 1]``, biases last, and whether each was reached."""
        strength = torch.tensor(strengths, device=weight.device, dtype=weight.dtype)[:, None, None]
        penalty = strength.repeat(1, 1, weight.shape[2])  # [S, 1, D+1]
        penalty[..., -1] = 0
        solution = weight.clone()
        active = torch.arange(len(strengths), device=weight.device)
        logits = self._products(weight)
        direction, old_gradient = torch.zeros_like(weight), torch.zeros_like(weight)
        old_slope = weight.new_ones(len(strengths))
        for _ in range(max_steps):
            log_p = logits.log_softmax(dim=1)
            p = log_p.exp()
            objective = _dot(penalty * weight, weight) / 2 - _at(self._truth, log_p)
            # The Hessian's diagonal, had p (1 - p) been the same for every sample.
            uncertainty = (p - p.square()).mean(dim=2, keepdim=True).clamp_min(1e-12)
            gradient = self._sums(p.sub_(self._truth)) + penalty * weight
            scaled = self._precondition(gradient, uncertainty, strength)
            slope = _dot(gradient, scaled)

            solution[active] = weight
            going = slope > tolerance * objective.clamp_min(_PERFECT)
            if not bool(going.any()):
                active = active[:0]
                break
            if not bool(going.all()):
                active, weight, logits = active[going], weight[going], logits[going]
                gradient, scaled, slope = gradient[going], scaled[going], slope[going]
                direction, old_gradient, old_slope = (
                    tensor[going] for tensor in (direction, old_gradient, old_slope)
                )
                penalty, strength = penalty[going], strength[going]

            beta = (_dot(gradient - old_gradient, scaled) / old_slope).clamp_min(0)
            direction = beta[:, None, None] * direction - scaled
            change = self._products(direction)
            step = search(
                logits,
                change,
                self._truth,
                linear=_dot(penalty * weight, direction),
                quadratic=_dot(penalty * direction, direction),
            )[:, None, None]
            weight = weight + step * direction
            logits = logits + step * change
            old_gradient, old_slope = gradient, slope
        left = set(active.tolist())
        return solution, [place not in left for place in range(len(strengths))]

    def _products(self, weight: Tensor) -> Tensor:
        """Logits ``[S, K, N]`` of weights ``[S, K, D + 1]``."""
        flat = weight.flatten(0, 1)
        made = torch.addmm(flat[:, -1:], flat[:, :-1], self._x.T)
        return made.view(len(weight), self._classes, -1)

    def _sums(self, error: Tensor) -> Tensor:
        """Their mean over the samples: the transpose of :meth:`_products`, over N."""
        flat = error.flatten(0, 1)
        sums = torch.cat([flat @ self._x, flat.sum(1, keepdim=True)], 1) / error.shape[2]
        return sums.view(len(error), self._classes, -1)

    def _precondition(self, gradient: Tensor, uncertainty: Tensor, strength: Tensor) -> Tensor:
        vectors, variances = self._axes
        along = gradient[..., :-1] @ vectors / (uncertainty * variances + strength)
        return torch.cat([along @ vectors.T, gradient[..., -1:] / uncertainty], 2)


def search(
    logits: Tensor, change: Tensor, truth: Tensor, *, linear: Tensor, quadratic: Tensor
) -> Tensor:
    """Steps ``[S]`` that nearly minimise the objective along a direction, by guarded Newton.

    A step is taken where the slope is a tenth of what it was and the objective no higher. Where
    the direction does not descend the step is 0, which makes the next direction the preconditioned
    gradient.

    Args:
        logits, change: ``[S, K, N]``.
        truth: ``[K, N]``, 1 at each sample's class.
        linear, quadratic: the penalty adds ``linear * step + quadratic / 2 * step^2``, ``[S]``.
    """
    at_truth = _at(truth, change)
    squared = change.square()
    step, low = torch.zeros_like(linear), torch.zeros_like(linear)
    high = torch.full_like(linear, math.inf)
    first = None
    for _ in range(30):
        log_p = torch.addcmul(logits, step[:, None, None], change).log_softmax(dim=1)
        p = log_p.exp()
        expected = (p * change).sum(1)
        variance = (p * squared).sum(1) - expected.square()
        slope = expected.mean(dim=1) - at_truth + linear + step * quadratic
        value = (linear + step * quadratic / 2) * step - _at(truth, log_p)
        start_slope, start_value = first = first or (slope.abs(), value)
        # The slack is float32's resolution: near the minimum the objective hardly moves.
        lower = value <= start_value + 1e-6 * start_value.abs()
        taken = lower & (slope.abs() <= 0.1 * start_slope)
        if bool(taken.all()):
            break
        low = torch.where(slope < 0, step, low)
        high = torch.where(slope < 0, high, step)
        newton = step - slope / (variance.mean(dim=1) + quadratic)
        newton = torch.where((newton > low) & (newton < high), newton, (low + high) / 2)
        step = torch.where(taken, step, newton)
    return torch.where(taken, step, low)  # the objective falls all the way to `low`


def _at(truth: Tensor, values: Tensor) -> Tensor:
    """Mean over the samples of the values at their class: ``[S, K, N]`` to ``[S]``."""
    return (truth * values).sum(1).mean(dim=1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each pair of ``[K, D]`` matrices: ``[S]``."""
    return (a * b).sum(dim=(1, 2))
