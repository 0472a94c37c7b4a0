"""mIoU against a count by hand and scikit-learn's Jaccard index."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score

from ownlatent.evaluation.dense.overlaps import Segmentation, confusion, iou


def test_counts_are_by_true_class_and_without_void() -> None:
    truth = torch.tensor([[[0, 0, 1], [1, 255, 255]]])
    found = torch.tensor([[[0, 1, 1], [1, 0, 1]]])
    assert confusion(found, truth, 2, 255).tolist() == [[[1, 1], [0, 2]]]


@pytest.mark.parametrize("seed", range(3))
def test_scikit_learns_jaccard_index(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, 4, (3, 9, 7), generator=generator)
    found = torch.randint(0, 4, (3, 9, 7), generator=generator)
    void = torch.rand(truth.shape, generator=generator) < 0.2
    marked = truth.where(~void, 255)
    scores = Segmentation.of(confusion(found, marked, 4, 255))
    kept = ~void
    theirs = jaccard_score(truth[kept].numpy(), found[kept].numpy(), average=None)
    np.testing.assert_allclose(scores.classes, theirs, atol=1e-12)
    assert scores.mean == pytest.approx(theirs.mean())
    assert scores.accuracy == pytest.approx((truth == found)[kept].double().mean().item())
    assert scores.interval[0] < scores.mean < scores.interval[1]


def test_a_class_that_is_nowhere_does_not_count_and_one_only_found_does() -> None:
    truth = torch.zeros(1, 4, 4, dtype=torch.long)
    found = truth.clone()
    scores = Segmentation.of(confusion(found, truth, 3, 255))
    assert scores.classes[0] == 1 and all(map(math.isnan, scores.classes[1:]))
    assert scores.mean == 1
    found[0, 0, 0] = 2  # falsely: intersection 0 of union 1
    scores = Segmentation.of(confusion(found, truth, 3, 255))
    assert scores.classes[2] == 0 and scores.mean == pytest.approx(15 / 16 / 2)


def test_everything_void_is_nothing() -> None:
    truth = torch.full((1, 2, 2), 255)
    assert iou(confusion(truth * 0, truth, 2, 255)).isnan().all()
