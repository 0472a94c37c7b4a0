"""k-NN against a brute-force loop and scikit-learn; a query never finds itself."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from ownlatent.errors import UsageError
from ownlatent.evaluation.knn import SETTINGS, knn, nearest


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    x, y = torch.from_numpy(x).float(), torch.from_numpy(y)
    return x[:1000], y[:1000], x[1000:], y[1000:]


def test_published_settings():
    assert SETTINGS == ((20, 0.07), (200, 0.1))  # METHODS: DINO; InstDisc and MoCo's CIFAR demo


@pytest.mark.parametrize(("k", "temperature"), SETTINGS)
def test_sklearn_digits(digits, k, temperature):
    train, labels, test, truth = (part.numpy() for part in digits)

    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    # On unit vectors the squared distance is 2 - 2 cos.
    reference = KNeighborsClassifier(
        k, weights=lambda distance: np.exp((1 - distance**2 / 2) / temperature)
    )
    correct = int((reference.fit(unit(train), labels).predict(unit(test)) == truth).sum())
    result = knn(*digits, k=k, temperature=temperature)
    assert abs(result.correct - correct) <= 1
    assert (result.n_train, result.n_test, result.n_classes) == (1000, 797, 10)


def test_brute_force():
    """The score as published, in float64, one query at a time, on data where T and k matter."""
    generator = torch.Generator().manual_seed(0)
    train, test = (torch.randn(n, 5, generator=generator) for n in (60, 40))
    labels, truth = (torch.randint(0, 4, (n,), generator=generator) for n in (60, 40))
    outcomes = set()
    for k, temperature in ((1, 0.07), (9, 0.07), (9, 5.0), (60, 0.3)):
        correct = 0
        for query, answer in zip(test.double(), truth, strict=True):
            cosines = [float(query @ x / (query.norm() * x.norm())) for x in train.double()]
            score = [0.0] * 4
            for i in sorted(range(60), key=lambda i: -cosines[i])[:k]:
                score[int(labels[i])] += math.exp(cosines[i] / temperature)
            correct += max(range(4), key=score.__getitem__) == answer
        assert knn(train, labels, test, truth, k=k, temperature=temperature).correct == correct
        outcomes.add(correct)
    assert len(outcomes) > 1


def test_a_query_never_finds_itself(digits):
    train, labels, _, _ = digits
    ids = torch.arange(len(train)) + 2**60
    assert knn(train, labels, train, labels, k=1).accuracy == 1.0
    rows = nearest(train, train, 5, ids, ids, chunk=300)[1]
    assert not (rows == torch.arange(len(train))[:, None]).any()
    # Leave-one-out by taking the sample out of the bank.
    correct = 0
    for i in range(100):
        rest = torch.arange(len(train)) != i
        one = slice(i, i + 1)
        correct += knn(train[rest], labels[rest], train[one], labels[one], k=3).correct
    result = knn(train, labels, train[:100], labels[:100], k=3, train_ids=ids, test_ids=ids[:100])
    assert result.correct == correct < 100


def test_ids_are_compared_in_full():
    """Neighbouring 64-bit ids are equal in float64; only the query's own is passed over."""
    bank = torch.eye(3)
    ids = torch.tensor([2**62, 2**62 + 1, 2**62 + 2])
    assert nearest(bank, bank[:1], 2, ids, ids[:1])[1].sort().values.tolist() == [[1, 2]]


def test_nearest_in_order_whatever_the_chunk(digits):
    train, _, test, _ = digits
    similarities, rows = nearest(train, test, 7)
    assert similarities.shape == rows.shape == (len(test), 7)
    assert (similarities.diff(dim=1) <= 0).all()
    expected = torch.nn.functional.cosine_similarity(test[:, None], train[rows], dim=2)
    torch.testing.assert_close(similarities, expected)
    torch.testing.assert_close(nearest(train, test, 7, chunk=100)[0], similarities)


def test_scale_of_features_and_low_temperature(digits):
    train, labels, test, truth = digits
    plain = knn(train, labels, test, truth)
    assert knn(train * torch.rand(1000, 1).add(0.1), labels, test * 9, truth).correct == (
        plain.correct
    )
    # exp(1 / 0.005) overflows float32; the nearest neighbour alone decides in that limit.
    cold = knn(train, labels, test, truth, temperature=0.005)
    assert abs(cold.correct - knn(train, labels, test, truth, k=1).correct) <= 8


def test_any_labels_and_unseen_classes():
    bank, labels = torch.eye(2), torch.tensor([100, 7])
    result = knn(bank, labels, torch.eye(2)[[0, 1, 1]], torch.tensor([100, 7, 3]), k=1)
    assert (result.correct, result.n_test, result.n_classes) == (2, 3, 2)


def test_refusals():
    bank, labels, ids = torch.eye(3), torch.arange(3), torch.arange(3)
    for k in (0, 4):
        with pytest.raises(UsageError, match=r"k must be between 1 and .* 3"):
            knn(bank, labels, bank, labels, k=k)
    with pytest.raises(UsageError, match="k must be smaller"):
        knn(bank, labels, bank, labels, k=3, train_ids=ids, test_ids=ids)
    with pytest.raises(UsageError, match="both"):
        nearest(bank, bank, 1, ids)
    with pytest.raises(UsageError, match="temperature"):
        knn(bank, labels, bank, labels, k=1, temperature=0.0)
    with pytest.raises(UsageError, match="one encoder"):
        nearest(bank, torch.zeros(1, 4), 1)
