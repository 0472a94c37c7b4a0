"""The Wilson interval against published values and scipy."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from ownlatent.errors import UsageError
from ownlatent.evaluation.interval import Accuracy, counted, wilson

# Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17
# (1998), table I, method 3 (score without continuity correction).
NEWCOMBE = {
    (81, 263): (0.2553, 0.3662),
    (15, 148): (0.0624, 0.1605),
    (0, 20): (0.0000, 0.1611),
    (1, 29): (0.0061, 0.1718),
}


@pytest.mark.parametrize(("counts", "ends"), NEWCOMBE.items())
def test_published(counts, ends):
    assert wilson(*counts) == pytest.approx(ends, abs=5e-5)


@pytest.mark.parametrize("counts", [(0, 1), (1, 1), (7, 10), (2200, 4000), (4000, 4000)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_scipy(counts, confidence):
    reference = binomtest(*counts).proportion_ci(confidence, method="wilson")
    low, high = wilson(*counts, confidence=confidence)
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1


@pytest.mark.parametrize("arguments", [(0, 0), (3, 2), (-1, 5), (1, 2, 0.0), (1, 2, 1.0)])
def test_impossible(arguments):
    with pytest.raises(UsageError):
        wilson(*arguments)


def test_accuracy_carries_its_interval():
    result = Accuracy(correct=81, n_test=263, n_train=1000, n_classes=3, protocol="k-NN")
    assert result.accuracy == 81 / 263
    assert result.interval == wilson(81, 263)


def test_mean_over_classes_is_scikit_learns_balanced_accuracy():
    from sklearn.metrics import balanced_accuracy_score, confusion_matrix

    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 4, (200,), generator=generator) * 3  # numbers with gaps
    truth[:150] = 0
    found = torch.where(torch.rand(200, generator=generator) < 0.6, truth, 3)
    result = counted(found, truth)
    theirs = balanced_accuracy_score(truth.numpy(), found.numpy())
    assert result["mean_per_class"] == pytest.approx(theirs)
    matrix = confusion_matrix(truth.numpy(), found.numpy(), labels=range(10))
    ours = {(true, taken): count for true, taken, count in result["confusion"]}
    assert ours == {pair: count for pair, count in np.ndenumerate(matrix) if count}
    assert result["correct"] == int((found == truth).sum()) and result["n_test"] == 200
