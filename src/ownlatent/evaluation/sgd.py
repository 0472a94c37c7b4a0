"""Linear probe by stochastic gradients: every learning rate and weight decay as one problem."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from ownlatent.checks import require_within
from ownlatent.errors import UsageError
from ownlatent.evaluation.features import check_comparable, check_labelled, numbered, standardise
from ownlatent.evaluation.interval import Accuracy, counted
from ownlatent.evaluation.linear import stratified_holdout

RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
"""Learning rates at a batch of 256, of standardised features over the root of their number."""
DECAYS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3)


@dataclass(frozen=True, kw_only=True)
class SweepResult(Accuracy):
    """A probe's accuracy, and what every setting gave on the held-out part."""

    rate: float
    decay: float
    held_out: dict[tuple[float, float], float]  # (rate, decay) -> accuracy
    seed: int


def sgd_probe(
    train: Tensor,
    train_labels: Tensor | None,
    test: Tensor,
    test_labels: Tensor | None,
    *,
    seed: int = 0,
    rates: Sequence[float] = RATES,
    decays: Sequence[float] = DECAYS,
    epochs: int = 80,
    batch_size: int = 1024,
    holdout: float = 0.2,
) -> SweepResult:
    """A linear map by SGD on frozen features, its settings chosen on held-out training data.

    BYOL's linear evaluation (appendix C.1) without augmentation: Nesterov momentum 0.9, cosine
    decay without warm-up, batches of 1,024, 80 epochs, weights from 0. The map of the best setting
    (held-out accuracy; of ties the lower rate, the larger decay) is fitted again on all training
    data, and its last step is scored once on the test set.

    Args:
        train, test: features, float ``[N, D]`` and ``[M, D]``.
        train_labels, test_labels: integers ``[N]`` and ``[M]``.
        seed: of the held-out part and the order of samples.
        rates: learning rates at a batch of 256; they grow with the batch.
        decays: L2 penalties, of weights and not of biases.
        epochs: passes over the data.
        batch_size: samples per step.
        holdout: fraction of each class held out; nothing is where there is one setting.

    Raises:
        UsageError: features or labels cannot be used, there is one class only, or an option is out
            of range.
    """
    if not rates or not all(0 < rate < math.inf for rate in rates):
        raise UsageError(f"Give one or more learning rates above 0; got {list(rates)}.")
    if not decays or not all(0 <= decay < math.inf for decay in decays):
        raise UsageError(f"Give one or more weight decays of at least 0; got {list(decays)}.")
    require_within("epochs", epochs, 1, 10**6)
    require_within("batch_size", batch_size, 1, 10**9)
    train_labels = check_labelled(train, train_labels, "training")
    test_labels = check_labelled(test, test_labels, "test").to(train.device)
    check_comparable(train, test)
    classes, targets = numbered(train_labels, "A linear probe")
    settings = list(product(rates, decays))
    fit_options = {"epochs": epochs, "batch_size": batch_size, "seed": seed}
    train, held_out, chosen = train.float(), {}, settings[0]
    if len(settings) > 1:
        held = stratified_holdout(targets, holdout, seed)
        fitted, others = standardise(train[~held], train[held])
        weight, bias = fit(fitted, targets[~held], len(classes), settings, **fit_options)
        logits = others @ weight + bias[:, None]
        right = (logits.argmax(dim=-1) == targets[held]).double().mean(dim=1)
        held_out = dict(zip(settings, right.tolist(), strict=True))
        chosen = max(settings, key=lambda s: (held_out[s], -s[0], s[1]))
    fitted, others = standardise(train, test.to(train))
    weight, bias = fit(fitted, targets, len(classes), [chosen], **fit_options)
    logits = others @ weight[0] + bias[0]
    return SweepResult(
        **counted(classes[logits.argmax(dim=1)], test_labels),
        n_train=len(train),
        n_classes=len(classes),
        protocol=(
            f"linear probe, frozen standardised features, SGD for {epochs} epochs, last step, "
            f"rate {chosen[0]:g} and decay {chosen[1]:g} of {len(settings)} settings"
            + (f" chosen on held-out training samples (seed {seed})" if held_out else "")
        ),
        rate=chosen[0],
        decay=chosen[1],
        held_out=held_out,
        seed=seed,
    )


def fit(
    x: Tensor,
    targets: Tensor,
    classes: int,
    settings: Sequence[tuple[float, float]],
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    momentum: float = 0.9,
) -> tuple[Tensor, Tensor]:
    """SGD from zero for S settings at once; each sees the same batches.

    Args:
        x: float ``[N, D]``, standardised; divided here by the root of D, so that a rate suits
            features of any number.
        targets: int64 ``[N]`` in ``0 .. classes - 1``.
        classes: number of classes, K.
        settings: S pairs of learning rate (at a batch of 256) and weight decay.

    Returns:
        Weights ``[S, D, K]`` and biases ``[S, K]`` for ``x`` as it was given.
    """
    n, d = x.shape
    count, scale = len(settings), d**-0.5
    batch_size = min(batch_size, n)
    # One column of ones carries the bias.
    x = F.pad(x * scale, (0, 1), value=1.0)
    # Classes before samples: with few of them, products and softmax are faster so.
    rows = torch.tensor(settings, device=x.device, dtype=x.dtype).repeat_interleave(classes, 0)
    rates, decays = rows[:, :1] * batch_size / 256 * d**0.5, rows[:, 1:]
    penalised = torch.ones(d + 1, device=x.device)
    penalised[-1] = 0
    decays = decays * penalised
    weight = x.new_zeros(count * classes, d + 1)
    velocity = torch.zeros_like(weight)
    generator = torch.Generator().manual_seed(seed)
    steps = n // batch_size
    for step in range(epochs * steps):
        if step % steps == 0:
            order = torch.randperm(n, generator=generator).to(x.device)
        part = order[step % steps * batch_size :][:batch_size]
        batch = x[part]
        error = (weight @ batch.T).view(count, classes, batch_size).softmax(dim=1)
        error[:, targets[part], torch.arange(batch_size)] -= 1
        gradient = torch.addcmul(error.flatten(0, 1) @ batch / batch_size, decays, weight)
        velocity.mul_(momentum).add_(gradient)
        rate = rates * (0.5 + 0.5 * math.cos(math.pi * step / (epochs * steps)))
        weight -= rate * (gradient + momentum * velocity)  # Nesterov's
    weight = weight.view(count, classes, d + 1)
    return weight[..., :-1].transpose(1, 2) * scale, weight[..., -1]
