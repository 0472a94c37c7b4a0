"""Classification protocols by name: each takes what is measured and says how well it does."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ownlatent.encoder import Encoder
from ownlatent.errors import UsageError
from ownlatent.evaluation.features import embed
from ownlatent.evaluation.finetune import Schedule, finetune
from ownlatent.evaluation.interval import Accuracy
from ownlatent.evaluation.knn import SETTINGS, knn
from ownlatent.evaluation.labels import Budget
from ownlatent.evaluation.linear import linear_probe
from ownlatent.evaluation.sgd import sgd_probe
from ownlatent.kinds import Samples


@dataclass(frozen=True)
class Split:
    """Labelled samples to fit on and to score on."""

    train: Samples
    train_rows: Tensor
    test: Samples
    test_rows: Tensor

    def labels(self) -> tuple[Tensor, Tensor]:
        assert self.train.labels is not None and self.test.labels is not None
        return self.train.labels[self.train_rows], self.test.labels[self.test_rows]


@dataclass
class Subject:
    """What is measured: a network, on a split. Its features are made once."""

    name: str
    net: nn.Module
    split: Split
    seed: int
    device: str
    epochs: int | None = None
    """Of the protocols that train; None: each one's own."""

    @cached_property
    def features(self) -> tuple[Tensor, Tensor]:
        """float32 ``[N, D]`` to fit on and ``[M, D]`` to score."""
        split = self.split
        made = embed(self.net, split.train, device=self.device)
        test = (
            made if split.test is split.train else embed(self.net, split.test, device=self.device)
        )
        return made[split.train_rows], test[split.test_rows]


Measured = list[tuple[str, Accuracy]]
"""What the protocol is called with its setting, and what it gave."""


def _linear(subject: Subject, seen: Tensor) -> Measured:
    train, test = subject.features
    labels, truth = subject.split.labels()
    probe = linear_probe(train[seen], labels[seen], test, truth, seed=subject.seed)
    return [("linear probe", probe)]


def _sgd(subject: Subject, seen: Tensor) -> Measured:
    train, test = subject.features
    labels, truth = subject.split.labels()
    options: dict[str, Any] = {"epochs": subject.epochs} if subject.epochs else {}
    probe = sgd_probe(train[seen], labels[seen], test, truth, seed=subject.seed, **options)
    return [("linear probe (SGD)", probe)]


def _knn(subject: Subject, seen: Tensor) -> Measured:
    train, test = subject.features
    labels, truth = subject.split.labels()
    split = subject.split
    # Ids tell samples apart within one source; two folders may share relative names.
    same = split.train is split.test
    train_ids = split.train.ids[split.train_rows[seen]] if same else None
    test_ids = split.test.ids[split.test_rows] if same else None
    return [
        (
            f"kNN (k={k}, T={temperature:g})",
            knn(
                train[seen],
                labels[seen],
                test,
                truth,
                k=k,
                temperature=temperature,
                train_ids=train_ids,
                test_ids=test_ids,
            ),
        )
        for k, temperature in SETTINGS
        if k < len(seen)
    ]


def _finetune(subject: Subject, seen: Tensor) -> Measured:
    if not isinstance(subject.net, Encoder):
        return []  # raw pixels have nothing to tune
    split = subject.split
    schedule = Schedule(epochs=subject.epochs) if subject.epochs else Schedule()
    tuned = finetune(
        subject.net,
        split.train,
        split.train_rows[seen],
        split.test,
        split.test_rows,
        seed=subject.seed,
        schedule=schedule,
        device=subject.device,
    )
    return [("fine-tuning", tuned)]


PROTOCOLS: dict[str, Callable[[Subject, Tensor], Measured]] = {
    "knn": _knn,
    "linear": _linear,
    "sgd": _sgd,
    "finetune": _finetune,
}
"""By name: a function of the subject and of the rows, among those it may fit on, whose labels it
sees (int64)."""


class Wanted(NamedTuple):
    """A protocol, and how many labels it may see."""

    protocol: str
    budget: Budget | None

    @classmethod
    def parse(cls, text: str) -> "Wanted":
        """From "linear", "linear@1%" or "finetune@5-shot".

        Raises:
            UsageError: there is no such protocol or budget.
        """
        name, _, labels = text.partition("@")
        if name not in PROTOCOLS:
            raise UsageError(
                f"There is no protocol {name!r}; choose among {', '.join(PROTOCOLS)}, each also "
                "with fewer labels, as in linear@1% or finetune@5-shot."
            )
        return cls(name, Budget.parse(labels) if "@" in text else None)

    def rows(self, split: Split, seed: int) -> Tensor:
        """Which of the samples to fit on it sees the labels of: int64.

        Raises:
            UsageError: there are too few for it.
        """
        labels, _ = split.labels()
        if self.budget is None:
            return torch.arange(len(labels))
        seen = self.budget.rows(labels, seed, split.train.classes)
        least = min(k for k, _ in SETTINGS)
        if self.protocol == "knn" and len(seen) <= least:
            raise UsageError(
                f"kNN asks the {least} nearest, so it needs more labels than that, and "
                f"{self.budget} sees {len(seen)}; give it more, or take linear."
            )
        return seen

    def measure(self, subject: Subject) -> Measured:
        """What the protocol gives, named with the labels it saw."""
        seen = self.rows(subject.split, subject.seed)
        if self.budget is None:
            return PROTOCOLS[self.protocol](subject, seen)
        few = f"{self.budget} of labels" if self.budget.share else str(self.budget)
        return [
            (f"{title}, {few}", result) for title, result in PROTOCOLS[self.protocol](subject, seen)
        ]
