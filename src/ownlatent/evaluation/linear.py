"""Linear probe: how much of the labels a linear map can read from frozen features."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ownlatent.errors import UsageError
from ownlatent.evaluation import logistic
from ownlatent.evaluation.features import check_comparable, check_labelled, numbered, standardise
from ownlatent.evaluation.interval import Accuracy, counted

STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
_TO_CHOOSE = 1e-4
"""Tolerance of the fits that the strength is chosen by, ten times the last one's."""


@dataclass(frozen=True, kw_only=True)
class ProbeResult(Accuracy):
    """A linear probe's accuracy and how its one free choice was made."""

    strength: float  # of the L2 penalty, as in `logistic.fit`
    held_out: dict[float, float]  # strength -> accuracy on held-out training data
    seed: int


def linear_probe(
    train: Tensor,
    train_labels: Tensor | None,
    test: Tensor,
    test_labels: Tensor | None,
    *,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
    holdout: float = 0.2,
) -> ProbeResult:
    """Multinomial logistic regression on frozen features, scored once on the test set.

    The L2 strength is the one most accurate on a held-out part of the training data (the larger
    where two tie); the map is then refitted on all training data. Features are standardised with
    the statistics of whatever is being fitted. This is the protocol of SimCLR's and BYOL's
    transfer experiments (Grill et al., 2020, appendix D.1). It runs on the device of ``train``.

    Args:
        train, test: features, float ``[N, D]`` and ``[M, D]``.
        train_labels, test_labels: integers ``[N]`` and ``[M]``. Any non-negative numbers serve; a
            test class without training samples counts as wrong.
        seed: of the held-out part.
        strengths: of the penalty ``strength / 2 * ||weight||^2`` beside the mean cross-entropy.
            With a single one nothing is held out.
        holdout: fraction of each class to hold out; a class of two or more always gives one and
            keeps one, a class of one is only fitted.

    Raises:
        UsageError: the features or labels cannot be used, there is one class only, no class has
            two samples to choose the strength by, or an option is out of range.
    """
    if not strengths or not all(0 < strength < float("inf") for strength in strengths):
        raise UsageError(f"Give one or more strengths above 0; got {list(strengths)}.")
    if not 0 < holdout < 1:
        raise UsageError(f"The held-out fraction must be between 0 and 1; got {holdout}.")
    train_labels = check_labelled(train, train_labels, "training")
    test_labels = check_labelled(test, test_labels, "test").to(train.device)
    check_comparable(train, test)
    classes, targets = numbered(train_labels, "A linear probe")
    train = train.float()
    held_out: dict[float, float] = {}
    axes, start = None, None
    strength = strengths[0]
    protocol = f"L2 strength {strength:g} given"
    if len(strengths) > 1:
        held = stratified_holdout(targets, holdout, seed)
        fitted, others = standardise(train[~held], train[held])
        axes = logistic.principal_axes(fitted)
        weight, bias = logistic.fit(
            fitted, targets[~held], len(classes), strengths, axes=axes, tolerance=_TO_CHOOSE
        )
        logits = others @ weight + bias[:, None]
        right = (logits.argmax(dim=-1) == targets[held]).double().mean(dim=1)
        held_out = dict(zip(strengths, right.tolist(), strict=True))
        strength = max(strengths, key=lambda s: (held_out[s], s))
        place = list(strengths).index(strength)
        start = weight[place], bias[place]
        protocol = (
            f"L2 strength {strength:g} of {len(strengths)} chosen on {int(held.sum()):,} held-out "
            f"training samples (seed {seed}), refitted on all {len(train):,}"
        )

    fitted, others = standardise(train, test.to(train))
    weight, bias = logistic.fit(fitted, targets, len(classes), [strength], axes=axes, start=start)
    logits = others @ weight[0] + bias[0]
    return ProbeResult(
        **counted(classes[logits.argmax(dim=1)], test_labels),
        n_train=len(train),
        n_classes=len(classes),
        protocol=f"linear probe, frozen standardised features, logistic regression, {protocol}",
        strength=strength,
        held_out=held_out,
        seed=seed,
    )


def stratified_holdout(targets: Tensor, fraction: float, seed: int) -> Tensor:
    """A seeded mask, bool ``[N]``, of about ``fraction`` of each class.

    A class of two or more samples has at least one on either side; a class of one is not held out.

    Raises:
        UsageError: no class has two samples.
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(targets), generator=generator)
    mask = torch.zeros(len(targets), dtype=torch.bool)
    labels = targets.cpu()[shuffled]
    for target in range(int(targets.max()) + 1):
        members = shuffled[labels == target]
        if len(members) > 1:
            count = min(max(round(fraction * len(members)), 1), len(members) - 1)
            mask[members[:count]] = True
    if not bool(mask.any()):
        raise UsageError(
            "No class has two training samples, so none can be held out to choose settings by; "
            "give more labels, such as 2-shot."
        )
    return mask.to(targets.device)
