"""Weighted nearest neighbours: what the features know with nothing trained on top."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ownlatent.errors import UsageError
from ownlatent.evaluation.features import check_comparable, check_labelled
from ownlatent.evaluation.interval import Accuracy, counted

# (k, temperature) as published: DINO's eval_knn.py; InstDisc and the MoCo CIFAR demo.
SETTINGS = ((20, 0.07), (200, 0.1))


def nearest(
    bank: Tensor,
    queries: Tensor,
    k: int,
    bank_ids: Tensor | None = None,
    query_ids: Tensor | None = None,
    *,
    chunk: int = 1024,
) -> tuple[Tensor, Tensor]:
    """The ``k`` samples of the bank most similar to each query, nearest first.

    Args:
        bank: float ``[N, D]``; rows are L2-normalised here.
        queries: float ``[M, D]``, likewise.
        k: neighbours wanted for each query.
        bank_ids, query_ids: int64 ``[N]`` and ``[M]``, both or neither. A sample of the bank with
            the query's id is the query itself, and is passed over.
        chunk: queries compared with the bank at a time; it bounds memory at ``chunk * N`` floats.

    Returns:
        Cosine similarities, float32 ``[M, k]``, and rows of the bank, int64 ``[M, k]``.

    Raises:
        UsageError: a query has fewer than ``k`` samples to find, only one side has ids, or the
            two sides' features differ in length.
    """
    if (bank_ids is None) != (query_ids is None):
        raise UsageError("Give the ids of both the bank and the queries, or of neither.")
    if not 1 <= k <= len(bank):
        raise UsageError(
            f"k must be between 1 and the number of samples in the bank, {len(bank)}; got {k}."
        )
    check_comparable(bank, queries)
    bank = F.normalize(bank.float(), dim=1)
    similarities, rows = [], []
    for start in range(0, len(queries), chunk):
        part = slice(start, start + chunk)
        cosines = F.normalize(queries[part].to(bank), dim=1) @ bank.T
        if bank_ids is not None and query_ids is not None:
            own = query_ids[part, None].to(bank.device) == bank_ids.to(bank.device)
            cosines.masked_fill_(own, -torch.inf)
        best = cosines.topk(k, dim=1)
        similarities.append(best.values)
        rows.append(best.indices)
    found = torch.cat(similarities)
    if bool((found[:, -1] == -torch.inf).any()):
        raise UsageError(
            f"k must be smaller: with a query left out of its own neighbours, the bank of "
            f"{len(bank)} does not hold {k}."
        )
    return found, torch.cat(rows)


def knn(
    train: Tensor,
    train_labels: Tensor | None,
    test: Tensor,
    test_labels: Tensor | None,
    *,
    k: int = 20,
    temperature: float = 0.07,
    train_ids: Tensor | None = None,
    test_ids: Tensor | None = None,
    chunk: int = 1024,
) -> Accuracy:
    """Accuracy of the weighted k-nearest-neighbour classifier (Wu et al., 2018, section 3.4).

    Class ``c`` scores the sum of ``exp(cosine / temperature)`` over those of the ``k`` nearest
    training samples whose label is ``c``. Nothing is trained.

    Args:
        train, test: features, float ``[N, D]`` and ``[M, D]``; L2-normalised here.
        train_labels, test_labels: integers ``[N]`` and ``[M]``. Any non-negative numbers serve; a
            test class without training samples counts as wrong.
        k, temperature: see ``SETTINGS`` for the published pairs.
        train_ids, test_ids: int64; with them a query never finds itself.
        chunk: queries at a time; bounds memory.

    Raises:
        UsageError: see ``nearest`` and ``check_labelled``; or the temperature is not positive.
    """
    if not temperature > 0:
        raise UsageError(f"The temperature must be above 0, such as 0.07; got {temperature}.")
    train_labels = check_labelled(train, train_labels, "training")
    test_labels = check_labelled(test, test_labels, "test").to(train.device)
    similarities, rows = nearest(train, test, k, train_ids, test_ids, chunk=chunk)
    # Taking the query's largest similarity away scales all its scores alike, and cannot overflow.
    weights = ((similarities - similarities[:, :1]) / temperature).exp()
    classes, targets = torch.unique(train_labels, return_inverse=True)
    scores = weights.new_zeros(len(test), len(classes)).scatter_add_(1, targets[rows], weights)
    return Accuracy(
        **counted(classes[scores.argmax(dim=1)], test_labels),
        n_train=len(train),
        n_classes=len(classes),
        protocol=f"k-NN, cosine, k = {k}, T = {temperature:g}",
    )
