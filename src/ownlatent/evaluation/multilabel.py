"""Several labels for each image: a linear probe of each class, and VOC 2007's mean of precision."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path

import torch
from torch import Tensor

from ownlatent.errors import UsageError
from ownlatent.evaluation import logistic
from ownlatent.evaluation.features import check_comparable, check_finite, standardise

ABSENT, PRESENT, UNSURE = 0, 1, -1
"""Of a class in an image; what is unsure neither is fitted nor counts."""
_HELD = 0.2


@dataclass(frozen=True)
class VOC:
    """What a folder of Pascal VOC says of its images: their names, and int8 ``[N, C]``."""

    train: list[str]
    train_labels: Tensor
    test: list[str]
    test_labels: Tensor
    classes: list[str]


def read_voc(folder: Path) -> VOC:
    """Lists and annotations: ``trainval`` (or ``train``) to fit on, and ``test``.

    A class is present where one of its boxes is not "difficult", unsure where all are.

    Raises:
        UsageError: a list or an annotation is missing or damaged.
    """
    lists = folder / "ImageSets" / "Main"
    found = []
    for choices in (("trainval", "train"), ("test",)):
        files = [lists / f"{name}.txt" for name in choices]
        file = next((each for each in files if each.is_file()), None)
        if file is None:
            raise UsageError(f"There is no {files[0]}; @voc takes a folder of Pascal VOC's form.")
        names = [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
        if not names:
            raise UsageError(f"{file} names no images; mend it.")
        found.append((names, [_boxes(folder / "Annotations" / f"{name}.xml") for name in names]))
    (train, fitted), (test, scored) = found
    classes = sorted({name for each in fitted for name, _ in each})
    strange = sorted({name for each in scored for name, _ in each} - {*classes})
    if strange:
        raise UsageError(
            f"{folder} has boxes of class {strange[0]!r} to score and none to fit on; its lists "
            "must have the same classes."
        )
    return VOC(train, _labels(fitted, classes), test, _labels(scored, classes), classes)


def _boxes(file: Path) -> list[tuple[str, bool]]:
    """Classes of the boxes, and whether each is difficult."""
    try:
        root = ET.parse(file).getroot()
    except (OSError, ET.ParseError) as error:
        raise UsageError(f"{file} cannot be read ({error}); mend it.") from error
    return [
        (str(box.findtext("name")), box.findtext("difficult", "0").strip() == "1")
        for box in root.iter("object")
    ]


def _labels(boxes: list[list[tuple[str, bool]]], classes: list[str]) -> Tensor:
    labels = torch.full((len(boxes), len(classes)), ABSENT, dtype=torch.int8)
    for row, each in enumerate(boxes):
        for name, difficult in sorted(each, key=lambda box: not box[1]):  # difficult ones first
            labels[row, classes.index(name)] = UNSURE if difficult else PRESENT
    return labels


def multilabel_probe(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    *,
    strengths: Sequence[float],
    seed: int = 0,
) -> tuple[float, list[float | None], float]:
    """Logistic regression of each class against the rest, on frozen standardised features.

    One L2 strength for all classes, that of the best mean on a held-out fifth of the training
    data (the larger of ties); then fitted on all of them and scored once.

    Args:
        train, test: float ``[N, D]`` and ``[M, D]``.
        train_labels, test_labels: int8 ``[N, C]`` and ``[M, C]``: :data:`PRESENT` and so on.
        strengths: as of :func:`ownlatent.evaluation.logistic.fit`.
        seed: of the held-out part.

    Returns:
        the mean over classes of :func:`eleven_points`, each class's (None for one that cannot be
        fitted or is not in the test data), and the strength.

    Raises:
        UsageError: features are not finite, or no class can be fitted and scored.
    """
    check_comparable(train, test)
    check_finite(train, "training")
    check_finite(test, "test")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    held = order[: max(1, round(_HELD * len(train)))]
    rest = order[len(held) :]
    fitted, others = standardise(train[rest], train[held])
    scores = _scores(fitted, train_labels[rest], others, strengths)
    means = [_mean(precision(each, train_labels[held])) for each in scores]
    ranked = [-1 if isnan(mean) else mean for mean in means]
    _, strength = max(zip(ranked, strengths, strict=True))
    fitted, others = standardise(train, test)
    (final,) = _scores(fitted, train_labels, others, [strength])
    each = precision(final, test_labels)
    if all(isnan(own) for own in each):
        raise UsageError("No class that could be fitted is in the test images; check its list.")
    return _mean(each), [None if isnan(own) else own for own in each], strength


def _scores(x: Tensor, labels: Tensor, others: Tensor, strengths: Sequence[float]) -> Tensor:
    """float ``[S, M, C]``: how much more present than absent; NaN for a class that is not both."""
    made = torch.full((len(strengths), len(others), labels.shape[1]), nan)
    axes = logistic.principal_axes(x)
    for place, column in enumerate(labels.T):
        known = column != UNSURE
        targets = (column[known] == PRESENT).long()
        if 0 < int(targets.sum()) < len(targets):
            weight, bias = logistic.fit(x[known], targets, 2, strengths, axes=axes)
            logits = others @ weight + bias[:, None]
            made[:, :, place] = logits[..., 1] - logits[..., 0]
    if bool(made.isnan().all()):
        raise UsageError("No class is in some training images and not in others; give more labels.")
    return made


def precision(scores: Tensor, labels: Tensor) -> list[float]:
    """:func:`eleven_points` of each class: float ``[M, C]`` and int8 ``[M, C]``."""
    found = []
    for score, label in zip(scores.T, labels.T, strict=True):
        known = label != UNSURE
        found.append(eleven_points(score[known], label[known] == PRESENT))
    return found


def eleven_points(scores: Tensor, present: Tensor) -> float:
    """VOC 2007's average precision: the mean, over recalls of 0, 0.1 to 1, of the best precision
    at that recall or more (Everingham et al., 2010, equations 1 and 2). Samples of one score are
    found together.

    Args:
        scores: float ``[M]``.
        present: bool ``[M]``.

    Returns:
        NaN where nothing is present, or scores are none.
    """
    if not bool(present.any()) or bool(scores.isnan().any()):
        return nan
    order = scores.argsort(descending=True)
    right = present[order].double().cumsum(0)
    ends = torch.cat([scores[order].diff() != 0, torch.tensor([True])])
    right, seen = right[ends], torch.arange(1, len(scores) + 1)[ends]
    recall, exact = right / right[-1], right / seen
    best = [exact[recall >= point / 10 - 1e-9].max() for point in range(11)]
    return torch.stack(best).mean().item()


def _mean(values: list[float]) -> float:
    there = [value for value in values if not isnan(value)]
    return sum(there) / len(there) if there else nan
