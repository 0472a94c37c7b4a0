"""From a few labels to a label for every sample: a linear probe on a store's vectors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.checks import SEED, require_within
from ownlatent.embeddings.lists import read_labels
from ownlatent.embeddings.store import Store
from ownlatent.errors import UsageError
from ownlatent.evaluation import logistic
from ownlatent.evaluation.features import standardise
from ownlatent.evaluation.interval import Accuracy, counted
from ownlatent.evaluation.linear import STRENGTHS

_STRENGTHS = (*STRENGTHS, 30.0, 100.0)
"""A few labels of many dimensions are best fitted under the strongest."""
_FOLDS = 5
_ENOUGH = 10
"""Held-out samples from which an accuracy is told."""
_SEEN = 10_000
"""Samples whose mean and deviation stand for all."""
_ROWS = 16_384


@dataclass(frozen=True)
class Classified:
    """A label for every sample.

    Attributes:
        classes: their names, sorted.
        predicted: class of each sample, int64 ``[N]``.
        confidence: its probability, float32 ``[N]``.
        given: class of each labelled sample, -1 of the others, int64 ``[N]``.
        held_out: accuracy on labels that were not fitted, with its interval; None where there are
            too few.
        strength: of the L2 penalty, as in `logistic.fit`.
    """

    classes: list[str]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float32]
    given: NDArray[np.int64]
    held_out: Accuracy | None
    strength: float


def classify(store: Store, labels: Mapping[str, str] | str | Path, *, seed: int = 0) -> Classified:
    """Fit a linear probe to the labelled samples and predict every sample's class.

    Multinomial logistic regression as of ``ownlatent evaluate``, on features standardised by all
    samples. Its L2 strength is the one whose held-out probabilities are best (log loss) in five
    stratified folds. The accuracy told is of five folds too, each with a strength chosen without
    it (nested cross-validation: Varma and Simon, 2006).

    Args:
        labels: by path, or a ``.csv`` with columns "path" and "label"; empty ones do not count.
        seed: of the folds.

    Raises:
        UsageError: the labels cannot be read, name samples that the store does not hold, or are of
            one class only.
    """
    require_within("seed", seed, *SEED)
    where = "The labels" if isinstance(labels, Mapping) else str(labels)
    named = labels if isinstance(labels, Mapping) else read_labels(labels)
    rows, classes, targets = _rows(store, named, where)
    vectors = torch.from_numpy(store.vectors())
    seen = vectors[torch.linspace(0, len(store) - 1, min(len(store), _SEEN)).round().long()]
    x = standardise(seen, vectors[rows])[1]
    # The least penalised weights lie in the span of the samples they are fitted to: few samples
    # are few dimensions, with the same minimum.
    span = torch.linalg.qr(x.T).Q if len(x) < x.shape[1] else torch.eye(x.shape[1])
    x = x @ span
    axes = logistic.principal_axes(x)
    held_out = None
    folds = _folds(targets, seed)
    told = torch.full_like(targets, -1)
    for fold in range(_FOLDS):
        out = folds == fold
        if not bool(out.any()):
            continue
        strength = _strength(x[~out], targets[~out], len(classes), seed, axes)
        weight, bias = logistic.fit(x[~out], targets[~out], len(classes), [strength], axes=axes)
        told[out] = (x[out] @ weight[0] + bias[0]).argmax(1)
    tried = folds >= 0
    if int(tried.sum()) >= _ENOUGH:
        held_out = Accuracy(
            **counted(told[tried], targets[tried]),
            n_train=len(rows),
            n_classes=len(classes),
            protocol=f"linear probe, {_FOLDS}-fold cross-validation, L2 strength chosen in each",
        )
    strength = _strength(x, targets, len(classes), seed, axes)
    weight, bias = logistic.fit(x, targets, len(classes), [strength], axes=axes)
    whole = span @ weight[0]
    predicted = np.empty(len(store), np.int64)
    confidence = np.empty(len(store), np.float32)
    for start in range(0, len(store), _ROWS):
        part = slice(start, start + _ROWS)
        logits = standardise(seen, vectors[part])[1] @ whole + bias[0]
        best = logits.softmax(1).max(1)
        predicted[part], confidence[part] = best.indices.numpy(), best.values.numpy()
    given = np.full(len(store), -1)
    given[rows.numpy()] = targets.numpy()
    return Classified(classes, predicted, confidence, given, held_out, strength)


def _rows(store: Store, labels: Mapping[str, str], where: str) -> tuple[Tensor, list[str], Tensor]:
    """Rows that have a label, the classes, and the class of each of these rows."""
    place = {name: row for row, name in enumerate(store.names)}
    unknown = [name for name in labels if name not in place]
    if unknown:
        raise UsageError(
            f"{where}: {len(unknown):,} of {len(labels):,} paths are not in {store.path}, such as "
            f"{unknown[0]!r}; give paths as the store has them, such as {store.names[0]!r}."
        )
    classes = sorted(set(labels.values()))
    if len(classes) < 2:
        only = f"every label is {classes[0]!r}" if classes else "there are none"
        raise UsageError(f"{where}: a classifier needs at least two classes, but {only}.")
    rows = torch.tensor([place[name] for name in labels])
    number = {name: place for place, name in enumerate(classes)}
    return rows, classes, torch.tensor([number[label] for label in labels.values()])


def _folds(targets: Tensor, seed: int) -> Tensor:
    """The fold of each sample, int64 ``[n]``: every class is spread over them evenly. A class of
    one sample is in none (-1): it is always fitted."""
    generator = torch.Generator().manual_seed(seed)
    folds = torch.full((len(targets),), -1)
    begun = 0
    for target in range(int(targets.max()) + 1):
        members = (targets == target).nonzero()[:, 0]
        if len(members) > 1:
            members = members[torch.randperm(len(members), generator=generator)]
            folds[members] = (torch.arange(len(members)) + begun) % _FOLDS
            begun += len(members)
    return folds


def _strength(x: Tensor, targets: Tensor, classes: int, seed: int, axes: logistic.Axes) -> float:
    """The L2 strength whose held-out log loss is least; the middle one where none can be held
    out."""
    folds = _folds(targets, seed + 1)
    loss = torch.zeros(len(_STRENGTHS))
    for fold in range(_FOLDS):
        out = folds == fold
        if not bool(out.any()):
            continue
        weight, bias = logistic.fit(
            x[~out], targets[~out], classes, _STRENGTHS, axes=axes, tolerance=1e-4
        )
        log_p = (x[out] @ weight + bias[:, None]).log_softmax(2)  # [S, n, K]
        loss -= log_p[:, torch.arange(len(log_p[0])), targets[out]].sum(1)
    if not bool((folds >= 0).any()):
        return _STRENGTHS[len(_STRENGTHS) // 2]
    return _STRENGTHS[int(loss.argmin())]
