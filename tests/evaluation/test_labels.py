"""Budgets of labels: stratified, nested, and the same for the same seed."""

import pytest
import torch

import ownlatent as ol
from ownlatent.evaluation.labels import Budget

LABELS = torch.arange(1000) % 10


def test_shares_are_of_each_class() -> None:
    rows = Budget.parse("10%").rows(LABELS, 0)
    assert torch.bincount(LABELS[rows]).tolist() == [10] * 10
    uneven = torch.tensor([0] * 195 + [1] * 5)
    counts = torch.bincount(uneven[Budget.parse("10%").rows(uneven, 0)])
    assert counts.tolist() == [20, 1]  # 19.5 to the even 20; 0.5 to the least of one


def test_shots_are_of_each_class_and_of_a_seed() -> None:
    rows = Budget.parse("3-shot").rows(LABELS, 0)
    assert torch.bincount(LABELS[rows]).tolist() == [3] * 10
    assert torch.equal(rows, Budget.parse("3-shot").rows(LABELS, 0))
    assert not torch.equal(rows, Budget.parse("3-shot").rows(LABELS, 1))
    assert torch.isin(rows, Budget.parse("7-shot").rows(LABELS, 0)).all()


@pytest.mark.parametrize("text", ["", "0%", "101%", "0-shot", "1", "x-shot", "-5%", "5 %"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(ol.UsageError, match="5-shot"):
        Budget.parse(text)


def test_too_few_labels_are_said() -> None:
    with pytest.raises(ol.UsageError, match="fewer labels than the 10 classes"):
        Budget.parse("0.5%").rows(LABELS, 0)
    with pytest.raises(ol.UsageError, match="Class cat has 2 training samples"):
        Budget.parse("3-shot").rows(torch.tensor([0, 0, 1, 1, 1]), 0, ["cat", "dog"])


def test_written_as_it_is_read() -> None:
    assert [str(Budget.parse(text)) for text in ("1%", "0.1%", "5-shot")] == [
        "1%",
        "0.1%",
        "5-shot",
    ]
