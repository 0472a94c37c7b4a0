"""The linear probe against scikit-learn; the choice of strength never sees the test set."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ownlatent.errors import UsageError
from ownlatent.evaluation.interval import wilson
from ownlatent.evaluation.linear import STRENGTHS, linear_probe, stratified_holdout


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    x, y = torch.from_numpy(x).float(), torch.from_numpy(y)
    return x[:1000], y[:1000], x[1000:], y[1000:]


def sklearn_correct(train, labels, test, truth, strength):
    scale = StandardScaler().fit(train.double().numpy())
    model = LogisticRegression(C=1 / (len(train) * strength), tol=1e-8, max_iter=5000)
    model.fit(scale.transform(train.double().numpy()), labels.numpy())
    return int((model.predict(scale.transform(test.double().numpy())) == truth.numpy()).sum())


@pytest.mark.parametrize("strength", [1e-3, 1e-2, 1.0])
def test_sklearn_digits_at_a_given_strength(digits, strength):
    result = linear_probe(*digits, strengths=[strength])
    assert abs(result.correct - sklearn_correct(*digits, strength)) <= 1
    assert result.held_out == {} and result.strength == strength


def test_sklearn_digits_with_the_strength_chosen(digits):
    train, labels = digits[:2]
    strengths = (1e-3, 1e-2, 0.1, 1.0)
    result = linear_probe(*digits, seed=3, strengths=strengths)
    held = stratified_holdout(labels, 0.2, 3)
    parts = train[~held], labels[~held], train[held], labels[held]
    for strength in strengths:
        expected = sklearn_correct(*parts, strength)
        assert abs(round(result.held_out[strength] * int(held.sum())) - expected) <= 1
    best = max(result.held_out.values())
    assert result.strength == max(s for s in strengths if result.held_out[s] == best)
    assert abs(result.correct - sklearn_correct(*digits, result.strength)) <= 1
    assert (result.n_train, result.n_test, result.n_classes) == (1000, 797, 10)
    assert result.interval == wilson(result.correct, 797)
    assert f"{result.strength:g}" in result.protocol and "seed 3" in result.protocol


def test_the_test_set_has_no_say(digits):
    train, labels, test, truth = digits
    real = linear_probe(*digits)
    other = linear_probe(train, labels, test * 100 + 7, (truth + 1) % 10)
    assert (real.strength, real.held_out) == (other.strength, other.held_out)


def test_statistics_come_from_the_part_that_is_fitted(digits):
    """An outlier held out must not change how the fitted part is scaled."""
    train, labels, test, truth = digits
    held = stratified_holdout(labels, 0.2, 0)
    spoilt = train.clone()
    spoilt[held.nonzero()[0]] *= 1e6
    plain = linear_probe(train, labels, test, truth)
    shifted = linear_probe(spoilt, labels, test, truth)
    n = int(held.sum())
    for strength in STRENGTHS:  # that one sample may be lost, no other
        assert abs(plain.held_out[strength] - shifted.held_out[strength]) * n <= 1.5


def test_invariant_to_scale_and_offset_of_each_feature(digits):
    train, labels, test, truth = digits
    scale, offset = torch.logspace(-4, 4, 64), torch.linspace(-3, 3, 64)
    plain = linear_probe(*digits)
    moved = linear_probe((train + offset) * scale, labels, (test + offset) * scale, truth)
    assert abs(plain.correct - moved.correct) <= 1


def test_constant_features_are_harmless(digits):
    train, labels, test, truth = digits
    constant = torch.tensor([1000.1, 0.0, -3.3])
    noise = torch.randn(len(test), 3, generator=torch.Generator().manual_seed(0)) * 1e-2
    rounded = constant.repeat(len(train), 1)
    rounded[labels == 3, 0] = torch.nextafter(constant[0], torch.tensor(2000.0))  # by one ulp
    wide = torch.cat([train, rounded], 1)
    plain = linear_probe(*digits, strengths=[1e-2])
    result = linear_probe(
        wide, labels, torch.cat([test, constant + noise], 1), truth, strengths=[1e-2]
    )
    assert abs(result.correct - plain.correct) <= 1
    flat = linear_probe(torch.ones(40, 3), torch.arange(40) % 4, torch.ones(8, 3), torch.arange(8))
    assert flat.accuracy == 1 / 8  # one answer for all, not NaN


def test_labels_may_be_any_numbers_and_classes_unseen(digits):
    train, labels, test, truth = digits
    plain = linear_probe(*digits, strengths=[1e-2])
    renamed = linear_probe(train, labels * 13 + 5, test, truth * 13 + 5, strengths=[1e-2])
    assert renamed.correct == plain.correct
    known = labels != 4
    result = linear_probe(train[known], labels[known], test, truth, strengths=[1e-2])
    assert result.n_classes == 9
    only = linear_probe(
        train[known], labels[known], test[truth != 4], truth[truth != 4], strengths=[1e-2]
    )
    assert result.correct == only.correct and result.n_test == 797


def test_the_larger_of_two_equal_strengths_is_chosen():
    targets = torch.arange(60) % 3
    x = torch.eye(3)[targets]
    result = linear_probe(x, targets, x, targets, strengths=(0.01, 0.1, 1e-3))
    assert set(result.held_out.values()) == {1.0} and result.strength == 0.1


def test_holdout_is_stratified_and_seeded():
    targets = torch.from_numpy(np.repeat([0, 1, 2, 3], [100, 50, 2, 1]))
    mask = stratified_holdout(targets, 0.2, 0)
    assert torch.bincount(targets[mask], minlength=4).tolist() == [20, 10, 1, 0]
    assert torch.equal(mask, stratified_holdout(targets, 0.2, 0))
    assert not torch.equal(mask, stratified_holdout(targets, 0.2, 1))
    assert torch.bincount(targets[~stratified_holdout(targets, 0.999, 0)]).tolist() == [1, 1, 1, 1]


def test_refusals(digits):
    train, labels, test, truth = digits
    with pytest.raises(UsageError, match=r"two classes.*is 5"):
        linear_probe(train, torch.full_like(labels, 5), test, truth)
    with pytest.raises(UsageError, match="more labels, such as 2-shot"):
        linear_probe(train[:4], torch.arange(4), test, truth)
    with pytest.raises(UsageError, match="no labels"):
        linear_probe(train, None, test, truth)
    with pytest.raises(UsageError, match="one encoder"):
        linear_probe(train, labels, test[:, :5], truth)
    for strengths in ((), (0.0, 1.0), (-1.0,), (float("nan"),)):
        with pytest.raises(UsageError, match="above 0"):
            linear_probe(*digits, strengths=strengths)
    for holdout in (0.0, 1.0):
        with pytest.raises(UsageError, match="between 0 and 1"):
            linear_probe(*digits, holdout=holdout)
